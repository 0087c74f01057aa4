/** Finds the descriptor of a socket that Deno or Node holds. */

import { SO_ACCEPTCONN, SO_COOKIE, SO_TYPE } from "../../sys/uapi/socket.ts";
import { SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET } from "../../sys/uapi/socket.ts";
import { sockaddr_in6 } from "../../sys/uapi/socket.ts";
import { openDescriptors } from "../../sys/file.ts";
import { socketName, socketOption } from "../../sys/socket_calls.ts";
import { E } from "../../sys/uapi/errno.ts";
import { checkObject, checkString, shown } from "../../ring/check.ts";
import { generalAdvice, UringError } from "../../ring/errors.ts";
import { partOf } from "../../ring/intrinsics.ts";
import { decodeSockaddr, encodeSockaddr } from "../sockaddr.ts";

/** An object with the addresses of a socket, for {@linkcode socketFd}. */
export type SocketLike =
  | { readonly localAddr: Deno.Addr; readonly remoteAddr: Deno.Addr }
  | { readonly addr: Deno.Addr }
  | {
    readonly localAddress?: string;
    readonly localPort?: number;
    readonly remoteAddress?: string;
    readonly remotePort?: number;
  };

/** The facts that a socket is recognised by. */
interface Looks {
  readonly local: string;
  /** The address of the peer; `null` matches any, or none. */
  readonly remote: string | null;
  /** `SOCK_STREAM` or `SOCK_DGRAM`. */
  readonly type: number;
  readonly listens: boolean;
}

/**
 * Returns the descriptor of an open `Deno.Conn`, `Deno.Listener`,
 * `Deno.DatagramConn` or `node:net` socket, which Deno keeps to itself.
 *
 * It looks for the socket of this process that has the same type and addresses,
 * and needs /proc for that. Look once for each socket and keep the descriptor:
 * the search takes about 1 ms with 20 sockets open, and 30 ms with 2,000.
 *
 * The descriptor still belongs to the object. Do not close it, and do not use
 * it after the object was closed, because its number may then be another
 * file's.
 *
 * @example The ends of a connection, and the listener
 * ```ts
 * import { socketFd } from "@uring/cmd/socket";
 *
 * using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * using conn = await Deno.connect({ port: listener.addr.port });
 * using peer = await listener.accept();
 * console.log(socketFd(conn), socketFd(peer), socketFd(listener));
 * ```
 *
 * @example The connection of a request to Deno.serve, by its addresses
 * ```ts
 * import { socketFd } from "@uring/cmd/socket";
 *
 * const hostname = "127.0.0.1";
 * const server: Deno.HttpServer<Deno.NetAddr> = Deno.serve(
 *   { hostname, port: 0 },
 *   (_request, { remoteAddr }) =>
 *     new Response(`${socketFd({ localAddr: server.addr, remoteAddr })}`),
 * );
 * const response = await fetch(`http://${hostname}:${server.addr.port}`);
 * console.log(await response.text());
 * await server.shutdown();
 * ```
 *
 * @throws {Error} when no socket has these addresses, because it was closed, or
 * when several have. Only its path tells a Unix socket from another, so that
 * several connections to one path cannot be told apart.
 */
export function socketFd(conn: SocketLike): number {
  const looks = looksOf(conn);
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
  /** The lowest descriptor of each socket, which may have duplicates. */
  const found = new Map<string, number>();
  for (const fd of fds.sort((a, b) => a - b)) {
    if (!matches(fd, looks)) continue;
    const cookie = String(socketOption(fd, SOL_SOCKET, SO_COOKIE, 8));
    if (!found.has(cookie)) found.set(cookie, fd);
  }
  const candidates = [...found.values()];
  if (candidates.length === 1) return candidates[0];
  const text = `${looks.local}${looks.remote ? ` to ${looks.remote}` : ""}`;
  if (candidates.length === 0) {
    throw new Error(
      `no open socket is ${text}. It was closed, or its peer reset it`,
    );
  }
  throw new Error(
    `the sockets ${candidates.join(", ")} are all ${text}, and nothing tells ` +
      "them apart. Give each end a path or port of its own, or make the " +
      "socket with the operations of ./op, which return its descriptor",
  );
}

function looksOf(conn: SocketLike): Looks {
  checkObject("conn", conn);
  if ("localAddr" in conn) {
    const { localAddr, remoteAddr } = conn;
    const local = addressKey("localAddr", localAddr);
    const remote = addressKey("remoteAddr", remoteAddr);
    return { local, remote, type: typeOf(localAddr), listens: false };
  }
  if ("addr" in conn) {
    const { addr } = conn;
    const local = addressKey("addr", addr);
    const type = typeOf(addr);
    return { local, remote: null, type, listens: type === SOCK_STREAM };
  }
  const { localAddress, localPort, remoteAddress, remotePort } = conn;
  if (localAddress === undefined || remoteAddress === undefined) {
    throw new TypeError(
      "the object has no addresses: it is not connected, or is a node:net " +
        "socket on a Unix path. For a node:net server or a node:dgram " +
        "socket, pass { addr: { transport, hostname, port } }",
    );
  }
  const local = ipKey(localAddress, localPort ?? 0);
  const remote = ipKey(remoteAddress, remotePort ?? 0);
  return { local, remote, type: SOCK_STREAM, listens: false };
}

function matches(fd: number, looks: Looks): boolean {
  const local = socketName(fd, "getsockname");
  if (typeof local === "number" || keyOf(local) !== looks.local) return false;
  if (byteOf(fd, SO_TYPE) !== looks.type) return false;
  if (byteOf(fd, SO_ACCEPTCONN) !== (looks.listens ? 1 : 0)) return false;
  if (looks.remote === null) return true;
  const remote = socketName(fd, "getpeername");
  return typeof remote !== "number" && keyOf(remote) === looks.remote;
}

/** Returns the first byte of an option, or `-errno`. */
function byteOf(fd: number, optname: number): number {
  const value = socketOption(fd, SOL_SOCKET, optname, 4);
  return typeof value === "number" ? value : value[0];
}

function typeOf({ transport }: Deno.Addr): number {
  return transport === "tcp" || transport === "unix" ? SOCK_STREAM : SOCK_DGRAM;
}

function addressKey(name: string, address: Deno.Addr): string {
  checkObject(name, address);
  if ("path" in address) {
    const { path } = address; // `null` for an unnamed socket, in Deno.
    return pathKey(path === null ? path : checkString("path", path));
  }
  if ("hostname" in address) return ipKey(address.hostname, address.port);
  const { transport } = address;
  throw new TypeError(
    `${name}.transport must be one of tcp, udp, unix, unixpacket, not ` +
      shown(transport),
  );
}

function pathKey(path: string | null): string {
  return path ? `unix ${JSON.stringify(path)}` : "an unnamed Unix socket";
}

/** Returns an address as text that does not depend on how it was written. */
function ipKey(hostname: string, port: number): string {
  const [ip] = checkString("hostname", hostname).split("%"); // No scope.
  return keyOf(encodeSockaddr({ hostname: ip, port }));
}

function keyOf(sockaddr: Uint8Array): string {
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
