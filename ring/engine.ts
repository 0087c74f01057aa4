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
import { Command } from "./command.ts";
import { UringError } from "./errors.ts";
import { type Slot, Slots } from "./pending.ts";
import { deliver, NOBODY, settleAborted } from "./settle.ts";
import type { RingHandle } from "./setup.ts";
import { Bell } from "./wake.ts";

/** Turns in a row that may run as microtasks, before the event loop has one. */
const TURNS = 16;
/** Microtasks that a turn is put off by, while commands keep coming. */
const HOPS = 4;
/** After this long, `close` says which commands keep it waiting. */
const CLOSE_WARNING_MS = 5000;

/** What the kernel may still write to after a ring has failed: kept for good. */
const abandoned: Slots[] = [];

/** The queue, the turns and the end of one ring. */
export class Engine {
  readonly slots = new Slots();
  state: "disabled" | "open" | "closing" | "closed" | "failed";
  failure: UringError | null = null;
  /** CQEs that the completions of one command take, in the largest case. */
  readonly unit: number;
  /** CQEs that the commands in flight may post together. */
  readonly capacity: number;

  // Counts, for `Ring.stats`.
  enters = 0;
  submitted = 0;
  completions = 0;
  wakes = 0;
  overflows = 0;
  inFlight = 0;
  waiting = 0;

  readonly #handle: RingHandle;
  readonly #sqpoll: boolean;
  readonly #iopoll: boolean;
  readonly #deferred: boolean;
  readonly #enterFlags: number;
  #bell: Bell | null = null;
  #immediate: ReturnType<typeof setImmediate> | null = null;
  #referenced = true;
  #closed: PromiseWithResolvers<void> | null = null;
  #closeTimer: ReturnType<typeof setTimeout> | undefined;

  /** Commands that wait for room. */
  #first: Slot | null = null;
  #last: Slot | null = null;
  #credits = 0;
  /** SQEs that are free once they were submitted, in a queue that holds them. */
  readonly #loose: number[] = [];

  #scheduled = false;
  #queuedBefore = 0;
  #hops = 0;
  #turns = 0;
  readonly #turn = () => this.#takeTurn();

  constructor(handle: RingHandle) {
    this.#handle = handle;
    const has = (flag: number) => (handle.flags & flag) !== 0;
    this.state = has(uapi.IORING_SETUP_R_DISABLED) ? "disabled" : "open";
    this.#sqpoll = has(uapi.IORING_SETUP_SQPOLL);
    this.#iopoll = has(uapi.IORING_SETUP_IOPOLL);
    this.#deferred = has(uapi.IORING_SETUP_DEFER_TASKRUN);
    const asked = this.#iopoll || this.#deferred;
    this.#enterFlags = asked ? uapi.IORING_ENTER_GETEVENTS : 0;
    // In a mixed ring a large completion takes two places, and a filler one
    // more where it would not fit before the end.
    const mixed = has(uapi.IORING_SETUP_CQE_MIXED);
    this.unit = mixed ? 2 : 1;
    // Cancellations take places too: some are kept for them.
    const spare = Math.min(16, handle.cq.entries >> 2) + (mixed ? 1 : 0);
    this.capacity = Math.max(this.unit, handle.cq.entries - spare);
  }

  /** `true` when commands fit the queues at one time, as a chain has to. */
  holds(commands: readonly Command<unknown>[]): boolean {
    const { sq } = this.#handle;
    const completions = commands.reduce(
      (sum, each) => sum + each.completions,
      0,
    );
    return completions * this.unit <= this.capacity &&
      this.#places(commands.length) <= sq.entries;
  }

