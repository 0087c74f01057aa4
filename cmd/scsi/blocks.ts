/**
 * SCSI commands of block devices, T10's SBC.
 *
 * @module
 */

import { high, low } from "../../sys/struct.ts";
import {
  checkBoolean,
  checkInteger,
  checkList,
  checkObject,
  checkU32,
  checkU64,
  shown,
} from "../../ring/check.ts";
import type { Command, FileRef } from "../../ring/command.ts";
import type { FixedBuffer } from "../../ring/registered.ts";
import { jsonable } from "../json.ts";
import { dataOperand, partsOf, scsiCommand, scsiQuery } from "./command.ts";
import type { ScsiOptions } from "./command.ts";

/** The size of a block device. */
export interface Capacity {
  /** The address of its last block. */
  lastLba: bigint;
  /** Bytes of a block, without protection information. */
  blockSize: number;
  /**
   * Bytes of the device. `undefined` from {@linkcode readCapacity10} if the device
   * is too large for that command.
   */
  byteLength: bigint | undefined;
}

/** The size of a block device, and properties of its blocks. */
export interface LongCapacity extends Capacity {
  /** Bytes of the device. */
  byteLength: bigint;
  /** Bytes of a physical block, the least that the device writes at once. */
  physicalBlockSize: number;
  /** The first block that starts a physical block. */
  lowestAlignedLba: number;
  /** The type of protection information, 1 to 3; 0 if formatted without. */
  protectionType: number;
  /** `true` if the device takes {@linkcode unmap} (LBPME). */
  canUnmap: boolean;
  /** `true` if unmapped blocks read as zeros (LBPRZ). */
  unmappedReadsZeros: boolean;
}

/**
 * Asks a block device for its size. READ CAPACITY(16), Linux 7.1.
 *
 * `Illegal Request`: the device does not have the command, like old devices and
 * many on USB. Use {@linkcode readCapacity10} there.
 *
 * @example The size of a disk
 * ```ts ignore
 * import { readCapacity } from "@uring/cmd/scsi";
 *
 * const { lastLba, blockSize, canUnmap } = await ring.cmd(readCapacity(fd));
 * ```
 */
export function readCapacity(
  file: FileRef,
  options: ScsiOptions = {},
): Command<LongCapacity> {
  const cdb = new Uint8Array(16);
  cdb.set([0x9e, 0x10], 0); // SERVICE ACTION IN(16), READ CAPACITY(16)
  cdb[13] = 32; // allocation length
  const decode = (view: DataView): LongCapacity => {
    const lastLba = view.getBigUint64(0);
    const blockSize = view.getUint32(8);
    const protection = view.getUint8(12);
    const provisioning = view.getUint8(14);
    return jsonable({
      lastLba,
      blockSize,
      byteLength: (lastLba + 1n) * BigInt(blockSize),
      physicalBlockSize: blockSize * 2 ** (view.getUint8(13) & 0x0f),
      lowestAlignedLba: view.getUint16(14) & 0x3fff,
      protectionType: protection & 1 ? (protection >> 1 & 7) + 1 : 0,
      canUnmap: (provisioning & 0x80) !== 0,
      unmappedReadsZeros: (provisioning & 0x40) !== 0,
    });
  };
  const fault = (view: DataView) => noBlocks(view.getUint32(8));
  const query = { cdb, byteLength: 32, least: 16, fault, decode };
  return scsiQuery(file, query, options);
}

/**
 * Asks a block device for its size, by the older command that every device has.
 * READ CAPACITY(10), Linux 7.1. A `byteLength` of `undefined`, with a `lastLba` of
 * 0xffffffff, means that the device is too large for this command: use
 * {@linkcode readCapacity}.
 *
 * @example The size of a disk that may be old
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
  file: FileRef,
  options: ScsiOptions = {},
): Command<Capacity> {
  const cdb = new Uint8Array(10);
  cdb[0] = 0x25;
  const decode = (view: DataView): Capacity => {
    const lastLba = BigInt(view.getUint32(0));
    const blockSize = view.getUint32(4);
    const byteLength = lastLba === TOO_LARGE
      ? undefined
      : (lastLba + 1n) * BigInt(blockSize);
    return jsonable({ lastLba, blockSize, byteLength });
  };
  const fault = (view: DataView) => noBlocks(view.getUint32(4));
  const query = { cdb, byteLength: 8, least: 8, fault, decode };
  return scsiQuery(file, query, options);
}

/** The last address that stands for any greater one in READ CAPACITY(10). */
const TOO_LARGE = 0xffff_ffffn;

function noBlocks(blockSize: number): string {
  return blockSize === 0 ? "the answer has blocks of 0 bytes" : "";
}

/** Options of {@linkcode read} and {@linkcode write}. */
export interface TransferOptions extends ScsiOptions {
  /** The address of the first block. */
  lba: number | bigint;
  /** Bytes of a block, as {@linkcode readCapacity} returns them. */
  blockSize: number;
  /** Bypass the cache of the device (FUA). Default: `false`. */
  forceUnitAccess?: boolean;
  /**
   * 10 for READ(10) and WRITE(10), which every device has, or 16 for READ(16) and
   * WRITE(16). Default: 10, unless the address or the length needs 16.
   */
  cdbLength?: 10 | 16;
  /** The registered buffer that has the bytes. */
  buffer?: FixedBuffer;
}

