/**
 * The life of a disk, from its queues to its end.
 *
 * **Contract.** STOP_DEV waits until all requests are answered, in a worker of this
 * process. While it waits, SIGKILL does not end the process. So it is sent only when
 * every request is answered, and each that still comes is answered at once. The
 * device is deleted only when it is not live. Nothing of this process has the node open
 * or the descriptors mapped when it waits for that.
 */

import { E } from "../../sys/uapi/errno.ts";
import { O_EXCL, O_RDONLY, O_RDWR } from "../../sys/uapi/fcntl.ts";
import * as uapi from "../../sys/uapi/ublk.ts";
import { close, listDirectory } from "../../sys/file.ts";
import { checkBoolean, checkInteger, checkObject } from "../../ring/check.ts";
import { UringError } from "../../ring/errors.ts";
import { closed, opened } from "../../ring/loop/unload.ts";
import { Ring } from "../../ring/ring.ts";
import { type Control, isErrno } from "./control.ts";
import type { Disk, DiskEnd, DiskStats, StopOptions } from "./disk.ts";
import { closeApart, DiskFile, openApart } from "./disk_file.ts";
import { checkMultiple, type Geometry, SECTOR } from "./geometry.ts";
import type { QueueStats } from "./queue.ts";
import { featureNames } from "./support.ts";

/** A queue, in this thread or in a Worker. */
export interface Served {
  /** See `Queue`. */
  readonly ended: Promise<void>;
  refuseAll(): void | Promise<void>;
  release(): Promise<void>;
  abandon(): void;
  stats(): QueueStats | Promise<QueueStats>;
  ref(): void;
  unref(): void;
}

/** Milliseconds between looks at the state of a device. */
const LOOK_MS = 20;
/** Milliseconds for which the kernel may still end a device that was given up. */
const END_MS = 20_000;
/** Milliseconds for which udev, or a scan for partitions, may have it open. */
const SCAN_MS = 1000;

/** The parts of a live disk. */
export interface Parts {
  readonly control: Control;
  readonly id: number;
  /** The descriptor of /dev/ublkcN, which the disk closes. */
  readonly fd: number;
  readonly geometry: Geometry;
  /** `UBLK_F_` bits. */
  readonly flags: number;
  /** Is called once the disk has ended. */
  readonly leave: () => unknown;
}

/** A disk whose queues this process serves. */
export class LiveDisk implements Disk {
  readonly id: number;
  readonly path: string;
  readonly blockSize: number;
  readonly features: readonly string[];
  readonly closed: Promise<DiskEnd>;
  readonly #parts: Parts;
  readonly #queues: Served[] = [];
  readonly #over = Promise.withResolvers<DiskEnd>();
  #fd: number;
  #size: number;
  /** It has no queues any more, or is about to. */
  #ending = false;
  #stopping: Promise<void> | null = null;

  constructor(parts: Parts) {
    const { id, fd, geometry, flags } = this.#parts = parts;
    this.id = id;
    this.path = `/dev/ublkb${id}`;
    this.blockSize = geometry.blockSize;
    this.features = featureNames(flags);
    this.closed = this.#over.promise;
    this.#fd = fd;
    this.#size = geometry.size;
    opened(this);
  }

  get size(): number {
    return this.#size;
  }

  /** Adds a queue. */
  add(queue: Served): void {
    this.#queues.push(queue);
  }

