/** Operations on names: they find, make, move and remove files. */

import { E } from "../../../sys/uapi/errno.ts";
import * as uapi from "../../../sys/uapi/fuse.ts";
import { after } from "../awaitable.ts";
import type { Context } from "../context.ts";
import type { Entry, OpenedEntry } from "../nodes.ts";
import type { FuseRequest } from "../request.ts";
import { type AnyNode, ENTRY_BYTES, type Server } from "../server.ts";
import { clearsSetuid, nothing, type Operations } from "./operation.ts";

const { fuse_mknod_in, fuse_mkdir_in, fuse_rename_in, fuse_rename2_in } = uapi;
const { fuse_link_in, fuse_create_in } = uapi;

export const entries: Operations = {
  [uapi.FUSE_LOOKUP](server, request, ctx) {
    const parent = server.nodes.get(request.nodeid);
    return after(
      server.fs.lookup(parent, request.name(), ctx),
      (entry) =>
        entry ? server.putEntry(request, entry) : server.putNoEntry(request),
    );
  },

  [uapi.FUSE_MKNOD](server, request, ctx) {
    const { fs } = server;
    if (fs.mknod === undefined) return server.unwritable;
    const mode = request.u32(fuse_mknod_in.mode);
    const rdev = request.u32(fuse_mknod_in.rdev);
    ctx.umask = request.u32(fuse_mknod_in.umask);
    request.skip(16);
    const parent = server.nodes.get(request.nodeid);
    const made = fs.mknod(parent, request.name(), mode, rdev, ctx);
    return after(made, (entry) => server.putEntry(request, entry));
  },

  [uapi.FUSE_MKDIR](server, request, ctx) {
    const { fs } = server;
    if (fs.mkdir === undefined) return server.unwritable;
    const mode = request.u32(fuse_mkdir_in.mode);
    ctx.umask = request.u32(fuse_mkdir_in.umask);
    request.skip(8);
    const parent = server.nodes.get(request.nodeid);
    const made = fs.mkdir(parent, request.name(), mode & 0o7777, ctx);
    return after(made, (entry) => server.putEntry(request, entry));
  },

  [uapi.FUSE_SYMLINK](server, request, ctx) {
    const { fs } = server;
    if (fs.symlink === undefined) return server.unwritable;
    const parent = server.nodes.get(request.nodeid);
    const name = request.name();
    const made = fs.symlink(parent, name, request.name(), ctx);
    return after(made, (entry) => server.putEntry(request, entry));
  },

  [uapi.FUSE_READLINK](server, request, ctx) {
    const { fs } = server;
    if (fs.readlink === undefined) return -E.ENOSYS;
    const node = server.nodes.get(request.nodeid);
    return after(fs.readlink(node, ctx), (target) => {
      if (typeof target === "string" && !target.includes("\0")) {
        return request.putText(target);
      }
      throw new TypeError("the target of a link is a text without zero bytes");
    });
  },

  [uapi.FUSE_LINK](server, request, ctx) {
    const { fs } = server;
    if (fs.link === undefined) {
      // As a filesystem without hard links, which `ln` and git know.
      return fs.write === undefined ? -E.EROFS : -E.EPERM;
    }
    const node = server.nodes.get(request.u64(fuse_link_in.oldnodeid));
    request.skip(8);
    const parent = server.nodes.get(request.nodeid);
    const made = fs.link(node, parent, request.name(), ctx);
    return after(made, (entry) => server.putEntry(request, entry));
  },

  [uapi.FUSE_UNLINK](server, request, ctx) {
    const { fs } = server;
    if (fs.unlink === undefined) return server.unwritable;
    const parent = server.nodes.get(request.nodeid);
    return after(fs.unlink(parent, request.name(), ctx), nothing);
  },

  [uapi.FUSE_RMDIR](server, request, ctx) {
    const { fs } = server;
    if (fs.rmdir === undefined) return server.unwritable;
    const parent = server.nodes.get(request.nodeid);
    return after(fs.rmdir(parent, request.name(), ctx), nothing);
  },

  [uapi.FUSE_RENAME](server, request, ctx) {
    const newParent = request.u64(fuse_rename_in.newdir);
    request.skip(8);
    return rename(server, request, newParent, 0, ctx);
  },

  [uapi.FUSE_RENAME2](server, request, ctx) {
    const newParent = request.u64(fuse_rename2_in.newdir);
    const flags = request.u32(fuse_rename2_in.flags);
    request.skip(16);
    return rename(server, request, newParent, flags, ctx);
  },

  [uapi.FUSE_CREATE](server, request, ctx) {
    const { fs } = server;
    // The kernel then makes the file with MKNOD, and opens it: fuse_atomic_open().
    if (fs.create === undefined) {
      return fs.mknod === undefined ? server.unwritable : -E.ENOSYS;
    }
    const flags = request.u32(fuse_create_in.flags);
    const mode = request.u32(fuse_create_in.mode);
    ctx.umask = request.u32(fuse_create_in.umask);
    ctx.clearSetuid = clearsSetuid(request, fuse_create_in.open_flags);
    request.skip(16);
    const parent = server.nodes.get(request.nodeid);
    const made = fs.create(parent, request.name(), mode & 0o7777, flags, ctx);
    return after(made, (entry) => opened(server, request, entry));
  },

  [uapi.FUSE_TMPFILE](server, request, ctx) {
    const { fs } = server;
    // The kernel answers ENOSYS as EOPNOTSUPP: fuse_tmpfile().
    if (fs.tmpfile === undefined) return -E.ENOSYS;
    const flags = request.u32(fuse_create_in.flags);
    const mode = request.u32(fuse_create_in.mode);
    ctx.umask = request.u32(fuse_create_in.umask);
    const parent = server.nodes.get(request.nodeid);
    const made = fs.tmpfile(parent, mode & 0o7777, flags, ctx);
    return after(made, (entry) => opened(server, request, entry));
  },
};

function rename(
  server: Server,
  request: FuseRequest,
  newParent: number,
  flags: number,
  ctx: Context,
) {
  const { fs } = server;
  if (fs.rename === undefined) return server.unwritable;
  const from = server.nodes.get(request.nodeid);
  const to = server.nodes.get(newParent);
  const name = request.name();
  return after(
    fs.rename(from, name, to, request.name(), flags, ctx),
    nothing,
  );
}

/** Writes the reply that names a file and opens it. */
function opened(
  server: Server,
  request: FuseRequest,
  entry: OpenedEntry<AnyNode, unknown>,
): number {
  const { node, handle } = entry;
  const end = server.putOpen(request, ENTRY_BYTES, node, handle, false);
  try {
    server.putEntry(request, entry satisfies Entry<AnyNode>);
  } catch (error) {
    server.undoOpen(request, ENTRY_BYTES);
    throw error;
  }
  return end;
}
