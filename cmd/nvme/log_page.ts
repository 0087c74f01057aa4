/**
 * The command that reads any log page of an NVMe drive.
 *
 * @module
 */

import * as nvme from "../../sys/uapi/nvme.ts";
import { high, low } from "../../sys/struct.ts";
import {
  checkBoolean,
  checkInteger,
  checkObject,
  checkU16,
  checkU32,
  checkU64,
  checkU8,
} from "../../ring/check.ts";
import { copyOf, partOf } from "../../ring/intrinsics.ts";
import type { Command, FileRef } from "../../ring/command.ts";
import type { Completion } from "../../ring/completion.ts";
import { adminCommand } from "./passthru.ts";

/** The number that stands for all namespaces: the whole controller. */
export const ALL_NAMESPACES = 0xffff_ffff;

/** Options of {@linkcode getLogPage}. */
export interface LogPageOptions {
  /** The number of the log page, 8 bits, such as 2 for SMART. \[LID\] */
  lid: number;
  /** Bytes to read: a multiple of 4, at most 4 MiB. \[NUMDL, NUMDU\] */
  byteLength: number;
  /**
   * The first byte to read, a multiple of 4. Default 0. A drive without
   * `logPageAttributesBits.offsets` ignores it. \[LPOL, LPOU\]
   */
  offset?: number | bigint;
  /**
   * The namespace. Default 0xffff_ffff, the whole controller. Some pages want 0.
   * \[NSID\]
   */
  nsid?: number;
  /** The page's specific field, 7 bits. Default 0. \[LSP\] */
  lsp?: number;
  /** The subject of the page, such as a group, 16 bits. Default 0. \[LSI\] */
  lsi?: number;
  /** The vendor whose page is read: an index of the list of UUIDs. \[UIDX\] */
  uuidIndex?: number;
  /** The command set whose page is read. Default 0, the NVM one. \[CSI\] */
  csi?: number;
  /**
   * `true` to keep the asynchronous event that this page belongs to. Otherwise
   * reading the page clears the event, and the next one can come. Default `false`.
   * \[RAE\]
   */
  retainAsyncEvent?: boolean;
  /**
   * Milliseconds until the driver aborts the command. Default: the driver's.
   */
  timeoutMs?: number;
}

/** Most bytes of one command. Drives and drivers have lower limits. */
const MOST = 4 * 2 ** 20;

/**
 * Reads a part of any log page. The result is its bytes, `byteLength` of them.
 *
 * Get Log Page through `NVME_URING_CMD_ADMIN`, Linux 5.19, on a ring with
 * `drive: true`, on a controller's node. CAP_SYS_ADMIN. A page whose `lsp`
 * asks for an action, such as a new telemetry log, needs the node open for
 * writing.
 *
 * `Invalid Log Page`: the drive does not have it. `Invalid Field in Command`: it
 * does not have the part, the namespace or the specific fields. EINVAL: the
 * command is longer than one transfer, which is `max_hw_sectors_kb` in
 * `/sys/block/nvme0n1/queue`. Read a long page in parts, all but the last one with
 * `retainAsyncEvent`.
 *
 * @example The log pages that a drive has
 * ```ts ignore
 * import { open, Ring } from "@uring/cmd";
 * import { getLogPage } from "@uring/cmd/nvme";
 *
 * await using ring = Ring.open({ drive: true });
 * using drive = open("/dev/nvme0");
 * const page = await ring.cmd(getLogPage(drive.fd, { lid: 0, byteLength: 1024 }));
 * const supported = new Uint32Array(page.buffer);
 * supported.forEach((bits, lid) => bits & 1 && console.log("page", lid));
 * ```
 */
export function getLogPage(
  file: FileRef,
  options: LogPageOptions,
): Command<Uint8Array> {
  const { lid } = checkObject("options", options);
  const name = `LOG PAGE 0x${checkU8("lid", lid).toString(16)}`;
  return logPage(name, file, options, copyOf);
}

/** Makes a Get Log Page that is decoded from memory of the command. */
export function logPage<T>(
  name: string,
  file: FileRef,
  options: LogPageOptions,
  decode: (bytes: Uint8Array) => T,
): Command<T> {
  const { lid, byteLength, offset = 0, nsid = ALL_NAMESPACES } = options;
  const { lsp = 0, lsi = 0, uuidIndex = 0, csi = 0, timeoutMs } = options;
  const { retainAsyncEvent = false } = options;
  checkInteger("byteLength", byteLength, 4, MOST);
  checkU64("offset", offset);
  checkWhole("byteLength", byteLength);
  checkWhole("offset", offset);
  const dwords = byteLength / 4 - 1;
  const retain = checkBoolean("retainAsyncEvent", retainAsyncEvent) ? 1 : 0;
  const action = checkInteger("lsp", lsp, 0, 0x7f);
  const fields = {
    name,
    opcode: nvme.nvme_admin_get_log_page,
    nsid: checkU32("nsid", nsid),
    cdw10: (checkU8("lid", lid) | action << 8 | retain << 15 |
      (dwords & 0xffff) << 16) >>> 0,
    cdw11: (dwords >>> 16 | checkU16("lsi", lsi) << 16) >>> 0,
    cdw12: low(offset),
    cdw13: high(offset),
    cdw14: (checkInteger("uuidIndex", uuidIndex, 0, 0x7f) |
      checkU8("csi", csi) << 24) >>> 0,
    timeoutMs,
  };
  const result = (completion: Completion) =>
    decode(partOf(completion.memory(), 0, byteLength));
  return adminCommand(file, fields, result, { pieces: [], byteLength });
}

/** Refuses a number of bytes that is no number of dwords. */
function checkWhole(name: string, value: number | bigint): void {
  if (low(value) % 4 === 0) return;
  throw new RangeError(`${name} must be a multiple of 4, not ${value}`);
}
