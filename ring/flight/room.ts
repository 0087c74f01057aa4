/** Room for commands in the queues of a ring. */

import type { Command } from "../command.ts";

/** The sizes that {@linkcode Room} is made of. */
export interface RoomSize {
  readonly sqEntries: number;
  readonly cqEntries: number;
  /** `true` if a completion may take two places of the CQ. */
  readonly mixedCq: boolean;
  /** `true` if an SQE may take two places of the SQ. */
  readonly mixedSq: boolean;
  /** `true` if an SQE stays taken until its command has completed. */
  readonly holdsSqes: boolean;
}

/**
 * The number of commands that may be in flight: as many as the CQ has room for
 * completions, so that the kernel never has to keep one back. Some places are
 * spared for cancellations, without which commands that never end could not be
 * aborted.
 */
export class Room {
  /** Places of the CQ that one completion may take. */
  readonly unit: number = 1;
  /** Cancellations that may be in flight. */
  readonly spare: number = 1;
  /** Completions that all other commands in flight may post together. */
  readonly capacity: number = 1;
  /** Commands in flight, with cancellations. */
  inFlight = 0;
  /** Completions that commands in flight may post beyond one each. */
  extra = 0;
  readonly #sqEntries: number;
  readonly #mixedSq: boolean;

  constructor({ sqEntries, cqEntries, mixedCq, mixedSq, holdsSqes }: RoomSize) {
    // In a mixed ring, a filler takes one place more where a large completion
    // would not fit before the end.
    this.unit = mixedCq ? 2 : 1;
    const spare = Math.min(16, cqEntries >> 2);
    const places = cqEntries - spare - (mixedCq ? 1 : 0);
    this.spare = Math.max(1, Math.floor(spare / this.unit));
    const capacity = Math.floor(places / this.unit);
    const sqes = holdsSqes ? sqEntries - this.spare : Infinity;
    this.capacity = Math.max(1, Math.min(capacity, sqes));
    this.#sqEntries = sqEntries;
    this.#mixedSq = mixedSq;
  }

  /** The completions that the CQ has room for beyond those of commands in flight. */
  get left(): number {
    const left = this.capacity - this.inFlight - this.extra;
    return this.inFlight === 0 ? Math.max(1, left) : left;
  }

  /** Returns `true` if the CQ has room for so many more completions. */
  fits(completions: number): boolean {
    return this.inFlight + this.extra + completions <= this.capacity ||
      this.inFlight === 0;
  }

  /** Returns `true` if commands fit the queues at one time, as a chain has to. */
  holds(commands: readonly Command<unknown>[]): boolean {
    const completions = commands.reduce((sum, it) => sum + it.completions, 0);
    return completions <= this.capacity &&
      this.places(commands.length) <= this.#sqEntries;
  }

  /** The number of commands in the longest chain, if each completes once. */
  get longest(): number {
    const entries = this.#sqEntries;
    return Math.min(this.capacity, this.#mixedSq ? entries - 1 >> 1 : entries);
  }

  /** Returns the places for `count` SQEs: in a mixed ring two each, and a filler. */
  places(count: number): number {
    return this.#mixedSq ? 2 * count + 1 : count;
  }
}
