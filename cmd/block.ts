/**
 * Commands of block devices: discard a range (TRIM), and reset all zones of a zoned
 * device. `openDisk` opens a device that nothing else uses, and `blockDevice` asks it
 * for the facts that a range has to fit.
 *
 * @example Discard the first MiB of a disk, which destroys the data in it
 * ```ts ignore
 * import { Ring } from "@uring/cmd";
 * import { blockDevice, discard, openDisk } from "@uring/cmd/block";
 * import { close } from "@uring/cmd/op";
 *
 * await using ring = Ring.open();
 * const fd = await ring.cmd(openDisk("/dev/loop0")); // EBUSY if it is in use.
 * const device = blockDevice(fd);
 * console.log(device.byteLength, "bytes in blocks of", device.logicalBlockSize);
 * await ring.cmd(discard(device, { offset: 0, length: 1 << 20 }));
 * await ring.cmd(close(fd));
 * ```
 *
 * @module
 */

import { PATH_MAX } from "./path.ts";
import * as blkdev from "../sys/uapi/blkdev.ts";
import { AT_FDCWD, O_CLOEXEC, O_EXCL, O_PATH } from "../sys/uapi/fcntl.ts";
import { O_RDONLY, O_RDWR } from "../sys/uapi/fcntl.ts";
import { close, type FileFacts, fileFacts, open } from "../sys/file.ts";
import * as fs from "../sys/uapi/fs.ts";
import * as uapi from "../sys/uapi/io_uring.ts";
import { syscall } from "../sys/libc.ts";
import { scratch } from "../sys/scratch.ts";
import { high, low } from "../sys/struct.ts";
import { checkBoolean, checkFd, checkInteger } from "../ring/check.ts";
import { checkObject, checkU64, shown } from "../ring/check.ts";
import { Command, type FileRef } from "../ring/command.ts";
import { Draft } from "../ring/draft.ts";
import { Kind } from "../ring/kind.ts";
import { adviceFrom, uringCmdAdvice, UringError } from "../ring/errors.ts";
import { FixedFile } from "../ring/registered.ts";
import { openat } from "./op.ts";
import { openAdvice } from "./op_advice.ts";
import { checkWritable, factsOf, isWritable } from "./writable.ts";

/**
 * A block device, and the facts that a command for it has to fit. The facts do
 * not change: make another one after the device was resized, for example.
 *
 * {@linkcode blockDevice} asks a device for its facts. The constructor takes
 * them from the caller.
 *
 * @example
 * ```ts
 * import { BlockDevice } from "@uring/cmd/block";
 *
 * const device = new BlockDevice({
 *   file: 5,
 *   writable: true,
 *   logicalBlockSize: 512,
 *   physicalBlockSize: 4096,
 *   byteLength: 1n << 40n,
 *   readOnly: false,
 * });
 * console.log(device.byteLength);
 * ```
 */
export class BlockDevice {
  /** The file that commands are sent to. */
  readonly file: FileRef;
  /** `true` if the file is open for writing. */
  readonly writable: boolean;
  /** Bytes of a logical block: offsets and lengths are multiples of it. */
  readonly logicalBlockSize: number;
  /** Bytes of a physical block, the least that the device writes at once. */
  readonly physicalBlockSize: number;
  /** Bytes of the device. */
  readonly byteLength: bigint;
  /** `true` if the device refuses writes. */
  readonly readOnly: boolean;
  readonly #checked = true;

  /**
   * Makes a device of its facts.
   *
   * @throws {TypeError} when a fact is missing or of another type.
   * @throws {RangeError} when a number is out of its range.
   */
  constructor(facts: Omit<BlockDevice, "withFile">) {
    checkObject("facts", facts);
    const { file, writable, readOnly, byteLength } = facts;
    const { logicalBlockSize, physicalBlockSize } = facts;
    this.file = FixedFile.is(file) ? file : checkFd(file, "file");
    this.writable = checkBoolean("writable", writable);
    this.logicalBlockSize = checkSize("logicalBlockSize", logicalBlockSize);
    this.physicalBlockSize = checkSize("physicalBlockSize", physicalBlockSize);
    this.byteLength = BigInt(checkU64("byteLength", byteLength));
    this.readOnly = checkBoolean("readOnly", readOnly);
    Object.freeze(this);
  }

