/**
 * The usual pages of vital product data of a SCSI device, decoded.
 *
 * @module
 */

import { checkObject } from "../../ring/check.ts";
import { partOf } from "../../ring/intrinsics.ts";
import type { Command, FileRef } from "../../ring/command.ts";
import { hex, jsonable } from "../json.ts";
import type { ScsiOptions } from "./command.ts";
import { pageQuery } from "./vpd_page.ts";

/** Most bytes of a page that every device takes: some fail if asked for more. */
const USUAL = 252;

/** Reads a page, and decodes a view that has zeros after its end. */
function decoded<T>(
  file: FileRef,
  page: number,
  options: ScsiOptions,
  decode: (view: DataView) => T,
): Command<T> {
  checkObject("options", options);
  return pageQuery(file, page, USUAL, options, (bytes) => {
    const whole = new Uint8Array(USUAL);
    whole.set(bytes);
    return decode(new DataView(whole.buffer));
  });
}

/**
 * Asks a device for its serial number, of page 80h. INQUIRY, Linux 7.1. `Illegal
 * Request`: it has none.
 *
 * @example The serial number of a disk
 * ```ts ignore
 * import { open, Ring } from "@uring/cmd";
 * import { bsgNode, serialNumber } from "@uring/cmd/scsi";
 *
 * await using ring = Ring.open({ drive: true });
 * using disk = open(bsgNode("/dev/sda"));
 * console.log(await ring.cmd(serialNumber(disk.fd)));
 * ```
 */
export function serialNumber(
  file: FileRef,
  options: ScsiOptions = {},
): Command<string> {
  checkObject("options", options);
  return pageQuery(file, 0x80, USUAL, options, (page) => text(partOf(page, 4)));
}

/** Decodes ASCII that is padded with spaces or zeros, before or after. */
function text(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes).replaceAll("\0", " ").trim();
}

/** An identifier of a device, or of a port of it. In brackets: T10's names. */
export interface DeviceIdentifier {
  /** The subject: the logical unit, its port, or the target. \[ASSOCIATION\] */
  readonly of: "unit" | "port" | "target" | number;
  /** The type, 0 to 15. \[DESIGNATOR TYPE\] */
  readonly type: number;
  /** The type by name, such as `"NAA"`. */
  readonly typeName: string;
  /**
   * The identifier: text if the device says that it is, a UUID in its usual form,
   * and otherwise hexadecimal digits. \[DESIGNATOR\]
   */
  readonly id: string;
  /**
   * The protocol of the port: 0 Fibre Channel, 5 iSCSI, 6 SAS; `null` if not
   * reported. \[PROTOCOL IDENTIFIER, PIV\]
   */
  readonly protocol: number | null;
}

const SUBJECTS = ["unit", "port", "target"] as const;
const TYPES: readonly string[] = [
  ...["vendor specific", "T10 vendor", "EUI-64", "NAA", "relative port"],
  ...["port group", "unit group", "MD5", "SCSI name", "protocol port", "UUID"],
];
/** The type of an identifier that is a UUID after two bytes. */
const UUID = 10;

/**
 * Asks a device for its identifiers, of page 83h. INQUIRY, Linux 7.1. Of a disk, the
 * one of type `"NAA"` is the number that no other has, its WWN. Identifiers after the
 * first `byteLength` bytes of the page are left out: 252 by default, since some
 * devices fail when they are asked for more.
 *
 * @example The WWN of a disk
 * ```ts ignore
 * import { deviceIdentifiers } from "@uring/cmd/scsi";
 *
 * const all = await ring.cmd(deviceIdentifiers(fd));
 * const wwn = all.find((it) => it.of === "unit" && it.typeName === "NAA");
 * console.log(wwn?.id);
 * ```
 */
export function deviceIdentifiers(
  file: FileRef,
  options: ScsiOptions & { byteLength?: number } = {},
): Command<DeviceIdentifier[]> {
  const { byteLength = USUAL } = checkObject("options", options);
  return pageQuery(file, 0x83, byteLength, options, (page) => {
    const found: DeviceIdentifier[] = [];
    // A designator starts with four bytes, of which the last is its length.
    for (let at = 4; at + 4 <= page.length; at += 4 + page[at + 3]) {
      const end = at + 4 + page[at + 3];
      if (end <= page.length) found.push(identifier(partOf(page, at, end)));
    }
    return found;
  });
}

