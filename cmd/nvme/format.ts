/**
 * The command that formats NVMe namespaces, and the one that tells the kernel.
 *
 * @module
 */

import * as nvme from "../../sys/uapi/nvme.ts";
import { syscall } from "../../sys/libc.ts";
import { NVME_IOCTL_RESCAN } from "../../sys/uapi/nvme_ioctl.ts";
import {
  checkBoolean,
  checkFd,
  checkInteger,
  checkName,
  checkObject,
  checkU32,
} from "../../ring/check.ts";
import type { Command, FileRef } from "../../ring/command.ts";
import { uringCmdAdvice, UringError } from "../../ring/errors.ts";
import { checkIntent, type DestroyOptions, unlessInUse } from "./intent.ts";
import { ALL_NAMESPACES } from "./log_page.ts";
import { decodeController } from "./identity.ts";
import { identify } from "./open.ts";
import { checkNode } from "./node.ts";
import { adminCommand } from "./passthru.ts";

/** The erase that a format begins with. */
export type FormatErase = "none" | "userData" | "crypto";

const ERASES: Readonly<Record<FormatErase, number>> = {
  none: 0,
  userData: 1,
  crypto: 2,
};

/** Milliseconds that a format may take by default, as with nvme-cli. */
const TEN_MINUTES = 600_000;

/** Options of {@linkcode formatNvm}. */
export interface FormatOptions extends DestroyOptions {
  /**
   * The number of the namespace, or `"all"`. Drives with `formatsAll` or
   * `erasesAll` in `formatAttributesBits` take all in any case. \[NSID\]
   */
  nsid: number | "all";
  /**
   * The format: an index of `formats` of `identifyNamespace()`, which says how
   * many bytes a block has. \[LBAFL, LBAFU\]
   */
  format: number;
  /** The erase to begin with. Default `"none"`. \[SES\] */
  erase?: FormatErase;
  /** Metadata after the data of each block. Default `false`. \[MSET\] */
  metadataInline?: boolean;
  /** The type of protection information, 0 to 3. Default 0, none. \[PI\] */
  protectionType?: number;
  /** Protection information first in the metadata. Default `false`. \[PIL\] */
  protectionFirst?: boolean;
  /** Milliseconds until the driver aborts it. Default 600000, ten minutes. */
  timeoutMs?: number;
}

/**
 * **Destroys all data** of a namespace, or of all: gives it a format, which says
 * how long its blocks are. The result is 0.
 *
 * Format NVM through `NVME_URING_CMD_ADMIN`, Linux 5.19, on a ring with `drive: true`.
 * The controller's node must be open for writing, and the process
 * needs CAP_SYS_ADMIN. Afterwards call {@linkcode rescanNamespaces}: the kernel
 * does not look at commands that pass through io_uring, and reads and writes
 * blocks of the old length until then.
 *
 * EBUSY: a namespace that is formatted is mounted or otherwise in use, and `shared`
 * is not `true`. That is looked at once, when the command is queued.
 *
 * `Invalid Format`: the namespace does not have it, or not with this metadata and
 * protection. `Invalid Command Opcode`: see `optionalAdminCommandsBits.format`.
 *
 * @example Blocks of 4096 bytes
 * ```ts ignore
 * import { open, Ring } from "@uring/cmd";
 * import * as nvme from "@uring/cmd/nvme";
 *
 * await using ring = Ring.open({ drive: true });
 * using drive = open("/dev/nvme0", { write: true });
 * const { formats } = await ring.cmd(nvme.identifyNamespace(drive.fd, { nsid: 1 }));
 * const format = formats.findIndex(({ dataBytes, metadataBytes }) =>
 *   dataBytes === 4096 && metadataBytes === 0
 * );
 * const options = { nsid: 1, format, destroyAllData: true } as const;
 * await ring.cmd(nvme.formatNvm(drive.fd, options));
 * nvme.rescanNamespaces(drive.fd);
 * ```
 *
 * @throws {TypeError} without `destroyAllData: true`.
 */
export function formatNvm(
  file: FileRef,
  options: FormatOptions,
): Command<number> {
  checkObject("options", options);
  const { nsid, format, erase = "none", metadataInline = false } = options;
  const { protectionType = 0, protectionFirst = false } = options;
  const { timeoutMs = TEN_MINUTES, shared = false, destroyAllData } = options;
  const number = nsid === "all"
    ? ALL_NAMESPACES
    : checkInteger("nsid", nsid, 1, ALL_NAMESPACES);
  const name = `FORMAT NVM of ${
    number === ALL_NAMESPACES ? "all namespaces" : `namespace ${number}`
  }`;
  checkName("erase", erase, ERASES);
  checkInteger("format", format, 0, 63);
  checkInteger("protectionType", protectionType, 0, 3);
  checkIntent(name, destroyAllData);
  const inline = checkBoolean("metadataInline", metadataInline) ? 1 : 0;
  const first = checkBoolean("protectionFirst", protectionFirst) ? 1 : 0;
  const fields = {
    name,
    opcode: nvme.nvme_admin_format_nvm,
    nsid: number,
    cdw10: format & 0xf | inline << 4 | protectionType << 5 | first << 8 |
      ERASES[erase] << 9 | format >> 4 << 12,
    timeoutMs: checkU32("timeoutMs", timeoutMs),
  };
  const takesAll = () => number === ALL_NAMESPACES || formatsAll(file, erase);
  const check = unlessInUse(file, shared, number, takesAll);
  return adminCommand(file, fields, 0, undefined, check);
}

/** Asks a drive if a format of one namespace formats or erases all of them. */
function formatsAll(file: FileRef, erase: FormatErase): boolean {
  if (typeof file !== "number") return true; // There is no asking without a ring.
  const cns = nvme.NVME_IDENTIFY_CNS_CTRL;
  const { formatAttributesBits } = decodeController(identify(file, 0, cns));
  return formatAttributesBits.formatsAll ||
    erase !== "none" && formatAttributesBits.erasesAll;
}

/**
 * Makes the kernel look at the namespaces of a controller again, as after a format,
 * which it does not notice itself. It does so in the background: wait until
 * `listDrives()` has the new size.
 *
 * `NVME_IOCTL_RESCAN`, without a ring. CAP_SYS_ADMIN, which old kernels do not ask
 * for.
 *
 * @throws {TypeError} if `fd` is not open on the node of a controller.
 * @throws {UringError} if the kernel refuses.
 */
export function rescanNamespaces(fd: number): void {
  checkNode(checkFd(fd), "RESCAN", false);
  const rc = syscall("ioctl", fd, NVME_IOCTL_RESCAN);
  if (rc < 0) {
    throw new UringError("ioctl RESCAN", fd, -rc, uringCmdAdvice(-rc));
  }
}
