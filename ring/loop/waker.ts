/**
 * Wakes the event loop, for all rings of an isolate.
 *
 * Each ring signals an eventfd. The waker has a small ring of its own, which reads
 * that eventfd and, linked to the read, writes a byte to a pipe. The event loop
 * watches the other end of the pipe as a `node:net` socket: no thread waits, no
 * call blocks, and the socket keeps the process alive only while it is held.
 *
 * @module
 */

import type * as net from "node:net";
import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { Command, type CommandSpec } from "../command.ts";
import { type Block, take } from "../flight/pool.ts";
import { type RingHandle, setup } from "../bare/setup.ts";
import { pipeTo, watch } from "./pipe.ts";

// The high half of `user_data`, which distinguishes the waker's own completions.
const READ = 1;
const WRITE = 2;
const CANCEL = 3;

/**
 * Calls of io_uring_enter() that may report EAGAIN (no memory) or EBUSY (no room)
 * until the waker gives up.
 */
const TRIES = 64;
/** Milliseconds between two looks for signals whose byte did not come. */
const WATCHDOG_MS = 1000;

/** A receiver of the signals of one eventfd. */
export interface Listener {
  /** Notes that the read has completed. Returns `true` to have `rung` called. */
  taken(res: number): boolean;
  /** Handles a signal of the eventfd. */
  rung(): void;
  /** Handles the end of a waker that cannot continue. */
  disconnect(): void;
}

/** The byte that wakers write to their pipes. Its value is not used. */
let byte: Block | undefined;

/** A reader of eventfds for its listeners. It closes after the last has left. */
export class Waker {
  static #current: Waker | null = null;

  /** Returns the waker of this isolate, and makes it if there is none. */
  static current(): Waker {
    return Waker.#current ??= new Waker();
  }

