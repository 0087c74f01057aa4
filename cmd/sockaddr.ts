/**
 * Socket addresses, to and from the bytes that the kernel has for them.
 *
 * @module
 */

import { AF_INET, AF_INET6, AF_UNIX } from "../sys/uapi/socket.ts";
import { sockaddr_in, sockaddr_in6, sockaddr_un } from "../sys/uapi/socket.ts";
import { interfaceIndex } from "../sys/socket_calls.ts";
import { sizeof } from "../sys/struct.ts";
import { checkText, checkU16, shown } from "../ring/check.ts";
import { generalAdvice, UringError } from "../ring/errors.ts";
import { copyOf, partOf } from "../ring/intrinsics.ts";

/** The address of an internet socket, such as a `Deno.NetAddr`. */
export interface IpAddress {
  /**
   * The IPv4 or IPv6 address in numbers; host names are not resolved. The scope
   * of an IPv6 address follows a `%`, as the index of a network interface or
   * its name: `fe80::1%2`, `fe80::1%eth0`. Addresses of the kernel have the index.
   */
  hostname: string;
  /** The port, 0 to 65535. */
  port: number;
}

/** The address of a Unix socket, such as a `Deno.UnixAddr`. */
export interface UnixAddress {
  /**
   * The path, at most 107 bytes. A path that starts with `"\0"` is an abstract
   * name, of at most 108 bytes; `null` is a socket without a name.
   */
  path: string | null;
}

/** The address of an internet or a Unix socket. */
export type SocketAddress = IpAddress | UnixAddress;

/** Most bytes of a path, to which `sun_path` adds an ending zero. */
const PATH_MAX = sockaddr_un.sun_path.size - 1;

/** Returns `true` for an address that has a path. */
export function isUnix(address: SocketAddress): address is UnixAddress {
  return (address as Partial<UnixAddress>).path !== undefined;
}

/** Returns the `struct sockaddr` of an address. */
export function encodeSockaddr(address: SocketAddress): Uint8Array {
  if (isUnix(address)) {
    const name = checkText("path", address.path ?? "");
    if (name.includes("\0") && !name.startsWith("\0")) {
      throw new TypeError(
        "path has a zero byte in it. Only an abstract name, which starts " +
          "with one, may have others",
      );
    }
    const path = new TextEncoder().encode(name);
    // A zero ends a path; an abstract name ends where the address ends.
    const zero = path[0] > 0 ? 1 : 0;
    const most = zero ? PATH_MAX : PATH_MAX + 1;
    if (path.length > most) {
      const kind = zero ? "a path" : "an abstract name";
      throw new RangeError(
        `${kind} of a Unix socket has at most ${most} bytes, not ${path.length}`,
      );
    }
    const bytes = new Uint8Array(2 + path.length + zero);
    sockaddr_un.sun_family.set(new DataView(bytes.buffer), 0, AF_UNIX);
    bytes.set(path, sockaddr_un.sun_path.offset);
    return bytes;
  }
  const port = checkU16("port", address.port);
  const hostname = checkText("hostname", address.hostname);
  const v4 = parseIpv4(hostname);
  const [ip, scope] = v4 ? [hostname] : splitScope(hostname);
  const bytes = new Uint8Array(sizeof(v4 ? sockaddr_in : sockaddr_in6));
  const view = new DataView(bytes.buffer);
  // Both structs begin with the family, then the port in network byte order.
  sockaddr_in.sin_family.set(view, 0, v4 ? AF_INET : AF_INET6);
  view.setUint16(sockaddr_in.sin_port.offset, port);
  if (v4) sockaddr_in.sin_addr.set(view, 0, v4);
  else {
    sockaddr_in6.sin6_addr.set(view, 0, parseIpv6(ip, hostname));
    sockaddr_in6.sin6_scope_id.set(view, 0, scopeId(scope, hostname));
  }
  return bytes;
}

