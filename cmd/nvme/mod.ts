/**
 * Commands to NVMe drives that bypass the block layer. I/O commands go to the
 * node of a namespace, such as `/dev/ng0n1`; admin commands go to that of a
 * controller, such as `/dev/nvme0`.
 *
 * The commands need Linux 5.19 and a ring with large entries:
 * `Ring.open({ sqe128: true, cqe32: true })`. If the drive refuses a command,
 * the promise rejects with an {@linkcode NvmeError}; if the kernel does, with a
 * `UringError`.
 *
 * Before Linux 6.2, every command takes CAP_SYS_ADMIN. Since then, any user who
 * may open the node may identify, and may send the I/O commands whose only
 * effect, by the drive's own report, is on the content of blocks
 * (nvme_cmd_allowed()); those that write need the node open for writing.
 *
 * @example
 * ```ts ignore
 * import { Ring } from "@uring/cmd";
 * import { nvmeNamespace, read } from "@uring/cmd/nvme";
 * import { openat } from "@uring/cmd/op";
 *
 * await using ring = Ring.open({ sqe128: true, cqe32: true });
 * const namespace = nvmeNamespace(await ring.cmd(openat("/dev/ng0n1")));
 * const data = ring.alloc(namespace.blockSize);
 * await ring.cmd(read(namespace, { lba: 0, data }));
 * ```
 *
 * @module
 */

export { NvmeNamespace } from "./namespace.ts";
export { nvmeNamespace } from "./open.ts";
export { NvmeError, nvmeStatusName } from "./status.ts";
export type { NvmeData } from "./data.ts";
export { type NvmeFields, passthru } from "./passthru.ts";
export type {
  BlockFormat,
  ControllerIdentity,
  NamespaceIdentity,
} from "./identity.ts";
export {
  activeNamespaces,
  identifyController,
  identifyNamespace,
} from "./identify.ts";
export {
  errorLog,
  type ErrorLogEntry,
  type FirmwareLog,
  firmwareLog,
  type SmartLog,
  smartLog,
} from "./log.ts";
export {
  type Feature,
  type FeatureSelect,
  getFeatures,
  setFeatures,
} from "./features.ts";
export {
  type BlockOptions,
  type BlockRange,
  type BlockTransfer,
  compare,
  type DatasetManagement,
  datasetManagement,
  flush,
  type Protection,
  read,
  verify,
  write,
  writeZeroes,
} from "./blocks.ts";
export {
  type Zone,
  type ZoneAction,
  zoneAppend,
  zoneManagementReceive,
  zoneManagementSend,
  type ZoneReport,
  type ZoneState,
} from "./zones.ts";
export {
  NVME_FEAT_FID_ARBITRATION,
  NVME_FEAT_FID_ASYNC_EVENT,
  NVME_FEAT_FID_AUTO_PST,
  NVME_FEAT_FID_ERR_RECOVERY,
  NVME_FEAT_FID_HCTM,
  NVME_FEAT_FID_IRQ_COALESCE,
  NVME_FEAT_FID_NUM_QUEUES,
  NVME_FEAT_FID_POWER_MGMT,
  NVME_FEAT_FID_SW_PROGRESS,
  NVME_FEAT_FID_TEMP_THRESH,
  NVME_FEAT_FID_TIMESTAMP,
  NVME_FEAT_FID_VOLATILE_WC,
  NVME_FEAT_FID_WRITE_ATOMIC,
  NVME_FEAT_FID_WRITE_PROTECT,
} from "../../sys/uapi/nvme.ts";
