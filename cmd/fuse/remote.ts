/**
 * Serves a filesystem in a Worker: the side of the thread that mounts.
 *
 * The descriptor of /dev/fuse is this side's, which closes it when the Worker says
 * that nothing uses it, or is gone. A Worker that dies of an error gives up its ring
 * before. That of a Worker which had to be ended stays until the process ends (Deno
 * does not end a thread in an endless loop before), and
 * holds the file: then a forced unmount aborts the connection, which root may.
 */

import { E } from "../../sys/uapi/errno.ts";
import { close } from "../../sys/file.ts";
import { StopSignal } from "../../ring/service/stop.ts";
import { type OnError, teller } from "./errors.ts";
import { messageCount } from "./inbox.ts";
import type { MountOptions } from "./options.ts";
import type { InvalidateOptions, MountStats } from "./served.ts";
import type { Protocol, Ready, Served } from "./served.ts";
import type { TransportName } from "./transport.ts";

/** The questions that a Worker answers, by name. */
export interface Calls {
  load(href: string, options: WorkerOptions): Promise<void>;
  /**
   * Serves, and sleeps in between if there is a signal to wake it by, or -1. `sent`
   * counts the questions so far.
   */
  serve(fd: number, stopFd: number, sent: Int32Array): Promise<Facts>;
  abort(): void;
  invalidate(file: string, options: InvalidateOptions): Promise<boolean>;
  store(file: string, offset: number, data: Uint8Array): Promise<boolean>;
  stats(): Promise<MountStats>;
}

/** The options of a mount that a message can carry. */
export type WorkerOptions = Omit<MountOptions, "signal" | "onError">;

/** The Worker's way of serving. */
export interface Facts {
  readonly transport: TransportName;
  readonly how: string;
  readonly protocol: Protocol;
}

/** A question to the Worker. */
export interface Question {
  readonly id: number;
  readonly name: keyof Calls;
  readonly args: readonly unknown[];
}

/** A message of the Worker. */
export type Message =
  | { readonly kind: "answer"; readonly id: number; readonly value: unknown }
  | { readonly kind: "failure"; readonly id: number; readonly error: unknown }
  /** The error for `onError`. */
  | {
    readonly kind: "told";
    readonly error: unknown;
    readonly op: string;
    readonly path: string | null;
  }
  /** The mount has ended. `error` is what `destroy` threw. */
  | {
    readonly kind: "ended";
    readonly errno: number;
    readonly stats: MountStats;
    readonly error: unknown;
  }
  /** The Worker ends because of an error. */
  | { readonly kind: "dying"; readonly error: unknown }
  /** Nothing of the Worker uses the descriptor any more. */
  | { readonly kind: "released" };

/** Milliseconds that a Worker has for an abort, before it is ended. */
const ABORT_MS = 1000;

/** Starts a Worker, which loads the filesystem of a module. */
export async function readyInWorker(
  module: URL,
  options: MountOptions,
): Promise<Ready> {
  const remote = await Remote.start(options);
  const { signal, onError: _onError, ...rest } = options;
  // A module may never be loaded.
  const stop = () => remote.end();
  signal?.addEventListener("abort", stop, { once: true });
  try {
    signal?.throwIfAborted();
    await remote.ask("load", module.href, rest);
  } catch (error) {
    remote.end();
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener("abort", stop);
  }
  return { serve: (fd) => remote.serve(fd), drop: () => remote.end() };
}

/** A Worker of Node's, which alone can let the process exit. */
type Thread = import("node:worker_threads").Worker;

class Remote implements Served {
  readonly ended: Promise<number>;
  readonly #thread: Thread;
  readonly #onError: OnError;
  /** Counts the questions, in memory that the Worker sees. */
  readonly #sent = messageCount();
  /** Wakes a Worker that sleeps in the kernel. */
  readonly #signal: StopSignal | null;
  readonly #over = Promise.withResolvers<number>();
  readonly #open = new Map<number, PromiseWithResolvers<unknown>>();
  #next = 0;
  #fd = -1;
  #facts: Facts | null = null;
  #stats: MountStats | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;
  /** The error that ended the Worker; `null` while it serves. */
  #gone: Error | null = null;

