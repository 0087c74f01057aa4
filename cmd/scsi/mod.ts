/**
 * SCSI commands to disks and other devices, through their bsg nodes: any command
 * as its bytes, and the usual ones by name.
 *
 * The kernel takes them since Linux 7.1, from a ring with large entries:
 * `Ring.open({ sqe128: true, cqe32: true })`. The node of a device is in
 * `/dev/bsg/` and is called `0:0:0:0`, say: `ls /sys/block/sda/device/bsg` prints
 * the name of that of the disk `sda`. On most systems only root may open it.
 *
 * What a device refuses or fails is a {@linkcode ScsiError}. `Unit Attention` is
 * the one which is no failure: the device tells once that something about it has
 * changed, and wants to have the command again.
 *
 * An `AbortSignal` does not call a command back from the device: it settles when
 * the device has answered, or the time it was given is over. Until then, do not
 * wait with a blocking call for what waits for the device, such as its removal:
 * Linux 7.2 lets go of a command only when the ring's thread runs.
 *
 * @example
 * ```ts ignore
 * import { Ring } from "@uring/cmd";
 * import { openat } from "@uring/cmd/op";
 * import { inquiry, read, readCapacity } from "@uring/cmd/scsi";
 *
 * await using ring = Ring.open({ sqe128: true, cqe32: true });
 * const fd = await ring.cmd(openat("/dev/bsg/0:0:0:0"));
 * const { vendor, product } = await ring.cmd(inquiry(fd));
 * const { blockSize, byteLength } = await ring.cmd(readCapacity(fd));
 * console.log(vendor, product, byteLength);
 * const data = ring.alloc(8 * blockSize);
 * await ring.cmd(read(fd, data, { lba: 0, blockSize }));
 * ```
 *
 * @module
 */

import {
  checkBytes,
  checkInteger,
  checkObject,
  checkU8,
} from "../../ring/check.ts";
import { viewOf } from "../../ring/intrinsics.ts";
import type { Command, File } from "../../ring/command.ts";
import type { FixedBuffer } from "../../ring/registered.ts";
import { answer, answerOf, dataOperand, make, partsOf } from "./command.ts";
import type { ScsiOptions, ScsiResult } from "./command.ts";

export {
  read,
  readCapacity,
  readCapacity10,
  synchronizeCache,
  unmap,
  write,
} from "./blocks.ts";
export type {
  BlockRange,
  Capacity,
  LongCapacity,
  TransferOptions,
} from "./blocks.ts";
export type { ScsiOptions, ScsiResult } from "./command.ts";
export { decodeSense, ScsiError } from "./sense.ts";
export type { ScsiOutcome, ScsiSense, SenseField } from "./sense.ts";

/** What {@linkcode scsi} sends. */
export interface ScsiRequest extends ScsiOptions {
  /** The command descriptor block: 6 to 32 bytes, of which a copy is taken. */
  cdb: Uint8Array;
  /** Room for what the device answers, of which the CDB has the length too. */
  dataIn?: Uint8Array;
  /** What the device is sent; it excludes `dataIn`. */
  dataOut?: Uint8Array;
  /** The registered buffer that the data lie in. */
  buffer?: FixedBuffer;
}

/**
 * Sends any SCSI command. `BSG_PROTOCOL_SCSI`, Linux 7.1.
 *
 * A descriptor for reading is enough for the commands that are known to change
 * nothing. All others, and all with `dataOut`, need one for writing, and some
 * **destroy data**. The kernel lets processes without CAP_SYS_RAWIO send those
 * of its own list only, and says EPERM to the rest.
 *
 * A status other than GOOD and CONDITION MET is a {@linkcode ScsiError}, unless
 * the device says `Recovered Error` or `No Sense`: then it has done what it was
 * asked, and what it says is in the result.
 *
 * EINVAL: the data are more than the device takes at once, which is
 * `max_hw_sectors_kb` of its queue in /sys. EOPNOTSUPP: the kernel is older, or
 * the node is not that of a device.
 *
 * @example
 * ```ts ignore
 * import { scsi } from "@uring/cmd/scsi";
 *
 * // REPORT LUNS: the allocation length is at byte 6, big-endian.
 * const cdb = Uint8Array.of(0xa0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0);
 * const dataIn = ring.alloc(4096);
 * const { transferred } = await ring.cmd(scsi(fd, { cdb, dataIn }));
 * ```
 *
 * @throws {TypeError} when it has both `dataIn` and `dataOut`; when it is queued
 * and the file is not a bsg node, or is open for reading only.
 */
