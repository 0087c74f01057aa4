/**
 * The two queues of a ring, and the commands between them.
 *
 * **The rule: while completions are delivered, the ring only queues.** Delivering
 * runs code of the program's: decoders, `advice`, a `then` of a result. In there,
 * `cmd`, `link` and `stream` put commands into the queue, an abort and `close` are
 * noted, and the next turn does the rest; `cmdSync` and `cmdAllSync` throw. We do
 * not enter the kernel or deliver from there, because
 * - a delivery inside a delivery lets the stack grow with the traffic,
 * - completions would reach their receivers out of order,
 * - all state could change between any two lines of the outer delivery.
 *
 * **Contract.** A command that was queued settles exactly once, on its own last
 * CQE. The CQ has room for the completions of all commands in flight; further
 * commands wait, in order.
 *
 * **Exceptions.** A stack overflow can happen in any call, and the timeout of
 * `node:vm` can end the program at any call or loop without running `finally`. So
 * an SQE is filled first, and {@linkcode SubmissionQueue.push} and the accounts
 * after it are plain stores. A CQE is handled first, and stepped over last: what
 * was cut short is done again from the CQE. Marks that only a call that was cut
 * short leaves behind ({@linkcode Queues.taking}, {@linkcode Queues.busy}) tell the
 * next turn to put things in order.
 *
 * @module
 */

import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { enterUse, leaveUse } from "../../sys/arena.ts";
import type { CompletionQueue } from "../bare/cqueue.ts";
import type { RingHandle } from "../bare/setup.ts";
import type { SubmissionQueue } from "../bare/squeue.ts";
import type { Command } from "../command.ts";
import { fatalAdvice, UringError } from "../errors.ts";
import { type Batch, DIRECT } from "./batch.ts";
import { Cancellation, Cancellations } from "./cancel.ts";
import { enterPool, leavePool } from "./pool.ts";
import { Room } from "./room.ts";
import { deliver, refusalOf, settleAborted } from "./settle.ts";
import { NOBODY, type Phase, phaseOf, type Slot, Slots } from "./slot.ts";
import { WaitQueue } from "./waiting.ts";

/** Requests for completions in one turn, before other work of the event loop. */
const ROUNDS = 16;

/** Memory that the kernel may still write to after a ring has failed: kept for good. */
const abandoned = new Set<Slots>();

/** The engine, as its queues call it. */
export interface QueuesHost {
  /** Schedules a turn: there is something to submit, or an abort to act on. */
  schedule(): void;
  /** Ends the ring, which cannot go on: every command has its error. */
  failed(before: Life): void;
}

/**
 * The life of a ring. `"dropped"`: the program has no reference to the ring any
 * longer, which closes after its last command.
 */
export type Life =
  | "disabled"
  | "open"
  | "dropped"
  | "closing"
  | "failed"
  | "closed";

/**
 * The work that the ring is in the middle of. `"program"`: a call of the program's
 * code, in a delivery or before a command is queued.
 */
export type Busy = null | "turn" | "sync" | "program";

/** Commands on their way into the kernel, and completions on their way out. */
export class Queues {
  life: Life;
  /** The reason why the ring cannot go on. */
  failure: UringError | null = null;
  #lifeBefore: Life = "open";
  /** Every command was told of the failure. */
  #told = false;
  busy: Busy = null;
  /** Set from taking a slot to queueing it; left set by a call that was cut short. */
  taking = false;

  readonly slots = new Slots();
  readonly room: Room;
  readonly sq: SubmissionQueue;
  readonly cq: CompletionQueue;
  readonly sqpoll: boolean;
  readonly iopoll: boolean;
  readonly deferred: boolean;
  /** Flags of an io_uring_enter() that submits. */
  readonly enterFlags: number = 0;

  // Counts, for `Ring.stats`.
  enters = 0;
  completions = 0;
  overflows = 0;
  /** Completions that were not a command's last, or no command's. */
  #others = 0;