function identifier(bytes: Uint8Array): DeviceIdentifier {
  const [codes, flags] = bytes;
  const type = flags & 0xf;
  const subject = flags >> 4 & 3;
  const id = partOf(bytes, 4);
  const isText = (codes & 0xf) === 2 || (codes & 0xf) === 3;
  return {
    of: SUBJECTS[subject] ?? subject,
    type,
    typeName: TYPES[type] ?? `type ${type}`,
    id: isText
      ? text(id)
      : type === UUID && id.length === 18
      ? hex(partOf(id, 2)).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-")
      : hex(id),
    protocol: flags & 0x80 ? codes >> 4 : null,
  };
}

/** The limits of a block device. In brackets: T10's names. 0 is not reported. */
export interface BlockLimits {
  /** Write Same of 0 blocks is refused. \[WSNZ\] */
  readonly writeSameNonZero: boolean;
  /** Blocks of a Compare and Write. \[MAXIMUM COMPARE AND WRITE LENGTH\] */
  readonly maxCompareAndWriteBlocks: number;
  /** Blocks that a transfer is best a multiple of. \[OPTIMAL TRANSFER LENGTH GRANULARITY\] */
  readonly optimalGranularityBlocks: number;
  /** Blocks of a transfer at most. \[MAXIMUM TRANSFER LENGTH\] */
  readonly maxTransferBlocks: number;
  /** Blocks of a transfer that is fast. \[OPTIMAL TRANSFER LENGTH\] */
  readonly optimalTransferBlocks: number;
  /** Blocks of a Pre-fetch. \[MAXIMUM PREFETCH LENGTH\] */
  readonly maxPrefetchBlocks: number;
  /** Blocks of an unmap; 0xffff_ffff is no limit. \[MAXIMUM UNMAP LBA COUNT\] */
  readonly maxUnmapBlocks: number;
  /**
   * Ranges of an unmap; 0xffff_ffff is no limit. \[MAXIMUM UNMAP BLOCK DESCRIPTOR
   * COUNT\]
   */
  readonly maxUnmapRanges: number;
  /** Blocks that an unmap is best a multiple of. \[OPTIMAL UNMAP GRANULARITY\] */
  readonly unmapGranularityBlocks: number;
  /**
   * The first block of such a multiple; `null` if not reported. \[UNMAP GRANULARITY
   * ALIGNMENT, UGAVALID\]
   */
  readonly unmapAlignment: number | null;
  /** Blocks of a Write Same. \[MAXIMUM WRITE SAME LENGTH\] */
  readonly maxWriteSameBlocks: bigint;
  /** Blocks of an atomic write. \[MAXIMUM ATOMIC TRANSFER LENGTH\] */
  readonly maxAtomicBlocks: number;
  /** Blocks that one starts at a multiple of. \[ATOMIC ALIGNMENT\] */
  readonly atomicAlignmentBlocks: number;
  /** Blocks that one is a multiple of. \[ATOMIC TRANSFER LENGTH GRANULARITY\] */
  readonly atomicGranularityBlocks: number;
}

/**
 * Asks a block device for its limits, of page b0h. INQUIRY, Linux 7.1. An old device
 * has fewer: the others are 0. `Illegal Request`: it has none.
 */
export function blockLimits(
  file: FileRef,
  options: ScsiOptions = {},
): Command<BlockLimits> {
  return decoded(file, 0xb0, options, (view) =>
    jsonable({
      writeSameNonZero: (view.getUint8(4) & 1) !== 0,
      maxCompareAndWriteBlocks: view.getUint8(5),
      optimalGranularityBlocks: view.getUint16(6),
      maxTransferBlocks: view.getUint32(8),
      optimalTransferBlocks: view.getUint32(12),
      maxPrefetchBlocks: view.getUint32(16),
      maxUnmapBlocks: view.getUint32(20),
      maxUnmapRanges: view.getUint32(24),
      unmapGranularityBlocks: view.getUint32(28),
      unmapAlignment: view.getUint8(32) & 0x80
        ? view.getUint32(32) & 0x7fff_ffff
        : null,
      maxWriteSameBlocks: view.getBigUint64(36),
      maxAtomicBlocks: view.getUint32(44),
      atomicAlignmentBlocks: view.getUint32(48),
      atomicGranularityBlocks: view.getUint32(52),
    }));
}

