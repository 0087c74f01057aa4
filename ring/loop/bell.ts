/**
 * Tells a ring about completions that come later: through an eventfd that the event
 * loop hears of, or through a timer where there are no descriptors or no memory for
 * that, or where the kernel refuses it. So no completion is left unseen.
 *
 * @module
 */

import { IORING_SETUP_DEFER_TASKRUN } from "../../sys/uapi/io_uring.ts";
import { registerEventfd, unregisterEventfd } from "../bare/register.ts";
import type { RingHandle } from "../bare/setup.ts";
import { Direct } from "./direct.ts";
import { Eventfd } from "./eventfd.ts";
import { immediate } from "./immediate.ts";
import { must } from "./pipe.ts";
import { PollTimer } from "./polling.ts";
import { Relay } from "./relay.ts";
import type { Listener, Wire } from "./wire.ts";

/** Looks of the timer until a bell tries to connect again: 0.3 s at 20 ms each. */
const LOOKS_BEFORE_RECONNECT = 16;
/** Milliseconds between two looks for signals that did not come. */
const WATCHDOG_MS = 1000;
/**
 * Looks in a row that find a signal missing, until the wire is given up. The first
 * may have come before the event loop could deliver the signal; and the second, if
 * the program had the thread for a second.
 */
const MOST_MISSED = 3;

/** A signal for one ring to look for completions. */
export class Bell implements Listener {
  readonly #handle: RingHandle;
  readonly #ring: () => void;
  readonly #timer: PollTimer;
  #wire: Wire | null = null;
  /** The number of looks of the timer at which to try to connect again. */
  #retryAt = 0;
  /** `true` while a call of the ring is requested. */
  #armed = false;
  /** A turn to take once the event loop has looked for I/O. */
  #turn: (() => void) | null = null;
  #held = false;
  /** The last word to the wire or the timer; `null` if it may not have heard. */
  #kept: boolean | null = null;
  #watchdog: ReturnType<typeof setTimeout> | undefined;
  /** Looks of the watchdog that found a signal missing since the last signal. */
  #missed = 0;
  #closed = false;

  /** Makes a bell that calls `ring` after each signal of a ring. */
  constructor(handle: RingHandle, ring: () => void) {
    this.#handle = handle;
    this.#ring = ring;
    this.#timer = new PollTimer(ring);
    this.#connect();
  }

