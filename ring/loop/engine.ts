/**
 * What runs the commands of a ring: turns of the event loop, waits, the end.
 *
 * **Contract.** Nothing here is called by the kernel or by another thread:
 * everything happens in a call of the program, in a microtask or in a turn of the
 * loop. No turn begins in the middle of another, of a reaping or of a synchronous
 * call, and the ring is given back only when nothing is under way.
 *
 * @module
 */

import * as E from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { DIRECT } from "../flight/batch.ts";
import { Cancellation } from "../flight/cancel.ts";
import { Pace } from "./pace.ts";
import type { Slot } from "../flight/slot.ts";
import { Queues } from "../flight/queues.ts";
import { NOBODY, settleAborted } from "../flight/settle.ts";
import type { RingHandle } from "../bare/setup.ts";
import { SyncCalls } from "../flight/sync.ts";
import { Bell } from "./bell.ts";

/** Rounds of queueing, submitting and reaping in one turn. */
const ROUNDS = 16;
/** Microtasks that a turn is put off by, while commands keep coming. */
const HOPS = 4;
/** After this long, `close` says which commands keep it waiting. */
const CLOSE_WARNING_MS = 5000;

/** Something to wait for that is over: a microtask at a third of the price. */
const READY = Promise.resolve();

/** The turns and the end of one ring. */
export class Engine {
  readonly queues: Queues;
  readonly sync: SyncCalls;
  state: "disabled" | "open" | "closing" | "closed" | "failed";
  /** Times that a later completion woke the event loop. */
  wakes = 0;

  readonly #fd: number;
  readonly #pace: Pace;
  #bell: Bell | null = null;
  #immediate: ReturnType<typeof setImmediate> | null = null;
  #referenced = true;
  #closed: PromiseWithResolvers<void> | null = null;
  #closeTimer: ReturnType<typeof setTimeout> | undefined;
  /** Nobody can queue commands any more: it ends when the last is over. */
  #dropped = false;

  #turning = false;
  #scheduled = false;
  #queuedBefore = 0;
  #hops = 0;
  readonly #turn = () => this.#takeTurn();

  constructor(handle: RingHandle, spin = true) {
    this.#fd = handle.fd;
    this.#pace = new Pace(spin);
    const schedule = () => this.schedule();
    const failed = () => this.#failed();
    this.queues = new Queues(handle, { schedule, failed });
    this.sync = new SyncCalls(this.queues, schedule);
    const disabled = (handle.flags & uapi.IORING_SETUP_R_DISABLED) !== 0;
    this.state = disabled ? "disabled" : "open";
  }

  /** Has a turn taken when the program has queued what it is about to. */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#queuedBefore = this.queues.submitted;
    this.#hops = 0;
    if (this.#pace.loopIsDue(this.queues.completions)) setImmediate(this.#turn);
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
    else this.queues.cancel(slot.index, slot.generation);
    this.schedule();
  }

  /** Makes ready what wakes the event loop, before a ring is restricted. */
  prepareToWait(): void {
    if (!this.queues.iopoll) this.#ensureBell();
  }

  /** Whether commands in flight keep the process alive. */
  set referenced(on: boolean) {
    this.#referenced = on;
    this.#bell?.hold(on && this.queues.inFlight > 0);
    if (on) this.#immediate?.ref();
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
    const { queues } = this;
    const busy = [...queues.slots.busy()];
    // What waits comes first: a cancellation could make room for it.
    for (const slot of busy) if (slot.waiting) this.abort(slot, reason);
    for (const slot of busy) this.abort(slot, reason);
    for (let batch = queues.batch; batch !== null; batch = batch.outer) {
      batch.abortReason = reason;
      batch.failFrom(batch.queued, reason);
      for (const [place] of batch.direct(batch.queued)) {
        queues.cancel(place | DIRECT, batch.number);
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
    if (this.queues.failure !== null || this.queues.idle) void this.close();
  }

  #takeTurn(): void {
    const { queues } = this;
    if (this.state === "closed" || queues.failure !== null) return;
    // A decoder that calls into Deno may have microtasks run, and so be the
    // caller of this, as may the loading of a module in a turn: what it is part
    // of comes to its end first.
    if (this.#turning || queues.reaping > 0 || queues.batch !== null) {
      setImmediate(this.#turn);
      return;
    }
    // While commands keep coming, as from many loops that were just resolved,
    // they are worth waiting for: they share one system call.
    if (queues.submitted !== this.#queuedBefore && this.#hops++ < HOPS) {
      this.#queuedBefore = queues.submitted;
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
    const { queues } = this;
    if (this.#bell !== null) queues.cq.eventfd = false;
    const { completions } = queues;
    queues.readUnread();
    let pushed = true;
    for (let round = 0; pushed && round < ROUNDS; round++) {
      queues.submit();
      queues.reap();
      pushed = queues.pump();
    }
    if (queues.completions !== completions) this.#pace.found();
    // A submission thread has to be told of what the last round has queued.
    if (pushed) queues.submit();
    if (queues.failure === null) this.#rest();
  }

  /** After a turn: has the event loop come back when there is more. */
  #rest(): void {
    const { queues } = this;
    const { sq, cq } = queues;
    if (queues.idle) {
      this.#bell?.hold(false);
      if (this.state === "closing") this.#finish();
      else if (this.#dropped) void this.close();
      return;
    }
    if (cq.lost > 0) return queues.fail(E.EBADR);
    // Nobody else finds the completions of a polled ring.
    if (queues.iopoll || queues.stuck || this.#pace.looksAgain()) {
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
    return this.#bell ??= new Bell(this.#fd, this.queues.deferred, () => {
      if (this.state === "closed" || this.state === "failed") return;
      this.wakes++;
      this.#takeTurn();
    });
  }

  #comeBack(): void {
    if (this.#immediate !== null) return;
    this.#immediate = setImmediate(() => {
      this.#immediate = null;
      const { queues } = this;
      if (queues.iopoll) queues.enter(0, 0, uapi.IORING_ENTER_GETEVENTS);
      if (queues.failure === null) this.#takeTurn();
    });
    if (!this.#referenced) this.#immediate.unref();
  }

  /** The ring cannot go on: its commands were told. */
  #failed(): void {
    this.state = "failed";
    this.#bell?.hold(false);
    if (this.#closed !== null) this.#finish();
    else if (this.#dropped) void this.close();
  }

  #finish(): void {
    if (this.queues.reaping > 0) {
      // The queues are still being read.
      setImmediate(() => this.#finish());
      return;
    }
    clearTimeout(this.#closeTimer);
    this.state = "closed";
    if (this.#immediate !== null) clearImmediate(this.#immediate);
    this.#bell?.close();
    this.queues.close();
    this.#closed!.resolve();
  }

  #warn(): void {
    const names = [...this.queues.commands()]
      .filter(({ opcode }) => opcode !== uapi.IORING_OP_ASYNC_CANCEL)
      .map(({ name, fd }) => `${name} on fd ${fd}`);
    console.warn(
      `@uring/cmd: close() waits for ${names.length} commands that the kernel ` +
        `has not let go of: ${[...new Set(names)].slice(0, 8).join(", ")}`,
    );
  }
}
