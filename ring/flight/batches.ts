/** The batches in flight, by number. */

import { filled } from "../intrinsics.ts";
import type { Batch } from "./batch.ts";

/** Places of the table at first: a power of two. */
const PLACES = 8;

/**
 * A table of batches that finds each without a search, however many there are.
 *
 * Numbers count up, and wrap after 2^32. The place of a batch is its number modulo
 * the size of the table: a number whose place is taken is skipped. At most half of
 * the places are taken. Two numbers that differ modulo the size still do if it
 * doubles, so that a batch keeps its number when the table grows.
 */
export class Batches {
  #table: (Batch | null)[] = filled(PLACES, null);
  #mask = PLACES - 1;
  #count = 0;
  /** The number to try first. */
  #next = 0;

  /** Gives a batch a number, and a place. */
  add(batch: Batch): void {
    if (2 * this.#count > this.#mask) this.#grow();
    let number = this.#next;
    while (this.#table[number & this.#mask] !== null) number = number + 1 | 0;
    batch.number = number;
    this.#next = number + 1 | 0;
    this.#table[number & this.#mask] = batch;
    this.#count++;
  }

  /** Removes a batch, if it is in the table. */
  remove(batch: Batch): void {
    const place = batch.number & this.#mask;
    if (this.#table[place] !== batch) return;
    this.#table[place] = null;
    this.#count--;
  }

  /** Returns the batch of a number; `null` if there is none. */
  find(number: number): Batch | null {
    const batch = this.#table[number & this.#mask];
    return batch !== null && batch.number === number ? batch : null;
  }

  /** Returns all batches. */
  all(): Batch[] {
    return this.#table.filter((batch) => batch !== null);
  }

  #grow(): void {
    const table = filled<Batch | null>(2 * this.#table.length, null);
    const mask = table.length - 1;
    for (const batch of this.all()) table[batch.number & mask] = batch;
    this.#table = table;
    this.#mask = mask;
  }
}
