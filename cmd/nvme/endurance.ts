/**
 * The log of an endurance group of an NVMe drive.
 *
 * @module
 */

import * as nvme from "../../sys/uapi/nvme.ts";
import { sizeof } from "../../sys/struct.ts";
import { checkObject, checkU16 } from "../../ring/check.ts";
import { partOf } from "../../ring/intrinsics.ts";
import type { Command, FileRef } from "../../ring/command.ts";
import { jsonable } from "../json.ts";
import { logPage } from "./log_page.ts";
import { type EnduranceGroupWarningBits, GROUP_WARNINGS } from "./smart.ts";
import { flags, u128, viewOf } from "./values.ts";

/**
 * The health of an endurance group, which is media that wear together. In
 * brackets: the specification's name of each field.
 */
export interface EnduranceGroupLog {
  /** Bits: warnings. \[EGCW\] */
  readonly criticalWarning: number;
  /** The bits of `criticalWarning` by name. \[EGCW\] */
  readonly criticalWarningBits: EnduranceGroupWarningBits;
  /** Per cent of the spare capacity that remains. \[AVSP\] */
  readonly availableSparePercent: number;
  /** Per cent below which the spare is too low. \[AVSPT\] */
  readonly spareThresholdPercent: number;
  /** Per cent of the group's life, estimated; up to 255. \[PUSED\] */
  readonly usedPercent: number;
  /** The domain that the group is in; 0 without domains. \[DID\] */
  readonly domainId: number;
  /** Bytes that can be written in its life, in units of 10 ** 9. \[EEST\] */
  readonly enduranceEstimateGigabytes: bigint;
  /** Bytes that the host read, in units of 10 ** 9, rounded up. \[DUR\] */
  readonly readGigabytes: bigint;
  /** Bytes that the host wrote, in units of 10 ** 9, rounded up. \[DUW\] */
  readonly writtenGigabytes: bigint;
  /** Bytes that the media wrote, in units of 10 ** 9, rounded up. \[MUW\] */
  readonly mediaWrittenGigabytes: bigint;
  /** Read commands of the host. \[HRC\] */
  readonly hostReadCommands: bigint;
  /** Write commands of the host. \[HWC\] */
  readonly hostWriteCommands: bigint;
  /** Unrecovered errors of data. \[MDIE\] */
  readonly mediaErrors: bigint;
  /** Entries of the error log that belong to the group. \[NEILE\] */
  readonly errorLogEntryCount: bigint;
  /** Bytes of the group; 0 if not reported. \[TEGCAP\] */
  readonly totalCapacityBytes: bigint;
  /** Bytes of the group that no NVM set has; 0 if not reported. \[UEGCAP\] */
  readonly unallocatedCapacityBytes: bigint;
}

/**
 * Reads the health of an endurance group. Get Log Page through
 * `NVME_URING_CMD_ADMIN`, Linux 5.19, on a ring with `drive: true`, on a
 * controller's node. CAP_SYS_ADMIN.
 *
 * `Invalid Field in Command`, `Invalid Log Page`: the drive has no such group: see
 * `attributesBits.enduranceGroups`.
 */
export function enduranceGroupLog(
  file: FileRef,
  options: {
    /** The number of the group, from 1 on. \[LSI\] */
    group: number;
  },
): Command<EnduranceGroupLog> {
  const { group } = checkObject("options", options);
  const { nvme_endurance_group_log: f } = nvme;
  const lid = nvme.NVME_LOG_LID_ENDURANCE_GROUP;
  const lsi = checkU16("group", group);
  const page = { lid, lsi, nsid: 0, byteLength: sizeof(f) };
  return logPage("ENDURANCE GROUP LOG", file, page, (bytes) => {
    const view = viewOf(bytes);
    const criticalWarning = f.critical_warning.get(view, 0);
    // Version 2.0 has the domain and two capacities in what was reserved before.
    const later = f.rsvd160.get(view, 0);
    return jsonable({
      criticalWarning,
      criticalWarningBits: flags(criticalWarning, GROUP_WARNINGS),
      availableSparePercent: f.avl_spare.get(view, 0),
      spareThresholdPercent: f.avl_spare_threshold.get(view, 0),
      usedPercent: f.percent_used.get(view, 0),
      domainId: view.getUint16(f.rsvd6.offset, true),
      enduranceEstimateGigabytes: u128(f.endurance_estimate.get(view, 0)),
      readGigabytes: u128(f.data_units_read.get(view, 0)),
      writtenGigabytes: u128(f.data_units_written.get(view, 0)),
      mediaWrittenGigabytes: u128(f.media_units_written.get(view, 0)),
      hostReadCommands: u128(f.host_read_cmds.get(view, 0)),
      hostWriteCommands: u128(f.host_write_cmds.get(view, 0)),
      mediaErrors: u128(f.media_data_integrity_err.get(view, 0)),
      errorLogEntryCount: u128(f.num_err_info_log_entries.get(view, 0)),
      totalCapacityBytes: u128(partOf(later, 0, 16)),
      unallocatedCapacityBytes: u128(partOf(later, 16, 32)),
    });
  });
}
