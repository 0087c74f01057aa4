/** Small, synchronous operations on sockets, by plain system calls. */

import { syscall } from "./libc.ts";
import { scratch } from "./scratch.ts";
import { SO_GET_FILTER, SOL_SOCKET } from "./uapi/socket.ts";

/** Bytes of the largest `struct sockaddr`: `sizeof(struct sockaddr_storage)`. */
export const SOCKADDR_MAX = 128;

/** Returns the `struct sockaddr` of one end of a socket, or `-errno`. */
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
 * Returns the bytes in one unit of an option's length. It is 1, except for
 * SO_GET_FILTER: sk_get_filter() counts in `struct sock_filter` of 8 bytes, and
 * with a length in bytes it would write eight times as much.
 */
export function optionUnit(level: number, optname: number): number {
  return level === SOL_SOCKET && optname === SO_GET_FILTER ? 8 : 1;
}

/** Returns the value of a socket option, or `-errno`. */
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
  // Some options return their full length, although less was asked for.
  const given = Math.min(view.getUint32(0, true), length);
  return bytes.slice(8, 8 + given * unit);
}
