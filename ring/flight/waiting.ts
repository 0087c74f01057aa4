/** Commands that wait for room in the queues. */

import type { Slot } from "./slot.ts";

/** A list of slots in order. Each may be the first of a chain, which waits whole. */
export class WaitQueue {
  first: Slot | null = null;
  last: Slot | null = null;
  /** Commands that wait; a chain counts as one. */
  length = 0;

  /** Adds a command at the end. */
  add(slot: Slot): void {
    (slot.chain ?? slot).phase = "waiting";
    slot.next = null;
    slot.previous = this.last;
    if (this.last === null) this.first = slot;
    else this.last.next = slot;
    this.last = slot;
    this.length++;
  }

  /** Adds a command before all others. */
  addFirst(slot: Slot): void {
    slot.phase = "waiting";
    slot.next = this.first;
    slot.previous = null;
    if (this.first === null) this.last = slot;
    else this.first.previous = slot;
    this.first = slot;
    this.length++;
  }

  /** Takes a command out, wherever it stands: it is nowhere then. */
  remove(slot: Slot): void {
    const { next, previous } = slot;
    if (previous === null) this.first = next;
    else previous.next = next;
    if (next === null) this.last = previous;
    else next.previous = previous;
    slot.next = null;
    slot.previous = null;
    (slot.chain ?? slot).phase = "taken";
    this.length--;
  }
}
