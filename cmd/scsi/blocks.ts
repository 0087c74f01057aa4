/**
 * SCSI commands of block devices, T10's SBC.
 *
 * @module
 */

import { high, low } from "../../sys/struct.ts";
import {
  checkInteger,
  checkList,
  checkObject,
  checkU32,
  checkU64,
  shown,
} from "../../ring/check.ts";
import type { Command, File } from "../../ring/command.ts";
import type { FixedBuffer } from "../../ring/registered.ts";
import { answer, answerOf, dataOperand, make, partsOf } from "./command.ts";
import type { ScsiOptions } from "./command.ts";

/** How large a block device is. */
export interface Capacity {
  /** The address of its last block. */
  lastLba: bigint;
  /** Bytes of a block, without those that protect it. */
  blockSize: number;
  /** Bytes of the device. */
  byteLength: bigint;
}

/** How large a block device is, and how its blocks are kept. */
export interface LongCapacity extends Capacity {
  /** Bytes of a physical block: what the device writes at once. */
  physicalBlockSize: number;
  /** The first block that starts a physical one. */
  lowestAlignedLba: number;
  /** Type of protection information, 1 to 3; 0: it is formatted without. */
  protectionType: number;
  /** Blocks can be given back with {@linkcode unmap} (LBPME). */
  canUnmap: boolean;
  /** Blocks that were given back read as zeros (LBPRZ). */
  unmappedReadsZeros: boolean;
}

/**
 * Asks how large a block device is. READ CAPACITY(16), Linux 7.1.
 *
 * `Illegal Request`: the device does not know the command, as old ones and many
 * on USB do not: {@linkcode readCapacity10} is for them.
 *
 * @example
 * ```ts ignore
 * import { readCapacity } from "@uring/cmd/scsi";
 *
 * const { lastLba, blockSize, canUnmap } = await ring.cmd(readCapacity(fd));
 * ```
 */
export function readCapacity(
  file: File,
  options: ScsiOptions = {},
): Command<LongCapacity> {
  const cdb = new Uint8Array(16);
  cdb.set([0x9e, 0x10], 0); // SERVICE ACTION IN(16), READ CAPACITY(16)
  cdb[13] = 32; // allocation length
  return make(file, cdb, partsOf(options, answer(32)), (_, completion) => {
    const view = answerOf(completion);
    const blockSize = view.getUint32(8);
    const protection = view.getUint8(12);
    const provisioning = view.getUint8(14);
    return {
      ...capacity(view.getBigUint64(0), blockSize),
      physicalBlockSize: blockSize * 2 ** (view.getUint8(13) & 0x0f),
      lowestAlignedLba: view.getUint16(14) & 0x3fff,
      protectionType: protection & 1 ? (protection >> 1 & 7) + 1 : 0,
      canUnmap: (provisioning & 0x80) !== 0,
      unmappedReadsZeros: (provisioning & 0x40) !== 0,
    };
  });
}

/**
 * Asks how large a block device is, by the older command that every one knows.
 * READ CAPACITY(10), Linux 7.1. A `lastLba` of 0xffffffff is a device too large
 * for it: ask {@linkcode readCapacity}.
 *
 * @example
 * ```ts ignore
 * import { readCapacity, readCapacity10, ScsiError } from "@uring/cmd/scsi";
 *
 * const asked = ring.cmd(readCapacity(fd)).catch((error) => {
 *   const illegal = error instanceof ScsiError && error.senseKey === 5;
 *   if (illegal) return ring.cmd(readCapacity10(fd));
 *   throw error;
 * });
 * const { lastLba, blockSize } = await asked;
 * ```
 */
export function readCapacity10(
  file: File,
  options: ScsiOptions = {},
): Command<Capacity> {
  const cdb = new Uint8Array(10);
  cdb[0] = 0x25;
  return make(file, cdb, partsOf(options, answer(8)), (_, completion) => {
    const view = answerOf(completion);
    return capacity(BigInt(view.getUint32(0)), view.getUint32(4));
  });
}

function capacity(lastLba: bigint, blockSize: number): Capacity {
  const byteLength = (lastLba + 1n) * BigInt(blockSize);
  return { lastLba, blockSize, byteLength };
}

/** Which blocks {@linkcode read} and {@linkcode write} transfer, and how. */
export interface TransferOptions extends ScsiOptions {
  /** The address of the first block. */
  lba: number | bigint;
  /** Bytes of a block, as {@linkcode readCapacity} tells them. */
  blockSize: number;
  /** Past the device's cache, from and to the medium itself (FUA). */
  forceUnitAccess?: boolean;
  /**
   * READ(10) and WRITE(10), which every device knows, or READ(16) and WRITE(16).
   * Default: 10, unless the address or the length needs 16.
   */
  cdbLength?: 10 | 16;
  /** The registered buffer that the bytes lie in. */
  buffer?: FixedBuffer;
}

/**
 * Reads blocks, as many as the array has room for. READ(10) or READ(16), Linux
 * 7.1. The result is the number of bytes.
 *
 * `Medium Error`: a block cannot be read; `error.sense.information` says which.
 * `Illegal Request`: the blocks end behind the last one of the device. EINVAL:
 * they are more than the device takes at once, which is `max_hw_sectors_kb` of
 * its queue in /sys.
 *
 * @example
 * ```ts ignore
 * import { read } from "@uring/cmd/scsi";
 *
 * const data = ring.alloc(8 * 512);
 * await ring.cmd(read(fd, data, { lba: 2048, blockSize: 512 }));
 * ```
 *
 * @throws {RangeError} when the array is not a multiple of `blockSize`.
 */