export function scsi(file: File, request: ScsiRequest): Command<ScsiResult> {
  const { cdb: given, dataIn, dataOut, buffer, timeoutMs } = checkObject(
    "request",
    request,
  );
  const cdb = viewOf(checkBytes("cdb", given)).slice();
  checkInteger("length of cdb", cdb.length, 6, 32);
  if (dataIn !== undefined && dataOut !== undefined) {
    throw new TypeError(
      "a SCSI command has dataIn or dataOut: the kernel takes none with both",
    );
  }
  const data = dataIn !== undefined
    ? dataOperand("dataIn", dataIn)
    : dataOut !== undefined
    ? dataOperand("dataOut", dataOut)
    : undefined;
  return make(file, cdb, { data, buffer, timeoutMs }, (result) => result);
}

/**
 * Asks whether a device is ready for commands that access its medium. TEST UNIT
 * READY, Linux 7.1. A device that is not ready is a {@linkcode ScsiError} with
 * sense key 2 that says why.
 *
 * @example
 * ```ts ignore
 * import { testUnitReady } from "@uring/cmd/scsi";
 *
 * await ring.cmd(testUnitReady(fd));
 * ```
 */
export function testUnitReady(
  file: File,
  options: ScsiOptions = {},
): Command<void> {
  return make(file, new Uint8Array(6), partsOf(options), () => {});
}

/** What a device says that it is. */
export interface Inquiry {
  /** What kind of device: 0 a disk, 1 a tape, 5 a CD or DVD, 0x14 a zoned disk. */
  peripheralType: number;
  /** 0: it is there. 1: it could be, and is not. 3: it cannot be. */
  peripheralQualifier: number;
  /** Its medium can be taken out. */
  removable: boolean;
  /** The version of SPC that it follows: 5 is SPC-3, 6 SPC-4, 7 SPC-5. */
  version: number;
  /** Who made it, up to 8 characters. */
  vendor: string;
  /** What it is called, up to 16 characters. */
  product: string;
  /** The revision of it or of its firmware, up to 4 characters. */
  revision: string;
}

/**
 * Asks a device what it is. INQUIRY, Linux 7.1.
 *
 * @example
 * ```ts ignore
 * import { inquiry } from "@uring/cmd/scsi";
 *
 * const { vendor, product, revision } = await ring.cmd(inquiry(fd));
 * ```
 */
export function inquiry(
  file: File,
  options: ScsiOptions = {},
): Command<Inquiry> {
  // Every device has these 36 bytes, and some fail when asked for more.
  const cdb = Uint8Array.of(0x12, 0, 0, 0, 36, 0);
  return make(file, cdb, partsOf(options, answer(36)), (_, completion) => {
    const view = answerOf(completion);
    return {
      peripheralType: view.getUint8(0) & 0x1f,
      peripheralQualifier: view.getUint8(0) >> 5,
      removable: (view.getUint8(1) & 0x80) !== 0,
      version: view.getUint8(2),
      vendor: text(view, 8, 16),
      product: text(view, 16, 32),
      revision: text(view, 32, 36),
    };
  });
}

/** A text in ASCII, which is padded with spaces or, by some, with zeros. */
function text(view: DataView, start: number, end: number): string {
  const codes = [];
  for (let at = start; at < end; at++) codes.push(view.getUint8(at));
  return String.fromCharCode(...codes).replaceAll("\0", " ").trim();
}

/**
 * Reads a page of vital product data: 0 lists the pages that there are, 0x80 has
 * the serial number, 0x83 the identifiers, 0xb0 the limits of a block device.
 * INQUIRY, Linux 7.1. The result is the page, with its header of four bytes.
 *
 * Bytes 2 and 3 of it have the length of what follows the header. Where that is
 * more than came, ask again with a larger `byteLength`: some devices fail when
 * they are asked for more than the default of 252 bytes.
 *
 * `Illegal Request`: the device has no such page.
 *
 * @example
 * ```ts ignore
 * import { vpdPage } from "@uring/cmd/scsi";
 *
 * const page = await ring.cmd(vpdPage(fd, { page: 0x80 }));
 * console.log(new TextDecoder().decode(page.subarray(4))); // The serial number.
 * ```
 */
export function vpdPage(
  file: File,
  options: ScsiOptions & { page: number; byteLength?: number },
): Command<Uint8Array> {
  const { page, byteLength = 252 } = checkObject("options", options);
  checkU8("page", page);
  checkInteger("byteLength", byteLength, 4, 0xffff);
  const cdb = Uint8Array.of(0x12, 1, page, byteLength >> 8, byteLength, 0);
  const parts = partsOf(options, answer(byteLength));
  return make(file, cdb, parts, ({ transferred }, completion) => {
    const view = answerOf(completion);
    // Not every driver counts what did not come.
    const length = Math.min(transferred, 4 + view.getUint16(2));
    return new Uint8Array(view.buffer, view.byteOffset, length).slice();
  });
}
