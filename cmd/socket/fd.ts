/** Finds the descriptor of a socket that Deno or Node holds. */

import { SOCK_DGRAM, SOCK_STREAM } from "../../sys/uapi/socket.ts";
import { checkList, checkObject, checkString } from "../../ring/check.ts";
import { shown } from "../../ring/check.ts";
import { encodeSockaddr } from "../sockaddr.ts";
import { cookieOf, keyOf, listSockets, type Looks } from "./find.ts";
import { matching, pathKey, type Sockets } from "./find.ts";

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

/** A socket that was found for an object. */
interface Found {
  readonly fd: number;
  readonly cookie: string;
  readonly looks: Looks;
}

/** The sockets of objects that were asked about. */
const found = new WeakMap<SocketLike, Found>();
/** The sockets of the last look. */
let last: Sockets = new Map();

/**
 * Returns the descriptor of an open `Deno.Conn`, `Deno.Listener`,
 * `Deno.DatagramConn` or `node:net` socket, which Deno keeps to itself.
 *
 * It looks for the socket of this process that has the same type and addresses,
 * and needs /proc for that. A look lists all sockets of the process: that takes
 * about 2 ms with 40 of them, and 60 ms with 2,000. A TCP connection that the last
 * look has listed, and an object that was found before, take some microseconds.
 * {@linkcode socketFds} takes one look for many.
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
  const before = found.get(conn);
  if (
    before !== undefined && isSame(before.looks, looks) &&
    cookieOf(before.fd) === before.cookie
  ) return before.fd;
  if (looks.connection) {
    const there = matching(last, looks);
    if (there.length === 1) return keep(conn, looks, there[0]);
  }
  last = listSockets();
  return keep(conn, looks, theOne(last, looks));
}

/**
 * Returns the descriptors of many sockets, as {@linkcode socketFd} does of one, with
 * one look for all.
 *
 * @example Unread bytes of all connections
 * ```ts
 * import { Ring } from "@uring/cmd";
 * import { siocinq, socketFds } from "@uring/cmd/socket";
 *
 * using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * const { port } = listener.addr;
 * const conns = await Promise.all([1, 2, 3].map(() => Deno.connect({ port })));
 *
 * await using ring = Ring.open();
 * const fds = socketFds(conns);
 * console.log(await ring.cmdAll(fds.map((fd) => siocinq(fd))));
 * for (const conn of conns) conn.close();
 * ```
 *
 * @throws {Error} as {@linkcode socketFd} does, for the first that is not found.
 */
export function socketFds(conns: readonly SocketLike[]): number[] {
  const list = checkList("conns", conns);
  const all = Array.from(list, looksOf);
  last = listSockets();
  return all.map((looks, i) => keep(list[i], looks, theOne(last, looks)));
}

function isSame(a: Looks, b: Looks): boolean {
  return a.local === b.local && a.remote === b.remote && a.type === b.type &&
    a.listens === b.listens;
}

function keep(conn: SocketLike, looks: Looks, fd: number): number {
  found.set(conn, { fd, cookie: cookieOf(fd), looks });
  return fd;
}

/** Returns the only socket that looks so. */
function theOne(sockets: Sockets, looks: Looks): number {
  const candidates = matching(sockets, looks);
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
    const connection = localAddr.transport === "tcp";
    const type = typeOf(localAddr);
    return { local, remote, type, listens: false, connection };
  }
  if ("addr" in conn) {
    const { addr } = conn;
    const local = addressKey("addr", addr);
    const type = typeOf(addr);
    const listens = type === SOCK_STREAM;
    return { local, remote: null, type, listens, connection: false };
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
  const type = SOCK_STREAM;
  return { local, remote, type, listens: false, connection: true };
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

/** Returns an address as text that does not depend on how it was written. */
function ipKey(hostname: string, port: number): string {
  const [ip] = checkString("hostname", hostname).split("%"); // No scope.
  return keyOf(encodeSockaddr({ hostname: ip, port }));
}
