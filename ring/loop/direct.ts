/**
 * A wire without anything between the eventfd and the event loop: Deno reads the
 * eventfd itself, as it reads a pipe. A wake-up takes two thirds of the instructions
 * that it takes through the waker.
 *
 * A ring goes through the waker instead where the class of pipes or a method of it is
 * missing, and where it does not do what it did.
 *
 * **Contract.** The pipe owns the eventfd from `open`, and closes it once, unless
 * the number is another file's by then.
 *
 * @module
 */

import { newPipe, type Pipe } from "./deno_pipe.ts";
import type { Eventfd } from "./eventfd.ts";
import type { Listener, Wire } from "./wire.ts";

/** A pipe did not tell of signals to an eventfd that was still there. */
let unreliable = false;

/** A pipe of Deno that reads an eventfd. */
export class Direct implements Wire {
  readonly eventfd: Eventfd;
  readonly byNumber = true;
  readonly #listener: Listener;
  readonly #pipe: Pipe;
  #closed = false;
  /**
   * The two halves of what was read, and more room than the 8 bytes of an eventfd:
   * after such a read, Deno lets the program go on before it tries another.
   */
  readonly #count = new Uint32Array(4);

  private constructor(eventfd: Eventfd, listener: Listener) {
    this.eventfd = eventfd;
    this.#listener = listener;
    const pipe = newPipe();
    pipe.onread = () => this.#read();
    pipe.useUserBuffer(new Uint8Array(this.#count.buffer));
    this.#pipe = pipe;
  }

  /** Gives the eventfd to a pipe; `null` if there is none that takes it. */
  static open(eventfd: Eventfd, listener: Listener): Direct | null {
    if (unreliable) return null;
    try {
      const direct = new Direct(eventfd, listener);
      return direct.#pipe.open(eventfd.fd) === 0 ? direct : null;
    } catch {
      return null;
    }
  }

  /** Begins to read. Until `hold`, that lets the process end. */
  start(): void {
    this.#pipe.unref();
    this.#pipe.readStart();
  }

  #read(): void {
    if (this.#closed) return;
    const count = this.#count;
    // The read has failed: a signal counts from 1.
    if (count[0] === 0 && count[1] === 0) return this.fail();
    count[0] = count[1] = 0;
    this.#listener.rung();
  }

  /** Does nothing: the event loop reads all the time. */
  arm(): void {}

  /** Does nothing. */
  disarm(): void {}

  hold(on: boolean): void {
    if (on) this.#pipe.ref();
    else this.#pipe.unref();
  }

  fail(): void {
    if (this.eventfd.holder === "eventfd") unreliable = true;
    this.#listener.disconnect();
  }

  close(): void {
    if (this.#closed) return;
    // The number may be another file's, if somebody closed ours. Then the pipe
    // stays as it is for good: epoll has forgotten the eventfd. A second close of
    // the pipe does nothing.
    if (this.eventfd.holder === "other") this.#pipe.unref();
    else this.#pipe.close();
    this.eventfd.forget();
    this.#closed = true;
  }
}
