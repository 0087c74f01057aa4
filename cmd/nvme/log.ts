/**
 * What NVMe drives keep a record of.
 *
 * @module
 */

import * as nvme from "../../sys/uapi/nvme.ts";
import { sizeof } from "../../sys/struct.ts";
import { checkInteger, checkObject, checkU32 } from "../../ring/check.ts";
import type { Command, File } from "../../ring/command.ts";
import { text, u128 } from "./values.ts";
import { adminCommand } from "./passthru.ts";
import { nvmeStatusName } from "./status.ts";

/** The number that stands for all namespaces: the whole controller. */
const ALL_NAMESPACES = 0xffff_ffff;

/** Get Log Page, from its start. */
function log<T>(
  name: string,
  file: File,
  { lid, nsid, byteLength }: {
    lid: number;
    nsid: number;
    byteLength: number;
  },
  decode: (view: DataView) => T,
): Command<T> {
  const dwords = byteLength / 4 - 1;
  return adminCommand(
    name,
    file,
    {
      opcode: nvme.nvme_admin_get_log_page,
      nsid,
      cdw10: (lid | (dwords & 0xffff) << 16) >>> 0,
      cdw11: dwords >>> 16,
    },
    (completion) => {
      const { buffer, byteOffset } = completion.memory();
      return decode(new DataView(buffer, byteOffset, byteLength));
    },
    { ownBytes: byteLength },
  );
}

/** The health of a drive. In brackets is what the specification calls a field. */
export interface SmartLog {
  /**
   * Bits: 0 spare below its threshold, 1 temperature, 2 not reliable, 3 read
   * only, 4 backup of the volatile memory failed, 5 persistent memory region.
   */
  readonly criticalWarning: number;
  /** Kelvin, of the whole drive. */
  readonly temperatureKelvin: number;
  /** Per cent of the spare that is left. */
  readonly availableSparePercent: number;
  /** Per cent below which the spare is low. */
  readonly spareThresholdPercent: number;
  /** Per cent of its life that the vendor thinks is used; may be above 100. */
  readonly percentUsed: number;
  /** Bits: warnings of endurance groups. */
  readonly enduranceGroupWarnings: number;
  /** Thousands of 512 bytes that were read, rounded up. */
  readonly dataUnitsRead: bigint;
  /** Thousands of 512 bytes that were written, rounded up. */
  readonly dataUnitsWritten: bigint;
  /** Commands that read. */
  readonly hostReadCommands: bigint;
  /** Commands that wrote. */
  readonly hostWriteCommands: bigint;
  /** Minutes with commands under way. */
  readonly controllerBusyMinutes: bigint;
  /** Times that it had its power switched on. */
  readonly powerCycles: bigint;
  /** Hours with power. */
  readonly powerOnHours: bigint;
  /** Times that power went without a word. */
  readonly unsafeShutdowns: bigint;
  /** Errors of the medium or of data that were found. */
  readonly mediaErrors: bigint;
  /** Entries that the error log ever had. */
  readonly errorLogEntryCount: bigint;
  /** Minutes at or above the warning temperature. */
  readonly warningTemperatureMinutes: number;
  /** Minutes at or above the critical temperature. */
  readonly criticalTemperatureMinutes: number;
  /** Kelvin of sensors 1 to 8; 0 for one that there is not. */
  readonly temperatureSensorsKelvin: readonly number[];
  /** Times that it slowed down a little to cool. */
  readonly thermalThrottle1Count: number;
  /** Times that it slowed down a lot to cool. */
  readonly thermalThrottle2Count: number;
  /** Seconds that it was a little slower. */
  readonly thermalThrottle1Seconds: number;
  /** Seconds that it was a lot slower. */
  readonly thermalThrottle2Seconds: number;
}

/**
 * Reads the health of a drive. Get Log Page through `NVME_URING_CMD_ADMIN`, Linux
 * 5.19, on a ring with `sqe128` and `cqe32`, on a controller's node. CAP_SYS_ADMIN.
 *
 * It is that of the whole controller; some drives have one of a namespace too.
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
 * console.log(temperatureKelvin - 273, "degrees", percentUsed, "% worn");
 * ```
 */
