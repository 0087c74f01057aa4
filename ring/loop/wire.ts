/** What connects the eventfd of a ring to the event loop. */

/** The connection of one eventfd, which it owns. */
export interface Wire {
  /** Negative once it is closed. */
  readonly eventfd: number;
  /** Requests the next signal. */
  arm(): void;
  /** Lets go of the request, unless the wire fails meanwhile. */
  disarm(): void;
  /** Keeps the process alive, or lets it end. */
  hold(on: boolean): void;
  /** Disconnects the listener, because signals do not come. */
  fail(): void;
  /**
   * Ends the connection and closes the eventfd. A call that was cut short can be
   * made again, and gives nothing back twice.
   */
  close(): void;
}

/** A receiver of the signals of one eventfd. */
export interface Listener {
  /** Handles a signal. */
  rung(): void;
  /** Handles the end of a wire that cannot continue, and closes it. */
  disconnect(): void;
}