  readonly waiting = new WaitQueue();
  readonly cancellations = new Cancellations({
    inFlight: (low, high) =>
      this.failure === null && this.slots.find(low, high) !== null,
    retry: (low, high) => {
      this.putInOrder();
      this.cancel(low, high);
      this.#host.schedule();
    },
  });
  /** The batch that a synchronous call waits for. */
  batch: Batch | null = null;
  /** The queues as they were when the synchronous call began. */
  readonly #before = { tail: 0, enters: 0, inFlight: 0, extra: 0 };
  /** Batches whose calls were cut short, until their last CQE. */
  #cutShort: Batch | null = null;
  /** `true` if a command found room in the CQ, and none in the SQ. */
  sqFull = false;
  /** The completion that the cursor is on was handled, and not stepped over. */
  #handled = false;
  /** What delivering that completion came to; `null` before. */
  #delivered: boolean | null = null;
  /** Slots to cancel in the next turn, with the generation each had. */
  readonly #toAbort: { slot: Slot; generation: number; reason: unknown }[] = [];

  readonly #handle: RingHandle;
  readonly #host: QueuesHost;
  readonly #arenas = () => this.slots.arenas();

  constructor(handle: RingHandle, host: QueuesHost) {
    this.#handle = handle;
    this.#host = host;
    this.sq = handle.sq;
    this.cq = handle.cq;
    const has = (flag: number) => (handle.flags & flag) !== 0;
    this.life = has(uapi.IORING_SETUP_R_DISABLED) ? "disabled" : "open";
    this.sqpoll = has(uapi.IORING_SETUP_SQPOLL);
    this.iopoll = has(uapi.IORING_SETUP_IOPOLL);
    this.deferred = has(uapi.IORING_SETUP_DEFER_TASKRUN);
    const asked = this.iopoll || this.deferred;
    this.enterFlags = asked ? uapi.IORING_ENTER_GETEVENTS : 0;
    this.room = new Room({
      sqEntries: handle.sq.entries,
      cqEntries: handle.cq.entries,
      mixedCq: has(uapi.IORING_SETUP_CQE_MIXED),
      mixedSq: handle.sq.mixed,
      holdsSqes: handle.sq.hold,
    });
    enterUse(this.#arenas);
    enterPool();
  }

  /** `true` if no command is in flight, and none waits. */
  get idle(): boolean {
    return this.room.inFlight + this.waiting.length === 0;
  }

  /** `true` if there is more to do without a completion to tell of it. */
  get stuck(): boolean {
    const waits = this.waiting.first !== null;
    // A submission thread need not be waited for, unless it was not woken.
    const queued = this.sq.publish() > 0 &&
      (!this.sqpoll || waits || this.sq.needsWakeup);
    // It may have taken the queue since a command found no room in it.
    return this.room.inFlight === 0 || queued ||
      this.sqpoll && this.sqFull && waits;
  }

  /** Commands handed to the kernel, completed or not. */
  get submitted(): number {
    return this.completions - this.#others + this.room.inFlight;
  }

  /** The commands in flight. */
  *commands(): Iterable<Command<unknown>> {
    for (const { command } of this.slots.busy()) yield command!;
    for (let it = this.batch; it !== null; it = it.next) {
      yield* it.pendingCommands();
    }
    for (let it = this.#cutShort; it !== null; it = it.next) {
      yield* it.pendingCommands();
    }
  }

  // ---- The way in ----------------------------------------------------------

  /**
   * Takes a slot, and the memory that its command needs. After a refusal, which a
   * program may cause again and again, nothing has to be put in order.
   */
  take(command: Command<unknown>): Slot {
    this.taking = true;
    try {
      return this.slots.take(command);
    } catch (error) {
      if (error instanceof TypeError) this.taking = false;
      throw error;
    }
  }

  /** Queues a command, or the chain it is the first of, or lets it wait. */
  enqueue(slot: Slot): void {
    if (this.waiting.first === null && this.#push(slot)) {
      this.taking = false;
      return;
    }
    this.waiting.add(slot);
    this.taking = false;
    try {
      this.#makeRoom();
    } catch {
      // It waits, and the turn that is scheduled makes room for it.
    }
  }

  /**
   * Submits, and queues what waits for a place in the SQ. Submitting may run the
   * program's code, so the command that needs the room waits already.
   */
  #makeRoom(): void {
    while (
      this.busy !== "program" && this.sqFull && this.submit() && this.pump()
    );
  }

