import { LentBuffer } from "../buffer_ring.ts";
import { E } from "../../sys/uapi/errno.ts";
import { UringError } from "../errors.ts";
import { append } from "../intrinsics.ts";
import type { Receiver, Slot } from "./slot.ts";

/** A value that has not been asked for. */
interface Kept<T> {
  readonly value: T;
  next: Kept<T> | null;
}

/**
 * The completions of a multishot command as an async iterator.
 *
 * Values that the program has not asked for are kept in order. Leaving the loop
 * cancels the command, and waits until the kernel has let go of it. Buffers that the
 * program has not asked for go back then.
 *
 * If the kernel ends the command because such buffers are all that there are, the
 * stream pauses. It starts the command again when the program has asked for them all.
 */
export class CommandStream<T> implements AsyncIterableIterator<T>, Receiver {
  #first: Kept<T> | null = null;
  #last: Kept<T> | null = null;
  readonly #takers: PromiseWithResolvers<IteratorResult<T>>[] = [];
  /** The slot of the command. Another may have it once the command is over. */
  slot: Slot | null = null;
  /** Starts the command again; `null` if it has no provided buffers. */
  start: (() => Slot) | null = null;
  readonly #cancel: (slot: Slot) => void;
  #paused = false;
  readonly #ended: PromiseWithResolvers<void> = Promise.withResolvers();
  #done = false;
  #error: { error: unknown } | null = null;

  constructor(cancel: (slot: Slot) => void) {
    this.#cancel = cancel;
  }

  value(_: Slot, value: unknown): void {
    if (this.#takers.length > 0) {
      const taker = this.#takers[0];
      taker.resolve({ done: false, value: value as T });
      this.#takers.shift();
      return;
    }
    const kept = { value: value as T, next: null };
    if (this.#last === null) this.#first = kept;
    else this.#last.next = kept;
    this.#last = kept;
  }

  error(_: Slot, error: unknown): void {
    this.#paused = this.start !== null && this.#first !== null &&
      error instanceof UringError && error.errno === E.ENOBUFS;
    if (!this.#paused) this.#finish({ error });
  }

  end(): void {
    if (!this.#paused) this.#finish(null);
  }

  #finish(failure: { error: unknown } | null): void {
    if (this.#done) return;
    this.#error = failure;
    this.#ended.resolve();
    while (this.#takers.length > 0) {
      const taker = this.#takers[0];
      if (failure) taker.reject(failure.error);
      else taker.resolve({ done: true, value: undefined });
      // The error is thrown once: a later taker finds that the stream is over.
      failure = this.#error = null;
      this.#takers.shift();
    }
    this.#done = true;
  }

  next(): Promise<IteratorResult<T>> {
    const kept = this.#first;
    if (kept !== null) {
      this.#first = kept.next;
      if (this.#first === null) this.#last = null;
      return Promise.resolve({ done: false, value: kept.value });
    }
    if (this.#done) {
      const error = this.#error;
      this.#error = null;
      if (error) return Promise.reject(error.error);
      return Promise.resolve({ done: true, value: undefined });
    }
    if (this.#paused) {
      this.#paused = false; // First: a `precheck` may ask for a value, too.
      try {
        this.slot = this.start!();
      } catch (error) {
        this.#paused = true;
        return Promise.reject(error);
      }
    }
    const taker = Promise.withResolvers<IteratorResult<T>>();
    append(this.#takers, taker);
    return taker.promise;
  }

  async return(): Promise<IteratorResult<T>> {
    if (this.#paused) {
      this.#paused = false;
      this.#finish(null);
    } else if (!this.#done && this.slot?.receiver === this) {
      this.#cancel(this.slot);
    }
    await this.#ended.promise;
    for (let kept = this.#first; kept !== null; kept = kept.next) {
      if (LentBuffer.is(kept.value)) kept.value.release();
    }
    this.#first = null;
    this.#last = null;
    this.#error = null;
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
