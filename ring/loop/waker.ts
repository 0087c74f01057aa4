/**
 * What wakes the event loop, for all rings of an isolate.
 *
 * Each ring signals an eventfd. A small ring of the waker's own reads that
 * eventfd and, linked to the read, writes a byte to a pipe, whose other end the
 * event loop watches as a `node:net` socket: no thread waits, no call blocks, and
 * the socket keeps the process alive only while it is held.
 *
 * @module
 */

import type { Socket } from "node:net";
import type process from "node:process";
import {
  EAGAIN,
  EBADF,
  EBUSY,
  EINTR,
  EINVAL,
  EOPNOTSUPP,
} from "../../sys/uapi/errno.ts";
import { O_CLOEXEC } from "../../sys/uapi/fcntl.ts";
import { close } from "../../sys/file.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { syscall } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";
import { Command } from "../command.ts";
import { UringError } from "../errors.ts";
import { type Block, take } from "../flight/pool.ts";
import { registerFiles } from "../bare/register.ts";
import { type RingHandle, setup } from "../bare/setup.ts";

/** Halves of `user_data` that tell the waker's own completions apart. */
const READ = 1;
const WRITE = 2;
const CANCEL = 3;

/** Times that io_uring_enter() may say that there is no memory or no room. */
const TRIES = 64;

/** Who has an eventfd read. */
export interface Listener {
  /** The read has completed: `true` when `rung` is to be called. */
  taken(res: number): boolean;
  /** The eventfd was signalled. */
  rung(): void;
  /** The waker cannot go on. */
  disconnect(): void;
}

/** The byte that is written to pipes. It does not matter which it is. */
let byte: Block | undefined;

/** Reads eventfds for its listeners, and ends with the last of them. */
export class Waker {
  static #current: Waker | null = null;

  /** The waker of this isolate, made where there is none. */
  static current(): Waker {
    return Waker.#current ??= new Waker();
  }

  readonly #listeners = new Map<number, Listener>();
  readonly #handle: RingHandle;
  readonly #socket: Socket;
  /** Those whose signal was seen, and that are not rung yet. */
  readonly #signalled: Listener[] = [];
  #holds = 0;
  #nextId = 1;
  #closed = false;

