/**
 * The tests that an NVMe drive makes of itself.
 *
 * @module
 */

import * as nvme from "../../sys/uapi/nvme.ts";
import { sizeof } from "../../sys/struct.ts";
import {
  checkName,
  checkObject,
  checkU16,
  checkU32,
} from "../../ring/check.ts";
import type { Command, FileRef } from "../../ring/command.ts";
import { jsonable } from "../json.ts";
import { ALL_NAMESPACES, logPage } from "./log_page.ts";
import { adminCommand } from "./passthru.ts";
import { nvmeStatusName } from "./status.ts";
import { viewOf } from "./values.ts";

/** A self-test by name. */
export type SelfTest = "short" | "extended" | "hostInitiatedRefresh" | "vendor";

const CODES = {
  short: 0x1,
  extended: 0x2,
  hostInitiatedRefresh: 0x3,
  vendor: 0xe,
  abort: 0xf,
};
const NAMES: ReadonlyMap<number, SelfTest> = new Map([
  [0x1, "short"],
  [0x2, "extended"],
  [0x3, "hostInitiatedRefresh"],
  [0xe, "vendor"],
]);

/**
 * **Changes the drive.** Starts a self-test, or aborts the one that runs. The
 * result is 0, as soon as the test has started: {@linkcode selfTestLog} has the
 * progress. Other commands still run meanwhile, and may be slower.
 *
 * Device Self-test through `NVME_URING_CMD_ADMIN`, Linux 5.19, on a ring with
 * `drive: true`. The controller's node must be open for writing, and the
 * process needs CAP_SYS_ADMIN.
 *
 * `Device Self-test In Progress`: another one runs. `Invalid Command Opcode`: the
 * drive has no self-test: see `optionalAdminCommandsBits.selfTest`.
 *
 * @example A short self-test, and its result
 * ```ts ignore
 * import { open, Ring } from "@uring/cmd";
 * import { deviceSelfTest, selfTestLog } from "@uring/cmd/nvme";
 * import { timeout } from "@uring/cmd/op";
 *
 * await using ring = Ring.open({ drive: true });
 * using drive = open("/dev/nvme0", { write: true });
 * await ring.cmd(deviceSelfTest(drive.fd, { test: "short" }));
 * let log = await ring.cmd(selfTestLog(drive.fd));
 * for (; log.currentTest !== null; log = await ring.cmd(selfTestLog(drive.fd))) {
 *   console.log(log.completionPercent, "%");
 *   await ring.cmd(timeout(1000));
 * }
 * console.log(log.results[0].resultName);
 * ```
 */
export function deviceSelfTest(
  file: FileRef,
  options: {
    /** The test to start, or `"abort"` for the one that runs. \[STC\] */
    test: SelfTest | "abort";
    /**
     * The namespace to test with the controller, or 0 for none. Default
     * 0xffff_ffff, all of them. \[NSID\]
     */
    nsid?: number;
    /** An argument of a vendor's test, 16 bits. Default 0. \[DSTP\] */
    parameter?: number;
  },
): Command<number> {
  checkObject("options", options);
  const { test, nsid = ALL_NAMESPACES, parameter = 0 } = options;
  checkName("test", test, CODES);
  const fields = {
    name: `DEVICE SELF-TEST ${test}`,
    opcode: nvme.nvme_admin_dev_self_test,
    nsid: checkU32("nsid", nsid),
    cdw10: CODES[test],
    cdw15: checkU16("parameter", parameter),
  };
  return adminCommand(file, fields, 0);
}

/** The self-tests of a drive. In brackets: the specification's names. */
export interface SelfTestLog {
  /** The test that runs; `null` for none. \[CDSTO, bits 3:0\] */
  readonly currentTest: SelfTest | number | null;
  /** Per cent of the test that are done. \[CDSTC, bits 6:0\] */
  readonly completionPercent: number;
  /** The results of at most 20 tests, the newest first. \[Result Data\] */
  readonly results: readonly SelfTestResult[];
}

