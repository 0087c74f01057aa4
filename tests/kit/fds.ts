/** Descriptors that close themselves, and what tests do with them. */

import { O_RDWR } from "../../sys/uapi/fcntl.ts";
import { close, open } from "../../sys/file.ts";
import { syscall } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";
import { AF_INET, AF_UNIX, SOCK_STREAM } from "../../sys/uapi/socket.ts";
import { socketName } from "../../sys/socket_calls.ts";
import { decodeSockaddr, encodeSockaddr } from "../../cmd/sockaddr.ts";

/** A descriptor that is closed when it goes out of scope. */
export class Fd implements Disposable {
  readonly fd: number;
  #open = true;

  constructor(fd: number) {
    if (fd < 0) throw new Error(`no descriptor: errno ${-fd}`);
    this.fd = fd;
  }

  close(): void {
    if (this.#open) close(this.fd);
    this.#open = false;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Two descriptors: a pipe, or the ends of a connection. */
export class FdPair implements Disposable {
  readonly left: number;
  readonly right: number;
  readonly #fds: Fd[];

  constructor(left: number, right: number) {
    this.left = left;
    this.right = right;
    this.#fds = [new Fd(left), new Fd(right)];
  }

  [Symbol.dispose](): void {
    for (const fd of this.#fds) fd.close();
  }
}

export function devNull(): Fd {
  return new Fd(open("/dev/null", O_RDWR));
}

/** A pipe: `left` reads what `right` writes. */
export function pipe(): FdPair {
  const { view, at } = scratch();
  const rc = syscall("pipe2", at, 0);
  if (rc < 0) throw new Error(`pipe2: errno ${-rc}`);
  return new FdPair(view.getInt32(0, true), view.getInt32(4, true));
}

export function unixPair(type = SOCK_STREAM): FdPair {
  const { view, at } = scratch();
  const rc = syscall("socketpair", AF_UNIX, type, 0, at);
  if (rc < 0) throw new Error(`socketpair: errno ${-rc}`);
  return new FdPair(view.getInt32(0, true), view.getInt32(4, true));
}

/** Two ends of a TCP connection on the loopback, by plain system calls. */
export function tcpPair(): FdPair {
  using listener = new Fd(syscall("socket", AF_INET, SOCK_STREAM, 0));
  const left = syscall("socket", AF_INET, SOCK_STREAM, 0);
  bindTo(listener.fd, "127.0.0.1");
  syscall("listen", listener.fd, 1);
  const address = socketName(listener.fd, "getsockname") as Uint8Array;
  const { bytes, at } = scratch();
  bytes.set(address);
  const rc = syscall("connect", left, at, address.length);
  if (rc < 0) throw new Error(`connect: errno ${-rc}`);
  return new FdPair(left, syscall("accept4", listener.fd, 0, 0, 0));
}

function bindTo(fd: number, hostname: string): void {
  const address = encodeSockaddr({ hostname, port: 0 });
  const { bytes, at } = scratch();
  bytes.set(address);
  const rc = syscall("bind", fd, at, address.length);
  if (rc < 0) throw new Error(`bind: errno ${-rc}`);
}

/** The port that a socket is bound to. */
export function portOf(fd: number): number {
  const name = socketName(fd, "getsockname") as Uint8Array;
  const address = decodeSockaddr(name);
  return "port" in address ? address.port : 0;
}

/** write(2): the number of bytes, or `-errno`. */
export function writeSync(fd: number, data: Uint8Array | string): number {
  const from = typeof data === "string" ? new TextEncoder().encode(data) : data;
  const { bytes, at } = scratch();
  bytes.set(from);
  return syscall("write", fd, at, from.length);
}

/** `true` where this machine has such an address. */
export function canListen(hostname: string): boolean {
  try {
    Deno.listen({ hostname, port: 0 }).close();
    return true;
  } catch {
    return false;
  }
}
