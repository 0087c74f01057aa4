/**
 * A wire without anything between the eventfd and the event loop: Deno reads the
 * eventfd itself, as it reads a pipe. A wake-up takes two thirds of the instructions
 * that it takes through the waker.
 *
 * The class of pipes is internal to Deno, which took it from Node. So a ring goes
 * through the waker instead where the class or a method of it is missing, as before
 * Deno 2.8, and where it does not do what it did.
 *
 * **Contract.** The pipe owns the eventfd from `open`, and closes it once, unless
 * the number is another file's by then.
 *
 * @module
 */

import type { Eventfd } from "./eventfd.ts";
import type { Listener, Wire } from "./wire.ts";

/** The part of Deno's class of pipes that is used here. */
interface Pipe {
  /** Called after each read. */
  onread: () => void;
  /** Takes a descriptor. Returns 0, or `-errno`. */
  open(fd: number): number;
  /** Sets the memory to read into. */
  useUserBuffer(bytes: Uint8Array): void;
  readStart(): number;
  ref(): void;
  unref(): void;
  close(): void;
}

const METHODS = [
  "open",
  "useUserBuffer",
  "readStart",
  "ref",
  "unref",
  "close",
] as const;

interface Process {
  binding(name: "pipe_wrap"): { Pipe: new (type: number) => Pipe };
}

/** The type of pipe that `node:net` makes for a descriptor. */
const SOCKET = 0;

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
    const { process } = globalThis as unknown as { process: Process };
    const pipe = new (process.binding("pipe_wrap").Pipe)(SOCKET);
    const missing = METHODS.find((name) => typeof pipe[name] !== "function");
    if (missing !== undefined) throw new TypeError(`Pipe has no ${missing}()`);
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
