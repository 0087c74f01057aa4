/** Sockets by plain system calls, for what is small and synchronous. */

import { syscall } from "./libc.ts";
import { scratch } from "./scratch.ts";
import { SO_GET_FILTER, SOL_SOCKET } from "./uapi/socket.ts";

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

/**
 * Bytes in one of what the kernel counts an option's length in. A filter is
 * counted in `struct sock_filter`, in sk_get_filter(): with a length in bytes
 * the kernel would write eight times as much.
 */
export function optionUnit(level: number, optname: number): number {
  return level === SOL_SOCKET && optname === SO_GET_FILTER ? 8 : 1;
}

/** The value of a socket option, or `-errno`. */
export function socketOption(
  fd: number,
  level: number,
  optname: number,
  byteLength: number,
): Uint8Array | number {
  const { bytes, view, at } = scratch();
  const unit = optionUnit(level, optname);
  const length = Math.floor(byteLength / unit);
  bytes.fill(0, 8, 8 + byteLength);
  view.setUint32(0, length, true);
  const rc = syscall("getsockopt", fd, level, optname, at + 8, at);
  if (rc < 0) return rc;
  // Some options answer how long they are, although less was asked for.
  const given = Math.min(view.getUint32(0, true), length);
  return bytes.slice(8, 8 + given * unit);
}
