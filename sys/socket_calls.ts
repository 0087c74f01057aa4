/** Small, synchronous operations on sockets, by plain system calls. */

import { syscall } from "./libc.ts";
import { sizeof } from "./struct.ts";
import { scratch, scratchCopy } from "./scratch.ts";
import { AF_UNIX, ifreq, SIOCGIFINDEX, SO_GET_FILTER } from "./uapi/socket.ts";
import { SOCK_CLOEXEC, SOCK_DGRAM, SOL_SOCKET } from "./uapi/socket.ts";

/** Bytes of the largest `struct sockaddr`: `sizeof(struct sockaddr_storage)`. */
export const SOCKADDR_MAX = 128;

/** Returns the `struct sockaddr` of one end of a socket, or `-errno`. */
export function socketName(
  fd: number,
  call: "getsockname" | "getpeername",
): Uint8Array | number {
  const { view, at } = scratch();
  view.setUint32(0, SOCKADDR_MAX, true);
  const rc = syscall(call, fd, at + 8, at);
  return rc < 0 ? rc : scratchCopy(8, 8 + view.getUint32(0, true));
}

/**
 * Returns the bytes in one unit of an option's length. It is 1, except for
 * SO_GET_FILTER: sk_get_filter() counts in `struct sock_filter` of 8 bytes, and
 * with a length in bytes it would write eight times as much.
 */
export function optionUnit(level: number, optname: number): number {
  return level === SOL_SOCKET && optname === SO_GET_FILTER ? 8 : 1;
}

/** The options whose value holds an address: the level, then the options. */
const ADDRESSED: readonly (readonly number[])[] = [
  [0, 64, 96, 128, 129], // {IPT,ARPT}_SO_SET_REPLACE, EBT_SO_SET_*
  [SOL_SOCKET, SO_GET_FILTER, 51], // SO_ATTACH_FILTER, _REUSEPORT_CBPF
  [41, 64], // IP6T_SO_SET_REPLACE
  [263, 22], // PACKET_FANOUT_DATA
  [276, 2, 7], // RDS_GET_MR, RDS_GET_MR_FOR_DEST
  [283, 4], // XDP_UMEM_REG
];

/**
 * Returns `true` if the value of an option to set is known to hold an address,
 * with which the kernel reads or writes memory that no command has.
 */
export function holdsAddress(level: number, optname: number): boolean {
  const options = ADDRESSED.find(([at]) => at === level);
  return options !== undefined && options.includes(optname, 1);
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
  return scratchCopy(8, 8 + given * unit);
}

/**
 * Returns the index of a network interface; 0 if none has the name, `-errno` if there
 * is no descriptor to ask with.
 */
export function interfaceIndex(name: string): number {
  const encoded = new TextEncoder().encode(name);
  // The kernel would cut off a longer name, and take the rest for all of it.
  if (encoded.length >= ifreq.ifr_name.size || encoded.includes(0)) return 0;
  const fd = syscall("socket", AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fd;
  const { bytes, view, at } = scratch();
  bytes.fill(0, 0, sizeof(ifreq));
  bytes.set(encoded);
  const rc = syscall("ioctl", fd, SIOCGIFINDEX, at);
  syscall("close", fd);
  return rc < 0 ? 0 : ifreq.ifr_ifindex.get(view, 0);
}