export function smartLog(
  file: File,
  options: {
    /** The namespace whose health is meant. Default: the whole controller. */
    nsid?: number;
  } = {},
): Command<SmartLog> {
  const { nsid = ALL_NAMESPACES } = checkObject("options", options);
  checkU32("nsid", nsid);
  const { nvme_smart_log: f } = nvme;
  const lid = nvme.NVME_LOG_LID_SMART;
  const byteLength = sizeof(f);
  return log("SMART LOG", file, { lid, nsid, byteLength }, decodeSmartLog);
}

/** Reads the 512 bytes of a SMART / Health log. */
export function decodeSmartLog(view: DataView): SmartLog {
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

/** A command that failed, as the controller remembers it. */
export interface ErrorLogEntry {
  /** How many errors there were up to this one. */
  readonly errorCount: bigint;
  /** The submission queue of the command; 0xffff for none. */
  readonly submissionQueueId: number;
  /** The driver's number for the command; 0xffff for none. */
  readonly commandId: number;
  /** Status code type: see `NvmeError`. */
  readonly statusCodeType: number;
  /** Status code. */
  readonly statusCode: number;
  /** What the specification calls the status. */
  readonly statusName: string;
  /** The byte of the command that is wrong; 0xffff in all for none. */
  readonly parameterByte: number;
  /** The bit of that byte. */
  readonly parameterBit: number;
  /** The first logical block that the error is about. */
  readonly lba: bigint;
  /** The namespace. */
  readonly nsid: number;
  /** Bits of the vendor's own. */
  readonly vendorSpecific: number;
  /** What the command has to say about the error. */
  readonly commandSpecific: bigint;
}

/**
 * Reads the error log of a controller: the newest entry first, without those that
 * are empty. Get Log Page through `NVME_URING_CMD_ADMIN`, Linux 5.19, on a ring
 * with `sqe128` and `cqe32`. CAP_SYS_ADMIN.
 *
 * `ControllerIdentity.errorLogEntries` says how many a controller keeps.
 */
export function errorLog(
  file: File,
  options: {
    /** Entries to read at most. */
    maxEntries?: number;
  } = {},
): Command<ErrorLogEntry[]> {
  const { maxEntries = 64 } = checkObject("options", options);
  checkInteger("maxEntries", maxEntries, 1, 256);
  const { nvme_error_log_page: f } = nvme;
  return log(
    "ERROR LOG",
    file,
    {
      lid: nvme.NVME_LOG_LID_ERROR,
      nsid: ALL_NAMESPACES,
      byteLength: maxEntries * sizeof(f),
    },
    (view) =>
      Array.from({ length: maxEntries }, (_, i) => errorEntry(view, i))
        .filter(({ errorCount }) => errorCount !== 0n),
  );
}

function errorEntry(view: DataView, index: number): ErrorLogEntry {
  const { nvme_error_log_page: f } = nvme;
  const at = index * sizeof(f);
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
    parameterByte: location & 0xff,
    parameterBit: location >> 8 & 7,
    lba: BigInt(f.lba.get(view, at)),
    nsid: f.nsid.get(view, at),
    vendorSpecific: f.vs.get(view, at),
    commandSpecific: BigInt(f.cs.get(view, at)),
  };
}

/** The firmware of a drive. */
export interface FirmwareLog {
  /** The slot, 1 to 7, of the firmware that runs. */
  readonly activeSlot: number;
  /** The slot that runs after the next reset; 0 for the same. */
  readonly nextSlot: number;
  /** The revisions in slots 1 to 7; `""` for an empty slot. */
  readonly revisions: readonly string[];
}

/**
 * Reads which firmware a drive has. Get Log Page through `NVME_URING_CMD_ADMIN`,
 * Linux 5.19, on a ring with `sqe128` and `cqe32`. CAP_SYS_ADMIN.
 */
export function firmwareLog(file: File): Command<FirmwareLog> {
  const { nvme_firmware_slot: f } = nvme;
  return log(
    "FIRMWARE LOG",
    file,
    {
      lid: nvme.NVME_LOG_LID_FW_SLOT,
      nsid: ALL_NAMESPACES,
      byteLength: sizeof(f),
    },
    (view) => {
      const afi = f.afi.get(view, 0);
      const revisions = f.frs.get(view, 0);
      return {
        activeSlot: afi & 7,
        nextSlot: afi >> 4 & 7,
        revisions: Array.from(
          { length: 7 },
          (_, i) => text(revisions.subarray(i * 8, i * 8 + 8)),
        ),
      };
    },
  );
}
