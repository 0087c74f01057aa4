/**
 * **Requires Linux 7.1.** SCSI commands for disks (SAS, SATA, USB), tapes and other
 * devices: any command as bytes, and the usual ones by name. On an older kernel
 * every command fails with EOPNOTSUPP.
 *
 * The commands go to the _bsg_ node of a device (block SCSI generic, the kernel's
 * interface for such commands). A command is a _CDB_, a command descriptor block: the
 * 6 to 32 bytes that the standards of the committee T10 define. _SPC_ is the one
 * for all devices. Facts such as the serial number are in pages of _VPD_, vital product
 * data, which {@linkcode vpdPage} reads. {@linkcode serialNumber} and others decode
 * the usual ones. `JSON.stringify` takes each result: an integer becomes a number if
 * it fits one, and a string otherwise.
 *
 * The ring needs large entries: `Ring.open({ drive: true })`. The
 * node of a device is in `/dev/bsg/`, with a name such as `0:0:0:0`. For the disk
 * `/dev/sda`, {@linkcode bsgNode} returns its path. Most systems let only root open
 * it.
 *
 * A command that a device refuses or fails throws a {@linkcode ScsiError}. `Unit
 * Attention` (`senseKey` 6) is thrown as well, though nothing is wrong: the device
 * reports once that it has changed, and has not run the command. Send it again.
 *
 * An `AbortSignal` cannot cancel a command that the device has: the command
 * settles after the device's answer, or after its timeout. While a command is in
 * flight, do not block the thread on something that waits for the device, such as
 * its removal: Linux 7.2 releases a command only when the ring's thread runs.
 *
 * @example The first blocks of a disk
 * ```ts ignore
 * import { open, Ring } from "@uring/cmd";
 * import { bsgNode, inquiry, read, readCapacity } from "@uring/cmd/scsi";
 *
 * await using ring = Ring.open({ drive: true });
 * using disk = open(bsgNode("/dev/sda"));
 * const { vendor, product } = await ring.cmd(inquiry(disk.fd));
 * const { blockSize, byteLength } = await ring.cmd(readCapacity(disk.fd));
 * console.log(vendor, product, byteLength);
 * const data = ring.alloc(8 * blockSize);
 * await ring.cmd(read(disk.fd, data, { lba: 0, blockSize }));
 * ```
 *
 * @module
 */

import { checkBytes, checkInteger, checkObject } from "../../ring/check.ts";
import { copyOf } from "../../ring/intrinsics.ts";
import type { Command, FileRef } from "../../ring/command.ts";
import type { FixedBuffer } from "../../ring/registered.ts";
import { dataOperand, partsOf, scsiCommand, scsiQuery } from "./command.ts";
import type { ScsiOptions, ScsiResult } from "./command.ts";

export {
  type BlockRange,
  type Capacity,
  type LongCapacity,
  read,
  readCapacity,
  readCapacity10,
  synchronizeCache,
  type TransferOptions,
  unmap,
  write,
} from "./blocks.ts";
export { vpdPage } from "./vpd_page.ts";
export {
  type BlockCharacteristics,
  blockCharacteristics,
  type BlockLimits,
  blockLimits,
  type BlockProvisioning,
  blockProvisioning,
  type DeviceIdentifier,
  deviceIdentifiers,
  serialNumber,
} from "./vpd.ts";
export { type LunReport, type ReportedLun, reportLuns } from "./luns.ts";
export { bsgNode } from "./node.ts";
export type { ScsiOptions, ScsiResult } from "./command.ts";
export { ScsiError, type ScsiOutcome } from "./error.ts";
export { decodeSense, type ScsiSense, type SenseField } from "./sense.ts";

/** A command for {@linkcode scsi}. */
export interface ScsiRequest extends ScsiOptions {
  /** The command descriptor block: 6 to 32 bytes. The command keeps a copy. */
  cdb: Uint8Array;
  /** Memory for the device's answer. The CDB must have the length as well. */
  dataIn?: Uint8Array;
  /** Data for the device; excludes `dataIn`. */
  dataOut?: Uint8Array;
  /** The registered buffer that has the data. */
  buffer?: FixedBuffer;
}

