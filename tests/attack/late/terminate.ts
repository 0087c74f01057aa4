/**
 * Terminates workers whose commands are in flight, takes the memory that V8 then
 * gives up, and lets the kernel write late. It is a program, because it may break
 * the process. It prints a {@linkcode Report}.
 *
 * It maps memory at the very addresses that the kernel writes
 * (MAP_FIXED_NOREPLACE), which works once V8 has released them.
 */

import { syscall } from "../../../sys/libc.ts";
import { scratch } from "../../../sys/scratch.ts";
import { SIOCINQ } from "../../../sys/uapi/socket.ts";
import { turn } from "../../kit/wait.ts";
import { unixPair, writeSync } from "../../kit/fds.ts";
import { memoryAt, Page, pageOf } from "./pages.ts";

/** Bytes of each receive. */
export const LENGTH = 64;

/** The task of a worker. */
export interface Order {
  readonly fds: readonly number[];
  /** A thread of the kernel submits, which outlives the worker. */
  readonly sqpoll: boolean;
  /** `IOSQE_` bits of its commands. */
  readonly flags: number;
}

/** The memory of a receive. */
export interface Target {
  /** The address that JavaScript uses. */
  readonly script: number;
  /** The address that the kernel was given. */
  readonly kernel: number;
}

/** The outcome of all rounds. */
export interface Report {
  rounds: number;
  /** Receives whose memory V8 gave up, and where other memory then was. */
  taken: number;
  /** Of these, receives that the kernel completed afterwards. */
  late: number;
  /** Of these, receives whose bytes are at the address that the kernel was given. */
  arrived: number;
  /** Pages in which something was written over. */
  broken: number;
}

const DATA = "!".repeat(LENGTH);
const PAIRS = 8;

/** Bytes that wait in a socket. */
function unread(fd: number): number {
  const { view, at } = scratch();
  syscall("ioctl", fd, SIOCINQ, at);
  return view.getInt32(0, true);
}

/** Starts a worker, and terminates it when its receives are in flight. */
async function abandon(order: Order): Promise<Target[]> {
  const url = new URL("./terminated_worker.ts", import.meta.url);
  const worker = new Worker(url, { type: "module" });
  worker.postMessage(order);
  const targets = await new Promise<Target[]>((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = reject;
  });
  worker.terminate();
  return targets;
}

/** Takes pages, as soon as they are free. */
class Taker implements Disposable {
  readonly #pages = new Map<number, Page>();

  /** Takes the page of an address; `true` if this process has it by now. */
  take(address: number): boolean {
    const at = pageOf(address);
    if (this.#pages.has(at)) return true;
    const page = Page.at(at);
    if (page !== null) this.#pages.set(at, page);
    return page !== null;
  }

  get broken(): number {
    return [...this.#pages.values()].filter((page) => !page.intact).length;
  }

  [Symbol.dispose](): void {
    for (const page of this.#pages.values()) page[Symbol.dispose]();
  }
}

async function round(
  { sqpoll, flags }: Omit<Order, "fds">,
  report: Report,
): Promise<void> {
  using stack = new DisposableStack();
  const pairs = Array.from({ length: PAIRS }, () => stack.use(unixPair()));
  const fds = pairs.map(({ left }) => left);
  const targets = await abandon({ fds, sqpoll, flags });
  const taker = new Taker();
  const waiting = new Set(targets.keys());
  const written: number[] = [];
  // V8 lets go of the memory before the thread of the worker has ended: what is
  // written at once finds a thread that still completes commands.
  const end = performance.now() + 3000;
  while (waiting.size > 0 && performance.now() < end) {
    const pause = performance.now() + 20;
    while (waiting.size > 0 && performance.now() < pause) {
      for (const i of waiting) {
        const { script, kernel } = targets[i];
        if (!taker.take(script)) continue;
        taker.take(kernel);
        writeSync(pairs[i].right, DATA);
        waiting.delete(i);
        written.push(i);
      }
    }
    await turn();
  }
  const patience = performance.now() + 200;
  const left = new Set(written);
  while (left.size > 0 && performance.now() < patience) {
    for (const i of left) if (unread(fds[i]) === 0) left.delete(i);
    await turn();
  }
  report.rounds++;
  report.taken += written.length;
  for (const i of written) {
    if (left.has(i)) continue;
    report.late++;
    const { script, kernel } = targets[i];
    if (script === kernel) continue;
    const there = new TextDecoder().decode(memoryAt(kernel, LENGTH));
    if (there === DATA) report.arrived++;
  }
  report.broken += taker.broken;
}

if (import.meta.main) {
  const { sqpoll, flags, rounds } = JSON.parse(Deno.args[0]);
  const report = { rounds: 0, taken: 0, late: 0, arrived: 0, broken: 0 };
  // Once more than until it worked: what was hit then may show now.
  let hits = 0;
  while (report.rounds < rounds && hits < 2) {
    await round({ sqpoll, flags }, report);
    if (report.late > 0) hits++;
  }
  console.log(JSON.stringify(report));
}