  /**
   * Returns the same device for commands on a registered file. Pass the file
   * that `Ring.registerFiles` made of the descriptor. `writable` stays as it is,
   * unless that file is open for reading only.
   *
   * @example
   * ```ts ignore
   * import { blockDevice, discard } from "@uring/cmd/block";
   *
   * const [file] = ring.registerFiles([fd]);
   * const device = blockDevice(fd).withFile(file);
   * await ring.cmd(discard(device, { offset: 0, length: 1 << 20 }));
   * ```
   */
  withFile(file: FixedFile): BlockDevice {
    const device = new BlockDevice({ ...this, file });
    if (!device.writable || isWritable(device.file)) return device;
    return new BlockDevice({ ...device, writable: false });
  }

  /** Returns `true` for a device, and `false` for an object that looks like one. */
  static is(value: unknown): value is BlockDevice {
    return typeof value === "object" && value !== null && #checked in value;
  }
}

/**
 * Opens a block device to change or destroy data on it: for reading and writing,
 * and exclusively. The result is a descriptor, which the caller closes.
 *
 * `IORING_OP_OPENAT` with `O_RDWR | O_EXCL | O_CLOEXEC`. Most systems want root.
 * While the descriptor is open, the device and its partitions cannot be mounted.
 * With `shared: true`, the device is opened without O_EXCL, **also while it is
 * mounted**, and a discard or a write destroys what is on it.
 *
 * EBUSY: a file system on the device or on a partition of it is mounted, or swap,
 * RAID, the device mapper or another exclusive opener uses it.
 *
 * @example
 * ```ts ignore
 * import { Ring } from "@uring/cmd";
 * import { openDisk } from "@uring/cmd/block";
 * import { close } from "@uring/cmd/op";
 *
 * await using ring = Ring.open();
 * const fd = await ring.cmd(openDisk("/dev/loop0"));
 * await ring.cmd(close(fd));
 * ```
 *
 * @throws {TypeError} when the command is queued: if the file is not a block
 * device. On other files, such as `/dev/ng0n1`, O_EXCL has no effect.
 */
export function openDisk(
  path: string,
  options: { shared?: boolean } = {},
): Command<number> {
  const { shared = false } = checkObject("options", options);
  const exclusive = checkBoolean("shared", shared) ? 0 : O_EXCL;
  const { name, operands } = openat(path);
  return new Command({
    name,
    opcode: uapi.IORING_OP_OPENAT,
    fdWord: AT_FDCWD,
    opFlags: O_RDWR | O_CLOEXEC | exclusive,
    operands,
    precheck: () => checkDisk(path),
    advice: openDiskAdvice,
  });
}

/** Throws for a file other than a block device. O_PATH runs no driver's code. */
function checkDisk(path: string): void {
  if (path.length > PATH_MAX) return; // The kernel refuses it.
  const fd = open(path, O_PATH);
  if (fd < 0) return;
  const facts = fileFacts(fd);
  close(fd);
  if (typeof facts === "number" || facts.type === fs.S_IFBLK) return;
  throw new TypeError(
    `${JSON.stringify(path)} is ${kindOf(facts)}, not a block device such as ` +
      "/dev/sda. O_EXCL would not protect it",
  );
}

function kindOf({ type }: FileFacts): string {
  return KINDS[type] ?? "something without a type";
}

function checkSize(name: string, value: number): number {
  return checkInteger(name, value, 1, 0xffff_ffff);
}

/**
 * Asks the block device that `fd` is open on for its facts, in six system calls.
 * Any open descriptor will do, of any user.
 *
 * Pass the result to {@linkcode discard} in place of `fd`, so that a command is
 * checked without asking the device each time. {@linkcode BlockDevice.withFile}
 * is for a registered file.
 *
 * @example
 * ```ts ignore
 * import { blockDevice } from "@uring/cmd/block";
 *
 * const { logicalBlockSize, byteLength } = blockDevice(fd);
 * ```
 *
 * @throws {TypeError} when `fd` is not a block device.
 * @throws {UringError} when the device does not answer, or `fd` is not open.
 */
export function blockDevice(fd: number): BlockDevice {
  const facts = fileFacts(checkFd(fd));
  if (typeof facts !== "number") return ask(fd, facts);
  throw new UringError("fstat", fd, -facts, uringCmdAdvice(-facts));
}

