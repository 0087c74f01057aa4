/**
 * A mount at work: requests in, handlers called, replies out.
 *
 * **Contract.** Every request but FORGET and INTERRUPT gets exactly one reply, or the
 * mount ends: what a handler throws is an errno, and one that does not answer in time
 * is answered for. A handler that returns a value is answered in the same turn, and no
 * promise is made.
 */

import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/fuse.ts";
import { Context } from "./context.ts";
import { errnoOf, type OnError, teller } from "./errors.ts";
import { type Agreement, negotiate, type Wishes } from "./init.ts";
import { operationName, OPERATIONS } from "./operations/mod.ts";
import { type FuseRequest, TooLarge } from "./request.ts";
import type { AnyNode, Server } from "./server.ts";
import type { Receiver, Transport } from "./transport.ts";

/** Counts of a session. */
export interface SessionStats {
  /** Requests so far. */
  readonly requests: number;
  /** Replies with an error so far. */
  readonly errors: number;
  /** Requests whose handler has not answered yet. */
  readonly inFlight: number;
  /** Files that the kernel knows. */
  readonly nodes: number;
  /** Open files and directories. */
  readonly handles: number;
  /** Open files among them that the kernel reads and writes itself. */
  readonly backed: number;
}

/** Options of a session. */
export interface SessionOptions {
  readonly wishes: Wishes;
  /** Milliseconds after which a request is answered EIO; 0 for never. */
  readonly timeoutMs: number;
  /** Is told what became EIO. Default: `console.error`. */
  readonly onError?: OnError;
}

/** A request whose handler returned a promise. */
interface Flight {
  readonly request: FuseRequest;
  readonly ctx: Context;
  /** Milliseconds, on the clock of `performance.now()`. */
  readonly deadline: number;
  /** See {@linkcode Server.search}; -1 if it searches nothing. */
  readonly ticket: number;
  /** It was answered, because its time was over. */
  answered: boolean;
}

/** Operations whose reply names a file. */
const SEARCHES = new Set([
  ...[uapi.FUSE_LOOKUP, uapi.FUSE_MKNOD, uapi.FUSE_MKDIR, uapi.FUSE_SYMLINK],
  ...[uapi.FUSE_LINK, uapi.FUSE_CREATE, uapi.FUSE_TMPFILE],
  uapi.FUSE_READDIRPLUS,
]);

/** INTERRUPTs that may have come before their requests. */
const MOST_EARLY = 64;

export class Session implements Receiver {
  /** Resolves at the answer to INIT; rejects if the mount ends before. */
  readonly ready: Promise<Agreement>;
  /** Resolves to the errno that ended the mount. */
  readonly finished: Promise<number>;
  readonly #server: Server;
  readonly #transport: Transport;
  readonly #options: SessionOptions;
  readonly #onError: OnError;
  /** By `unique`, in the order of their deadlines. */
  readonly #flights = new Map<number | bigint, Flight>();
  /** Requests that were interrupted before they came. */
  readonly #early = new Set<number | bigint>();
  readonly #began: PromiseWithResolvers<Agreement>;
  readonly #over: PromiseWithResolvers<number>;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #referenced = true;
  #requests = 0;
  #errors = 0;

  constructor(server: Server, transport: Transport, options: SessionOptions) {
    this.#server = server;
    this.#transport = transport;
    this.#options = options;
    this.#onError = teller(options.onError);
    this.#began = Promise.withResolvers();
    this.#over = Promise.withResolvers();
    this.ready = this.#began.promise;
    this.finished = this.#over.promise;
    this.ready.catch(() => {}); // Whoever waits for it is told.
    server.notify = (message) => transport.notify(message);
    server.abandon = (fh) => this.#release(server.take(fh));
    server.tell = (error, node) => this.#tell(error, "FORGET", node);
  }

  /** Counts what the session has done, and what it is doing. */
  stats(): SessionStats {
    const { nodes, files } = this.#server;
    return {
      requests: this.#requests,
      errors: this.#errors,
      inFlight: this.#flights.size,
      nodes: nodes.size,
      handles: files.size,
      backed: this.#server.backings?.size ?? 0,
    };
  }