  /** Looks after the end, from when all queues were added. */
  begin(): void {
    const all = this.#queues.map(({ ended }) => ended);
    void Promise.all(all).then(() => this.#end());
  }

  // ---- While it lives ---------------------------------------------------------

  async resize(size: number): Promise<void> {
    checkMultiple("size", size, this.blockSize, Number.MAX_SAFE_INTEGER);
    const { control } = this.#parts;
    await control.run("UPDATE_SIZE", this.id, { data: size / SECTOR });
    this.#size = size;
  }

  open(): Promise<DiskFile> {
    const { readOnly } = this.#parts.geometry;
    return DiskFile.open(this.path, readOnly ? O_RDONLY : O_RDWR);
  }

  async stats(): Promise<DiskStats> {
    const all = await Promise.all(this.#queues.map((queue) => queue.stats()));
    const sum = (name: keyof QueueStats) =>
      all.reduce((sum, each) => sum + each[name], 0);
    return {
      requests: sum("requests"),
      enters: sum("enters"),
      pending: sum("pending"),
    };
  }

  ref(): void {
    for (const queue of this.#queues) queue.ref();
  }

  unref(): void {
    for (const queue of this.#queues) queue.unref();
  }

  // ---- The end ----------------------------------------------------------------

  async stop(options: StopOptions = {}): Promise<void> {
    const { force = false, graceMs = 5000 } = checkObject("options", options);
    checkBoolean("force", force);
    checkInteger("graceMs", graceMs, 0, 0x7fff_ffff);
    if (!force && this.#stopping === null && !this.#ending) {
      if (await this.#stopUnused()) return void await this.closed;
    }
    await (this.#stopping ??= this.#stop(graceMs));
  }

  async #stop(graceMs: number): Promise<void> {
    await this.#settle(graceMs);
    if (!this.#ending) {
      await Promise.all(this.#queues.map((queue) => queue.refuseAll()));
    }
    if (!this.#ending) await this.#send("STOP_DEV");
    await this.closed;
  }

  /** Waits for the handlers that are not done, up to a time. */
  async #settle(graceMs: number): Promise<void> {
    const until = performance.now() + graceMs;
    while (!this.#ending) {
      const { pending } = await this.stats();
      if (pending === 0 || performance.now() > until) return;
      await sleep(LOOK_MS);
    }
  }

  /**
   * Stops the disk if nobody has it open. Then no request is open, either. Returns
   * `false` where the driver cannot do both at once, and nobody seems to use it.
   */
  async #stopUnused(): Promise<boolean> {
    const until = performance.now() + SCAN_MS;
    for (;;) {
      try {
        await this.#send("TRY_STOP_DEV");
        return true;
      } catch (error) {
        if (isErrno(error, E.EOPNOTSUPP, E.EINVAL)) break;
        if (!isErrno(error, E.EBUSY)) throw error;
      }
      if (performance.now() > until) throw busy(this.path);
      await sleep(LOOK_MS);
    }
    if (await isUsed(this.id, this.path)) throw busy(this.path);
    return false;
  }

  /** Sends a command that ends the disk, unless it has ended. */
  async #send(name: "STOP_DEV" | "TRY_STOP_DEV"): Promise<void> {
    try {
      await this.#parts.control.run(name, this.id);
    } catch (error) {
      if (!isErrno(error, E.ENODEV)) throw error;
    }
  }

  async handOver(options: { graceMs?: number } = {}): Promise<void> {
    const { graceMs = 5000 } = checkObject("options", options);
    checkInteger("graceMs", graceMs, 1, 0x7fff_ffff);
    const { control } = this.#parts;
    await control.run("QUIESCE_DEV", this.id, { data: graceMs });
    // The driver has given back the tags that were idle. One that a handler had is
    // fetched again, and stays. What is not answered is the next server's.
    await this.#settle(graceMs);
    await sleep(LOOK_MS); // The last answers go to the driver.
    this.#giveUp("quiesced");
    await this.closed;
  }

  abort(): void {
    this.#giveUp("aborted");
  }

  #giveUp(end: DiskEnd): void {
    if (this.#ending || this.#fd < 0) return;
    this.tearDown();
    void this.#bury(end);
  }

  /** Gives the disk up with the page. */
  tearDown(): void {
    this.#ending = true;
    for (const queue of this.#queues) queue.abandon();
    this.#closeNode();
  }

  #closeNode(): void {
    const fd = this.#fd;
    this.#fd = -1;
    if (fd >= 0) close(fd);
    closed(this);
  }

  /** Handles that the driver has given back all tags. */
  async #end(): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    const all = this.#queues.map((queue) => queue.release());
    for (const each of await Promise.allSettled(all)) {
      if (each.status === "rejected") reportError(each.reason);
    }
    this.#closeNode();
    await this.#bury("stopped");
  }

  /** Deletes the device as soon as it is not live, unless it waits for a server. */
  async #bury(end: DiskEnd): Promise<void> {
    const { control, leave } = this.#parts;
    try {
      const state = await settledState(control, this.id);
      const waits = state === uapi.UBLK_S_DEV_QUIESCED ||
        state === uapi.UBLK_S_DEV_FAIL_IO;
      if (waits && end !== "aborted") end = "quiesced";
      else if (state !== -1) await control.delete(this.id);
    } catch (error) {
      console.error(`${this.path} is not deleted:`, error);
    }
    control[Symbol.dispose]();
    try {
      await leave();
    } catch (error) {
      reportError(error);
    }
    this.#over.resolve(end);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#fd >= 0 && this.#stopping === null) {
      try {
        return await this.stop();
      } catch (error) {
        if (!(error instanceof Deno.errors.Busy)) throw error;
        console.warn(`${error.message} Stopped by force: it has lost data.`);
      }
    }
    await this.stop({ force: true });
  }
}

/** Waits until a device is not live. Returns its state; -1 if it is gone. */
export async function settledState(
  control: Control,
  id: number,
): Promise<number> {
  const until = performance.now() + END_MS;
  for (;;) {
    const state = await control.state(id);
    if (state !== uapi.UBLK_S_DEV_LIVE) return state;
    if (performance.now() > until) {
      throw new UringError("ublk", -1, E.EBUSY, "The driver does not end it.");
    }
    await sleep(LOOK_MS);
  }
}

/** Tells whether a disk is mounted, or has another exclusive opener. */
async function isUsed(id: number, path: string): Promise<boolean> {
  const holders = listDirectory(`/sys/block/ublkb${id}/holders`, () => true);
  if (typeof holders !== "number" && holders.length > 0) return true;
  await using ring = Ring.open({ entries: 4 });
  try {
    const fd = await ring.cmd(openApart(path, O_RDONLY | O_EXCL));
    await ring.cmd(closeApart(fd));
    return false;
  } catch (error) {
    return isErrno(error, E.EBUSY);
  }
}

function busy(path: string): Error {
  return new Deno.errors.Busy(
    `${path} is open or mounted. Unmount it, or stop it with \`force: true\`.`,
  );
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
