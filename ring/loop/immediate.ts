/** Calls that the event loop makes as soon as it can. */

import { reserveStack } from "../stack.ts";

/** Calls that fit the stack where Deno loads `setImmediate`: more than it makes. */
const STACK = 1024;

type Immediate = ReturnType<typeof setImmediate>;

/** The functions of Deno, which loads them when they are first read. */
let make: ((callback: () => void) => Immediate) | null = null;
let clear: (made: Immediate) => void;

/**
 * Calls back after the event loop has looked for I/O.
 *
 * @throws {RangeError} if the stack is too full to load `setImmediate`, before Deno
 * tries.
 */
export function immediate(callback: () => void): Immediate {
  if (make === null) load();
  return make!(callback);
}

/** A load that was cut short, as by the timeout of `node:vm`, fails for good. */
function load(): void {
  reserveStack(STACK);
  try {
    clear = clearImmediate;
    make = setImmediate;
  } catch {
    clear = (made) => clearTimeout(made as unknown as Timer);
    make = (callback) => setTimeout(callback, 0) as unknown as Immediate;
  }
}

type Timer = ReturnType<typeof setTimeout>;

/**
 * One call of the event loop that nothing can drop. Where only immediates without a
 * reference are left, the loop sleeps until something else happens, so that one which
 * may not keep the process alive is a timer.
 */
export class Recall {
  readonly #call: () => void;
  #immediate: Immediate | null = null;
  #timer: Timer | null = null;

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
    if (this.#immediate !== null) clear(this.#immediate);
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#immediate = this.#timer = null;
  }
}
