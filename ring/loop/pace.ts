/**
 * The pace of a ring: when the event loop gets a turn, and whether the ring spends
 * a wait looking or asleep.
 *
 * @module
 */

import { immediate } from "./immediate.ts";

/**
 * Milliseconds of microtasks before the event loop gets a turn, while only this
 * ring has work. Without that, microtasks would never let the loop have one.
 */
const ALONE_MS = 1;
/** The same while others have work: the loop's turns take `BUSY_MS` longer. */
const SHARED_MS = 0.2;
/** Excess over the shortest turn of the loop that shows work of others. */
const BUSY_MS = 0.04;
/** Turns of the loop after which a ring is expected to go on like this. */
const MANY = 16;
/** Most commands between two looks at the clock: those of a few turns. */
const BUDGET = 1024;
/** Commands that a turn counts as, in addition to its own. */
const TURN_COST = 256;
/**
 * The longest wait that is spent looking. To sleep and to be woken takes a quarter
 * of it.
 */
const BRIEF_MS = 0.2;

/**
 * The event loop, which all rings of the isolate share: a program that opens a ring
 * for each command keeps it waiting as well.
 */
const loop = {
  /** Commands since the last look at the clock. */
  spent: 0,
  /**
   * Commands until the next look. A program that computes between its commands makes
   * a turn long, and then every turn looks.
   */
  budget: TURN_COST,
  lookedAt: 0,
  /** Microtasks have gone on without a break since `since`. */
  going: false,
  since: 0,
  /** Milliseconds that they may go on. */
  slice: ALONE_MS,
  /** Turns that it was given. */
  given: 0,
  /** Milliseconds of the shortest of them, which grows slowly towards the others. */
  shortest: 1,
};

function ended(): void {
  loop.going = false;
}

/** The pace of the turns and waits of one ring. */
export class Pace {
  readonly #spin: boolean;
  /** Start of the current wait; 0 if none. */
  #waitingSince = 0;
  /** The last wait was brief. */
  #brief = false;
  /** Completions before this turn. */
  #before = 0;

  /** `spin` allows brief waits to be spent looking. */
  constructor(spin: boolean) {
    this.#spin = spin;
  }

  /** Returns `true` if the next turn, after so many completions, is the loop's. */
  loopIsDue(completions: number): boolean {
    loop.spent += completions - this.#before + TURN_COST;
    this.#before = completions;
    if (loop.spent < loop.budget) return false;
    loop.spent = 0;
    const now = performance.now();
    const passed = now - loop.lookedAt;
    if (passed > loop.slice / 4) loop.budget = TURN_COST;
    else if (passed < loop.slice / 16) {
      loop.budget = Math.min(BUDGET, loop.budget << 1);
    }
    loop.lookedAt = now;
    if (!loop.going) {
      immediate(ended);
      loop.going = true; // It runs when the microtasks have ended.
      loop.since = now;
    }
    return now - loop.since >= loop.slice;
  }

  /** Takes note that the event loop has called: the microtasks begin anew. */
  loopCame(completions: number): void {
    loop.spent = 0;
    loop.going = false;
    this.#before = completions;
  }

  /** Takes note of a turn of the event loop, and of the time that it took. */
  loopHad(ms: number): void {
    loop.given++;
    const busy = ms > loop.shortest + BUSY_MS;
    loop.slice = busy ? SHARED_MS : Math.min(ALONE_MS, loop.slice * 1.5);
    loop.shortest = Math.min(ms, loop.shortest + 0.0001);
  }

  /** `true` if a bell, for which Deno loads a module, is worth it for these turns. */
  get goesOn(): boolean {
    return loop.given >= MANY;
  }

  /** Returns `true` if a ring that waits should look again instead of sleeping. */
  shouldSpin(): boolean {
    if (!this.#spin) return false;
    const now = performance.now();
    if (this.#waitingSince === 0) this.#waitingSince = now;
    return this.#brief && now - this.#waitingSince < BRIEF_MS;
  }

  /** Ends the wait, if there was one, after completions. */
  completionsCame(): void {
    if (this.#waitingSince === 0) return;
    this.#brief = performance.now() - this.#waitingSince < BRIEF_MS;
    this.#waitingSince = 0;
  }
}
