/**
 * Puts in order what calls have left behind that were cut short, by a stack overflow
 * or by the timeout of `node:vm`.
 *
 * **Contract.** What a call has thrown for does not run any later, unless the kernel
 * may have seen it: then it completes for no one. A call that has queued its
 * commands is not undone. Each step here can run again if it is cut short itself.
 *
 * @module
 */

import type { SubmissionQueue } from "../bare/squeue.ts";
import type { Aborts } from "./abort.ts";
import { Batch, DIRECT } from "./batch.ts";
import type { Batches } from "./batches.ts";
import type { Room } from "./room.ts";
import { type Busy, NOBODY, type Phase, phaseOf } from "./slot.ts";
import type { Slot, Slots } from "./slot.ts";
import type { WaitQueue } from "./waiting.ts";

/** The queues, as their recovery sees them. */
export interface RecoveryHost {
  readonly sq: SubmissionQueue;
  readonly sqpoll: boolean;
  readonly enters: number;
  readonly room: Room;
  readonly slots: Slots;
  readonly batches: Batches;
  readonly waiting: WaitQueue;
  readonly aborts: Aborts;
  busy: Busy;
  taking: boolean;
  torn: boolean;
  /** The batch that a synchronous call waits for. */
  batch: Batch | null;
  endBatch(batch: Batch): void;
}

/** The recovery of a ring. */
export class Recovery {
  readonly #host: RecoveryHost;
  /** The queues as they were when the synchronous call began. */
  readonly #before = { tail: 0, enters: 0, inFlight: 0, extra: 0 };

  constructor(host: RecoveryHost) {
    this.#host = host;
  }

  /** Begins a synchronous call, and notes how things stand. */
  enterBatch(batch: Batch): void {
    const host = this.#host;
    this.#before.tail = host.sq.pushed;
    this.#before.enters = host.enters;
    this.#before.inFlight = host.room.inFlight;
    this.#before.extra = host.room.extra;
    host.batches.add(batch);
    batch.phase = "queued";
    host.batch = batch;
    host.busy = "sync";
  }

  /** Lets the SQEs of a call stay, because others may stand among them. */
  keepSqes(): void {
    this.#before.enters = -1;
  }

  /**
   * Leaves a batch whose call was cut short. Its SQEs are taken back if the kernel
   * cannot have seen them, so that it does not use the memory of a call that has
   * thrown. Otherwise their CQEs are still to come.
   */
  leaveBatch(batch: Batch): void {
    const host = this.#host;
    const { tail, enters, inFlight, extra } = this.#before;
    if (batch.phase === "waiting") host.waiting.remove(batch, batch.waiting);
    if (host.enters === enters && host.sq.drop(tail, host.sqpoll)) {
      host.room.inFlight = inFlight;
      host.room.extra = extra;
      batch.rest = 0;
    }
    batch.phase = "taken";
    host.batch = null;
    host.taking = true;
  }

  /** Recovers if a synchronous call was cut short: only its own code runs in it. */
  putInOrder(): void {
    const { busy, taking, torn } = this.#host;
    if (busy === "sync") this.recover();
    else if ((taking || torn) && busy === null) this.sweep();
  }

  /** Puts in order what any call has left behind. */
  recover(): void {
    const host = this.#host;
    if (host.batch !== null) this.leaveBatch(host.batch);
    this.sweep();
    host.busy = null;
  }

  /** Gives back the slots of calls that have thrown, and cancels what is in flight. */
  sweep(): void {
    const { slots, batches, aborts } = this.#host;
    for (const slot of [...slots.busy()]) {
      const { receiver } = slot;
      const phase = phaseOf(slot);
      if (phase === "taken") {
        const waits = receiver instanceof Batch && receiver.phase !== "taken";
        if (!waits) slots.give(slot);
      } else if (receiver === NOBODY && !slot.aborted) {
        this.#abandon(slot, phase);
      }
    }
    for (const batch of batches.all()) {
      if (batch.phase === "taken") this.#orphan(batch);
      else if (batch.left === 0) this.#host.endBatch(batch);
      else if (batch.abort !== null) aborts.cutBatch(batch);
    }
    this.#host.torn = false;
    this.#host.taking = false;
  }

  /** Drops a command that waits and that no one waits for, or cancels it. */
  #abandon(slot: Slot, phase: Phase): void {
    const { aborts } = this.#host;
    if (phase === "waiting") {
      aborts.dropWaiting(slot.chain?.first ?? slot, undefined);
    } else {
      aborts.cancel(slot.index, slot.generation);
      slot.aborted = true;
    }
  }

  /**
   * Leaves to a batch that was cut short the CQEs that are still to come, and asks
   * the kernel to cancel its commands, because some may never complete by themselves.
   */
  #orphan(batch: Batch): void {
    const { slots, aborts } = this.#host;
    for (const slot of [...slots.busy()]) {
      if (slot.receiver !== batch) continue;
      if (slot.place >= batch.rest) {
        slots.give(slot);
      } else {
        slot.receiver = NOBODY;
        this.#abandon(slot, "queued");
      }
    }
    batch.left = batch.inFlight();
    if (batch.left === 0) return this.#host.endBatch(batch);
    if (batch.abort !== null) return; // Its commands were cancelled.
    for (let place = 0; place < batch.rest; place++) {
      if (batch.isInFlight(place)) aborts.cancel(place | DIRECT, batch.number);
    }
    batch.abort = { reason: undefined, next: batch.rest };
  }
}
