/**
 * The two queues of a ring, and what is under way between them.
 *
 * **Contract.** A command that was queued settles exactly once, on its own last
 * CQE. Commands in flight are bounded by what the CQ holds; the rest wait, in
 * order. Only {@linkcode Queues.submit}, {@linkcode Queues.enter} and what reaps
 * run code of the program's, which may queue commands, close the ring or see it
 * fail: after each of them, nothing is as it was.
 *
 * @module
 */

import * as E from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { enterUse, leaveUse } from "../../sys/arena.ts";
import { type Batch, DIRECT } from "./batch.ts";
import { Cancellation, Cancellations } from "./cancel.ts";
import type { Command } from "../command.ts";
import type { CompletionQueue } from "../bare/cqueue.ts";
import { fatalAdvice, UringError } from "../errors.ts";
import { Line, markWaiting } from "./waiting.ts";
import { type Extras, Late, type Slot, Slots } from "./slot.ts";
import { deliver, NOBODY } from "./settle.ts";
import type { RingHandle } from "../bare/setup.ts";
import type { SubmissionQueue } from "../bare/squeue.ts";

/** Times that completions are asked for before the event loop has its turn. */
const ROUNDS = 16;

/** What the kernel may still write to after a ring has failed: kept for good. */
const abandoned: Slots[] = [];

/** Who has the queues. */
export interface Owner {
  /** There is something to submit, of which nobody else knows. */
  schedule(): void;
  /** The ring cannot go on, and every command was told. */
  failed(): void;
}

/** Commands on their way into the kernel, and completions on their way out. */
export class Queues {
  readonly slots = new Slots();
  /** Why the ring cannot go on, if it cannot. */
  failure: UringError | null = null;
  /** CQEs that the completions of one command take, in the largest case. */
  readonly unit: number = 1;
  readonly sq: SubmissionQueue;
  readonly cq: CompletionQueue;
  readonly sqpoll: boolean;
  readonly iopoll: boolean;
  readonly deferred: boolean;
  /** What io_uring_enter() is to do besides submitting. */
  readonly enterFlags: number = 0;

  // Counts, for `Ring.stats`.
  enters = 0;
  completions = 0;
  overflows = 0;
  inFlight = 0;
  /** Completions after which their commands went on, or that were nobody's. */
  #others = 0;

  /** Commands that wait for room. */
  readonly line = new Line();
  readonly cancellations = new Cancellations({
    underWay: (low, high) =>
      this.failure === null &&
      (low < 0
        ? this.#findBatch(high)?.pending(low & ~DIRECT) != null
        : this.slots.find(low, high) !== null),
    again: (low, high) => {
      this.cancel(low, high);
      this.#owner.schedule();
    },
  });
  /** The innermost batch that is being waited for. */
  batch: Batch | null = null;
  /** How many reapings are under way, the one in a decoder of the other. */
  reaping = 0;
  /** A command found room in the CQ, and none in the SQ. */
  sqFull = false;

  readonly #handle: RingHandle;
  readonly #owner: Owner;
  /**
   * Places in the SQ that only cancellations take. Where SQEs are held, commands
   * that never end would otherwise leave none.
   */
  readonly #kept: number = 0;
  /** Completions that the commands in flight may post together, */
  readonly #capacity: number = 0;
  /** and cancellations that may be in flight besides. */
  readonly #spare: number = 0;
  /** The capacity, less what commands in flight may post beyond one each. */
  #limit = 0;
  /** Streams that have posted more than was told, while their decoders ran. */
  readonly #unread: Slot[] = [];
  /** SQEs that are free once they were submitted, in a queue that holds them. */
  readonly #loose: number[] = [];
  readonly #arenas = () => this.slots.arenas();
  #closed = false;

