/** Abort signals, and the commands that each can abort. */

import type { Slot, Watcher } from "./slot.ts";

// Called like this, they run no code of the program's, and read the signal itself
// and not a property that somebody has put before it.
const { addEventListener, removeEventListener } = EventTarget.prototype;
const getterOf = (name: "reason" | "aborted") =>
  Object.getOwnPropertyDescriptor(AbortSignal.prototype, name)!.get!;
const reasonOf = getterOf("reason");
const isAborted = getterOf("aborted");

const READY = Promise.resolve();

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
    const act = () => {
      if (!isAborted.call(signal)) return; // The program has made the event.
      const reason = reasonOf.call(signal);
      for (const slot of [...this.#slots]) abort(slot, reason);
    };
    // Deep in the stack `abort` could throw, which ends the process, since Deno
    // reports it. A microtask has all of the stack.
    this.#listener = () => void READY.then(act);
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
      this.#watches.forget(this.#signal);
      removeEventListener.call(this.#signal, "abort", this.#listener);
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
