/** Makes a disk, or takes one over. */

import { E } from "../../sys/uapi/errno.ts";
import { O_RDWR } from "../../sys/uapi/fcntl.ts";
import * as uapi from "../../sys/uapi/ublk.ts";
import { open } from "../../sys/file.ts";
import { checkFunction, checkInteger } from "../../ring/check.ts";
import { UringError } from "../../ring/errors.ts";
import { ANY_ID, Control, decodeInfo, type DevInfo } from "./control.ts";
import { encodeInfo, isErrno, nodePath } from "./control.ts";
import type { Disk } from "./disk.ts";
import * as geometries from "./geometry.ts";
import type { Geometry } from "./geometry.ts";
import { LiveDisk, type Served, sleep } from "./live.ts";
import { Queue, type QueueHost, type QueueSetup } from "./queue.ts";
import { featureNames } from "./support.ts";
import type { BlockRequest, ServeOptions, Target } from "./target.ts";

/** Milliseconds for udev to give a user a node, and for an old server to leave it. */
const NODE_MS = 5000;
const LOOK_MS = 20;

/** Makes one queue of a disk. */
export type QueueMaker = (
  setup: QueueSetup,
  host: QueueHost,
) => Served | Promise<Served>;

/** The service of a disk's queues. */
export interface Servers {
  readonly geometry: Geometry;
  readonly make: QueueMaker;
  /** Gives all tags of the queues to the driver. */
  readonly start: (queues: readonly Served[]) => void | Promise<void>;
  readonly leave: () => unknown;
}

/** Serves the queues of a disk in this thread. */
export function here(target: Target, options: ServeOptions): Servers {
  return {
    geometry: geometries.geometryOf(target, options),
    make: (setup, host) => new Queue(setup, target, host),
    start: (queues) => {
      for (const queue of queues) (queue as Queue).start();
    },
    leave: () => target.close?.(),
  };
}

/**
 * Serves a disk: when it resolves, {@linkcode Disk.path} is a block device for mkfs,
 * mount and everything else, but not for the synchronous calls of this thread.
 *
 * The disk closes the target when it ends, and when it cannot be made.
 *
 * @throws {UringError} where there is no driver, or the kernel refuses, with the cause
 * and the remedy.
 * @throws {TypeError} or {RangeError} for options that no kernel takes.
 *
 * @example A disk in memory
 * ```ts ignore
 * import { serve } from "@uring/cmd/ublk";
 *
 * const bytes = new Uint8Array(64 << 20);
 * await using disk = await serve({
 *   size: bytes.length,
 *   read({ offset, length }, into) {
 *     into.set(bytes.subarray(offset, offset + length));
 *   },
 *   write: ({ offset }, data) => bytes.set(data, offset),
 * });
 * console.log(`mkfs.ext4 ${disk.path}`);
 * await disk.closed;
 * ```
 */
export async function serve(
  target: Target,
  options: ServeOptions = {},
): Promise<Disk> {
  const servers = here(target, options);
  try {
    return await create(servers, options);
  } catch (error) {
    await servers.leave();
    throw error;
  }
}

/** Makes a disk whose queues are served somewhere. */
export async function create(
  servers: Servers,
  options: ServeOptions,
): Promise<Disk> {
  const queues = geometries.queuesOf(options);
  const wanted = geometries.flagsOf(options);
  const control = new Control();
  try {
    const has = await control.features();
    refuseMissing(wanted.must & ~has);
    const flags = wanted.must | wanted.may & has;
    const bytes = encodeInfo({ id: ANY_ID, ...queues, flags });
    await control.run("ADD_DEV", ANY_ID, { bytes });
    const info = decodeInfo(bytes);
    control.unprivileged = (info.flags & uapi.UBLK_F_UNPRIVILEGED_DEV) !== 0;
    const params = geometries.encodeParams(
      servers.geometry,
      info.maxTransfer,
    );
    const start = async () => {
      await control.run("START_DEV", info.id, { data: Deno.pid });
    };
    const prepare = async () => {
      refuseMissing(wanted.must & ~info.flags);
      await control.run("SET_PARAMS", info.id, { bytes: params });
    };
    const undo = () => control.delete(info.id);
    return await launch({
      control,
      info,
      servers,
      options,
      prepare,
      start,
      undo,
    });
  } catch (error) {
    control[Symbol.dispose]();
    throw error;
  }
}

/** Options of {@linkcode recover}. */
export type RecoverOptions = Pick<
  ServeOptions,
  "timeoutMs" | "signal" | "onError"
>;

/**
 * Serves a disk whose server has died, or handed it over, with the target of the same
 * size, and with the methods that the last one had. The other options of the disk
 * stay as they were.
 *
 * @throws {UringError} EBUSY while another process serves it.
 */