  constructor(handle: RingHandle, owner: Owner) {
    this.#handle = handle;
    this.#owner = owner;
    this.sq = handle.sq;
    this.cq = handle.cq;
    const has = (flag: number) => (handle.flags & flag) !== 0;
    this.sqpoll = has(uapi.IORING_SETUP_SQPOLL);
    this.iopoll = has(uapi.IORING_SETUP_IOPOLL);
    this.deferred = has(uapi.IORING_SETUP_DEFER_TASKRUN);
    const asked = this.iopoll || this.deferred;
    this.enterFlags = asked ? uapi.IORING_ENTER_GETEVENTS : 0;
    this.#kept = handle.sq.hold ? 1 : 0;
    // In a mixed ring a large completion takes two places, and a filler one
    // more where it would not fit before the end.
    const mixed = has(uapi.IORING_SETUP_CQE_MIXED);
    this.unit = mixed ? 2 : 1;
    // Cancellations take places too: some are kept for them.
    const spare = Math.min(16, handle.cq.entries >> 2);
    const places = handle.cq.entries - spare - (mixed ? 1 : 0);
    this.#capacity = Math.max(1, Math.floor(places / this.unit));
    this.#spare = Math.max(1, Math.floor(spare / this.unit));
    this.#limit = this.#capacity;
    enterUse(this.#arenas);
  }

  /** Nothing is under way, and nothing waits. */
  get idle(): boolean {
    return this.inFlight + this.line.length === 0;
  }

  /** There is more to do, of which no completion will tell. */
  get stuck(): boolean {
    const waits = this.line.first !== null;
    // A submission thread need not be waited for, unless it was not woken.
    const queued = this.sq.publish() > 0 &&
      (!this.sqpoll || waits || this.sq.needsWakeup);
    // It may have taken the queue since a command found no room in it.
    return this.inFlight === 0 || queued || this.#unread.length > 0 ||
      this.sqpoll && this.sqFull && waits;
  }

  /** Commands handed to the kernel: those that are over, and those that are not. */
  get submitted(): number {
    return this.completions - this.#others + this.inFlight;
  }

  /** `true` when commands fit the queues at one time, as a chain has to. */
  holds(commands: readonly Command<unknown>[]): boolean {
    const completions = commands.reduce(
      (sum, each) => sum + each.completions,
      0,
    );
    return completions <= this.#capacity &&
      this.#places(commands.length) <= this.sq.entries;
  }

  /** Queues a command, or the chain it is the first of, or has it wait. */
  enqueue(slot: Slot): void {
    if (this.line.first === null && !slot.aborted && this.#push(slot)) {
      if (slot.waiting) markWaiting(slot, false);
      return;
    }
    this.line.add(slot);
    this.#makeRoom();
  }

  /**
   * Submits, and queues what waits for a place in the SQ. A submission may run
   * the program's code, so that what it is made for has to wait in line before.
   */
  #makeRoom(): void {
    while (this.sqFull && this.submit() && this.pump());
  }

