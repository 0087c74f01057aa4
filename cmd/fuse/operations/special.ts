/** Locks, ioctls and polls. */

import { E } from "../../../sys/uapi/errno.ts";
import { F_RDLCK, F_UNLCK, F_WRLCK } from "../../../sys/uapi/fcntl.ts";
import * as uapi from "../../../sys/uapi/fuse.ts";
import { after, type Awaitable } from "../awaitable.ts";
import type { Context } from "../context.ts";
import type { LockRequest } from "../nodes.ts";
import { pollMessage } from "../notifications.ts";
import type { FuseRequest } from "../request.ts";
import type { Server } from "../server.ts";
import type { Operations } from "./operation.ts";

const { fuse_lk_in: LK, fuse_file_lock: LOCK } = uapi;
const { fuse_ioctl_in: IOCTL, fuse_poll_in: POLL } = uapi;
const { fuse_ioctl_out } = uapi;
const LOCK_BYTES = 24;
const IOCTL_BYTES = 16;

export const special: Operations = {
  [uapi.FUSE_GETLK]: (server, request, ctx) =>
    lock(server, request, ctx, "test"),
  [uapi.FUSE_SETLK]: (server, request, ctx) =>
    lock(server, request, ctx, "set"),
  [uapi.FUSE_SETLKW]: (server, request, ctx) =>
    lock(server, request, ctx, "wait"),

  [uapi.FUSE_IOCTL](server, request, ctx) {
    const { fs } = server;
    if (fs.ioctl === undefined) return -E.ENOSYS;
    const file = server.files.get(request.u64(IOCTL.fh));
    const command = request.u32(IOCTL.cmd);
    const argument = request.big(IOCTL.arg);
    const outputSize = request.u32(IOCTL.out_size);
    const length = request.u32(IOCTL.in_size);
    request.skip(32);
    const input = request.data(length);
    ctx.handle = file.handle;
    const asked = { command, argument, input, outputSize };
    return after(fs.ioctl(file.node, asked, ctx), (answer) => {
      const { result = 0, output } = typeof answer === "object"
        ? answer
        : { result: answer ?? 0 };
      // Before the head, which may be written over the input.
      const byteLength = output === undefined
        ? 0
        : request.put(output, outputSize, IOCTL_BYTES);
      request.clear(IOCTL_BYTES);
      request.outView.setInt32(fuse_ioctl_out.result.offset, result, true);
      return IOCTL_BYTES + byteLength;
    });
  },

  [uapi.FUSE_POLL](server, request, ctx) {
    const { fs } = server;
    if (fs.poll === undefined) return -E.ENOSYS;
    const file = server.files.get(request.u64(POLL.fh));
    const events = request.u32(POLL.events);
    const flags = request.u32(POLL.flags);
    const key = request.big(POLL.kh);
    const wake = flags & uapi.FUSE_POLL_SCHEDULE_NOTIFY
      ? () => void server.notify(pollMessage(key))
      : null;
    ctx.handle = file.handle;
    return after(fs.poll(file.node, events, wake, ctx), (ready) => {
      request.putU64(0, ready);
      return 8;
    });
  },
};

const TYPES = [
  ["read", F_RDLCK],
  ["write", F_WRLCK],
  ["none", F_UNLCK],
] as const;

function lock(
  server: Server,
  request: FuseRequest,
  ctx: Context,
  action: LockRequest["action"],
): Awaitable<number> {
  const { fs } = server;
  if (fs.lock === undefined) return -E.ENOSYS;
  const file = server.files.get(request.u64(LK.fh));
  ctx.handle = file.handle;
  const field = (part: { offset: number }) =>
    ({ offset: LK.lk.offset + part.offset }) as typeof LOCK.start;
  const number = request.u32(field(LOCK.type));
  const asked: LockRequest = {
    action,
    type: TYPES.find(([, value]) => value === number)?.[0] ?? "none",
    start: request.big(field(LOCK.start)),
    end: request.big(field(LOCK.end)),
    pid: request.u32(field(LOCK.pid)),
    owner: request.big(LK.owner),
    flock: (request.u32(LK.lk_flags) & uapi.FUSE_LK_FLOCK) !== 0,
  };
  return after(fs.lock(file.node, asked, ctx), (found) => {
    if (action !== "test") return 0;
    const { start, end, type, pid } = found ?? { ...asked, type: "none" };
    const value = TYPES.find(([name]) => name === type)?.[1] ?? F_UNLCK;
    request.putU64(LOCK.start.offset, start);
    request.putU64(LOCK.end.offset, end);
    request.outView.setUint32(LOCK.type.offset, value, true);
    request.outView.setUint32(LOCK.pid.offset, pid, true);
    return LOCK_BYTES;
  });
}
