/**
 * Serves the queues of a disk in Workers: the side of the thread that asks for it.
 *
 * The control commands are this side's, and the node, which it closes when no Worker
 * uses it. A Worker is ended only when it has given up its ring: the ring of a Worker
 * that was ended stays until the process ends, and its requests are nobody's.
 */

import { StopSignal } from "../../ring/service/stop.ts";
import type { Disk } from "./disk.ts";
import type { Geometry } from "./geometry.ts";
import type { Served } from "./live.ts";
import type { QueueHost, QueueSetup, QueueStats } from "./queue.ts";
import { create } from "./serve.ts";
import type { BlockRequest, ServeOptions } from "./target.ts";

/** The questions that a Worker answers, by name. */
export interface Calls {
  load(
    href: string,
    queue: number,
    options: PlainOptions,
    data: unknown,
  ): Promise<Geometry>;
  make(setup: QueueSetup): void;
  /** `asked` counts the questions so far, in shared memory. */
  start(stopFd: number, asked: Int32Array): void;
  refuseAll(): void;
  release(): Promise<void>;
  abandon(): Promise<void>;
  stats(): QueueStats;
}

/** The options that a message can carry. */
export type PlainOptions = Omit<ServeOptions, "signal" | "onError">;

/** A question to a Worker. */
export interface Question {
  readonly id: number;
  readonly name: keyof Calls;
  readonly args: readonly unknown[];
}

/** A request that `onError` is told of. */
export type Told = Omit<BlockRequest, "signal"> & { readonly name: string };

/** A message of a Worker. */
export type Message =
  | { readonly kind: "answer"; readonly id: number; readonly value: unknown }
  | { readonly kind: "failure"; readonly id: number; readonly error: unknown }
  | { readonly kind: "told"; readonly error: unknown; readonly request: Told }
  /** The ring or the driver has failed. */
  | { readonly kind: "failed"; readonly error: unknown }
  /** The driver has given back all tags. */
  | { readonly kind: "ended" }
  /** The Worker ends because of an error, and has given up its ring. */
  | { readonly kind: "dying"; readonly error: unknown };

/** Milliseconds for an answer of a Worker. */
const ANSWER_MS = 5000;

/** Options of {@linkcode serveInWorker}. */
export interface WorkerServeOptions extends ServeOptions {
  /** Is passed to the function that the module exports. It can be copied. */
  data?: unknown;
}

/**
 * Serves the disk of a module, each of its queues in a Worker that sleeps in the kernel
 * between requests. It is the fastest way to serve, if handlers return no promises, and
 * this thread may use the disk in any way.
 *
 * The module exports a function by default, which each Worker calls with `data` and the
 * number of its queue. It returns the target, or a promise of it. Queues of one disk have
 * the same contents: share memory by a `SharedArrayBuffer` in `data`, or a file.
 *
 * Handlers that return promises work, too, but a timer or other work of the module that
 * no request waits for goes on only with the next request. A Worker that throws outside
 * of a handler ends the disk.
 *
 * @throws {UringError} as `serve()` does; and what the module throws.
 *
 * @example A disk in shared memory, with two queues
 * ```ts ignore
 * // memory.ts
 * import type { Target } from "@uring/cmd/ublk";
 *
 * export default function open(shared: SharedArrayBuffer): Target {
 *   const bytes = new Uint8Array(shared);
 *   return {
 *     size: bytes.length,
 *     read: ({ offset, length }, into) =>
 *       into.set(bytes.subarray(offset, offset + length)),
 *     write: ({ offset }, data) => bytes.set(data, offset),
 *   };
 * }
 *
 * // main.ts
 * import { serveInWorker } from "@uring/cmd/ublk";
 *
 * const data = new SharedArrayBuffer(64 << 20);
 * const module = new URL("./memory.ts", import.meta.url);
 * await using disk = await serveInWorker(module, { data, queues: 2 });
 * console.log(Deno.readTextFileSync(disk.path).length);
 * ```
 */
export async function serveInWorker(
  module: URL,
  options: WorkerServeOptions = {},
): Promise<Disk> {
  if (!(module instanceof URL)) {
    throw new TypeError("module must be a URL: new URL(path, import.meta.url)");
  }
  const { signal: _signal, onError: _onError, data, ...plain } = options;
  const all: Remote[] = [];
  const load = async (queue: number) => {
    const remote = await Remote.start();
    all.push(remote);
    return await remote.ask("load", module.href, queue, plain, data);
  };
  const leave = () => {
    for (const remote of all) remote.end();
  };
  try {
    const geometry = await load(0);
    return await create({
      geometry,
      leave,
      make: async (setup, host) => {
        const { queue } = setup;
        if (queue > 0) await load(queue);
        const remote = all[queue];
        remote.host = host;
        await remote.ask("make", { ...setup, sleeps: true });
        return remote;
      },
      start: async () => {
        await Promise.all(all.map((remote) => remote.begin()));
      },
    }, options);
  } catch (error) {
    leave();
    throw error;
  }
}