  readonly #listeners = new Map<number, Listener>();
  readonly #handle: RingHandle;
  readonly #socket: net.Socket;
  /** The listeners whose signal was taken, and that are not rung yet. */
  readonly #signalled: Listener[] = [];
  /** Turns to take once the event loop has looked for I/O. */
  readonly #turns: (() => void)[] = [];
  /** Those that keep the process alive. */
  readonly #holders = new Set<unknown>();
  /** `true` if the socket was told to keep the process alive; `null` meanwhile. */
  #referenced: boolean | null = false;
  #watchdog: ReturnType<typeof setTimeout> | undefined;
  /** The watchdog found a signal without its byte. */
  #suspect = false;
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
      byte.address; // Maps the memory now, which throws if there is none.
      this.#socket = watch(pipeTo(this.#handle.fd), () => this.#wake());
    } catch (error) {
      this.#handle.close();
      throw error;
    }
    this.#socket.on("error", () => this.#fail(E.EINVAL));
    this.#socket.unref();
  }

  /** Adds a listener. Returns its id. */
  add(listener: Listener): number {
    this.#listeners.set(this.#nextId, listener);
    return this.#nextId++;
  }

  /**
   * Removes a listener, and closes the waker after the last one. A call that was
   * cut short can be made again.
   */
  remove(id: number): void {
    this.#listeners.delete(id);
    if (this.#listeners.size > 0 || this.#closed) return;
    this.#end();
    this.#handle.close();
    this.#closed = true;
  }

  #end(): void {
    if (Waker.#current === this) Waker.#current = null;
    for (const turn of this.#turns) setImmediate(turn);
    this.#turns.length = 0;
    clearTimeout(this.#watchdog);
    // In a microtask, where it is not cut short: it could not be made again.
    void Promise.resolve().then(() => this.#socket.destroy());
  }

  /** Closes a waker that cannot continue, and disconnects its listeners. */
  #fail(errno: number): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#end();
    // These errnos say that the descriptor is no ring's: it may be another file.
    if (errno !== E.EBADF && errno !== E.EOPNOTSUPP) this.#handle.close();
    for (const listener of [...this.#listeners.values()]) listener.disconnect();
  }

  /**
   * Keeps the process alive until each holder has released it. After a call that was
   * cut short, the next one tells the socket again.
   */
  hold(holder: unknown, on: boolean): void {
    if (this.#closed) return;
    if (on) this.#holders.add(holder);
    else this.#holders.delete(holder);
    const wanted = this.#holders.size > 0;
    if (wanted === this.#referenced) return;
    this.#referenced = null;
    if (wanted) {
      this.#socket.ref();
      this.#watchdog ??= this.#watch();
      Deno.refTimer(this.#watchdog);
    } else {
      this.#socket.unref();
      if (this.#watchdog !== undefined) Deno.unrefTimer(this.#watchdog);
    }
    this.#referenced = wanted;
  }

  #watch(): ReturnType<typeof setTimeout> {
    const timer = setTimeout(() => this.#look(), WATCHDOG_MS);
    if (this.#holders.size === 0) Deno.unrefTimer(timer);
    return timer;
  }

  /**
   * Rings listeners whose byte did not come. Somebody may have closed the pipe by
   * its number, or Deno's reading of it may have ended on a full stack, and then none
   * will: twice in a row, and this waker is closed. So the watchdog, too, keeps the
   * process alive.
   */
  #look(): void {
    this.#watchdog = undefined;
    if (this.#holders.size === 0 && this.#turns.length === 0) return;
    this.#take();
    const missing = this.#signalled.length > 0 || this.#turns.length > 0;
    if (missing && this.#suspect) return this.#fail(E.EPIPE);
    this.#watchdog = this.#watch();
    if (missing) this.#ringAll();
    this.#suspect = missing;
  }

  /**
   * Takes a turn once the event loop has looked for I/O. A byte is in the pipe by
   * then: the loop, which has nothing else to do, finds it together with all else
   * that is ready.
   */
  nudge(turn: () => void): void {
    if (this.#closed) return void setImmediate(turn);
    if (this.#turns.push(turn) > 1) return;
    this.hold(this.#turns, true);
    this.#pushWrite(0);
    this.#enter(0, 0);
  }

  /** Reads an eventfd into 8 bytes at `address`, to ring its listener. */
  arm(id: number, eventfd: number, address: number): void {
    this.#push(id, READ, {
      opcode: uapi.IORING_OP_READ,
      flags: uapi.IOSQE_IO_LINK,
      file: eventfd,
      addr: address,
      len: 8,
    });
    this.#pushWrite(id);
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

  #pushWrite(id: number): void {
    this.#push(id, WRITE, {
      opcode: uapi.IORING_OP_WRITE,
      flags: uapi.IOSQE_CQE_SKIP_SUCCESS | uapi.IOSQE_FIXED_FILE,
      fdWord: 0, // The pipe.
      addr: byte!.address,
      len: 1,
    });
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
      if (rc > 0) return this.#fail(E.EAGAIN);
      if (!isPassing(-rc) || ++tries === TRIES) return this.#fail(-rc);
      this.#takePosted();
    }
  }

  /** Takes the completions, so that each bell knows its state. Rings none yet. */
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
      const listener = this.#listeners.get(userDataLow);
      if (listener?.taken(res)) this.#signalled.push(listener);
    }
    return taken;
  }

  /**
   * Rings the listeners whose signal was taken. A listener may close others, take
   * more completions, or end this waker. The byte of a completion taken early
   * still comes, because the kernel writes it after the read has completed.
   */
  #wake(): void {
    this.#suspect = false;
    this.#take();
    this.#ringAll();
  }

  #ringAll(): void {
    const turns = this.#turns.splice(0);
    this.hold(this.#turns, false);
    for (const turn of turns) setImmediate(turn);
    for (const listener of this.#signalled.splice(0)) {
      try {
        listener.rung();
      } catch (error) {
        reportError(error); // The error of one ring must not stop the next.
      }
    }
  }
}

/** Returns `true` for an error of io_uring_enter() that passes by itself. */
function isPassing(errno: number): boolean {
  return errno === E.EAGAIN || errno === E.EBUSY;
}
