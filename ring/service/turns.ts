/**
 * The turns of a service, in the event loop or in a thread that sleeps in between.
 *
 * **Turns.** The bell of the ring, or a tag that was submitted, begins a turn. It
 * tells the receivers of what has completed, hands all that they submitted to the
 * kernel in one io_uring_enter(), and so on until there is no more, or the event loop
 * is due. `run` does the same, and sleeps in io_uring_enter() in between.
 *
 * **Contract.** A turn does not begin inside another or inside `run`. A tag that was
 * queued has a turn that is to come.
 *
 * @module
 */

import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { POLLIN } from "../../sys/uapi/poll.ts";
import type { RingHandle } from "../bare/setup.ts";
import { Command } from "../command.ts";
import { UringError } from "../errors.ts";
import { reserveStack } from "../stack.ts";
import { Bell } from "../loop/bell.ts";
import { immediate, Recall } from "../loop/immediate.ts";
import { Pace } from "../loop/pace.ts";
import { lower } from "./stop.ts";
import type { Tags } from "./tags.ts";

/** Calls of io_uring_enter() in one turn. */
const ROUNDS = 16;
/** Microtasks that a turn is put off by, while tags keep coming. */
const HOPS = 4;
/** Calls that fit the stack before `run` calls receivers. */
const STACK = 256;

/** A resolved promise. `READY.then(f)` costs a third of `queueMicrotask(f)`. */
const READY = Promise.resolve();

/** The reason for which `run` has returned. */
export type RunEnd = "idle" | "stopped" | "signalled";

/** The service, as its turns call it. */
export interface TurnsHost {
  /** Handles the end of a turn after which no tag is in flight. */
  idle(): void;
  /** Ends the service, whose ring cannot go on. */
  fail(errno: number): void;
}

/** The turns of one service. */
export class Turns {
  /** Calls of io_uring_enter(). */
  enters = 0;
  /** Times that a completion woke the event loop. */
  wakes = 0;
  /** The ring was released. */
  over = false;

  readonly #handle: RingHandle;
  readonly #tags: Tags;
  readonly #host: TurnsHost;
  readonly #pace: Pace;
  /** Flags of an io_uring_enter() that submits. */
  readonly #submitFlags: number = 0;
  /** The tag that polls for a stop signal. */
  readonly #stopTag: number = 0;
  #bell: Bell | null = null;
  /** The kernel signals completions to the bell. */
  #signals = false;
  /** The turn of the event loop that was asked for. */
  readonly #recall = new Recall(() => this.#takeTurn(true));
  #referenced = true;

  /** In a turn, or in `run`. Left set by a call that was cut short. */
  #busy = false;
  /** In a turn that the event loop has called, which nothing cuts short. */
  #ofLoop = false;
  /** The beginning of the next turn: a microtask, the event loop, or a submission. */
  #scheduled: "microtask" | "loop" | null = null;
  #submittedBefore = 0;
  #hops = 0;
  /** In `run`. */
  #running = false;
  /** The reason for which `run` is to return; `null` if it goes on. */
  #ending: "stopped" | "signalled" | null = null;
  /** The errno with which the poll for a stop signal has failed. */
  #stopErrno = 0;
  readonly #turn = () => this.#takeTurn(false);
  readonly #turnOfLoop = () => this.#takeTurn(true);

  /** `stopTag` is the tag that is used for a stop signal. */
  constructor(
    handle: RingHandle,
    tags: Tags,
    stopTag: number,
    spin: boolean,
    host: TurnsHost,
  ) {
    this.#handle = handle;
    this.#tags = tags;
    this.#stopTag = stopTag;
    this.#pace = new Pace(spin);
    this.#host = host;
    const deferred = handle.flags & uapi.IORING_SETUP_DEFER_TASKRUN;
    this.#submitFlags = deferred ? uapi.IORING_ENTER_GETEVENTS : 0;
  }

  /** The tags in flight, without that of the stop signal. */
  get inFlight(): number {
    const watching = this.#tags.isInFlight(this.#stopTag) ? 1 : 0;
    return this.#tags.inFlight - watching;
  }

  /** `true` if the turn that goes on submits what a receiver queues. */
  get covers(): boolean {
    return this.#ofLoop;
  }

  // ---- The event loop ---------------------------------------------------------

