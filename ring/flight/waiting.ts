/** Commands that wait for room in the queues, in order. */

import type { Slot } from "./slot.ts";

/** A list of slots, of which each may be the first of a chain. */
export class Line {
  first: Slot | null = null;
  #last: Slot | null = null;
  /** Commands in line; a chain counts as one. */
  length = 0;

  /** Puts a command behind the others. */
  add(slot: Slot): void {
    markWaiting(slot, true);
    slot.next = null;
    if (this.#last === null) this.first = slot;
    else this.#last.next = slot;
    this.#last = slot;
    this.length++;
  }

  /** Lets a command go before the others. */
  addFirst(slot: Slot): void {
    markWaiting(slot, true);
    slot.next = this.first;
    this.first = slot;
    this.#last ??= slot;
    this.length++;
  }

  /** Takes the first out. */
  shift(): void {
    this.first = this.first!.next;
    if (this.first === null) this.#last = null;
    this.length--;
  }
}

/** Says of a command, and of what is linked to it, whether it waits for room. */
export function markWaiting(first: Slot, waiting: boolean): void {
  for (let slot: Slot | null = first; slot !== null; slot = slot.linked) {
    slot.marked = true;
    slot.waiting = waiting;
  }
}
