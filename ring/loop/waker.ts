/**
 * Wakes the event loop, for all rings of an isolate.
 *
 * Each ring signals an eventfd. The waker has a small ring of its own, which has
 * that eventfd in its table of files, reads it and, linked to the read, writes a byte
 * to a pipe. The event loop watches the other end of the pipe as a `node:net` socket:
 * no thread waits, no call blocks, and the socket keeps the process alive only while
 * it is held.
 *
 * @module
 */

import type * as net from "node:net";
import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { Command, type CommandSpec } from "../command.ts";
import { type Block, take } from "../flight/pool.ts";
import { append } from "../intrinsics.ts";
import { updateFile } from "../bare/register.ts";
import { type RingHandle, setup } from "../bare/setup.ts";
import { loadNet, must, pipeTo, type ReadEnd, watch } from "./pipe.ts";
import type { Listener } from "./wire.ts";

// The high half of `user_data`, which distinguishes the waker's own completions.
const READ = 1;
const WRITE = 2;
const CANCEL = 3;

/**
 * Calls of io_uring_enter() that may report EAGAIN (no memory) or EBUSY (no room)
 * until the waker gives up.
 */
const TRIES = 64;

/** A listener that hands over the memory for the read of its eventfd. */
export interface Reader extends Listener {
  /** Notes that the read has completed. Returns `true` to have `rung` called. */
  taken(res: number): boolean;
}

/** The byte that wakers write to their pipes. Its value is not used. */
let byte: Block | undefined;

/** A reader of eventfds for its listeners. It closes after the last has left. */
export class Waker {
  static #current: Waker | null = null;

  /** Returns the waker of this isolate, and makes it if there is none. */
  static current(): Waker {
    loadNet(); // Code of the program, which runs then, may make a waker too.
    if (Waker.#current !== null && Waker.#current.#isFull) {
      Waker.#current = null;
    }
    return Waker.#current ??= new Waker();
  }