/** The result of a self-test. In brackets: the specification's names. */
export interface SelfTestResult {
  /** The test; a number if the specification has no name for it. \[STS, STC\] */
  readonly test: SelfTest | number;
  /** The result, 0 to 14; 0 is a success. \[STS, DSTR\] */
  readonly result: number;
  /** The result in words, such as `"passed"`. */
  readonly resultName: string;
  /** The first segment that failed; `null` if that is not known. \[SEGN\] */
  readonly segment: number | null;
  /** Hours with power when the test ended. \[POH\] */
  readonly powerOnHours: bigint;
  /** The namespace that failed; `null` if not reported. \[NSID\] */
  readonly nsid: number | null;
  /** The logical block that failed; `null` if not reported. \[FLBA\] */
  readonly lba: bigint | null;
  /** The type of a status; `null` if not reported. \[SCT\] */
  readonly statusCodeType: number | null;
  /** The code of a status; `null` if not reported. \[SC\] */
  readonly statusCode: number | null;
  /** The name of the status; `null` if not reported. */
  readonly statusName: string | null;
  /** Two bytes of the vendor. \[VS\] */
  readonly vendorSpecific: number;
}

/** The results of a test, by their number. */
const RESULTS: readonly string[] = [
  "passed",
  "aborted by a command",
  "aborted by a reset of the controller",
  "aborted because a namespace was removed",
  "aborted by a format",
  "ended by a fatal or unknown error",
  "failed in an unknown segment",
  "failed",
  "aborted for an unknown reason",
  "aborted by a sanitize",
];
/** The result of a place in the list that has none. */
const UNUSED = 0xf;
/** The result with which the number of the segment counts. */
const KNOWN_SEGMENT = 7;

/**
 * Reads the log of the self-tests of a drive. Get Log Page through
 * `NVME_URING_CMD_ADMIN`, Linux 5.19, on a ring with `drive: true`, on a
 * controller's node. CAP_SYS_ADMIN. `Invalid Log Page`: the drive has no
 * self-test.
 */
export function selfTestLog(file: FileRef): Command<SelfTestLog> {
  const lid = nvme.NVME_LOG_LID_DEVICE_SELF_TEST;
  const byteLength = sizeof(nvme.nvme_self_test_log);
  return logPage("SELF-TEST LOG", file, { lid, byteLength }, (bytes) => {
    const view = viewOf(bytes);
    const { current_operation, completion, result } = nvme.nvme_self_test_log;
    const size = sizeof(nvme.nvme_st_result);
    const current = current_operation.get(view, 0) & 0xf;
    const results: SelfTestResult[] = [];
    for (let at = result.offset; at < byteLength; at += size) {
      const found = decodeResult(view, at);
      // A test without a code is none: the log of a new drive may be all zeros.
      if (found.result !== UNUSED && found.test !== 0) results.push(found);
    }
    return jsonable({
      currentTest: current === 0 ? null : NAMES.get(current) ?? current,
      completionPercent: current === 0 ? 0 : completion.get(view, 0) & 0x7f,
      results,
    });
  });
}

function decodeResult(view: DataView, at: number): SelfTestResult {
  const { nvme_st_result: f } = nvme;
  const status = f.dsts.get(view, at);
  const code = status >> 4;
  const result = status & 0xf;
  const valid = f.vdi.get(view, at);
  const only = <T>(bit: number, value: T) => valid & 1 << bit ? value : null;
  const statusCodeType = only(2, f.sct.get(view, at) & 7);
  const statusCode = only(3, f.sc.get(view, at));
  return jsonable({
    test: NAMES.get(code) ?? code,
    result,
    resultName: RESULTS[result] ?? `result ${result}`,
    segment: result === KNOWN_SEGMENT ? f.seg.get(view, at) : null,
    powerOnHours: BigInt(f.poh.get(view, at)),
    nsid: only(0, f.nsid.get(view, at)),
    lba: only(1, BigInt(f.flba.get(view, at))),
    statusCodeType,
    statusCode,
    statusName: statusCodeType === null || statusCode === null
      ? null
      : nvmeStatusName(statusCodeType, statusCode),
    vendorSpecific: view.getUint16(at + f.vs.offset, true),
  });
}
