/** Finds a socket of this process by its type and addresses. */

import { SO_ACCEPTCONN, SO_COOKIE, SO_TYPE } from "../../sys/uapi/socket.ts";
import {
  AF_INET,
  sockaddr_in,
  sockaddr_in6,
  SOL_SOCKET,
} from "../../sys/uapi/socket.ts";
import { openDescriptors } from "../../sys/file.ts";
import { socketName, socketOption } from "../../sys/socket_calls.ts";
import { sizeof } from "../../sys/struct.ts";
import { E } from "../../sys/uapi/errno.ts";
import { generalAdvice, UringError } from "../../ring/errors.ts";
import { partOf } from "../../ring/intrinsics.ts";
import { decodeSockaddr } from "../sockaddr.ts";

/** The facts that a socket is recognised by. */
export interface Looks {
  readonly local: string;
  /** The address of the peer; `null` matches any, or none. */
  readonly remote: string | null;
  /** `SOCK_STREAM` or `SOCK_DGRAM`. */
  readonly type: number;
  readonly listens: boolean;
  /** `true` for a TCP connection: no two of them have the same two ends. */
  readonly connection: boolean;
}

/** Descriptors of one moment, in ascending order, by {@linkcode placeOf}. */
export type Sockets = Map<string, number[]>;

/** Returns what sockets are listed by: an address, or that of both ends. */
function placeOf(local: string, remote: string | null): string {
  return remote === null ? local : `${local} to ${remote}`;
}

/** Lists the sockets of this process: by their address, and by that of both ends. */
export function listSockets(): Sockets {
  const fds = openDescriptors();
  if (typeof fds === "number") {
    if (fds !== -E.ENOENT) {
      const call = 'openat "/proc/self/fd"';
      throw new UringError(call, -1, -fds, generalAdvice(-fds));
    }
    throw new Error(
      "socketFd() reads /proc/self/fd, which is not there. Mount /proc, or " +
        "make the socket with ./op, whose operations return its descriptor",
    );
  }
  const sockets: Sockets = new Map();
  const add = (place: string, fd: number) => {
    const list = sockets.get(place);
    if (list === undefined) sockets.set(place, [fd]);
    else list[list.length] = fd;
  };
  for (const fd of fds.sort((a, b) => a - b)) {
    const local = socketName(fd, "getsockname");
    if (typeof local === "number") continue;
    const key = keyOf(local);
    add(key, fd);
    const remote = socketName(fd, "getpeername");
    if (typeof remote !== "number") add(placeOf(key, keyOf(remote)), fd);
  }
  return sockets;
}

/**
 * Returns the descriptors of the sockets in a list that still look so: the lowest of
 * each socket, which may have duplicates.
 */
export function matching(sockets: Sockets, looks: Looks): number[] {
  const there = sockets.get(placeOf(looks.local, looks.remote)) ?? [];
  const fds = there.filter((fd) => matches(fd, looks));
  if (fds.length < 2) return fds;
  const lowest = new Map<string, number>();
  for (const fd of fds.reverse()) lowest.set(cookieOf(fd), fd);
  return [...lowest.values()].sort((a, b) => a - b);
}

/** Returns the number of a socket, which no other gets; "" if it is none. */
export function cookieOf(fd: number): string {
  const cookie = socketOption(fd, SOL_SOCKET, SO_COOKIE, 8);
  return typeof cookie === "number" ? "" : cookie.join();
}

function matches(fd: number, looks: Looks): boolean {
  const local = socketName(fd, "getsockname");
  if (typeof local === "number" || keyOf(local) !== looks.local) return false;
  if (byteOf(fd, SO_TYPE) !== looks.type) return false;
  if (looks.remote === null) {
    return byteOf(fd, SO_ACCEPTCONN) === (looks.listens ? 1 : 0);
  }
  const remote = socketName(fd, "getpeername");
  return typeof remote !== "number" && keyOf(remote) === looks.remote;
}

/** Returns the first byte of an option, or `-errno`. */
function byteOf(fd: number, optname: number): number {
  const value = socketOption(fd, SOL_SOCKET, optname, 4);
  return typeof value === "number" ? value : value[0];
}

/** Returns a path as text for {@linkcode Looks}. */
export function pathKey(path: string | null): string {
  return path ? `unix ${JSON.stringify(path)}` : "an unnamed Unix socket";
}

/** Returns an address as text that does not depend on how it was written. */
export function keyOf(sockaddr: Uint8Array): string {
  if (sockaddr.length === sizeof(sockaddr_in) && sockaddr[0] === AF_INET) {
    const port = sockaddr[2] * 256 + sockaddr[3];
    return `${partOf(sockaddr, 4, 8).join(".")} port ${port}`;
  }
  let address;
  try {
    address = decodeSockaddr(sockaddr);
  } catch {
    return "of another family";
  }
  if ("path" in address) return pathKey(address.path);
  const { port } = address;
  const [hostname] = address.hostname.split("%");
  // ::ffff:a.b.c.d of an IPv6 socket is the IPv4 address a.b.c.d.
  const isMapped = /^::ffff:[^:]+:[^:]+$/.test(hostname);
  const at = sockaddr_in6.sin6_addr.offset + 12;
  const ip = isMapped ? partOf(sockaddr, at, at + 4).join(".") : hostname;
  return `${ip} port ${port}`;
}
