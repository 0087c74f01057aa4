/**
 * The loop of a server: a request in a tag, a handler, a reply or an errno.
 *
 * What a request looks like, and where a reply goes, is the affair of the server's
 * {@linkcode Protocol}.
 *
 * **Contract.** Each request is answered once: with what its handler returns, or with
 * an errno if it throws, takes too long, or is not done when the server shuts down. A
 * handler that is late then answers nobody. A handler that returns no promise is
 * answered in the same turn, without one.
 *
 * @module
 */

import { E } from "../sys/uapi/errno.ts";
import type { Service } from "../ring/service/service.ts";
import type { TagReceiver } from "../ring/service/tags.ts";
import type { RunEnd } from "../ring/service/turns.ts";

/**
 * The protocol of one kind of server. A `Request` may be one object for
 * each tag, used again and again.
 */
export interface Protocol<Request extends object, Value> {
  /**
   * Reads the request in the memory of a tag. Returns `null` if the completion is
   * none, such as the last of a tag, which is all that happens to it then.
   */
  read(tag: number, res: number, flags: number): Request | null;
  /** Calls the handler. */
  handle(request: Request, tag: number): Value | PromiseLike<Value>;
  /** Writes the reply into the memory and the words of the tag. */
  reply(tag: number, request: Request, value: Value): void;
  /** Writes the reply to a request that has failed. It must not throw. */
  refuse(tag: number, request: Request, errno: number): void;
  /** Returns the errno for an error of the handler, and reports a strange one. */
  errnoOf(error: unknown, request: Request): number;
  /** Aborts a handler that was answered for with an errno. */
  abort?(request: Request, errno: number): void;
}

/** Options of {@linkcode Serving}. */
export interface ServingOptions {
  /**
   * Milliseconds after which a handler that returned a promise is answered for with
   * ETIMEDOUT. A quarter more may pass. Default: any time.
   */
  timeoutMs?: number;
}

/** The requests of one service. */
export class Serving<Request extends object, Value> {
  /** The receiver for each tag that has requests. */
  readonly receive: TagReceiver = (tag, res, flags) =>
    this.#receive(tag, res, flags);

  readonly #service: Service;
  readonly #protocol: Protocol<Request, Value>;
  readonly #timeoutMs: number;
  /** For each tag, the request that is not answered; `null` for none. */
  readonly #open: (Request | null)[];
  /** For each tag, the number of its answers: a late handler has an old one. */
  readonly #answers: Uint32Array;
  /** For each tag, the time at which its handler returned a promise; 0 for none. */
  readonly #since: Float64Array;
  #pending = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The errno for all requests, once the server shuts down. */
  #down = 0;
  /** Called when no handler is pending. */
  #quiet: (() => void) | null = null;

  constructor(
    service: Service,
    tags: number,
    protocol: Protocol<Request, Value>,
    { timeoutMs = 0 }: ServingOptions = {},
  ) {
    this.#service = service;
    this.#protocol = protocol;
    this.#timeoutMs = timeoutMs;
    this.#open = new Array<Request | null>(tags).fill(null);
    this.#answers = new Uint32Array(tags);
    this.#since = new Float64Array(tags);
  }

  /** Handlers that have returned a promise, and are not done. */
  get pending(): number {
    return this.#pending;
  }

