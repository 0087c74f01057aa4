/**
 * Writes commands into the SQ, if both queues have room for them.
 *
 * **Contract.** An SQE is filled first, with its addresses. The call of
 * {@linkcode SubmissionQueue.push}, and the plain stores after it that count the
 * command, are the last: an exception before leaves no trace.
 *
 * @module
 */

import type { SubmissionQueue } from "../bare/squeue.ts";
import type { Command } from "../command.ts";
import { type Batch, DIRECT } from "./batch.ts";
import { Cancellation, type Cancellations } from "./cancel.ts";
import type { Room } from "./room.ts";
import { personalityIn, type Slot } from "./slot.ts";

/** The way of commands into the SQ. */
export class Writer {
  /** `true` if the last command found room in the CQ, and none in the SQ. */
  sqFull = false;
  readonly #sq: SubmissionQueue;
  readonly #room: Room;
  readonly #cancellations: Cancellations;

  constructor(sq: SubmissionQueue, room: Room, cancellations: Cancellations) {
    this.#sq = sq;
    this.#room = room;
    this.#cancellations = cancellations;
  }

  /**
   * Writes the SQEs of a command and of what is linked to it, if all fit; with
   * `force` beyond the CQ's room. A part of a chain is never written, because a
   * chain ends where a submission does.
   */
  write(first: Slot, force: boolean): boolean {
    this.sqFull = false;
    if (first.linked !== null) return this.#writeChain(first, force);
    const command = first.command!;
    if (first.receiver instanceof Cancellation) {
      const cancellations = this.#cancellations;
      if (cancellations.inFlight >= this.#room.spare) return false;
      if (!this.#writeOne(command, first)) return false;
      cancellations.inFlight++;
      return true;
    }
    return (force || this.#room.fits(command.completions)) &&
      this.#writeOne(command, first);
  }

  /**
   * Writes the SQEs of the next commands of a batch, as many as fit at once, and
   * returns their number; with `force` at least one if the SQ has room for it.
   */
  writeRest(batch: Batch, force: boolean): number {
    const slot = batch.slot(batch.rest);
    const count = slot === null
      ? this.#writeDirect(batch, force)
      : this.write(slot, force)
      ? 1
      : 0;
    batch.rest += count;
    return count;
  }

  /** Writes the SQEs of commands without slots. One push adds them all. */
  #writeDirect(batch: Batch, force: boolean): number {
    const sq = this.#sq;
    const room = this.#room;
    const { rest, number } = batch;
    this.sqFull = false;
    const left = force ? Math.max(1, room.left) : room.left;
    const wanted = Math.min(left, batch.commands.length - rest);
    if (wanted <= 0) return 0;
    if (sq.mixed) return this.#writeMixed(batch);
    const most = sq.has(wanted) ? wanted : sq.space;
    this.sqFull = most === 0;
    let count = 0;
    for (; count < most; count++) {
      const command = batch.command(rest + count);
      if (command === null) break; // It has a slot.
      const at = sq.at(count);
      command.fill(sq, at, rest + count | DIRECT, number, 0);
      command.encodeAddresses(sq.words, at);
    }
    sq.push(count);
    room.inFlight += count;
    return count;
  }

  /** The same where SQEs have two sizes, for one command. */
  #writeMixed(batch: Batch): number {
    const sq = this.#sq;
    const command = batch.command(batch.rest)!;
    const at = this.#peek(command);
    if (at < 0) return 0;
    command.fill(sq, at, batch.rest | DIRECT, batch.number, 0);
    command.encodeAddresses(sq.words, at);
    sq.push(command.sqe128 ? 2 : 1);
    this.#room.inFlight++;
    return 1;
  }

  #writeOne(command: Command<unknown>, slot: Slot): boolean {
    const sq = this.#sq;
    const room = this.#room;
    const at = this.#peek(command);
    if (at < 0) return false;
    const extra = command.completions - 1; // A getter is a call: not after the push.
    command.fill(sq, at, slot.index, slot.generation, slot.marks & 0xff);
    this.#fillAddresses(slot, at);
    sq.push(sq.mixed && command.sqe128 ? 2 : 1);
    room.inFlight++;
    room.extra += extra;
    slot.phase = "queued";
    return true;
  }

  /** Returns the place for an SQE; -1 if the SQ is full. */
  #peek(command: Command<unknown>): number {
    const at = this.#sq.mixed ? this.#peekMixed(command) : this.#sq.peek();
    this.sqFull = at < 0;
    return at;
  }

  #peekMixed({ sqe128 }: Command<unknown>): number {
    const sq = this.#sq;
    if (!sq.has(sqe128 ? 3 : 1)) return -1;
    if (sqe128 && sq.straddles(0)) sq.fill();
    return sq.at(0);
  }

  #writeChain(first: Slot, force: boolean): boolean {
    const sq = this.#sq;
    const room = this.#room;
    let completions = 0;
    let count = 0;
    for (let slot: Slot | null = first; slot !== null; slot = slot.linked) {
      completions += slot.command!.completions;
      count++;
    }
    if (!force && !room.fits(completions)) return false;
    if (!sq.has(room.places(count))) {
      this.sqFull = true;
      return false;
    }
    if (sq.mixed && this.#straddles(first)) sq.fill();
    let places = 0;
    for (let slot: Slot | null = first; slot !== null; slot = slot.linked) {
      const { command, index, generation, chain, marks } = slot;
      const link = slot.linked !== null ? chain!.flag : 0;
      const at = sq.at(places);
      command!.fill(sq, at, index, generation, link | marks & 0xff);
      this.#fillAddresses(slot, at);
      places += sq.mixed && command!.sqe128 ? 2 : 1;
    }
    sq.push(places);
    room.inFlight += count;
    room.extra += completions - count;
    (first.chain ?? first).phase = "queued";
    return true;
  }

  /**
   * Returns `true` if an SQE of a chain would straddle the end of a mixed ring. A
   * no-op between two SQEs would end the chain, so it goes before the first.
   */
  #straddles(first: Slot): boolean {
    let places = 0;
    for (let slot: Slot | null = first; slot !== null; slot = slot.linked) {
      const { sqe128 } = slot.command!;
      if (sqe128 && this.#sq.straddles(places)) return true;
      places += sqe128 ? 2 : 1;
    }
    return false;
  }

  #fillAddresses(slot: Slot, at: number): void {
    const sq = this.#sq;
    const { lease } = slot;
    const command = slot.command!;
    if (!command.leases) command.encodeAddresses(sq.words, at);
    for (let i = 0; i < lease.count; i++) {
      command.encodeAddress(sq.words, at, i, lease.address(i));
    }
    if (slot.marks !== 0) this.#addPersonality(slot.marks, at);
    if (sq.hold) slot.sqe = at;
  }

  /** Writes the number of the credentials in place of the command's own, if any. */
  #addPersonality(marks: number, at: number): void {
    const { words } = this.#sq;
    if (personalityIn(marks) === 0) return;
    words[at + 10] = words[at + 10] & 0xffff | marks & ~0xffff;
  }
}
