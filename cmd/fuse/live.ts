/** A filesystem that is mounted, and served in this thread. */

import { E } from "../../sys/uapi/errno.ts";
import { readText } from "../../sys/file.ts";
import { syscall } from "../../sys/libc.ts";
import { checkObject } from "../../ring/check.ts";
import { unmountByChild, type UnmountOptions } from "./children.ts";
import type { Watchdog } from "./children.ts";
import { Classic, endOf } from "./classic.ts";
import { FuseError } from "./errors.ts";
import type { Agreement, Wishes } from "./init.ts";
import type { Mounted } from "./mounting.ts";
import type { NodeFileSystem } from "./nodes.ts";
import { entryMessage, inodeMessage, storeMessage } from "./notifications.ts";
import type { MountOptions } from "./options.ts";
import { type AnyNode, Server } from "./server.ts";
import { Session, type SessionStats } from "./session.ts";
import { onSignal } from "./signals.ts";
import type { TransportName } from "./transport.ts";
import type { Waiter } from "./waiting.ts";

/** What the kernel and the server have agreed on. */
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

/** A filesystem that is mounted. */
export interface Mount extends AsyncDisposable {
  /** The directory, as an absolute path. */
  readonly dir: string;
  /** How requests come. */
  readonly transport: TransportName;
  /** How it was mounted and how it waits, as a sentence. */
  readonly how: string;
  /** What the kernel and the server have agreed on. */
  readonly protocol: Protocol;
  /**
   * Resolves when it is no longer mounted, whoever unmounted it. It rejects if serving
   * has failed.
   */
  readonly finished: Promise<void>;
  /**
   * Unmounts. A child process does, because the kernel may ask this one meanwhile.
   *
   * @throws {Error} if a program uses a file of it, unless `lazy`.
   */
  unmount(options?: UnmountOptions): Promise<void>;
  /**
   * Makes the kernel forget attributes and data of a path, and the name itself, for
   * a file that has changed by itself. Resolves to `false` if it knew nothing.
   *
   * @param file A path, or an object of a node-based filesystem, whose name stays.
   * @param options `data: false` leaves the data, `entry: false` the name. With
   * `expire` the name is looked up when it is next used, and stays until then.
   */
  invalidate(
    file: string | object,
    options?: { data?: boolean; entry?: boolean; expire?: boolean },
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
  stats(): MountStats;
  /** Lets the mount keep the process alive: the default. */
  ref(): void;
  /** Lets the process exit, which unmounts. */
  unref(): void;
}

/** A filesystem for the server, and the way from a path to its nodes. */
export interface Files {
  readonly fs: NodeFileSystem<AnyNode>;
  /** Returns the node of a path, or that of its directory. */
  find(path: string): AnyNode | undefined;
  serve(server: Server): void;
}

/** Milliseconds for which `await using` waits for the programs of a lazy unmount. */
const GRACE_MS = 1000;
/** Milliseconds for which an unmount waits until the kernel says that it is over. */
const OVER_MS = 5000;

export class LiveMount implements Mount {
  readonly dir: string;
  readonly transport: TransportName;
  readonly how: string;
  readonly finished: Promise<void>;
  readonly #files: Files;
  readonly #server: Server;
  readonly #session: Session;
  readonly #classic: Classic;
  readonly #options: MountOptions;
  #agreement: Agreement | null = null;
  #watchdog: Watchdog | null = null;
  /** The number of the mount's device, such as `"0:45"`. */
  #device = "";
  #over = false;

