/**
 * A synchronous batch: commands that one call runs and waits for.
 *
 * **Contract.** A command whose result is just a number, and which points at no
 * memory, needs no slot: the batch stands for it. Its `user_data` is its place,
 * marked as such, and the number of the batch. The call does not return before
 * the last completion, so that each finds its batch.
 *
 * @module
 */

import { Command } from "./command.ts";
import type { Receiver, Slot } from "./pending.ts";
import { isCancelled, refusalOf } from "./settle.ts";

/** Marks the low half of `user_data` when the rest of it is a place. */
export const DIRECT = 1 << 31;

/** How a batch of synchronous commands goes. */
export class Batch implements Receiver {
  /** Commands that have not completed. */
  left = 0;
  /** The high half of the `user_data` of its commands. */
  number = 0;
  /** By place: a command without a slot, and then what has become of it. */
  readonly items: unknown[];
  /** Whether some of its commands have a slot. */
  mixed = false;
  /** The place of the first command that failed, -1 when none did. */
  failed = -1;
  /** What it failed with. */
  cause: unknown = undefined;
  /** Why its commands were cancelled, if they were. */
  abortReason: unknown = undefined;
  /** The batch whose decoder runs this one. */
  outer: Batch | null = null;

  constructor(items: unknown[]) {
    this.items = items;
  }

  /** Settles a command without a slot; `false` when there is none there. */
  complete(place: number, res: number): boolean {
    const command = this.items[place];
    // Where no command has a slot, results are numbers, and that is quick to see.
    if (typeof command !== "object" || this.mixed && !Command.is(command)) {
      return false;
    }
    this.#settle(command as Command<unknown>, place, res);
    return true;
  }

  #settle(command: Command<unknown>, place: number, res: number): void {
    if (res >= 0 || command.expected.includes(-res)) {
      this.put(place, res);
    } else {
      const aborted = this.abortReason !== undefined && isCancelled(res);
      this.fail(place, aborted ? this.abortReason : refusalOf(command, res));
    }
  }

  put(place: number, value: unknown): void {
    this.left--;
    this.items[place] = value;
  }

  fail(place: number, error: unknown): void {
    this.put(place, undefined);
    if (this.failed >= 0 && this.failed < place) return;
    this.failed = place;
    this.cause = error;
  }

  value(slot: Slot, value: unknown): void {
    this.put(slot.place, value);
  }

  error(slot: Slot, error: unknown): void {
    this.fail(slot.place, error);
  }

  end(): void {}

  /** The commands without a slot that are under way, with their places. */
  *direct(): Iterable<[place: number, command: Command<unknown>]> {
    for (const [place, item] of this.items.entries()) {
      if (Command.is(item)) yield [place, item];
    }
  }
}
