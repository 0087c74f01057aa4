/**
 * A service: a fixed set of tags, each of which the kernel completes with a request,
 * and which goes back into the kernel with the reply. The servers of FUSE over
 * io_uring and of ublk are services.
 *
 * **What is different from `Ring`.** A command of a ring is over with its last CQE. A
 * tag is one command after another, for as long as the service lives, with the same
 * memory and the same SQE: see {@linkcode Tags}. There is no promise for a completion,
 * and no `Command` for a reply.
 *
 * **Contract.** The ring is released once: by `close`, when no tag is in flight, or by
 * `abandon` at once.
 *
 * @module
 */

import * as uapi from "../../sys/uapi/io_uring.ts";
import { type RingHandle, setupFor } from "../bare/setup.ts";
import { checkInteger } from "../check.ts";
import type { Command } from "../command.ts";
import { fatalAdvice, UringError } from "../errors.ts";
import { closed, opened } from "../loop/unload.ts";
import { type TagReceiver, Tags } from "./tags.ts";
import { type RunEnd, Turns } from "./turns.ts";

/** Options of {@linkcode Service.open}. */
export interface ServiceOptions {
  /** Tags, numbered from 0: from 1 to 32767. */
  tags: number;
  /** SQEs of 128 bytes. */
  sqe128?: boolean;
  /**
   * Complete tags only in io_uring_enter(), where the kernel can (Linux 6.1): for a
   * service that sleeps in `run`. In the event loop it takes two calls for a wake-up,
   * where otherwise one is enough. Default: `false`.
   */
  deferTaskrun?: boolean;
  /** Most kernel workers of this thread. Default: as it is. */
  maxWorkers?: number;
  /** As of `Ring.open`. Default: `true`. */
  spin?: boolean;
  /**
   * Takes the error after which the ring cannot go on. The service was abandoned
   * then. Default: it is reported as uncaught.
   */
  failed?: (error: UringError) => void;
}

/** Counts of what a service has done so far. */
export interface ServiceStats {
  /** Calls of io_uring_enter(). */
  readonly enters: number;
  /** Times that a completion woke the event loop. */
  readonly wakes: number;
  /** Tags that were submitted, each time. */
  readonly submitted: number;
  /** Completions that were told. */
  readonly completions: number;
}

/** A ring with a fixed set of tags. */
export class Service {
  readonly #handle: RingHandle;
  readonly #count: number = 0;
  readonly #tags: Tags;
  readonly #turns: Turns;
  readonly #failed: (error: UringError) => void;
  #closed: PromiseWithResolvers<void> | null = null;