  constructor(
    dir: string,
    { fd, how }: Mounted,
    waiter: Waiter,
    files: Files,
    wishes: Wishes,
    options: MountOptions,
  ) {
    this.dir = dir;
    this.#files = files;
    this.#options = options;
    this.#server = new Server(files.fs, {
      entryTtlMs: options.entryTtlMs ?? 1000,
      attrTtlMs: options.attrTtlMs ?? 1000,
      negativeTtlMs: options.negativeTtlMs ?? 0,
      directIo: options.directIo ?? false,
      keepCache: options.keepCache ?? false,
      defaults: {
        uid: syscall("geteuid"),
        gid: syscall("getegid"),
        time: Date.now(),
      },
    });
    files.serve(this.#server);
    const { maxWrite, pageSize } = wishes;
    // Without MAX_PAGES, a read has up to 32 pages.
    const most = Math.max(maxWrite, 32 * pageSize);
    this.#classic = new Classic(fd, most, waiter);
    this.transport = this.#classic.name;
    this.how = `mounted by ${how}; requests by read(2), waiting ${waiter.how}`;
    this.#session = new Session(this.#server, this.#classic, {
      wishes,
      timeoutMs: options.timeoutMs ?? 0,
      onError: options.onError ??
        ((error, op, path) =>
          console.error(`FUSE ${op} ${path ?? ""} failed with EIO:`, error)),
    });
    this.finished = this.#session.finished.then((errno) => this.#end(errno));
    // Whoever does not wait for it is told by onError.
    this.finished.catch(() => {});
  }

  /** Serves until the kernel has agreed, and from then on. */
  async begin(watchdog: Watchdog | null): Promise<void> {
    this.#watchdog = watchdog;
    this.#classic.start(this.#session);
    this.#agreement = await this.#session.ready;
    this.#device = deviceOf(this.dir);
    const { signals = true, signal } = this.#options;
    const leave = () => void this[Symbol.asyncDispose]().catch(() => {});
    const ignore = signals ? onSignal(leave) : () => {};
    signal?.addEventListener("abort", leave, { once: true });
    const end = () => {
      ignore();
      signal?.removeEventListener("abort", leave);
    };
    this.#session.finished.then(end);
  }

  /** Gives up the connection. */
  abort(): void {
    this.#classic.abort();
  }

  get protocol(): Protocol {
    return this.#agreement!;
  }

  async unmount(options: UnmountOptions = {}): Promise<void> {
    if (this.#over) return;
    try {
      await unmountByChild(this.dir, checkObject("options", options));
    } catch (error) {
      if (this.#over) return;
      throw error;
    }
    if (options.lazy) return;
    // It goes on if another mount namespace has it as well.
    await within(this.finished, OVER_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.unmount();
    } catch {
      try {
        await this.unmount({ lazy: true });
      } catch {
        // Only the abort is left.
      }
    }
    await within(this.finished, GRACE_MS);
    this.#classic.abort();
    await this.finished;
  }

  async invalidate(
    file: string | object,
    { data = true, entry = true, expire = false } = {},
  ): Promise<boolean> {
    const { nodes } = this.#server;
    const node = this.#find(file);
    let known = false;
    const send = async (message: Uint8Array) => {
      known = await this.#server.notify(message) === 0 || known;
    };
    const id = node === undefined ? 0 : nodes.idOf(node);
    // From -1 on, there is no data.
    if (id !== 0) await send(inodeMessage(id, data ? 0 : -1));
    if (typeof file !== "string") return known;
    const slash = file.lastIndexOf("/");
    const parent = this.#files.find(file.slice(0, slash));
    const name = file.slice(slash + 1);
    const parentId = parent === undefined ? 0 : nodes.idOf(parent);
    if (entry && name !== "" && parentId !== 0) {
      await send(entryMessage(parentId, name, expire));
    }
    return known;
  }

  #find(file: string | object): AnyNode | undefined {
    return typeof file === "string" ? this.#files.find(file) : file;
  }

  async store(
    file: string | object,
    offset: number,
    data: Uint8Array,
  ): Promise<boolean> {
    const node = this.#find(file);
    const id = node === undefined ? 0 : this.#server.nodes.idOf(node);
    if (id === 0) return false;
    return await this.#server.notify(storeMessage(id, offset, data)) === 0;
  }

  stats(): MountStats {
    return this.#session.stats();
  }

  ref(): void {
    this.#session.ref();
  }

  unref(): void {
    this.#session.unref();
  }

  /** Cleans up after the end, and says whether it was a failure. */
  async #end(errno: number): Promise<void> {
    this.#over = true;
    // A connection that was aborted leaves its mount behind.
    if (this.#device !== "" && deviceOf(this.dir) === this.#device) {
      await unmountByChild(this.dir, { lazy: true }).catch(() => {});
    }
    await this.#watchdog?.stop();
    await this.#server.fs.destroy?.();
    if (errno === E.ENODEV || errno === E.ECONNABORTED) return;
    throw new FuseError(errno, endOf(errno));
  }
}

/** Waits for a promise, but not for ever. */
async function within(promise: Promise<void>, ms: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => timer = setTimeout(resolve, ms));
  try {
    await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
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