function ask(fd: number, facts: FileFacts): BlockDevice {
  checkKind(`fd ${fd}`, facts);
  const { view, at } = scratch();
  const answer = (name: keyof typeof fs & `BLK${string}`): DataView => {
    const rc = syscall("ioctl", fd, fs[name], at);
    if (rc < 0) throw new UringError(`ioctl ${name}`, fd, -rc, advice(-rc));
    return view;
  };
  // blkdev_common_ioctl(), Linux 6.18: an `int` each, and a `u64` for the size.
  return new BlockDevice({
    file: fd,
    writable: facts.access !== O_RDONLY,
    logicalBlockSize: answer("BLKSSZGET").getUint32(0, true),
    physicalBlockSize: answer("BLKPBSZGET").getUint32(0, true),
    byteLength: answer("BLKGETSIZE64").getBigUint64(0, true),
    readOnly: answer("BLKROGET").getUint32(0, true) !== 0,
  });
}

/** Throws for a file that is not a block device. */
function checkKind(name: string, facts: FileFacts): void {
  if (facts.type === fs.S_IFBLK) return;
  throw new TypeError(
    `${name} is ${kindOf(facts)}, not a block device such as /dev/sda`,
  );
}

const KINDS: Readonly<Record<number, string>> = {
  [fs.S_IFREG]: "a regular file",
  [fs.S_IFDIR]: "a directory",
  [fs.S_IFCHR]: "a character device",
  [fs.S_IFIFO]: "a pipe",
  [fs.S_IFSOCK]: "a socket",
};

/** Returns the bytes of a logical block of the device that `fd` is open on. */
export function blockSize(fd: number): number {
  return blockDevice(fd).logicalBlockSize;
}

/** A range of a block device, in bytes. */
export interface ByteRange {
  /** The first byte: a multiple of the logical block size. */
  offset: number | bigint;
  /** Bytes of the range: a multiple of the logical block size, and not 0. */
  length: number | bigint;
}

/**
 * **Destroys data.** Discards a range of a block device, as TRIM does: the data
 * in it is lost. Afterwards the device may read the range as zeros, or as
 * anything. A loop device punches a hole in its file, which reads as zeros.
 *
 * **A mounted file system does not stop a discard, and is destroyed by it.** Open
 * the device with {@linkcode openDisk}, which fails with EBUSY while a file system
 * on the device is mounted, or while swap, RAID or the device mapper uses it.
 *
 * `BLOCK_URING_CMD_DISCARD`, Linux 6.12. The device must be open for writing,
 * for which most systems want root. The result is 0. Do not read or write the
 * range while the command is in flight: the kernel does not order the two.
 *
 * Before it is queued, a command is refused if its range does not fit the device,
 * if the file is not a block device, or if the device or the descriptor is
 * read-only. For a descriptor, the checks take six system calls each time the
 * command is queued. For a {@linkcode BlockDevice} they take none. For a
 * registered file, the kernel checks the range and the device.
 *
 * EOPNOTSUPP: the device cannot discard, or the kernel has no block commands.
 * EBUSY: the page cache could not drop a page of the range, because a mounted
 * file system or a write uses that page. **Do not rely on EBUSY:** most pages of a
 * mounted file system can be dropped, and are discarded. A memory mapping of the
 * device does not cause EBUSY: it reads the discarded range as the device does.
 *
 * @example
 * ```ts ignore
 * import { Ring } from "@uring/cmd";
 * import { blockDevice, discard, openDisk } from "@uring/cmd/block";
 *
 * await using ring = Ring.open();
 * const fd = await ring.cmd(openDisk("/dev/loop0"));
 * await ring.cmd(discard(fd, { offset: 0, length: 1 << 20 }));
 * // For many ranges, ask the device for its facts once:
 * const device = blockDevice(fd);
 * await ring.cmd(discard(device, { offset: 1 << 20, length: 1 << 20 }));
 * ```
 */
export function discard(
  target: FileRef | BlockDevice,
  range: ByteRange,
): Command<number> {
  const { offset, length } = checkObject("range", range);
  checkNumbers(offset, length);
  const draft = new Draft(DISCARD);
  setTarget(draft, target, offset, length);
  return discarding(draft, offset, length);
}

/** Makes the discards of one device. */
export interface Discards {
  /**
   * **Destroys data.** Makes a command that discards `length` bytes from byte
   * `offset` on.
   *
   * @throws {RangeError} if the range does not fit the device, or its blocks.
   */
  at(offset: number | bigint, length: number | bigint): Command<number>;
}

