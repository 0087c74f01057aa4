/**
 * Commands that read the logs of NVMe controllers.
 *
 * @module
 */

import * as nvme from "../../sys/uapi/nvme.ts";
import { sizeof } from "../../sys/struct.ts";
import { checkInteger, checkObject } from "../../ring/check.ts";
import { partOf } from "../../ring/intrinsics.ts";
import type { Command, File } from "../../ring/command.ts";
import type { Completion } from "../../ring/completion.ts";
import { text, u128 } from "./values.ts";
import { adminCommand } from "./passthru.ts";
import { nvmeStatusName } from "./status.ts";

/** The number that stands for all namespaces: the whole controller. */
const ALL_NAMESPACES = 0xffff_ffff;

/** Makes a Get Log Page of the first `byteLength` bytes of a log. */
function log<T>(
  name: string,
  file: File,
  lid: number,
  nsid: number,
  byteLength: number,
  decode: (view: DataView) => T,
): Command<T> {
  const dwords = byteLength / 4 - 1;
  const opcode = nvme.nvme_admin_get_log_page;
  const cdw10 = (lid | (dwords & 0xffff) << 16) >>> 0;
  const fields = { name, opcode, nsid, cdw10, cdw11: dwords >>> 16 };
  const result = (completion: Completion) => {
    const { buffer, byteOffset } = completion.memory();
    return decode(new DataView(buffer, byteOffset, byteLength));
  };
  return adminCommand(file, fields, result, { pieces: [], byteLength });
}

/**
 * The health of a drive: its SMART / Health Information log. In brackets: the
 * specification's name of each field.
 */
export interface SmartLog {
  /**
   * Bits: 0 spare below its threshold, 1 temperature beyond a threshold, 2
   * reliability degraded, 3 media read-only, 4 backup of volatile memory
   * failed, 5 persistent memory region read-only or unreliable. \[Critical
   * Warning\]
   */
  readonly criticalWarning: number;
  /**
   * Kelvin, of the controller and its namespaces; 0 if not reported. \[Composite
   * Temperature\]
   */
  readonly temperatureKelvin: number;
  /** Per cent of the spare capacity that remains. \[Available Spare\] */
  readonly availableSparePercent: number;
  /**
   * Per cent below which the spare is too low. \[Available Spare Threshold\]
   */
  readonly spareThresholdPercent: number;
  /** Per cent of the drive's life, estimated; up to 255. \[Percentage Used\] */
  readonly percentUsed: number;
  /**
   * Bits, of any endurance group: 0 spare below its threshold, 2 reliability
   * degraded, 3 namespaces read-only. \[Endurance Group Critical Warning
   * Summary\]
   */
  readonly enduranceGroupWarnings: number;
  /**
   * Units of 512,000 bytes that the host read, rounded up; 0 if not reported.
   * \[Data Units Read\]
   */
  readonly dataUnitsRead: bigint;
  /**
   * Units of 512,000 bytes that the host wrote, rounded up; 0 if not reported.
   * \[Data Units Written\]
   */
  readonly dataUnitsWritten: bigint;
  /** Read and Compare commands that completed. \[Host Read Commands\] */
  readonly hostReadCommands: bigint;
  /** Write commands that completed. \[Host Write Commands\] */
  readonly hostWriteCommands: bigint;
  /** Minutes with I/O commands in flight. \[Controller Busy Time\] */
  readonly controllerBusyMinutes: bigint;
  /** Times that the drive was powered on. \[Power Cycles\] */
  readonly powerCycles: bigint;
  /** Hours with power. \[Power On Hours\] */
  readonly powerOnHours: bigint;
  /** Power losses without a shutdown notification. \[Unsafe Shutdowns\] */
  readonly unsafeShutdowns: bigint;
  /** Unrecovered errors of data. \[Media and Data Integrity Errors\] */
  readonly mediaErrors: bigint;
  /**
   * Entries of the error log, over the life of the controller. \[Number of
   * Error Information Log Entries\]
   */
  readonly errorLogEntryCount: bigint;
  /** Minutes from WCTEMP to CCTEMP. \[Warning Composite Temperature Time\] */
  readonly warningTemperatureMinutes: number;
  /** Minutes at CCTEMP or above. \[Critical Composite Temperature Time\] */
  readonly criticalTemperatureMinutes: number;
  /** Kelvin of sensors 1 to 8; 0 if missing. \[Temperature Sensor 1 to 8\] */
  readonly temperatureSensorsKelvin: readonly number[];
  /**
   * Starts of light throttling, which lowers the temperature at little cost of
   * speed. \[Thermal Management Temperature 1 Transition Count\]
   */
  readonly thermalThrottle1Count: number;
  /**
   * Starts of heavy throttling, which lowers the temperature at any cost of
   * speed. \[Thermal Management Temperature 2 Transition Count\]
   */
  readonly thermalThrottle2Count: number;
  /**
   * Seconds of light throttling. \[Total Time For Thermal Management
   * Temperature 1\]
   */
  readonly thermalThrottle1Seconds: number;
  /**
   * Seconds of heavy throttling. \[Total Time For Thermal Management
   * Temperature 2\]
   */
  readonly thermalThrottle2Seconds: number;
}