  #receive(tag: number, res: number, flags: number): void {
    // A receiver is called again only if `node:vm` has ended it in its handler.
    if (this.#open[tag] !== null) return this.#refuse(tag, E.EIO);
    const request = this.#protocol.read(tag, res, flags);
    if (request === null) return;
    this.#open[tag] = request;
    if (this.#down !== 0) return this.#refuse(tag, this.#down);
    const answers = this.#answers[tag];
    try {
      const value = this.#protocol.handle(request, tag);
      if (isThenable(value)) return this.#wait(tag, request, value);
      if (this.#answers[tag] === answers) this.#answer(tag, request, value);
    } catch (error) {
      // The handler may have shut the server down, which has answered it.
      if (this.#answers[tag] === answers) this.#fail(tag, request, error);
    }
  }

  #wait(tag: number, request: Request, value: PromiseLike<Value>): void {
    const answers = this.#answers[tag];
    this.#since[tag] = performance.now();
    this.#pending++;
    // A thread that sleeps in the kernel runs no promise.
    this.#service.stop();
    if (this.#timeoutMs > 0) this.#timer ??= this.#setTimer();
    Promise.resolve(value).then(
      (value) => {
        if (this.#answers[tag] === answers) this.#answer(tag, request, value);
      },
      (error) => {
        if (this.#answers[tag] === answers) this.#fail(tag, request, error);
      },
    );
  }

  #answer(tag: number, request: Request, value: Value): void {
    try {
      this.#protocol.reply(tag, request, value);
    } catch (error) {
      return this.#fail(tag, request, error);
    }
    this.#send(tag);
  }

  #fail(tag: number, request: Request, error: unknown): void {
    let errno: number = E.EIO;
    try {
      errno = this.#protocol.errnoOf(error, request);
    } catch (thrown) {
      reportError(thrown);
    }
    this.#protocol.refuse(tag, request, errno);
    this.#send(tag);
  }

  /** Answers with an errno for a handler that is not done. */
  #refuse(tag: number, errno: number): void {
    const request = this.#open[tag]!;
    const waits = this.#since[tag] !== 0;
    this.#protocol.refuse(tag, request, errno);
    this.#send(tag);
    if (!waits) return;
    try {
      this.#protocol.abort?.(request, errno);
    } catch (thrown) {
      reportError(thrown);
    }
  }

  /** Submits the tag, whose reply was written. */
  #send(tag: number): void {
    if (this.#service.isOpen) this.#service.submit(tag);
    // Plain stores: a request that was submitted is answered.
    this.#open[tag] = null;
    this.#answers[tag]++;
    if (this.#since[tag] === 0) return;
    this.#since[tag] = 0;
    this.#pending--;
    if (this.#pending === 0) this.#quiet?.();
  }

  // ---- Time -------------------------------------------------------------------

  #setTimer(): ReturnType<typeof setTimeout> {
    const timer = setTimeout(() => this.#look(), this.#timeoutMs / 4);
    Deno.unrefTimer(timer);
    return timer;
  }

  /** Answers for the handlers that take too long. */
  #look(): void {
    this.#timer = undefined;
    const before = performance.now() - this.#timeoutMs;
    for (let tag = 0; tag < this.#open.length; tag++) {
      const since = this.#since[tag];
      if (since !== 0 && since <= before) this.#refuse(tag, E.ETIMEDOUT);
    }
    if (this.#pending > 0) this.#timer ??= this.#setTimer();
  }

  // ---- Ways to serve, and the end ---------------------------------------------

  /**
   * Serves in a worker: the thread sleeps in the kernel, except while a handler that
   * has returned a promise is not done. See `Service.run`.
   */
  async run(options: { stopFd?: number } = {}): Promise<RunEnd> {
    for (;;) {
      // Also from a run before, or from the event loop in between.
      while (this.#pending > 0 && this.#service.isOpen) {
        await new Promise<void>((resolve) => this.#quiet = resolve);
        this.#quiet = null;
      }
      const end = this.#service.run(options);
      const done = end === "idle" && this.#pending === 0;
      if (done || end === "signalled" || !this.#service.isOpen) return end;
    }
  }

  /**
   * Answers all requests that are open with an errno, and each that is still to come
   * at once.
   */
  shutDown(errno: number): void {
    this.#down = errno;
    for (let tag = 0; tag < this.#open.length; tag++) {
      if (this.#open[tag] !== null) this.#refuse(tag, errno);
    }
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

function isThenable<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof value === "object" && value !== null &&
    typeof (value as { then?: unknown }).then === "function";
}
