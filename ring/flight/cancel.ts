/** Cancels commands that are in the kernel. */

import { IORING_OP_ASYNC_CANCEL } from "../../sys/uapi/io_uring.ts";
import { append } from "../intrinsics.ts";
import { Command } from "../command.ts";
import type { Receiver, Slot, Slots } from "./slot.ts";

/** Delay before a missed cancellation is retried; doubles each time. */
const RETRY_MS = 10;
/** The longest such delay. */
const LONGEST_MS = 1280;

/** Receives for a command that cancels another. */
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
    this.#all.missed(this);
    this.#all.inFlight--;
  }

  end(): void {}
}

/** The queues, as their cancellations call them. */
export interface CancelHost {
  /** Returns `true` if the command to cancel has not completed. */
  inFlight(userDataLow: number, userDataHigh: number): boolean;
  /** Cancels it again. */
  retry(userDataLow: number, userDataHigh: number): void;
}

/**
 * The cancellations of a ring.
 *
 * The kernel does not find every command that is in flight. It answers EALREADY
 * if a worker had the command in hand and was interrupted; the worker may then
 * let the command wait for a file that can be polled, where nothing cancels it.
 * It answers ENOENT if the command is linked to one that has not completed; the
 * command then starts when that one succeeds (io_async_cancel_one(),
 * io_wq_submit_work() and io_req_task_submit(), Linux 7.2). So a cancellation is
 * retried for as long as its command is in flight.
 */
export class Cancellations {
  /** `IOSQE_` bits that every command of the ring must have. */
  requiredFlags = 0;
  /** Cancellations in the queue or in the kernel. */
  inFlight = 0;
  #missed: Cancellation[] = [];
  readonly #host: CancelHost;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #delay = RETRY_MS;

  constructor(host: CancelHost) {
    this.#host = host;
  }

  /** Takes a slot with the command that cancels another. */
  take(slots: Slots, userDataLow: number, userDataHigh: number): Slot {
    const high = BigInt(userDataHigh >>> 0);
    const slot = slots.take(
      new Command({
        __proto__: null,
        name: "ASYNC_CANCEL",
        opcode: IORING_OP_ASYNC_CANCEL,
        flags: this.requiredFlags,
        addr: high << 32n | BigInt(userDataLow >>> 0),
      }),
    );
    slot.receiver = new Cancellation(this, userDataLow, userDataHigh);
    return slot;
  }

  /** Retries a cancellation later, if its command is still in flight. */
  missed(cancellation: Cancellation): void {
    if (!this.#concerns(cancellation)) return;
    append(this.#missed, cancellation);
    // The timer tells, and not the list: a call that was cut short has grown it.
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.#retry(), this.#delay);
    // Commands in flight keep the process alive, if they should.
    Deno.unrefTimer(this.#timer);
  }

  #concerns({ userDataLow, userDataHigh }: Cancellation): boolean {
    return this.#host.inFlight(userDataLow, userDataHigh);
  }

  #retry(): void {
    this.#timer = undefined;
    const left = this.#missed.filter((each) => this.#concerns(each));
    this.#missed = [];
    this.#delay = left.length > 0
      ? Math.min(2 * this.#delay, LONGEST_MS)
      : RETRY_MS;
    for (const { userDataLow, userDataHigh } of left) {
      this.#host.retry(userDataLow, userDataHigh);
    }
  }

  /** Stops retrying: no command is in flight. */
  stop(): void {
    clearTimeout(this.#timer);
  }
}
