/**
 * Operations on the space of an open file: allocate, free, cut and flush it.
 *
 * @module
 */

import * as falloc from "../sys/uapi/falloc.ts";
import * as fs from "../sys/uapi/fs.ts";
import * as uapi from "../sys/uapi/io_uring.ts";
import { checkBoolean, checkName, checkObject } from "../ring/check.ts";
import { checkOffset, checkU32 } from "../ring/check.ts";
import { Command, type FileRef } from "../ring/command.ts";
import { draftTo } from "../ring/draft.ts";
import { Kind } from "../ring/kind.ts";
import * as advice from "./file_advice.ts";

const KEEP = falloc.FALLOC_FL_KEEP_SIZE;

/**
 * An effect of {@linkcode fallocate}:
 *
 * - `"allocate"` reserves space, and extends the file to the end of the range.
 * - `"allocateKeepSize"` does the same, but leaves the size of the file.
 * - `"unshareRange"` gives the file blocks of its own where it shares some.
 * - `"insertRange"` moves the data from `offset` on up by `length`, before a
 *   hole.
 * - `"punchHole"` **erases** the range, which then reads as zeros, and frees
 *   its space.
 * - `"zeroRange"` **erases** the range, which then reads as zeros, and keeps its
 *   space. It may extend the file; `"zeroRangeKeepSize"` does not.
 * - `"collapseRange"` **removes** the range, and moves the data after it down.
 */
export type FallocateMode =
  | "allocate"
  | "allocateKeepSize"
  | "unshareRange"
  | "insertRange"
  | "punchHole"
  | "zeroRange"
  | "zeroRangeKeepSize"
  | "collapseRange";

const MODES: Readonly<Record<FallocateMode, number>> = {
  allocate: 0,
  allocateKeepSize: KEEP,
  unshareRange: falloc.FALLOC_FL_UNSHARE_RANGE,
  insertRange: falloc.FALLOC_FL_INSERT_RANGE,
  punchHole: falloc.FALLOC_FL_PUNCH_HOLE | KEEP, // The kernel wants both.
  zeroRange: falloc.FALLOC_FL_ZERO_RANGE,
  zeroRangeKeepSize: falloc.FALLOC_FL_ZERO_RANGE | KEEP,
  collapseRange: falloc.FALLOC_FL_COLLAPSE_RANGE,
};

/** Options of {@linkcode fallocate}. */
export interface FallocateOptions {
  /** The first byte of the range. */
  offset: number | bigint;
  /** Bytes of the range, from 1 on. It ends below 2^63. */
  length: number | bigint;
  /** The effect. Default `"allocate"`, which changes no data. */
  mode?: FallocateMode;
}

/**
 * Allocates or frees space of a regular file that is open for writing.
 * `IORING_OP_FALLOCATE`, Linux 5.6; the result is 0. Some modes **erase data**:
 * see {@linkcode FallocateMode}.
 *
 * EOPNOTSUPP: the file system lacks the mode; `"allocate"` and `"punchHole"`
 * are the most common. EINVAL: `"collapseRange"` and `"insertRange"` take
 * multiples of the file system's block, before the end of the file. ENODEV: not
 * a regular file. ENOSPC, EDQUOT, EFBIG: there is no room.
 *
 * @example Reserve 1 MiB, free the middle of it, then cut the file
 * ```ts
 * import { Ring } from "@uring/cmd";
 * import * as op from "@uring/cmd/op";
 *
 * const path = await Deno.makeTempFile();
 * await using ring = Ring.open();
 * const fd = await ring.cmd(op.openat(path, { flags: op.O_RDWR }));
 * await ring.cmd(op.fallocate(fd, { offset: 0, length: 1 << 20 }));
 * const middle = { offset: 1 << 18, length: 1 << 19 };
 * await ring.cmd(op.fallocate(fd, { ...middle, mode: "punchHole" }));
 * console.log((await ring.cmd(op.fstatx(fd))).blocks);
 * await ring.cmd(op.close(fd));
 * await ring.cmd(op.unlinkat(path));
 * ```
 */
