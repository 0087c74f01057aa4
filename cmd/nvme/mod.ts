/**
 * Commands of NVMe drives, past the block layer: to the node of a namespace, such
 * as `/dev/ng0n1`, or to that of a controller, such as `/dev/nvme0`.
 *
 * They need a ring with large entries,
 * `Ring.open({ sqe128: true, cqe32: true })`, and Linux 5.19. What a drive refuses
 * is an {@linkcode NvmeError}; what the kernel refuses, a `UringError`.
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

export { type NvmeNamespace, nvmeNamespace } from "./open.ts";
export { NvmeError, nvmeStatusName } from "./status.ts";
export { type NvmeData, type NvmeFields, passthru } from "./passthru.ts";
export {
  activeNamespaces,
  type BlockFormat,
  type ControllerIdentity,
  identifyController,
  identifyNamespace,
  type NamespaceIdentity,
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
