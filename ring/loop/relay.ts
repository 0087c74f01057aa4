/**
 * A wire through the waker, which reads the eventfd with a ring of its own.
 *
 * **Contract.** The kernel may write the block of a relay until the read of the
 * eventfd has completed. The relay gives the block back only then. The waker knows
 * the eventfd by a place in its table of files, and not by a number.
 *
 * @module
 */

import { abandon, type Block, give, take } from "../flight/pool.ts";
import type { Eventfd } from "./eventfd.ts";
import { type Reader, Waker } from "./waker.ts";
import type { Listener, Wire } from "./wire.ts";

/** The connection of one eventfd to the waker. */
export class Relay implements Wire, Reader {
  readonly eventfd: Eventfd;
  readonly byNumber = false;
  readonly #listener: Listener;
  readonly #waker: Waker;
  readonly #id: number;
  /** The place of the eventfd in the table of the waker. */
  readonly #place: number;
  /** The memory that the kernel reads the eventfd into, until it is given back. */
  #block: Block | null;
  /** `true` while a read of the eventfd is in flight. */
  #armed = false;
  /** `disarm` was called: no read that completes is a signal. */
  #ending = false;
  #closed = false;

  /** Connects an eventfd, which must not be O_NONBLOCK: a read has to wait. */
  constructor(eventfd: Eventfd, listener: Listener) {
    this.eventfd = eventfd;
    this.#listener = listener;
    const block = take(8);
    this.#block = block;
    try {
      block.address; // Maps the memory now, which throws if there is none.
      this.#waker = Waker.current();
      [this.#id, this.#place] = this.#waker.add(this, eventfd.fd);
    } catch (error) {
      give(block);
      throw error;
    }
  }

  arm(): void {
    if (this.#armed) return;
    this.#armed = true;
    this.#waker.arm(this.#id, this.#place, this.#block!.address);
  }

  /** Waits until the read was cancelled, unless the waker fails. */
  disarm(): void {
    this.#ending = true;
    while (this.#armed && !this.#waker.closed) this.#waker.disarm(this.#id);
  }

  hold(on: boolean): void {
    this.#waker.hold(this, on);
  }

  taken(res: number): boolean {
    this.#armed = false;
    if (this.#ending) return false;
    if (res < 0) this.#listener.disconnect();
    return res >= 0;
  }

  rung(): void {
    this.#listener.rung();
  }

  fail(): void {
    this.#waker.fail();
  }

  disconnect(): void {
    this.#listener.disconnect();
  }

  close(): void {
    this.hold(false);
    const block = this.#block;
    if (this.#armed && block !== null) abandon(block);
    this.#block = null;
    if (!this.#armed && block !== null) give(block);
    this.#armed = false;
    if (!this.#closed) this.eventfd.close();
    this.#closed = true;
    this.#waker.remove(this.#id, this.#place);
  }
}
