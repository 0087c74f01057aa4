import {
  SO_ACCEPTCONN,
  SO_COOKIE,
  SO_TYPE,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../../sys/uapi/socket.ts";
import { openDescriptors } from "../../sys/file.ts";
import { socketName, socketOption } from "../../sys/socket_calls.ts";
import { checkObject, checkString, shown } from "../../ring/check.ts";
import { decodeSockaddr, encodeSockaddr } from "../sockaddr.ts";

/** What {@linkcode socketFd} can find: by the addresses that it tells. */
export type SocketLike =
  | { readonly localAddr: Deno.Addr; readonly remoteAddr: Deno.Addr }
  | { readonly addr: Deno.Addr }
  | {
    readonly localAddress?: string;
    readonly localPort?: number;
    readonly remoteAddress?: string;
    readonly remotePort?: number;
  };

/** How a socket looks from outside. */
interface Looks {
  local: string;
  /** `null` where the object does not say, or has no peer. */
  remote: string | null;
  type: number;
  listens: boolean;
}

/**
 * The descriptor behind a live `Deno.Conn`, `Deno.Listener`,
 * `Deno.DatagramConn` or `node:net` socket.
 *
 * Deno does not tell descriptors. This looks for the socket of this process that
 * has the same type and addresses, which takes some microseconds and needs
 * /proc. The descriptor stays the object's: do not close it, and do not use it
 * when the object was closed, since its number may by then be another file's.
 *
 * @example
 * ```ts
 * import { socketFd } from "@uring/cmd/socket";
 *
 * using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * using conn = await Deno.connect({ port: listener.addr.port });
 * console.log(socketFd(conn) !== socketFd(listener));
 * ```
 *
 * @throws {Error} when no socket looks like it, because it was closed, or when
 * several do: Unix sockets are told apart by their paths only, and so are not
 * when one path has several connections.
 */
export function socketFd(conn: SocketLike): number {
  const looks = looksOf(conn);
  const fds = openDescriptors();
  if (typeof fds === "number") {
    throw new Error("descriptors are found through /proc, which is not there");
  }
  /** The lowest descriptor of each socket: it may have been duplicated. */
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
      `no open socket is ${text}: was it closed, or did its peer reset it?`,
    );
  }
  throw new Error(
    `the sockets ${candidates.join(", ")} are all ${text}, and nothing tells ` +
      "them apart. Give each end a path or port of its own, or make the " +
      "socket with the operations of ./op, which return its descriptor.",
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
      "the object tells no addresses: it is not connected, or has none, as a " +
        "node:net socket on a Unix path has none. Of a node:net server or a " +
        "node:dgram socket, pass { addr: { transport, hostname, port } }",
    );
  }
  return {
    local: ipKey(localAddress, localPort ?? 0),
    remote: ipKey(remoteAddress, remotePort ?? 0),
    type: SOCK_STREAM,
    listens: false,
  };
}

function matches(fd: number, looks: Looks): boolean {
  const local = socketName(fd, "getsockname");
  if (typeof local === "number" || keyOf(local) !== looks.local) return false;
  if (number(fd, SO_TYPE) !== looks.type) return false;
  if (number(fd, SO_ACCEPTCONN) !== (looks.listens ? 1 : 0)) return false;
  if (looks.remote === null) return true;
  const remote = socketName(fd, "getpeername");
  return typeof remote !== "number" && keyOf(remote) === looks.remote;
}

function number(fd: number, optname: number): number {
  const value = socketOption(fd, SOL_SOCKET, optname, 4);
  return typeof value === "number" ? value : value[0];
}

function typeOf({ transport }: Deno.Addr): number {
  return transport === "tcp" || transport === "unix" ? SOCK_STREAM : SOCK_DGRAM;
}

function addressKey(name: string, address: Deno.Addr): string {
  checkObject(name, address);
  if ("path" in address) {
    const { path } = address; // Deno has `null` for none.
    return pathKey(path === null ? path : checkString("path", path));
  }
  if ("hostname" in address) return ipKey(address.hostname, address.port);
  const { transport } = address;
  throw new TypeError(`sockets of ${shown(transport)} are not found here`);
}

function pathKey(path: string | null): string {
  return path ? `unix ${JSON.stringify(path)}` : "an unnamed Unix socket";
}

/** An address as text that is the same however it was written. */
function ipKey(hostname: string, port: number): string {
  const [ip] = checkString("hostname", hostname).split("%"); // Without the scope.
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
  // An IPv6 socket writes an IPv4 address in its own way.
  const mapped = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(address.hostname);
  const hostname = mapped
    ? mapped.slice(1).flatMap((group) => {
      const bits = parseInt(group, 16);
      return [bits >> 8, bits & 0xff];
    }).join(".")
    : address.hostname;
  return `${hostname} port ${address.port}`;
}