  /** Queues what has waited, as far as there is room; `true` if any was. */
  pump(): boolean {
    if (this.failure !== null) return false;
    let pushed = false;
    while (this.waiting.first !== null && this.pumpFirst(false)) pushed = true;
    return pushed;
  }

  /** Queues the first of those that wait; with `force` beyond the CQ's room. */
  pumpFirst(force: boolean): boolean {
    const { waiting } = this;
    const slot = waiting.first!;
    if (slot.receiver === NOBODY) {
      this.#dropWaiting(slot, null); // An abort that was cut short.
      return true;
    }
    const { next } = slot;
    // What a batch would take back may not be its own from here on.
    this.#before.enters = -1;
    if (!this.#push(slot, force)) return false;
    // Plain stores, as after every push: a call could be cut short.
    waiting.first = next;
    if (next === null) waiting.last = null;
    else next.previous = null;
    slot.next = null;
    waiting.length--;
    return true;
  }

  /**
   * Writes the SQEs of a command and of what is linked to it, if all fit. A part
   * of a chain is never written, because a chain ends where a submission does.
   */
  #push(first: Slot, force = false): boolean {
    this.sqFull = false;
    if (first.linked !== null) return this.#pushChain(first, force);
    const command = first.command!;
    if (first.receiver instanceof Cancellation) {
      const { cancellations } = this;
      if (cancellations.inFlight >= this.room.spare) return false;
      if (!this.#write(command, first)) return false;
      cancellations.inFlight++;
      return true;
    }
    return (force || this.room.fits(command.completions)) &&
      this.#write(command, first);
  }

  /** Writes an SQE, with addresses, and then adds it to the queue. */
  #write(command: Command<unknown>, slot: Slot): boolean {
    const { sq, room } = this;
    const at = this.#peek(command);
    if (at < 0) return false;
    command.fill(sq, at, slot.index, slot.generation, 0);
    this.#fillAddresses(slot, at);
    sq.push(sq.mixed && command.sqe128 ? 2 : 1);
    room.inFlight++;
    room.extra += command.completions - 1;
    slot.overflows = this.overflows;
    slot.phase = "queued";
    return true;
  }

  /** Writes the SQE of a command without a slot; `false` if none is free. */
  writeDirect(command: Command<unknown>, place: number, batch: Batch): boolean {
    const { sq } = this;
    const at = this.#peek(command);
    if (at < 0) return false;
    command.fill(sq, at, place | DIRECT, batch.number, 0);
    sq.push(sq.mixed && command.sqe128 ? 2 : 1);
    this.room.inFlight++;
    batch.direct++;
    return true;
  }

