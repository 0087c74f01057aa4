/**
 * Commands that the program waits for with its thread blocked.
 *
 * @module
 */

import * as uapi from "../../sys/uapi/io_uring.ts";
import type { Command } from "../command.ts";
import { Batch } from "./batch.ts";
import { isCrowded } from "./pool.ts";
import type { Queues } from "./queues.ts";

/** Returns `true` if all commands of a batch are independent. */
function areIndependent(batch: Batch): boolean {
  for (let place = 0; place < batch.commands.length; place++) {
    const command = batch.command(place) ?? batch.slot(place)!.command!;
    if (!command.independent) return false;
  }
  return true;
}

/** The synchronous calls of a ring. */
export class SyncCalls {
  readonly #queues: Queues;
  readonly #schedule: () => void;
  /** A batch of one command, unless it is in use. */
  #single: Batch | null = null;
  /** All commands in flight are of the batch, and {@linkcode Command.independent}. */
  #independent = false;

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
    queues.recovery.putInOrder();
    if (queues.busy !== "program") return;
    this.#schedule(); // A turn of the event loop finds out if nothing runs.
    throw new TypeError(
      "a decoder cannot wait for the ring that runs it, and neither can other " +
        "code that the ring calls: use ring.cmd(), which the ring runs in its " +
        "next turn, or another ring. Where such code was cut short by the " +
        "timeout of node:vm, the ring can be waited for again in the next turn",
    );
  }

  /** Runs a batch, blocks until all have completed, and throws its first error. */
  run(batch: Batch): unknown[] {
    const queues = this.#queues;
    // Others in flight may hold what these need, and give it up in this thread.
    this.#independent = queues.deferred && queues.idle && areIndependent(batch);
    const { busy } = queues;
    queues.recovery.enterBatch(batch);
    try {
      // The batch counts among what uses memory now. No command is queued yet, so
      // that one whose memory cannot be mapped refuses all of them.
      batch.aim();
      queues.enqueueBatch(batch);
      this.#waitFor(batch);
    } catch (error) {
      // The stack may be too full for this, too. What stays marked as a
      // synchronous call is put in order before the ring does anything else.
      queues.recovery.leaveBatch(batch);
      queues.busy = busy;
      this.#schedule();
      throw error;
    }
    queues.batch = null;
    queues.busy = busy;
    if (!queues.idle || isCrowded()) this.#schedule();
    if (batch.errors !== null) throw batch.firstError();
    return batch.results;
  }

  /** Runs one command, and blocks until it has completed. */
  runOne(command: Command<unknown>): unknown {
    const queues = this.#queues;
    const batch = this.#single ?? new Batch(queues, [undefined], false);
    this.#single = null; // It is used again only if this call is not cut short.
    batch.renew(command, !queues.isDirect(command));
    queues.takeSlots(batch);
    this.run(batch);
    const result = batch.results[0];
    batch.results[0] = undefined;
    this.#single = batch;
    return result;
  }

  #waitFor(batch: Batch): void {
    const queues = this.#queues;
    const { sq, waiting } = queues;
    while (batch.left > 0) {
      const toSubmit = sq.publish();
      let wanted = 0;
      let flags = queues.enterFlags;
      // A system call that only submits takes less, and most commands are over
      // when it returns. The next call waits for the rest. A drive takes longer.
      const atOnce = this.#independent && waiting.first === null;
      if (toSubmit === 0 || queues.sqpoll || atOnce) {
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
    return batch.left === batch.waiting;
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
      own = waiting.first === batch;
      if (!this.#queues.pumpFirst(true)) break;
    }
    return pushed;
  }

  /**
   * Returns the number of completions to wait for, of those that a batch lacks: at
   * most those in flight. A submission thread posts completions before it gives
   * places back, so all may have completed while there is no room for the next. A
   * ring with DEFER_TASKRUN is woken for the last of them only. Until then the SCSI
   * driver keeps the requests of the device: waiting for more than it has never ends
   * (io_req_local_work_add() and scsi_bsg_uring_task_cb(), Linux 7.2).
   */
  #wanted(left: number): number {
    const { waiting, deferred, cq, room } = this.#queues;
    const one = waiting.length > 0 || deferred && !this.#independent;
    return Math.min(one ? 1 : left, cq.entries, room.inFlight);
  }
}
