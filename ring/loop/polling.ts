/** A timer that looks for completions, where nothing can wake a ring. */

/** Milliseconds until the first look. */
const SOONEST = 1;
/** Milliseconds between two looks at most. */
const LATEST = 20;

/** A timer that looks once for each `arm()`, after an adaptive delay. */
export class PollTimer {
  /** The number of looks so far. */
  looks = 0;
  readonly #look: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #delay = SOONEST;
  #looking = false;
  #held = false;

  constructor(look: () => void) {
    this.#look = look;
  }

  /**
   * Schedules a look: after 1 ms, or, if called during a look, after twice the
   * last delay, up to 20 ms.
   */
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

  /** Keeps the process alive, or lets it end. */
  hold(on: boolean): void {
    this.#held = on;
    if (this.#timer === undefined) return;
    if (on) Deno.refTimer(this.#timer);
    else Deno.unrefTimer(this.#timer);
  }

  /** Cancels the scheduled look. */
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
