/**
 * The turns of a ring, its waits and its end.
 *
 * **Contract.** The kernel and other threads call nothing here: all of it runs in
 * a call of the program, in a microtask or in a callback of the event loop. A turn
 * does not begin inside another, inside a delivery or inside a synchronous call.
 * The ring is released when no command is in flight.
 *
 * @module
 */

import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import type { RingHandle } from "../bare/setup.ts";
import { type Life, Queues } from "../flight/queues.ts";
import { lookIfCrowded } from "../flight/pool.ts";
import { SyncCalls } from "../flight/sync.ts";
import { Bell } from "./bell.ts";
import { immediate, Recall } from "./immediate.ts";
import { Pace } from "./pace.ts";
import { closed, opened } from "./unload.ts";

/** Rounds of queueing, submitting and reaping in one turn. */
const ROUNDS = 16;
/** Microtasks that a turn is put off by, while commands keep coming. */
const HOPS = 4;
/** Delay until `close` warns of the commands that keep it waiting. */
const CLOSE_WARNING_MS = 5000;

/** The number of first requests that look after a turn which is scheduled. */
const FIRST = 3;
/** Of the later requests, one in so many looks after it. */
const EVERY = 64;

/** A resolved promise. `READY.then(f)` costs a third of `queueMicrotask(f)`. */
const READY = Promise.resolve();

const closedReason = () =>
  new DOMException("The ring was closed", "AbortError");

/** The turns and the end of one ring. */
export class Engine {
  readonly queues: Queues;
  readonly sync: SyncCalls;
  /** Times that a later completion woke the event loop. */
  wakes = 0;
  /** Is called once the ring is released. */
  released: (() => void) | null = null;

  readonly #handle: RingHandle;
  readonly #pace: Pace;
  #bell: Bell | null = null;
  /** The kernel signals completions to the bell. */
  #signals = false;
  /** The turn of the event loop that was asked for. */
  readonly #recall = new Recall(() => this.#comeBackNow());
  #referenced = true;
  #closed: PromiseWithResolvers<void> | null = null;
  #closeTimer: ReturnType<typeof setTimeout> | undefined;
  /** The ring was released, and `close` has resolved. */
  #over = false;
  /** `close` was called, and the next turn aborts every command. */
  #abortsAll = false;

  #scheduled = false;
  /** The scheduled turn is the event loop's. */
  #givesWay = false;
  /** Requests since the turn was scheduled. */
  #requests = 0;
  /** Turns that have begun. */
  #turns = 0;
  #queuedBefore = 0;
  #hops = 0;
  readonly #turn = () => this.#takeTurn(false);
  readonly #turnOfLoop = () => this.#takeTurn(true);

  constructor(handle: RingHandle, spin = true) {
    this.#handle = handle;
    this.#pace = new Pace(spin);
    this.queues = new Queues(handle, {
      schedule: () => this.schedule(),
      comeBack: () => this.comeBack(),
      failed: (before) => this.#failed(before),
    });
    this.sync = new SyncCalls(this.queues, () => this.schedule());
    opened(this);
  }

