/** Cancelling what is in the kernel. */

import { IORING_OP_ASYNC_CANCEL } from "../../sys/uapi/io_uring.ts";
import { Command } from "../command.ts";
import type { Receiver, Slot, Slots } from "./slot.ts";

/** After this long, what could not be cancelled is cancelled once more; */
const AGAIN_MS = 10;
/** and after twice as long each time that was in vain again, up to this. */
const LATEST_MS = 1280;

/** The receiver of a command that cancels another. */
export class Cancellation implements Receiver {
  readonly #all: Cancellations;
  readonly userDataLow: number;
  readonly userDataHigh: number;

  constructor(all: Cancellations, userDataLow: number, userDataHigh: number) {
    this.#all = all;
    this.userDataLow = userDataLow;
    this.userDataHigh = userDataHigh;
  }

  value(): void {
    this.#all.inFlight--;
  }

  error(): void {
    this.#all.inFlight--;
    this.#all.missed(this);
  }

  end(): void {}
}

/** What a ring does for its cancellations. */
export interface Canceller {
  /** Whether there is still a command to cancel. */
  underWay(userDataLow: number, userDataHigh: number): boolean;
  /** Cancels it. */
  again(userDataLow: number, userDataHigh: number): void;
}

/**
 * The cancellations of a ring.
 *
 * The kernel does not find every command that is under way. With EALREADY, a
 * worker had it in hand and was interrupted, and may then have it wait for a file
 * that can be polled, where nothing cancels it any more; with ENOENT, it is
 * linked to one that is not over, and starts all the same when that ends well
 * (io_async_cancel_one(), io_wq_submit_work() and io_req_task_submit(), Linux
 * 7.2). So what is still under way is cancelled again and again.
 */
export class Cancellations {
  /** `IOSQE_` bits that every command of the ring must have. */
  requiredFlags = 0;
  /** Cancellations that were queued and are not over. */
  inFlight = 0;
  #missed: Cancellation[] = [];
  readonly #ring: Canceller;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #delay = AGAIN_MS;

  constructor(ring: Canceller) {
    this.#ring = ring;
  }

  /** A slot with the command that cancels another. */
  take(slots: Slots, userDataLow: number, userDataHigh: number): Slot {
    const high = BigInt(userDataHigh >>> 0);
    const slot = slots.take(
      new Command({
        name: "ASYNC_CANCEL",
        opcode: IORING_OP_ASYNC_CANCEL,
        flags: this.requiredFlags,
        addr: high << 32n | BigInt(userDataLow >>> 0),
      }),
    );
    slot.receiver = new Cancellation(this, userDataLow, userDataHigh);
    return slot;
  }

  /** A cancellation was in vain. */
  missed(cancellation: Cancellation): void {
    if (!this.#concerns(cancellation)) return;
    if (this.#missed.push(cancellation) > 1) return;
    this.#timer = setTimeout(() => this.#again(), this.#delay);
    // What is under way keeps the process, if it shall.
    Deno.unrefTimer(this.#timer);
  }

  #concerns({ userDataLow, userDataHigh }: Cancellation): boolean {
    return this.#ring.underWay(userDataLow, userDataHigh);
  }

  #again(): void {
    const left = this.#missed.filter((each) => this.#concerns(each));
    this.#missed = [];
    this.#delay = left.length > 0
      ? Math.min(2 * this.#delay, LATEST_MS)
      : AGAIN_MS;
    for (const { userDataLow, userDataHigh } of left) {
      this.#ring.again(userDataLow, userDataHigh);
    }
  }

  /** Nothing is under way any more. */
  stop(): void {
    clearTimeout(this.#timer);
  }
}