  private constructor() {
    this.#handle = setup({
      entries: 8,
      cqEntries: 256,
      optional: uapi.IORING_SETUP_COOP_TASKRUN |
        uapi.IORING_SETUP_SINGLE_ISSUER | uapi.IORING_SETUP_NO_SQARRAY |
        uapi.IORING_SETUP_SUBMIT_ALL,
    });
    try {
      byte ??= take(1);
      byte.address; // Which may be the first thing that cannot be had.
      this.#socket = watch(pipeTo(this.#handle.fd));
    } catch (error) {
      this.#handle.close();
      throw error;
    }
    this.#socket.on("data", () => this.#wake());
    this.#socket.on("error", () => this.#fail(EINVAL));
    this.#socket.unref();
  }

  add(listener: Listener): number {
    this.#listeners.set(this.#nextId, listener);
    return this.#nextId++;
  }

  remove(id: number): void {
    this.#listeners.delete(id);
    if (this.#listeners.size > 0 || this.#closed) return;
    // The last ring has gone: leave nothing open.
    this.#end();
    this.#handle.close();
  }

  #end(): void {
    this.#closed = true;
    if (Waker.#current === this) Waker.#current = null;
    this.#socket.destroy();
  }

  /** It cannot go on, and its listeners are told. */
  #fail(errno: number): void {
    if (this.#closed) return;
    this.#end();
    // The number may be another file's, where it is not that of a ring.
    if (errno !== EBADF && errno !== EOPNOTSUPP) this.#handle.close();
    for (const listener of [...this.#listeners.values()]) listener.disconnect();
  }

  hold(on: boolean): void {
    if (this.#closed) return;
    this.#holds += on ? 1 : -1;
    if (on && this.#holds === 1) this.#socket.ref();
    else if (!on && this.#holds === 0) this.#socket.unref();
  }

  arm(id: number, eventfd: number, address: number): void {
    this.#push(id, READ, {
      opcode: uapi.IORING_OP_READ,
      flags: uapi.IOSQE_IO_LINK,
      file: eventfd,
      addr: address,
      len: 8,
    });
    this.#push(id, WRITE, {
      opcode: uapi.IORING_OP_WRITE,
      flags: uapi.IOSQE_CQE_SKIP_SUCCESS | uapi.IOSQE_FIXED_FILE,
      fdWord: 0, // The pipe.
      addr: byte!.address,
      len: 1,
    });
    this.#enter(0, 0);
    // A read that has failed writes no byte.
    this.#take();
  }

  /** Cancels the read of an eventfd, and waits for the outcome. */
  disarm(id: number): void {
    this.#push(0, CANCEL, {
      opcode: uapi.IORING_OP_ASYNC_CANCEL,
      flags: uapi.IOSQE_CQE_SKIP_SUCCESS,
      addr: BigInt(READ) << 32n | BigInt(id),
    });
    this.#enter(1, uapi.IORING_ENTER_GETEVENTS);
    this.#take();
  }

  #push(
    id: number,
    what: number,
    sqe: {
      opcode: number;
      flags: number;
      file?: number;
      fdWord?: number;
      addr: number | bigint;
      len?: number;
    },
  ): void {
    const { sq } = this.#handle;
    const at = sq.next();
    new Command({ __proto__: null, name: "wake", ...sqe }).encode(
      sq.words,
      at,
      false,
      id,
      what,
    );
  }

  /** Submits all that is queued, so that the queue is empty again. */
  #enter(minComplete: number, flags: number): void {
    for (let tries = 0; !this.#closed;) {
      const toSubmit = this.#handle.sq.publish();
      const rc = this.#handle.enter(toSubmit, minComplete, flags);
      if (rc >= toSubmit) return;
      if (rc === 0 || rc === -EINTR) continue;
      // A read without its write has the ring wait for ever.
      if (rc > 0) return this.#fail(EAGAIN);
      if (!isPassing(-rc) || ++tries === TRIES) return this.#fail(-rc);
      this.#takePosted();
    }
  }

  /** Takes what has completed, so that each bell knows. No ring is told yet. */
  #take(): void {
    this.#takePosted();
    while (!this.#closed && this.#handle.sq.needsEnter) {
      this.#enter(0, uapi.IORING_ENTER_GETEVENTS);
      if (this.#takePosted() === 0) return;
    }
  }

  #takePosted(): number {
    let taken = 0;
    const { cq } = this.#handle;
    while (!this.#closed && cq.next()) {
      const { userDataLow, userDataHigh, res } = cq;
      cq.commit();
      taken++;
      if (userDataHigh !== READ) continue; // Its read failed, and says so.
      const listener = this.#listeners.get(userDataLow);
      if (listener?.taken(res)) this.#signalled.push(listener);
    }
    return taken;
  }

  /**
   * Rings whose signal was seen are told. What they do may close others, take
   * more completions, or end this waker; a byte is still to come for each of
   * these completions, since it is written when its read has completed.
   */
  #wake(): void {
    this.#take();
    for (const listener of this.#signalled.splice(0)) {
      try {
        listener.rung();
      } catch (error) {
        reportError(error); // It is not for the next ring to suffer from.
      }
    }
  }
}

/** A pipe: the end to read from. The other is the first file of the ring `fd`. */
function pipeTo(fd: number): number {
  const { view, at } = scratch();
  must("pipe2", syscall("pipe2", at, O_CLOEXEC));
  const readEnd = view.getInt32(0, true);
  const writeEnd = view.getInt32(4, true);
  // A link looks for its file when it starts. By a number it might find another
  // one, where this waker has ended.
  const rc = registerFiles(fd, [writeEnd]);
  close(writeEnd);
  if (rc < 0) close(readEnd);
  must("io_uring_register", rc);
  return readEnd;
}

/**
 * Has the event loop watch the end of a pipe. Node's modules take 20 ms to load,
 * more than all of this library, so that they are loaded when first needed, and
 * not through an import, which would make every caller wait for a promise.
 */
function watch(fd: number): Socket {
  const node = globalThis as unknown as { process: typeof process };
  const net = node.process.getBuiltinModule("node:net");
  return new net.Socket({ fd, writable: false });
}

/** Errors of io_uring_enter() that pass by themselves. */
function isPassing(errno: number): boolean {
  return errno === EAGAIN || errno === EBUSY;
}

/** The result of a system call that is not to fail. */
export function must(call: string, rc: number): number {
  if (rc < 0) throw new UringError(call, -1, -rc);
  return rc;
}
