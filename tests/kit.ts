/** What the tests share: descriptors that close themselves, and other small things. */

import { O_RDWR } from "../sys/fcntl.ts";
import { close, open } from "../sys/file.ts";
import { io_uring_sqe, IORING_OP_MSG_RING } from "../sys/io_uring.ts";
import { syscall } from "../sys/libc.ts";
import { scratch } from "../sys/memory.ts";
import { AF_INET, AF_UNIX, SOCK_STREAM } from "../sys/socket.ts";
import { Command, type CommandSpec } from "../ring/command.ts";
import * as op from "../ring/op.ts";
import type { Ring } from "../ring/ring.ts";
import { decodeSockaddr, encodeSockaddr } from "../ring/sockaddr.ts";
import { socketName } from "../sys/socket_calls.ts";
import { type Run, run } from "./run.ts";

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

/**
 * The 64 bytes of a command's SQE, or 128, with `user_data` 0, where nothing may
 * be left of what was there.
 */
export function sqeBytes(command: Command<unknown>, wide = false): Uint8Array {
  const words = new Int32Array(wide ? 32 : 16).fill(-1);
  command.encode(words, 0, wide, 0, 0);
  return new Uint8Array(words.buffer);
}

/** A command of any opcode, for what the library has no function for. */
export function custom(
  spec: CommandSpec<number>,
): Command<number> {
  return new Command(spec);
}

/** Byte offset of `addr` in the SQE. */
export const ADDR = io_uring_sqe.addr.offset;

/** Forces a garbage collection; the tests run with --expose-gc. */
export function collect(): void {
  const { gc } = globalThis as unknown as { gc?: () => void };
  if (!gc) throw new Error("run the tests with --v8-flags=--expose-gc");
  gc();
}

/** Lets the event loop turn once. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Waits until a condition holds, for at most thirty seconds. */
export async function until(condition: () => boolean): Promise<void> {
  const start = performance.now();
  while (!condition()) {
    if (performance.now() - start > 30_000) throw new Error("waited in vain");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/**
 * Has a ring wait for a completion until it is woken for one, by the waker or by
 * the clock. A slow machine finds what comes soon without that.
 */
export async function wake(ring: Ring): Promise<void> {
  const { wakes } = ring.stats();
  for (let ms = 5; ring.stats().wakes === wakes; ms *= 2) {
    if (ms > 10_000) throw new Error("nothing wakes the ring");
    await ring.cmd(op.timeout(ms));
  }
}

/** How many descriptors this process has open. */
export function openFdCount(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

/** The descriptors of this process that are a file of the kernel's own. */
export function descriptors(kind: "eventfd" | "io_uring"): number[] {
  return [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => Number(name))
    .filter((fd) => {
      try {
        const name = Deno.readLinkSync(`/proc/self/fd/${fd}`);
        return name === `anon_inode:[${kind}]`;
      } catch {
        return false; // The one that the directory was read by.
      }
    });
}

/** How many workers the kernel has started for this process's rings. */
export function workerCount(): number {
  return [...Deno.readDirSync("/proc/self/task")].filter(({ name }) => {
    try {
      const comm = Deno.readTextFileSync(`/proc/self/task/${name}/comm`);
      return comm.startsWith("iou-wrk");
    } catch {
      return false; // It has just ended.
    }
  }).length;
}

/** Lines of /proc/self/maps. */
export function mappingCount(): number {
  return Deno.readTextFileSync("/proc/self/maps").split("\n").length - 1;
}

/** `true` when this process may do what only root can. */
export const isRoot: boolean = Deno.uid() === 0;

/** Runs a script that imports this library as `@uring/...`. */
export async function runScript(
  source: string,
  flags: readonly string[] = ["--allow-ffi"],
  prefix: readonly string[] = [],
): Promise<Run> {
  const path = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    const root = new URL("..", import.meta.url).href;
    await Deno.writeTextFile(path, source.replaceAll("@uring/", root));
    return await runDeno(["run", "--no-prompt", ...flags, path], prefix);
  } finally {
    await Deno.remove(path);
  }
}

/** Runs Deno, behind the words of a `prefix` such as `["setpriv", ...]`. */
export function runDeno(
  args: readonly string[],
  prefix: readonly string[] = [],
): Promise<Run> {
  const [program, ...rest] = [...prefix, Deno.execPath(), ...args];
  return run(program, rest, { env: { NO_COLOR: "1" } });
}

/** Registers a test, or a skip that names what is not there to test with. */
export function testUnless(
  missing: string,
  name: string,
  fn: () => void | Promise<void>,
): void {
  const ignore = missing !== "";
  Deno.test({
    name: ignore ? `${name} (no ${missing} here)` : name,
    ignore,
    fn,
  });
}

/** Random numbers that a seed repeats: mulberry32. */
export function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = state + 0x6d2b_79f5 | 0;
    let t = Math.imul(state ^ state >>> 15, 1 | state);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return ((t ^ t >>> 14) >>> 0) % below;
  };
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

/** Posts a completion to a ring from another: `res` for any `user_data`. */
export function message(
  ring: { readonly fd: number },
  userData: number | bigint,
  res: number,
): Command<number> {
  return custom({
    name: "MSG_RING",
    opcode: IORING_OP_MSG_RING,
    file: ring.fd,
    off: userData,
    len: res,
  });
}

/** What is reported to the global scope meanwhile. */
export function reportedErrors(): Disposable & { errors: unknown[] } {
  const errors: unknown[] = [];
  const listen = (event: ErrorEvent) => {
    event.preventDefault();
    errors.push(event.error);
  };
  addEventListener("error", listen);
  const stop = () => removeEventListener("error", listen);
  return { errors, [Symbol.dispose]: stop };
}