  /** Cancels what has this `user_data`, before anything else is queued. */
  cancel(userDataLow: number, userDataHigh: number): void {
    const { slots } = this;
    const slot = this.cancellations.take(slots, userDataLow, userDataHigh);
    if (this.#push(slot)) return;
    this.line.addFirst(slot);
    this.#makeRoom();
  }

  // ---- The way in ----------------------------------------------------------

  /** Queues what has waited, as far as there is room; `true` if any was. */
  pump(): boolean {
    if (this.failure !== null) return false;
    let pushed = false;
    while (this.line.first !== null && this.pumpFirst(false)) pushed = true;
    return pushed;
  }

  /** Queues or drops the first of those that wait; `false` if it still has to. */
  pumpFirst(force: boolean): boolean {
    const slot = this.line.first!;
    if (!slot.aborted) {
      if (!this.#push(slot, force)) return false;
      this.line.shift();
      markWaiting(slot, false);
      return true;
    }
    // It was settled while it waited, with all that is linked to it.
    this.line.shift();
    for (let each: Slot | null = slot; each !== null;) {
      const { linked }: Slot = each;
      this.slots.give(each);
      each = linked;
    }
    return true;
  }

  /**
   * Writes the SQEs of a command and of what is linked to it, if all fit: never
   * those of a part of a chain, which ends where a submission does. With `force`
   * the CQ may be too small.
   */
  #push(first: Slot, force = false): boolean {
    this.sqFull = false;
    if (first.linked !== null) return this.#pushChain(first, force);
    const { completions } = first.command!;
    if (first.receiver instanceof Cancellation) {
      const cancellations = this.cancellations;
      if (cancellations.inFlight >= this.#spare) return false;
      if (!this.#encode(first, 0)) return false;
      cancellations.inFlight++;
      return true;
    }
    if (!force && !this.fits(completions)) return false;
    return this.#hasPlaces(first, 1) && this.#encode(first, 0);
  }

  #pushChain(first: Slot, force: boolean): boolean {
    let completions = 0;
    let count = 0;
    for (let slot: Slot | null = first; slot !== null; slot = slot.linked) {
      completions += slot.command!.completions;
      count++;
    }
    if (!force && !this.fits(completions)) return false;
    if (!this.#hasPlaces(first, this.#places(count))) return false;
    for (let slot: Slot | null = first; slot !== null; slot = slot.linked) {
      this.#encode(slot, slot.linked !== null ? uapi.IOSQE_IO_LINK : 0);
    }
    return true;
  }

  /** `true` when the CQ has room for so many completions more. */
  fits(completions: number): boolean {
    return this.inFlight + completions <= this.#limit || this.inFlight === 0;
  }

  /** Whether the SQ has so many places, besides one that is kept. */
  #hasPlaces(first: Slot, count: number): boolean {
    let kept = 0;
    // A chain as long as the queue has no choice.
    if (this.#kept > 0 && count < this.sq.entries) {
      for (let slot: Slot | null = first; slot !== null; slot = slot.linked) {
        if (this.#keepsSqe(slot.command!)) kept = this.#kept;
      }
    }
    if (count + kept === 1 || this.sq.has(count + kept)) return true;
    this.sqFull = true;
    return false;
  }

  /**
   * Whether the SQE of a command stays taken until the command is over. With a
   * submission thread there is no telling when an SQE was taken.
   */
  #keepsSqe(command: Command<unknown>): boolean {
    return this.sq.hold && (command.isUringCmd || this.sqpoll);
  }

  /** Places for `count` SQEs: in a mixed ring two each, and one filler. */
  #places(count: number): number {
    return this.sq.mixed ? 2 * count + 1 : count;
  }

  /** Writes the SQE of a command that has a slot; `false` when none is free. */
  #encode(slot: Slot, flags: number): boolean {
    const command = slot.command!;
    const at = this.write(command, slot.index, slot.generation, flags);
    if (at < 0) return false;
    if (!command.plain || this.sq.hold) this.#encodeRest(slot, at);
    return true;
  }

  /** Writes an SQE, and returns where; -1 when there is none that is free. */
  write(
    command: Command<unknown>,
    userDataLow: number,
    userDataHigh: number,
    flags: number,
  ): number {
    const at = command.submit(this.sq, userDataLow, userDataHigh, flags);
    if (at >= 0) this.inFlight++;
    this.sqFull = at < 0;
    return at;
  }

