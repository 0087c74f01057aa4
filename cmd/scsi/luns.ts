/**
 * The logical units of a SCSI target.
 *
 * @module
 */

import { partOf } from "../../ring/intrinsics.ts";
import { checkInteger, checkObject } from "../../ring/check.ts";
import type { Command, FileRef } from "../../ring/command.ts";
import { hex, jsonable } from "../json.ts";
import { type ScsiOptions, scsiQuery } from "./command.ts";

/** A logical unit of a target. */
export interface ReportedLun {
  /** The number, as the kernel has it in names such as `0:0:0:1`. */
  readonly lun: bigint;
  /** Its 8 bytes, as hexadecimal digits. */
  readonly id: string;
}

/** The result of {@linkcode reportLuns}. */
export interface LunReport {
  /** Logical units of the target, listed or not. */
  readonly count: number;
  /** The first `maxLuns` of them. */
  readonly luns: readonly ReportedLun[];
}

/** Logical units by default: with the head, they fill 4096 bytes. */
const DEFAULT_LUNS = 511;
/** Bytes of the head of the list, and of each logical unit. */
const [HEAD, SIZE] = [8, 8];

/**
 * Asks a target for its logical units, through any of them. REPORT LUNS, Linux 7.1.
 *
 * @example The disks behind one address
 * ```ts ignore
 * import { open, Ring } from "@uring/cmd";
 * import { bsgNode, reportLuns } from "@uring/cmd/scsi";
 *
 * await using ring = Ring.open({ drive: true });
 * using disk = open(bsgNode("/dev/sda"));
 * const { luns } = await ring.cmd(reportLuns(disk.fd));
 * console.log(luns.map(({ lun }) => lun));
 * ```
 */
export function reportLuns(
  file: FileRef,
  options: ScsiOptions & {
    /** Logical units to list, 1 to 65535. Default 511. */
    maxLuns?: number;
  } = {},
): Command<LunReport> {
  const { maxLuns = DEFAULT_LUNS } = checkObject("options", options);
  checkInteger("maxLuns", maxLuns, 1, 0xffff);
  const byteLength = HEAD + maxLuns * SIZE;
  const cdb = new Uint8Array(12);
  cdb[0] = 0xa0;
  new DataView(cdb.buffer).setUint32(6, byteLength);
  const listed = (view: DataView) =>
    Math.min(Math.floor(view.getUint32(0) / SIZE), maxLuns);
  const query = {
    cdb,
    byteLength,
    least: HEAD,
    fault(view: DataView, transferred: number) {
      const needed = HEAD + listed(view) * SIZE;
      if (transferred >= needed) return "";
      return `the list has ${needed} bytes, and ${transferred} came`;
    },
    decode(view: DataView): LunReport {
      const { buffer, byteOffset } = view;
      const bytes = new Uint8Array(buffer, byteOffset, byteLength);
      const luns = Array.from({ length: listed(view) }, (_, i) => {
        const at = HEAD + i * SIZE;
        const id = hex(partOf(bytes, at, at + SIZE));
        return jsonable({ lun: numberOf(view, at), id });
      });
      return { count: Math.floor(view.getUint32(0) / SIZE), luns };
    },
  };
  return scsiQuery(file, query, options);
}

/** Matches scsilun_to_int() of Linux: the levels of two bytes, the first lowest. */
function numberOf(view: DataView, at: number): bigint {
  let lun = 0n;
  for (let level = 3; level >= 0; level--) {
    lun = lun << 16n | BigInt(view.getUint16(at + level * 2));
  }
  return lun;
}
