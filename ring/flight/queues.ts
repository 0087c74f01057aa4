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
 * next turn to put things in order: see {@linkcode Recovery}.
 *
 * @module
 */

import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { type Arena, enterUse, leaveUse } from "../../sys/arena.ts";
import type { CompletionQueue } from "../bare/cqueue.ts";
import type { RingHandle } from "../bare/setup.ts";
import { FILLER, type SubmissionQueue } from "../bare/squeue.ts";
import type { Command } from "../command.ts";
import {
  type BufferRing,
  hasBuffer,
  lendBuffer,
  wasConsumed,
} from "../buffer_ring.ts";
import * as register from "../bare/register.ts";
import { fatalAdvice, UringError } from "../errors.ts";
import { Aborts } from "./abort.ts";
import { Batch, DIRECT } from "./batch.ts";
import { Batches } from "./batches.ts";
import { Cancellations } from "./cancel.ts";
import { arenasOf } from "./lease.ts";
import { enterPool, leavePool } from "./pool.ts";
import { Recovery } from "./recovery.ts";
import { Room } from "./room.ts";
import { deliver } from "./settle.ts";
import { type Busy, NOBODY, phaseOf, type Slot, Slots } from "./slot.ts";
import { WaitQueue } from "./waiting.ts";
import { Writer } from "./writer.ts";

/** Requests for completions in one turn, before other work of the event loop. */
const ROUNDS = 16;

/** Memory that the kernel may still write to after a ring has failed: kept for good. */
const abandoned = new Set<Slots | Command<unknown>>();

/** The engine, as its queues call it. */
export interface QueuesHost {
  /** Schedules a turn: there is something to submit, or an abort to act on. */
  schedule(): void;
  /** Lets the event loop take a turn, which nothing can drop. */
  comeBack(): void;
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
  /** Such a call was followed by others. Only {@linkcode Recovery.sweep} clears it. */
  torn = false;

