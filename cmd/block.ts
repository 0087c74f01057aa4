/**
 * Commands of block devices: discard, and the facts that it has to fit.
 *
 * @module
 */

import {
  BLOCK_URING_CMD_DISCARD,
  BLOCK_URING_CMD_ZONE_RESET_ALL,
} from "../sys/uapi/blkdev.ts";
import * as E from "../sys/uapi/errno.ts";
import { O_RDONLY } from "../sys/uapi/fcntl.ts";
import { type FileFacts, fileFacts } from "../sys/file.ts";
import {
  BLKGETSIZE64,
  BLKPBSZGET,
  BLKROGET,
  BLKSSZGET,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFREG,
  S_IFSOCK,
} from "../sys/uapi/fs.ts";
import { IORING_OP_URING_CMD } from "../sys/uapi/io_uring.ts";
import { syscall } from "../sys/libc.ts";
import { scratch } from "../sys/scratch.ts";
import { checkFd, checkInteger, checkObject, checkU64 } from "../ring/check.ts";
import { Command, type File } from "../ring/command.ts";
import { uringCmdAdvice, UringError } from "../ring/errors.ts";

/** What a command on a block device has to fit. */
export interface BlockDevice {
  /** What commands are sent to: the descriptor that was asked. */
  readonly file: File;
  /** The descriptor is open for writing. */
  readonly writable: boolean;
  /** Bytes of a logical block: offsets and lengths are multiples of it. */
  readonly logicalBlockSize: number;
  /** Bytes of a physical block: what the device writes at once. */
  readonly physicalBlockSize: number;
  /** Bytes of the device. */
  readonly byteLength: bigint;
  /** The device takes no writes. */
  readonly readOnly: boolean;
}

/**
 * Facts about the block device that `fd` is open on. They are asked of the
 * device at each call, with `ioctl`; any user who has it open may.
 *
 * Commands take them in place of `fd`, and are then checked without asking the
 * device again. With a registered file of the same device:
 * `{ ...blockDevice(fd), file }`.
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
  return ask(checkFd(fd), fileFacts(fd));
}

function ask(fd: number, facts: FileFacts | number): BlockDevice {
  if (typeof facts === "number") {
    throw new UringError("fstat", fd, -facts, uringCmdAdvice(-facts));
  }
  if (facts.type !== S_IFBLK) {
    throw new TypeError(
      `fd ${fd} is ${kind(facts.type)}, not a block device such as /dev/sda`,
    );
  }
  const { view, at } = scratch();
  const value = (name: string, request: number) => {
    view.setBigUint64(0, 0n, true);
    const rc = syscall("ioctl", fd, request, at);
    if (rc < 0) throw new UringError(`ioctl ${name}`, fd, -rc);
    return view.getBigUint64(0, true);
  };
  return {
    file: fd,
    writable: facts.access !== O_RDONLY,
    logicalBlockSize: Number(value("BLKSSZGET", BLKSSZGET)),
    physicalBlockSize: Number(value("BLKPBSZGET", BLKPBSZGET)),
    byteLength: value("BLKGETSIZE64", BLKGETSIZE64),
    readOnly: value("BLKROGET", BLKROGET) !== 0n,
  };
}

/** Bytes of a logical block of the device: {@linkcode blockDevice} in short. */
export function blockSize(fd: number): number {
  return blockDevice(fd).logicalBlockSize;
}

/** A range of a block device, in bytes. */
export interface ByteRange {
  /** Where it starts: a multiple of the logical block size. */
  offset: number | bigint;
  /** How long it is: a multiple of the logical block size, and not 0. */
  length: number | bigint;
}

/**
 * **Destroys data.** Tells a device that a range is not needed any more, as TRIM
 * does: what it held is gone. The device may read it back as zeros, or as
 * anything; a loop device makes a hole in its file, which reads as zeros.
 *
 * `BLOCK_URING_CMD_DISCARD`, Linux 6.12. `fd` must be open for writing, which on
 * most systems only root can. The result is 0. Do not read or write the range
 * meanwhile: the kernel does not order the two.
 *
 * A range that does not fit the device is refused before it is queued, as are a
 * file that is no block device, and a device or descriptor that is read-only. That
 * takes six system calls for a descriptor, each time it is queued, and none for
 * what {@linkcode blockDevice} has returned.
 * EOPNOTSUPP: the device cannot discard, or the kernel has no block commands.
 * EBUSY: a mounted file system has pages of the range in use. A mapping of the
 * device does not keep it: it reads as the range then does.
 *
 * @example
 * ```ts ignore
 * import { Ring } from "@uring/cmd";
 * import { blockDevice, discard } from "@uring/cmd/block";
 * import { O_RDWR, openat } from "@uring/cmd/op";
 *
 * await using ring = Ring.open();
 * const fd = await ring.cmd(openat("/dev/loop0", { flags: O_RDWR }));
 * await ring.cmd(discard(fd, { offset: 0, length: 1 << 20 }));
 * // Many of them:
 * const device = blockDevice(fd);
 * await ring.cmd(discard(device, { offset: 1 << 20, length: 1 << 20 }));
 * ```
 */
