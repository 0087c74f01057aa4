/**
 * Commands that read the logs of NVMe controllers.
 *
 * @module
 */

import * as nvme from "../../sys/uapi/nvme.ts";
import { sizeof } from "../../sys/struct.ts";
import { checkInteger, checkObject } from "../../ring/check.ts";
import { partOf } from "../../ring/intrinsics.ts";
import type { Command, FileRef } from "../../ring/command.ts";
import { jsonable } from "../json.ts";
import { ALL_NAMESPACES, logPage } from "./log_page.ts";
import { decodeSmartLog, type SmartLog } from "./smart.ts";
import { text, viewOf } from "./values.ts";
import { nvmeStatusName } from "./status.ts";

/** Makes a Get Log Page of the first `byteLength` bytes of a log. */
function log<T>(
  name: string,
  file: FileRef,
  lid: number,
  nsid: number,
  byteLength: number,
  decode: (view: DataView) => T,
): Command<T> {
  const options = { lid, nsid, byteLength };
  return logPage(name, file, options, (bytes) => decode(viewOf(bytes)));
}

/**
 * Reads the health of a drive, its SMART log. Get Log Page through
 * `NVME_URING_CMD_ADMIN`, Linux 5.19, on a ring with `drive: true`, on a
 * controller's node. CAP_SYS_ADMIN. {@linkcode controllerNode} returns the path of
 * that node for a namespace, such as `/dev/nvme0` for `/dev/nvme0n1`.
 *
 * The log is that of the whole controller; some drives have one of each
 * namespace too.
 *
 * @example The temperature of a drive, and its wear
 * ```ts ignore
 * import { open, Ring } from "@uring/cmd";
 * import { smartLog } from "@uring/cmd/nvme";
 *
 * await using ring = Ring.open({ drive: true });
 * using drive = open("/dev/nvme0");
 * const { temperatureKelvin, usedPercent } = await ring.cmd(smartLog(drive.fd));
 * const degrees = temperatureKelvin === 0 ? "unknown" : temperatureKelvin - 273;
 * console.log(degrees, "degrees", usedPercent, "% worn");
 * ```
 */
export function smartLog(
  file: FileRef,
  options: {
    /** The number of a namespace. Default 0xffff_ffff, the whole controller. */
    nsid?: number;
  } = {},
): Command<SmartLog> {
  const { nsid = ALL_NAMESPACES } = checkObject("options", options);
  const byteLength = sizeof(nvme.nvme_smart_log);
  const lid = nvme.NVME_LOG_LID_SMART;
  return log("SMART LOG", file, lid, nsid, byteLength, decodeSmartLog);
}

/**
 * An entry of the error log. In brackets: the specification's name of each
 * field.
 */
export interface ErrorLogEntry {
  /** The number of this error, counted from 1. \[Error Count\] */
  readonly errorCount: bigint;
  /**
   * The submission queue; 0xffff if not of one command. \[Submission Queue ID\]
   */
  readonly submissionQueueId: number;
  /** The driver's number of the command; 0xffff if none. \[Command ID\] */
  readonly commandId: number;
  /** The status code type: see `NvmeError`. \[Status Field, SCT\] */
  readonly statusCodeType: number;
  /** The status code. \[Status Field, SC\] */
  readonly statusCode: number;
  /** The specification's name of the status. */
  readonly statusName: string;
  /**
   * The byte of the command that is wrong, 0 to 63; `null` for none. \[Parameter
   * Error Location, bits 7:0\]
   */
  readonly parameterByte: number | null;
  /**
   * The bit of that byte, 0 to 7; `null` for none. \[Parameter Error Location,
   * bits 10:8\]
   */
  readonly parameterBit: number | null;
  /** The first logical block with the error. \[LBA\] */
  readonly lba: bigint;
  /** The number of the namespace. \[Namespace\] */
  readonly nsid: number;
  /**
   * The log page with more about the error, 0x80 to 0xff; 0 for none. \[Vendor
   * Specific Information Available\]
   */
  readonly vendorSpecific: number;
  /** Facts that the command defines. \[Command Specific Information\] */
  readonly commandSpecific: bigint;
}