  private constructor(
    thread: Thread,
    { onError, sleep = false }: MountOptions,
  ) {
    this.#thread = thread;
    this.#signal = sleep ? new StopSignal() : null;
    this.#onError = teller(onError);
    this.ended = this.#over.promise;
    this.ended.catch(() => {});
    thread.on("message", (message: Message) => this.#receive(message));
    thread.on("error", (error: Error) => this.#leave(error));
    thread.on("exit", () => this.#leave(new Error("it has ended by itself")));
  }

  static async start(options: MountOptions): Promise<Remote> {
    const { Worker } = await import("node:worker_threads");
    const program = JSON.stringify(import.meta.resolve("./worker.ts"));
    // The library may come from a URL that node:worker_threads does not take.
    const start = `data:text/javascript,import ${encodeURIComponent(program)}`;
    return new Remote(new Worker(new URL(start)), options);
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
    Atomics.add(this.#sent, 0, 1);
    this.#signal?.raise();
    const answer = Promise.withResolvers<unknown>();
    this.#open.set(id, answer);
    return answer.promise as Promise<Awaited<ReturnType<Calls[Name]>>>;
  }

  async serve(fd: number): Promise<Served> {
    this.#fd = fd;
    this.#facts = await this.ask(
      "serve",
      fd,
      this.#signal?.fd ?? -1,
      this.#sent,
    );
    return this;
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
      case "told":
        this.#onError(message.error, message.op, message.path);
        return;
      case "ended":
        this.#stats = message.stats;
        if (message.error === null) this.#over.resolve(message.errno);
        else this.#over.reject(message.error);
        break;
      case "dying":
        return this.#over.reject(goneBecause(message.error));
      case "released":
        this.#close();
    }
    if (this.#stats !== null && this.#fd < 0) this.end();
  }

  #close(): void {
    const fd = this.#fd;
    this.#fd = -1;
    if (fd >= 0) close(fd);
  }

  /** Ends the Worker. */
  end(): void {
    this.#leave(new Error("it was ended"));
    void this.#thread.terminate();
  }

  /** Handles the end of the Worker. */
  #leave(reason: Error): void {
    if (this.#gone !== null) return;
    this.#gone = goneBecause(reason);
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#close();
    // A thread that was ended by force may still wait for it.
    if (this.#stats !== null) this.#signal?.[Symbol.dispose]();
    this.#over.reject(this.#gone); // Unless it has ended.
    for (const { reject } of this.#open.values()) reject(this.#gone);
    this.#open.clear();
  }

  get transport(): TransportName {
    return this.#facts!.transport;
  }

  get how(): string {
    return `in a Worker: ${this.#facts!.how}`;
  }

  get protocol(): Protocol {
    return this.#facts!.protocol;
  }

  abort(): void {
    if (this.#gone !== null) return;
    this.ask("abort").catch(() => {});
    // A Worker that does not listen is ended.
    this.#timer ??= setTimeout(() => {
      this.#over.resolve(E.ECONNABORTED);
      this.end();
    }, ABORT_MS);
  }

  invalidate(
    file: string | object,
    options: InvalidateOptions,
  ): Promise<boolean> {
    const path = pathOnly(file);
    return this.#untilEnd(() => this.ask("invalidate", path, options));
  }

  store(
    file: string | object,
    offset: number,
    data: Uint8Array,
  ): Promise<boolean> {
    const path = pathOnly(file);
    return this.#untilEnd(() => this.ask("store", path, offset, data));
  }

  /** Asks what is `false` once the mount has ended: the kernel knows no file of it. */
  async #untilEnd(ask: () => Promise<boolean>): Promise<boolean> {
    try {
      return this.#stats === null && await ask();
    } catch (error) {
      if (this.#stats !== null) return false;
      throw error;
    }
  }

  stats(): Promise<MountStats> {
    if (this.#stats !== null) return Promise.resolve(this.#stats);
    return this.ask("stats");
  }

  ref(): void {
    this.#thread.ref();
  }

  unref(): void {
    this.#thread.unref();
  }
}

function goneBecause(reason: unknown): Error {
  const words = reason instanceof Error ? reason.message : String(reason);
  return new Error(`the Worker of the mount is gone: ${words}`, {
    cause: reason,
  });
}

function pathOnly(file: string | object): string {
  if (typeof file === "string") return file;
  throw new TypeError(
    "the objects of a filesystem in a Worker are there: name a file by its path",
  );
}
