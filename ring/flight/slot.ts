/**
 * The commands in flight, each in a slot.
 *
 * **user_data.** It is the slot's index and generation, in two halves of 32 bits.
 * The generation changes when the slot is given back, so that a late or repeated
 * CQE finds no slot.
 *
 * **Memory.** The blocks that a command points at belong to its slot until the
 * command's last CQE, whatever happens to the promise, the signal, the caller's
 * array or the ring.
 *
 * **End.** A slot is given back once, after its receiver was called and became
 * {@linkcode NOBODY}. Each step can run again: if an exception cuts the end short,
 * the CQE is still in the queue, and the next reaping finishes what is left.
 *
 * @module
 */

import type { Arena } from "../../sys/arena.ts";
import { IOSQE_IO_HARDLINK, IOSQE_IO_LINK } from "../../sys/uapi/io_uring.ts";
import type { LentBuffer } from "../buffer_ring.ts";
import type { Command } from "../command.ts";
import { append, Own } from "../intrinsics.ts";
import { arenasOf, Lease } from "./lease.ts";

/**
 * Takes the results of a command. Its implementations are `AWAITED` (a promise),
 * `Batch` (all commands of a call), `CommandStream`, `Cancellation` and `NOBODY`.
 */
export interface Receiver {
  /** Takes the only value, or one of many of a multishot command. */
  value(slot: Slot, value: unknown): void;
  /** Takes the error that ended the command. */
  error(slot: Slot, error: unknown): void;
  /** Ends a multishot command that succeeded. */
  end(slot: Slot): void;
}

/** Receives for cancelled streams and for commands that have settled. */
export const NOBODY: Receiver = { value() {}, error() {}, end() {} };

/**
 * The place of a command: nowhere yet, in the wait queue, or in the SQ or kernel. A
 * command of a batch is nowhere while the batch waits for it.
 */
export type Phase = "taken" | "waiting" | "queued";

/**
 * The work that the ring is in the middle of. `"program"`: a call of the program's
 * code, in a delivery or before a command is queued.
 */
export type Busy = null | "turn" | "sync" | "program";

/** An entry of the wait queue: a command, a chain, or the rest of a batch. */
export interface Waiter {
  next: Waiter | null;
  previous: Waiter | null;
  phase: Phase;
  /** The chain that a waiting command is the first of. */
  readonly chain?: Chain | null;
}

/** A command or a batch that a signal can abort. */
export interface Watched {
  watch: Watcher | null;
}

/** A signal that can abort commands: see `Watch`. */
export interface Watcher {
  remove(watched: Watched): void;
}

/** One command in flight. */
export class Slot implements Waiter, Watched {
  readonly index: number = 0;
  generation = 1;
  command: Command<unknown> | null = null;
  receiver: Receiver | null = null;
  /** Settles the promise of an awaited command. */
  resolve: ((value: unknown) => void) | null = null;
  /** The place in a batch. */
  place = 0;
  /** Neighbours in the wait queue. */
  next: Waiter | null = null;
  previous: Waiter | null = null;
  /** The next of the free slots. */
  nextFree: Slot | null = null;

  /** Read by {@linkcode phaseOf}. */
  phase: Phase = "taken";
  /** The marks that the run adds to the SQE: see {@linkcode marksOf}; 0 for none. */
  marks = 0;
  /** The chain that the command is a part of. */
  chain: Chain | null = null;
  /** The next command of the chain. */
  linked: Slot | null = null;
  /** Part of a chain that a short submit has cut off and turned into a no-op. */
  cut = false;
  /** The signal that can abort the command. */
  watch: Watcher | null = null;
  /** The command was aborted: by its signal, by leaving its stream or by `close`. */
  aborted = false;
  abortReason: unknown = undefined;
  /** The decoder was called; it has not returned if that is found at its start. */
  decoding = false;
  /** Overflows of the CQ before the command was queued. */
  overflows = 0;
  /** The buffer of the completion that is delivered, until somebody has it. */
  loan: LentBuffer | null = null;
  /** Word index of the SQE, in a queue that holds SQEs; else -1. */
  sqe = -1;
  /** The result of a one-shot command that came before its last completion. */
  early = false;
  earlyRes = 0;
  earlyFlags = 0;
  readonly lease = new Lease();