/** Returns the address in a `struct sockaddr` of `bytes.length` bytes. */
export function decodeSockaddr(bytes: Uint8Array): SocketAddress {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const family = bytes.length >= 2 ? sockaddr_un.sun_family.get(view, 0) : -1;
  switch (family) {
    case AF_UNIX: {
      const path = partOf(bytes, sockaddr_un.sun_path.offset);
      if (path.length === 0) return { path: null };
      const end = path[0] === 0 ? -1 : path.indexOf(0);
      const name = end < 0 ? path : partOf(path, 0, end);
      // A path may start with the bytes of a byte order mark.
      const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
      return { path: decoder.decode(copyOf(name)) };
    }
    case AF_INET: {
      checkLength(bytes, sizeof(sockaddr_in));
      const port = view.getUint16(sockaddr_in.sin_port.offset);
      const hostname = sockaddr_in.sin_addr.get(view, 0).join(".");
      return { hostname, port };
    }
    case AF_INET6: {
      checkLength(bytes, sizeof(sockaddr_in6));
      const port = view.getUint16(sockaddr_in6.sin6_port.offset);
      const at = sockaddr_in6.sin6_addr.offset;
      const groups = [0, 2, 4, 6, 8, 10, 12, 14].map((byte) =>
        view.getUint16(at + byte).toString(16)
      );
      // A URL has an IPv6 address in its short form.
      const { hostname } = new URL(`http://[${groups.join(":")}]`);
      const scope = sockaddr_in6.sin6_scope_id.get(view, 0);
      const suffix = scope === 0 ? "" : `%${scope}`;
      return { hostname: `${hostname.slice(1, -1)}${suffix}`, port };
    }
    default:
      throw new TypeError(`addresses of family ${family} are not supported`);
  }
}

function checkLength({ length }: Uint8Array, least: number): void {
  if (length >= least) return;
  throw new TypeError(`the address needs ${least} bytes, not ${length}`);
}

function parseIpv4(text: string): Uint8Array | null {
  const parts = text.split(".");
  // A leading zero is refused, because inet_aton() takes it for octal.
  const valid = parts.length === 4 &&
    parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && +part <= 255);
  return valid ? Uint8Array.from(parts, Number) : null;
}

/** Returns what is before and after the first `%`. */
function splitScope(hostname: string): [ip: string, scope?: string] {
  const at = hostname.indexOf("%");
  return at < 0 ? [hostname] : [hostname.slice(0, at), hostname.slice(at + 1)];
}

/** Returns the index of the interface that a scope has, or names. */
function scopeId(scope: string | undefined, hostname: string): number {
  if (scope === undefined) return 0;
  const index = /^\d+$/.test(scope) ? Number(scope) : interfaceIndex(scope);
  if (index > 0 && index <= 0xffff_ffff) return index;
  if (index < 0) {
    throw new UringError("socket", -1, -index, generalAdvice(-index));
  }
  throw new TypeError(
    `the scope of hostname ${shown(hostname)} is no network interface. ` +
      "Give its name or its index, as `ip link` lists them",
  );
}

function parseIpv6(text: string, hostname: string): Uint8Array {
  const refused = new TypeError(
    `hostname must be an IP address in numbers, not ${shown(hostname)}. ` +
      "Resolve names with Deno.resolveDns()",
  );
  let short: string;
  try {
    // A URL validates the address and turns an IPv4 tail into groups. The
    // pattern excludes characters that end the address or that a URL skips.
    if (!/^[\da-f:.]*:[\da-f:.]*$/i.test(text)) throw refused;
    short = new URL(`http://[${text}]`).hostname.slice(1, -1);
  } catch {
    throw refused;
  }
  const [head, tail = []] = short.split("::").map((half) =>
    half === "" ? [] : half.split(":")
  );
  const zeros = new Array(8 - head.length - tail.length).fill("0");
  const groups = [...head, ...zeros, ...tail].map((part) => parseInt(part, 16));
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}
