/** The carrier of requests and replies between the kernel and a session. */

import type { Inbox } from "./inbox.ts";
import type { Agreement } from "./init.ts";
import type { FuseRequest } from "./request.ts";

/** The name of a transport. */
export type TransportName = "classic" | "io_uring";

/** The receiver of a transport's requests: the session. */
export interface Receiver {
  /**
   * Handles a request. Returns `true` if it is answered, so that its memory can hold
   * the next; otherwise the session gives it back with {@linkcode Transport.free}.
   */
  receive(request: FuseRequest): boolean;
  /** Is told once that no more requests come, with the errno that said so. */
  ended(errno: number): void;
}

/** Carries requests and replies. */
export interface Transport {
  /** The way of requests: io_uring can end in classic. */
  readonly name: TransportName;
  /** The way of requests and the reason for it, for people. */
  readonly how: string;
  /** Begins to deliver requests. */
  start(receiver: Receiver): void;
  /**
   * Is told of the agreement as soon as INIT is answered. Resolves when programs can
   * use the mount.
   */
  agreed(agreement: Agreement): Promise<void>;
  /**
   * Sends a reply: an errno from 1 on, or 0 and `byteLength` bytes of the request's
   * `out`. Returns `false` if the kernel no longer waits for it.
   */
  reply(request: FuseRequest, errno: number, byteLength: number): boolean;
  /** Takes back the memory of a request that was answered later. */
  free(request: FuseRequest): void;
  /**
   * Sends a message that is no reply. It may have to wait for a lock that a request
   * holds, so that another thread sends it. Resolves to 0, or `-errno`.
   */
  notify(message: Uint8Array): Promise<number>;
  /** Gives up the connection: the kernel ends all requests with ECONNABORTED. */
  abort(): void;
  /**
   * Serves asleep in the kernel, until the connection ends. A signal on `stopFd` wakes
   * it for a message: see `StopSignal`. It does not sleep while the inbox expects one.
   */
  sleep?(stopFd: number, inbox: Inbox): Promise<void>;
  /** Lets the mount keep the process alive, or not. */
  ref(): void;
  unref(): void;
}