  receive(request: FuseRequest): boolean {
    this.#requests++;
    switch (request.opcode) {
      case uapi.FUSE_FORGET:
        this.#server.forget(
          request.nodeid,
          Number(request.id(uapi.fuse_forget_in.nlookup)),
        );
        return true;
      case uapi.FUSE_BATCH_FORGET:
        this.#forgetMany(request);
        return true;
      case uapi.FUSE_INTERRUPT:
        this.#interrupt(request.id(uapi.fuse_interrupt_in.unique));
        return true;
      case uapi.FUSE_INIT:
        this.#init(request);
        return true;
      case uapi.FUSE_DESTROY:
        this.#answer(request, 0);
        return true;
      default:
        return this.#call(request);
    }
  }

  ended(errno: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    const reason = new DOMException("The mount has ended.", "AbortError");
    for (const { ctx } of this.#flights.values()) {
      Context.interrupt(ctx, reason);
    }
    for (const file of this.#server.files.takeAll()) this.#release(file);
    this.#began.reject(new Error("The mount ended before it began."));
    this.#over.resolve(errno);
  }

  ref(): void {
    this.#referenced = true;
    if (this.#timer !== null) Deno.refTimer(this.#timer);
    this.#transport.ref();
  }

  unref(): void {
    this.#referenced = false;
    if (this.#timer !== null) Deno.unrefTimer(this.#timer);
    this.#transport.unref();
  }

  // ---- Calls -----------------------------------------------------------------

  #call(request: FuseRequest): boolean {
    const ctx = new Context(request);
    if (this.#early.size > 0 && this.#early.delete(request.unique)) {
      Context.interrupt(ctx, interruption());
    }
    let result;
    try {
      const operation = OPERATIONS[request.opcode];
      result = operation === undefined
        ? -E.ENOSYS
        : operation(this.#server, request, ctx);
    } catch (error) {
      result = this.#failure(error, request, ctx);
    }
    if (typeof result === "number") {
      this.#answer(request, result);
      return true;
    }
    this.#wait(request, ctx, result);
    return false;
  }

  /** Answers when the promise settles, or when its time is over. */
  #wait(request: FuseRequest, ctx: Context, result: PromiseLike<number>): void {
    const { timeoutMs } = this.#options;
    const { unique } = request;
    const deadline = timeoutMs > 0 ? performance.now() + timeoutMs : Infinity;
    const ticket = SEARCHES.has(request.opcode) ? this.#server.search() : -1;
    const flight: Flight = { request, ctx, deadline, ticket, answered: false };
    this.#flights.set(unique, flight);
    if (timeoutMs > 0 && this.#timer === null) this.#setTimer(timeoutMs);
    const settle = (result: number) => {
      if (this.#flights.get(unique) === flight) this.#flights.delete(unique);
      if (flight.answered) this.#settleLate(flight, result);
      else {
        if (ticket >= 0) this.#server.found(ticket);
        this.#answer(request, result);
      }
      this.#transport.free(request);
    };
    result.then(
      settle,
      (error) => settle(this.#failure(error, request, ctx)),
    );
  }

  #settleLate({ request, ticket }: Flight, result: number): void {
    const byteLength = Math.max(result, 0);
    if (ticket >= 0) this.#server.foundLate(request, byteLength);
    else if (byteLength > 0) this.#server.undo(request, byteLength);
  }

  /** Returns `-errno` of what a handler threw. */
  #failure(error: unknown, request: FuseRequest, ctx: Context): number {
    const errno = errnoOf(error, ctx.interrupted);
    if (errno === 0 || error instanceof TooLarge) {
      this.#tellOf(request, error);
    }
    return errno === 0 ? -E.EIO : -errno;
  }

  /** Tells the program what became EIO. */
  #tellOf({ opcode, nodeid }: FuseRequest, error: unknown): void {
    this.#tell(error, operationName(opcode), nodeid);
  }

  #tell(error: unknown, op: string, file: AnyNode | number): void {
    const { nodes, fs } = this.#server;
    let path: string | null = null;
    try {
      const node = typeof file === "number" ? nodes.get(file) : file;
      path = fs.pathOf?.(node) ?? null;
    } catch {
      // The node is gone.
    }
    this.#onError(error, op, path);
  }

  #answer(request: FuseRequest, result: number): void {
    if (result < 0) this.#errors++;
    const wanted = result < 0
      ? this.#transport.reply(request, -result, 0)
      : this.#transport.reply(request, 0, result);
    if (!wanted && result > 0) this.#server.undo(request, result);
  }

  /** Releases a file that the kernel will not release. */
  async #release(
    { node, handle, directory }: ReturnType<Server["files"]["take"]>,
  ): Promise<void> {
    const { fs } = this.#server;
    const ctx = new Context({ uid: 0, gid: 0, pid: 0 });
    ctx.handle = handle;
    try {
      if (directory) await fs.releasedir?.(node, ctx);
      else await fs.release?.(node, ctx);
    } catch (error) {
      this.#tell(error, "RELEASE", node);
    }
  }

  // ---- Requests that the session answers itself ------------------------------

  #init(request: FuseRequest): void {
    const { agreement, result } = negotiate(request, this.#options.wishes);
    const backed = agreement?.flags.includes("PASSTHROUGH") === true;
    if (!backed) this.#server.backings = null;
    this.#answer(request, result);
    if (agreement === null) {
      return this.#began.reject(new Error("The kernel's FUSE is too old."));
    }
    this.#transport.agreed(agreement).then(
      () => this.#began.resolve(agreement),
      (error) => this.#began.reject(error),
    );
  }

  #forgetMany(request: FuseRequest): void {
    const count = request.u32(uapi.fuse_batch_forget_in.count);
    request.skip(8);
    request.pairs(count, (id, lookups) => this.#server.forget(id, lookups));
  }

  #interrupt(unique: number | bigint): void {
    const flight = this.#flights.get(unique);
    if (flight !== undefined) {
      return Context.interrupt(flight.ctx, interruption());
    }
    // It was answered, or it comes later by another queue.
    if (this.#early.size >= MOST_EARLY) this.#early.clear();
    this.#early.add(unique);
  }

  // ---- Time ------------------------------------------------------------------

  #setTimer(delayMs: number): void {
    this.#timer = setTimeout(() => this.#checkTime(), delayMs);
    if (!this.#referenced) Deno.unrefTimer(this.#timer);
  }

  /** Answers for handlers that have not. Their memory stays theirs. */
  #checkTime(): void {
    this.#timer = null;
    const now = performance.now();
    for (const [unique, flight] of this.#flights) {
      if (flight.deadline > now) {
        this.#setTimer(Math.ceil(flight.deadline - now));
        return;
      }
      this.#flights.delete(unique);
      flight.answered = true;
      if (flight.ticket >= 0) this.#server.lose(flight.ticket);
      const { timeoutMs } = this.#options;
      const error = new DOMException(
        `No answer after ${timeoutMs} ms (timeoutMs). The caller got EIO.`,
        "TimeoutError",
      );
      Context.interrupt(flight.ctx, error);
      this.#tellOf(flight.request, error);
      this.#answer(flight.request, -E.EIO);
    }
  }
}

function interruption(): DOMException {
  return new DOMException(
    "The caller of the operation got a signal.",
    "AbortError",
  );
}
