/**
 * Commands that identify NVMe controllers and their namespaces.
 *
 * @module
 */

import * as nvme from "../../sys/uapi/nvme.ts";
import { checkObject, checkU32 } from "../../ring/check.ts";
import { copyOf } from "../../ring/intrinsics.ts";
import type { Command, FileRef } from "../../ring/command.ts";
import type { Completion } from "../../ring/completion.ts";
import {
  type ControllerIdentity,
  decodeController,
  decodeNamespace,
  type NamespaceIdentity,
} from "./identity.ts";
import { decodeDescriptors, type NamespaceDescriptors } from "./descriptors.ts";
import { adminCommand } from "./passthru.ts";
import {
  decodeZonedController,
  decodeZonedNamespace,
  type ZonedControllerIdentity,
  type ZonedNamespaceIdentity,
} from "./zoned_identity.ts";

/**
 * Identifies a controller. Identify through `NVME_URING_CMD_ADMIN`, Linux 5.19,
 * on a ring with `drive: true`. CAP_SYS_ADMIN; since 6.2, any user who
 * may open the controller's node, such as `/dev/nvme0`.
 *
 * @example The model of a drive
 * ```ts ignore
 * import { open, Ring } from "@uring/cmd";
 * import { identifyController } from "@uring/cmd/nvme";
 *
 * await using ring = Ring.open({ drive: true });
 * using drive = open("/dev/nvme0");
 * const { modelNumber, version } = await ring.cmd(identifyController(drive.fd));
 * ```
 */
export function identifyController(file: FileRef): Command<ControllerIdentity> {
  const cns = nvme.NVME_IDENTIFY_CNS_CTRL;
  return identify("CONTROLLER", file, cns, 0, decodeController);
}

/**
 * Identifies a namespace of a controller. Identify through
 * `NVME_URING_CMD_ADMIN`, Linux 5.19, on a ring with `drive: true`.
 * CAP_SYS_ADMIN; since 6.2, any user who may open the controller's node.
 *
 * The result is all zeros if the namespace is not active. A number that no
 * namespace can have is an `NvmeError`, "Invalid Namespace or Format".
 */
export function identifyNamespace(
  file: FileRef,
  options: {
    /** The number of the namespace. \[NSID\] */
    nsid: number;
  },
): Command<NamespaceIdentity> {
  const { nsid } = checkObject("options", options);
  const cns = nvme.NVME_IDENTIFY_CNS_NS;
  return identify("NAMESPACE", file, cns, nsid, decodeNamespace);
}

/**
 * Lists the numbers of the active namespaces of a controller, in order: at most
 * 1024 of those above `after`. Identify through `NVME_URING_CMD_ADMIN`, Linux
 * 5.19, on a ring with `drive: true`. CAP_SYS_ADMIN.
 */
export function activeNamespaces(
  file: FileRef,
  options: {
    /** The number below the first one to list. Default 0. */
    after?: number;
  } = {},
): Command<number[]> {
  const { after = 0 } = checkObject("options", options);
  checkU32("after", after);
  const cns = nvme.NVME_IDENTIFY_CNS_NS_ACTIVE_LIST;
  return identify("ACTIVE NAMESPACES", file, cns, after, ({ buffer }) => {
    const list = [...new Uint32Array(buffer)];
    const end = list.indexOf(0);
    return end < 0 ? list : list.slice(0, end);
  });
}

/**
 * Asks for the identifiers of a namespace: EUI64, NGUID, UUID and command set.
 * Identify through `NVME_URING_CMD_ADMIN`, Linux 5.19, on a ring with `drive: true`.
 * CAP_SYS_ADMIN.
 *
 * `Invalid Namespace or Format`: the namespace is not active.
 */
export function namespaceDescriptors(
  file: FileRef,
  options: {
    /** The number of the namespace. \[NSID\] */
    nsid: number;
  },
): Command<NamespaceDescriptors> {
  const { nsid } = checkObject("options", options);
  const cns = nvme.NVME_IDENTIFY_CNS_NS_DESC_LIST;
  return identify("DESCRIPTORS", file, cns, nsid, decodeDescriptors);
}

/**
 * Asks a controller for its limits for zones. Identify through
 * `NVME_URING_CMD_ADMIN`, Linux 5.19, on a ring with `drive: true`.
 * CAP_SYS_ADMIN; since 6.2, any user who may open the controller's node.
 *
 * `Invalid Field in Command`: the controller has no zoned namespaces.
 */
export function identifyZonedController(
  file: FileRef,
): Command<ZonedControllerIdentity> {
  const cns = nvme.NVME_IDENTIFY_CNS_CSI_CTRL;
  const { NVME_CSI_ZNS: csi } = nvme;
  return identify("ZONED CONTROLLER", file, cns, 0, decodeZonedController, csi);
}

/**
 * Identifies a zoned namespace: its limits, and the length of its zones. Identify
 * through `NVME_URING_CMD_ADMIN`, Linux 5.19, on a ring with `drive: true`.
 * CAP_SYS_ADMIN; since 6.2, any user who may open the controller's node.
 *
 * `Invalid Field in Command`: the namespace has no zones.
 *
 * @example The length of the zones
 * ```ts ignore
 * import { identifyNamespace, identifyZonedNamespace } from "@uring/cmd/nvme";
 *
 * const { format } = await ring.cmd(identifyNamespace(fd, { nsid: 4 }));
 * const zoned = await ring.cmd(identifyZonedNamespace(fd, { nsid: 4 }));
 * console.log(zoned.formats[format].zoneBlocks, zoned.maxOpenZones);
 * ```
 */
export function identifyZonedNamespace(
  file: FileRef,
  options: {
    /** The number of the namespace. \[NSID\] */
    nsid: number;
  },
): Command<ZonedNamespaceIdentity> {
  const { nsid } = checkObject("options", options);
  const cns = nvme.NVME_IDENTIFY_CNS_CSI_NS;
  const { NVME_CSI_ZNS: csi } = nvme;
  return identify(
    "ZONED NAMESPACE",
    file,
    cns,
    nsid,
    decodeZonedNamespace,
    csi,
  );
}

function identify<T>(
  what: string,
  file: FileRef,
  cns: number,
  nsid: number,
  decode: (bytes: Uint8Array) => T,
  csi = 0,
): Command<T> {
  const name = `IDENTIFY ${what}`;
  const opcode = nvme.nvme_admin_identify;
  const id = checkU32("nsid", nsid);
  const fields = { name, opcode, nsid: id, cdw10: cns, cdw11: csi << 24 };
  const memory = { pieces: [], byteLength: 4096 };
  const result = (completion: Completion) =>
    decode(copyOf(completion.memory()));
  return adminCommand(file, fields, result, memory);
}
