/** Operations on open files. */

import { E } from "../../../sys/uapi/errno.ts";
import { O_ACCMODE, O_RDONLY, O_TRUNC } from "../../../sys/uapi/fcntl.ts";
import * as uapi from "../../../sys/uapi/fuse.ts";
import { after } from "../awaitable.ts";
import type { Context } from "../context.ts";
import type { FuseRequest } from "../request.ts";
import type { Server } from "../server.ts";
import { clearsSetuid, nothing, type Operations } from "./operation.ts";

const { fuse_open_in, fuse_read_in: READ, fuse_write_in: WRITE } = uapi;
const { fuse_release_in, fuse_flush_in, fuse_fsync_in } = uapi;
const { fuse_fallocate_in, fuse_lseek_in } = uapi;
const { fuse_copy_file_range_in: COPY } = uapi;

export const files: Operations = {
  [uapi.FUSE_OPEN](server, request, ctx) {
    const { fs } = server;
    const flags = request.u32(fuse_open_in.flags);
    const writes = (flags & O_ACCMODE) !== O_RDONLY || (flags & O_TRUNC) !== 0;
    if (writes && fs.write === undefined) return -E.EROFS;
    const node = server.nodes.get(request.nodeid);
    ctx.flags = flags;
    ctx.clearSetuid = clearsSetuid(request, fuse_open_in.open_flags);
    if (fs.open === undefined) {
      return server.putOpen(request, 0, node, undefined, false);
    }
    return after(
      fs.open(node, flags, ctx),
      (handle) => server.putOpen(request, 0, node, handle, false),
    );
  },

  [uapi.FUSE_READ](server, request, ctx) {
    const { fs } = server;
    if (fs.read === undefined) return -E.ENOSYS;
    const file = server.files.get(request.u64(READ.fh));
    const size = request.u32(READ.size);
    ctx.handle = file.handle;
    ctx.offset = request.u64(READ.offset);
    ctx.flags = request.u32(READ.flags);
    const into = request.into(size);
    const result = fs.read(file.node, into, ctx);
    // Without a closure for each request.
    if (typeof result === "number") return counted(result, size);
    // The kernel takes a longer answer for an error of the server.
    return after(
      result,
      (result) =>
        typeof result === "number"
          ? counted(result, size)
          : request.put(result, size),
    );
  },

  [uapi.FUSE_WRITE](server, request, ctx) {
    const { fs } = server;
    if (fs.write === undefined) return -E.EROFS;
    const file = server.files.get(request.u64(WRITE.fh));
    const size = request.u32(WRITE.size);
    ctx.handle = file.handle;
    ctx.offset = request.u64(WRITE.offset);
    ctx.flags = request.u32(WRITE.flags);
    ctx.clearSetuid = (request.u32(WRITE.write_flags) &
      uapi.FUSE_WRITE_KILL_SUIDGID) !== 0;
    request.skip(40);
    const result = fs.write(file.node, request.data(size), ctx);
    if (result === undefined) return written(request, size);
    return after(
      result,
      (result) => written(request, counted(result ?? size, size)),
    );
  },

  [uapi.FUSE_FLUSH](server, request, ctx) {
    const { fs } = server;
    if (fs.flush === undefined) return -E.ENOSYS;
    const file = server.files.get(request.u64(fuse_flush_in.fh));
    ctx.handle = file.handle;
    return after(fs.flush(file.node, ctx), nothing);
  },

  [uapi.FUSE_RELEASE](server, request, ctx) {
    const { fs } = server;
    const file = server.take(request.u64(fuse_release_in.fh));
    ctx.handle = file.handle;
    ctx.flags = request.u32(fuse_release_in.flags);
    return after(fs.release?.(file.node, ctx), nothing);
  },

  [uapi.FUSE_FSYNC](server, request, ctx) {
    const { fs } = server;
    if (fs.fsync === undefined) return -E.ENOSYS;
    const file = server.files.get(request.u64(fuse_fsync_in.fh));
    ctx.handle = file.handle;
    const dataOnly = (request.u32(fuse_fsync_in.fsync_flags) &
      uapi.FUSE_FSYNC_FDATASYNC) !== 0;
    return after(fs.fsync(file.node, dataOnly, ctx), nothing);
  },

  [uapi.FUSE_FALLOCATE](server, request, ctx) {
    const { fs } = server;
    if (fs.fallocate === undefined) return -E.ENOSYS;
    const file = server.files.get(request.u64(fuse_fallocate_in.fh));
    const mode = request.u32(fuse_fallocate_in.mode);
    const offset = request.u64(fuse_fallocate_in.offset);
    const length = request.u64(fuse_fallocate_in.length);
    ctx.handle = file.handle;
    return after(fs.fallocate(file.node, mode, offset, length, ctx), nothing);
  },

  [uapi.FUSE_LSEEK](server, request, ctx) {
    const { fs } = server;
    if (fs.lseek === undefined) return -E.ENOSYS;
    const file = server.files.get(request.u64(fuse_lseek_in.fh));
    const whence = request.u32(fuse_lseek_in.whence);
    const offset = request.u64(fuse_lseek_in.offset);
    ctx.handle = file.handle;
    return after(fs.lseek(file.node, offset, whence, ctx), (found) => {
      request.putU64(0, counted(found, Number.MAX_SAFE_INTEGER));
      return 8;
    });
  },

  [uapi.FUSE_COPY_FILE_RANGE](server, request, ctx) {
    return copy(server, request, ctx, (copied) => written(request, copied));
  },

  [uapi.FUSE_COPY_FILE_RANGE_64](server, request, ctx) {
    return copy(server, request, ctx, (copied) => {
      request.putU64(0, copied);
      return 8;
    });
  },
};

/** Writes the reply with a number of bytes. */
function written(request: FuseRequest, byteLength: number): number {
  request.putU64(0, byteLength);
  return 8;
}

/** Checks a number of bytes that a handler returned. */
function counted(result: number, most: number): number {
  if (Number.isInteger(result) && result >= 0 && result <= most) return result;
  throw new RangeError(
    `the handler returned ${result}. It returns a number of bytes, at most ${most}`,
  );
}

function copy(
  server: Server,
  request: FuseRequest,
  ctx: Context,
  reply: (copied: number) => number,
) {
  const { fs } = server;
  // The kernel then reads and writes: fuse_copy_file_range().
  if (fs.copyFileRange === undefined) return -E.ENOSYS;
  const from = server.files.get(request.u64(COPY.fh_in));
  const { node, handle } = server.files.get(request.u64(COPY.fh_out));
  const offset = request.u64(COPY.off_out);
  const length = request.u64(COPY.len);
  ctx.handle = from.handle;
  ctx.offset = request.u64(COPY.off_in);
  const to = { node, offset, handle };
  return after(
    fs.copyFileRange(from.node, to, length, ctx),
    (copied) => reply(counted(copied, length)),
  );
}
