/**
 * Commands that the program waits for with its thread blocked.
 *
 * @module
 */

import * as uapi from "../../sys/uapi/io_uring.ts";
import { Batch, DIRECT } from "./batch.ts";
import type { Command } from "../command.ts";
import { markWaiting } from "./waiting.ts";
import type { Slot } from "./slot.ts";
import type { Queues } from "./queues.ts";
import { NOBODY } from "./settle.ts";

/** The synchronous calls of a ring: of them, one may be in a decoder of another. */
export class SyncCalls {
  readonly #queues: Queues;
  readonly #schedule: () => void;
  /** A number for the next batch. */
  #batches = 0;
  /** A batch of one command, unless it is in use. */
  #single: Batch | null = null;

  /** `schedule` has a turn taken, for what is under way besides. */
  constructor(queues: Queues, schedule: () => void) {
    this.#queues = queues;
    this.#schedule = schedule;
  }

  /** `true` for a command that a batch itself can stand for. */
  isDirect(command: Command<unknown>): boolean {
    return command.numeric && !this.#queues.sq.hold;
  }

  /**
   * Runs commands, and blocks until all have completed. They are all direct, or
   * have their `slots`.
   */
  run(commands: unknown[], slots: readonly Slot[] | null): unknown[] {
    const batch = new Batch(commands);
    this.#start(batch);
    if (slots !== null) this.#queueSlots(batch, slots);
    else this.#queueDirect(batch);
    this.#end(batch);
    return batch.results;
  }

  /** Runs one command, and blocks until it has completed. */
  runOne(command: Command<unknown>): unknown {
    const slot = this.isDirect(command)
      ? null
      : this.#queues.slots.take(command);
    const batch = this.#single ?? new Batch([undefined]);
    this.#single = null; // A decoder may make another one meanwhile.
    batch.commands[0] = command;
    this.#start(batch);
    if (slot === null) {
      this.#queueDirect(batch);
    } else {
      batch.leave(0, slot);
      batch.queued = 1;
      this.#queues.enqueue(slot);
    }
    this.#end(batch);
    const result = batch.results[0];
    batch.results[0] = undefined;
    batch.commands[0] = undefined;
    this.#single = batch;
    return result;
  }

  #start(batch: Batch): void {
    batch.left = batch.commands.length;
    batch.queued = 0;
    batch.number = this.#batches;
    this.#batches = this.#batches + 1 | 0;
    batch.outer = this.#queues.batch;
    this.#queues.batch = batch;
  }

  /** Queues commands without slots. One that has to wait is given a slot. */
  #queueDirect(batch: Batch): void {
    const { number } = batch;
    for (let place = 0; place < batch.commands.length; place++) {
      const command = batch.pending(place);
      // The ring may have failed or been closed since the last one.
      if (command === null) continue;
      if (this.#writeDirect(command, place | DIRECT, number)) {
        batch.queued = place + 1;
        continue;
      }
      if (this.#queues.sqFull) {
        // This may run the program's code, which may end the ring.
        this.#queues.submit();
        if (batch.pending(place) === null) continue;
        if (this.#writeDirect(command, place | DIRECT, number)) {
          batch.queued = place + 1;
          continue;
        }
      }
      const slot = this.#queues.slots.take(command);
      batch.leave(place, slot);
      batch.queued = place + 1;
      this.#queues.enqueue(slot);
    }
  }

  /** Writes the SQE of a command without a slot, if there is room for it. */
  #writeDirect(command: Command<unknown>, low: number, high: number): boolean {
    return this.#queues.line.first === null && this.#queues.fits(1) &&
      this.#queues.write(command, low, high, 0) >= 0;
  }

  /** Queues commands that have slots, unless they were told of an end before. */
  #queueSlots(batch: Batch, slots: readonly Slot[]): void {
    slots.forEach((slot, place) => {
      batch.leave(place, slot);
      markWaiting(slot, true);
    });
    batch.queued = slots.length;
    for (const slot of slots) {
      if (slot.receiver === NOBODY) this.#queues.slots.give(slot);
      else this.#queues.enqueue(slot);
    }
  }

  /** Blocks until a batch is over, and throws its first error. */
  #end(batch: Batch): void {
    this.#waitFor(batch);
    this.#queues.batch = batch.outer;
    if (batch.failed >= 0) throw batch.cause;
  }

  #waitFor(batch: Batch): void {
    const queues = this.#queues;
    const { sq, line } = queues;
    while (batch.left > 0) {
      const toSubmit = sq.publish();
      let wanted = 0;
      let flags = queues.enterFlags;
      // A system call that only submits takes less, and most commands are over
      // when it returns. What is not is waited for by the next one.
      if (toSubmit === 0 || queues.sqpoll) {
        const starved = line.first !== null &&
          this.#starves(batch);
        if (starved && this.#force(batch)) continue;
        // Places in the SQ are given back by the thread, not by what completes.
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
      queues.releaseLoose();
      queues.reapPosted();
      // With the batch over, what the CQ had no room for can wait for a turn.
      if (batch.left > 0) queues.reap();
      if (line.first !== null) queues.pump();
    }
    if (!queues.idle) this.#schedule();
  }

  /** Whether what is left of a batch is all in line, and nothing under way. */
  #starves(batch: Batch): boolean {
    const { line } = this.#queues;
    if (line.length < batch.left) return false;
    let count = 0;
    for (let slot = line.first; slot !== null; slot = slot.next) {
      if (slot.receiver === batch) count++;
    }
    return count === batch.left;
  }

  /**
   * Queues what is in line up to the first command of a batch, although the CQ
   * may be too small: what is in flight may never end, so that waiting for it
   * could be for ever. The kernel keeps what the CQ has no room for. `false` when
   * the SQ has no room for any of it.
   */
  #force(batch: Batch): boolean {
    const { line } = this.#queues;
    let pushed = false;
    for (let own = false; !own && line.first !== null; pushed = true) {
      own = line.first.receiver === batch;
      if (!this.#queues.pumpFirst(true)) break;
    }
    return pushed;
  }

  /**
   * Completions to wait for, of `left`: not more than are under way. A submission
   * thread posts completions before it gives places back, so that all may be
   * over while there is no room for the next. Where completions are made on
   * request, the kernel wakes for the last of them, and the SCSI driver gives a
   * request's tag back only then: waiting for more than there are tags is for
   * ever (io_req_local_work_add() and scsi_bsg_uring_task_cb(), Linux 7.2).
   */
  #wanted(left: number): number {
    const { line, deferred, cq, inFlight } = this.#queues;
    const one = line.length > 0 || deferred;
    return Math.min(one ? 1 : left, cq.entries, inFlight);
  }
}
