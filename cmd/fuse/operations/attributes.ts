/** Operations on attributes, usual and extended. */

import { E } from "../../../sys/uapi/errno.ts";
import * as uapi from "../../../sys/uapi/fuse.ts";
import { checkBytes } from "../../../ring/check.ts";
import { byteLengthOf } from "../../../ring/intrinsics.ts";
import { after } from "../awaitable.ts";
import type { Changes } from "../nodes.ts";
import type { FuseRequest } from "../request.ts";
import { putTtl } from "../server.ts";
import { writeStatx } from "../stat.ts";
import { nothing, type Operations } from "./operation.ts";

const { fuse_getattr_in, fuse_setattr_in: SET, fuse_access_in } = uapi;
const { fuse_statx_in, fuse_statx_out, fuse_kstatfs: STATFS } = uapi;
const { fuse_setxattr_in, fuse_getxattr_in } = uapi;
const STATFS_BYTES = 80;
const STATX_BYTES = 288;
/** Bytes of `struct fuse_setxattr_in` without FUSE_SETXATTR_EXT. */
const SETXATTR_BYTES = 8;

export const attributes: Operations = {
  [uapi.FUSE_GETATTR](server, request, ctx) {
    const node = server.nodes.get(request.nodeid);
    if (request.u32(fuse_getattr_in.getattr_flags) & uapi.FUSE_GETATTR_FH) {
      ctx.handle = server.files.get(request.u64(fuse_getattr_in.fh)).handle;
    }
    return after(
      server.fs.getattr(node, ctx),
      (stat) => stat ? server.putAttr(request, stat) : -E.ENOENT,
    );
  },

  [uapi.FUSE_STATX](server, request, ctx) {
    const node = server.nodes.get(request.nodeid);
    if (request.u32(fuse_statx_in.getattr_flags) & uapi.FUSE_GETATTR_FH) {
      ctx.handle = server.files.get(request.u64(fuse_statx_in.fh)).handle;
    }
    return after(server.fs.getattr(node, ctx), (stat) => {
      if (!stat) return -E.ENOENT;
      const { defaults, attrTtlMs } = server.options;
      const { attr_valid, attr_valid_nsec, stat: at } = fuse_statx_out;
      request.clear(at.offset);
      const ttlMs = stat.ttlMs ?? attrTtlMs;
      putTtl(request, attr_valid.offset, attr_valid_nsec.offset, ttlMs);
      writeStatx(request.outView, at.offset, stat, request.nodeid, defaults);
      return STATX_BYTES;
    });
  },

  [uapi.FUSE_SETATTR](server, request, ctx) {
    const { fs } = server;
    if (fs.setattr === undefined) return server.unwritable;
    const node = server.nodes.get(request.nodeid);
    const valid = request.u32(SET.valid);
    if (valid & uapi.FATTR_FH) {
      ctx.handle = server.files.get(request.u64(SET.fh)).handle;
    }
    ctx.clearSetuid = (valid & uapi.FATTR_KILL_SUIDGID) !== 0;
    const changes = changesOf(request, valid);
    return after(fs.setattr(node, changes, ctx), (stat) => {
      if (stat) return server.putAttr(request, stat);
      return after(
        fs.getattr(node, ctx),
        (stat) => stat ? server.putAttr(request, stat) : -E.ENOENT,
      );
    });
  },

  [uapi.FUSE_ACCESS](server, request, ctx) {
    const { fs } = server;
    if (fs.access === undefined) return -E.ENOSYS;
    const node = server.nodes.get(request.nodeid);
    return after(
      fs.access(node, request.u32(fuse_access_in.mask), ctx),
      nothing,
    );
  },

  [uapi.FUSE_STATFS](server, request, ctx) {
    const { fs } = server;
    const node = server.nodes.get(request.nodeid);
    return after(fs.statfs?.(node, ctx) ?? {}, (stat) => {
      const { bsize = 4096, namelen = 255 } = stat;
      request.clear(STATFS_BYTES);
      request.putU64(STATFS.blocks.offset, stat.blocks ?? 0);
      request.putU64(STATFS.bfree.offset, stat.bfree ?? 0);
      request.putU64(STATFS.bavail.offset, stat.bavail ?? stat.bfree ?? 0);
      request.putU64(STATFS.files.offset, stat.files ?? 0);
      request.putU64(STATFS.ffree.offset, stat.ffree ?? 0);
      const { outView } = request;
      outView.setUint32(STATFS.bsize.offset, bsize, true);
      outView.setUint32(STATFS.namelen.offset, namelen, true);
      outView.setUint32(STATFS.frsize.offset, stat.frsize ?? bsize, true);
      return STATFS_BYTES;
    });
  },

  [uapi.FUSE_GETXATTR](server, request, ctx) {
    const { fs } = server;
    if (fs.getxattr === undefined) return -E.ENOSYS;
    const size = request.u32(fuse_getxattr_in.size);
    request.skip(8);
    const node = server.nodes.get(request.nodeid);
    return after(
      fs.getxattr(node, request.name(), ctx),
      (value) =>
        value === null || value === undefined
          ? -E.ENODATA
          : sized(request, size, value),
    );
  },

  [uapi.FUSE_LISTXATTR](server, request, ctx) {
    const { fs } = server;
    if (fs.listxattr === undefined) return -E.ENOSYS;
    const size = request.u32(fuse_getxattr_in.size);
    const node = server.nodes.get(request.nodeid);
    return after(fs.listxattr(node, ctx), (names) => {
      const text = Array.from(names, (name) => `${name}\0`).join("");
      return sized(request, size, new TextEncoder().encode(text));
    });
  },

  [uapi.FUSE_SETXATTR](server, request, ctx) {
    const { fs } = server;
    if (fs.setxattr === undefined) return -E.ENOSYS;
    const size = request.u32(fuse_setxattr_in.size);
    const flags = request.u32(fuse_setxattr_in.flags);
    request.skip(SETXATTR_BYTES);
    const node = server.nodes.get(request.nodeid);
    const name = request.name();
    const value = request.data(size);
    return after(fs.setxattr(node, name, value, flags, ctx), nothing);
  },

  [uapi.FUSE_REMOVEXATTR](server, request, ctx) {
    const { fs } = server;
    if (fs.removexattr === undefined) return -E.ENOSYS;
    const node = server.nodes.get(request.nodeid);
    return after(fs.removexattr(node, request.name(), ctx), nothing);
  },
};