  /** Requests a call at the next signal, unless one is requested already. */
  arm(): void {
    if (this.#armed || this.#closed) return;
    if (this.#wire === null && this.#timer.looks >= this.#retryAt) {
      this.#connect();
    }
    if (this.#wire === null) return this.#timer.arm();
    // First, so that a call that is cut short afterwards loses no signal.
    this.#watch();
    this.#armed = true;
    this.#wire.arm();
  }

  /**
   * Takes a turn once the event loop has looked for I/O. The bell signals its own
   * eventfd: the loop, which has nothing else to do, finds that together with all
   * else that is ready. The turn has to look for completions too: it is the answer
   * to a request.
   */
  nudge(turn: () => void): void {
    const wire = this.#wire;
    if (wire === null || this.#turn !== null) return void immediate(turn);
    this.#watch(); // First, as in arm().
    this.#turn = turn;
    this.#keep();
    wire.arm();
    if (!wire.eventfd.signal()) this.disconnect();
  }

  /**
   * Keeps the process alive, or lets it end. A call that was cut short can be made
   * again.
   */
  hold(on: boolean): void {
    this.#held = on;
    this.#keep();
  }

  #keep(): void {
    const on = this.#held || this.#turn !== null;
    if (this.#kept === on) return;
    this.#kept = null;
    (this.#wire ?? this.#timer).hold(on);
    if (this.#watchdog !== undefined) {
      if (on) Deno.refTimer(this.#watchdog);
      else Deno.unrefTimer(this.#watchdog);
    }
    this.#kept = on;
  }

  /** Handles a signal of the eventfd, unless the ring was closed meanwhile. */
  rung(): void {
    this.#missed = 0;
    this.#answer();
  }

  /** Takes the turn, or calls the ring. An error must not stop other rings. */
  #answer(): void {
    if (this.#closed) return;
    if (this.#handle.flags & IORING_SETUP_DEFER_TASKRUN) this.#renew();
    const armed = this.#armed;
    this.#armed = false;
    if (this.#turn !== null) return this.#takeTurn();
    if (!armed) return;
    try {
      this.#ring();
    } catch (error) {
      reportError(error);
    }
  }

  #takeTurn(): void {
    if (this.#turn !== null) immediate(this.#turn);
    this.#turn = null;
    this.#keep();
  }

  /**
   * Registers the eventfd again. The kernel signals a completion that is deferred
   * in the middle of a wake-up later. Some kernels, such as Linux 6.12.117, then
   * keep IO_EVENTFD_OP_SIGNAL_BIT set (io_eventfd_signal()) and never signal that
   * eventfd again, until it is registered anew.
   */
  #renew(): void {
    if (this.#wire === null) return;
    const { eventfd, byNumber } = this.#wire;
    const ring = this.#handle.target();
    const renewed = (byNumber || eventfd.holder === "eventfd") &&
      unregisterEventfd(ring) >= 0 && registerEventfd(ring, eventfd.fd) >= 0;
    if (!renewed) this.disconnect();
  }

  /** Sets the watchdog, unless it is set. */
  #watch(): void {
    if (this.#watchdog !== undefined) return;
    this.#watchdog = setTimeout(() => this.#look(), WATCHDOG_MS);
    if (this.#kept !== true) Deno.unrefTimer(this.#watchdog);
  }

  /**
   * Answers a signal that did not come, as if it had. Somebody may have closed a
   * descriptor of the wire by its number, or Deno's reading of it may have ended on
   * a full stack, and then none will come. So the watchdog, too, keeps the process
   * alive. A wire whose eventfd is gone is given up at once.
   */
  #look(): void {
    this.#watchdog = undefined;
    if (this.#wire === null || !this.#armed && this.#turn === null) return;
    const { cq, sq } = this.#handle;
    if (this.#turn === null && cq.ready === 0 && !sq.needsEnter) {
      this.#missed = 0;
    } else if (this.#wire.eventfd.holder !== "eventfd") {
      return this.disconnect();
    } else if (++this.#missed === MOST_MISSED) {
      return this.#wire.fail();
    }
    this.#watch();
    if (this.#missed > 0) this.#answer();
  }

  #connect(): void {
    this.#kept = null;
    try {
      this.#wire = connect(this.#handle.target(), this);
    } catch {
      // There are no descriptors or no memory, the ring was restricted, or the
      // permission for FFI was revoked: the ring is polled instead.
      this.#retryAt = this.#timer.looks + LOOKS_BEFORE_RECONNECT;
      return;
    }
    this.#missed = 0;
    this.#timer.stop();
    this.#timer.hold(false);
    this.#keep();
  }

  /** Switches to the timer, which starts at once. */
  disconnect(): void {
    this.#letGo();
    unregisterEventfd(this.#handle.target());
    this.#takeTurn();
    this.#retryAt = this.#timer.looks + LOOKS_BEFORE_RECONNECT;
    if (!this.#closed) this.#timer.arm();
  }

  /** Ends the connection. A call that was cut short can be made again. */
  #letGo(): void {
    clearTimeout(this.#watchdog);
    this.#watchdog = undefined;
    this.#armed = false;
    this.#wire?.close();
    this.#wire = null;
    this.#kept = null;
  }

  /**
   * Closes the bell. The ring it belongs to is idle, or closed. A call that was cut
   * short can be made again.
   */
  close(): void {
    this.hold(false);
    this.#closed = true;
    this.#timer.stop();
    this.#wire?.disarm();
    this.#letGo();
    this.#takeTurn();
  }
}

/** Makes an eventfd that a ring signals, and connects it to the event loop. */
function connect(ring: number, listener: Listener): Wire {
  const eventfd = Eventfd.open();
  let wire: Wire | undefined;
  let registered = false;
  try {
    must("io_uring_register", registerEventfd(ring, eventfd.fd));
    registered = true;
    const direct = Direct.open(eventfd, listener);
    wire = direct ?? new Relay(eventfd, listener);
    direct?.start();
    return wire;
  } catch (error) {
    if (registered) unregisterEventfd(ring);
    if (wire === undefined) eventfd.close();
    else wire.close();
    throw error;
  }
}
