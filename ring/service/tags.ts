/**
 * The tags of a service: for each an SQE, memory, and a receiver of its completions.
 *
 * **An SQE of its own.** Tag `i` has SQE `i` of the ring for as long as the service
 * lives. A reply changes a few words of it in place, and submitting it stores its
 * number in the queue: nothing is copied, and nothing is allocated. Its words change
 * only between a completion and the next submission, so that a kernel that reads an
 * SQE again (Linux 6.10 to 6.13) finds what was submitted.
 *
 * **Contract.** A tag is in flight at most once. The memory that it points at has one
 * address, and is kept, from `keep` until the service ends. A completion goes to its
 * receiver once, unless `node:vm` ended the receiver before it submitted its tag:
 * then the receiver is called again.
 *
 * **Exceptions.** As in `Queues`: accounts are plain stores after the last call, and
 * a CQE is stepped over last.
 *
 * @module
 */

import { type Arena, arena, arenaOf, leaveService } from "../../sys/arena.ts";
import { bytesAt } from "../../sys/bytes.ts";
import { IORING_CQE_F_MORE } from "../../sys/uapi/io_uring.ts";
import type { CompletionQueue } from "../bare/cqueue.ts";
import type { SubmissionQueue } from "../bare/squeue.ts";
import type { Command } from "../command.ts";
import { bufferOf, byteOffsetOf } from "../intrinsics.ts";

/**
 * Takes a completion of a tag: its result or `-errno`, and its `IORING_CQE_F_` bits.
 * It may prepare and submit tags.
 */
export type TagReceiver = (tag: number, res: number, flags: number) => void;

// The states of a tag.
/** Its SQE is not filled. */
const EMPTY = 0;
/** Its SQE is the service's to change. */
const IDLE = 1;
/** Its SQE was submitted, and the last completion is still to come. */
const IN_FLIGHT = 2;

/** Memory that the kernel may still write to: kept for good. */
const abandoned = new Set<unknown>();

/** The tags of one service. */
export class Tags {
  /** Tags that were submitted, and whose last completion is still to come. */
  inFlight = 0;
  submitted = 0;
  completions = 0;
  readonly #sq: SubmissionQueue;
  readonly #cq: CompletionQueue;
  readonly #states: Uint8Array;
  readonly #receivers: TagReceiver[];
  readonly #words: Int32Array[];
  /** Memory whose address the kernel has, with its arena. */
  #kept = new Map<ArrayBufferLike, Arena>();
  /** The completion that the cursor is on was counted. */
  #counted = false;
  /** The completion that the cursor is on was told. */
  #told = false;
  /** The service has ended: its queues are gone. */
  #ended = false;