  /** Queues a command, or the chain it is the first of, or has it wait. */
  enqueue(slot: Slot): void {
    if (this.#first === null && this.#push(slot)) return;
    this.waiting++;
    if (this.#last === null) this.#first = slot;
    else this.#last.next = slot;
    this.#last = slot;
  }

  /** Has a turn taken when the program has queued what it is about to. */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#queuedBefore = this.submitted;
    this.#hops = 0;
    // Microtasks alone would never let the event loop run.
    if (++this.#turns % TURNS !== 0) queueMicrotask(this.#turn);
    else setImmediate(this.#turn);
  }

  /** Asks the kernel to cancel a command, or drops it if it still waits. */
  abort(slot: Slot, reason: unknown): void {
    if (slot.aborted || slot.receiver === NOBODY) return;
    slot.aborted = true;
    slot.abortReason = reason;
    if (slot.submitted) {
      const cancel = this.slots.take(
        new Command({
          name: "ASYNC_CANCEL",
          opcode: uapi.IORING_OP_ASYNC_CANCEL,
          addr: BigInt(slot.generation >>> 0) << 32n | BigInt(slot.index),
        }),
      );
      cancel.receiver = NOBODY;
      // It goes ahead of what waits: there is room kept for it in the CQ.
      if (!this.#room(1)) this.enqueue(cancel);
      else this.#encode(cancel, 0);
    } else {
      // The kernel has not seen it.
      settleAborted(slot);
    }
    this.schedule();
  }

  /** Blocks until `batch` has nothing left to wait for. */
  waitFor(batch: { left: number }): void {
    const { sq, cq } = this.#handle;
    while (batch.left > 0) {
      const toSubmit = sq.publish();
      // One enter for the whole batch; but no waiting for more completions than
      // are under way. A submission thread posts completions before it gives
      // places back, so that all may be over while there is no room for the next.
      // Where completions are made on request, the kernel wakes for the last of
      // them, and the SCSI driver gives a request's tag back only then: waiting
      // for more than there are tags is for ever (io_req_local_work_add() and
      // scsi_bsg_uring_task_cb(), Linux 7.2).
      const one = this.waiting > 0 || this.#deferred;
      const most = one ? 1 : Math.min(batch.left, cq.entries);
      const wanted = Math.min(most, this.inFlight);
      let flags = uapi.IORING_ENTER_GETEVENTS;
      if (this.#sqpoll && wanted === 0) flags |= uapi.IORING_ENTER_SQ_WAIT;
      if (this.#sqpoll && sq.needsWakeup) flags |= uapi.IORING_ENTER_SQ_WAKEUP;
      this.#enter(toSubmit, wanted, flags);
      if (this.state === "failed") return;
      if (sq.hold && sq.publish() === 0) this.#releaseLoose();
      this.#reap();
      this.#pump();
    }
    if (this.inFlight + this.waiting > 0) this.schedule();
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
    for (const slot of [...this.slots.busy()]) this.abort(slot, reason);
    if (this.#referenced) {
      this.#closeTimer = setTimeout(() => this.#warn(), CLOSE_WARNING_MS);
    }
    // Not at once: this may be called by a decoder, in the middle of a turn.
    this.schedule();
    return this.#closed.promise;
  }

  // ---- The way in ----------------------------------------------------------

  /** Queues what has waited, as far as there is room; `true` if any was. */
  #pump(): boolean {
    let pushed = false;
    while (this.#first !== null) {
      const slot = this.#first;
      const { next } = slot;
      if (slot.aborted) {
        // It was settled while it waited, with all that is linked to it.
        for (let each: Slot | null = slot; each !== null;) {
          const { linked }: Slot = each;
          this.slots.give(each);
          each = linked;
        }
      } else if (this.#push(slot)) {
        slot.next = null;
        pushed = true;
      } else {
        break;
      }
      this.waiting--;
      this.#first = next;
    }
    if (this.#first === null) this.#last = null;
    return pushed;
  }

  /** Writes the SQEs of a command and of what is linked to it, if all fit. */
  #push(first: Slot): boolean {
    let cost = 0;
    let count = 0;
    for (let slot: Slot | null = first; slot !== null; slot = slot.linked) {
      cost += slot.command!.completions * this.unit;
      count++;
    }
    if (this.#credits + cost > this.capacity && this.inFlight > 0) return false;
    // A chain ends where a submission does: it must not be cut in two.
    if (!this.#room(count)) return false;
    for (let slot: Slot | null = first; slot !== null; slot = slot.linked) {
      this.#encode(slot, slot.linked !== null ? uapi.IOSQE_IO_LINK : 0);
    }
    return true;
  }

  /** `true` when so many SQEs are free, which a submission may bring about. */
  #room(count: number): boolean {
    const { sq } = this.#handle;
    const places = this.#places(count);
    if (sq.has(places)) return true;
    this.#submit();
    return sq.has(places);
  }

  /** Places for `count` SQEs: in a mixed ring two each, and one filler. */
  #places(count: number): number {
    const { sq } = this.#handle;
    return sq.mixed ? 2 * count + 1 : count;
  }

  #encode(slot: Slot, flags: number): void {
    const { sq } = this.#handle;
    const command = slot.command!;
    const at = command.submit(sq, slot.index, slot.generation, flags);
    for (let i = 0; i < slot.addresses.length; i++) {
      command.encodeAddress(sq.words, at, i, slot.addresses[i]);
    }
    if (sq.hold) {
      // With a submission thread there is no telling when an SQE was taken.
      if (command.isUringCmd || this.#sqpoll) slot.sqe = at;
      else this.#loose.push(at);
    }
    slot.submitted = true;
    this.inFlight++;
    this.submitted++;
    this.#credits += command.completions * this.unit;
  }

  // ---- Turns ---------------------------------------------------------------

  #takeTurn(): void {
    if (this.state === "closed") return;
    // While commands keep coming, as from many loops that were just resolved,
    // they are worth waiting for: they share one system call.
    if (this.submitted !== this.#queuedBefore && this.#hops++ < HOPS) {
      this.#queuedBefore = this.submitted;
      queueMicrotask(this.#turn);
      return;
    }
    this.#scheduled = false;
    if (this.#bell !== null) this.#handle.cq.eventfd = false;
    let pushed = true;
    for (let round = 0; pushed && round < TURNS; round++) {
      this.#submit();
      this.#reap();
      pushed = this.#pump();
    }
    // A submission thread has to be told of what the last round has queued.
    if (pushed) this.#submit();
    if (this.state !== "failed") this.#rest();
  }

  /** Hands the queue to the kernel; what it does not take stays queued. */
  #submit(): void {
    if (this.state === "failed") return;
    const { sq } = this.#handle;
    let toSubmit = sq.publish();
    if (this.#sqpoll) {
      if (toSubmit > 0 && sq.needsWakeup) {
        this.#enter(toSubmit, 0, uapi.IORING_ENTER_SQ_WAKEUP);
      }
      return;
    }
    while (toSubmit > 0) {
      if (this.#enter(toSubmit, 0, this.#enterFlags) <= 0) return;
      toSubmit = sq.publish();
    }
    this.#releaseLoose();
  }

  #releaseLoose(): void {
    for (const sqe of this.#loose) this.#handle.sq.release(sqe);
    this.#loose.length = 0;
  }

  /**
   * io_uring_enter(), made again when it was interrupted. Returns 0 when there
   * was no memory or no room: it is to be made again later.
   */
  #enter(toSubmit: number, minComplete: number, flags: number): number {
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
          if (this.#reapPosted() > 0 && minComplete === 0) continue;
          return 0;
        default:
          this.#fail(-rc);
          return rc;
      }
    }
  }

  /** Takes all that has completed, and what the CQ had no room for. */
  #reap(): void {
    this.#reapPosted();
    const { sq } = this.#handle;
    while (sq.needsEnter && this.state !== "failed") {
      if (sq.overflowed) this.overflows++;
      this.#enter(0, 0, uapi.IORING_ENTER_GETEVENTS);
      if (this.#reapPosted() === 0) return;
    }
  }

  #reapPosted(): number {
    const { cq } = this.#handle;
    let taken = 0;
    // A stream may post as fast as it is read: the rest has its turn later.
    while (taken < cq.entries && cq.next()) {
      taken++;
      this.#complete();
    }
    if (taken > 0) cq.commit();
    this.completions += taken;
    return taken;
  }

  /** Settles the command whose completion the cursor is on. */
  #complete(): void {
    const { cq } = this.#handle;
    const { res, flags, userDataLow, userDataHigh } = cq;
    const slot = this.slots.find(userDataLow, userDataHigh);
    if (slot === null) {
      const userData = `${userDataHigh >>> 0}:${userDataLow >>> 0}`;
      reportError(
        new Error(`io_uring: res ${res} for no command, user_data ${userData}`),
      );
      return;
    }
    const command = slot.command!;
    if (flags & uapi.IORING_CQE_F_MORE) {
      if (command.multishot) {
        // A stream whose decoder has thrown is over, but not for the kernel.
        if (!deliver(slot, cq, res, flags, -1)) this.#silence(slot);
      } else {
        slot.early = true;
        slot.earlyRes = res;
        slot.earlyFlags = flags;
      }
      return;
    }
    this.inFlight--;
    this.#credits -= command.completions * this.unit;
    if (slot.sqe >= 0) this.#handle.sq.release(slot.sqe);
    if (slot.early) deliver(slot, cq, slot.earlyRes, slot.earlyFlags, res);
    else deliver(slot, cq, res, flags, -1);
    this.slots.give(slot);
  }

  #silence(slot: Slot): void {
    this.abort(slot, undefined);
    slot.receiver = NOBODY;
  }

  /** After a turn: has the event loop come back when there is more. */
  #rest(): void {
    const { sq, cq } = this.#handle;
    if (this.inFlight + this.waiting === 0) {
      this.#bell?.hold(false);
      if (this.state === "closing") this.#finish();
      return;
    }
    if (cq.lost > 0) return this.#fail(E.EBADR);
    const stuck = this.inFlight === 0 || !this.#sqpoll && sq.publish() > 0;
    // Nobody else finds the completions of a polled ring.
    if (this.#iopoll || stuck) return this.#comeBack();
    const bell = this.#ensureBell();
    bell.arm();
    bell.hold(this.#referenced);
    cq.eventfd = true;
    // What came before the eventfd was switched on, nobody is told of.
    if (cq.ready > 0 || sq.needsEnter) this.#comeBack();
  }

  #ensureBell(): Bell {
    return this.#bell ??= new Bell(this.#handle.fd, () => {
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
      if (this.state !== "failed") this.#takeTurn();
    });
    if (!this.#referenced) this.#immediate.unref();
  }

