/** Sockets by plain system calls, for what is small and synchronous. */

import { syscall } from "./libc.ts";
import { scratch } from "./memory.ts";

/** The largest `struct sockaddr`: `sizeof(struct sockaddr_storage)`. */
export const SOCKADDR_MAX = 128;

/** The `struct sockaddr` of a socket's end, or `-errno`. */
export function socketName(
  fd: number,
  call: "getsockname" | "getpeername",
): Uint8Array | number {
  const { bytes, view, at } = scratch();
  view.setUint32(0, SOCKADDR_MAX, true);
  const rc = syscall(call, fd, at + 8, at);
  return rc < 0 ? rc : bytes.slice(8, 8 + view.getUint32(0, true));
}

/** The value of a socket option, or `-errno`. */
export function socketOption(
  fd: number,
  level: number,
  optname: number,
  byteLength: number,
): Uint8Array | number {
  const { bytes, view, at } = scratch();
  bytes.fill(0, 8, 8 + byteLength);
  view.setUint32(0, byteLength, true);
  const rc = syscall("getsockopt", fd, level, optname, at + 8, at);
  return rc < 0 ? rc : bytes.slice(8, 8 + view.getUint32(0, true));
}
