/**
 * Commands to NVMe drives, which are solid state drives on PCI Express or a
 * network. They bypass the block layer, the page cache and any mounted file system.
 *
 * A drive has one or more _controllers_, which manage it, and _namespaces_, which
 * hold the blocks. Linux has a _node_ for each, a file under /dev: `/dev/nvme0` for a
 * controller, `/dev/ng0n1` for a namespace (and `/dev/nvme0n1`, its block device).
 *
 * - Admin commands go to the node of a controller: identity, health (the SMART log)
 *   and other logs, features, self-test, format, sanitize.
 * - I/O commands go to the node of a namespace: read, write, discard, zones.
 *
 * {@linkcode listDrives} finds the nodes, and {@linkcode controllerNode} that of the
 * controller of a disk. A command reaches only the namespace that it names. If it
 * writes, its documentation says so.
 *
 * The commands need Linux 5.19 and a ring with large entries:
 * `Ring.open({ drive: true })`. If the drive refuses a command,
 * the promise rejects with an {@linkcode NvmeError}; if the kernel does, with a
 * `UringError`.
 *
 * Before Linux 6.2, every command needs CAP_SYS_ADMIN, a part of root's power. Since
 * then, any user who may open the node may send Identify, and those I/O commands
 * that, as the drive reports, change nothing but the content of blocks
 * (nvme_cmd_allowed()). Those that write need the node open for writing. Logs,
 * features and the list of namespaces still need CAP_SYS_ADMIN.
 *
 * Brackets such as \[SLBA\] have the specification's name of a field. A _dword_ is
 * 32 bits. Beside a number of bits such as `criticalWarning`, a field such as
 * `criticalWarningBits` has each bit as a boolean with a name.
 *
 * `JSON.stringify` takes every result: an integer becomes a number if it fits one,
 * and a string otherwise.
 *
 * @example The health of a drive
 * ```ts ignore
 * import { open, Ring } from "@uring/cmd";
 * import { smartLog } from "@uring/cmd/nvme";
 *
 * await using ring = Ring.open({ drive: true });
 * using drive = open("/dev/nvme0");
 * const smart = await ring.cmd(smartLog(drive.fd));
 * const kelvin = smart.temperatureKelvin; // 0 if the drive does not report it.
 * console.log("temperature", kelvin === 0 ? "unknown" : kelvin - 273, "°C");
 * console.log("written", smart.dataUnitsWritten * 512_000n, "bytes");
 * console.log("used up", smart.usedPercent, "%");
 * ```
 *
 * @example Reads of 1000 blocks, 32 of them in flight
 * ```ts ignore
 * import { open, Ring } from "@uring/cmd";
 * import { nvmeNamespace, read } from "@uring/cmd/nvme";
 *
 * await using ring = Ring.open({ drive: true });
 * using drive = open("/dev/ng0n1");
 * const namespace = nvmeNamespace(drive.fd);
 * const { blockSize } = namespace;
 * const memory = ring.alloc(32 * blockSize);
 * let next = 0;
 * async function reader(_: unknown, i: number) {
 *   const data = memory.subarray(i * blockSize, (i + 1) * blockSize);
 *   while (next < 1000) await ring.cmd(read(namespace, { lba: next++, data }));
 * }
 * await Promise.all(Array.from({ length: 32 }, reader));
 * console.log(next, "blocks");
 * ```
 *
 * @example Discard of blocks, which destroys the data in them
 * ```ts ignore
 * import { open, Ring } from "@uring/cmd";
 * import { openDisk } from "@uring/cmd/block";
 * import { datasetManagement, nvmeNamespace } from "@uring/cmd/nvme";
 * import { close } from "@uring/cmd/op";
 *
 * await using ring = Ring.open({ drive: true });
 * // The commands go to /dev/ng0n1, which opens while the disk is in use. So open
 * // the block device as well: openDisk() fails with EBUSY then.
 * const guard = await ring.cmd(openDisk("/dev/nvme0n1"));
 * using drive = open("/dev/ng0n1", { write: true });
 * const trim = { ranges: [{ lba: 2048, blocks: 1024 }], deallocate: true };
 * await ring.cmd(datasetManagement(nvmeNamespace(drive.fd), trim));
 * console.log("discarded");
 * await ring.cmd(close(guard));
 * ```
 *
 * @module
 */

export { NvmeNamespace } from "./namespace.ts";
export { nvmeNamespace } from "./open.ts";
export { NvmeError, nvmeStatusName } from "./status.ts";
export type { NvmeData } from "./data.ts";
export { type NvmeFields, passthru } from "./passthru.ts";
export {
  controllerNode,
  type Drive,
  type DriveNamespace,
  listDrives,
  type NodeAccess,
} from "./drives.ts";
export type {
  BlockFormat,
  ControllerIdentity,
  NamespaceIdentity,
} from "./identity.ts";
export type {
  AdminCommandBits,
  AsyncEventBits,
  ControllerAttributeBits,
  FirmwareBits,
  FormatBits,
  LogPageBits,
  MultipathBits,
  NvmCommandBits,
  SanitizeBits,
} from "./controller_bits.ts";
export type {
  DeallocateBits,
  MetadataBits,
  NamespaceFeatureBits,
  ProtectionBits,
  ReservationBits,
} from "./namespace_bits.ts";
export type { PowerState } from "./power.ts";
export type { NamespaceDescriptors } from "./descriptors.ts";
export type {
  ZonedControllerIdentity,
  ZonedFormat,
  ZonedNamespaceIdentity,
} from "./zoned_identity.ts";
export {
  activeNamespaces,
  identifyController,
  identifyNamespace,
  identifyZonedController,
  identifyZonedNamespace,
  namespaceDescriptors,
} from "./identify.ts";
export { getLogPage, type LogPageOptions } from "./log_page.ts";
export {
  errorLog,
  type ErrorLogEntry,
  type FirmwareLog,
  firmwareLog,
  smartLog,
} from "./log.ts";
export type {
  CriticalWarningBits,
  EnduranceGroupWarningBits,
  SmartLog,
} from "./smart.ts";
export {
  deviceSelfTest,
  type SelfTest,
  type SelfTestLog,
  selfTestLog,
  type SelfTestResult,
} from "./self_test.ts";
export { type CommandEffects, type EffectsLog, effectsLog } from "./effects.ts";
export { type EnduranceGroupLog, enduranceGroupLog } from "./endurance.ts";
export {
  type TelemetryHeader,
  telemetryHeader,
  type TelemetryInitiator,
} from "./telemetry.ts";
export type { DestroyOptions } from "./intent.ts";
export {
  type FormatErase,
  formatNvm,
  type FormatOptions,
  rescanNamespaces,
} from "./format.ts";
export {
  exitSanitizeFailure,
  sanitize,
  type SanitizeAction,
  type SanitizeLog,
  sanitizeLog,
  type SanitizeOptions,
} from "./sanitize.ts";
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
  type BlockMakerOptions,
  type BlockTransfers,
  readsOf,
  writesOf,
} from "./makers.ts";
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
