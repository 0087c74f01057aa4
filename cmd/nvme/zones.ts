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
import type { Completion } from "../../ring/completion.ts";
import { jsonable } from "../json.ts";
import { type BlockTransfer, transferBlocks, transferOf } from "./blocks.ts";
import type { NvmeNamespace } from "./namespace.ts";
import { ioCommand } from "./passthru.ts";

/** The state of a zone, by its name in the specification. */
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

/**
 * A zone of a namespace. In brackets: the specification's name of each field.
 */
export interface Zone {
  /** The first logical block of the zone, which identifies it. \[ZSLBA\] */
  readonly lba: bigint;
  /** Logical blocks of the zone that can be written. \[ZCAP\] */
  readonly capacity: bigint;
  /** The logical block to write next. \[WP\] */
  readonly writePointer: bigint;
  /** The state; a number if the specification has no name for it. \[ZS\] */
  readonly state: ZoneState | number;
  /** The type; 2 for "sequential write required". \[ZT\] */
  readonly type: number;
  /** Attribute bits. \[ZA\] */
  readonly attributes: number;
}

/** The result of {@linkcode zoneManagementReceive}. */
export interface ZoneReport {
  /** Zones from `lba` to the end, listed or not. \[Number of Zones\] */
  readonly zoneCount: bigint;
  /** The first `maxZones` of those zones. \[Zone Descriptor\] */
  readonly zones: readonly Zone[];
}

/**
 * Zones of a report by default: with its head, they fill a page of 4096 bytes.
 */
const DEFAULT_ZONES = 63;

/**
 * Reports the zone that `lba` is in, and the zones after it.
 *
 * Zone Management Receive through `NVME_URING_CMD_IO`, Linux 5.19, on a ring
 * with `drive: true`. Before 6.2, the process needs CAP_SYS_ADMIN.
 *
 * @example The state of each zone
 * ```ts ignore
 * import { zoneManagementReceive } from "@uring/cmd/nvme";
 *
 * const { zones } = await ring.cmd(zoneManagementReceive(namespace, { lba: 0 }));
 * for (const { lba, state, writePointer } of zones) console.log(lba, state);
 * ```
 */
export function zoneManagementReceive(
  namespace: NvmeNamespace,
  options: {
    /** A logical block of the first zone. */
    lba: number | bigint;
    /** Zones to list. Default 63, at most 65535. */
    maxZones?: number;
  },
): Command<ZoneReport> {
  const { lba, maxZones = DEFAULT_ZONES } = checkObject("options", options);
  checkU64("lba", lba);
  checkInteger("maxZones", maxZones, 1, 65535);
  const { nvme_zone_report: head, nvme_zns_desc: desc } = nvme;
  const byteLength = sizeof(head) + maxZones * sizeof(desc);
  const fields = {
    name: "ZONE MANAGEMENT RECEIVE",
    opcode: nvme.nvme_zns_cmd_mgmt_recv,
    cdw10: low(lba),
    cdw11: high(lba),
    cdw12: byteLength / 4 - 1,
    cdw13: 0, // Report Zones, in any state, and count all of them.
  };
  const decode = (completion: Completion) => {
    const { buffer, byteOffset } = completion.memory();
    const view = new DataView(buffer, byteOffset, byteLength);
    const zoneCount = BigInt(head.nr_zones.get(view, 0));
    const length = Math.min(Number(zoneCount), maxZones);
    const zones = Array.from({ length }, (_, i) => zone(view, i));
    return jsonable({ zoneCount, zones });
  };
  return ioCommand(namespace, fields, decode, { pieces: [], byteLength });
}

function zone(view: DataView, index: number): Zone {
  const { nvme_zone_report: head, nvme_zns_desc: desc } = nvme;
  const at = sizeof(head) + index * sizeof(desc);
  const state = desc.zs.get(view, at) >> 4;
  return jsonable({
    lba: BigInt(desc.zslba.get(view, at)),
    capacity: BigInt(desc.zcap.get(view, at)),
    writePointer: BigInt(desc.wp.get(view, at)),
    state: STATES.get(state) ?? state,
    type: desc.zt.get(view, at) & 0xf,
    attributes: desc.za.get(view, at),
  });
}

/** The actions of {@linkcode zoneManagementSend} on a zone. */
export type ZoneAction = "close" | "finish" | "open" | "reset" | "offline";

const ACTIONS: Readonly<Record<ZoneAction, number>> = {
  close: nvme.NVME_ZNS_ZSA_CLOSE,
  finish: nvme.NVME_ZNS_ZSA_FINISH,
  open: nvme.NVME_ZNS_ZSA_OPEN,
  reset: nvme.NVME_ZNS_ZSA_RESET,
  offline: nvme.NVME_ZNS_ZSA_OFFLINE,
};

/** Bit 8 of dword 13: acts on all zones in a suitable state. */
const SELECT_ALL = 1 << 8;

/**
 * **Destroys data** with `"reset"` and `"offline"`: the content of the zone is
 * gone. Changes the state of the zone that starts at `lba`, or of all zones.
 * The result is 0.
 *
 * Zone Management Send through `NVME_URING_CMD_IO`, Linux 5.19, on a ring with
 * `drive: true`. The node must be open for writing; before 6.2, the
 * process needs CAP_SYS_ADMIN as well. A state that does not allow the action
 * is an `NvmeError`, "Invalid Zone State Transition".
 */
export function zoneManagementSend(
  namespace: NvmeNamespace,
  options: {
    /** The first logical block of the zone, or `"all"`. \[SLBA, Select All\] */
    lba: number | bigint | "all";
    /** The action. \[ZSA\] */
    action: ZoneAction;
  },
): Command<number> {
  const { lba, action } = checkObject("options", options);
  checkName("action", action, ACTIONS);
  const all = lba === "all";
  const first = all ? 0 : checkU64("lba", lba);
  const fields = {
    name: `ZONE MANAGEMENT SEND ${action}`,
    opcode: nvme.nvme_zns_cmd_mgmt_send,
    cdw10: low(first),
    cdw11: high(first),
    cdw13: ACTIONS[action] | (all ? SELECT_ALL : 0),
  };
  return ioCommand(namespace, fields, 0);
}

/**
 * **Writes data.** Writes logical blocks after the content of the zone whose
 * first block is `lba`. The result is the first logical block that was written.
 *
 * Zone Append through `NVME_URING_CMD_IO`, Linux 5.19, on a ring with `drive: true`.
 * The node must be open for writing; before 6.2, the process needs
 * CAP_SYS_ADMIN as well.
 *
 * Several appends to one zone may be in flight: the drive writes them one after
 * the other, in an order of its own.
 *
 * @example Data at the end of a zone
 * ```ts ignore
 * import { zoneAppend, zoneManagementReceive } from "@uring/cmd/nvme";
 *
 * const { zones } = await ring.cmd(zoneManagementReceive(namespace, { lba: 0 }));
 * const { lba } = zones[0];
 * const written = await ring.cmd(zoneAppend(namespace, { lba, data }));
 * ```
 */
export function zoneAppend(
  namespace: NvmeNamespace,
  transfer: BlockTransfer,
): Command<bigint> {
  return transferBlocks(APPEND, namespace, transfer);
}

const APPEND = transferOf(
  "ZONE APPEND",
  nvme.nvme_zns_cmd_append,
  ({ extra1 }: Completion) => extra1,
);