export function read(
  file: File,
  into: Uint8Array,
  options: TransferOptions,
): Command<number> {
  return transfer(file, "dataIn", into, { 10: 0x28, 16: 0x88 }, options);
}

/**
 * **Destroys data.** Writes blocks, as many as the array has. WRITE(10) or
 * WRITE(16), Linux 7.1. The result is the number of bytes. It needs a descriptor
 * for writing.
 *
 * The kernel knows nothing of it: what its page cache has of the blocks, for a
 * file system that is mounted say, stays as it was. The device may keep them in
 * a cache of its own until {@linkcode synchronizeCache}, or write them through
 * with `forceUnitAccess`.
 *
 * @example
 * ```ts ignore
 * import { write } from "@uring/cmd/scsi";
 *
 * const data = ring.alloc(512);
 * await ring.cmd(write(fd, data, { lba: 2048, blockSize: 512 }));
 * ```
 *
 * @throws {RangeError} when the array is not a multiple of `blockSize`.
 */
export function write(
  file: File,
  data: Uint8Array,
  options: TransferOptions,
): Command<number> {
  return transfer(file, "dataOut", data, { 10: 0x2a, 16: 0x8a }, options);
}

function transfer(
  file: File,
  name: "dataIn" | "dataOut",
  bytes: Uint8Array,
  opcodes: Readonly<Record<10 | 16, number>>,
  options: TransferOptions,
): Command<number> {
  const { lba, blockSize, forceUnitAccess, buffer, timeoutMs } = checkObject(
    "options",
    options,
  );
  const { cdbLength: wanted } = options;
  const data = dataOperand(name, bytes);
  checkU64("lba", lba);
  checkInteger("blockSize", blockSize, 1, 0xffff_ffff);
  const blocks = data.byteLength / blockSize;
  if (!Number.isInteger(blocks)) {
    throw new RangeError(
      `the data must be a multiple of the block size of ${blockSize} bytes, ` +
        `not ${data.byteLength}`,
    );
  }
  const short = high(lba) === 0 && blocks <= 0xffff;
  const cdbLength = wanted ?? (short ? 10 : 16);
  if (cdbLength !== 10 && cdbLength !== 16) {
    throw new RangeError(`cdbLength must be 10 or 16, not ${shown(cdbLength)}`);
  }
  if (cdbLength === 10 && !short) {
    throw new RangeError(
      `cdbLength must be 16 for ${blocks} blocks from ${lba} on: 10 has room ` +
        "for 65535 blocks, and for an address of 32 bits",
    );
  }
  const cdb = new Uint8Array(cdbLength);
  const view = new DataView(cdb.buffer);
  cdb[0] = opcodes[cdbLength];
  if (forceUnitAccess) cdb[1] = 0x08;
  if (cdbLength === 10) {
    view.setUint32(2, low(lba));
    view.setUint16(7, blocks);
  } else {
    view.setUint32(2, high(lba));
    view.setUint32(6, low(lba));
    view.setUint32(10, blocks);
  }
  const parts = { data, buffer, timeoutMs };
  return make(file, cdb, parts, ({ transferred }) => transferred);
}

/**
 * Has the device write what is in its cache to the medium. SYNCHRONIZE CACHE(10),
 * Linux 7.1. The kernel wants a descriptor for writing.
 *
 * @example
 * ```ts ignore
 * import { synchronizeCache } from "@uring/cmd/scsi";
 *
 * await ring.cmd(synchronizeCache(fd));
 * ```
 */
export function synchronizeCache(
  file: File,
  options: ScsiOptions = {},
): Command<void> {
  const cdb = new Uint8Array(10); // Neither an address nor a length: all of it.
  cdb[0] = 0x35;
  return make(file, cdb, partsOf(options), () => {});
}

/** A range of blocks. */
export interface BlockRange {
  /** The address of the first. */
  lba: number | bigint;
  /** How many they are. */
  blocks: number;
}

/** Ranges that fit the 16 bits for the length of a list. */
const MAX_RANGES = 4095;

/**
 * **Destroys data.** Gives blocks back to a device, as TRIM does. UNMAP, Linux
 * 7.1. The result is nothing, and the blocks read as zeros then where
 * {@linkcode readCapacity} says `unmappedReadsZeros`, as anything elsewhere. It
 * needs a descriptor for writing.
 *
 * `Illegal Request`: the ranges are more, or longer, than the device takes at
 * once, which page 0xb0 of {@linkcode vpdPage} says.
 *
 * @example
 * ```ts ignore
 * import { unmap } from "@uring/cmd/scsi";
 *
 * await ring.cmd(unmap(fd, [{ lba: 2048, blocks: 4096 }]));
 * ```
 *
 * @throws {RangeError} for no range, or for more than 4095.
 */
export function unmap(
  file: File,
  ranges: readonly BlockRange[],
  options: ScsiOptions = {},
): Command<void> {
  const items = checkList("ranges", ranges);
  checkInteger("number of ranges", items.length, 1, MAX_RANGES);
  const list = new Uint8Array(8 + 16 * items.length);
  const view = new DataView(list.buffer);
  view.setUint16(0, list.length - 2);
  view.setUint16(2, list.length - 8);
  items.forEach((item, i) => {
    const { lba, blocks } = checkObject("range", item);
    view.setBigUint64(8 + 16 * i, BigInt(checkU64("lba", lba)));
    view.setUint32(16 + 16 * i, checkU32("blocks", blocks));
  });
  const cdb = new Uint8Array(10);
  cdb[0] = 0x42;
  new DataView(cdb.buffer).setUint16(7, list.length);
  const data = dataOperand("dataOut", list);
  return make(file, cdb, partsOf(options, data), () => {});
}