  readonly slots = new Slots();
  readonly batches = new Batches();
  readonly room: Room;
  readonly writer: Writer;
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
      this.failure === null && this.#isInFlight(low, high),
    retry: (low, high) => {
      this.recovery.putInOrder();
      this.aborts.cancel(low, high);
      this.#host.schedule();
    },
  });
  readonly aborts: Aborts = new Aborts(this);
  readonly recovery: Recovery = new Recovery(this);
  /** The batch that a synchronous call waits for. */
  batch: Batch | null = null;
  /** The completion that the cursor is on was handled, and not stepped over. */
  #handled = false;
  /** The outcome of delivering that completion; `null` before. */
  #delivered: boolean | null = null;
  /** The batch whose last command has completed, until it was settled. */
  ended: Batch | null = null;

  readonly #handle: RingHandle;
  readonly #host: QueuesHost;
  readonly #arenas = () => this.arenas();

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
    this.writer = new Writer(handle.sq, this.room, this.cancellations);
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
      this.sqpoll && this.writer.sqFull && waits;
  }

  /** Commands handed to the kernel, completed or not. */
  get submitted(): number {
    return this.completions - this.#others + this.room.inFlight;
  }

  /** The commands in flight. */
  *commands(): Iterable<Command<unknown>> {
    for (const { command } of this.slots.busy()) yield command!;
    yield* this.#commandsOfBatches();
  }

  /** The commands in flight that have no slot. */
  *#commandsOfBatches(): Iterable<Command<unknown>> {
    for (const batch of this.batches.all()) yield* batch.pending();
  }

  /** The memory that commands in flight use. */
  *arenas(): Iterable<Arena> {
    yield* this.slots.arenas();
    for (const command of this.#commandsOfBatches()) yield* arenasOf(command);
  }

  /** Schedules a turn. */
  schedule(): void {
    this.#host.schedule();
  }

  /** Lets the event loop take a turn. */
  comeBack(): void {
    this.#host.comeBack();
  }

  // ---- The way in ----------------------------------------------------------

  /** Begins to take slots. No call of the program's runs until they are queued. */
  begin(): void {
    if (this.taking) this.torn = true;
    this.taking = true;
  }

  /**
   * Takes a slot, and the memory that its command needs. After a refusal, which a
   * program may cause again and again, nothing has to be put in order.
   */
  take(command: Command<unknown>): Slot {
    this.begin();
    try {
      return this.slots.take(command);
    } catch (error) {
      if (error instanceof TypeError) this.taking = false;
      throw error;
    }
  }

  /** `true` if there is a chain that waits, or that the kernel may not have taken. */
  get hasChain(): boolean {
    const taken = this.sq.space === this.sq.entries;
    for (const slot of this.slots.busy()) {
      if (slot.chain !== null && !(taken && phaseOf(slot) === "queued")) {
        return true;
      }
    }
    return false;
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
      this.makeRoom();
    } catch {
      // It waits, and the turn that is scheduled makes room for it.
    }
  }

  /** Returns `true` for a command that a batch itself can stand for. */
  isDirect(command: Command<unknown>): boolean {
    return command.numeric && !this.sq.hold;
  }

  /** Takes slots for the commands of a batch that need one. */
  takeSlots(batch: Batch): void {
    this.begin();
    if (!batch.slotted) return;
    const { commands } = batch;
    for (let place = 0; place < commands.length; place++) {
      const command = commands[place] as Command<unknown>;
      if (batch.marks === 0 && this.isDirect(command)) continue;
      try {
        batch.leave(place, this.slots.take(command));
      } catch (error) {
        if (error instanceof TypeError) this.#giveSlots(batch);
        throw error;
      }
    }
  }

  /** Gives back the slots of a batch after one of its commands was refused. */
  #giveSlots(batch: Batch): void {
    for (let place = 0; place < batch.commands.length; place++) {
      const slot = batch.slot(place);
      if (slot !== null) this.slots.give(slot);
    }
    this.taking = false;
  }

  /**
   * Queues the commands of a batch, as far as there is room. One call lets all of
   * them wait: what is cut short after it is done by the next turn.
   */
  enqueueBatch(batch: Batch): void {
    this.waiting.add(batch, batch.commands.length);
    this.taking = false;
    try {
      if (this.waiting.first === batch) this.pumpFirst(false);
      this.makeRoom();
    } catch {
      // The rest waits.
    }
  }

  /**
   * Submits, and queues what waits for a place in the SQ. Submitting may run the
   * program's code, so the command that needs the room waits already.
   */
  makeRoom(): void {
    while (
      this.busy !== "program" && this.writer.sqFull && this.submit() &&
      this.pump()
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
    const first = waiting.first!;
    if (first instanceof Batch) return this.#pumpBatch(first, force);
    const slot = first as Slot;
    if (slot.receiver === NOBODY) {
      this.aborts.dropWaiting(slot, null); // An abort that was cut short.
      return true;
    }
    const { next } = slot;
    this.recovery.keepSqes();
    if (!this.#push(slot, force)) return false;
    // Plain stores, as after every push: a call could be cut short.
    waiting.first = next;
    if (next === null) waiting.last = null;
    else next.previous = null;
    slot.next = null;
    waiting.length--;
    return true;
  }

  /** Queues what waits of a batch; with `force` one command beyond the CQ's room. */
  #pumpBatch(batch: Batch, force: boolean): boolean {
    if (batch.abort !== null) return this.aborts.cancelNext(batch);
    if (batch !== this.batch) this.recovery.keepSqes();
    const { waiting, writer } = this;
    const { rest } = batch;
    while (batch.rest < batch.commands.length) {
      const count = writer.writeRest(batch, force);
      if (count === 0) return batch.rest > rest;
      waiting.length -= count;
      force = false;
    }
    waiting.remove(batch, 0);
    batch.phase = "queued";
    return true;
  }

  /** Writes the SQEs of a command, and of what is linked to it, if they fit. */
  #push(slot: Slot, force = false): boolean {
    if (!this.writer.write(slot, force)) return false;
    slot.overflows = this.overflows;
    return true;
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
      if (linked === cut) return this.aborts.cancel(index, generation);
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
        if (!this.#handled && !this.#completeNumber()) {
          this.#complete();
          this.busy = busy;
        }
        this.#handled = true;
        if (this.ended !== null) this.endBatch(this.ended);
        cq.step();
        this.#handled = false;
        this.#delivered = null;
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

  /** Settles a command of a batch that has no slot, if its result is a number. */
  #completeNumber(): boolean {
    const { userDataLow, userDataHigh, res, flags } = this.cq;
    if (userDataLow >= 0 || res < 0) return false;
    if ((flags & uapi.IORING_CQE_F_MORE) !== 0) return false;
    const batch = this.batches.find(userDataHigh);
    const place = userDataLow & ~DIRECT;
    if (batch === null || batch.early !== null) return false;
    if (!batch.isInFlight(place)) return false;
    const command = batch.commands[place] as Command<unknown>;
    const result = command.resultOf(res);
    if (result < 0) return false;
    batch.put(place, result);
    this.room.inFlight--;
    return true;
  }

  /** Settles the command whose completion the cursor is on. */
  #complete(): void {
    const { flags, userDataLow, userDataHigh } = this.cq;
    let { res } = this.cq;
    if (userDataLow < 0) {
      const batch = this.batches.find(userDataHigh);
      const place = userDataLow & ~DIRECT;
      if (batch !== null && batch.isInFlight(place)) {
        if ((flags & uapi.IORING_CQE_F_MORE) === 0) {
          return this.#completeOddly(batch, place, res);
        }
        batch.keep(place, res);
        this.#others++;
        return;
      }
    }
    const slot = this.slots.find(userDataLow, userDataHigh);
    if (slot !== null && (flags & uapi.IORING_CQE_F_MORE) === 0) {
      const { command } = slot;
      const { multishot } = command!;
      if (slot.cut) res = -E.ECANCELED;
      if (multishot && this.#goesOn(slot, res)) {
        return this.#restart(slot, res, flags);
      }
      const result = command!.numeric ? command!.resultOf(res) : -1;
      // The value of a stream is an object, whose `then` may be the program's.
      if (multishot) this.busy = "program";
      if (result >= 0) slot.receiver!.value(slot, result);
      else this.#deliver(slot, res, flags);
      if (multishot) slot.receiver!.end(slot);
      slot.receiver = NOBODY;
      this.#finish(slot, command!);
      return;
    }
    this.#others++;
    if (slot === null) {
      // A zero-copy send that its chain cancels completes without saying that its
      // notification follows (io_fail_links(), Linux 6.18).
      if (flags & uapi.IORING_CQE_F_NOTIF) return;
      if (userDataLow === FILLER) return;
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

  /**
   * Settles a command of a batch that has no slot, and whose `res` is an errno or
   * has to be decoded, or came with an earlier completion.
   */
  #completeOddly(batch: Batch, place: number, last: number): void {
    const res = batch.early?.get(place) ?? last;
    const command = batch.command(place)!;
    if (batch.phase === "taken") {
      batch.put(place, undefined); // Its call was cut short.
    } else if (res >= 0 && !command.decodes) {
      batch.put(place, res);
    } else {
      this.busy = "program";
      if (res < 0 && !command.expected.includes(-res)) {
        batch.refuse(place, command, res, this.cq.polled);
      } else if (!command.decodes) {
        batch.put(place, res);
      } else {
        const retry = this.batch !== null && batch !== this.batch;
        batch.decode(place, command, this.cq, res, retry);
      }
    }
    this.room.inFlight--;
  }

  /** Settles a batch whose commands have all completed. Runs a `then` of results. */
  endBatch(batch: Batch): void {
    const { busy } = this;
    this.busy = "program";
    try {
      if (batch.phase !== "taken") batch.settle();
    } finally {
      this.busy = busy;
    }
    batch.watch?.remove(batch);
    if (batch.phase === "waiting") this.waiting.remove(batch, batch.waiting);
    this.batches.remove(batch);
    this.ended = null;
  }

  /**
   * Delivers the result that the cursor is on, once; `false` if the receiver got
   * the decoder's error.
   */
  #deliver(slot: Slot, res: number, flags: number): boolean {
    const { bufferRing } = slot.command!;
    if (bufferRing === null) return this.#deliverOnce(slot, res, flags);
    if (this.#delivered === null) {
      if (slot.early) {
        this.#lend(slot, bufferRing, slot.earlyRes, slot.earlyFlags);
      } else this.#lend(slot, bufferRing, res, flags);
    }
    const delivered = this.#deliverOnce(slot, res, flags);
    // Nobody got it. To release it twice does nothing.
    slot.loan?.release();
    slot.loan = null;
    return delivered;
  }

  #deliverOnce(slot: Slot, res: number, flags: number): boolean {
    if (slot.receiver === NOBODY) return this.#delivered = true;
    if (this.#delivered !== null) return this.#delivered;
    this.busy = "program";
    const { cq, batch } = this;
    const retry = batch !== null && slot.receiver !== batch;
    return this.#delivered = slot.early
      ? deliver(slot, cq, slot.earlyRes, slot.earlyFlags, res, retry)
      : deliver(slot, cq, res, flags, -1, retry);
  }

  /** Takes the buffer that a completion names, once: see {@linkcode LentBuffer}. */
  #lend(slot: Slot, ring: BufferRing, res: number, flags: number): void {
    if (slot.loan !== null || (flags & uapi.IORING_CQE_F_BUFFER) === 0) return;
    const id = flags >>> 16;
    if (res < 0 && !this.#hasTaken(ring, id)) return;
    slot.loan = lendBuffer(ring, id, res);
  }

  /**
   * Returns `true` if the kernel has taken a buffer that a failed command names. Since
   * Linux 6.12, it may still be in the ring (io_kbuf_commit()). Before Linux 6.8, the
   * kernel does not say, and has always taken it (__io_put_kbuf_list()). If it may not
   * be asked, the buffer stays lent.
   */
  #hasTaken(ring: BufferRing, id: number): boolean {
    const head = register.bufferRingHead(this.#handle.target(), ring.id);
    return head >= 0 ? wasConsumed(ring, id, head) : head === -E.EINVAL;
  }

  /**
   * Returns `true` for the last value of a stream that the kernel has ended because
   * the CQ was full (io_req_post_cqe(), Linux 6.18), and not the file. Of a stream of
   * bytes, this is any value but 0. Also for ENOBUFS if buffers came back since.
   */
  #goesOn(slot: Slot, res: number): boolean {
    if (slot.aborted || slot.receiver === NOBODY) return false;
    if (this.life !== "open" && this.life !== "dropped") return false;
    const { bufferRing, untilZero } = slot.command!;
    if (res === -E.ENOBUFS) return bufferRing !== null && hasBuffer(bufferRing);
    const cut = this.overflows !== slot.overflows;
    return res >= 0 && (untilZero ? res > 0 : cut);
  }

  /** Delivers a value of a stream, and queues the stream's command again. */
  #restart(slot: Slot, res: number, flags: number): void {
    if (
      res >= 0 && !this.#deliver(slot, res, flags | uapi.IORING_CQE_F_MORE)
    ) {
      slot.receiver = NOBODY;
      return this.#finish(slot, slot.command!);
    }
    const { completions } = slot.command!;
    this.#releaseSqe(slot);
    this.#host.schedule();
    this.waiting.add(slot);
    this.room.extra -= completions - 1;
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
    this.aborts.note(slot, NOBODY);
    slot.receiver = NOBODY;
  }

  #isInFlight(userDataLow: number, userDataHigh: number): boolean {
    if (userDataLow >= 0) {
      return this.slots.find(userDataLow, userDataHigh) !== null;
    }
    const batch = this.batches.find(userDataHigh);
    return batch !== null && batch.isInFlight(userDataLow & ~DIRECT);
  }

  // ---- The end -------------------------------------------------------------

  /** Fails the ring, which cannot go on, and every command with it. */
  fail(errno: number): void {
    if (this.failure !== null || this.life === "closed") return;
    const failure = this.#failureOf(errno);
    this.#host.schedule(); // If this call is cut short, the turn does the rest.
    this.#lifeBefore = this.life;
    this.failure = failure;
    this.life = "failed";
    this.tellFailure();
  }

  #failureOf(errno: number): UringError {
    const { fd } = this.#handle;
    return new UringError("io_uring_enter", fd, errno, fatalAdvice(errno));
  }

  /** Tells every command why the ring has failed. What was cut short is done again. */
  tellFailure(): void {
    const { failure } = this;
    if (failure === null || this.#told) return;
    // First, because a command that was told of the failure is no longer found.
    for (const arena of this.arenas()) arena.held = true;
    for (const each of this.#commandsOfBatches()) abandoned.add(each);
    abandoned.add(this.slots);
    for (const batch of this.batches.all()) {
      // One each, which has the results.
      batch.failAll(this.#failureOf(failure.errno));
      this.endBatch(batch);
    }
    for (const slot of this.slots.busy()) {
      slot.receiver?.error(slot, failure);
      slot.receiver = NOBODY;
    }
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
