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

/** The ring, as its signals call it. */
export interface WatchHost {
  /** Aborts a command or a batch. */
  abort(watched: Watched, reason: unknown): void;
  /** Lets the event loop take a turn, which calls {@linkcode Watches.act}. */
  comeBack(): void;
}

/**
 * One signal and all that it can abort. They share a listener, because an
 * EventTarget searches its list for each one that is removed.
 */
export class Watch implements Watcher {
  readonly #signal: AbortSignal;
  readonly #watched = new Set<Watched>();
  readonly #watches: Watches;
  readonly #listener: () => void;
  /** The event came, and its work is not done. */
  due = false;
  /** The next of the signals whose work is not done. */
  nextDue: Watch | null = null;

  constructor(signal: AbortSignal, watches: Watches) {
    this.#signal = signal;
    this.#watches = watches;
    this.#listener = () => watches.note(this);
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

  /** Aborts all that the signal can abort. It may be called again after a cut. */
  act(host: WatchHost): void {
    const signal = this.#signal;
    if (!isAborted.call(signal)) return; // The program has made the event.
    const reason = reasonOf.call(signal);
    for (const each of [...this.#watched]) {
      // Aborting another may have settled it, and given its slot back.
      if (each.watch === this) host.abort(each, reason);
    }
  }
}

/** The signals that can abort commands and batches of one ring. */
export class Watches {
  readonly #bySignal = new Map<AbortSignal, Watch>();
  readonly #host: WatchHost;
  readonly #act = () => this.act();
  /** The first of the signals whose work is not done. */
  #due: Watch | null = null;

  constructor(host: WatchHost) {
    this.#host = host;
  }

  /** Lets a signal abort a command or a batch. */
  add(watched: Watched, signal: AbortSignal): void {
    let watch = this.#bySignal.get(signal);
    if (watch === undefined) {
      watch = new Watch(signal, this);
      this.#bySignal.set(signal, watch);
    }
    watch.add(watched);
  }

  forget(signal: AbortSignal): void {
    this.#bySignal.delete(signal);
  }

  /**
   * Notes that the event of a signal came. Deep in the stack the work could throw,
   * which ends the process, since Deno reports it: a microtask has all of the stack.
   * V8 may drop the microtask, and a turn of the event loop does its work then.
   */
  note(watch: Watch): void {
    if (!watch.due) {
      watch.nextDue = this.#due;
      watch.due = true;
      this.#due = watch;
    }
    void READY.then(this.#act);
    try {
      this.#host.comeBack();
    } catch {
      // The stack has no room for it.
    }
  }

  /** Does the work of the signals that have aborted. */
  act(): void {
    for (let watch = this.#due; watch !== null; watch = this.#due) {
      watch.act(this.#host);
      if (this.#due !== watch) continue; // Another came meanwhile.
      this.#due = watch.nextDue;
      watch.nextDue = null;
      watch.due = false;
    }
  }
}