/**
 * Sends any SCSI command. `BSG_PROTOCOL_SCSI`, Linux 7.1.
 *
 * Commands that are known to change nothing need a node that is open for reading.
 * All others, and all with `dataOut`, need one that is open for writing. Some of
 * them **destroy data**, on a mounted file system too. The kernel lets a process
 * without CAP_SYS_RAWIO send only the commands of its own list, and answers EPERM
 * to the rest.
 *
 * A status other than GOOD and CONDITION MET is a {@linkcode ScsiError}, unless
 * the sense key is `Recovered Error` or `No Sense`: then the device has carried
 * out the command, and its sense data is in the result.
 *
 * EINVAL: the data is more than the device takes at once, which is
 * `max_hw_sectors_kb` of its queue in /sys. EOPNOTSUPP: the kernel is older than
 * 7.1, or the node is not that of a device.
 *
 * @example Any command, by its bytes
 * ```ts ignore
 * import { scsi } from "@uring/cmd/scsi";
 *
 * // REPORT LUNS: the allocation length is at byte 6, big-endian.
 * const cdb = Uint8Array.of(0xa0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0);
 * const dataIn = ring.alloc(4096);
 * const { transferred } = await ring.cmd(scsi(fd, { cdb, dataIn }));
 * ```
 *
 * @throws {TypeError} when the request has both `dataIn` and `dataOut`. When the
 * command is queued: if the file is not a bsg node, or is open for reading only.
 */
export function scsi(file: FileRef, request: ScsiRequest): Command<ScsiResult> {
  checkObject("request", request);
  const { cdb: given, dataIn, dataOut, buffer, timeoutMs, onSense } = request;
  const cdb = copyOf(checkBytes("cdb", given));
  checkInteger("length of cdb", cdb.length, 6, 32);
  if (dataIn !== undefined && dataOut !== undefined) {
    throw new TypeError(
      "a SCSI command has dataIn or dataOut: the kernel refuses one with both",
    );
  }
  const data = dataIn !== undefined
    ? dataOperand("dataIn", dataIn)
    : dataOut !== undefined
    ? dataOperand("dataOut", dataOut)
    : undefined;
  const parts = { data, buffer, timeoutMs, onSense };
  return scsiCommand(file, cdb, parts, (result) => result);
}

/**
 * Asks a device if it is ready for commands that access its medium. TEST UNIT
 * READY, Linux 7.1. If the device is not ready, the command fails with a
 * {@linkcode ScsiError} of sense key 2, which has the reason.
 *
 * @example A disk that is ready
 * ```ts ignore
 * import { testUnitReady } from "@uring/cmd/scsi";
 *
 * await ring.cmd(testUnitReady(fd));
 * ```
 */
export function testUnitReady(
  file: FileRef,
  options: ScsiOptions = {},
): Command<void> {
  return scsiCommand(file, new Uint8Array(6), partsOf(options), () => {});
}

/** The identity of a device. */
export interface Inquiry {
  /** The type of device: 0 disk, 1 tape, 5 CD or DVD, 0x14 zoned disk. */
  peripheralType: number;
  /** 0: connected. 1: supported but not connected. 3: not supported. */
  peripheralQualifier: number;
  /** `true` if the medium is removable. */
  removable: boolean;
  /** The version of the standard SPC that it follows: 5 SPC-3, 6 SPC-4, 7 SPC-5. */
  version: number;
  /** The vendor, up to 8 characters. */
  vendor: string;
  /** The product, up to 16 characters. */
  product: string;
  /** The revision of the product or of its firmware, up to 4 characters. */
  revision: string;
}

/**
 * Asks a device for its identity. INQUIRY, Linux 7.1.
 *
 * @example The maker of a device
 * ```ts ignore
 * import { inquiry } from "@uring/cmd/scsi";
 *
 * const { vendor, product, revision } = await ring.cmd(inquiry(fd));
 * ```
 */
export function inquiry(
  file: FileRef,
  options: ScsiOptions = {},
): Command<Inquiry> {
  // Every device has these 36 bytes. Some fail when asked for more.
  const cdb = Uint8Array.of(0x12, 0, 0, 0, 36, 0);
  const decode = (view: DataView): Inquiry => ({
    peripheralType: view.getUint8(0) & 0x1f,
    peripheralQualifier: view.getUint8(0) >> 5,
    removable: (view.getUint8(1) & 0x80) !== 0,
    version: view.getUint8(2),
    vendor: text(view, 8, 16),
    product: text(view, 16, 32),
    revision: text(view, 32, 36),
  });
  return scsiQuery(file, { cdb, byteLength: 36, least: 36, decode }, options);
}

/** Decodes ASCII that a device has padded with spaces, or with zeros. */
function text(view: DataView, start: number, end: number): string {
  const codes = [];
  for (let at = start; at < end; at++) codes.push(view.getUint8(at));
  return String.fromCharCode(...codes).replaceAll("\0", " ").trim();
}