/**
 * Reads the health of a drive, its SMART log. Get Log Page through
 * `NVME_URING_CMD_ADMIN`, Linux 5.19, on a ring with `sqe128` and `cqe32`, on a
 * controller's node. CAP_SYS_ADMIN.
 *
 * The log is that of the whole controller; some drives have one of each
 * namespace too.
 *
 * @example
 * ```ts ignore
 * import { Ring } from "@uring/cmd";
 * import { smartLog } from "@uring/cmd/nvme";
 * import { openat } from "@uring/cmd/op";
 *
 * await using ring = Ring.open({ sqe128: true, cqe32: true });
 * const fd = await ring.cmd(openat("/dev/nvme0"));
 * const { temperatureKelvin, percentUsed } = await ring.cmd(smartLog(fd));
 * const degrees = temperatureKelvin === 0 ? "unknown" : temperatureKelvin - 273;
 * console.log(degrees, "degrees", percentUsed, "% worn");
 * ```
 */
export function smartLog(
  file: File,
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

function decodeSmartLog(view: DataView): SmartLog {
  const { nvme_smart_log: f } = nvme;
  const u16s = (bytes: Uint8Array) => [...new Uint16Array(bytes.buffer)];
  return {
    criticalWarning: f.critical_warning.get(view, 0),
    temperatureKelvin: u16s(f.temperature.get(view, 0))[0],
    availableSparePercent: f.avail_spare.get(view, 0),
    spareThresholdPercent: f.spare_thresh.get(view, 0),
    percentUsed: f.percent_used.get(view, 0),
    enduranceGroupWarnings: f.endu_grp_crit_warn_sumry.get(view, 0),
    dataUnitsRead: u128(f.data_units_read.get(view, 0)),
    dataUnitsWritten: u128(f.data_units_written.get(view, 0)),
    hostReadCommands: u128(f.host_reads.get(view, 0)),
    hostWriteCommands: u128(f.host_writes.get(view, 0)),
    controllerBusyMinutes: u128(f.ctrl_busy_time.get(view, 0)),
    powerCycles: u128(f.power_cycles.get(view, 0)),
    powerOnHours: u128(f.power_on_hours.get(view, 0)),
    unsafeShutdowns: u128(f.unsafe_shutdowns.get(view, 0)),
    mediaErrors: u128(f.media_errors.get(view, 0)),
    errorLogEntryCount: u128(f.num_err_log_entries.get(view, 0)),
    warningTemperatureMinutes: f.warning_temp_time.get(view, 0),
    criticalTemperatureMinutes: f.critical_comp_time.get(view, 0),
    temperatureSensorsKelvin: u16s(f.temp_sensor.get(view, 0)),
    thermalThrottle1Count: f.thm_temp1_trans_count.get(view, 0),
    thermalThrottle2Count: f.thm_temp2_trans_count.get(view, 0),
    thermalThrottle1Seconds: f.thm_temp1_total_time.get(view, 0),
    thermalThrottle2Seconds: f.thm_temp2_total_time.get(view, 0),
  };
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
 * through `NVME_URING_CMD_ADMIN`, Linux 5.19, on a ring with `sqe128` and
 * `cqe32`. CAP_SYS_ADMIN.
 *
 * The result has no empty entries. A controller may refuse a log that is longer
 * than it holds, which is at least one entry. `identifyController()` reports how
 * many.
 *
 * @example
 * ```ts ignore
 * import { errorLog, identifyController } from "@uring/cmd/nvme";
 *
 * const { errorLogEntries: maxEntries } = await ring.cmd(identifyController(fd));
 * const [newest] = await ring.cmd(errorLog(fd, { maxEntries }));
 * console.log(newest?.statusName ?? "no error");
 * ```
 */
export function errorLog(
  file: File,
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
  return {
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
  };
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
 * `NVME_URING_CMD_ADMIN`, Linux 5.19, on a ring with `sqe128` and `cqe32`.
 * CAP_SYS_ADMIN.
 */
export function firmwareLog(file: File): Command<FirmwareLog> {
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
