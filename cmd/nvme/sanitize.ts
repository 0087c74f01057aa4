/**
 * The command that erases everything on an NVMe drive, and its progress.
 *
 * @module
 */

import * as nvme from "../../sys/uapi/nvme.ts";
import { sizeof } from "../../sys/struct.ts";
import {
  checkBoolean,
  checkInteger,
  checkName,
  checkObject,
  checkU32,
} from "../../ring/check.ts";
import type { Command, FileRef } from "../../ring/command.ts";
import { checkIntent, type DestroyOptions, unlessInUse } from "./intent.ts";
import { logPage } from "./log_page.ts";
import { adminCommand } from "./passthru.ts";
import { viewOf } from "./values.ts";

/** A way to sanitize a drive. */
export type SanitizeAction = "blockErase" | "overwrite" | "cryptoErase";

const ACTIONS: Readonly<Record<SanitizeAction, number>> = {
  blockErase: 2,
  overwrite: 3,
  cryptoErase: 4,
};
/** The action that ends the failure mode. \[SANACT\] */
const EXIT_FAILURE = 1;

/** Options of {@linkcode sanitize}. */
export interface SanitizeOptions extends DestroyOptions {
  /** The way, one of `sanitizeCapabilitiesBits`. \[SANACT\] */
  action: SanitizeAction;
  /**
   * `true` if the drive works again after a failure once {@linkcode
   * exitSanitizeFailure} was sent; otherwise only a sanitize that succeeds helps.
   * Default `false`. \[AUSE\]
   */
  allowExit?: boolean;
  /** Passes of an overwrite, 1 to 16. Default 1. \[OWPASS\] */
  passes?: number;
  /** The data of an overwrite, 32 bits. Default 0. \[OVRPAT\] */
  pattern?: number;
  /** Inverts the data of an overwrite from pass to pass. \[OIPBP\] */
  invertPattern?: boolean;
  /** Leaves the blocks allocated, so that they can be inspected. \[NDAS\] */
  noDeallocate?: boolean;
}

/**
 * **Destroys all data** of a drive: of all its namespaces, of its caches, of what
 * was deallocated, through whatever controller. It cannot be stopped, and goes on
 * after a loss of power. The result is 0, as soon as the drive has begun:
 * {@linkcode sanitizeLog} has the progress. Until it is done, the drive refuses
 * reads and writes.
 *
 * Sanitize through `NVME_URING_CMD_ADMIN`, Linux 5.19, on a ring with `drive: true`.
 * The controller's node must be open for writing, and the process needs
 * CAP_SYS_ADMIN.
 *
 * EBUSY: a namespace of this controller is mounted or otherwise in use, and
 * `shared` is not `true`. The drive may have more that are not attached to it.
 * `Sanitize In Progress`: the drive is at it. `Invalid Field in Command`,
 * `Invalid Command Opcode`: it does not have this action.
 *
 * @example Everything on a drive
 * ```ts ignore
 * import { open, Ring } from "@uring/cmd";
 * import { sanitize, sanitizeLog } from "@uring/cmd/nvme";
 * import { timeout } from "@uring/cmd/op";
 *
 * await using ring = Ring.open({ drive: true });
 * using drive = open("/dev/nvme0", { write: true });
 * const options = { action: "blockErase", destroyAllData: true } as const;
 * await ring.cmd(sanitize(drive.fd, options));
 * let log = await ring.cmd(sanitizeLog(drive.fd));
 * for (; log.status === 2; log = await ring.cmd(sanitizeLog(drive.fd))) {
 *   console.log(Math.floor(log.progress * 100), "%");
 *   await ring.cmd(timeout(1000));
 * }
 * console.log(log.statusName);
 * ```
 *
 * @throws {TypeError} without `destroyAllData: true`.
 */
export function sanitize(
  file: FileRef,
  options: SanitizeOptions,
): Command<number> {
  checkObject("options", options);
  const { action, allowExit = false, passes = 1, pattern = 0 } = options;
  const { invertPattern = false, noDeallocate = false } = options;
  const { shared = false, destroyAllData } = options;
  checkName("action", action, ACTIONS);
  checkInteger("passes", passes, 1, 16);
  const name = `SANITIZE ${action}`;
  checkIntent(name, destroyAllData);
  const fields = {
    name,
    opcode: nvme.nvme_admin_sanitize_nvm,
    nsid: 0,
    cdw10: ACTIONS[action] |
      (checkBoolean("allowExit", allowExit) ? 1 << 3 : 0) |
      // 0 stands for 16 passes.
      (action === "overwrite" ? (passes & 0xf) << 4 : 0) |
      (checkBoolean("invertPattern", invertPattern) ? 1 << 8 : 0) |
      (checkBoolean("noDeallocate", noDeallocate) ? 1 << 9 : 0),
    cdw11: checkU32("pattern", pattern),
  };
  const check = unlessInUse(file, shared, 0, () => true);
  return adminCommand(file, fields, 0, undefined, check);
}

