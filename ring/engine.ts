/**
 * What runs the commands of a ring: queues, submits, reaps, settles, waits.
 *
 * **Contract.** A command that was queued settles exactly once, on its own last
 * CQE. Commands in flight are bounded by what the CQ holds; the rest wait, in
 * order. Nothing here is called by the kernel or by another thread: everything
 * happens in a call of the program, in a microtask or in a turn of the loop.
 *
 * @module
 */

import * as E from "../sys/errno.ts";
import * as uapi from "../sys/io_uring.ts";
import { enterUse, leaveUse } from "../sys/memory.ts";
import { Batch, DIRECT } from "./batch.ts";
import { Cancellation, Cancellations } from "./cancel.ts";
import type { Command } from "./command.ts";
import type { CompletionQueue } from "./cqueue.ts";
import { fatalAdvice, UringError } from "./errors.ts";
import { Line, markWaiting } from "./line.ts";
import { Pace } from "./pace.ts";
import { type Extras, Late, type Slot, Slots } from "./pending.ts";
import { deliver, NOBODY, settleAborted } from "./settle.ts";
import type { RingHandle } from "./setup.ts";
import type { SubmissionQueue } from "./squeue.ts";
import { Bell } from "./wake.ts";

/** Rounds of queueing, submitting and reaping in one turn. */
const ROUNDS = 16;
/** Microtasks that a turn is put off by, while commands keep coming. */
const HOPS = 4;
/** After this long, `close` says which commands keep it waiting. */
const CLOSE_WARNING_MS = 5000;

/** Something to wait for that is over: a microtask at a third of the price. */
const READY = Promise.resolve();

/** What the kernel may still write to after a ring has failed: kept for good. */
const abandoned: Slots[] = [];

/** The queue, the turns and the end of one ring. */
export class Engine {
  readonly slots = new Slots();
  state: "disabled" | "open" | "closing" | "closed" | "failed";
  failure: UringError | null = null;
  /** CQEs that the completions of one command take, in the largest case. */
  readonly unit: number = 1;
  /**
   * Places in the SQ that only cancellations take. Where SQEs are held, commands
   * that never end would otherwise leave none.
   */
  readonly #kept: number = 0;
  /** Completions that the commands in flight may post together, */
  readonly #capacity: number = 0;
  /** and cancellations that may be in flight besides. */
  readonly #spare: number = 0;

  // Counts, for `Ring.stats`.
  enters = 0;
  completions = 0;
  wakes = 0;
  overflows = 0;
  inFlight = 0;
  /** Completions after which their commands went on, or that were nobody's. */
  #others = 0;

  readonly #handle: RingHandle;
  readonly #sq: SubmissionQueue;
  readonly #cq: CompletionQueue;
  readonly #sqpoll: boolean;
  readonly #iopoll: boolean;
  readonly #deferred: boolean;
  readonly #enterFlags: number = 0;
  #bell: Bell | null = null;
  #immediate: ReturnType<typeof setImmediate> | null = null;
  #referenced = true;
  #closed: PromiseWithResolvers<void> | null = null;
  #closeTimer: ReturnType<typeof setTimeout> | undefined;
  /** Nobody can queue commands any more: it ends when the last is over. */
  #dropped = false;

