/**
 * NVMe commands on the zones of a zoned namespace.
 *
 * @module
 */

import * as nvme from "../../sys/uapi/nvme.ts";
import { high, low, sizeof } from "../../sys/struct.ts";
import {
  checkInteger,
  checkName,
  checkObject,
  checkU64,
} from "../../ring/check.ts";
import type { Command } from "../../ring/command.ts";
import type { NvmeNamespace } from "./open.ts";
import { type BlockTransfer, transferBlocks } from "./blocks.ts";
import { nvmeCommand } from "./passthru.ts";

/** What state a zone is in. */
export type ZoneState =
  | "empty"
  | "implicitly open"
  | "explicitly open"
  | "closed"
  | "read only"
  | "full"
  | "offline";

const STATES: ReadonlyMap<number, ZoneState> = new Map([
  [nvme.NVME_ZNS_ZS_EMPTY, "empty"],
  [nvme.NVME_ZNS_ZS_IMPL_OPEN, "implicitly open"],
  [nvme.NVME_ZNS_ZS_EXPL_OPEN, "explicitly open"],
  [nvme.NVME_ZNS_ZS_CLOSED, "closed"],
  [nvme.NVME_ZNS_ZS_READ_ONLY, "read only"],
  [nvme.NVME_ZNS_ZS_FULL, "full"],
  [nvme.NVME_ZNS_ZS_OFFLINE, "offline"],
]);

/** A zone of a namespace. */
export interface Zone {
  /** Its first logical block, which is also its name. */
  readonly lba: bigint;
  /** Logical blocks that can be written in it. */
  readonly capacity: bigint;
  /** The logical block that is written next. */
  readonly writePointer: bigint;
  /** What state it is in; a number where the specification has no name. */
  readonly state: ZoneState | number;
  /** The zone type: 2 is "sequential write required". */
  readonly type: number;
  /** Attribute bits. */
  readonly attributes: number;
}

/** What {@linkcode zoneManagementReceive} found. */
export interface ZoneReport {
  /** Zones from `lba` to the end of the namespace, listed here or not. */
  readonly zoneCount: bigint;
  /** Those that there was room for. */
  readonly zones: readonly Zone[];
}

/** Zones that fit what one report is read into by default. */
const DEFAULT_ZONES = 63;

/**
 * Reports zones. Zone Management Receive through `NVME_URING_CMD_IO`, Linux 5.19,
 * on a ring with `sqe128` and `cqe32`. The result is the zone that `lba` is in,
 * and those behind it, at most `maxZones` (63) of them.
 *
 * @example
 * ```ts ignore
 * const { zones } = await ring.cmd(zoneManagementReceive(namespace, { lba: 0 }));
 * for (const { lba, state, writePointer } of zones) console.log(lba, state);
 * ```
 */
export function zoneManagementReceive(
  namespace: NvmeNamespace,
  options: {
    /** A logical block of the first zone. */
    lba: number | bigint;
    /** Zones to list at most. */
    maxZones?: number;
  },
): Command<ZoneReport> {
  const { lba, maxZones = DEFAULT_ZONES } = checkObject("options", options);
  checkU64("lba", lba);
  checkInteger("maxZones", maxZones, 1, 65535);
  const { nvme_zone_report: head, nvme_zns_desc: desc } = nvme;
  const ownBytes = sizeof(head) + maxZones * sizeof(desc);
  return nvmeCommand(
    "ZONE MANAGEMENT RECEIVE",
    namespace,
    {
      opcode: nvme.nvme_zns_cmd_mgmt_recv,
      cdw10: low(lba),
      cdw11: high(lba),
      cdw12: ownBytes / 4 - 1,
      cdw13: 0, // Report Zones, all of them, counted whether there is room.
    },
    (completion) => {
      const { buffer, byteOffset } = completion.memory();
      const view = new DataView(buffer, byteOffset, ownBytes);
      const zoneCount = BigInt(head.nr_zones.get(view, 0));
      const listed = Math.min(Number(zoneCount), maxZones);
      const zones = Array.from(
        { length: listed },
        (_, i) => zone(view, sizeof(head) + i * sizeof(desc)),
      );
      return { zoneCount, zones };
    },
    { ownBytes },
  );
}

function zone(view: DataView, at: number): Zone {
  const { nvme_zns_desc: desc } = nvme;
  const state = desc.zs.get(view, at) >> 4;
  return {
    lba: BigInt(desc.zslba.get(view, at)),
    capacity: BigInt(desc.zcap.get(view, at)),
    writePointer: BigInt(desc.wp.get(view, at)),
    state: STATES.get(state) ?? state,
    type: desc.zt.get(view, at) & 0xf,
    attributes: desc.za.get(view, at),
  };
}

/** What {@linkcode zoneManagementSend} can do to a zone. */
export type ZoneAction = "close" | "finish" | "open" | "reset" | "offline";

const ACTIONS: Readonly<Record<ZoneAction, number>> = {
  close: nvme.NVME_ZNS_ZSA_CLOSE,
  finish: nvme.NVME_ZNS_ZSA_FINISH,
  open: nvme.NVME_ZNS_ZSA_OPEN,
  reset: nvme.NVME_ZNS_ZSA_RESET,
  offline: nvme.NVME_ZNS_ZSA_OFFLINE,
};

/** Bit 8 of dword 13: all zones that are in a fitting state. */
const SELECT_ALL = 1 << 8;

/**
 * **Destroys data** with `"reset"` and `"offline"`: what the zone held is gone.
 * Changes the state of the zone that starts at `lba`, or of all with
 * `lba: "all"`. The result is 0.
 *
 * Zone Management Send through `NVME_URING_CMD_IO`, Linux 5.19, on a ring with
 * `sqe128` and `cqe32`. The node must be open for writing. A state that does not
 * lead there is an `NvmeError`, "Invalid Zone State Transition".
 */
export function zoneManagementSend(
  namespace: NvmeNamespace,
  options: {
    /** The first logical block of the zone, or all zones. */
    lba: number | bigint | "all";
    /** What to do to it. */
    action: ZoneAction;
  },
): Command<number> {
  const { lba, action } = checkObject("options", options);
  checkName("action", action, ACTIONS);
  const all = lba === "all";
  const first = all ? 0 : checkU64("lba", lba);
  return nvmeCommand(
    `ZONE MANAGEMENT SEND ${action}`,
    namespace,
    {
      opcode: nvme.nvme_zns_cmd_mgmt_send,
      cdw10: low(first),
      cdw11: high(first),
      cdw13: ACTIONS[action] | (all ? SELECT_ALL : 0),
    },
    ({ res }) => res,
  );
}

/**
 * **Writes data.** Writes logical blocks at the end of what the zone holds, whose
 * first block is `lba`. The result is the logical block where they begin.
 *
 * Zone Append through `NVME_URING_CMD_IO`, Linux 5.19, on a ring with `sqe128`
 * and `cqe32`. The node must be open for writing. Several may be under way in one
 * zone: the drive puts them one behind the other.
 *
 * @example
 * ```ts ignore
 * const { lba } = zones[0];
 * const written = await ring.cmd(zoneAppend(namespace, { lba, data }));
 * ```
 */
export function zoneAppend(
  namespace: NvmeNamespace,
  transfer: BlockTransfer,
): Command<bigint> {
  const opcode = nvme.nvme_zns_cmd_append;
  return transferBlocks(
    "ZONE APPEND",
    opcode,
    namespace,
    transfer,
    (result) => result,
  );
}
