/** The bits in the identity of a controller, by name. */

import { type BitsOf, flags } from "./values.ts";

/** The paths that a controller belongs to. \[CMIC\] */
export interface MultipathBits {
  /** The subsystem may have several ports. \[MPORTS, bit 0\] */
  readonly severalPorts: boolean;
  /** The subsystem may have several controllers. \[MCTRS, bit 1\] */
  readonly severalControllers: boolean;
  /** The controller is a virtual function of SR-IOV. \[FT, bit 2\] */
  readonly virtualFunction: boolean;
  /** Paths to a namespace may differ: ANA. \[ANARS, bit 3\] */
  readonly asymmetricAccess: boolean;
}

export const MULTIPATH: BitsOf<MultipathBits> = {
  severalPorts: 0,
  severalControllers: 1,
  virtualFunction: 2,
  asymmetricAccess: 3,
};

/** Notices that a controller may send. \[OAES\] */
export interface AsyncEventBits {
  /** The attributes of an attached namespace changed. \[NAN, bit 8\] */
  readonly namespaceAttributes: boolean;
  /** A firmware is being activated. \[FAN, bit 9\] */
  readonly firmwareActivation: boolean;
  /** The access through this path changed. \[ANACN, bit 11\] */
  readonly asymmetricAccess: boolean;
  /** The log of predictable latency events changed. \[PLEALCN, bit 12\] */
  readonly predictableLatency: boolean;
  /** The status of logical blocks changed. \[LBASIAN, bit 13\] */
  readonly blockStatus: boolean;
  /** The log of endurance group events changed. \[EGEALPCN, bit 14\] */
  readonly enduranceGroups: boolean;
  /** The subsystem was shut down. \[NNVMSS, bit 15\] */
  readonly shutdown: boolean;
  /** A temperature came back from its threshold. \[TTHR, bit 16\] */
  readonly temperatureRecovery: boolean;
  /** The descriptor of a zone changed. \[ZDCN, bit 27\] */
  readonly zoneDescriptors: boolean;
  /** The discovery log changed. \[DLPCN, bit 31\] */
  readonly discoveryLog: boolean;
}

export const ASYNC_EVENTS: BitsOf<AsyncEventBits> = {
  namespaceAttributes: 8,
  firmwareActivation: 9,
  asymmetricAccess: 11,
  predictableLatency: 12,
  blockStatus: 13,
  enduranceGroups: 14,
  shutdown: 15,
  temperatureRecovery: 16,
  zoneDescriptors: 27,
  discoveryLog: 31,
};

/** Attributes of a controller. \[CTRATT\] */
export interface ControllerAttributeBits {
  /** Host identifiers may have 128 bits. \[HIDS, bit 0\] */
  readonly longHostId: boolean;
  /** A state without operation may exceed its power. \[NOPSPM, bit 1\] */
  readonly nonOperationalPermissive: boolean;
  /** There are NVM sets. \[NSETS, bit 2\] */
  readonly nvmSets: boolean;
  /** There are levels of read recovery. \[RRLVLS, bit 3\] */
  readonly readRecoveryLevels: boolean;
  /** There are endurance groups. \[EGS, bit 4\] */
  readonly enduranceGroups: boolean;
  /** Latencies can be made predictable. \[PLM, bit 5\] */
  readonly predictableLatency: boolean;
  /** Any traffic keeps the connection alive. \[TBKAS, bit 6\] */
  readonly trafficKeepsAlive: boolean;
  /** The granularity of namespaces is reported. \[NG, bit 7\] */
  readonly namespaceGranularity: boolean;
  /** Submission queues can belong to an NVM set. \[SQA, bit 8\] */
  readonly queueAssociations: boolean;
  /** There is a list of UUIDs. \[ULIST, bit 9\] */
  readonly uuidList: boolean;
  /** The subsystem may have several domains. \[MDS, bit 10\] */
  readonly severalDomains: boolean;
  /** Capacity is managed in fixed parts. \[FCM, bit 11\] */
  readonly fixedCapacity: boolean;
  /** Capacity is managed in parts of any size. \[VCM, bit 12\] */
  readonly variableCapacity: boolean;
  /** Endurance groups can be deleted. \[DEG, bit 13\] */
  readonly deleteEnduranceGroup: boolean;
  /** NVM sets can be deleted. \[DNVMS, bit 14\] */
  readonly deleteNvmSet: boolean;
  /** Formats of blocks have an extension. \[ELBAS, bit 15\] */
  readonly extendedFormats: boolean;
  /** Limits of transfers do not count metadata. \[MEM, bit 16\] */
  readonly limitsExcludeMetadata: boolean;
  /** The host memory buffer can be restricted. \[HMBR, bit 17\] */
  readonly restrictedHostMemory: boolean;
  /** Data can be placed by the host. \[FDPS, bit 19\] */
  readonly flexibleDataPlacement: boolean;
}

