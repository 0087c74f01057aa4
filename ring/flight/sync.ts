/**
 * Commands that the program waits for with its thread blocked.
 *
 * @module
 */

import * as uapi from "../../sys/uapi/io_uring.ts";
import type { Command } from "../command.ts";
import { Batch } from "./batch.ts";
import type { Queues } from "./queues.ts";
import type { Slot } from "./slot.ts";

/** The synchronous calls of a ring. */
export class SyncCalls {
  readonly #queues: Queues;
  readonly #schedule: () => void;
  /** The number of the next batch. */
  #batches = 0;
  /** A batch of one command, unless it is in use. */
  #single: Batch | null = null;
  /** The slot of that command. */
  readonly #singleSlot: Slot[] = [];

  /** `schedule` schedules a turn for what else is in flight. */
  constructor(queues: Queues, schedule: () => void) {
    this.#queues = queues;
    this.#schedule = schedule;
  }

  /**
   * Refuses a call from the program's code that the ring itself is calling. What
   * a synchronous call has left behind that was cut short is put in order.
   */
  enter(): void {
    const queues = this.#queues;
    queues.putInOrder();
    if (queues.busy !== "program") return;
    this.#schedule(); // A turn of the event loop finds out if nothing runs.
    throw new TypeError(
      "a decoder cannot wait for the ring that runs it, and neither can other " +
        "code that the ring calls: use ring.cmd(), which the ring runs in its " +
        "next turn, or another ring",
    );
  }

  /** Returns `true` for a command that a batch itself can stand for. */
  isDirect(command: Command<unknown>): boolean {
    return command.numeric && !this.#queues.sq.hold;
  }

  /**
   * Runs commands, and blocks until all have completed. They are all direct, or
   * have their `slots`.
   */
  run(commands: unknown[], slots: readonly Slot[] | null): unknown[] {
    const batch = new Batch(commands);
    if (slots === null) {
      this.#run(batch, null);
    } else {
      slots.forEach((slot, place) => batch.leave(place, slot));
      this.#run(batch, slots);
    }
    return batch.results;
  }

  /** Runs one command, and blocks until it has completed. */
  runOne(command: Command<unknown>): unknown {
    const batch = this.#single ?? new Batch([undefined]);
    this.#single = null; // It is used again only if this call is not cut short.
    batch.commands[0] = command;
    if (this.isDirect(command)) {
      this.#run(batch, null);
    } else {
      const slot = this.#queues.take(command);
      batch.leave(0, slot);
      this.#singleSlot[0] = slot;
      this.#run(batch, this.#singleSlot);
    }
    const result = batch.results[0];
    batch.results[0] = undefined;
    batch.commands[0] = undefined;
    this.#single = batch;
    return result;
  }

  /** Runs a batch, and throws its first error. */
  #run(batch: Batch, slots: readonly Slot[] | null): void {
    const queues = this.#queues;
    batch.left = batch.commands.length;
    batch.failed = -1;
    batch.number = this.#batches;
    this.#batches = this.#batches + 1 | 0;
    const { busy } = queues;
    queues.enterBatch(batch);
    try {
      if (slots === null) this.#queueDirect(batch);
      else for (const slot of slots) queues.enqueue(slot);
      this.#waitFor(batch);
    } catch (error) {
      // The stack may be too full for this, too. What stays marked as a
      // synchronous call is put in order before the ring does anything else.
      queues.leaveBatch(batch);
      queues.busy = busy;
      this.#schedule();
      throw error;
    }
    queues.batch = null;
    queues.busy = busy;
    if (!queues.idle) this.#schedule();
    if (batch.failed >= 0) throw batch.firstError();
  }

  /** Queues commands without slots. One that has to wait is given a slot. */
  #queueDirect(batch: Batch): void {
    for (let place = 0; place < batch.commands.length; place++) {
      const command = batch.pending(place);
      // The ring may have failed since the last one.
      if (command === null) continue;
      if (this.#writeDirect(command, place, batch)) continue;
      if (this.#queues.sqFull) {
        // This may run the program's code, and the ring may fail.
        this.#queues.submit();
        if (batch.pending(place) === null) continue;
        if (this.#writeDirect(command, place, batch)) continue;
      }
      const slot = this.#queues.take(command);
      batch.leave(place, slot);
      this.#queues.enqueue(slot);
    }
  }

  /** Writes the SQE of a command without a slot, if there is room for it. */
  #writeDirect(command: Command<unknown>, place: number, batch: Batch) {
    const queues = this.#queues;
    return queues.waiting.first === null && queues.room.fits(1) &&
      queues.writeDirect(command, place, batch);
  }

  #waitFor(batch: Batch): void {
    const queues = this.#queues;
    const { sq, waiting } = queues;
    while (batch.left > 0) {
      const toSubmit = sq.publish();
      let wanted = 0;
      let flags = queues.enterFlags;
      // A system call that only submits takes less, and most commands are over
      // when it returns. The next call waits for the rest.
      if (toSubmit === 0 || queues.sqpoll) {
        const starved = waiting.first !== null && this.#starves(batch);
        if (starved && this.#force(batch)) continue;
        // Places in the SQ are given back by the thread, not by completions.
        wanted = starved && toSubmit > 0 ? 0 : this.#wanted(batch.left);
        flags = uapi.IORING_ENTER_GETEVENTS;
        if (queues.sqpoll && wanted === 0) {
          flags |= uapi.IORING_ENTER_SQ_WAIT;
        }
        if (queues.sqpoll && sq.needsWakeup) {
          flags |= uapi.IORING_ENTER_SQ_WAKEUP;
        }
      }
      queues.enter(toSubmit, wanted, flags);
      if (queues.failure !== null) return;
      queues.reapPosted();
      // With the batch over, what the CQ had no room for can wait for a turn.
      if (batch.left > 0) queues.reap();
      if (waiting.first !== null) queues.pump();
    }
  }

  /** Returns `true` if the rest of a batch all waits, and none is in flight. */
  #starves(batch: Batch): boolean {
    const { waiting } = this.#queues;
    if (waiting.length < batch.left) return false;
    let count = 0;
    for (let slot = waiting.first; slot !== null; slot = slot.next) {
      if (slot.receiver === batch) count++;
    }
    return count === batch.left;
  }

  /**
   * Queues what waits up to the first command of a batch, although the CQ may be
   * too small: what is in flight may never complete. The kernel keeps completions
   * that the CQ has no room for. Returns `false` if the SQ has no room for any.
   */
  #force(batch: Batch): boolean {
    const { waiting } = this.#queues;
    let pushed = false;
    for (let own = false; !own && waiting.first !== null; pushed = true) {
      own = waiting.first.receiver === batch;
      if (!this.#queues.pumpFirst(true)) break;
    }
    return pushed;
  }

  /**
   * Returns the number of completions to wait for, of `left`: at most those in
   * flight. A submission thread posts completions before it gives places back, so
   * all may have completed while there is no room for the next. A ring with
   * DEFER_TASKRUN is woken for the last of them only, and the SCSI driver gives a
   * request's tag back only then: waiting for more than there are tags never ends
   * (io_req_local_work_add() and scsi_bsg_uring_task_cb(), Linux 7.2).
   */
  #wanted(left: number): number {
    const { waiting, deferred, cq, room } = this.#queues;
    const one = waiting.length > 0 || deferred;
    return Math.min(one ? 1 : left, cq.entries, room.inFlight);
  }
}