  /** What there is to do for few commands, or on few kernels. */
  #encodeRest(slot: Slot, at: number): void {
    const sq = this.sq;
    const command = slot.command!;
    this.#limit -= command.completions - 1;
    for (let i = 0; i < slot.addresses.length; i++) {
      command.encodeAddress(sq.words, at, i, slot.addresses[i]);
    }
    if (!sq.hold) return;
    if (this.#keepsSqe(command)) {
      slot.marked = true;
      slot.sqe = at;
    } else {
      this.#loose.push(at);
    }
  }

  // ---- Into the kernel, and out of it ---------------------------------------

  /**
   * Hands the queue to the kernel; what it does not take stays queued, which
   * `false` says. A submission thread takes it when it comes to it.
   */
  submit(): boolean {
    if (this.failure !== null) return false;
    const sq = this.sq;
    let toSubmit = sq.publish();
    if (this.sqpoll) {
      if (toSubmit > 0 && sq.needsWakeup) {
        this.enter(toSubmit, 0, uapi.IORING_ENTER_SQ_WAKEUP);
      }
      return false;
    }
    while (toSubmit > 0) {
      const taken = this.enter(toSubmit, 0, this.enterFlags);
      if (taken <= 0) return false;
      toSubmit = taken === toSubmit ? 0 : sq.publish();
    }
    this.releaseLoose();
    return true;
  }

  /** Frees SQEs that were held until they were taken, once all were. */
  releaseLoose(): void {
    if (this.#loose.length === 0 || this.sq.publish() > 0) return;
    for (const sqe of this.#loose) this.sq.release(sqe);
    this.#loose.length = 0;
  }

  /**
   * io_uring_enter(), made again when it was interrupted. Returns 0 when there
   * was no memory or no room: it is to be made again later.
   */
  enter(toSubmit: number, minComplete: number, flags: number): number {
    // What is called here by a decoder may have to wait for room in the CQ.
    if (this.reaping > 0) this.cq.commit();
    for (;;) {
      this.enters++;
      const rc = this.#handle.enter(toSubmit, minComplete, flags);
      if (rc > 0 && rc < toSubmit && !this.sqpoll) this.#endCutChain();
      if (rc >= 0) return rc;
      switch (-rc) {
        case E.EINTR:
          continue;
        case E.EAGAIN:
        case E.EBUSY:
          // Completions that were not taken may stand in the way. With them
          // gone there may be fewer to wait for: that is the caller's to say.
          if (this.reapPosted() === 0 || minComplete > 0) return 0;
          if (this.failure !== null) return 0;
          continue;
        default:
          this.fail(-rc);
          return rc;
      }
    }
  }

  /** What is left of a chain that was cut in two is cancelled. */
  #endCutChain(): void {
    const { words } = this.sq;
    for (const at of this.sq.cutOff()) {
      const slot = this.slots.find(words[at + 8], words[at + 9]);
      if (slot === null) {
        // Of a batch whose commands link each other by flags of their own: no
        // operation has this number, so that it fails.
        words[at] |= 0xff;
        continue;
      }
      slot.marked = true;
      slot.cut = true;
      const bounds = slot.command!.opcode === uapi.IORING_OP_LINK_TIMEOUT;
      if (bounds) this.#cancelBefore(slot);
    }
  }

  /** Cancels a command that nothing bounds the time of any more. */
  #cancelBefore(cut: Slot): void {
    for (const { linked, index, generation } of this.slots.busy()) {
      if (linked === cut) return this.cancel(index, generation);
    }
  }

  /** Takes all that has completed, and what the CQ had no room for. */
  reap(): void {
    this.reapPosted();
    const sq = this.sq;
    // A stream whose completions are made on request may have no end of them.
    for (let round = 0; round < ROUNDS; round++) {
      if (this.failure !== null || !sq.needsEnter) return;
      if (sq.overflowed) this.overflows++;
      this.enter(0, 0, uapi.IORING_ENTER_GETEVENTS);
      if (this.reapPosted() === 0) return;
    }
  }

  reapPosted(): number {
    if (this.failure !== null) return 0;
    const cq = this.cq;
    let taken = 0;
    this.reaping++;
    // A stream may post as fast as it is read: the rest has its turn later.
    let more = cq.ready > 0;
    while (more && this.failure === null && cq.next()) {
      taken++;
      this.completions++;
      this.#complete();
      more = taken < cq.entries && cq.known > 0;
    }
    if (taken > 0) cq.commit();
    this.reaping--;
    return taken;
  }

  /** Settles the command whose completion the cursor is on. */
  #complete(): void {
    const { flags, userDataLow, userDataHigh } = this.cq;
    let { res } = this.cq;
    if (userDataLow < 0) {
      const batch = this.#findBatch(userDataHigh);
      if (batch !== null && batch.complete(userDataLow & ~DIRECT, res)) {
        this.inFlight--;
        return;
      }
    }
    const slot = this.slots.find(userDataLow, userDataHigh);
    if (slot === null) {
      this.#others++;
      // A zero-copy send that its chain cancels completes without saying that its
      // notification follows (io_fail_links(), Linux 6.18).
      if (flags & uapi.IORING_CQE_F_NOTIF) return;
      return reportUnknown(res, userDataLow, userDataHigh);
    }
    const command = slot.command!;
    if (slot.cut) res = -E.ECANCELED;
    if (command.plain && (flags & uapi.IORING_CQE_F_MORE) === 0) {
      this.inFlight--;
      // What is told of it may queue others.
      if (slot.sqe >= 0) this.sq.release(slot.sqe);
      if (command.numeric && res >= 0) slot.receiver!.value(slot, res);
      else deliver(slot, this.cq, res, flags, -1);
      this.slots.give(slot);
    } else {
      this.#completePart(slot, this.cq, res, flags);
    }
  }

  /** A completion of a command that has memory, or more than one of them. */
  #completePart(
    slot: Slot,
    extras: Extras,
    res: number,
    flags: number,
  ): void {
    // The slot's own decoder is the caller of this: first things first.
    if (slot.later !== null) {
      slot.later.push(new Late(extras, res, flags));
      return;
    }
    const command = slot.command!;
    if (flags & uapi.IORING_CQE_F_MORE) {
      this.#others++;
      if (command.multishot) {
        this.#completeOneOfMany(slot, extras, res, flags);
      } else {
        slot.marked = true;
        slot.early = true;
        slot.earlyRes = res;
        slot.earlyFlags = flags;
      }
      return;
    }
    this.inFlight--;
    this.#limit += command.completions - 1;
    if (slot.sqe >= 0) this.sq.release(slot.sqe);
    const { early, earlyRes, earlyFlags } = slot;
    if (early) deliver(slot, extras, earlyRes, earlyFlags, res);
    else deliver(slot, extras, res, flags, -1);
    this.slots.give(slot);
  }

  /** A value of a stream, and the completions that its decoder has reaped. */
  #completeOneOfMany(
    slot: Slot,
    extras: Extras,
    res: number,
    flags: number,
  ): void {
    slot.later = [];
    this.#deliverOneOfMany(slot, extras, res, flags);
    this.#readLater(slot);
  }

  /** Tells some of what a stream has posted meanwhile: it may have no end. */
  #readLater(slot: Slot): void {
    const later = slot.later!;
    for (let i = 0; i < ROUNDS && later.length > 0; i++) {
      const late = later.shift()!;
      if (late.flags & uapi.IORING_CQE_F_MORE) {
        this.#others++;
        this.#deliverOneOfMany(slot, late, late.res, late.flags);
      } else {
        slot.later = null;
        return this.#completePart(slot, late, late.res, late.flags);
      }
    }
    if (later.length > 0) this.#unread.push(slot);
    else slot.later = null;
  }

  /** Goes on with the streams of which more was posted than was told. */
  readUnread(): void {
    this.reaping++;
    for (const slot of this.#unread.splice(0)) {
      if (this.failure === null) this.#readLater(slot);
    }
    this.reaping--;
  }

  #deliverOneOfMany(
    slot: Slot,
    extras: Extras,
    res: number,
    flags: number,
  ): void {
    // A stream whose decoder has thrown is over, but not for the kernel.
    if (slot.receiver === NOBODY) return;
    if (!deliver(slot, extras, res, flags, -1)) this.#silence(slot);
  }

  /** Cancels a command that was told how it ended. */
  #silence(slot: Slot): void {
    const { index, generation } = slot;
    slot.receiver = NOBODY;
    this.cancel(index, generation);
    this.#owner.schedule();
  }

  /** The batch of this number that is being waited for. */
  #findBatch(number: number): Batch | null {
    let batch = this.batch;
    while (batch !== null && batch.number !== number) batch = batch.outer;
    return batch;
  }

  /** The commands under way. */
  *commands(): Iterable<Command<unknown>> {
    for (const { command } of this.slots.busy()) yield command!;
    for (let batch = this.batch; batch !== null; batch = batch.outer) {
      for (const [, command] of batch.direct()) yield command;
    }
  }

  // ---- The end -------------------------------------------------------------

  /** The ring cannot go on: every command is told. */
  fail(errno: number): void {
    if (this.failure !== null || this.#closed) return;
    const { fd } = this.#handle;
    this.failure = new UringError(
      "io_uring_enter",
      fd,
      errno,
      fatalAdvice(errno),
    );
    for (const slot of this.slots.busy()) {
      const receiver = slot.receiver!;
      slot.receiver = NOBODY;
      receiver.error(slot, this.failure);
    }
    for (let batch = this.batch; batch !== null; batch = batch.outer) {
      batch.failFrom(0, this.failure);
    }
    abandoned.push(this.slots);
    for (const arena of this.slots.arenas()) arena.held = true;
    this.#owner.failed();
  }

  /** Lets go of all: nothing is under way any more. */
  close(): void {
    this.#closed = true;
    this.cancellations.stop();
    this.#handle.close();
    leaveUse(this.#arenas);
  }
}

function reportUnknown(res: number, low: number, high: number): void {
  const userData = `${high >>> 0}:${low >>> 0}`;
  reportError(
    new Error(`io_uring: res ${res} for no command, user_data ${userData}`),
  );
}
