/** A filesystem that is mounted. */

import { E } from "../../sys/uapi/errno.ts";
import { close, readText } from "../../sys/file.ts";
import { checkBytes, checkObject, checkOffset } from "../../ring/check.ts";
import { unmountByChild, type UnmountOptions, within } from "./children.ts";
import type { Watchdog } from "./children.ts";
import { endOf } from "./classic.ts";
import { FuseError } from "./errors.ts";
import type { Mounted } from "./mounting.ts";
import type { MountOptions } from "./options.ts";
import type { InvalidateOptions, MountStats } from "./served.ts";
import type { Protocol, Served } from "./served.ts";
import { onSignal } from "./signals.ts";
import { openAbort, writeAbort } from "./support.ts";
import type { TransportName } from "./transport.ts";

/** A filesystem that is mounted. */
export interface Mount extends AsyncDisposable {
  /** The directory, as an absolute path. */
  readonly dir: string;
  /** The way of requests. */
  readonly transport: TransportName;
  /** The way of mounting and of requests, with the reasons, for people. */
  readonly how: string;
  /** The agreement of the kernel and the server. */
  readonly protocol: Protocol;
  /**
   * Resolves when it is no longer mounted, whoever unmounted it. It rejects if serving
   * has failed.
   */
  readonly finished: Promise<void>;
  /**
   * Unmounts. A child process does, because the kernel may ask this one meanwhile.
   *
   * @throws {Error} if a program uses a file of it, unless `lazy`; if another mount
   * lies over it.
   */
  unmount(options?: UnmountOptions): Promise<void>;
  /**
   * Makes the kernel forget attributes and data of a path, and the name itself, for
   * a file that has changed by itself. Resolves to `false` if it knew nothing.
   *
   * It waits for requests in flight that use the file, or change its directory: their
   * handlers must not wait for it.
   *
   * @param file A path, or an object of a node-based filesystem, whose name stays.
   */
  invalidate(
    file: string | object,
    options?: InvalidateOptions,
  ): Promise<boolean>;
  /**
   * Puts data into the kernel's cache of a file. Resolves to `false` if the kernel
   * does not know the file.
   */
  store(
    file: string | object,
    offset: number,
    data: Uint8Array,
  ): Promise<boolean>;
  /** Counts what the mount has done, and what it is doing. */
  stats(): Promise<MountStats>;
  /** Lets the mount keep the process alive: the default. */
  ref(): void;
  /** Lets the process exit, which unmounts. */
  unref(): void;
}

/** Milliseconds for which `await using` waits for the programs of a lazy unmount. */
const GRACE_MS = 1000;
/** Milliseconds for which `await using` waits for umount(8), which looks at the mount. */
const PATIENCE_MS = 3000;
/** Milliseconds for which an unmount waits until the kernel says that it is over. */
const OVER_MS = 5000;

export class LiveMount implements Mount {
  readonly dir: string;
  readonly finished: Promise<void>;
  readonly #mounted: Mounted;
  readonly #served: Served;
  readonly #watchdog: Watchdog | null;
  /** The number of the mount's device, such as `"0:45"`. */
  readonly #device: string;
  #over = false;

  constructor(
    dir: string,
    mounted: Mounted,
    served: Served,
    watchdog: Watchdog | null,
    { signals = true, signal }: MountOptions,
  ) {
    this.dir = dir;
    this.#mounted = mounted;
    this.#served = served;
    this.#watchdog = watchdog;
    this.#device = deviceOf(dir);
    const leave = () => void this[Symbol.asyncDispose]().catch(() => {});
    const ignore = signals ? onSignal(leave) : () => {};
    signal?.addEventListener("abort", leave, { once: true });
    this.finished = this.#finish().finally(() => {
      ignore();
      signal?.removeEventListener("abort", leave);
    });
    // Whoever does not wait for it is told by onError.
    this.finished.catch(() => {});
  }

  get transport(): TransportName {
    return this.#served.transport;
  }

  get how(): string {
    return `mounted by ${this.#mounted.how}; ${this.#served.how}`;
  }

  get protocol(): Protocol {
    return this.#served.protocol;
  }

  unmount(options: UnmountOptions = {}): Promise<void> {
    return this.#unmount(options, Infinity);
  }

  async #unmount(options: UnmountOptions, patienceMs: number): Promise<void> {
    if (this.#over) return;
    try {
      checkObject("options", options);
      if (this.#device !== "" && !this.#isThere) {
        throw new Error(
          `${this.dir} cannot be unmounted: another mount lies over it, or it was ` +
            "taken away already",
        );
      }
      await unmountByChild(this.dir, options, patienceMs);
    } catch (error) {
      if (this.#over) return;
      throw error;
    }
    if (options.lazy) return;
    // It goes on if another mount namespace has it as well.
    await within(this.finished, OVER_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const abortFd = this.#isThere ? openAbort(this.#device) : -1;
    try {
      await this.#unmount({}, PATIENCE_MS);
    } catch {
      // If this fails as well, the abort is left.
      await this.#unmount({ lazy: true }, PATIENCE_MS).catch(() => {});
    }
    await within(this.finished, GRACE_MS);
    // A notification may wait for a lock of a request that nobody answers any more. It
    // holds the connection, so that giving that up would end neither.
    writeAbort(abortFd);
    if (abortFd >= 0) close(abortFd);
    this.#served.abort();
    await this.finished;
  }

  /** `true` while it is what is mounted on the directory. */
  get #isThere(): boolean {
    return this.#device !== "" && deviceOf(this.dir) === this.#device;
  }

  async invalidate(
    file: string | object,
    options: InvalidateOptions = {},
  ): Promise<boolean> {
    checkObject("options", options);
    return await this.#served.invalidate(file, options);
  }

  async store(
    file: string | object,
    offset: number,
    data: Uint8Array,
  ): Promise<boolean> {
    checkOffset(offset);
    return await this.#served.store(file, offset, checkBytes("data", data));
  }

  stats(): Promise<MountStats> {
    return this.#served.stats();
  }

  ref(): void {
    this.#served.ref();
  }

  unref(): void {
    this.#served.unref();
  }

  /** Cleans up after the end, and says whether it was a failure. */
  async #finish(): Promise<void> {
    try {
      const errno = await this.#served.ended;
      if (errno === E.ENODEV || errno === E.ECONNABORTED) return;
      throw new FuseError(errno, endOf(errno));
    } finally {
      this.#over = true;
      // A connection that was aborted leaves its mount behind. That of a Worker that
      // was ended is not aborted yet.
      if (this.#isThere) {
        const options = { lazy: true, force: true };
        await unmountByChild(this.dir, options).catch(() => {});
      }
      await this.#watchdog?.stop();
    }
  }
}

/** Returns the device of the topmost mount on a directory; "" if there is none. */
function deviceOf(dir: string): string {
  const escaped = dir.replaceAll(
    /[ \t\n\\]/g,
    (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, "0")}`,
  );
  const lines = (readText("/proc/self/mountinfo") ?? "").split("\n");
  // The device is the third word, and the directory the fifth.
  const found = lines.map((line) => line.split(" "))
    .filter((words) => words[4] === escaped);
  return found.at(-1)?.[2] ?? "";
}