  /** Schedules a turn after the program's current burst, unless one is to come. */
  schedule(): void {
    if (this.#scheduled !== null) return;
    const { submitted, completions } = this.#tags;
    this.#submittedBefore = submitted + 1;
    this.#hops = 0;
    const due = this.#pace.loopIsDue(completions);
    if (due) this.#giveWay();
    else void READY.then(this.#turn);
    this.#scheduled = due ? "loop" : "microtask";
  }

  /** Takes the next turn after the event loop has looked for I/O: see `Engine`. */
  #giveWay(): void {
    const began = performance.now();
    const back = () => {
      this.#pace.loopHad(performance.now() - began);
      this.#takeTurn(true);
    };
    immediate(() => {
      if (this.over || this.#bell === null) back();
      else this.#bell.nudge(back);
    });
  }

  /** Takes a turn; `ofLoop` if the event loop is the caller. */
  #takeTurn(ofLoop: boolean): void {
    if (this.over) return;
    const { submitted, completions } = this.#tags;
    if (ofLoop) {
      this.#pace.loopCame(completions);
    } else if (this.#scheduled !== "microtask") {
      return; // Another turn has done it, or the event loop is due.
    } else if (this.#busy) {
      // A receiver that calls into Deno can run microtasks. If a call was cut short,
      // the event loop goes on after it.
      immediate(this.#turnOfLoop);
      return;
    } else if (submitted !== this.#submittedBefore && this.#hops++ < HOPS) {
      this.#submittedBefore = submitted;
      void READY.then(this.#turn);
      return;
    }
    this.#scheduled = null;
    this.#running = false; // Left set by a run that was cut short.
    this.#busy = true;
    this.#ofLoop = ofLoop;
    try {
      this.#work();
    } finally {
      this.#ofLoop = false;
      this.#busy = false;
    }
    if (this.#tags.completions !== completions) this.#pace.completionsCame();
  }

  #work(): void {
    const { sq } = this.#handle;
    this.#silence();
    for (let round = 0; round < ROUNDS; round++) {
      this.#tags.reap();
      if (this.over) return;
      const toSubmit = sq.publish();
      if (toSubmit === 0 && !sq.needsEnter) return this.#rest();
      const flags = toSubmit === 0
        ? uapi.IORING_ENTER_GETEVENTS
        : this.#submitFlags;
      if (!this.#enter(toSubmit, 0, flags)) break;
    }
    if (this.over) return;
    this.#scheduled = "loop";
    this.#giveWay();
  }

  /** Ends a turn: the bell or the event loop begins the next one. */
  #rest(): void {
    const { sq, cq } = this.#handle;
    // All is submitted. To make a bell can run code of the program, whose tags have
    // a turn of their own.
    this.#scheduled = null;
    this.#ofLoop = false;
    if (this.inFlight === 0) {
      this.#bell?.hold(false);
      return this.#host.idle();
    }
    if (cq.lost > 0) return this.#host.fail(E.EBADR);
    if (this.#pace.shouldSpin()) return this.#comeBack();
    const bell = this.#bell ??= new Bell(this.#handle, () => this.#rung());
    bell.arm();
    bell.hold(this.#referenced);
    cq.eventfd = this.#signals = true;
    // Completions posted before the eventfd was enabled raise no signal.
    if (cq.ready > 0 || sq.needsEnter) this.#comeBack();
  }

  #rung(): void {
    this.wakes++;
    this.#takeTurn(true);
  }

  #comeBack(): void {
    this.#recall.ask(this.#referenced);
  }

  /** Stops the signals to the bell while this thread looks by itself. */
  #silence(): void {
    if (this.#signals) this.#handle.cq.eventfd = this.#signals = false;
  }

  /** Sets if tags in flight keep the process alive. */
  set referenced(on: boolean) {
    this.#referenced = on;
    this.#bell?.hold(on && this.inFlight > 0);
    if (on) this.#recall.ref();
  }

  // ---- A thread of its own ----------------------------------------------------

  /** See `Service.run`. */
  run(stopFd: number): RunEnd {
    if (this.#busy) throw new TypeError("the service is running already");
    if (this.over) return "idle";
    this.schedule(); // The turn after this call, even if it is cut short.
    if (stopFd >= 0) this.#watch(stopFd);
    reserveStack(STACK);
    this.#busy = this.#running = true;
    try {
      this.#sleepAndServe();
    } finally {
      this.#busy = this.#running = false;
    }
    const errno = this.#stopErrno;
    const end = this.#ending ?? "idle";
    this.#stopErrno = 0;
    this.#ending = null;
    if (errno > 0) throw new UringError("POLL_ADD", stopFd, errno);
    return end;
  }

  /** See `Service.stop`. */
  stop(): void {
    if (this.#running) this.#ending ??= "stopped";
  }

  #sleepAndServe(): void {
    const { sq } = this.#handle;
    this.#silence();
    for (;;) {
      this.#tags.reap();
      if (this.over) return;
      const goesOn = this.#ending === null && this.inFlight > 0;
      const toSubmit = sq.publish();
      if (!goesOn && toSubmit === 0) return;
      const least = goesOn ? 1 : 0;
      this.#enter(toSubmit, least, uapi.IORING_ENTER_GETEVENTS);
      if (!goesOn || this.over) return;
    }
  }

  /** Polls for a stop signal, unless a poll from an earlier run is in flight. */
  #watch(fd: number): void {
    const tag = this.#stopTag;
    if (this.#tags.isInFlight(tag)) return;
    const poll = new Command({
      name: "POLL_ADD",
      opcode: uapi.IORING_OP_POLL_ADD,
      file: fd,
      opFlags: POLLIN,
    });
    this.#tags.prepare(tag, poll, (_, res) => {
      if (res < 0) this.#stopErrno = -res;
      else lower(fd);
      this.#ending = "signalled";
    });
    this.#tags.push(tag);
  }

  // ---- The kernel -------------------------------------------------------------

  /**
   * Calls io_uring_enter(), again if it was interrupted. Returns `false` if there was
   * no memory or no room, or the ring has failed.
   */
  #enter(toSubmit: number, minComplete: number, flags: number): boolean {
    for (;;) {
      const rc = this.#handle.enter(toSubmit, minComplete, flags);
      this.enters++;
      if (rc >= 0) return true;
      if (rc === -E.EINTR) continue;
      if (rc !== -E.EAGAIN && rc !== -E.EBUSY) this.#host.fail(-rc);
      return false;
    }
  }

  /** Ends the turns, and the bell. A call that was cut short can be made again. */
  end(): void {
    this.#recall.cancel();
    this.#bell?.close();
  }
}