/** A Worker of Node's, which alone can let the process exit. */
type Thread = import("node:worker_threads").Worker;

/** A queue in a Worker. */
class Remote implements Served {
  readonly ended: Promise<void>;
  /** The owner of the queue, once there is one. */
  host: QueueHost | null = null;
  readonly #thread: Thread;
  /** Wakes a Worker that sleeps in the kernel. */
  readonly #signal = new StopSignal();
  readonly #over = Promise.withResolvers<void>();
  readonly #open = new Map<number, PromiseWithResolvers<unknown>>();
  /** The questions so far: a Worker that knows of one does not sleep without it. */
  readonly #asked = new Int32Array(new SharedArrayBuffer(4));
  #next = 0;
  /** The Worker has a ring that the driver knows. */
  #serves = false;
  /** It is to be ended as soon as it does not. */
  #ending = false;
  /** The error that ended the Worker; `null` while it serves. */
  #gone: Error | null = null;

  private constructor(thread: Thread) {
    this.#thread = thread;
    this.ended = this.#over.promise;
    thread.on("message", (message: Message) => this.#receive(message));
    thread.on("error", (error: Error) => this.#leave(error));
    thread.on("exit", () => this.#leave(new Error("it has ended by itself")));
  }

  static async start(): Promise<Remote> {
    const { Worker } = await import("node:worker_threads");
    const program = JSON.stringify(import.meta.resolve("./worker.ts"));
    // The library may come from a URL that node:worker_threads does not take.
    const start = `data:text/javascript,import ${encodeURIComponent(program)}`;
    return new Remote(new Worker(new URL(start)));
  }

  /** Gives the tags of the queue to the driver. */
  begin(): Promise<void> {
    this.#serves = true;
    return this.ask("start", this.#signal.fd, this.#asked);
  }

  /** Asks the Worker. */
  ask<Name extends keyof Calls>(
    name: Name,
    ...args: Parameters<Calls[Name]>
  ): Promise<Awaited<ReturnType<Calls[Name]>>> {
    if (this.#gone !== null) return Promise.reject(this.#gone);
    const id = this.#next++;
    const question: Question = { id, name, args };
    try {
      this.#thread.postMessage(question);
    } catch (error) {
      return Promise.reject(error);
    }
    Atomics.add(this.#asked, 0, 1);
    this.#signal.raise();
    const answer = Promise.withResolvers<unknown>();
    this.#open.set(id, answer);
    return answer.promise as Promise<Awaited<ReturnType<Calls[Name]>>>;
  }

  #receive(message: Message): void {
    switch (message.kind) {
      case "answer":
      case "failure": {
        const answer = this.#open.get(message.id);
        this.#open.delete(message.id);
        if (message.kind === "answer") answer?.resolve(message.value);
        else answer?.reject(message.error);
        return;
      }
      case "told": {
        const { signal } = new AbortController();
        return this.host?.told(message.error, { ...message.request, signal });
      }
      case "failed":
        return this.host?.failed(message.error as Error);
      case "ended":
        return this.#over.resolve();
      case "dying":
        this.#serves = false;
        return this.#leave(message.error);
    }
  }

  /** Handles the end of the Worker. */
  #leave(reason: unknown): void {
    if (this.#gone !== null) return;
    const words = reason instanceof Error ? reason.message : String(reason);
    const error = new Error(`a Worker of the disk is gone: ${words}`, {
      cause: reason,
    });
    this.#gone = error;
    for (const { reject } of this.#open.values()) reject(error);
    this.#open.clear();
    this.host?.failed(error);
  }

  refuseAll(): Promise<void> {
    return this.#inTime(this.ask("refuseAll"));
  }

  async release(): Promise<void> {
    await this.#inTime(this.ask("release"));
    this.#serves = false;
  }

  abandon(): void {
    this.ask("abandon").then(() => {
      this.#serves = false;
      if (this.#ending) this.end();
    }, () => {});
  }

  stats(): Promise<QueueStats> {
    return this.#inTime(this.ask("stats"));
  }

  /** Ends the Worker, unless the driver still knows its ring. */
  end(): void {
    this.host = null;
    if (this.#serves) {
      this.#ending = true;
      return this.#thread.unref();
    }
    this.#leave(new Error("it was ended"));
    void this.#thread.terminate();
    this.#signal[Symbol.dispose]();
  }

  async #inTime<T>(answer: Promise<T>): Promise<T> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      const message =
        "a Worker of the disk does not answer: a handler blocks it. " +
        "Only the end of the process ends the disk";
      late.reject(new Error(message));
    }, ANSWER_MS);
    try {
      return await Promise.race([answer, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  ref(): void {
    this.#thread.ref();
  }

  unref(): void {
    this.#thread.unref();
  }
}