/**
 * Returns a maker of {@linkcode discard} commands for one device. The device is
 * checked once, and not at each command.
 *
 * @example
 * ```ts ignore
 * import { blockDevice, discardsOf } from "@uring/cmd/block";
 *
 * const discards = discardsOf(blockDevice(fd));
 * const batch = [];
 * for (let i = 0; i < 16; i++) batch.push(discards.at(i << 20, 4096));
 * ring.cmdAllSync(batch);
 * ```
 *
 * @throws {TypeError} if the device or its file is read-only.
 */
export function discardsOf(device: BlockDevice): Discards {
  if (BlockDevice.is(device)) return new DiscardMaker(device);
  throw new TypeError(
    `device must be a BlockDevice, not ${shown(device)}. blockDevice(fd) ` +
      "returns one",
  );
}

class DiscardMaker implements Discards {
  readonly #device: BlockDevice;
  readonly #draft = new Draft(DISCARD);

  constructor(device: BlockDevice) {
    this.#device = device;
    setTarget(this.#draft, device, 0, 0);
    this.#draft.more = [0, 0, 0, 0, 0];
    this.#draft.keep();
  }

  at(offset: number | bigint, length: number | bigint): Command<number> {
    checkNumbers(offset, length);
    checkRange(this.#device, offset, length);
    return discarding(this.#draft, offset, length);
  }
}

function checkNumbers(offset: number | bigint, length: number | bigint): void {
  checkU64("offset", offset);
  checkU64("length", length);
  if (length !== 0 && length !== 0n) return;
  throw new RangeError("length must be at least one logical block, not 0");
}

/** Makes a discard of a range that was checked. */
function discarding(
  draft: Draft<number>,
  offset: number | bigint,
  length: number | bigint,
): Command<number> {
  draft.offLow = blkdev.BLOCK_URING_CMD_DISCARD;
  draft.setAddr(offset);
  draft.more = [0, low(length) | 0, high(length) | 0, 0, 0];
  return new Command<number>(draft);
}

/**
 * **Destroys data.** Resets the write pointer of every zone of a zoned device:
 * all data on it is lost. A mounted file system does not stop it. Open the device
 * with {@linkcode openDisk}, which fails with EBUSY while the device is in use.
 *
 * `BLOCK_URING_CMD_ZONE_RESET_ALL`, in no released kernel yet. Expected in Linux
 * 7.3; earlier kernels answer EINVAL, and kernels before 6.12 EOPNOTSUPP. The
 * device must be open for writing. The result is 0.
 *
 * @example
 * ```ts ignore
 * import { Ring } from "@uring/cmd";
 * import { openDisk, zoneResetAll } from "@uring/cmd/block";
 *
 * await using ring = Ring.open();
 * const fd = await ring.cmd(openDisk("/dev/sdz"));
 * await ring.cmd(zoneResetAll(fd));
 * ```
 */
export function zoneResetAll(target: FileRef | BlockDevice): Command<number> {
  const draft = new Draft(ZONE_RESET_ALL);
  setTarget(draft, target, 0, 0);
  draft.offLow = blkdev.BLOCK_URING_CMD_ZONE_RESET_ALL;
  return new Command<number>(draft);
}

/**
 * Sets the file of a command. The range is checked now against the facts of a
 * device, and each time the command is queued against those of a descriptor.
 */
function setTarget(
  draft: Draft<number>,
  target: FileRef | BlockDevice,
  offset: number | bigint,
  length: number | bigint,
): void {
  if (BlockDevice.is(target)) {
    checkRange(target, offset, length);
    draft.setFile(target.file);
    return;
  }
  if (typeof target === "object" && !FixedFile.is(target)) {
    throw new TypeError(
      "the target must be a descriptor, a file of ring.registerFiles() or a " +
        `BlockDevice, not ${shown(target)}. blockDevice(fd) returns one`,
    );
  }
  draft.setFile(target);
  draft.precheck = () => {
    const facts = factsOf(target);
    if (facts === undefined) return;
    const { fd, name } = facts;
    if (fd !== null) return checkRange(ask(fd, facts), offset, length);
    checkKind(name, facts);
    checkWritable(facts, readingOnly(name));
  };
}

function readingOnly(name: string): string {
  return `${name} is open for reading only: open the device with O_RDWR`;
}

/** Throws for a range that the kernel would refuse, and says why. */
function checkRange(
  device: BlockDevice,
  offset: number | bigint,
  length: number | bigint,
): void {
  const small = typeof offset === "number" && typeof length === "number";
  if (small && fits(device, offset, length)) return;
  checkFully(device, BigInt(offset), BigInt(length));
}

/** Returns `true` for a range that the device takes: without a `bigint` of it. */
function fits(
  { writable, readOnly, byteLength, logicalBlockSize: block }: BlockDevice,
  offset: number,
  length: number,
): boolean {
  const end = offset + length;
  // The remainder of numbers of more than 32 bits takes a call.
  return writable && !readOnly && byteLength !== 0n &&
    Math.floor(offset / block) * block === offset &&
    Math.floor(length / block) * block === length &&
    end <= Number.MAX_SAFE_INTEGER && end <= Number(byteLength);
}

function checkFully(device: BlockDevice, offset: bigint, length: bigint): void {
  const { file, byteLength } = device;
  const name = typeof file === "number" ? `fd ${file}` : "the registered file";
  if (!device.writable) throw new TypeError(readingOnly(name));
  if (device.readOnly) {
    throw new TypeError(
      `${name} is a read-only device: \`blockdev --setrw\` lifts that`,
    );
  }
  if (byteLength === 0n) {
    throw new RangeError(
      `${name} is a device of 0 bytes: it is gone, or has no medium. Open it ` +
        "again when it is back",
    );
  }
  const block = BigInt(device.logicalBlockSize);
  for (const [what, value] of Object.entries({ offset, length })) {
    if (value % block === 0n) continue;
    throw new RangeError(
      `${what} must be a multiple of the logical block size of ${block} ` +
        `bytes, not ${value}`,
    );
  }
  if (offset + length > byteLength) {
    throw new RangeError(
      `the range ends at byte ${offset + length}, and the device at byte ` +
        `${byteLength}`,
    );
  }
}

const GONE = "The device is gone, or has no driver. Open it again when it is " +
  "back.";
const GONE_TEXTS = {
  ENODEV: GONE,
  ENXIO: GONE,
  EIO: "The device failed or is gone. `dmesg` shows what the driver reported.",
  ENOMEDIUM: "The device has no medium. Insert one.",
};
const gone = adviceFrom(GONE_TEXTS, uringCmdAdvice);

const openDiskAdvice = adviceFrom({
  ...GONE_TEXTS,
  ENOENT: "There is no such node. `lsblk` lists the disks of this machine.",
  EBUSY: "The disk or a partition of it is mounted or in use: by swap, RAID, " +
    "the device mapper or an exclusive opener. `lsblk` shows by which. " +
    "`shared: true` opens it, and what is on it can be destroyed.",
  EACCES: "The process may not write to the device, or it is read-only. Most " +
    "systems want root.",
  EROFS: "The device is read-only: `blockdev --setrw` lifts that.",
}, openAdvice);

const advice = adviceFrom({
  EOPNOTSUPP: "The device cannot discard (its discard_max_bytes is 0), the " +
    "file is not a block device, or the kernel is older than 6.12, which " +
    "brought commands to block devices.",
  EBADF: "The descriptor is not open, or not open for writing.",
  EPERM: "The device is read-only.",
  EBUSY: "A mounted file system or a write uses pages of the range. Unmount " +
    "the file system, or retry after the write.",
  EINVAL: "The range does not fit the device. Make offset and length " +
    "multiples of its logical block size, and end within it. A device that is " +
    "gone has 0 bytes, which no range fits.",
}, gone);

const zoneAdvice = adviceFrom({
  EINVAL: "This kernel has no such command: it is expected in Linux 7.3.",
  EOPNOTSUPP: "The device has no zones, the file is not a block device, or " +
    "the kernel is older than 6.12, which brought commands to block devices.",
}, advice);

const DISCARD = new Kind<number>({
  name: "URING_CMD DISCARD",
  opcode: uapi.IORING_OP_URING_CMD,
  advice,
  // blkdev_cmd_discard() submits bios, and each gives back its own request.
  independent: true,
});

const ZONE_RESET_ALL = new Kind<number>({
  name: "URING_CMD ZONE_RESET_ALL",
  opcode: uapi.IORING_OP_URING_CMD,
  advice: zoneAdvice,
});
