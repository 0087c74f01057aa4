/** The messages of another thread to one that sleeps in the kernel. */

/**
 * Tells a thread whether messages to it are on their way. A message may take many turns
 * of the event loop, and a thread that slept meanwhile would not get it.
 */
export class Inbox {
  /** The messages so far, which the sender counts; `null` if it does not. */
  sent: Int32Array | null = null;
  #received = 0;
  #wake: () => void = () => {};

  /** `true` if a message is on its way. */
  get expects(): boolean {
    return this.sent !== null && this.#received < Atomics.load(this.sent, 0);
  }

  /** Counts a message that came. */
  receive(): void {
    this.#received++;
    this.#wake();
  }

  /** Resolves when no message is on its way. */
  async settle(): Promise<void> {
    while (this.expects) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }
}

/** Makes the count of {@linkcode Inbox}, for the sender. */
export function messageCount(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4));
}