export async function recover(
  id: number,
  target: Target,
  options: RecoverOptions = {},
): Promise<Disk> {
  checkInteger("id", id, 0, 0x7fff_ffff);
  const servers = here(target, options);
  const control = new Control();
  try {
    const info = await control.info(id);
    control.unprivileged = (info.flags & uapi.UBLK_F_UNPRIVILEGED_DEV) !== 0;
    const bytes = geometries.emptyParams();
    await control.run("GET_PARAMS", id, { bytes });
    const geometry = geometries.decodeParams(bytes);
    geometries.checkSame(servers.geometry, geometry);
    // The kernel may not have seen the end of the old process yet.
    await patiently([E.EBUSY], () => control.run("START_USER_RECOVERY", id));
    const start = async () => {
      await control.run("END_USER_RECOVERY", id, { data: Deno.pid });
    };
    return await launch({
      ...{ control, info, options, start },
      servers: { ...servers, geometry },
      prepare: () => Promise.resolve(),
      undo: () => Promise.resolve(), // It waits for the next server.
    });
  } catch (error) {
    control[Symbol.dispose]();
    await servers.leave();
    throw error;
  }
}

/** The steps from a device without a server to a disk. */
interface Launch {
  readonly control: Control;
  readonly info: DevInfo;
  readonly servers: Servers;
  readonly options: ServeOptions;
  readonly prepare: () => Promise<void>;
  readonly start: () => Promise<void>;
  /** Undoes what was done to the device. */
  readonly undo: () => Promise<void>;
}

async function launch(
  { control, info, servers, options, prepare, start, undo }: Launch,
): Promise<Disk> {
  const { id, flags, depth, maxTransfer } = info;
  const { timeoutMs = 0, signal, onError = printError } = options;
  const { geometry } = servers;
  checkInteger("timeoutMs", timeoutMs, 0, 0x7fff_ffff);
  checkFunction("onError", onError);
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  let disk: LiveDisk | null = null;
  let started = false;
  const host: QueueHost = {
    told: (error, request) => onError(error, request.name, request),
    failed: (error) => {
      failed.reject(error);
      if (!started) return;
      console.error(`/dev/ublkb${id} has failed:`, error);
      disk!.abort();
    },
  };
  const stop = () => void disk!.stop({ force: true }).catch(reportError);
  const leave = () => {
    signal?.removeEventListener("abort", stop);
    return servers.leave();
  };
  try {
    signal?.throwIfAborted();
    const fd = await openNode(id);
    disk = new LiveDisk({ control, id, fd, geometry, flags, leave });
    await prepare();
    const { blockSize } = geometry;
    const queues: Served[] = [];
    for (let queue = 0; queue < info.queues; queue++) {
      const setup: QueueSetup = {
        ...{ fd, queue, depth, maxTransfer, blockSize, timeoutMs },
        sleeps: false,
      };
      const made = await servers.make(setup, host);
      queues.push(made);
      disk.add(made);
    }
    await servers.start(queues);
    // The driver waits for all tags. One that it refused will never come.
    await Promise.race([start(), failed.promise]);
  } catch (error) {
    disk?.tearDown();
    await undo().catch(reportError); // The first error matters more.
    throw error;
  }
  started = true;
  disk.begin();
  signal?.addEventListener("abort", stop);
  if (signal?.aborted) stop();
  return disk;
}

/** Opens the node of a device, which udev may have to give to this user first. */
async function openNode(id: number): Promise<number> {
  const path = nodePath(id);
  return await patiently([E.EACCES, E.ENOENT, E.EBUSY], () => {
    const fd = open(path, O_RDWR);
    if (fd >= 0) return Promise.resolve(fd);
    const advice = fd === -E.EACCES
      ? "A user other than root needs a rule of udev, which gives it the node."
      : fd === -E.EBUSY
      ? "Another process serves the disk."
      : "A container sees the node only with the /dev of the host.";
    return Promise.reject(new UringError(`open ${path}`, -1, -fd, advice));
  });
}

/** Calls until it works, as long as it fails with an errno that may pass. */
async function patiently<T>(
  errnos: readonly number[],
  call: () => Promise<T>,
): Promise<T> {
  const until = performance.now() + NODE_MS;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!isErrno(error, ...errnos)) throw error;
      if (performance.now() > until) throw error;
    }
    await sleep(LOOK_MS);
  }
}

/** Throws if a disk cannot have what was asked for. */
function refuseMissing(flags: number): void {
  if (flags === 0) return;
  const names = featureNames(flags).join(", ");
  throw new Deno.errors.NotSupported(
    `the ublk driver of this kernel lacks ${names}. \`probe().ublk\` lists what ` +
      "it has",
  );
}

function printError(error: unknown, op: string, request: BlockRequest): void {
  const { offset, length } = request;
  console.error(`ublk ${op} of ${length} bytes at ${offset}: EIO:`, error);
}