  // ---- The end -------------------------------------------------------------

  /** The ring cannot go on: every command is told. */
  #fail(errno: number): void {
    if (this.state === "failed" || this.state === "closed") return;
    this.state = "failed";
    const { fd } = this.#handle;
    this.failure = new UringError("io_uring_enter", fd, errno, fatal(errno));
    for (const slot of this.slots.busy()) {
      const receiver = slot.receiver!;
      slot.receiver = NOBODY;
      receiver.error(slot, this.failure);
    }
    abandoned.push(this.slots);
    this.#bell?.hold(false);
    if (this.#closed !== null) this.#finish();
  }

  #finish(): void {
    clearTimeout(this.#closeTimer);
    this.state = "closed";
    if (this.#immediate !== null) clearImmediate(this.#immediate);
    this.#bell?.close();
    this.#handle.close();
    this.#closed!.resolve();
  }

  #warn(): void {
    const names = [...this.slots.busy()]
      .filter((slot) => slot.receiver !== NOBODY)
      .map(({ command }) => `${command!.name} on fd ${command!.fd}`);
    console.warn(
      `@uring/cmd: close() waits for ${names.length} commands that the kernel ` +
        `has not let go of: ${[...new Set(names)].slice(0, 8).join(", ")}`,
    );
  }
}

/** What an error of io_uring_enter() means for the ring. */
function fatal(errno: number): string {
  switch (errno) {
    case E.EBADR:
      return "The kernel had no memory for a completion and lost it. What the " +
        "commands in flight came to is not known: open another ring.";
    case E.EEXIST:
      return "The ring belongs to another thread. A worker opens its own.";
    case E.EBADF:
    case E.EOPNOTSUPP:
      return "The descriptor of the ring was closed behind its back.";
    case E.EOWNERDEAD:
      return "The kernel's submission thread has died.";
    default:
      return "The ring cannot go on.";
  }
}
