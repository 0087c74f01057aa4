/** Abort signals, and the commands that each can abort. */

import type { Slot, Watcher } from "./slot.ts";

// Called like this, they run no code of the program's, and read the signal itself
// and not a property that somebody has put before it.
const { addEventListener, removeEventListener } = EventTarget.prototype;
const { get: reasonOf } = Object.getOwnPropertyDescriptor(
  AbortSignal.prototype,
  "reason",
)!;

/**
 * One signal and the commands that wait for it. They share a listener, because
 * an EventTarget searches its list for each one that is removed.
 */
export class Watch implements Watcher {
  readonly #signal: AbortSignal;
  readonly #slots = new Set<Slot>();
  readonly #watches: Watches;
  readonly #listener: () => void;

  constructor(
    signal: AbortSignal,
    watches: Watches,
    abort: (slot: Slot, reason: unknown) => void,
  ) {
    this.#signal = signal;
    this.#watches = watches;
    this.#listener = () => {
      const reason = reasonOf!.call(signal);
      for (const slot of [...this.#slots]) abort(slot, reason);
    };
    addEventListener.call(signal, "abort", this.#listener);
  }

  add(slot: Slot): void {
    this.#slots.add(slot);
    slot.watch = this;
  }

  /** Removes a command; the listener goes with the last one. */
  remove(slot: Slot): void {
    this.#slots.delete(slot);
    if (this.#slots.size === 0) {
      removeEventListener.call(this.#signal, "abort", this.#listener);
      this.#watches.forget(this.#signal);
    }
    slot.watch = null;
  }
}

/** The signals that can abort commands of one ring. */
export class Watches {
  readonly #bySignal = new Map<AbortSignal, Watch>();
  readonly #abort: (slot: Slot, reason: unknown) => void;

  /** Calls `abort` for each command of a signal that is aborted. */
  constructor(abort: (slot: Slot, reason: unknown) => void) {
    this.#abort = abort;
  }

  /** Lets a signal abort a command. */
  add(slot: Slot, signal: AbortSignal): void {
    let watch = this.#bySignal.get(signal);
    if (watch === undefined) {
      watch = new Watch(signal, this, this.#abort);
      this.#bySignal.set(signal, watch);
    }
    watch.add(slot);
  }

  forget(signal: AbortSignal): void {
    this.#bySignal.delete(signal);
  }
}