  constructor(sq: SubmissionQueue, cq: CompletionQueue, count: number) {
    this.#sq = sq;
    this.#cq = cq;
    this.#states = new Uint8Array(count);
    this.#receivers = Array.from({ length: count }, () => () => {});
    const { buffer, byteOffset } = sq.words;
    const { sqeWords } = sq;
    this.#words = Array.from(
      { length: count },
      (_, tag) =>
        new Int32Array(buffer, byteOffset + tag * sqeWords * 4, sqeWords),
    );
  }

  /** Makes zeroed memory that is kept. See {@linkcode keep}. */
  alloc(byteLength: number): Uint8Array {
    const bytes = bytesAt(arena(byteLength), 0, byteLength);
    this.keep(bytes);
    return bytes;
  }

  /**
   * Keeps memory of `alloc` until the service ends. Returns its address for the
   * kernel.
   */
  keep(bytes: Uint8Array): number {
    const buffer = bufferOf(bytes);
    const found = this.#kept.get(buffer) ?? arenaOf(buffer);
    if (found === undefined) {
      throw new TypeError(
        "memory of a service must come from its alloc(), because the kernel " +
          "uses it longer than a command",
      );
    }
    if (!this.#kept.has(buffer)) {
      found.map(); // It may throw.
      found.services++;
      this.#kept.set(buffer, found);
    }
    return found.address + byteOffsetOf(bytes);
  }

  /**
   * Writes a command into the SQE of a tag, and keeps the memory that it points at.
   * Returns the words of the SQE. Words 8 and 9 are `user_data`, and stay.
   */
  prepare(
    tag: number,
    command: Command<unknown>,
    receive: TagReceiver,
  ): Int32Array {
    if (this.isInFlight(tag)) throw this.refusal(tag);
    const { operands, name } = command;
    const wide = this.#sq.sqeWords === 32;
    if (command.sqe128 && !wide) {
      throw new RangeError(`${name} needs a service with sqe128`);
    }
    const { fixedFile, fixedBuffer, bufferRing } = command;
    const odd = fixedFile ?? fixedBuffer ?? bufferRing;
    const nested = operands.some((it) => it.inside >= 0 || it.bytes === null);
    if (odd !== null || nested || command.cqe32) {
      throw new TypeError(
        `${name} needs tables, large CQEs or memory that a service does not have`,
      );
    }
    command.precheck?.();
    const words = this.#words[tag];
    this.#states[tag] = EMPTY; // Until all words are written.
    command.encode(words, 0, wide, tag, 0);
    for (let i = 0; i < operands.length; i++) {
      command.encodeAddress(words, 0, i, this.keep(operands[i].bytes!));
    }
    this.#receivers[tag] = receive;
    this.#states[tag] = IDLE;
    return words;
  }

  isIdle(tag: number): boolean {
    return this.#states[tag] === IDLE;
  }

  isInFlight(tag: number): boolean {
    return this.#states[tag] === IN_FLIGHT;
  }

  /** Queues the SQE of an idle tag. */
  push(tag: number): void {
    this.#sq.pushOwn(tag);
    this.#states[tag] = IN_FLIGHT;
    this.inFlight++;
    this.submitted++;
  }

  /** Returns the error of a call for a tag in another state. */
  refusal(tag: number): Error {
    if (!(tag in this.#states)) return new RangeError(`there is no tag ${tag}`);
    const state = this.isInFlight(tag)
      ? "is in flight already"
      : "was not prepared, or its service has ended";
    return new TypeError(`tag ${tag} ${state}`);
  }

  /**
   * Tells the receivers of the completions in the CQ, as many as it can hold.
   * Returns at once when a receiver has ended the service.
   */
  reap(): void {
    if (this.#ended) return;
    const cq = this.#cq;
    let taken = 0;
    let more = cq.ready > 0;
    while (more && cq.peek()) {
      if (!this.#told) this.#tell();
      if (this.#ended) return;
      this.#told = true;
      cq.step();
      this.#told = false;
      this.#counted = false;
      this.completions++;
      taken++;
      more = taken < cq.entries && cq.known > 0;
    }
    cq.commit();
  }

  /** Tells the receiver of the completion that the cursor is on. */
  #tell(): void {
    const { userDataLow: tag, res, flags } = this.#cq;
    if (this.#counted) {
      // A receiver that was cut short after it had submitted its tag has answered.
      if (this.isInFlight(tag)) return;
    } else {
      if (!this.isInFlight(tag)) return reportError(unknown(tag, res));
      if ((flags & IORING_CQE_F_MORE) === 0) {
        this.#states[tag] = IDLE;
        this.inFlight--;
      }
      this.#counted = true;
    }
    try {
      this.#receivers[tag](tag, res, flags);
    } catch (error) {
      reportError(error);
    }
  }

  /**
   * Keeps all memory for good if a tag is in flight, because the kernel may write to it
   * after the ring is gone.
   */
  abandon(): void {
    if (this.inFlight > 0) abandoned.add(this.#kept);
  }

  /**
   * Ends all tags, and gives their memory back unless it was abandoned. If the call is
   * cut short, memory may stay, and none is given back twice.
   */
  end(): void {
    this.#ended = true;
    this.#states.fill(EMPTY);
    if (this.inFlight > 0) return;
    const kept = this.#kept;
    this.#kept = new Map();
    leaveService(kept.values());
  }
}

function unknown(tag: number, res: number): Error {
  return new Error(
    `io_uring: res ${res} for tag ${tag}, which is not in flight`,
  );
}