export function discard(
  target: File | BlockDevice,
  range: ByteRange,
): Command<number> {
  const { offset, length } = checkObject("range", range);
  checkU64("offset", offset);
  checkU64("length", length);
  if (BigInt(length) === 0n) {
    throw new RangeError("length must be at least one logical block, not 0");
  }
  const { file, precheck } = checked(target, BigInt(offset), BigInt(length));
  return new Command({
    name: "URING_CMD DISCARD",
    opcode: IORING_OP_URING_CMD,
    file,
    off: BLOCK_URING_CMD_DISCARD,
    addr: offset,
    addr3: length,
    precheck,
    advice: blockAdvice,
  });
}

/**
 * **Destroys data.** Resets the write pointer of every zone of a zoned device:
 * all that it holds is gone.
 *
 * `BLOCK_URING_CMD_ZONE_RESET_ALL`, in no released kernel yet: it is expected in
 * Linux 7.3, and every kernel before answers EINVAL, or EOPNOTSUPP before 6.12.
 * `fd` must be open for writing. The result is 0.
 */
export function zoneResetAll(target: File | BlockDevice): Command<number> {
  const { file, precheck } = checked(target, 0n, 0n);
  return new Command({
    name: "URING_CMD ZONE_RESET_ALL",
    opcode: IORING_OP_URING_CMD,
    file,
    off: BLOCK_URING_CMD_ZONE_RESET_ALL,
    precheck,
    advice: zoneAdvice,
  });
}

/** The file of a command, and what checks it when it is queued, if need be. */
function checked(
  target: File | BlockDevice,
  offset: bigint,
  length: bigint,
): { file: File; precheck?: () => void } {
  if (isDevice(target)) {
    const device = checkDevice(target);
    checkRange(device, offset, length);
    return { file: device.file };
  }
  // A registered file has no descriptor to ask.
  if (typeof target !== "number") return { file: target };
  const precheck = () => {
    const facts = fileFacts(target);
    if (facts === -E.EBADF) return; // The kernel says it well enough.
    checkRange(ask(target, facts), offset, length);
  };
  return { file: target, precheck };
}

function isDevice(target: File | BlockDevice): target is BlockDevice {
  return typeof target === "object" && target !== null &&
    "logicalBlockSize" in target;
}

/** The facts as they are now, each of which is what it is to be. */
function checkDevice(device: BlockDevice): BlockDevice {
  const { file, writable, readOnly, byteLength } = device;
  const { logicalBlockSize, physicalBlockSize } = device;
  checkInteger("logicalBlockSize", logicalBlockSize, 1, 0xffff_ffff);
  checkU64("byteLength", byteLength);
  return {
    file,
    writable,
    logicalBlockSize,
    physicalBlockSize,
    byteLength,
    readOnly,
  };
}

/** Refuses what the kernel would, but says which of its reasons it is. */
function checkRange(
  device: BlockDevice,
  offset: bigint,
  length: bigint,
): void {
  const { file } = device;
  const name = typeof file === "number" ? `fd ${file}` : "the registered file";
  if (!device.writable) {
    throw new TypeError(
      `${name} is open for reading only: open the device with O_RDWR`,
    );
  }
  if (device.readOnly) {
    throw new TypeError(
      `${name} is a read-only device: \`blockdev --setrw\` lifts that`,
    );
  }
  const block = BigInt(device.logicalBlockSize);
  for (const [what, value] of [["offset", offset], ["length", length]]) {
    if (value as bigint % block === 0n) continue;
    throw new RangeError(
      `${what} must be a multiple of the logical block size of ${block} ` +
        `bytes, not ${value}`,
    );
  }
  if (offset + length > device.byteLength) {
    throw new RangeError(
      `the range ends at byte ${offset + length}, and the device at byte ` +
        `${device.byteLength}`,
    );
  }
}

function blockAdvice(errno: number): string | undefined {
  switch (errno) {
    case E.EOPNOTSUPP:
      return "The device cannot discard (its discard_max_bytes is 0), the " +
        "file is not a block device, or the kernel is older than 6.12, which " +
        "brought commands to block devices.";
    case E.EBADF:
      return "The descriptor is not open, or not open for writing.";
    case E.EPERM:
      return "The device is read-only.";
    case E.EBUSY:
      return "Pages of the range are in use, by a mounted file system or by " +
        "writes.";
    case E.EINVAL:
      return "The range does not fit the device: offset and length are " +
        "multiples of its logical block size, and end within it.";
    default:
      return uringCmdAdvice(errno);
  }
}

function zoneAdvice(errno: number): string | undefined {
  switch (errno) {
    case E.EINVAL:
      return "This kernel has no such command: it is expected in Linux 7.3.";
    case E.EOPNOTSUPP:
      return "The device has no zones, the file is not a block device, or the " +
        "kernel is older than 6.12, which brought commands to block devices.";
    default:
      return blockAdvice(errno);
  }
}

function kind(type: number): string {
  switch (type) {
    case S_IFREG:
      return "a regular file";
    case S_IFDIR:
      return "a directory";
    case S_IFCHR:
      return "a character device";
    case S_IFIFO:
      return "a pipe";
    case S_IFSOCK:
      return "a socket";
    default:
      return "something without a type";
  }
}
