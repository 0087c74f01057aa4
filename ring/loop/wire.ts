/** The connection between the eventfd of a ring and the event loop. */

import type { Eventfd } from "./eventfd.ts";

/** The connection of one eventfd, which it owns. */
export interface Wire {
  readonly eventfd: Eventfd;
  /** `true` if a signal is read by the number, which is still the eventfd's then. */
  readonly byNumber: boolean;
  /** Requests the next signal. */
  arm(): void;
  /** Lets go of the request, unless the wire fails meanwhile. */
  disarm(): void;
  /** Keeps the process alive, or lets it end. */
  hold(on: boolean): void;
  /** Disconnects the listener, because signals do not come. */
  fail(): void;
  /**
   * Ends the connection, and closes the eventfd unless its number is another
   * file's. A call that was cut short can be made again, and gives nothing back
   * twice.
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
