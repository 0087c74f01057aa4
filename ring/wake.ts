/**
 * How a completion that comes later reaches the event loop.
 *
 * One waker serves all rings of an isolate. Each ring signals an eventfd. A
 * small ring of the waker's own reads that eventfd and, linked to the read,
 * writes a byte to a pipe, whose other end the event loop watches as a
 * `node:net` socket: no thread waits, no call blocks, and the socket keeps the
 * process alive only while it is held.
 *
 * @module
 */

import type { Socket } from "node:net";
import type process from "node:process";
import { EAGAIN, EBUSY, EINTR } from "../sys/errno.ts";
import { O_CLOEXEC } from "../sys/fcntl.ts";
import { close } from "../sys/file.ts";
import * as uapi from "../sys/io_uring.ts";
import { syscall } from "../sys/libc.ts";
import { scratch } from "../sys/memory.ts";
import { Command } from "./command.ts";
import { UringError } from "./errors.ts";
import { type Block, give, take } from "./pool.ts";
import { registerEventfd, unregisterEventfd } from "./register.ts";
import { type RingHandle, setup } from "./setup.ts";

/** Halves of `user_data` that tell the waker's own completions apart. */
const READ = 1;
const WRITE = 2;
const CANCEL = 3;

let current: Waker | null = null;

/** A ring's end of the waker. */
export class Bell {
  readonly #waker: Waker;
  readonly #fd: number;
  /** The ring makes completions when it is entered (DEFER_TASKRUN). */
  readonly #deferred: boolean;
  readonly #eventfd: number;
  /** What the read of the eventfd is written to. */
  readonly #block: Block = take(8);
  readonly #id: number;
  readonly #ring: () => void;
  #armed = false;
  #held = false;

  /** Has `ring` called when the eventfd of the ring `fd` was signalled. */
  constructor(fd: number, deferred: boolean, ring: () => void) {
    this.#waker = current ??= new Waker();
    this.#fd = fd;
    this.#deferred = deferred;
    this.#ring = ring;
    // Not O_NONBLOCK: io_uring would answer a read with EAGAIN, not wait.
    this.#eventfd = must("eventfd2", syscall("eventfd2", 0, O_CLOEXEC));
    this.#id = this.#waker.add(this);
    must("io_uring_register", registerEventfd(fd, this.#eventfd));
  }

  /** Asks to be called at the next signal, unless that is asked already. */
  arm(): void {
    if (this.#armed) return;
    this.#armed = true;
    this.#waker.arm(this.#id, this.#eventfd, this.#block.address);
  }

  /** Keeps the process alive, or lets it go. */
  hold(on: boolean): void {
    if (this.#held === on) return;
    this.#held = on;
    this.#waker.hold(on);
  }

  /** The read has completed: with a signal, or cancelled. */
  rung(res: number): void {
    this.#armed = false;
    if (res < 0) return;
    if (this.#deferred) this.#renew();
    this.#ring();
  }

  /**
   * A completion that is deferred in the middle of a wake-up is signalled later,
   * and Linux 6.12.117, for one, then takes the eventfd to be signalled for ever
   * (io_eventfd_signal(), IO_EVENTFD_OP_SIGNAL_BIT): it would never be again. One
   * that is registered anew is. A restricted ring refuses that, and stays as it
   * is.
   */
  #renew(): void {
    if (unregisterEventfd(this.#fd) < 0) return;
    must("io_uring_register", registerEventfd(this.#fd, this.#eventfd));
  }

  /** Lets go of the eventfd. The ring it belongs to is idle, or gone. */
  close(): void {
    this.hold(false);
    // The kernel may write the block until the read has completed.
    while (this.#armed) this.#waker.disarm(this.#id);
    give(this.#block);
    close(this.#eventfd);
    this.#waker.remove(this.#id);
  }
}

class Waker {
  readonly #bells = new Map<number, Bell>();
  readonly #handle: RingHandle;
  readonly #pipe: number;
  readonly #socket: Socket;
  /** The byte that is written to the pipe. */
  readonly #byte: Block = take(1);
  #holds = 0;
  #nextId = 1;

  constructor() {
    this.#handle = setup({
      entries: 8,
      cqEntries: 256,
      optional: uapi.IORING_SETUP_COOP_TASKRUN |
        uapi.IORING_SETUP_SINGLE_ISSUER | uapi.IORING_SETUP_NO_SQARRAY |
        uapi.IORING_SETUP_SUBMIT_ALL,
    });
    const { view, at } = scratch();
    must("pipe2", syscall("pipe2", at, O_CLOEXEC));
    const readEnd = view.getInt32(0, true);
    this.#pipe = view.getInt32(4, true);
    this.#socket = watch(readEnd);
    this.#socket.on("data", () => this.#reap());
    this.#socket.unref();
  }

  add(bell: Bell): number {
    this.#bells.set(this.#nextId, bell);
    return this.#nextId++;
  }

  remove(id: number): void {
    this.#bells.delete(id);
    if (this.#bells.size > 0) return;
    // The last ring has gone: leave nothing open.
    current = null;
    this.#socket.destroy();
    this.#handle.close();
    close(this.#pipe);
    give(this.#byte);
  }

  hold(on: boolean): void {
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
      flags: uapi.IOSQE_CQE_SKIP_SUCCESS,
      file: this.#pipe,
      addr: this.#byte.address,
      len: 1,
    });
    this.#enter(0, 0);
  }

  /** Cancels the read of an eventfd, and waits for the outcome. */
  disarm(id: number): void {
    this.#push(0, CANCEL, {
      opcode: uapi.IORING_OP_ASYNC_CANCEL,
      flags: uapi.IOSQE_CQE_SKIP_SUCCESS,
      addr: BigInt(READ) << 32n | BigInt(id),
    });
    this.#enter(1, uapi.IORING_ENTER_GETEVENTS);
    this.#reap();
  }

  #push(
    id: number,
    what: number,
    sqe: {
      opcode: number;
      flags: number;
      file?: number;
      addr: number | bigint;
      len?: number;
    },
  ): void {
    const { sq } = this.#handle;
    const at = sq.next();
    new Command({ name: "wake", ...sqe }).encode(sq.words, at, false, id, what);
  }

  /** Submits all that is queued, so that the queue is empty again. */
  #enter(minComplete: number, flags: number): void {
    for (;;) {
      const toSubmit = this.#handle.sq.publish();
      const rc = this.#handle.enter(toSubmit, minComplete, flags);
      if (rc >= toSubmit) return;
      if (rc < 0 && !isPassing(-rc)) must("io_uring_enter", rc);
    }
  }

  #reap(): void {
    const { cq, sq } = this.#handle;
    const rung: [Bell, number][] = [];
    do {
      if (sq.needsEnter) this.#enter(0, uapi.IORING_ENTER_GETEVENTS);
      while (cq.next()) {
        if (cq.userDataHigh !== READ) continue; // Its read failed, and says so.
        const bell = this.#bells.get(cq.userDataLow);
        if (bell) rung.push([bell, cq.res]);
      }
      cq.commit();
    } while (sq.overflowed);
    for (const [bell, res] of rung) bell.rung(res);
  }
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
  return errno === EINTR || errno === EAGAIN || errno === EBUSY;
}

function must(call: string, rc: number): number {
  if (rc < 0) throw new UringError(call, -1, -rc);
  return rc;
}