  private constructor(handle: RingHandle, options: ServiceOptions) {
    const { tags, spin = true } = options;
    this.#handle = handle;
    this.#count = tags;
    this.#tags = new Tags(handle.sq, handle.cq, tags + 1);
    this.#turns = new Turns(handle, this.#tags, tags, spin, {
      idle: () => this.#idle(),
      fail: (errno) => this.#fail(errno),
    });
    this.#failed = options.failed ?? ((error) => reportError(error));
    opened(this);
  }

  /**
   * Opens a ring for a service. The service belongs to this thread, and lives until
   * `close` or `abandon`, even if nothing refers to it.
   *
   * @throws {UringError} if the kernel refuses, with the reason and the remedy.
   */
  static open(options: ServiceOptions): Service {
    const { tags, sqe128, deferTaskrun, maxWorkers } = options;
    checkInteger("tags", tags, 1, 32767);
    const flags = sqe128 ? uapi.IORING_SETUP_SQE128 : 0;
    const optional = uapi.IORING_SETUP_SUBMIT_ALL |
      uapi.IORING_SETUP_SINGLE_ISSUER | uapi.IORING_SETUP_COOP_TASKRUN |
      uapi.IORING_SETUP_TASKRUN_FLAG |
      (deferTaskrun ? uapi.IORING_SETUP_DEFER_TASKRUN : 0);
    // With `hold` the SQEs are taken by their numbers.
    const asked = {
      entries: tags + 1,
      flags,
      optional,
      hold: true,
      maxWorkers,
    };
    return setupFor(asked, (handle) => new Service(handle, options));
  }

  /** `false` once the service was closed or abandoned. */
  get isOpen(): boolean {
    return !this.#turns.over;
  }

  /** The tags in flight: submitted, and not completed for the last time. */
  get inFlight(): number {
    return this.#turns.inFlight;
  }

  /** Returns counts of what the service has done so far. */
  stats(): ServiceStats {
    const { submitted, completions } = this.#tags;
    const { enters, wakes } = this.#turns;
    return { enters, wakes, submitted, completions };
  }

  /**
   * Allocates zeroed memory for the kernel, which is kept as long as the service
   * lives; for good, if it is abandoned with a tag in flight.
   */
  alloc(byteLength: number): Uint8Array {
    return this.#tags.alloc(byteLength);
  }

  /** Keeps memory of `alloc` as well. Returns its address, for use in other memory. */
  keep(bytes: Uint8Array): number {
    return this.#tags.keep(bytes);
  }

  /**
   * Fills the SQE of a tag that is not in flight with a command, and names the
   * receiver of its completions. All memory of the command is kept, and has to come
   * from `alloc`.
   *
   * Returns the words of the SQE. Between a completion and `submit`, they are the
   * caller's to change, except for words 8 and 9.
   */
  prepare(
    tag: number,
    command: Command<unknown>,
    receive: TagReceiver,
  ): Int32Array {
    checkInteger("tag", tag, 0, this.#count - 1);
    return this.#tags.prepare(tag, command, receive);
  }

  /**
   * Submits a tag with its SQE as it is now. All tags of a turn go to the kernel in
   * one call.
   *
   * @throws {TypeError} if the tag is in flight, or the service has ended.
   */
  submit(tag: number): void {
    const tags = this.#tags;
    if (!tags.isIdle(tag)) throw tags.refusal(tag);
    if (!this.#turns.covers) this.#turns.schedule();
    tags.push(tag);
  }

  /** Lets tags in flight keep the process alive, as they do from the start. */
  ref(): void {
    this.#turns.referenced = true;
  }

  /** Lets the process end while tags are in flight. */
  unref(): void {
    this.#turns.referenced = false;
  }

  /**
   * Serves, and sleeps in the kernel in between: for a worker whose receivers answer
   * at once. Timers, promises and messages of the thread wait until it returns, and
   * then the event loop goes on with the service.
   *
   * Returns `"idle"` when no tag is in flight, which includes the end of the service;
   * `"stopped"` after {@linkcode stop}; and `"signalled"` after a `StopSignal`, whose
   * descriptor is `stopFd`, was raised. It is lowered then, and this run or the next
   * returns once.
   *
   * @throws {TypeError} in a receiver.
   * @throws {UringError} if `stopFd` cannot be polled.
   */
  run({ stopFd = -1 }: { stopFd?: number } = {}): RunEnd {
    return this.#turns.run(stopFd);
  }

  /** Makes the {@linkcode run} return that calls this receiver, after this round. */
  stop(): void {
    this.#turns.stop();
  }

  // ---- The end ----------------------------------------------------------------

  /**
   * Ends the service when no tag is in flight. Until then it serves: the owner has
   * made the kernel complete the tags, as umount(2) does, and submits none again.
   */
  close(): Promise<void> {
    if (this.#closed !== null) return this.#closed.promise;
    const closed = Promise.withResolvers<void>();
    if (this.#turns.over) closed.resolve();
    else this.#turns.schedule();
    this.#closed = closed;
    return closed.promise;
  }

  /**
   * Ends the service at once, without waiting for the kernel: gives back the ring's
   * descriptor and mappings. The kernel then cancels what is in flight. As it may
   * write to the memory for some time, that is kept for good if a tag is in flight.
   * There are no more completions.
   */
  abandon(): void {
    if (this.#turns.over) return;
    this.#tags.abandon();
    this.#release();
  }

  /** Ends the service with its page. */
  tearDown(): void {
    this.abandon();
  }

  #idle(): void {
    if (this.#closed !== null) this.#release();
  }

  #fail(errno: number): void {
    const { fd } = this.#handle;
    const why = fatalAdvice(errno);
    const error = new UringError("io_uring_enter", fd, errno, why);
    this.abandon();
    try {
      this.#failed(error);
    } catch (thrown) {
      reportError(thrown);
    }
  }

  /** Gives back the ring. A call that was cut short can be made again. */
  #release(): void {
    this.#turns.end();
    this.#handle.close();
    this.#tags.end();
    closed(this);
    this.#turns.over = true;
    this.#closed?.resolve();
  }
}
