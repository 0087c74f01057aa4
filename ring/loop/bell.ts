/**
 * How a completion that comes later reaches the event loop: by the waker, or by
 * the clock where there are no descriptors or no memory for that, and where the
 * kernel refuses it. Nothing waits for ever.
 *
 * **Contract.** The kernel may write a bell's block until the read of its
 * eventfd has completed: only then is the block given back.
 *
 * @module
 */

import { O_CLOEXEC } from "../../sys/uapi/fcntl.ts";
import { close } from "../../sys/file.ts";
import { syscall } from "../../sys/libc.ts";
import { PollTimer } from "./polling.ts";
import { UringError } from "../errors.ts";
import { abandon, type Block, give, take } from "../flight/pool.ts";
import { registerEventfd, unregisterEventfd } from "../bare/register.ts";
import { type Listener, must, Waker } from "./waker.ts";

/** Looks by the clock until a ring tries again to be woken. */
const LOOKS_BEFORE_RECONNECT = 16;

/** What a bell has of the waker while it is connected to it. */
interface Wire {
  readonly waker: Waker;
  readonly id: number;
  readonly eventfd: number;
  /** What the read of the eventfd is written to. */
  readonly block: Block;
}

/** What has a ring look for its completions when there may be some. */
export class Bell implements Listener {
  readonly #fd: number;
  /** The ring makes completions when it is entered (DEFER_TASKRUN). */
  readonly #deferred: boolean;
  readonly #ring: () => void;
  readonly #timer: PollTimer;
  #wire: Wire | null = null;
  /** Looks by the clock after which it is tried to connect again. */
  #retryAt = 0;
  /** A read of the eventfd is under way. */
  #armed = false;
  #held = false;
  #closed = false;

  /** Has `ring` called when the eventfd of the ring `fd` was signalled. */
  constructor(fd: number, deferred: boolean, ring: () => void) {
    this.#fd = fd;
    this.#deferred = deferred;
    this.#ring = ring;
    this.#timer = new PollTimer(ring);
    this.#connect();
  }

  /** Asks to be called at the next signal, unless that is asked already. */
  arm(): void {
    if (this.#armed || this.#closed) return;
    if (this.#wire === null && this.#timer.looks >= this.#retryAt) {
      this.#connect();
    }
    if (this.#wire === null) return this.#timer.arm();
    const { waker, id, eventfd, block } = this.#wire;
    this.#armed = true;
    waker.arm(id, eventfd, block.address);
  }

  /** Keeps the process alive, or lets it go. */
  hold(on: boolean): void {
    if (this.#held === on) return;
    this.#held = on;
    (this.#wire?.waker ?? this.#timer).hold(on);
  }

  /** The read has completed: `false` when that is no signal for the ring. */
  taken(res: number): boolean {
    this.#armed = false;
    if (this.#closed) return false;
    if (res < 0) this.disconnect();
    return res >= 0;
  }

  /** The eventfd was signalled, unless the ring was closed meanwhile. */
  rung(): void {
    if (this.#closed) return;
    if (this.#deferred) this.#renew();
    this.#ring();
  }

  /**
   * A completion that is deferred in the middle of a wake-up is signalled later,
   * and Linux 6.12.117, for one, then takes the eventfd to be signalled for ever
   * (io_eventfd_signal(), IO_EVENTFD_OP_SIGNAL_BIT): it would never be again. One
   * that is registered anew is.
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
    } catch (error) {
      // No descriptors, no memory, or a ring that was restricted.
      const known = error instanceof UringError || error instanceof RangeError;
      if (!known) throw error;
      this.#retryAt = this.#timer.looks + LOOKS_BEFORE_RECONNECT;
      return;
    }
    this.#timer.stop();
    if (this.#held) {
      this.#timer.hold(false);
      this.#wire.waker.hold(true);
    }
  }

  /** From now on the ring is looked at by the clock, which begins at once. */
  disconnect(): void {
    const wire = this.#wire!;
    this.#letGo();
    unregisterEventfd(this.#fd);
    if (this.#held) {
      wire.waker.hold(false);
      this.#timer.hold(true);
    }
    this.#retryAt = this.#timer.looks + LOOKS_BEFORE_RECONNECT;
    if (!this.#closed) this.#timer.arm();
  }

  #letGo(): void {
    const { waker, id, eventfd, block } = this.#wire!;
    if (this.#armed) abandon(block);
    else give(block);
    this.#armed = false;
    this.#wire = null;
    close(eventfd);
    waker.remove(id);
  }

  /** Lets go of the eventfd. The ring it belongs to is idle, or gone. */
  close(): void {
    this.hold(false);
    this.#closed = true;
    this.#timer.stop();
    // When the waker itself fails, it disconnects its bells.
    while (this.#armed) this.#wire!.waker.disarm(this.#wire!.id);
    if (this.#wire !== null) this.#letGo();
  }
}

/** Gives a ring an eventfd that the waker, made where there is none, can read. */
function connect(bell: Bell, fd: number): Wire {
  const waker = Waker.current();
  const id = waker.add(bell);
  let eventfd = -1;
  let block: Block | undefined;
  try {
    block = take(8);
    block.address; // Which may be the first thing that cannot be had.
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
