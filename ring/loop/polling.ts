/** Looking for completions from time to time, where nothing can wake a ring. */

/** Milliseconds until the first look, and between two looks at most. */
const SOONEST = 1;
const LATEST = 20;

/** A timer that is set anew after each look for as long as it is asked to. */
export class PollTimer {
  /** Looks so far. */
  looks = 0;
  readonly #look: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #delay = SOONEST;
  #looking = false;
  #held = false;

  constructor(look: () => void) {
    this.#look = look;
  }

  /** Has it look once: soon when something is new, later after each look. */
  arm(): void {
    if (this.#looking) {
      this.#delay = Math.min(2 * this.#delay, LATEST);
    } else {
      if (this.#timer !== undefined && this.#delay === SOONEST) return;
      this.#delay = SOONEST;
    }
    this.stop();
    this.#timer = setTimeout(() => this.#tick(), this.#delay);
    if (!this.#held) Deno.unrefTimer(this.#timer);
  }

  /** Keeps the process alive, or lets it go. */
  hold(on: boolean): void {
    this.#held = on;
    if (this.#timer === undefined) return;
    if (on) Deno.refTimer(this.#timer);
    else Deno.unrefTimer(this.#timer);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #tick(): void {
    this.#timer = undefined;
    this.looks++;
    this.#looking = true;
    try {
      this.#look();
    } finally {
      this.#looking = false;
    }
  }
}
