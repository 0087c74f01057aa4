/**
 * Aborts commands: those that wait settle at once, and the kernel is asked to
 * cancel those in flight.
 *
 * **Order.** What waits is settled first: a cancellation could make room for it.
 * Cancellations are queued before all that waits. Only a few fit at a time, so an
 * aborted batch takes a slot for each cancellation when its turn comes.
 *
 * @module
 */

import { append } from "../intrinsics.ts";
import { Batch, DIRECT } from "./batch.ts";
import type { Batches } from "./batches.ts";
import { Cancellation, type Cancellations } from "./cancel.ts";
import { settleAborted } from "./settle.ts";
import { type Busy, NOBODY, phaseOf, Slot, type Slots } from "./slot.ts";
import type { WaitQueue } from "./waiting.ts";
import { Watches } from "./watch.ts";

/** The queues, as their aborts call them. */
export interface AbortHost {
  busy: Busy;
  readonly recovery: { putInOrder(): void };
  readonly slots: Slots;
  readonly batches: Batches;
  readonly waiting: WaitQueue;
  readonly cancellations: Cancellations;
  /** Set while a slot is taken, or something aborted: see `Queues.taking`. */
  taking: boolean;
  /** The batch whose last command has completed, until it was settled. */
  readonly ended: Batch | null;
  schedule(): void;
  comeBack(): void;
  pumpFirst(force: boolean): boolean;
  makeRoom(): void;
  endBatch(batch: Batch): void;
}

/** An abort that was asked for while the program's code ran. */
interface Noted {
  readonly target: Slot | Batch;
  /** The generation that a slot had. */
  readonly generation: number;
  readonly reason: unknown;
}

/** The aborts of a ring. */
export class Aborts {
  /** The signals of commands and batches. */
  readonly watches: Watches;
  readonly #host: AbortHost;
  #noted: Noted[] = [];

  constructor(host: AbortHost) {
    this.#host = host;
    this.watches = new Watches({
      abort: (target, reason) => this.abort(target as Slot | Batch, reason),
      comeBack: () => host.comeBack(),
    });
  }

  /**
   * Asks the kernel to cancel a command or a batch, and settles what still waits.
   * In a call of the program's code it is only noted.
   */
  abort(target: Slot | Batch, reason: unknown): void {
    // It may take SQEs back, and a cancellation with them.
    this.#host.recovery.putInOrder();
    if (!canAbort(target)) return;
    if (this.#host.busy === "program") return this.note(target, reason);
    const generation = target instanceof Slot ? target.generation : 0;
    this.#host.schedule();
    // A call into Deno can run microtasks, and they may settle it.
    if (target instanceof Batch) {
      this.#abortBatch(target, reason);
      this.#pushCancellation();
    } else if (target.generation === generation) {
      this.#abortSlot(target, reason);
    }
  }

  #abortSlot(slot: Slot, reason: unknown): void {
    if (phaseOf(slot) === "waiting") {
      this.dropWaiting(slot.chain?.first ?? slot, reason);
      return;
    }
    this.#addCancellation(slot.index, slot.generation);
    slot.abortReason = reason;
    slot.aborted = true;
    this.#pushCancellation();
  }

