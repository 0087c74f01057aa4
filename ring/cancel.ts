/** Cancelling what is in the kernel. */

import { EALREADY } from "../sys/errno.ts";
import { IORING_OP_ASYNC_CANCEL } from "../sys/io_uring.ts";
import { Command } from "./command.ts";
import { UringError } from "./errors.ts";
import type { Receiver, Slot, Slots } from "./pending.ts";

/** After this long, what could not be cancelled is cancelled once more. */
const AGAIN_MS = 10;

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

  error(_slot: Slot, error: unknown): void {
    this.#all.inFlight--;
    const missed = error instanceof UringError && error.errno === EALREADY;
    if (missed) this.#all.missed(this);
  }

  end(): void {}
}

/** The cancellations of a ring. */
export class Cancellations {
  /** `IOSQE_` bits that every command of the ring must have. */
  requiredFlags = 0;
  /** Cancellations that were queued and are not over. */
  inFlight = 0;
  readonly #missed: Cancellation[] = [];
  readonly #again: (userDataLow: number, userDataHigh: number) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #referenced = true;

  /** `again` is called for commands that are to be cancelled once more. */
  constructor(again: (userDataLow: number, userDataHigh: number) => void) {
    this.#again = again;
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

  /**
   * EALREADY: a worker had the command in hand, and was interrupted. When what
   * it is asked of can be polled, the worker then has it wait there, where nothing
   * cancels it any more (io_async_cancel_one() and io_wq_submit_work(), Linux
   * 7.2). So it is cancelled once more; of one that is over, ENOENT says so.
   */
  missed(cancellation: Cancellation): void {
    if (this.#missed.push(cancellation) > 1) return;
    this.#timer = setTimeout(() => {
      for (const { userDataLow, userDataHigh } of this.#missed.splice(0)) {
        this.#again(userDataLow, userDataHigh);
      }
    }, AGAIN_MS);
    if (!this.#referenced) Deno.unrefTimer(this.#timer);
  }

  /** Whether what is to be cancelled once more keeps the process alive. */
  set referenced(on: boolean) {
    this.#referenced = on;
    if (this.#timer === undefined) return;
    if (on) Deno.refTimer(this.#timer);
    else Deno.unrefTimer(this.#timer);
  }

  /** Forgets what is to be cancelled: there is nothing under way any more. */
  stop(): void {
    clearTimeout(this.#timer);
  }
}