  /** Returns the place for an SQE; -1 if the SQ is full. */
  #peek(command: Command<unknown>): number {
    const at = this.sq.mixed ? this.#peekMixed(command) : this.sq.peek();
    this.sqFull = at < 0;
    return at;
  }

  #peekMixed({ sqe128 }: Command<unknown>): number {
    const { sq } = this;
    if (!sq.has(sqe128 ? 3 : 1)) return -1;
    if (sqe128 && sq.straddles(0)) sq.fill();
    return sq.at(0);
  }

  #pushChain(first: Slot, force: boolean): boolean {
    const { sq, room } = this;
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
      const { command, index, generation } = slot;
      const link = slot.linked !== null ? uapi.IOSQE_IO_LINK : 0;
      const at = sq.at(places);
      command!.fill(sq, at, index, generation, link);
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
      if (sqe128 && this.sq.straddles(places)) return true;
      places += sqe128 ? 2 : 1;
    }
    return false;
  }

  #fillAddresses(slot: Slot, at: number): void {
    const { sq } = this;
    const { lease } = slot;
    for (let i = 0; i < lease.count; i++) {
      slot.command!.encodeAddress(sq.words, at, i, lease.address(i));
    }
    if (sq.hold) slot.sqe = at;
  }

  // ---- Aborting --------------------------------------------------------------

  /**
   * Asks the kernel to cancel a command, or drops it if it still waits. In a call
   * of the program's code it is only noted.
   */
  abort(slot: Slot, reason: unknown): void {
    this.putInOrder(); // It may take SQEs back, and a cancellation with them.
    const { receiver, generation } = slot;
    if (slot.command === null || slot.aborted || receiver === NOBODY) return;
    if (receiver === null || receiver instanceof Cancellation) return;
    if (this.busy === "program") {
      this.#toAbort.push({ slot, generation, reason });
      this.#host.schedule();
      return;
    }
    this.#host.schedule();
    // A call into Deno can run microtasks, and they may settle it.
    if (slot.generation !== generation) return;
    if (phaseOf(slot) === "waiting") {
      this.#dropWaiting(slot.chain?.first ?? slot, reason);
      return;
    }
    this.#addCancellation(slot.index, generation);
    slot.abortReason = reason;
    slot.aborted = true;
    this.#pushCancellation();
  }

  /** Settles a command that the kernel has not seen, and all of its chain. */
  #dropWaiting(first: Slot, reason: unknown): void {
    // The first one last: it is dropped where NOBODY receives for it.
    for (let slot = first.linked; slot !== null; slot = slot.linked) {
      slot.abortReason = reason;
      settleAborted(slot);
    }
    first.abortReason = reason;
    settleAborted(first);
    this.taking = true;
    this.waiting.remove(first);
    for (let slot: Slot | null = first; slot !== null;) {
      const { linked }: Slot = slot;
      this.slots.give(slot);
      slot = linked;
    }
    this.taking = false;
  }

  /** Acts on what was noted while the program's code ran. */
  abortNoted(): void {
    for (const { slot, generation, reason } of this.#toAbort.splice(0)) {
      if (slot.generation !== generation) continue;
      if (reason === NOBODY) this.cancel(slot.index, generation);
      else this.abort(slot, reason);
    }
  }

  /** Aborts every command. */
  abortAll(reason: unknown): void {
    this.sweep();
    const busy = [...this.slots.busy()];
    // What waits comes first: a cancellation could make room for it.
    for (const slot of busy) {
      if (phaseOf(slot) === "waiting") this.abort(slot, reason);
    }
    for (const slot of busy) this.abort(slot, reason);
  }

  /** Cancels what has this `user_data`, before anything else is queued. */
  cancel(userDataLow: number, userDataHigh: number): void {
    this.#addCancellation(userDataLow, userDataHigh);
    this.#pushCancellation();
  }

  /** Lets a cancellation wait, before all that waits. */
  #addCancellation(userDataLow: number, userDataHigh: number): void {
    const { slots } = this;
    this.taking = true;
    const slot = this.cancellations.take(slots, userDataLow, userDataHigh);
    this.waiting.addFirst(slot);
    this.taking = false;
  }

  #pushCancellation(): void {
    if (!this.pumpFirst(false)) this.#makeRoom();
  }

  // ---- Into the kernel, and out of it ---------------------------------------

  /**
   * Hands the queue to the kernel. Returns `false` if the kernel took only a part;
   * the rest stays queued. A submission thread takes it when it comes to it.
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
    return true;
  }

  /**
   * Calls io_uring_enter(), again if it was interrupted. Returns 0 if there was no
   * memory or no room: the caller retries later. Matches __io_uring_submit() in
   * liburing, which leaves the retry to its caller.
   */
  enter(toSubmit: number, minComplete: number, flags: number): number {
    for (;;) {
      const rc = this.#handle.enter(toSubmit, minComplete, flags);
      this.enters++;
      if (rc > 0 && rc < toSubmit && !this.sqpoll) this.#endCutChain();
      if (rc >= 0) return rc;
      switch (-rc) {
        case E.EINTR:
          continue;
        case E.EAGAIN:
        case E.EBUSY:
          // Completions that were not reaped may stand in the way. With them
          // gone there may be fewer to wait for, which the caller decides.
          if (this.reapPosted() === 0 || minComplete > 0) return 0;
          if (this.failure !== null) return 0;
          continue;
        default:
          this.fail(-rc);
          return rc;
      }
    }
  }

  /** Cancels the rest of a chain that a short submit has cut in two. */
  #endCutChain(): void {
    const { words } = this.sq;
    for (const at of this.sq.cutOff()) {
      const slot = this.slots.find(words[at + 8], words[at + 9]);
      if (slot === null) {
        // In a batch whose commands link each other by flags of their own: no
        // operation has this number, so the command fails.
        words[at] |= 0xff;
        continue;
      }
      slot.cut = true;
      const bounds = slot.command!.opcode === uapi.IORING_OP_LINK_TIMEOUT;
      if (bounds) this.#cancelBefore(slot);
    }
  }

  /** Cancels the command whose link timeout was cut off. */
  #cancelBefore(cut: Slot): void {
    for (const { linked, index, generation } of this.slots.busy()) {
      if (linked === cut) return this.cancel(index, generation);
    }
  }

  /** Reaps all completions, with those that the CQ had no room for. */
  reap(): void {
    this.reapPosted();
    const sq = this.sq;
    // With DEFER_TASKRUN a stream can produce completions without end.
    for (let round = 0; round < ROUNDS; round++) {
      if (this.failure !== null || !sq.needsEnter) return;
      if (sq.overflowed) this.overflows++;
      this.enter(0, 0, uapi.IORING_ENTER_GETEVENTS);
      if (this.reapPosted() === 0) return;
    }
  }

  /** Reaps the completions in the CQ, and returns their number. */
  reapPosted(): number {
    if (this.failure !== null) return 0;
    const { cq, busy } = this;
    let taken = 0;
    try {
      // A stream may post as fast as it is read: the rest is for a later turn.
      let more = cq.ready > 0;
      while (more && cq.peek()) {
        if (!this.#handled) this.#complete();
        this.#handled = true;
        cq.step();
        this.#handled = false;
        this.#delivered = null;
        this.busy = busy;
        taken++;
        this.completions++;
        more = taken < cq.entries && cq.known > 0;
      }
    } finally {
      this.busy = busy;
    }
    cq.commit();
    return taken;
  }

  /** Settles the command whose completion the cursor is on. */
  #complete(): void {
    const { flags, userDataLow, userDataHigh } = this.cq;
    let { res } = this.cq;
    if (userDataLow < 0) {
      const batch = this.#findBatch(userDataHigh);
      const place = userDataLow & ~DIRECT;
      const command = batch?.pending(place) ?? null;
      if (command !== null) return this.#completeDirect(batch!, place, res);
    }
    const slot = this.slots.find(userDataLow, userDataHigh);
    if (slot !== null && (flags & uapi.IORING_CQE_F_MORE) === 0) {
      const { command } = slot;
      if (slot.cut) res = -E.ECANCELED;
      if (command!.multishot && this.#goesOn(slot, res)) {
        return this.#restart(slot, res, flags);
      }
      if (command!.numeric && res >= 0) slot.receiver!.value(slot, res);
      else this.#deliver(slot, res, flags);
      if (command!.multishot) slot.receiver!.end(slot);
      slot.receiver = NOBODY;
      this.#finish(slot, command!);
      return;
    }
    this.#others++;
    if (slot === null) {
      // A zero-copy send that its chain cancels completes without saying that its
      // notification follows (io_fail_links(), Linux 6.18).
      if (flags & uapi.IORING_CQE_F_NOTIF) return;
      this.busy = "program";
      reportError(unknown(res, userDataLow, userDataHigh));
    } else if (slot.command!.multishot) {
      if (!this.#deliver(slot, res, flags)) this.#silence(slot);
    } else {
      slot.early = true;
      slot.earlyRes = res;
      slot.earlyFlags = flags;
    }
  }

  #completeDirect(batch: Batch, place: number, res: number): void {
    const command = batch.pending(place)!;
    if (res >= 0 || command.expected.includes(-res)) {
      batch.put(place, res);
    } else if (batch === this.batch) {
      this.busy = "program";
      batch.fail(place, refusalOf(command, res));
    } else {
      batch.put(place, undefined); // Its call was cut short.
    }
    batch.direct--;
    this.room.inFlight--;
  }

  /**
   * Delivers the result that the cursor is on, once; `false` if the receiver got
   * the decoder's error.
   */
  #deliver(slot: Slot, res: number, flags: number): boolean {
    if (slot.receiver === NOBODY) return true;
    if (this.#delivered !== null) return this.#delivered;
    this.busy = "program";
    const { cq, batch } = this;
    const retry = batch !== null && slot.receiver !== batch;
    return this.#delivered = slot.early
      ? deliver(slot, cq, slot.earlyRes, slot.earlyFlags, res, retry)
      : deliver(slot, cq, res, flags, -1, retry);
  }

  /**
   * Returns `true` for the last value of a stream that the kernel has ended because
   * the CQ was full (io_req_post_cqe(), Linux 6.18), and not the file.
   */
  #goesOn(slot: Slot, res: number): boolean {
    return res >= 0 && !slot.aborted && slot.receiver !== NOBODY &&
      this.overflows !== slot.overflows &&
      (this.life === "open" || this.life === "dropped");
  }

  /** Delivers a value of a stream, and queues the stream's command again. */
  #restart(slot: Slot, res: number, flags: number): void {
    if (!this.#deliver(slot, res, flags | uapi.IORING_CQE_F_MORE)) {
      slot.receiver = NOBODY;
      return this.#finish(slot, slot.command!);
    }
    this.#releaseSqe(slot);
    this.#host.schedule();
    this.waiting.add(slot);
    this.room.extra -= slot.command!.completions - 1;
    this.room.inFlight--;
  }

  /** Gives back what a settled command had. */
  #finish(slot: Slot, { completions }: Command<unknown>): void {
    this.#releaseSqe(slot);
    this.slots.give(slot);
    this.room.extra -= completions - 1;
    this.room.inFlight--;
  }

  /** Gives the place of a held SQE back to the queue. */
  #releaseSqe(slot: Slot): void {
    if (slot.sqe < 0) return;
    this.sq.release(slot.sqe);
    slot.sqe = -1;
  }

  /** Cancels a stream whose decoder has thrown, in the next turn. */
  #silence(slot: Slot): void {
    const { generation } = slot;
    this.#toAbort.push({ slot, generation, reason: NOBODY });
    this.#host.schedule();
    slot.receiver = NOBODY;
  }

  /** Returns the batch of a number, also if its call was cut short. */
  #findBatch(number: number): Batch | null {
    if (this.batch?.number === number) return this.batch;
    let batch = this.#cutShort;
    while (batch !== null && batch.number !== number) batch = batch.next;
    return batch;
  }

  // ---- Calls that were cut short ---------------------------------------------

  /** Begins a synchronous call, and notes how things stand. */
  enterBatch(batch: Batch): void {
    this.#before.tail = this.sq.pushed;
    this.#before.enters = this.enters;
    this.#before.inFlight = this.room.inFlight;
    this.#before.extra = this.room.extra;
    this.batch = batch;
    this.busy = "sync";
  }

  /**
   * Leaves a batch whose call was cut short. Its SQEs are taken back if the kernel
   * cannot have seen them, so that it does not use the memory of a call that has
   * thrown. Otherwise their CQEs are still to come.
   */
  leaveBatch(batch: Batch): void {
    const { tail, enters, inFlight, extra } = this.#before;
    if (this.enters === enters && this.sq.drop(tail, this.sqpoll)) {
      this.room.inFlight = inFlight;
      this.room.extra = extra;
      batch.direct = 0;
      batch.dropped = true;
    }
    batch.next = this.#cutShort;
    this.#cutShort = batch;
    this.batch = null;
    this.taking = true;
  }

  /** Recovers if a synchronous call was cut short: only its own code runs in it. */
  putInOrder(): void {
    if (this.busy === "sync") this.recover();
    else if (this.taking && this.busy === null) this.sweep();
  }

  /** Puts in order what a call has left behind that was cut short. */
  recover(): void {
    if (this.batch !== null) this.leaveBatch(this.batch);
    this.sweep();
    this.busy = null;
  }

  /** Gives back the slots of calls that have thrown, and cancels their streams. */
  sweep(): void {
    for (const slot of [...this.slots.busy()]) {
      const phase = phaseOf(slot);
      if (phase === "taken") this.slots.give(slot);
      else if (slot.receiver === NOBODY && !slot.aborted) {
        this.#abandon(slot, phase);
      }
    }
    let last: Batch | null = null;
    for (let it = this.#cutShort; it !== null; it = it.next) {
      for (const slot of this.slots.busy()) {
        if (slot.receiver === it) this.#orphan(slot, it.dropped);
      }
      // One store takes a batch out of the list.
      if (it.direct > 0) last = it;
      else if (last === null) this.#cutShort = it.next;
      else last.next = it.next;
    }
    this.taking = false;
  }

  /** Drops a command that waits and that no one waits for, or cancels a stream. */
  #abandon(slot: Slot, phase: Phase): void {
    if (phase === "waiting") {
      this.#dropWaiting(slot.chain?.first ?? slot, undefined);
    } else if (slot.command!.multishot) {
      slot.aborted = true;
      this.cancel(slot.index, slot.generation);
    }
  }

  /** Gives back a slot whose SQE was dropped, or is not written; else silences it. */
  #orphan(slot: Slot, dropped: boolean): void {
    slot.receiver = NOBODY;
    const waits = phaseOf(slot) === "waiting";
    if (waits) this.waiting.remove(slot);
    if (waits || dropped) this.slots.give(slot);
  }

  // ---- The end -------------------------------------------------------------

  /** Fails the ring, which cannot go on, and every command with it. */
  fail(errno: number): void {
    if (this.failure !== null || this.life === "closed") return;
    const { fd } = this.#handle;
    const advice = fatalAdvice(errno);
    const failure = new UringError("io_uring_enter", fd, errno, advice);
    this.#host.schedule(); // If this call is cut short, the turn does the rest.
    this.#lifeBefore = this.life;
    this.failure = failure;
    this.life = "failed";
    this.tellFailure();
  }

  /** Tells every command why the ring has failed. What was cut short is done again. */
  tellFailure(): void {
    const { failure } = this;
    if (failure === null || this.#told) return;
    for (const arena of this.slots.arenas()) arena.held = true;
    abandoned.add(this.slots);
    for (const slot of this.slots.busy()) {
      slot.receiver?.error(slot, failure);
      slot.receiver = NOBODY;
    }
    this.batch?.failAll(failure);
    this.#host.failed(this.#lifeBefore);
    this.#told = true;
  }

  /** Releases the ring: no command is in flight. */
  close(): void {
    this.life = "closed";
    this.cancellations.stop();
    this.#handle.close();
    leaveUse(this.#arenas);
    leavePool();
  }
}

function unknown(res: number, low: number, high: number): Error {
  const userData = `${high >>> 0}:${low >>> 0}`;
  return new Error(
    `io_uring: res ${res} for no command, user_data ${userData}`,
  );
}