export const ATTRIBUTES: BitsOf<ControllerAttributeBits> = {
  longHostId: 0,
  nonOperationalPermissive: 1,
  nvmSets: 2,
  readRecoveryLevels: 3,
  enduranceGroups: 4,
  predictableLatency: 5,
  trafficKeepsAlive: 6,
  namespaceGranularity: 7,
  queueAssociations: 8,
  uuidList: 9,
  severalDomains: 10,
  fixedCapacity: 11,
  variableCapacity: 12,
  deleteEnduranceGroup: 13,
  deleteNvmSet: 14,
  extendedFormats: 15,
  limitsExcludeMetadata: 16,
  restrictedHostMemory: 17,
  flexibleDataPlacement: 19,
};

/** Optional admin commands that a controller has. \[OACS\] */
export interface AdminCommandBits {
  /** Security Send and Security Receive. \[SSRS, bit 0\] */
  readonly security: boolean;
  /** Format NVM. \[FNVMS, bit 1\] */
  readonly format: boolean;
  /** Firmware Commit and Image Download. \[FWDS, bit 2\] */
  readonly firmware: boolean;
  /** Namespace Management and Attachment. \[NMS, bit 3\] */
  readonly namespaceManagement: boolean;
  /** Device Self-test. \[DSTS, bit 4\] */
  readonly selfTest: boolean;
  /** Directive Send and Directive Receive. \[DIRS, bit 5\] */
  readonly directives: boolean;
  /** NVMe-MI Send and NVMe-MI Receive. \[NSRS, bit 6\] */
  readonly managementInterface: boolean;
  /** Virtualization Management. \[VMS, bit 7\] */
  readonly virtualization: boolean;
  /** Doorbell Buffer Config. \[DBCS, bit 8\] */
  readonly doorbellBuffer: boolean;
  /** Get LBA Status. \[GLSS, bit 9\] */
  readonly blockStatus: boolean;
  /** Lockdown. \[CFLS, bit 10\] */
  readonly lockdown: boolean;
  /** Migration of a live controller. \[HMLMS, bit 11\] */
  readonly liveMigration: boolean;
}

export const ADMIN_COMMANDS: BitsOf<AdminCommandBits> = {
  security: 0,
  format: 1,
  firmware: 2,
  namespaceManagement: 3,
  selfTest: 4,
  directives: 5,
  managementInterface: 6,
  virtualization: 7,
  doorbellBuffer: 8,
  blockStatus: 9,
  lockdown: 10,
  liveMigration: 11,
};

/** Optional I/O commands that a controller has. \[ONCS\] */
export interface NvmCommandBits {
  /** Compare. \[NVMCMPS, bit 0\] */
  readonly compare: boolean;
  /** Write Uncorrectable. \[NVMWUSV, bit 1\] */
  readonly writeUncorrectable: boolean;
  /** Dataset Management. \[NVMDSMSV, bit 2\] */
  readonly datasetManagement: boolean;
  /** Write Zeroes. \[NVMWZSV, bit 3\] */
  readonly writeZeroes: boolean;
  /** Features are saved and selected. \[SSFS, bit 4\] */
  readonly saveFeatures: boolean;
  /** Reservations. \[RESERVS, bit 5\] */
  readonly reservations: boolean;
  /** The feature Timestamp. \[TSS, bit 6\] */
  readonly timestamp: boolean;
  /** Verify. \[NVMVFYS, bit 7\] */
  readonly verify: boolean;
  /** Copy. \[NVMCPYS, bit 8\] */
  readonly copy: boolean;
  /** A copy within the atomic write size is atomic. \[NVMCSA, bit 9\] */
  readonly atomicCopy: boolean;
  /** Every copy is fast. \[NVMAFC, bit 10\] */
  readonly fastCopy: boolean;
}

