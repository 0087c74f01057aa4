/**
 * Tells a ring about completions that come later: through the waker, or through a
 * timer where there are no descriptors or no memory for the waker, or where the
 * kernel refuses it. So no completion is left unseen.
 *
 * **Contract.** The kernel may write a bell's block until the read of its eventfd
 * has completed. The bell gives the block back only then.
 *
 * @module
 */

import { O_CLOEXEC } from "../../sys/uapi/fcntl.ts";
import { close } from "../../sys/file.ts";
import { syscall } from "../../sys/libc.ts";
import { PollTimer } from "./polling.ts";
import { abandon, type Block, give, take } from "../flight/pool.ts";
import { registerEventfd, unregisterEventfd } from "../bare/register.ts";
import { must } from "./pipe.ts";
import { type Listener, Waker } from "./waker.ts";

/** Looks of the timer until a bell tries to connect again: 0.3 s at 20 ms each. */
const LOOKS_BEFORE_RECONNECT = 16;

/** The connection of a bell to the waker. */
interface Wire {
  readonly waker: Waker;
  readonly id: number;
  /** Negative once it is closed. */
  eventfd: number;
  /** The memory that the kernel reads the eventfd into, until it is given back. */
  block: Block | null;
}

/** A signal for one ring to look for completions. */
export class Bell implements Listener {
  readonly #fd: number;
  /** `true` if the ring posts completions only when entered (DEFER_TASKRUN). */
  readonly #deferred: boolean;
  readonly #ring: () => void;
  readonly #timer: PollTimer;
  #wire: Wire | null = null;
  /** The number of looks of the timer at which to try to connect again. */
  #retryAt = 0;
  /** `true` while a read of the eventfd is in flight. */
  #armed = false;
  /** The last word of `hold` to the waker or the timer; `null` while it speaks. */
  #held: boolean | null = false;
  #closed = false;

  /** Makes a bell that calls `ring` after each signal of the ring `fd`. */
  constructor(fd: number, deferred: boolean, ring: () => void) {
    this.#fd = fd;
    this.#deferred = deferred;
    this.#ring = ring;
    this.#timer = new PollTimer(ring);
    this.#connect();
  }

  /** Requests a call at the next signal, unless one is requested already. */
  arm(): void {
    if (this.#armed || this.#closed) return;
    if (this.#wire === null && this.#timer.looks >= this.#retryAt) {
      this.#connect();
    }
    if (this.#wire === null) return this.#timer.arm();
    const { waker, id, eventfd, block } = this.#wire;
    this.#armed = true;
    waker.arm(id, eventfd, block!.address);
  }

  /** Takes a turn once the event loop has looked for I/O. */
  nudge(turn: () => void): void {
    if (this.#wire === null) setImmediate(turn);
    else this.#wire.waker.nudge(turn);
  }

  /** Keeps the process alive, or lets it end. */
  hold(on: boolean): void {
    if (this.#held === on) return;
    this.#held = null; // Of a call that is cut short, the effect is not known.
    if (this.#wire === null) this.#timer.hold(on);
    else this.#wire.waker.hold(this, on);
    this.#held = on;
  }

  /** Notes that the read has completed. Returns `false` if it is no signal. */
  taken(res: number): boolean {
    this.#armed = false;
    if (this.#closed) return false;
    if (res < 0) this.disconnect();
    return res >= 0;
  }

  /** Calls the ring after a signal, unless the ring was closed meanwhile. */
  rung(): void {
    if (this.#closed) return;
    if (this.#deferred) this.#renew();
    this.#ring();
  }

  /**
   * Registers the eventfd again. The kernel signals a completion that is deferred
   * in the middle of a wake-up later. Some kernels, such as Linux 6.12.117, then
   * keep IO_EVENTFD_OP_SIGNAL_BIT set (io_eventfd_signal()) and never signal that
   * eventfd again, until it is registered anew.
   */
  #renew(): void {
    if (this.#wire === null) return;
    const { eventfd } = this.#wire;
    if (unregisterEventfd(this.#fd) < 0) this.disconnect();
    else if (registerEventfd(this.#fd, eventfd) < 0) this.disconnect();
  }

  #connect(): void {
    try {
      this.#wire = connect(this, this.#fd);
    } catch {
      // There are no descriptors or no memory, the ring was restricted, or the
      // permission for FFI was revoked: the ring is polled instead.
      this.#retryAt = this.#timer.looks + LOOKS_BEFORE_RECONNECT;
      return;
    }
    this.#timer.stop();
    if (this.#held) {
      this.#timer.hold(false);
      this.#wire.waker.hold(this, true);
    }
  }

  /** Switches to the timer, which starts at once. */
  disconnect(): void {
    const wire = this.#wire!;
    this.#letGo();
    unregisterEventfd(this.#fd);
    if (this.#held) {
      wire.waker.hold(this, false);
      this.#timer.hold(true);
    }
    this.#retryAt = this.#timer.looks + LOOKS_BEFORE_RECONNECT;
    if (!this.#closed) this.#timer.arm();
  }

  /**
   * Closes the eventfd and leaves the waker. A call that was cut short can be made
   * again, and gives nothing back twice.
   */
  #letGo(): void {
    const wire = this.#wire!;
    const { block } = wire;
    if (this.#armed && block !== null) abandon(block);
    wire.block = null;
    if (!this.#armed && block !== null) give(block);
    this.#armed = false;
    if (wire.eventfd >= 0) close(wire.eventfd);
    wire.eventfd = -1;
    wire.waker.remove(wire.id);
    this.#wire = null;
  }

  /** Closes the bell. The ring it belongs to is idle, or closed. */
  close(): void {
    this.hold(false);
    this.#closed = true;
    this.#timer.stop();
    // It ends even if the waker fails, which disconnects its bells.
    while (this.#armed) this.#wire!.waker.disarm(this.#wire!.id);
    if (this.#wire !== null) this.#letGo();
  }
}

/** Registers an eventfd with the ring `fd`, and connects its bell to the waker. */
function connect(bell: Bell, fd: number): Wire {
  const waker = Waker.current();
  const id = waker.add(bell);
  let eventfd = -1;
  let block: Block | undefined;
  try {
    block = take(8);
    block.address; // Maps the memory now, which throws if there is none.
    // Not O_NONBLOCK: io_uring would answer a read with EAGAIN, not wait.
    eventfd = must("eventfd2", syscall("eventfd2", 0, O_CLOEXEC));
    must("io_uring_register", registerEventfd(fd, eventfd));
    return { waker, id, eventfd, block };
  } catch (error) {
    if (block !== undefined) give(block);
    if (eventfd >= 0) close(eventfd);
    waker.remove(id);
    throw error;
  }
}