  readonly #readers = new Map<number, Reader>();
  readonly #handle: RingHandle;
  readonly #socket: net.Socket;
  readonly #end: ReadEnd;
  /** The places of the table of files: 1 where there is one. */
  readonly #taken: Uint8Array;
  /** The readers whose signal was taken, and that are not rung yet. */
  readonly #signalled: Reader[] = [];
  /** Those that keep the process alive. */
  readonly #holders = new Set<Reader>();
  /** The last word to the socket; `null` if it may not have heard. */
  #referenced: boolean | null = false;
  #nextId = 1;
  /** Nothing enters the ring any more. */
  #closed = false;
  #released = false;

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
      byte.address; // Maps the memory now, which throws if there is none.
      this.#end = pipeTo(this.#handle.target());
      this.#taken = new Uint8Array(this.#end.places);
      this.#taken[0] = 1; // The pipe.
      this.#socket = watch(this.#end.fd, () => this.#wake());
    } catch (error) {
      this.#handle.close();
      throw error;
    }
    this.#socket.on("error", () => this.fail());
    this.#socket.unref();
  }

  /** `true` if the table of files has no place left: the next reader needs another. */
  get #isFull(): boolean {
    return !this.#taken.includes(0);
  }

  /** Adds a reader. Returns its id, and the place of its eventfd in the table. */
  add(reader: Reader, eventfd: number): [id: number, place: number] {
    const place = this.#taken.indexOf(0);
    try {
      must(
        "io_uring_register",
        updateFile(this.#handle.target(), place, eventfd),
      );
    } catch (error) {
      if (this.#readers.size === 0) this.#release();
      throw error;
    }
    this.#taken[place] = 1;
    this.#readers.set(this.#nextId, reader);
    return [this.#nextId++, place];
  }

  /**
   * Removes a reader, and closes the waker after the last one. A call that was cut
   * short can be made again.
   */
  remove(id: number, place: number): void {
    if (!this.#closed && this.#readers.has(id)) {
      updateFile(this.#handle.target(), place, -1);
      this.#taken[place] = 0;
    }
    this.#readers.delete(id);
    if (this.#readers.size === 0) this.#release();
  }

  /**
   * Closes a waker that cannot continue, and disconnects its readers. The last of
   * them to be removed does what was cut short.
   */
  fail(): void {
    if (!this.#closed) this.#release();
    for (const reader of [...this.#readers.values()]) reader.disconnect();
  }

  #release(): void {
    this.#closed = true;
    if (this.#released) return;
    if (Waker.#current === this) Waker.#current = null;
    // In a microtask, where it is not cut short: it could not be made again.
    void Promise.resolve().then(() => {
      if (this.#end.isAnothers) this.#socket.unref();
      else this.#socket.destroy();
    });
    this.#handle.close();
    this.#released = true;
  }

  /** `true` once this waker has failed, or the last reader has left. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Keeps the process alive until each holder has released it. After a call that was
   * cut short, the next one tells the socket again.
   */
  hold(holder: Reader, on: boolean): void {
    if (this.#closed) return;
    if (on) this.#holders.add(holder);
    else this.#holders.delete(holder);
    const wanted = this.#holders.size > 0;
    if (wanted === this.#referenced) return;
    this.#referenced = null;
    if (wanted) this.#socket.ref();
    else this.#socket.unref();
    this.#referenced = wanted;
  }

  /** Reads the eventfd of a place into 8 bytes at `address`, to ring its reader. */
  arm(id: number, place: number, address: number): void {
    this.#push(id, READ, {
      opcode: uapi.IORING_OP_READ,
      flags: uapi.IOSQE_IO_LINK | uapi.IOSQE_FIXED_FILE,
      fdWord: place,
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
    // A failed read cancels its write: no byte comes, so take it now.
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

  #push(id: number, kind: number, sqe: Omit<CommandSpec<number>, "name">) {
    const { sq } = this.#handle;
    const at = sq.next();
    const command = new Command({ __proto__: null, name: "wake", ...sqe });
    command.encode(sq.words, at, false, id, kind);
  }

  /** Submits all that is queued, so that the queue is empty again. */
  #enter(minComplete: number, flags: number): void {
    for (let tries = 0; !this.#closed;) {
      const toSubmit = this.#handle.sq.publish();
      const rc = this.#handle.enter(toSubmit, minComplete, flags);
      if (rc >= toSubmit) return;
      if (rc === 0 || rc === -E.EINTR) continue;
      // The kernel cut the chain: a read without its write would wake nothing.
      if (rc > 0) return this.fail();
      if (!isPassing(-rc) || ++tries === TRIES) return this.fail();
      this.#takePosted();
    }
  }

  /** Takes the completions, so that each reader knows its state. Rings none yet. */
  #take(): void {
    this.#takePosted();
    while (!this.#closed && this.#handle.sq.needsEnter) {
      this.#enter(0, uapi.IORING_ENTER_GETEVENTS);
      if (!this.#takePosted()) return;
    }
  }

  /** Takes the completions that are in the queue. Returns `false` if there are none. */
  #takePosted(): boolean {
    let taken = false;
    const { cq } = this.#handle;
    while (!this.#closed && cq.next()) {
      const { userDataLow, userDataHigh, res } = cq;
      cq.commit();
      taken = true;
      if (userDataHigh !== READ) continue; // The read it is linked to reports.
      const reader = this.#readers.get(userDataLow);
      if (reader?.taken(res)) append(this.#signalled, reader);
    }
    return taken;
  }

  /**
   * Rings the readers whose signal was taken. A reader may close others, take more
   * completions, or end this waker. The byte of a completion taken early still
   * comes, because the kernel writes it after the read has completed.
   */
  #wake(): void {
    this.#take();
    for (const reader of this.#signalled.splice(0)) reader.rung();
  }
}

/** Returns `true` for an error of io_uring_enter() that passes by itself. */
function isPassing(errno: number): boolean {
  return errno === E.EAGAIN || errno === E.EBUSY;
}