export const NVM_COMMANDS: BitsOf<NvmCommandBits> = {
  compare: 0,
  writeUncorrectable: 1,
  datasetManagement: 2,
  writeZeroes: 3,
  saveFeatures: 4,
  reservations: 5,
  timestamp: 6,
  verify: 7,
  copy: 8,
  atomicCopy: 9,
  fastCopy: 10,
};

/** The scope and the options of Format NVM. \[FNA\] */
export interface FormatBits {
  /** A format applies to all namespaces. \[FNS, bit 0\] */
  readonly formatsAll: boolean;
  /** An erase applies to all namespaces. \[SENS, bit 1\] */
  readonly erasesAll: boolean;
  /** The drive can erase by deleting its key. \[CRYES, bit 2\] */
  readonly cryptoErase: boolean;
  /** The number 0xffff_ffff does not stand for all. \[FNVMBS, bit 3\] */
  readonly noBroadcast: boolean;
}

export const FORMAT: BitsOf<FormatBits> = {
  formatsAll: 0,
  erasesAll: 1,
  cryptoErase: 2,
  noBroadcast: 3,
};

/** The ways in which a drive can sanitize. \[SANICAP\] */
export interface SanitizeBits {
  /** By deleting the key. \[CES, bit 0\] */
  readonly cryptoErase: boolean;
  /** By erasing blocks of flash. \[BES, bit 1\] */
  readonly blockErase: boolean;
  /** By overwriting. \[OWS, bit 2\] */
  readonly overwrite: boolean;
  /** The drive deallocates afterwards in any case. \[NDI, bit 29\] */
  readonly alwaysDeallocates: boolean;
}

export const SANITIZE: BitsOf<SanitizeBits> = {
  cryptoErase: 0,
  blockErase: 1,
  overwrite: 2,
  alwaysDeallocates: 29,
};

/** The log pages that a controller has, and how they are read. \[LPA\] */
export interface LogPageBits {
  /** A SMART log for each namespace. \[SMARTS, bit 0\] */
  readonly smartOfNamespaces: boolean;
  /** Commands Supported and Effects. \[CSES, bit 1\] */
  readonly effects: boolean;
  /** Offsets, and lengths beyond 16 KiB. \[LPEDS, bit 2\] */
  readonly offsets: boolean;
  /** Telemetry. \[TS, bit 3\] */
  readonly telemetry: boolean;
  /** Persistent Event. \[PES, bit 4\] */
  readonly persistentEvents: boolean;
  /** Supported Log Pages, and what else says which. \[MLPS, bit 5\] */
  readonly supportedPages: boolean;
  /** Data area 4 of telemetry. \[DA4S, bit 6\] */
  readonly telemetryArea4: boolean;
}

export const LOG_PAGES: BitsOf<LogPageBits> = {
  smartOfNamespaces: 0,
  effects: 1,
  offsets: 2,
  telemetry: 3,
  persistentEvents: 4,
  supportedPages: 5,
  telemetryArea4: 6,
};

/** The firmware slots, and how they are updated. \[FRMW\] */
export interface FirmwareBits {
  /** Slot 1 cannot be written. \[FFSRO, bit 0\] */
  readonly firstSlotReadOnly: boolean;
  /** The number of slots, 1 to 7. \[NOFS, bits 3:1\] */
  readonly slots: number;
  /** An image is activated without a reset. \[FAWR, bit 4\] */
  readonly activatesWithoutReset: boolean;
  /** Overlapping updates are detected. \[SMUD, bit 5\] */
  readonly detectsOverlap: boolean;
}

export function decodeFirmware(value: number): FirmwareBits {
  const bits = { firstSlotReadOnly: 0, activatesWithoutReset: 4 };
  return {
    ...flags(value, { ...bits, detectsOverlap: 5 }),
    slots: value >> 1 & 7,
  };
}