/** The properties of a block device's medium. In brackets: T10's names. */
export interface BlockCharacteristics {
  /**
   * Rotations in a minute; 0 if not reported, 1 if it does not rotate. \[MEDIUM
   * ROTATION RATE\]
   */
  readonly rotationRate: number;
  /** The type of product: 0 not reported, 1 CFast, 4 eMMC, 5 UFS. \[PRODUCT TYPE\] */
  readonly productType: number;
  /**
   * The form factor: 0 not reported, 1 5.25 inches, 2 3.5 inches, 3 2.5 inches, 4
   * 1.8 inches, 5 less than that. \[NOMINAL FORM FACTOR\]
   */
  readonly formFactor: number;
  /** 0 not reported, 1 host aware, 2 managed by the device. \[ZONED\] */
  readonly zoned: number;
  /** Writes with FUA may go to a cache that is not volatile. \[FUAB\] */
  readonly forceUnitAccessBehavior: boolean;
  /** Verify of unmapped blocks is supported. \[VBULS\] */
  readonly verifiesUnmapped: boolean;
}

/**
 * Asks a block device for the properties of its medium, of page b1h. INQUIRY, Linux
 * 7.1. `Illegal Request`: it does not have the page.
 */
export function blockCharacteristics(
  file: FileRef,
  options: ScsiOptions = {},
): Command<BlockCharacteristics> {
  return decoded(file, 0xb1, options, (view) => ({
    rotationRate: view.getUint16(4),
    productType: view.getUint8(6),
    formFactor: view.getUint8(7) & 0xf,
    zoned: view.getUint8(8) >> 4 & 3,
    forceUnitAccessBehavior: (view.getUint8(8) & 2) !== 0,
    verifiesUnmapped: (view.getUint8(8) & 1) !== 0,
  }));
}

/** The way in which a device allocates blocks. In brackets: T10's names. */
export interface BlockProvisioning {
  /** `"full"` or not reported, `"resource"`, `"thin"`. \[PROVISIONING TYPE\] */
  readonly type: "full" | "resource" | "thin" | number;
  /** The device takes Unmap. \[LBPU\] */
  readonly unmap: boolean;
  /** Write Same(16) can unmap. \[LBPWS\] */
  readonly unmapsByWriteSame16: boolean;
  /** Write Same(10) can unmap. \[LBPWS10\] */
  readonly unmapsByWriteSame10: boolean;
  /** Unmapped blocks read as: 0 anything, 1 zeros, 2 the vendor's. \[LBPRZ\] */
  readonly unmappedReads: number;
  /** Blocks can be anchored. \[ANC_SUP\] */
  readonly anchors: boolean;
  /** Blocks of a unit of the thresholds, as 2 ** n; 0 for none. \[THRESHOLD EXPONENT\] */
  readonly thresholdExponent: number;
}

const PROVISIONING = ["full", "resource", "thin"] as const;

/**
 * Asks a block device how it allocates blocks, of page b2h. INQUIRY, Linux 7.1.
 * `Illegal Request`: it does not have the page.
 */
export function blockProvisioning(
  file: FileRef,
  options: ScsiOptions = {},
): Command<BlockProvisioning> {
  return decoded(file, 0xb2, options, (view) => {
    const bits = view.getUint8(5);
    const type = view.getUint8(6) & 7;
    return {
      type: PROVISIONING[type] ?? type,
      unmap: (bits & 0x80) !== 0,
      unmapsByWriteSame16: (bits & 0x40) !== 0,
      unmapsByWriteSame10: (bits & 0x20) !== 0,
      unmappedReads: bits >> 2 & 7,
      anchors: (bits & 2) !== 0,
      thresholdExponent: view.getUint8(4),
    };
  });
}