/**
 * Reads as many blocks as the array holds. READ(10) or READ(16), Linux 7.1. The
 * result is the number of bytes.
 *
 * `Medium Error`: a block cannot be read; `error.sense.information` is its LBA.
 * `Illegal Request`: the blocks end after the last one of the device. EINVAL: the
 * blocks are more than the device takes at once, which is `max_hw_sectors_kb` of
 * its queue in /sys. `Recovered Error` is no error: `onSense` gets it, and
 * `sense.information` is the LBA of a block that was hard to read.
 *
 * @example A block of a disk
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
  file: FileRef,
  into: Uint8Array,
  options: TransferOptions,
): Command<number> {
  return transfer(file, "dataIn", into, { 10: 0x28, 16: 0x88 }, options);
}

/**
 * **Destroys data.** Writes as many blocks as the array holds. WRITE(10) or
 * WRITE(16), Linux 7.1. The result is the number of bytes. The node must be open
 * for writing.
 *
 * **A mounted file system does not stop a write, and may be destroyed by it.**
 * O_EXCL has no effect on a bsg node. Keep the disk itself open with `openDisk` of
 * `./block` meanwhile: it fails with EBUSY while the disk is in use. The command
 * bypasses the block layer: the page cache keeps the old content of the blocks.
 * The device may hold the new content in its own cache until
 * {@linkcode synchronizeCache}, or write it to the medium at once with
 * `forceUnitAccess`.
 *
 * @example A block that is on the medium when the write completes
 * ```ts ignore
 * import { openDisk } from "@uring/cmd/block";
 * import { close } from "@uring/cmd/op";
 * import { write } from "@uring/cmd/scsi";
 *
 * const guard = await ring.cmd(openDisk("/dev/sda")); // The disk of the node.
 * const data = ring.alloc(512);
 * await ring.cmd(write(fd, data, { lba: 2048, blockSize: 512 }));
 * await ring.cmd(close(guard));
 * ```
 *
 * @throws {RangeError} when the array is not a multiple of `blockSize`.
 */
export function write(
  file: FileRef,
  data: Uint8Array,
  options: TransferOptions,
): Command<number> {
  return transfer(file, "dataOut", data, { 10: 0x2a, 16: 0x8a }, options);
}

function transfer(
  file: FileRef,
  name: "dataIn" | "dataOut",
  bytes: Uint8Array,
  opcodes: Readonly<Record<10 | 16, number>>,
  options: TransferOptions,
): Command<number> {
  checkObject("options", options);
  const { lba, blockSize, forceUnitAccess = false, buffer } = options;
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
  cdb[0] = opcodes[cdbLength];
  if (checkBoolean("forceUnitAccess", forceUnitAccess)) cdb[1] = 0x08;
  if (cdbLength === 10) {
    put(cdb, 2, low(lba));
    cdb[7] = blocks >>> 8;
    cdb[8] = blocks;
  } else {
    put(cdb, 2, high(lba));
    put(cdb, 6, low(lba));
    put(cdb, 10, blocks);
  }
  const parts = { ...partsOf(options, data), buffer };
  return scsiCommand(file, cdb, parts, ({ transferred }) => transferred);
}

/** Writes a big-endian number of 32 bits. A DataView would take longer to make. */
function put(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/**
 * Makes the device write its cache to the medium. SYNCHRONIZE CACHE(10), Linux
 * 7.1. The node must be open for writing.
 *
 * @example What the disk has cached, on the medium
 * ```ts ignore
 * import { synchronizeCache } from "@uring/cmd/scsi";
 *
 * await ring.cmd(synchronizeCache(fd));
 * ```
 */
export function synchronizeCache(
  file: FileRef,
  options: ScsiOptions = {},
): Command<void> {
  const cdb = new Uint8Array(10); // Address 0 and length 0: all blocks.
  cdb[0] = 0x35;
  return scsiCommand(file, cdb, partsOf(options), () => {});
}

/** A range of blocks. */
export interface BlockRange {
  /** The address of the first block. */
  lba: number | bigint;
  /** The number of blocks. */
  blocks: number;
}

/** The most ranges whose list has a length of 16 bits. */
const MAX_RANGES = 4095;

/**
 * **Destroys data.** Gives blocks back to a device, as TRIM does: the data in them
 * is lost. UNMAP, Linux 7.1. The node must be open for writing.
 *
 * **A mounted file system does not stop an unmap, and is destroyed by it.** Keep
 * the disk open with `openDisk` of `./block` meanwhile, as for {@linkcode write}.
 * Afterwards the blocks read as zeros if {@linkcode readCapacity} returns
 * `unmappedReadsZeros`, and otherwise as anything.
 *
 * `Illegal Request`: the ranges are more, or longer, than the device takes at
 * once. Page 0xb0 of {@linkcode vpdPage} has these limits.
 *
 * @example Blocks that are no longer used
 * ```ts ignore
 * import { openDisk } from "@uring/cmd/block";
 * import { close } from "@uring/cmd/op";
 * import { unmap } from "@uring/cmd/scsi";
 *
 * const guard = await ring.cmd(openDisk("/dev/sda")); // The disk of the node.
 * await ring.cmd(unmap(fd, [{ lba: 2048, blocks: 4096 }]));
 * await ring.cmd(close(guard));
 * ```
 *
 * @throws {RangeError} for no range, or for more than 4095.
 */
export function unmap(
  file: FileRef,
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
  return scsiCommand(file, cdb, partsOf(options, data), () => {});
}
