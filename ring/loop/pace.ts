/**
 * The pace of a ring: when the event loop has its turn, and whether a wait is
 * spent looking or asleep.
 *
 * @module
 */

/** Microtasks alone would never let the event loop run: it does this often. */
const LOOP_MS = 1;
/** The clock is looked at after so many commands, */
const BUDGET = 4096;
/** where a turn counts as this many besides its own. */
const TURN_COST = 256;
/**
 * A wait that is likely to be shorter than this is spent looking: to sleep and
 * to be woken takes a quarter of it.
 */
const BRIEF_MS = 0.2;

/** What is known of the turns and waits of one ring. */
export class Pace {
  readonly #spin: boolean;
  /** When the wait began that is going on; 0 for none. */
  #waitingSince = 0;
  /** Whether the last wait was a brief one. */
  #brief = false;
  /** Turns, and completions before them, since the clock was looked at. */
  #turns = 0;
  #before = 0;
  /** When the event loop had a turn for what we know. */
  #loopAt = 0;

  /** `spin`: whether brief waits are spent looking. */
  constructor(spin: boolean) {
    this.#spin = spin;
  }

  /** Whether the turn to come, after so many completions, is the loop's. */
  loopIsDue(completions: number): boolean {
    this.#turns++;
    const done = completions - this.#before + this.#turns * TURN_COST;
    if (done < BUDGET) return false;
    this.#before = completions;
    this.#turns = 0;
    const now = performance.now();
    if (now - this.#loopAt < LOOP_MS) return false;
    this.#loopAt = now;
    return true;
  }

  /** While something is waited for: whether to look again, and not to sleep. */
  shouldSpin(): boolean {
    const now = performance.now();
    if (this.#waitingSince === 0) this.#waitingSince = now;
    return this.#spin && this.#brief && now - this.#waitingSince < BRIEF_MS;
  }

  /** Completions have come: the wait is over, if there was one. */
  completionsCame(): void {
    if (this.#waitingSince === 0) return;
    this.#brief = performance.now() - this.#waitingSince < BRIEF_MS;
    this.#waitingSince = 0;
  }
}