/**
 * Reads the error log of a controller, the newest entry first. Get Log Page
 * through `NVME_URING_CMD_ADMIN`, Linux 5.19, on a ring with `drive: true`.
 * CAP_SYS_ADMIN.
 *
 * The result has no empty entries. A controller may refuse a log that is longer
 * than it holds, which is at least one entry. `identifyController()` reports how
 * many.
 *
 * @example The newest error
 * ```ts ignore
 * import { errorLog, identifyController } from "@uring/cmd/nvme";
 *
 * const { errorLogEntries: maxEntries } = await ring.cmd(identifyController(fd));
 * const [newest] = await ring.cmd(errorLog(fd, { maxEntries }));
 * console.log(newest?.statusName ?? "no error");
 * ```
 */
export function errorLog(
  file: FileRef,
  options: {
    /** Entries to read. Default 1, at most 256. */
    maxEntries?: number;
  } = {},
): Command<ErrorLogEntry[]> {
  const { maxEntries = 1 } = checkObject("options", options);
  checkInteger("maxEntries", maxEntries, 1, 256);
  const size = sizeof(nvme.nvme_error_log_page);
  const lid = nvme.NVME_LOG_LID_ERROR;
  const length = maxEntries * size;
  return log("ERROR LOG", file, lid, ALL_NAMESPACES, length, (view) => {
    const entries: ErrorLogEntry[] = [];
    for (let at = 0; at < length; at += size) {
      entries.push(errorEntry(view, at));
    }
    return entries.filter(({ errorCount }) => errorCount !== 0n);
  });
}

/** The Parameter Error Location of an error that no parameter made. */
const NO_LOCATION = 0xffff;

function errorEntry(view: DataView, at: number): ErrorLogEntry {
  const { nvme_error_log_page: f } = nvme;
  const status = f.status_field.get(view, at) >> 1; // Bit 0 is the phase.
  const statusCodeType = status >> 8 & 7;
  const statusCode = status & 0xff;
  const location = f.parm_error_location.get(view, at);
  return jsonable({
    errorCount: BigInt(f.error_count.get(view, at)),
    submissionQueueId: f.sqid.get(view, at),
    commandId: f.cmdid.get(view, at),
    statusCodeType,
    statusCode,
    statusName: nvmeStatusName(statusCodeType, statusCode),
    parameterByte: location === NO_LOCATION ? null : location & 0xff,
    parameterBit: location === NO_LOCATION ? null : location >> 8 & 7,
    lba: BigInt(f.lba.get(view, at)),
    nsid: f.nsid.get(view, at),
    vendorSpecific: f.vs.get(view, at),
    commandSpecific: BigInt(f.cs.get(view, at)),
  });
}

/**
 * The firmware of a drive. In brackets: the specification's name of each field.
 */
export interface FirmwareLog {
  /** The slot, 1 to 7, of the active firmware. \[AFI, bits 2:0\] */
  readonly activeSlot: number;
  /**
   * The slot to activate at the next reset; 0 for the same. \[AFI, bits 6:4\]
   */
  readonly nextSlot: number;
  /** The revisions in slots 1 to 7; `""` for an empty slot. \[FRS1 to FRS7\] */
  readonly revisions: readonly string[];
}

/**
 * Reads the firmware slots of a drive. Get Log Page through
 * `NVME_URING_CMD_ADMIN`, Linux 5.19, on a ring with `drive: true`.
 * CAP_SYS_ADMIN.
 */
export function firmwareLog(file: FileRef): Command<FirmwareLog> {
  const { nvme_firmware_slot: f } = nvme;
  const lid = nvme.NVME_LOG_LID_FW_SLOT;
  return log("FIRMWARE LOG", file, lid, ALL_NAMESPACES, sizeof(f), (view) => {
    const afi = f.afi.get(view, 0);
    const frs = f.frs.get(view, 0);
    const revisions = [0, 1, 2, 3, 4, 5, 6]
      .map((i) => text(partOf(frs, i * 8, i * 8 + 8)));
    return { activeSlot: afi & 7, nextSlot: afi >> 4 & 7, revisions };
  });
}
