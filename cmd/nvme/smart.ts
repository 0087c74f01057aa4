/** The SMART / Health Information log of a drive. */

import * as nvme from "../../sys/uapi/nvme.ts";
import { jsonable } from "../json.ts";
import { type BitsOf, flags, u128 } from "./values.ts";

/** Warnings of a drive. \[Critical Warning\] */
export interface CriticalWarningBits {
  /** The spare capacity is below its threshold. \[ASCBT, bit 0\] */
  readonly spareBelowThreshold: boolean;
  /** A temperature is beyond a threshold. \[TTC, bit 1\] */
  readonly temperature: boolean;
  /** The reliability is degraded. \[NDR, bit 2\] */
  readonly reliabilityDegraded: boolean;
  /** All media are read-only. \[AMRO, bit 3\] */
  readonly mediaReadOnly: boolean;
  /** The backup of volatile memory failed. \[VMBF, bit 4\] */
  readonly volatileBackupFailed: boolean;
  /**
   * The persistent memory region is read-only or unreliable. \[PMRRO, bit 5\]
   */
  readonly persistentMemoryUnreliable: boolean;
}

const WARNINGS: BitsOf<CriticalWarningBits> = {
  spareBelowThreshold: 0,
  temperature: 1,
  reliabilityDegraded: 2,
  mediaReadOnly: 3,
  volatileBackupFailed: 4,
  persistentMemoryUnreliable: 5,
};

/** Warnings of an endurance group, or of any of them. \[EGCW, EGCWS\] */
export interface EnduranceGroupWarningBits {
  /** The spare capacity is below its threshold. \[Bit 0\] */
  readonly spareBelowThreshold: boolean;
  /** The reliability is degraded. \[Bit 2\] */
  readonly reliabilityDegraded: boolean;
  /** The namespaces are read-only. \[Bit 3\] */
  readonly readOnly: boolean;
}

export const GROUP_WARNINGS: BitsOf<EnduranceGroupWarningBits> = {
  spareBelowThreshold: 0,
  reliabilityDegraded: 2,
  readOnly: 3,
};

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
  /** The bits of `criticalWarning` by name. \[Critical Warning\] */
  readonly criticalWarningBits: CriticalWarningBits;
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
  readonly usedPercent: number;
  /**
   * Bits, of any endurance group: 0 spare below its threshold, 2 reliability
   * degraded, 3 namespaces read-only. \[Endurance Group Critical Warning
   * Summary\]
   */
  readonly enduranceGroupWarnings: number;
  /** The bits of `enduranceGroupWarnings` by name. \[EGCWS\] */
  readonly enduranceGroupWarningsBits: EnduranceGroupWarningBits;
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

export function decodeSmartLog(view: DataView): SmartLog {
  const { nvme_smart_log: f } = nvme;
  const u16s = (bytes: Uint8Array) => [...new Uint16Array(bytes.buffer)];
  const warning = f.critical_warning.get(view, 0);
  const groups = f.endu_grp_crit_warn_sumry.get(view, 0);
  return jsonable({
    criticalWarning: warning,
    criticalWarningBits: flags(warning, WARNINGS),
    temperatureKelvin: u16s(f.temperature.get(view, 0))[0],
    availableSparePercent: f.avail_spare.get(view, 0),
    spareThresholdPercent: f.spare_thresh.get(view, 0),
    usedPercent: f.percent_used.get(view, 0),
    enduranceGroupWarnings: groups,
    enduranceGroupWarningsBits: flags(groups, GROUP_WARNINGS),
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
  });
}