  #abortBatch(batch: Batch, reason: unknown): void {
    if (!canAbort(batch)) return;
    const { taking } = this.#host;
    this.#host.taking = true;
    batch.abort = { reason, next: -1 };
    this.cutBatch(batch);
    this.#host.taking = taking;
  }

  /** Aborts in the next turn. The reason `NOBODY` cancels what settled by itself. */
  note(target: Slot | Batch, reason: unknown): void {
    const generation = target instanceof Slot ? target.generation : 0;
    append(this.#noted, { target, generation, reason });
    this.#host.schedule();
  }

  /** Acts on what was noted, and on signals whose microtask was lost. */
  actOnNoted(): void {
    this.watches.act();
    for (const { target, generation, reason } of this.#noted.splice(0)) {
      if (target instanceof Slot) {
        if (target.generation !== generation) continue;
        if (reason === NOBODY) {
          this.cancel(target.index, generation);
          continue;
        }
      }
      this.abort(target, reason);
    }
  }

  /** Aborts every command, and each batch for a reason of its own, as it has results. */
  all(makeReason: () => unknown): void {
    const { slots, batches } = this.#host;
    const busy = [...slots.busy()];
    const reason = makeReason();
    for (const slot of busy) {
      if (phaseOf(slot) === "waiting") this.abort(slot, reason);
    }
    for (const batch of batches.all()) this.#abortBatch(batch, makeReason());
    for (const slot of busy) this.abort(slot, reason);
  }

  /** Settles a command that the kernel has not seen, and all of its chain. */
  dropWaiting(first: Slot, reason: unknown): void {
    const host = this.#host;
    const { busy, taking } = host;
    // A value of a stream may run a `then` of the program's. The first command is
    // settled last. If this call is cut short, its receiver NOBODY tells the next turn
    // to drop the whole chain.
    host.busy = "program";
    try {
      for (let slot = first.linked; slot !== null; slot = slot.linked) {
        slot.abortReason = reason;
        settleAborted(slot);
      }
      first.abortReason = reason;
      settleAborted(first);
    } finally {
      host.busy = busy;
    }
    host.taking = true;
    host.waiting.remove(first);
    for (let slot: Slot | null = first; slot !== null;) {
      const { linked }: Slot = slot;
      host.slots.give(slot);
      slot = linked;
    }
    host.taking = taking;
  }

  // ---- Batches -----------------------------------------------------------------

  /**
   * Settles what waits of an aborted batch, and lets the batch wait again, before
   * all others, to cancel the rest. Each step can run again if it was cut short.
   */
  cutBatch(batch: Batch): void {
    const { waiting, ended } = this.#host;
    // A call that was cut short has left it to the next one, and this batch, which
    // may end now, would take its place.
    if (ended !== null) this.#host.endBatch(ended);
    while (batch.rest < batch.commands.length) this.#dropNext(batch);
    if (batch.left === 0) return this.#host.endBatch(batch);
    if (batch.abort!.next >= 0) return;
    if (batch.phase === "waiting") {
      waiting.remove(batch, 0);
      batch.phase = "queued";
    }
    waiting.addFirst(batch, 0);
    batch.abort!.next = 0;
  }

  /** Settles the first command of a batch that waits. */
  #dropNext(batch: Batch): void {
    const { waiting, slots } = this.#host;
    const { reason } = batch.abort!;
    const slot = batch.slot(batch.rest);
    if (slot === null) {
      batch.fail(batch.rest, reason);
    } else {
      slot.abortReason = reason;
      settleAborted(slot);
    }
    batch.rest++;
    waiting.length--;
    if (slot !== null) slots.give(slot);
  }

  /**
   * Queues the next cancellation of an aborted batch, which is the first that
   * waits, or takes the batch out if there is none.
   */
  cancelNext(batch: Batch): boolean {
    const { waiting } = this.#host;
    const abort = batch.abort!;
    while (abort.next < batch.rest) {
      const place = abort.next;
      const slot = batch.slot(place);
      if (slot !== null) {
        this.#addCancellation(slot.index, slot.generation);
        slot.abortReason = abort.reason;
        slot.aborted = true;
      } else if (batch.isInFlight(place)) {
        this.#addCancellation(place | DIRECT, batch.number);
      }
      abort.next++;
      if (waiting.first !== batch) return this.#host.pumpFirst(false);
    }
    waiting.remove(batch, 0);
    batch.phase = "queued";
    return true;
  }

  // ---- Cancellations -----------------------------------------------------------

  /** Cancels what has this `user_data`, before anything else is queued. */
  cancel(userDataLow: number, userDataHigh: number): void {
    this.#addCancellation(userDataLow, userDataHigh);
    this.#pushCancellation();
  }

  /** Lets a cancellation wait, before all that waits. */
  #addCancellation(userDataLow: number, userDataHigh: number): void {
    const { slots, waiting, cancellations, taking } = this.#host;
    this.#host.taking = true;
    waiting.addFirst(cancellations.take(slots, userDataLow, userDataHigh));
    this.#host.taking = taking;
  }

  #pushCancellation(): void {
    if (this.#host.waiting.first === null) return;
    if (!this.#host.pumpFirst(false)) this.#host.makeRoom();
  }
}

/** Returns `true` if something is in flight or waits, and was not aborted. */
function canAbort(target: Slot | Batch): boolean {
  if (target instanceof Batch) {
    const { left, abort, phase } = target;
    return left > 0 && abort === null && phase !== "taken";
  }
  const { command, receiver, aborted } = target;
  if (command === null || aborted) return false;
  if (receiver === null || receiver === NOBODY) return false;
  // A command of a batch is aborted with it.
  return !(receiver instanceof Cancellation || receiver instanceof Batch);
}
