/**
 * The telemetry of an NVMe drive, which its vendor understands.
 *
 * @module
 */

import * as nvme from "../../sys/uapi/nvme.ts";
import { sizeof } from "../../sys/struct.ts";
import { checkBoolean, checkName, checkObject } from "../../ring/check.ts";
import type { Command, FileRef } from "../../ring/command.ts";
import { hex } from "../json.ts";
import { logPage } from "./log_page.ts";
import { viewOf } from "./values.ts";

/** The initiator of a telemetry log: the host, or the controller itself. */
export type TelemetryInitiator = "host" | "controller";

const LIDS: Readonly<Record<TelemetryInitiator, number>> = {
  host: nvme.NVME_LOG_LID_TELEMETRY_HOST,
  controller: nvme.NVME_LOG_LID_TELEMETRY_CTRL,
};

/** Bytes of a block of data, and of the header before the first. */
const BLOCK = 512;

/** The head of a telemetry log. In brackets: the specification's names. */
export interface TelemetryHeader {
  /** The number of the log page: 7 host-initiated, 8 by the controller. \[LPI\] */
  readonly lid: number;
  /** The IEEE number of the vendor, as six hexadecimal digits. \[IEEE\] */
  readonly ieeeOui: string;
  /** The last blocks of data areas 1 to 4; 0 if empty. \[DA1LB to DA4LB\] */
  readonly lastBlocks: readonly number[];
  /**
   * Bytes of the page with data areas 1 to 4, the header included: so many has a
   * page up to the end of that area.
   */
  readonly areaEndBytes: readonly number[];
  /**
   * The number of the host's data; `null` in a log of the controller. \[THDGN\]
   */
  readonly hostGeneration: number | null;
  /** `true` if the controller has data that it made itself. \[TCDA\] */
  readonly controllerDataAvailable: boolean;
  /** The number of the data that the controller made. \[TCDGN\] */
  readonly controllerGeneration: number;
  /** The reason, in bytes of the vendor, as hexadecimal digits. \[RID\] */
  readonly reason: string;
}

/**
 * Reads the head of a telemetry log, which says how long the log is. The data is
 * read with `getLogPage()` from byte 512 on, in multiples of 512 bytes.
 *
 * Get Log Page through `NVME_URING_CMD_ADMIN`, Linux 5.19, on a ring with
 * `drive: true`, on a controller's node. CAP_SYS_ADMIN. `Invalid Log
 * Page`: the drive has no telemetry: see `logPageAttributesBits.telemetry`.
 *
 * @example Telemetry into a file
 * ```ts ignore
 * import { open, Ring } from "@uring/cmd";
 * import { getLogPage, telemetryHeader } from "@uring/cmd/nvme";
 *
 * await using ring = Ring.open({ drive: true });
 * using drive = open("/dev/nvme0", { write: true });
 * const head = await ring.cmd(telemetryHeader(drive.fd, { create: true }));
 * const end = head.areaEndBytes[2];
 * using out = Deno.openSync("telemetry.bin", { write: true, create: true });
 * for (let offset = 0; offset < end; offset += 4096) {
 *   const byteLength = Math.min(4096, end - offset);
 *   const page = { lid: head.lid, nsid: 0, offset, byteLength };
 *   out.writeSync(await ring.cmd(getLogPage(drive.fd, page)));
 * }
 * ```
 */
export function telemetryHeader(
  file: FileRef,
  options: {
    /** The initiator of the log. Default `"host"`. */
    initiator?: TelemetryInitiator;
    /**
     * `true` to make the drive capture new data first, for a log of the host. The
     * node must be open for writing. Default `false`. \[MCDA\]
     */
    create?: boolean;
  } = {},
): Command<TelemetryHeader> {
  const { initiator = "host", create = false } = checkObject(
    "options",
    options,
  );
  checkName("initiator", initiator, LIDS);
  const lsp = checkBoolean("create", create) ? 1 : 0;
  if (create && initiator !== "host") {
    throw new TypeError(
      'create captures data for the initiator "host": the controller makes its ' +
        "own when it finds a reason",
    );
  }
  const { nvme_telemetry_log: f } = nvme;
  const page = {
    lid: LIDS[initiator],
    nsid: 0,
    lsp,
    byteLength: sizeof(f),
    // Clearing the event would let the controller replace the data.
    retainAsyncEvent: initiator === "controller",
  };
  return logPage("TELEMETRY HEADER", file, page, (bytes) => {
    const view = viewOf(bytes);
    const lastBlocks = [f.dalb1, f.dalb2, f.dalb3, f.dalb4]
      .map((field) => field.get(view, 0));
    let end = 0;
    return {
      lid: f.lpi.get(view, 0),
      ieeeOui: hex(f.ieee.get(view, 0).reverse()),
      lastBlocks,
      areaEndBytes: lastBlocks.map((last) =>
        (1 + (end = Math.max(end, last))) * BLOCK
      ),
      hostGeneration: initiator === "host" ? f.hostdgn.get(view, 0) : null,
      controllerDataAvailable: (f.ctrlavail.get(view, 0) & 1) === 1,
      controllerGeneration: f.ctrldgn.get(view, 0),
      reason: hex(f.rsnident.get(view, 0)),
    };
  });
}
