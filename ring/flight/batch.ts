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

import type { Command } from "../command.ts";
import type { Receiver, Slot } from "./slot.ts";
import { isCancelled, refusalOf } from "./settle.ts";

/** Marks the low half of `user_data` when the rest of it is a place. */
export const DIRECT = 1 << 31;

/** How a batch of synchronous commands goes. */
export class Batch implements Receiver {
  /** Commands that have not completed. */
  left = 0;
  /** The high half of the `user_data` of its commands. */
  number = 0;
  /** Commands that were queued, or have a slot: the places below this. */
  queued = 0;
  /** By place: a command without a slot, until it has completed. */
  readonly commands: unknown[];
  /**
   * By place: what has become of the command. As long as no command has a slot,
   * results are numbers, and take the places of the commands.
   */
  results: unknown[];
  /** The place of the first command that failed, -1 when none did. */
  failed = -1;
  /** What it failed with. */
  cause: unknown = undefined;
  /** Why its commands were cancelled, if they were. */
  abortReason: unknown = undefined;
  /** The batch whose decoder runs this one. */
  outer: Batch | null = null;

  constructor(commands: unknown[]) {
    this.commands = commands;
    this.results = commands;
  }

  /** The command without a slot of a place, which has not completed. */
  pending(place: number): Command<unknown> | null {
    const command = this.commands[place];
    return typeof command === "object" ? command as Command<unknown> : null;
  }

  /** Settles a command without a slot; `false` when there is none there. */
  complete(place: number, res: number): boolean {
    const command = this.pending(place);
    if (command === null) return false;
    if (res >= 0 || command.expected.includes(-res)) {
      this.put(place, res);
    } else {
      const aborted = this.abortReason !== undefined && isCancelled(res);
      this.fail(place, aborted ? this.abortReason : refusalOf(command, res));
    }
    return true;
  }

  /** Leaves a command to a slot. */
  leave(place: number, slot: Slot): void {
    if (this.results === this.commands) this.results = this.commands.slice();
    this.commands[place] = undefined;
    slot.receiver = this;
    slot.place = place;
  }

  put(place: number, value: unknown): void {
    this.left--;
    this.commands[place] = undefined;
    this.results[place] = value;
  }

  fail(place: number, error: unknown): void {
    this.put(place, undefined);
    if (this.failed >= 0 && this.failed < place) return;
    this.failed = place;
    this.cause = error;
  }

  /** Fails the commands without a slot from a place on. */
  failFrom(first: number, error: unknown): void {
    for (let place = first; place < this.commands.length; place++) {
      if (this.pending(place) !== null) this.fail(place, error);
    }
  }

  value(slot: Slot, value: unknown): void {
    this.put(slot.place, value);
  }

  error(slot: Slot, error: unknown): void {
    this.fail(slot.place, error);
  }

  end(): void {}

  /** The commands without a slot up to a place, with their places. */
  *direct(
    end: number = this.commands.length,
  ): Iterable<[place: number, command: Command<unknown>]> {
    for (let place = 0; place < end; place++) {
      const command = this.pending(place);
      if (command !== null) yield [place, command];
    }
  }
}
