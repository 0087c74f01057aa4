/** Files and sockets as bare descriptors, which close when they go out of scope. */

import { O_RDWR } from "../../sys/uapi/fcntl.ts";
import { close, open } from "../../sys/file.ts";
import { syscall } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";
import { AF_INET, AF_UNIX, SOCK_STREAM } from "../../sys/uapi/socket.ts";
import { socketName } from "../../sys/socket_calls.ts";
import { utf8 } from "./bytes.ts";
import { decodeSockaddr, encodeSockaddr } from "../../cmd/sockaddr.ts";

/** A descriptor that closes when it goes out of scope. */
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

/** Opens /dev/null, which answers every uring command with 0. */
export function devNull(): Fd {
  return new Fd(open("/dev/null", O_RDWR));
}

/** Opens a pipe: `left` reads what `right` writes. */
export function pipe(): FdPair {
  const { view, at } = scratch();
  succeeded("pipe2", syscall("pipe2", at, 0));
  return new FdPair(view.getInt32(0, true), view.getInt32(4, true));
}

/** Opens two connected Unix sockets. */
export function unixPair(type = SOCK_STREAM): FdPair {
  const { view, at } = scratch();
  succeeded("socketpair", syscall("socketpair", AF_UNIX, type, 0, at));
  return new FdPair(view.getInt32(0, true), view.getInt32(4, true));
}

function succeeded(call: string, rc: number): void {
  if (rc < 0) throw new Error(`${call}: errno ${-rc}`);
}

/** Opens a TCP connection on the loopback, with plain system calls. */
export function tcpPair(): FdPair {
  using listener = new Fd(syscall("socket", AF_INET, SOCK_STREAM, 0));
  const left = syscall("socket", AF_INET, SOCK_STREAM, 0);
  bindTo(listener.fd, "127.0.0.1");
  syscall("listen", listener.fd, 1);
  const address = socketName(listener.fd, "getsockname") as Uint8Array;
  const { bytes, at } = scratch();
  bytes.set(address);
  succeeded("connect", syscall("connect", left, at, address.length));
  return new FdPair(left, syscall("accept4", listener.fd, 0, 0, 0));
}

function bindTo(fd: number, hostname: string): void {
  const address = encodeSockaddr({ hostname, port: 0 });
  const { bytes, at } = scratch();
  bytes.set(address);
  succeeded("bind", syscall("bind", fd, at, address.length));
}

/** Returns the port that a socket is bound to. */
export function portOf(fd: number): number {
  const name = socketName(fd, "getsockname") as Uint8Array;
  const address = decodeSockaddr(name);
  return "port" in address ? address.port : 0;
}

/** Calls ioctl(2) with an `int` to fill. Returns that, or `-errno`. */
export function ioctl(fd: number, request: number): number {
  const { view, at } = scratch();
  view.setInt32(0, -1, true);
  const rc = syscall("ioctl", fd, request, at);
  return rc < 0 ? rc : view.getInt32(0, true);
}

/** Calls write(2), and returns the number of bytes or `-errno`. */
export function writeSync(fd: number, data: Uint8Array | string): number {
  const from = typeof data === "string" ? utf8(data) : data;
  const { bytes, at } = scratch();
  bytes.set(from);
  return syscall("write", fd, at, from.length);
}