/** Answers with a value, or with its size if that was asked for. */
function sized(
  request: FuseRequest,
  size: number,
  value: Uint8Array,
): number {
  const byteLength = byteLengthOf(checkBytes("the answer", value));
  if (size === 0) {
    request.putU64(0, byteLength);
    return 8;
  }
  return byteLength > size ? -E.ERANGE : request.put(value, size);
}

/** Reads what a SETATTR is to change. */
function changesOf(request: FuseRequest, valid: number): Changes {
  const changes: Changes = {};
  if (valid & uapi.FATTR_MODE) changes.mode = request.u32(SET.mode) & 0o7777;
  if (valid & uapi.FATTR_UID) changes.uid = request.u32(SET.uid);
  if (valid & uapi.FATTR_GID) changes.gid = request.u32(SET.gid);
  if (valid & uapi.FATTR_SIZE) changes.size = request.u64(SET.size);
  const now = () => BigInt(Date.now()) * 1_000_000n;
  const time = (seconds: typeof SET.atime, nanoseconds: typeof SET.atimensec) =>
    BigInt.asIntN(64, request.big(seconds)) * 1_000_000_000n +
    BigInt(request.u32(nanoseconds));
  if (valid & uapi.FATTR_ATIME_NOW) changes.atime = now();
  else if (valid & uapi.FATTR_ATIME) {
    changes.atime = time(SET.atime, SET.atimensec);
  }
  if (valid & uapi.FATTR_MTIME_NOW) changes.mtime = now();
  else if (valid & uapi.FATTR_MTIME) {
    changes.mtime = time(SET.mtime, SET.mtimensec);
  }
  if (valid & uapi.FATTR_CTIME) changes.ctime = time(SET.ctime, SET.ctimensec);
  return changes;
}
