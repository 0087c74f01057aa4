/** Commands that wait for room in the queues. */

import type { Waiter } from "./slot.ts";

/** A list of waiters in order. A chain waits whole, as its first command. */
export class WaitQueue {
  first: Waiter | null = null;
  last: Waiter | null = null;
  /** Commands that wait; a chain counts as one. */
  length = 0;

  /** Adds a waiter, which stands for so many commands, at the end. */
  add(waiter: Waiter, commands = 1): void {
    (waiter.chain ?? waiter).phase = "waiting";
    waiter.next = null;
    waiter.previous = this.last;
    if (this.last === null) this.first = waiter;
    else this.last.next = waiter;
    this.last = waiter;
    this.length += commands;
  }

  /** Adds a waiter before all others. */
  addFirst(waiter: Waiter, commands = 1): void {
    waiter.phase = "waiting";
    waiter.next = this.first;
    waiter.previous = null;
    if (this.first === null) this.last = waiter;
    else this.first.previous = waiter;
    this.first = waiter;
    this.length += commands;
  }

  /** Takes a waiter out, wherever it stands: it is nowhere then. */
  remove(waiter: Waiter, commands = 1): void {
    const { next, previous } = waiter;
    if (previous === null) this.first = next;
    else previous.next = next;
    if (next === null) this.last = previous;
    else next.previous = previous;
    waiter.next = null;
    waiter.previous = null;
    (waiter.chain ?? waiter).phase = "taken";
    this.length -= commands;
  }
}