  readonly #cancellations = new Cancellations({
    underWay: (low, high) =>
      this.failure === null &&
      (low < 0
        ? this.#findBatch(high)?.pending(low & ~DIRECT) != null
        : this.slots.find(low, high) !== null),
    again: (low, high) => {
      this.#cancel(low, high);
      this.schedule();
    },
  });

  readonly #pace: Pace;

  /** Commands that wait for room. */
  readonly #line = new Line();
  /** The capacity, less what commands in flight may post beyond one each. */
  #limit = 0;
  /** A command found room in the CQ, and none in the SQ. */
  #sqFull = false;
  /** SQEs that are free once they were submitted, in a queue that holds them. */
  readonly #loose: number[] = [];

  /** The batch that is being waited for, and a number for the next one. */
  #batch: Batch | null = null;
  #batches = 0;
  /** A batch of one command, unless it is in use. */
  #single: Batch | null = null;

  /** How many reapings are under way, the one in a decoder of the other. */
  #reaping = 0;
  #turning = false;
  #scheduled = false;
  #queuedBefore = 0;
  #hops = 0;
  readonly #turn = () => this.#takeTurn();
  readonly #arenas = () => this.slots.arenas();

  constructor(handle: RingHandle, spin = true) {
    this.#handle = handle;
    this.#pace = new Pace(spin);
    this.#sq = handle.sq;
    this.#cq = handle.cq;
    const has = (flag: number) => (handle.flags & flag) !== 0;
    this.state = has(uapi.IORING_SETUP_R_DISABLED) ? "disabled" : "open";
    this.#sqpoll = has(uapi.IORING_SETUP_SQPOLL);
    this.#iopoll = has(uapi.IORING_SETUP_IOPOLL);
    this.#deferred = has(uapi.IORING_SETUP_DEFER_TASKRUN);
    const asked = this.#iopoll || this.#deferred;
    this.#enterFlags = asked ? uapi.IORING_ENTER_GETEVENTS : 0;
    this.#kept = handle.sq.hold && handle.sq.entries > 1 ? 1 : 0;
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

  /** Commands, and chains of them, that wait for room. */
  get waiting(): number {
    return this.#line.length;
  }

  /** `IOSQE_` bits that cancellations must have, as all commands of the ring. */
  set requiredFlags(flags: number) {
    this.#cancellations.requiredFlags = flags;
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
      this.#places(commands.length) + this.#kept <= this.#sq.entries;
  }

  /** Queues a command, or the chain it is the first of, or has it wait. */
  enqueue(slot: Slot): void {
    if (this.#line.first === null && !slot.aborted && this.#push(slot)) {
      if (slot.waiting) markWaiting(slot, false);
      return;
    }
    this.#line.add(slot);
    this.#makeRoom();
  }

  /**
   * Submits, and queues what waits for a place in the SQ. A submission may run
   * the program's code, so that what it is made for has to wait in line before.
   */
  #makeRoom(): void {
    while (this.#sqFull && this.#submit() && this.#pump());
  }

  /** Has a turn taken when the program has queued what it is about to. */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#queuedBefore = this.submitted;
    this.#hops = 0;
    if (this.#pace.loopIsDue(this.completions)) setImmediate(this.#turn);
    else void READY.then(this.#turn);
  }

  /** Asks the kernel to cancel a command, or drops it if it still waits. */
  abort(slot: Slot, reason: unknown): void {
    const { receiver } = slot;
    if (slot.aborted || receiver === null || receiver === NOBODY) return;
    if (receiver instanceof Cancellation) return;
    slot.marked = true;
    slot.aborted = true;
    slot.abortReason = reason;
    if (slot.waiting) settleAborted(slot); // The kernel has not seen it.
    else this.#cancel(slot.index, slot.generation);
    this.schedule();
  }

  /** Cancels what has this `user_data`, before anything else is queued. */
  #cancel(userDataLow: number, userDataHigh: number): void {
    const { slots } = this;
    const slot = this.#cancellations.take(slots, userDataLow, userDataHigh);
    if (this.#push(slot)) return;
    this.#line.addFirst(slot);
    this.#makeRoom();
  }

  // ---- Synchronous batches -------------------------------------------------

  /** `true` for a command that a batch itself can stand for. */
  isDirect(command: Command<unknown>): boolean {
    return command.numeric && !this.#sq.hold;
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
    const slot = this.isDirect(command) ? null : this.slots.take(command);
    const batch = this.#single ?? new Batch([undefined]);
    this.#single = null; // A decoder may make another one meanwhile.
    batch.commands[0] = command;
    this.#start(batch);
    if (slot === null) {
      this.#queueDirect(batch);
    } else {
      batch.leave(0, slot);
      batch.queued = 1;
      this.enqueue(slot);
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
    batch.outer = this.#batch;
    this.#batch = batch;
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
      if (this.#sqFull) {
        // This may run the program's code, which may end the ring.
        this.#submit();
        if (batch.pending(place) === null) continue;
        if (this.#writeDirect(command, place | DIRECT, number)) {
          batch.queued = place + 1;
          continue;
        }
      }
      const slot = this.slots.take(command);
      batch.leave(place, slot);
      batch.queued = place + 1;
      this.enqueue(slot);
    }
  }

  /** Writes the SQE of a command without a slot, if there is room for it. */
  #writeDirect(command: Command<unknown>, low: number, high: number): boolean {
    return this.#line.first === null && this.#fits(1) &&
      this.#write(command, low, high, 0) >= 0;
  }

  /** Queues commands that have slots, unless they were told of an end before. */
  #queueSlots(batch: Batch, slots: readonly Slot[]): void {
    slots.forEach((slot, place) => {
      batch.leave(place, slot);
      markWaiting(slot, true);
    });
    batch.queued = slots.length;
    for (const slot of slots) {
      if (slot.receiver === NOBODY) this.slots.give(slot);
      else this.enqueue(slot);
    }
  }

  /** Blocks until a batch is over, and throws its first error. */
  #end(batch: Batch): void {
    this.#waitFor(batch);
    this.#batch = batch.outer;
    if (batch.failed >= 0) throw batch.cause;
  }

  /** The batch of this number that is being waited for. */
  #findBatch(number: number): Batch | null {
    let batch = this.#batch;
    while (batch !== null && batch.number !== number) batch = batch.outer;
    return batch;
  }

  #waitFor(batch: Batch): void {
    const sq = this.#sq;
    while (batch.left > 0) {
      const toSubmit = sq.publish();
      let wanted = 0;
      let flags = this.#enterFlags;
      // A system call that only submits takes less, and most commands are over
      // when it returns. What is not is waited for by the next one.
      if (toSubmit === 0 || this.#sqpoll) {
        const starved = this.#line.first !== null && this.#starves(batch);
        if (starved && this.#force(batch)) continue;
        // Places in the SQ are given back by the thread, not by what completes.
        wanted = starved && toSubmit > 0 ? 0 : this.#wanted(batch.left);
        flags = uapi.IORING_ENTER_GETEVENTS;
        if (this.#sqpoll && wanted === 0) flags |= uapi.IORING_ENTER_SQ_WAIT;
        if (this.#sqpoll && sq.needsWakeup) {
          flags |= uapi.IORING_ENTER_SQ_WAKEUP;
        }
      }
      this.#enter(toSubmit, wanted, flags);
      if (this.failure !== null) return;
      if (sq.hold && sq.publish() === 0) this.#releaseLoose();
      this.#reapPosted();
      // With the batch over, what the CQ had no room for can wait for a turn.
      if (batch.left > 0) this.#reap();
      if (this.#line.first !== null) this.#pump();
    }
    if (this.inFlight + this.#line.length > 0) this.schedule();
  }

  /** Whether what is left of a batch is all in line, and nothing under way. */
  #starves(batch: Batch): boolean {
    if (this.#line.length < batch.left) return false;
    let count = 0;
    for (let slot = this.#line.first; slot !== null; slot = slot.next) {
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
    let pushed = false;
    for (let own = false; !own && this.#line.first !== null; pushed = true) {
      own = this.#line.first.receiver === batch;
      if (!this.#pumpFirst(true)) break;
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
    const one = this.#line.length > 0 || this.#deferred;
    return Math.min(one ? 1 : left, this.#cq.entries, this.inFlight);
  }

  /** The commands under way. */
  *commands(): Iterable<Command<unknown>> {
    for (const { command } of this.slots.busy()) yield command!;
    for (let batch = this.#batch; batch !== null; batch = batch.outer) {
      for (const [, command] of batch.direct()) yield command;
    }
  }

  /** Makes ready what wakes the event loop, before a ring is restricted. */
  prepareToWait(): void {
    if (!this.#iopoll) this.#ensureBell();
  }

  /** Whether commands in flight keep the process alive. */
  set referenced(on: boolean) {
    this.#referenced = on;
    this.#bell?.hold(on && this.inFlight > 0);
    if (on) this.#immediate?.ref();
    else this.#immediate?.unref();
  }

  /** Cancels what is under way, and resolves when the kernel has let go. */
  close(): Promise<void> {
    if (this.#closed !== null) return this.#closed.promise;
    this.#closed = Promise.withResolvers();
    if (this.state === "failed") {
      this.#finish();
      return this.#closed.promise;
    }
    this.state = "closing";
    const reason = new DOMException("The ring was closed", "AbortError");
    const busy = [...this.slots.busy()];
    // What waits comes first: a cancellation could make room for it.
    for (const slot of busy) if (slot.waiting) this.abort(slot, reason);
    for (const slot of busy) this.abort(slot, reason);
    for (let batch = this.#batch; batch !== null; batch = batch.outer) {
      batch.abortReason = reason;
      batch.failFrom(batch.queued, reason);
      for (const [place] of batch.direct(batch.queued)) {
        this.#cancel(place | DIRECT, batch.number);
      }
    }
    if (this.#referenced) {
      this.#closeTimer = setTimeout(() => this.#warn(), CLOSE_WARNING_MS);
    }
    // Not at once: this may be called by a decoder, in the middle of a turn.
    this.schedule();
    return this.#closed.promise;
  }

  /** Closes the ring when all is over that is under way: nobody has it any more. */
  drop(): void {
    this.#dropped = true;
    if (this.failure !== null || this.inFlight + this.#line.length === 0) {
      void this.close();
    }
  }

  // ---- The way in ----------------------------------------------------------

  /** Queues what has waited, as far as there is room; `true` if any was. */
  #pump(): boolean {
    if (this.failure !== null) return false;
    let pushed = false;
    while (this.#line.first !== null && this.#pumpFirst(false)) pushed = true;
    return pushed;
  }

  /** Queues or drops the first of those that wait; `false` if it still has to. */
  #pumpFirst(force: boolean): boolean {
    const slot = this.#line.first!;
    if (!slot.aborted) {
      if (!this.#push(slot, force)) return false;
      this.#line.shift();
      markWaiting(slot, false);
      return true;
    }
    // It was settled while it waited, with all that is linked to it.
    this.#line.shift();
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
    this.#sqFull = false;
    if (first.linked !== null) return this.#pushChain(first, force);
    const { completions } = first.command!;
    if (first.receiver instanceof Cancellation) {
      const cancellations = this.#cancellations;
      if (cancellations.inFlight >= this.#spare) return false;
      if (!this.#encode(first, 0)) return false;
      cancellations.inFlight++;
      return true;
    }
    if (!force && !this.#fits(completions)) return false;
    return this.#hasPlaces(first, 1) && this.#encode(first, 0);
  }

  #pushChain(first: Slot, force: boolean): boolean {
    let completions = 0;
    let count = 0;
    for (let slot: Slot | null = first; slot !== null; slot = slot.linked) {
      completions += slot.command!.completions;
      count++;
    }
    if (!force && !this.#fits(completions)) return false;
    if (!this.#hasPlaces(first, this.#places(count))) return false;
    for (let slot: Slot | null = first; slot !== null; slot = slot.linked) {
      this.#encode(slot, slot.linked !== null ? uapi.IOSQE_IO_LINK : 0);
    }
    return true;
  }

  /** `true` when the CQ has room for so many completions more. */
  #fits(completions: number): boolean {
    return this.inFlight + completions <= this.#limit || this.inFlight === 0;
  }

  /** Whether the SQ has so many places, besides one that is kept. */
  #hasPlaces(first: Slot, count: number): boolean {
    let kept = 0;
    if (this.#kept > 0) {
      for (let slot: Slot | null = first; slot !== null; slot = slot.linked) {
        if (this.#holds(slot.command!)) kept = this.#kept;
      }
    }
    if (count + kept === 1 || this.#sq.has(count + kept)) return true;
    this.#sqFull = true;
    return false;
  }

  /**
   * Whether the SQE of a command stays taken until the command is over. With a
   * submission thread there is no telling when an SQE was taken.
   */
  #holds(command: Command<unknown>): boolean {
    return this.#sq.hold && (command.isUringCmd || this.#sqpoll);
  }

  /** Places for `count` SQEs: in a mixed ring two each, and one filler. */
  #places(count: number): number {
    return this.#sq.mixed ? 2 * count + 1 : count;
  }

  /** Writes the SQE of a command that has a slot; `false` when none is free. */
  #encode(slot: Slot, flags: number): boolean {
    const command = slot.command!;
    const at = this.#write(command, slot.index, slot.generation, flags);
    if (at < 0) return false;
    if (!command.plain || this.#sq.hold) this.#encodeRest(slot, at);
    return true;
  }

  /** Writes an SQE, and returns where; -1 when there is none that is free. */
  #write(
    command: Command<unknown>,
    userDataLow: number,
    userDataHigh: number,
    flags: number,
  ): number {
    const at = command.submit(this.#sq, userDataLow, userDataHigh, flags);
    if (at >= 0) this.inFlight++;
    this.#sqFull = at < 0;
    return at;
  }

  /** What there is to do for few commands, or on few kernels. */
  #encodeRest(slot: Slot, at: number): void {
    const sq = this.#sq;
    const command = slot.command!;
    this.#limit -= command.completions - 1;
    for (let i = 0; i < slot.addresses.length; i++) {
      command.encodeAddress(sq.words, at, i, slot.addresses[i]);
    }
    if (!sq.hold) return;
    if (this.#holds(command)) {
      slot.marked = true;
      slot.sqe = at;
    } else {
      this.#loose.push(at);
    }
  }

  // ---- Turns ---------------------------------------------------------------

  #takeTurn(): void {
    if (this.state === "closed" || this.failure !== null) return;
    // A decoder that calls into Deno may have microtasks run, and so be the
    // caller of this, as may the loading of a module in a turn: what it is part
    // of comes to its end first.
    if (this.#turning || this.#reaping > 0 || this.#batch !== null) {
      setImmediate(this.#turn);
      return;
    }
    // While commands keep coming, as from many loops that were just resolved,
    // they are worth waiting for: they share one system call.
    if (this.submitted !== this.#queuedBefore && this.#hops++ < HOPS) {
      this.#queuedBefore = this.submitted;
      void READY.then(this.#turn);
      return;
    }
    this.#scheduled = false;
    this.#turning = true;
    try {
      this.#work();
    } finally {
      this.#turning = false;
    }
  }

  #work(): void {
    if (this.#bell !== null) this.#cq.eventfd = false;
    const { completions } = this;
    let pushed = true;
    for (let round = 0; pushed && round < ROUNDS; round++) {
      this.#submit();
      this.#reap();
      pushed = this.#pump();
    }
    if (this.completions !== completions) this.#pace.found();
    // A submission thread has to be told of what the last round has queued.
    if (pushed) this.#submit();
    if (this.failure === null) this.#rest();
  }

  /**
   * Hands the queue to the kernel; what it does not take stays queued, which
   * `false` says. A submission thread takes it when it comes to it.
   */
  #submit(): boolean {
    if (this.failure !== null) return false;
    const sq = this.#sq;
    let toSubmit = sq.publish();
    if (this.#sqpoll) {
      if (toSubmit > 0 && sq.needsWakeup) {
        this.#enter(toSubmit, 0, uapi.IORING_ENTER_SQ_WAKEUP);
      }
      return false;
    }
    while (toSubmit > 0) {
      const taken = this.#enter(toSubmit, 0, this.#enterFlags);
      if (taken <= 0) return false;
      toSubmit = taken === toSubmit ? 0 : sq.publish();
    }
    this.#releaseLoose();
    return true;
  }

  #releaseLoose(): void {
    for (const sqe of this.#loose) this.#sq.release(sqe);
    this.#loose.length = 0;
  }

  /**
   * io_uring_enter(), made again when it was interrupted. Returns 0 when there
   * was no memory or no room: it is to be made again later.
   */
  #enter(toSubmit: number, minComplete: number, flags: number): number {
    // What is called here by a decoder may have to wait for room in the CQ.
    if (this.#reaping > 0) this.#cq.commit();
    for (;;) {
      this.enters++;
      const rc = this.#handle.enter(toSubmit, minComplete, flags);
      if (rc >= 0) return rc;
      switch (-rc) {
        case E.EINTR:
          continue;
        case E.EAGAIN:
        case E.EBUSY:
          // Completions that were not taken may stand in the way. With them
          // gone there may be fewer to wait for: that is the caller's to say.
          if (this.#reapPosted() === 0 || minComplete > 0) return 0;
          if (this.failure !== null) return 0;
          continue;
        default:
          this.#fail(-rc);
          return rc;
      }
    }
  }

  /** Takes all that has completed, and what the CQ had no room for. */
  #reap(): void {
    this.#reapPosted();
    const sq = this.#sq;
    // A stream whose completions are made on request may have no end of them.
    for (let round = 0; round < ROUNDS; round++) {
      if (this.failure !== null || !sq.needsEnter) return;
      if (sq.overflowed) this.overflows++;
      this.#enter(0, 0, uapi.IORING_ENTER_GETEVENTS);
      if (this.#reapPosted() === 0) return;
    }
  }

  #reapPosted(): number {
    if (this.state === "closed" || this.failure !== null) return 0;
    const cq = this.#cq;
    let taken = 0;
    this.#reaping++;
    // A stream may post as fast as it is read: the rest has its turn later.
    let more = cq.ready > 0;
    while (more && this.failure === null && cq.next()) {
      taken++;
      this.completions++;
      this.#complete();
      more = taken < cq.entries && cq.known > 0;
    }
    if (taken > 0) cq.commit();
    this.#reaping--;
    return taken;
  }

  /** Settles the command whose completion the cursor is on. */
  #complete(): void {
    const { res, flags, userDataLow, userDataHigh } = this.#cq;
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
    if (command.plain && (flags & uapi.IORING_CQE_F_MORE) === 0) {
      this.inFlight--;
      // What is told of it may queue others.
      if (slot.sqe >= 0) this.#sq.release(slot.sqe);
      if (command.numeric && res >= 0) slot.receiver!.value(slot, res);
      else deliver(slot, this.#cq, res, flags, -1);
      this.slots.give(slot);
    } else {
      this.#completePart(slot, this.#cq, res, flags);
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
    if (slot.sqe >= 0) this.#sq.release(slot.sqe);
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
    const later: Late[] = [];
    slot.later = later;
    this.#deliverOneOfMany(slot, extras, res, flags);
    for (let late = later.shift(); late; late = later.shift()) {
      if (late.flags & uapi.IORING_CQE_F_MORE) {
        this.#others++;
        this.#deliverOneOfMany(slot, late, late.res, late.flags);
      } else {
        slot.later = null;
        return this.#completePart(slot, late, late.res, late.flags);
      }
    }
    slot.later = null;
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
    this.#cancel(index, generation);
    this.schedule();
  }

  /** After a turn: has the event loop come back when there is more. */
  #rest(): void {
    const sq = this.#sq;
    const cq = this.#cq;
    if (this.inFlight + this.#line.length === 0) {
      this.#bell?.hold(false);
      if (this.state === "closing") this.#finish();
      else if (this.#dropped) void this.close();
      return;
    }
    if (cq.lost > 0) return this.#fail(E.EBADR);
    // A submission thread need not be waited for, unless it was not woken.
    const queued = sq.publish() > 0 &&
      (!this.#sqpoll || this.#line.first !== null || sq.needsWakeup);
    // It may have taken the queue since a command found no room in it.
    const stuck = this.inFlight === 0 || queued ||
      this.#sqpoll && this.#sqFull && this.#line.first !== null;
    // Nobody else finds the completions of a polled ring.
    if (this.#iopoll || stuck || this.#pace.looksAgain()) {
      return this.#comeBack();
    }
    const bell = this.#ensureBell();
    bell.arm();
    bell.hold(this.#referenced);
    cq.eventfd = true;
    // What came before the eventfd was switched on, nobody is told of.
    if (cq.ready > 0 || sq.needsEnter) this.#comeBack();
  }

  #ensureBell(): Bell {
    return this.#bell ??= new Bell(this.#handle.fd, this.#deferred, () => {
      if (this.state === "closed" || this.state === "failed") return;
      this.wakes++;
      this.#takeTurn();
    });
  }

  #comeBack(): void {
    if (this.#immediate !== null) return;
    this.#immediate = setImmediate(() => {
      this.#immediate = null;
      if (this.#iopoll) this.#enter(0, 0, uapi.IORING_ENTER_GETEVENTS);
      if (this.failure === null) this.#takeTurn();
    });
    if (!this.#referenced) this.#immediate.unref();
  }

  // ---- The end -------------------------------------------------------------

  /** The ring cannot go on: every command is told. */
  #fail(errno: number): void {
    if (this.state === "failed" || this.state === "closed") return;
    this.state = "failed";
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
    for (let batch = this.#batch; batch !== null; batch = batch.outer) {
      batch.failFrom(0, this.failure);
    }
    abandoned.push(this.slots);
    for (const arena of this.slots.arenas()) arena.held = true;
    this.#bell?.hold(false);
    if (this.#closed !== null) this.#finish();
    else if (this.#dropped) void this.close();
  }

  #finish(): void {
    if (this.#reaping > 0) {
      // The queues are still being read.
      setImmediate(() => this.#finish());
      return;
    }
    clearTimeout(this.#closeTimer);
    this.#cancellations.stop();
    this.state = "closed";
    if (this.#immediate !== null) clearImmediate(this.#immediate);
    this.#bell?.close();
    this.#handle.close();
    leaveUse(this.#arenas);
    this.#closed!.resolve();
  }

  #warn(): void {
    const names = [...this.commands()]
      .filter(({ opcode }) => opcode !== uapi.IORING_OP_ASYNC_CANCEL)
      .map(({ name, fd }) => `${name} on fd ${fd}`);
    console.warn(
      `@uring/cmd: close() waits for ${names.length} commands that the kernel ` +
        `has not let go of: ${[...new Set(names)].slice(0, 8).join(", ")}`,
    );
  }
}

function reportUnknown(res: number, low: number, high: number): void {
  const userData = `${high >>> 0}:${low >>> 0}`;
  reportError(
    new Error(`io_uring: res ${res} for no command, user_data ${userData}`),
  );
}