  /**
   * Schedules a turn after the program's current burst of commands. The caller
   * is about to queue `queuing` commands, so that nothing is queued without a turn
   * that is to come.
   */
  schedule(queuing = 0): void {
    if (this.#scheduled) {
      const requests = ++this.#requests;
      if (requests <= FIRST || requests % EVERY === 0) this.#lookAfterTurn();
      return;
    }
    const { queues } = this;
    this.#queuedBefore = queues.submitted + queuing;
    this.#hops = 0;
    this.#givesWay = this.#pace.loopIsDue(queues.completions);
    if (this.#givesWay) this.#giveWay();
    else void READY.then(this.#turn);
    this.#requests = 0;
    this.#scheduled = true;
  }

  /**
   * Takes the scheduled turn if it was lost. If the timeout of `node:vm` ends a
   * microtask, V8 drops all that wait, and the turn may be one of them: it has not
   * come before what was queued after it.
   */
  #lookAfterTurn(): void {
    const turns = this.#turns;
    void READY.then(() => {
      if (this.#turns === turns && this.#scheduled && !this.#givesWay) {
        this.#takeTurn(false);
      }
    });
  }

  /** Prepares what wakes the event loop, before a ring is restricted. */
  prepareToWait(): void {
    if (!this.queues.iopoll) this.#ensureBell();
  }

  /** Sets if commands in flight keep the process alive. */
  set referenced(on: boolean) {
    this.#referenced = on;
    this.#bell?.hold(on && this.queues.room.inFlight > 0);
    if (on) this.#recall.ref();
  }

  /** Cancels every command in the next turn, and resolves when none is in flight. */
  close(): Promise<void> {
    // First calls: one that is cut short can be made again, and may run a close().
    const closed = Promise.withResolvers<void>();
    if (this.#closed === null) {
      clearTimeout(this.#closeTimer);
      if (this.#referenced) {
        const timer = setTimeout(() => this.#warn(), CLOSE_WARNING_MS);
        if (this.#closed === null) this.#closeTimer = timer;
        else clearTimeout(timer);
      }
      // A turn of its own: one that is scheduled waits for the bell, and may be
      // lost where `tearDown` was cut short.
      void READY.then(this.#turn);
      this.comeBack(); // V8 may drop the microtask: see #lookAfterTurn.
    }
    if (this.#closed !== null) return this.#closed.promise;
    this.#closed = closed;
    if (this.queues.life === "failed") return closed.promise;
    this.queues.life = "closing";
    this.#abortsAll = true;
    return closed.promise;
  }

  /**
   * Releases the ring at once, as one that has failed: the kernel cancels what is
   * in flight, and keeps the memory. In a call of the program's code, which may go
   * on after it, the ring is only closed.
   */
  tearDown(): void {
    const { queues } = this;
    if (queues.busy === null) queues.fail(E.ESHUTDOWN);
    void this.close();
    // The turn, which would do it, does not come if the program ends.
    if (queues.busy === null && !this.#over) this.#finish();
  }

  /** Closes the ring after its last command: the program dropped the ring. */
  drop(): void {
    const { queues } = this;
    if (this.#closed !== null) return;
    if (queues.failure !== null || queues.idle) return void this.close();
    queues.life = "dropped";
    this.schedule();
  }

  /**
   * Gives the event loop a turn that ends in a look for I/O. While an immediate is
   * pending, Deno looks in one round of 61 only. So none is left pending, and the
   * bell signals its own eventfd: the loop finds the signal at once, together with
   * all else that is ready.
   */
  #giveWay(): void {
    const began = performance.now();
    const back = () => {
      this.#pace.loopHad(performance.now() - began);
      this.#takeTurn(true);
    };
    // Deno tries another read after each that it made, without a look for I/O. A
    // signal that is raised only now is not found by that.
    immediate(() => {
      const { life, failure, iopoll } = this.queues;
      const over = life === "closed" || failure !== null;
      const known = this.#bell !== null || this.#pace.goesOn;
      if (over || iopoll || !known) back();
      else this.#ensureBell().nudge(back);
    });
  }

  /** Takes a turn; `ofLoop` if the event loop is the caller. */
  #takeTurn(ofLoop: boolean): void {
    const { queues } = this;
    this.#turns++;
    if (this.#over) return;
    if (ofLoop) this.#pace.loopCame(queues.completions);
    if (queues.busy !== null) {
      // A decoder that calls into Deno can run microtasks and so come here, as
      // can the loading of a module. The event loop cannot: what a call has left
      // behind was cut short.
      if (!ofLoop) {
        immediate(this.#turnOfLoop);
        return;
      }
      queues.recovery.recover();
    }
    if (queues.life === "closed" || queues.failure !== null) {
      this.#scheduled = false;
      queues.tellFailure();
      if (this.#closed !== null) this.#finish();
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
    queues.busy = "turn";
    try {
      this.#work();
    } finally {
      queues.busy = null;
    }
  }

  #work(): void {
    const { queues } = this;
    if (this.#signals) queues.cq.eventfd = this.#signals = false;
    const { completions } = queues;
    if (queues.taking || queues.torn) queues.recovery.sweep();
    queues.aborts.actOnNoted();
    if (this.#abortsAll) {
      this.#abortsAll = false;
      queues.recovery.sweep();
      queues.aborts.all(closedReason);
    }
    let pushed = true;
    for (let round = 0; pushed && round < ROUNDS; round++) {
      queues.submit();
      queues.reap();
      pushed = queues.pump();
    }
    if (queues.completions !== completions) this.#pace.completionsCame();
    // A submission thread has to be told of what the last round has queued.
    if (pushed) queues.submit();
    if (queues.failure === null) this.#rest();
  }

  /** Ends a turn: the event loop comes back if there is more to do. */
  #rest(): void {
    const { queues } = this;
    const { sq, cq } = queues;
    lookIfCrowded();
    if (queues.idle) {
      this.#bell?.hold(false);
      if (queues.life === "closing") this.#finish();
      else if (queues.life === "dropped") void this.close();
      return;
    }
    if (cq.lost > 0) return queues.fail(E.EBADR);
    // No eventfd tells of the completions of a polled ring.
    if (queues.iopoll || queues.stuck || this.#pace.shouldSpin()) {
      return this.comeBack();
    }
    const bell = this.#ensureBell();
    bell.arm();
    bell.hold(this.#referenced);
    cq.eventfd = this.#signals = true;
    // Completions posted before the eventfd was enabled raise no signal.
    if (cq.ready > 0 || sq.needsEnter) this.comeBack();
  }

  /** Returns the bell of the ring, and makes it if there is none. */
  #ensureBell(): Bell {
    if (this.#bell !== null) return this.#bell;
    const { queues } = this;
    const { busy } = queues;
    const ring = () => {
      if (queues.life === "closed" || queues.life === "failed") return;
      this.wakes++;
      this.#takeTurn(true);
    };
    // Code of the program runs here if a module is loaded. It is no part of a
    // delivery, so it may wait for the ring; but a turn inside this one would make
    // another bell.
    queues.busy = "turn";
    try {
      this.#bell = new Bell(this.#handle, ring);
    } finally {
      queues.busy = busy;
    }
    this.#signals = true;
    return this.#bell;
  }

  /** Lets the event loop take a turn, which nothing can drop. */
  comeBack(): void {
    if (!this.#over) this.#recall.ask(this.#referenced);
  }

  #comeBackNow(): void {
    const { queues } = this;
    if (queues.iopoll) queues.enter(0, 0, uapi.IORING_ENTER_GETEVENTS);
    if (queues.failure === null) this.#takeTurn(true);
  }

  /** Lets the process end. Closes a failed ring that no call of `close` will close. */
  #failed(before: Life): void {
    this.#bell?.hold(false);
    if (before === "dropped") void this.close();
  }

  #finish(): void {
    clearTimeout(this.#closeTimer);
    this.#recall.cancel();
    this.#bell?.close();
    this.queues.close();
    closed(this);
    this.released?.();
    this.#closed!.resolve();
    this.#over = true;
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
