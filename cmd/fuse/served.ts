/** The part of a mount that answers requests: in this thread, or in a Worker. */

import type { Inbox } from "./inbox.ts";
import type { SessionStats } from "./session.ts";
import type { TransportName } from "./transport.ts";

/** The agreement of the kernel and the server. */
export interface Protocol {
  /** The minor version: 45 in Linux 7.2. */
  readonly minor: number;
  /** Bytes of the largest write. */
  readonly maxWrite: number;
  /** Flags of FUSE_INIT, without the prefix. */
  readonly flags: readonly string[];
}

/** Counts of a mount. */
export type MountStats = SessionStats;

/** The parts that {@linkcode Mount.invalidate} leaves alone. */
export interface InvalidateOptions {
  /** `false` leaves the data. */
  readonly data?: boolean;
  /** `false` leaves the name. */
  readonly entry?: boolean;
  /** `true` leaves the name until it is next used, and looks it up then. */
  readonly expire?: boolean;
}

/** The side that answers the requests of a mount. */
export interface Served {
  readonly transport: TransportName;
  /** The way of requests, for people. */
  readonly how: string;
  readonly protocol: Protocol;
  /** Resolves to the errno that ended it. Rejects if serving has failed. */
  readonly ended: Promise<number>;
  /** Gives up the connection. */
  abort(): void;
  invalidate(
    file: string | object,
    options: InvalidateOptions,
  ): Promise<boolean>;
  store(
    file: string | object,
    offset: number,
    data: Uint8Array,
  ): Promise<boolean>;
  stats(): Promise<MountStats>;
  /** See {@linkcode Transport}. */
  sleep?(stopFd: number, inbox: Inbox): void;
  ref(): void;
  unref(): void;
}

/** A filesystem that is ready to be mounted. */
export interface Ready {
  /**
   * Serves a descriptor of /dev/fuse from now on, and closes it in the end. Resolves
   * when programs can use the mount.
   */
  serve(fd: number): Promise<Served>;
  /** Gives up what was not served. */
  drop(): void;
}
