/**
 * The completions of a multishot command as an async iterator.
 *
 * Values that nobody waits for are kept in order. Leaving the loop cancels the
 * command, and waits until the kernel has let go of it.
 */
export class CommandStream<T> implements AsyncIterableIterator<T> {
  readonly #values: T[] = [];
  readonly #takers: PromiseWithResolvers<IteratorResult<T>>[] = [];
  readonly #cancel: () => void;
  readonly #ended: PromiseWithResolvers<void> = Promise.withResolvers();
  #done = false;
  #error: { error: unknown } | null = null;

  constructor(cancel: () => void) {
    this.#cancel = cancel;
  }

  push(value: T): void {
    const taker = this.#takers.shift();
    if (taker) taker.resolve({ done: false, value });
    else this.#values.push(value);
  }

  /** The last completion has come: nothing follows it. */
  end(failure: { error: unknown } | null): void {
    this.#done = true;
    this.#error = failure;
    this.#ended.resolve();
    for (const taker of this.#takers.splice(0)) {
      const error = this.#takeError();
      if (error) taker.reject(error.error);
      else taker.resolve({ done: true, value: undefined });
    }
  }

  next(): Promise<IteratorResult<T>> {
    if (this.#values.length > 0) {
      return Promise.resolve({ done: false, value: this.#values.shift()! });
    }
    if (this.#done) {
      const error = this.#takeError();
      if (error) return Promise.reject(error.error);
      return Promise.resolve({ done: true, value: undefined });
    }
    const taker = Promise.withResolvers<IteratorResult<T>>();
    this.#takers.push(taker);
    return taker.promise;
  }

  async return(): Promise<IteratorResult<T>> {
    if (!this.#done) this.#cancel();
    await this.#ended.promise;
    this.#values.length = 0;
    this.#error = null;
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** An error is thrown once; after it the stream is just over. */
  #takeError(): { error: unknown } | null {
    const error = this.#error;
    this.#error = null;
    return error;
  }
}
