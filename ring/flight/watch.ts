/** Abort signals, and the commands and batches that each can abort. */

import type { Watched, Watcher } from "./slot.ts";

// Called like this, they run no code of the program's, and read the signal itself
// and not a property that somebody has put before it.
const { addEventListener, removeEventListener } = EventTarget.prototype;
const getterOf = (name: "reason" | "aborted") =>
  Object.getOwnPropertyDescriptor(AbortSignal.prototype, name)!.get!;
const reasonOf = getterOf("reason");
const isAborted = getterOf("aborted");

const READY = Promise.resolve();

/** Aborts a command or a batch. */
type Abort = (watched: Watched, reason: unknown) => void;

/**
 * One signal and all that it can abort. They share a listener, because an
 * EventTarget searches its list for each one that is removed.
 */
export class Watch implements Watcher {
  readonly #signal: AbortSignal;
  readonly #watched = new Set<Watched>();
  readonly #watches: Watches;
  readonly #listener: () => void;

  constructor(signal: AbortSignal, watches: Watches, abort: Abort) {
    this.#signal = signal;
    this.#watches = watches;
    const act = () => {
      if (!isAborted.call(signal)) return; // The program has made the event.
      const reason = reasonOf.call(signal);
      for (const each of [...this.#watched]) {
        // Aborting another may have settled it, and given its slot back.
        if (each.watch === this) abort(each, reason);
      }
    };
    // Deep in the stack `abort` could throw, which ends the process, since Deno
    // reports it. A microtask has all of the stack.
    this.#listener = () => void READY.then(act);
    addEventListener.call(signal, "abort", this.#listener);
  }

  add(watched: Watched): void {
    this.#watched.add(watched);
    watched.watch = this;
  }

  /** Removes a command or a batch; the listener goes with the last one. */
  remove(watched: Watched): void {
    this.#watched.delete(watched);
    if (this.#watched.size === 0) {
      this.#watches.forget(this.#signal);
      removeEventListener.call(this.#signal, "abort", this.#listener);
    }
    watched.watch = null;
  }
}

/** The signals that can abort commands and batches of one ring. */
export class Watches {
  readonly #bySignal = new Map<AbortSignal, Watch>();
  readonly #abort: Abort;

  /** Calls `abort` for all that a signal watches when it is aborted. */
  constructor(abort: Abort) {
    this.#abort = abort;
  }

  /** Lets a signal abort a command or a batch. */
  add(watched: Watched, signal: AbortSignal): void {
    let watch = this.#bySignal.get(signal);
    if (watch === undefined) {
      watch = new Watch(signal, this, this.#abort);
      this.#bySignal.set(signal, watch);
    }
    watch.add(watched);
  }

  forget(signal: AbortSignal): void {
    this.#bySignal.delete(signal);
  }
}
