/**
 * A disk in TypeScript: a block device that programs format, mount and use as any
 * other, and whose contents are what functions read and write (ublk).
 *
 * It needs Linux 6.9, the module ublk_drv (`modprobe ublk_drv`), root, and
 * `--allow-ffi`. {@linkcode serve} throws with a remedy where something is missing,
 * which `probe().ublk` of `@uring/cmd` finds before.
 *
 * Some disks are ready: {@linkcode memoryTarget}; {@linkcode fileTarget}, for an image
 * or another disk; {@linkcode overlay}, which keeps the changes of another disk beside
 * it; and {@linkcode faultyTarget}, which fails as a test tells it.
 *
 * **Handlers** are functions, or promise to be done: see {@linkcode Target}. One that is
 * there is offered to programs, such as `discard`. As many run at once as `queueDepth`
 * and `queues` say, and the kernel keeps the rest.
 *
 * **Errors.** A handler throws a {@linkcode BlockError}, or any error whose `code` is one
 * that block devices have, such as a `UringError` with `"ENOSPC"`. For anything else the
 * program gets EIO, and `onError` is told. A program that writes through the kernel's
 * cache hears of an error from fsync(2) only.
 *
 * **The end.** {@linkcode Disk.stop} answers what is open, and deletes the disk; it
 * refuses one that is mounted. `await using` stops it even then, with a warning. After
 * {@linkcode Disk.abort}, programs get EIO at once. If the process dies, the block device
 * goes away by itself, but the driver keeps the number of a dead one: see
 * {@linkcode devices} and {@linkcode deleteDevice}. Signals are the program's: call
 * `disk.stop()` for them, or pass `signal`.
 *
 * **Recovery.** A disk with `recovery` outlives its process: {@linkcode recover} serves it
 * in another one, and programs only wait. With {@linkcode Disk.handOver} it is passed on
 * without an error, for an update. Such programs wait in a way that nothing ends, until
 * there is a server, or `deleteDevice(id, { force: true })`.
 *
 * **What never ends.** A thread that waits for its own disk cannot serve it, and the
 * kernel ends the wait for no signal, not even SIGKILL. Then the process stays, and no
 * other can make or delete devices, until the machine is started again:
 *
 * | what hangs                                                 | in its place               |
 * | ---------------------------------------------------------- | -------------------------- |
 * | `readSync`, `writeSync`, `openSync` and the like of the own disk, or of a file on it | a Worker that serves, or `await` |
 * | `close()` of a `Deno.FsFile` of the own disk, which writes back what is dirty | {@linkcode Disk.open}, or a Worker |
 * | `worker.terminate()`, for a Worker of yours that serves    | {@linkcode serveInWorker}, which has none to end |
 * | SIGKILL while the own disk stops with a request unanswered | nothing: `stop()` answers all before |
 * | SIGKILL before `serve()` has resolved, on a Linux before 7.0, while a handler does not answer the scan for partitions | handlers that answer in time |
 * | a ring with `maxWorkers: 1`, opened by the same thread while it serves a file's disk on Linux 6.12 | open it before `serve` |
 *
 * With {@linkcode serveInWorker} each queue has a Worker, which sleeps in the kernel
 * between requests. It is faster, and the main thread may use the disk in any way.
 *
 * **A server under its own cache.** A process that serves a disk for swap, or for files
 * that it writes much to, can wait for itself when memory is short. Give it memory, and
 * lock what it needs.
 *
 * **Other users** than root pass `unprivileged: true`. Root gives them the nodes by rules
 * of udev, such as these for a group `ublk`:
 *
 * ```text
 * KERNEL=="ublk-control", GROUP="ublk", MODE="0660"
 * KERNEL=="ublk[bc][0-9]*", GROUP="ublk", MODE="0660"
 * ```
 *
 * Not there: NEED_GET_DATA, zero copy, USER_COPY, shared memory, zones and integrity
 * data.
 *
 * | Linux | has                                                              |
 * | ----- | ---------------------------------------------------------------- |
 * | 6.9   | all but what follows                                             |
 * | 6.13  | `recovery: "fail"`                                               |
 * | 6.16  | `resize` and `handOver`                                          |
 * | 7.0   | `stop` that refuses any opener, not only mounts; `partitionScan` |
 *
 * @example A disk in ten lines
 * ```ts ignore
 * import { serve } from "@uring/cmd/ublk";
 *
 * const bytes = new Uint8Array(64 << 20);
 * await using disk = await serve({
 *   size: bytes.length,
 *   read: ({ offset, length }, into) =>
 *     into.set(bytes.subarray(offset, offset + length)),
 *   write: ({ offset }, data) => bytes.set(data, offset),
 * });
 * Deno.addSignalListener("SIGINT", () => disk.stop().catch(console.error));
 * console.log(`mkfs.ext4 ${disk.path}`);
 * await disk.closed;
 * ```
 *
 * @example An image that survives the death of its server
 * ```ts ignore
 * import { devices, fileTarget, recover, serve } from "@uring/cmd/ublk";
 *
 * const target = await fileTarget("disk.img");
 * const left = (await devices()).find(({ state }) => state === "quiesced");
 * await using disk = left === undefined
 *   ? await serve(target, { recovery: "requeue" })
 *   : await recover(left.id, target);
 * await disk.closed;
 * ```
 *
 * @example A trial run on an image, which is kept only if it went well
 * ```ts ignore
 * import { fileTarget, overlay, serve } from "@uring/cmd/ublk";
 *
 * const trial = overlay(await fileTarget("disk.img"));
 * const disk = await serve(trial);
 * console.log(`use ${disk.path}, and unmount it: SIGINT keeps it, SIGTERM does not`);
 * Deno.addSignalListener("SIGINT", async () => {
 *   console.log(`${await trial.commit()} blocks written`);
 *   await disk.stop();
 * });
 * Deno.addSignalListener("SIGTERM", () => disk.stop());
 * await disk.closed;
 * ```
 *
 * @module
 */

export { deleteDevice, devices } from "./devices.ts";
export type { Device, DeviceState } from "./devices.ts";
export type { Disk, DiskEnd, DiskStats, StopOptions } from "./disk.ts";
export type { DiskFile } from "./disk_file.ts";
export { BlockError } from "./errors.ts";
export type { BlockErrorCode } from "./errors.ts";
export { serveInWorker } from "./remote.ts";
export type { WorkerServeOptions } from "./remote.ts";
export { recover, serve } from "./serve.ts";
export type { RecoverOptions } from "./serve.ts";
export type { Answer, Awaitable, BlockRequest, Target } from "./target.ts";
export type { Recovery, ServeOptions } from "./target.ts";
export { faultyTarget } from "./targets/faulty.ts";
export type { Fault, Faulty, FaultyOperation } from "./targets/faulty.ts";
export { fileTarget } from "./targets/file.ts";
export type { FileTargetOptions } from "./targets/file.ts";
export { memoryTarget } from "./targets/memory.ts";
export { overlay } from "./targets/overlay.ts";
export type { Overlay } from "./targets/overlay.ts";
