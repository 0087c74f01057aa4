/** Calls that the event loop makes as soon as it can. */

import { reserveStack } from "../stack.ts";

/** Calls that fit the stack where Deno loads `setImmediate`: more than it makes. */
const STACK = 1024;

let loaded = false;

/**
 * Calls back after the event loop has looked for I/O.
 *
 * @throws {RangeError} if the stack is too full to load `setImmediate`, before Deno
 * tries: a load that was cut short breaks it for good.
 */
export function immediate(
  callback: () => void,
): ReturnType<typeof setImmediate> {
  if (!loaded) reserveStack(STACK);
  const made = setImmediate(callback);
  loaded = true;
  return made;
}

/**
 * One call of the event loop that nothing can drop. Where only immediates without a
 * reference are left, the loop sleeps until something else happens, so that one which
 * may not keep the process alive is a timer.
 */
export class Recall {
  readonly #call: () => void;
  #immediate: ReturnType<typeof setImmediate> | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(call: () => void) {
    this.#call = () => {
      this.#immediate = this.#timer = null;
      call();
    };
  }

  /** Asks for the call, unless it is asked for. */
  ask(referenced: boolean): void {
    if (this.#immediate !== null || this.#timer !== null) return;
    if (referenced) {
      this.#immediate = immediate(this.#call);
      return;
    }
    this.#timer = setTimeout(this.#call, 0);
    Deno.unrefTimer(this.#timer);
  }

  /** Lets the call keep the process alive. */
  ref(): void {
    if (this.#timer !== null) Deno.refTimer(this.#timer);
  }

  cancel(): void {
    if (this.#immediate !== null) clearImmediate(this.#immediate);
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#immediate = this.#timer = null;
  }
}