/**
 * Ends the state that a drive is in after a sanitize that failed, if it was started
 * with `allowExit`. It destroys nothing that is left. The result is 0.
 *
 * Sanitize through `NVME_URING_CMD_ADMIN`, Linux 5.19, on a ring with `drive: true`.
 * The controller's node must be open for writing, and the process needs
 * CAP_SYS_ADMIN. `Sanitize Failed`: the drive does not allow it.
 */
export function exitSanitizeFailure(file: FileRef): Command<number> {
  const fields = {
    name: "SANITIZE exit failure mode",
    opcode: nvme.nvme_admin_sanitize_nvm,
    nsid: 0,
    cdw10: EXIT_FAILURE,
  };
  return adminCommand(file, fields, 0);
}

/** The progress of a sanitize. In brackets: the specification's names. */
export interface SanitizeLog {
  /** The progress, from 0 to 1; 1 if none is under way. \[SPROG\] */
  readonly progress: number;
  /**
   * 0 never sanitized, 1 done, 2 in progress, 3 failed, 4 done, and deallocated
   * though it was asked not to. \[SSTAT, SOS, bits 2:0\]
   */
  readonly status: number;
  /** The status in words, such as `"in progress"`. */
  readonly statusName: string;
  /** Passes of an overwrite that are done. \[SSTAT, OPC, bits 7:3\] */
  readonly completedPasses: number;
  /**
   * `true` if nothing was written since the last sanitize that succeeded, or since
   * the drive was made. \[SSTAT, GDE, bit 8\]
   */
  readonly globalDataErased: boolean;
  /** Dword 10 of the Sanitize that was last. \[SCDW10\] */
  readonly command: number;
  /** Seconds that an overwrite takes; `null` if not reported. \[ETO\] */
  readonly overwriteSeconds: number | null;
  /** Seconds that a block erase takes; `null` if not reported. \[ETBE\] */
  readonly blockEraseSeconds: number | null;
  /** Seconds that a crypto erase takes; `null` if not reported. \[ETCE\] */
  readonly cryptoEraseSeconds: number | null;
  /** The same for an overwrite with `noDeallocate`. \[ETODMM\] */
  readonly overwriteNoDeallocateSeconds: number | null;
  /** The same for a block erase with `noDeallocate`. \[ETBENMM\] */
  readonly blockEraseNoDeallocateSeconds: number | null;
  /** The same for a crypto erase with `noDeallocate`. \[ETCENMM\] */
  readonly cryptoEraseNoDeallocateSeconds: number | null;
}

const STATUSES: readonly string[] = [
  "never sanitized",
  "done",
  "in progress",
  "failed",
  "done and deallocated",
];
/** The status of a sanitize that is in progress. */
const IN_PROGRESS = 2;

/** The time that stands for none. */
const NOT_REPORTED = 0xffff_ffff;

/**
 * Reads the progress of a sanitize, and the time that each kind takes. Get Log Page through
 * `NVME_URING_CMD_ADMIN`, Linux 5.19, on a ring with `drive: true`, on a
 * controller's node. CAP_SYS_ADMIN. `Invalid Log Page`: the drive cannot sanitize.
 */
export function sanitizeLog(file: FileRef): Command<SanitizeLog> {
  const { nvme_sanitize_log_page: f } = nvme;
  const lid = nvme.NVME_LOG_LID_SANITIZE;
  const page = { lid, byteLength: sizeof(f) };
  return logPage("SANITIZE LOG", file, page, (bytes) => {
    const view = viewOf(bytes);
    const sstat = f.sstat.get(view, 0);
    const status = sstat & 7;
    const progress = f.sprog.get(view, 0);
    const seconds = (field: typeof f.eto) => {
      const value = field.get(view, 0);
      return value === NOT_REPORTED ? null : value;
    };
    return {
      progress: status === IN_PROGRESS ? progress / 0x1_0000 : 1,
      status,
      statusName: STATUSES[status] ?? `status ${status}`,
      completedPasses: sstat >> 3 & 0x1f,
      globalDataErased: (sstat >> 8 & 1) === 1,
      command: f.scdw10.get(view, 0),
      overwriteSeconds: seconds(f.eto),
      blockEraseSeconds: seconds(f.etbe),
      cryptoEraseSeconds: seconds(f.etce),
      overwriteNoDeallocateSeconds: seconds(f.etond),
      blockEraseNoDeallocateSeconds: seconds(f.etbend),
      cryptoEraseNoDeallocateSeconds: seconds(f.etcend),
    };
  });
}