  constructor(index: number) {
    this.index = index;
  }

  /**
   * Returns a promise of the result. Only `resolve` is kept, because V8 then does
   * not make a `reject`: {@linkcode AWAITED} rejects through a thenable.
   *
   * If the stack is too full for the function inside, V8 does not throw: `resolve`
   * stays `null`, and the promise is rejected with the RangeError. The caller
   * returns it, and queues nothing.
   */
  await(): Promise<unknown> {
    return new Own((resolve) => {
      this.resolve = resolve;
    });
  }
}

/** A chain, which is always in one place: one store moves all of it. */
export interface Chain {
  /** The first command. Another may have its slot once the chain is queued. */
  readonly first: Slot;
  phase: Phase;
  /** The flag that links its SQEs: IOSQE_IO_LINK or IOSQE_IO_HARDLINK. */
  readonly flag: number;
}

/**
 * The marks that a run adds to the SQE of its command, in one number: `IOSQE_` bits in
 * the low 8 bits, and the number of registered credentials in the upper 16.
 */
export function marksOf(flags: number, personality: number): number {
  return flags | personality << 16;
}

/** Returns the number of registered credentials in marks; 0 for none. */
export function personalityIn(marks: number): number {
  return marks >>> 16;
}

/** Returns where a command is, or the rest of a batch. */
export function phaseOf(waiter: Waiter): Phase {
  return (waiter.chain ?? waiter).phase;
}

/** Links slots to a chain, in order. A `hard` one goes on after a failure. */
export function link(slots: readonly Slot[], hard = false): void {
  if (slots.length < 2) return;
  const flag = hard ? IOSQE_IO_HARDLINK : IOSQE_IO_LINK;
  const chain: Chain = { first: slots[0], phase: "taken", flag };
  slots.forEach((slot, i) => {
    slot.chain = chain;
    slot.linked = i + 1 < slots.length ? slots[i + 1] : null;
  });
}

/** The slots of a ring. */
export class Slots {
  readonly #slots: Slot[] = [];
  #free: Slot | null = null;

  /** Takes a slot for a command, and memory for all that the command points at. */
  take(command: Command<unknown>): Slot {
    let slot = this.#free;
    if (slot === null) {
      slot = new Slot(this.#slots.length);
      append(this.#slots, slot);
    } else {
      this.#free = slot.nextFree;
    }
    slot.command = command; // From here on the command's memory counts as in use.
    if (command.operands.length > 0) this.#provide(slot, command);
    return slot;
  }

  /** Takes the memory of a command that points at some. */
  #provide(slot: Slot, command: Command<unknown>): void {
    try {
      if (command.leases) slot.lease.take(command);
      else command.aim();
    } catch (error) {
      this.give(slot);
      throw error;
    }
  }

  /** Gives back a slot and its memory. */
  give(slot: Slot): void {
    if (slot.command === null) return;
    slot.lease.give();
    slot.watch?.remove(slot);
    slot.receiver = null;
    slot.resolve = null;
    slot.phase = "taken";
    slot.marks = 0;
    slot.chain = null;
    slot.linked = null;
    slot.cut = false;
    slot.aborted = false;
    slot.abortReason = undefined;
    slot.decoding = false;
    slot.sqe = -1;
    slot.early = false;
    slot.generation = slot.generation + 1 | 0;
    slot.command = null;
    slot.nextFree = this.#free;
    this.#free = slot;
  }

  /** Returns the slot of a `user_data`; `null` if its command is not in flight. */
  find(userDataLow: number, userDataHigh: number): Slot | null {
    const slot = this.#slots[userDataLow >>> 0];
    if (slot === undefined || slot.generation !== userDataHigh) return null;
    return slot.command === null ? null : slot;
  }

  /** The slots whose commands are in flight. */
  *busy(): Iterable<Slot> {
    for (const slot of this.#slots) if (slot.command !== null) yield slot;
  }

  /** The memory that commands in flight use. */
  *arenas(): Iterable<Arena> {
    for (const { command, lease } of this.busy()) {
      yield* lease.arenas();
      yield* arenasOf(command!);
    }
  }
}
