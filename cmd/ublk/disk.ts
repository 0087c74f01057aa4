/** A disk that is served, for the program that serves it. */

import type { DiskFile } from "./disk_file.ts";

/**
 * The end of a disk: `"stopped"` by this program, another one or a signal, so that it is
 * deleted; `"aborted"`, by {@linkcode Disk.abort} or because its ring failed;
 * `"quiesced"`, so that the next server finds it with `recover()`.
 */
export type DiskEnd = "stopped" | "aborted" | "quiesced";

/** Options of {@linkcode Disk.stop}. */
export interface StopOptions {
  /**
   * Stop it even if it is mounted or open: its programs get EIO, and data that they
   * have not flushed is lost. Default `false`.
   */
  force?: boolean;
  /**
   * Milliseconds for handlers that are not done. Then their signals are aborted, and
   * their requests answered with EIO. Default 5000.
   */
  graceMs?: number;
}

/** Counts of what a disk has done so far. */
export interface DiskStats {
  /** Requests that came. */
  readonly requests: number;
  /** Calls of io_uring_enter(). */
  readonly enters: number;
  /** Handlers that have returned a promise, and are not done. */
  readonly pending: number;
}

/** A disk that is served. It keeps the process alive, until it ends. */
export interface Disk extends AsyncDisposable {
  /** The number of the disk: 0 for /dev/ublkb0. */
  readonly id: number;
  /** The block device, such as `"/dev/ublkb0"`. */
  readonly path: string;
  /** Bytes of the disk, as of the last {@linkcode resize}. */
  readonly size: number;
  /** Bytes of a logical block. */
  readonly blockSize: number;
  /** The features of the driver that it uses, such as `"USER_RECOVERY"`. */
  readonly features: readonly string[];
  /** Says how it ended. It never rejects. */
  readonly closed: Promise<DiskEnd>;

  /**
   * Stops serving, and deletes the disk. What handlers have not answered after
   * `graceMs` is answered with EIO.
   *
   * @throws {Deno.errors.Busy} if the disk is open or mounted, without `force`. Before
   * Linux 7.0, only mounts and other exclusive openers count.
   */
  stop(options?: StopOptions): Promise<void>;

  /**
   * Gives the disk up at once, without an answer from anyone: its programs get EIO.
   * With {@linkcode closed}, the driver has deleted it. It is for a handler that
   * blocks, or for a program that has to end now.
   */
  abort(): void;

  /**
   * Changes the size: Linux 6.16. The target must have the new size already, or still
   * the old one if that is larger.
   */
  resize(size: number): Promise<void>;

  /**
   * Leaves the disk to the next server, which calls `recover()`: Linux 6.16, for a disk
   * with `recovery`. Programs wait meanwhile, and nothing ends them, but no request
   * fails. Resolves when this process no longer has the disk.
   *
   * @throws {UringError} EBUSY if handlers are not done after `graceMs`.
   */
  handOver(options?: { graceMs?: number }): Promise<void>;

  /**
   * Opens the disk for this program. Use nothing else for that in the thread that
   * serves: `Deno.FsFile.close()` writes back what is dirty, and waits for this very
   * thread, so that nothing ends the process.
   */
  open(): Promise<DiskFile>;

  /** Returns counts of what the disk has done so far. */
  stats(): Promise<DiskStats>;
  /** Lets the disk keep the process alive, as it does from the start. */
  ref(): void;
  /** Lets the process end while the disk is served, which is then gone. */
  unref(): void;
}