export function fallocate(
  file: FileRef,
  options: FallocateOptions,
): Command<number> {
  const { offset, length, mode = "allocate" } = checkObject("options", options);
  checkName("mode", mode, MODES);
  checkRange(offset, length);
  const draft = draftTo(FALLOCATE, file);
  draft.setOff(offset);
  draft.setAddr(length);
  draft.lenWord = MODES[mode];
  return new Command<number>(draft);
}

const FALLOCATE = new Kind<number>({
  name: "FALLOCATE",
  opcode: uapi.IORING_OP_FALLOCATE,
  advice: advice.fallocateAdvice,
});

/**
 * Throws for an empty range, and for one that the kernel's offsets cannot
 * express.
 */
function checkRange(offset: number | bigint, length: number | bigint): void {
  checkOffset(offset);
  checkOffset(length, "length");
  if (BigInt(length) === 0n) {
    throw new RangeError("length must be 1 byte or more, not 0");
  }
  const end = BigInt(offset) + BigInt(length);
  if (end < 2n ** 63n) return;
  throw new RangeError(`The range must end below 2^63, not at ${end}`);
}

/**
 * Sets the size of a file that is open for writing. **Bytes after the new end
 * are lost.** A longer file reads as zeros there. `IORING_OP_FTRUNCATE`, Linux
 * 6.9; the result is 0.
 *
 * EINVAL: the file is not regular or not open for writing, or the kernel is
 * older. EFBIG: the size exceeds the limit of the file system. EPERM: the file
 * is sealed or append-only.
 *
 * @param byteLength The new size in bytes, below 2^63.
 */
export function ftruncate(
  file: FileRef,
  byteLength: number | bigint,
): Command<number> {
  const draft = draftTo(FTRUNCATE, file);
  draft.setOff(checkOffset(byteLength, "byteLength"));
  return new Command<number>(draft);
}

const FTRUNCATE = new Kind<number>({
  name: "FTRUNCATE",
  opcode: uapi.IORING_OP_FTRUNCATE,
  advice: advice.ftruncateAdvice,
});

/** Options of {@linkcode syncFileRange}. */
export interface SyncFileRangeOptions {
  /** The first byte of the range. Default 0. */
  offset?: number | bigint;
  /** Bytes of the range, below 2^32. Default 0: to the end of the file. */
  length?: number;
  /** Wait for earlier writes of the range to the device. Default `true`. */
  waitBefore?: boolean;
  /** Start to write the range to the device. Default `true`. */
  write?: boolean;
  /** Wait until the range is written. Default `true`. */
  waitAfter?: boolean;
}

/**
 * Writes a range of the page cache to the device. `IORING_OP_SYNC_FILE_RANGE`,
 * Linux 5.2; the result is 0.
 *
 * **It makes nothing durable.** The device may keep the bytes in its own cache,
 * and the kernel writes no metadata, without which new blocks are not found
 * after a crash: use `fsync`.
 *
 * ESPIPE: the file is a pipe, a socket or a terminal.
 */
export function syncFileRange(
  file: FileRef,
  options: SyncFileRangeOptions = {},
): Command<number> {
  const { offset = 0, length = 0 } = checkObject("options", options);
  const { waitBefore = true, write = true, waitAfter = true } = options;
  const draft = draftTo(SYNC_FILE_RANGE, file);
  draft.setOff(checkOffset(offset));
  draft.lenWord = checkU32("length", length) | 0;
  if (BigInt(offset) + BigInt(length) >= 2n ** 63n) {
    throw new RangeError("The range must end below 2^63");
  }
  const { SYNC_FILE_RANGE_WAIT_BEFORE, SYNC_FILE_RANGE_WRITE } = fs;
  if (checkBoolean("waitBefore", waitBefore)) {
    draft.flagsWord |= SYNC_FILE_RANGE_WAIT_BEFORE;
  }
  if (checkBoolean("write", write)) draft.flagsWord |= SYNC_FILE_RANGE_WRITE;
  if (checkBoolean("waitAfter", waitAfter)) {
    draft.flagsWord |= fs.SYNC_FILE_RANGE_WAIT_AFTER;
  }
  return new Command<number>(draft);
}

const SYNC_FILE_RANGE = new Kind<number>({
  name: "SYNC_FILE_RANGE",
  opcode: uapi.IORING_OP_SYNC_FILE_RANGE,
  advice: advice.syncFileRangeAdvice,
});
