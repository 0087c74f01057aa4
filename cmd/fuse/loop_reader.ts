/**
 * Lets the event loop itself read /dev/fuse, as it reads a pipe: a request is in memory
 * when the program is called. A wait with io_uring costs a submission, a completion, a
 * signal of that, and a promise in addition.
 *
 * **The end of the mount** is an error of the descriptor, which Deno does not report to
 * a reader. A timer looks for it, and `RingWaiter` does so when the table of mounts
 * changes.
 *
 * **Contract.** From `start` on, the event loop writes to the memory whenever the
 * program does not run, until `into` or `stop`. The reader has a descriptor of its own.
 */

import { F_DUPFD_CLOEXEC } from "../../sys/uapi/fcntl.ts";
import { close } from "../../sys/file.ts";
import { syscall } from "../../sys/libc.ts";
import { newPipe, type Pipe } from "../../ring/loop/deno_pipe.ts";
import { closed, opened } from "../../ring/loop/unload.ts";

/** Milliseconds between two looks for the end of the mount. */
const LOOK_MS = 1000;

/** The receiver of what a reader finds. */
export interface Listener {
  /** Handles a read: the memory has a request, unless the read has failed. */
  came(): void;
  /** Looks whether the mount has ended. */
  look(): void;
}

/** A reader of /dev/fuse in the event loop. */
export class LoopReader {
  readonly #pipe: Pipe;
  readonly #timer: ReturnType<typeof setInterval>;
  #closed = false;

  /** Throws if Deno has no pipes that do this. */
  constructor(fd: number, listener: Listener) {
    const pipe = this.#pipe = newPipe();
    pipe.onread = () => {
      if (!this.#closed) listener.came();
    };
    const own = syscall("fcntl", fd, F_DUPFD_CLOEXEC, 0);
    const rc = own < 0 ? own : pipe.open(own);
    if (rc !== 0) {
      if (own >= 0) close(own);
      throw new Error(`a pipe of Deno takes no /dev/fuse: ${rc}`);
    }
    this.#timer = setInterval(() => listener.look(), LOOK_MS);
    Deno.unrefTimer(this.#timer);
    opened(this);
  }

  /** Sets the memory that the next request is read into. */
  into(bytes: Uint8Array): void {
    this.#pipe.useUserBuffer(bytes);
  }

  /** Begins to read, or goes on after a read that has failed. */
  start(): void {
    if (!this.#closed) this.#pipe.readStart();
  }

  /** Leaves the memory alone. */
  stop(): void {
    this.#pipe.readStop();
  }

  ref(): void {
    this.#pipe.ref();
  }

  unref(): void {
    this.#pipe.unref();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    this.#pipe.close();
    closed(this);
  }

  /** Closes the descriptor with its page. */
  tearDown(): void {
    this.close();
  }
}
