/**
 * What NVMe controllers and namespaces say of themselves.
 *
 * @module
 */

import * as nvme from "../../sys/uapi/nvme.ts";
import { sizeof } from "../../sys/struct.ts";
import { checkObject, checkU32 } from "../../ring/check.ts";
import type { Command, File } from "../../ring/command.ts";
import { hex, text, u128 } from "./values.ts";
import { adminCommand } from "./passthru.ts";

/** What an Identify command transfers. */
const ownBytes = 4096;

/**
 * What a controller says of itself. In brackets is what the specification calls a
 * field; what is not listed is in `bytes`.
 */
export interface ControllerIdentity {
  /** The vendor's PCI number. \[VID\] */
  readonly vendorId: number;
  /** The subsystem vendor's PCI number. \[SSVID\] */
  readonly subsystemVendorId: number;
  /** \[SN\] */
  readonly serialNumber: string;
  /** \[MN\] */
  readonly modelNumber: string;
  /** \[FR\] */
  readonly firmwareRevision: string;
  /** The vendor's number, as six hexadecimal digits. \[IEEE\] */
  readonly ieeeOui: string;
  /** \[CNTLID\] */
  readonly controllerId: number;
  /** 0 not said, 1 I/O, 2 discovery, 3 administrative. \[CNTRLTYPE\] */
  readonly controllerType: number;
  /** The version of the specification, such as `"1.4.0"`. \[VER\] */
  readonly version: string;
  /** The most that one command transfers, as 2 ** n smallest pages; 0 for any. \[MDTS\] */
  readonly maxTransferExponent: number;
  /** Commands in a burst before another queue has its turn, as 2 ** n. \[RAB\] */
  readonly arbitrationBurst: number;
  /** Bits: several ports, controllers, SR-IOV, ANA. \[CMIC\] */
  readonly multipath: number;
  /** Microseconds to wake up from a pause. \[RTD3R\] */
  readonly resumeMicros: number;
  /** Microseconds to go to one. \[RTD3E\] */
  readonly pauseMicros: number;
  /** Bits: events that it can tell of. \[OAES\] */
  readonly asyncEvents: number;
  /** Bits: attributes. \[CTRATT\] */
  readonly attributes: number;
  /** Bits: optional admin commands that it has. \[OACS\] */
  readonly optionalAdminCommands: number;
  /** Bits: optional I/O commands that it has. \[ONCS\] */
  readonly optionalNvmCommands: number;
  /** Bits: fused operations. \[FUSES\] */
  readonly fusedOperations: number;
  /** Bits: what a format or an erase is about. \[FNA\] */
  readonly formatAttributes: number;
  /** Abort commands under way at most. \[ACL + 1\] */
  readonly abortLimit: number;
  /** Event requests under way at most. \[AERL + 1\] */
  readonly asyncEventLimit: number;
  /** Bits: firmware slots and how they are updated. \[FRMW\] */
  readonly firmwareUpdates: number;
  /** Bits: what log pages can do. \[LPA\] */
  readonly logPageAttributes: number;
  /** Entries of the error log. \[ELPE + 1\] */
  readonly errorLogEntries: number;
  /** Power states. \[NPSS + 1\] */
  readonly powerStates: number;
  /** Kelvin at which it is too warm; 0 for not said. \[WCTEMP\] */
  readonly warningTemperatureKelvin: number;
  /** Kelvin at which it may fail; 0 for not said. \[CCTEMP\] */
  readonly criticalTemperatureKelvin: number;
  /** Units of 4 KiB of host memory that it would like. \[HMPRE\] */
  readonly hostMemoryPreferred: number;
  /** Units of 4 KiB of host memory that it needs. \[HMMIN\] */
  readonly hostMemoryMinimum: number;
  /** Bytes of storage in all; 0 where it has no namespace management. \[TNVMCAP\] */
  readonly totalCapacityBytes: bigint;
  /** Bytes of storage that no namespace has. \[UNVMCAP\] */
  readonly unallocatedCapacityBytes: bigint;
  /** Bits: ways to sanitize. \[SANICAP\] */
  readonly sanitizeCapabilities: number;
  /** Units of 100 ms of keep alive; 0 for none. \[KAS\] */
  readonly keepAliveGranularity: number;
  /** Commands under way in a queue at most; 0 for not said. \[MAXCMD\] */
  readonly maxOutstandingCommands: number;
  /** Namespace numbers go up to this. \[NN\] */
  readonly namespaceCount: number;
  /** It has a write cache that loses its content without power. \[VWC, bit 0\] */
  readonly volatileWriteCache: boolean;
  /** Logical blocks that are written as one. \[AWUN + 1\] */
  readonly atomicWriteBlocks: number;
  /** The same when the power fails. \[AWUPF + 1\] */
  readonly atomicWritePowerFailBlocks: number;
  /** Bits: how scattered memory can be described. \[SGLS\] */
  readonly sglSupport: number;
  /** \[SUBNQN\] */
  readonly subsystemNqn: string;
  /** All of it, 4096 bytes. */
  readonly bytes: Uint8Array;
}

/**
 * Asks a controller what it is. Identify through `NVME_URING_CMD_ADMIN`, Linux
 * 5.19, on a ring with `sqe128` and `cqe32`; since 6.2 any user who may open the
 * node, `/dev/nvme0` or the like; before, CAP_SYS_ADMIN.
 *
 * @example
 * ```ts ignore
 * import { Ring } from "@uring/cmd";
 * import { identifyController } from "@uring/cmd/nvme";
 * import { openat } from "@uring/cmd/op";
 *
 * await using ring = Ring.open({ sqe128: true, cqe32: true });
 * const fd = await ring.cmd(openat("/dev/nvme0"));
 * const { modelNumber, version } = await ring.cmd(identifyController(fd));
 * ```
 */
export function identifyController(file: File): Command<ControllerIdentity> {
  return identify(
    "CONTROLLER",
    file,
    nvme.NVME_IDENTIFY_CNS_CTRL,
    0,
    (bytes) => decodeController(bytes),
  );
}

function identify<T>(
  what: string,
  file: File,
  cns: number,
  nsid: number,
  decode: (bytes: Uint8Array) => T,
): Command<T> {
  return adminCommand(
    `IDENTIFY ${what}`,
    file,
    { opcode: nvme.nvme_admin_identify, nsid, cdw10: cns },
    (completion) => decode(completion.memory().slice()),
    { ownBytes },
  );
}

/** Reads the structure of 4096 bytes that Identify returns for a controller. */
export function decodeController(bytes: Uint8Array): ControllerIdentity {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const { nvme_id_ctrl: f } = nvme;
  const version = f.ver.get(view, 0);
  return {
    vendorId: f.vid.get(view, 0),
    subsystemVendorId: f.ssvid.get(view, 0),
    serialNumber: text(f.sn.get(view, 0)),
    modelNumber: text(f.mn.get(view, 0)),
    firmwareRevision: text(f.fr.get(view, 0)),
    ieeeOui: hex(f.ieee.get(view, 0).reverse()),
    controllerId: f.cntlid.get(view, 0),
    controllerType: f.cntrltype.get(view, 0),
    version: `${version >>> 16}.${version >> 8 & 0xff}.${version & 0xff}`,
    maxTransferExponent: f.mdts.get(view, 0),
    arbitrationBurst: f.rab.get(view, 0),
    multipath: f.cmic.get(view, 0),
    resumeMicros: f.rtd3r.get(view, 0),
    pauseMicros: f.rtd3e.get(view, 0),
    asyncEvents: f.oaes.get(view, 0),
    attributes: f.ctratt.get(view, 0),
    optionalAdminCommands: f.oacs.get(view, 0),
    optionalNvmCommands: f.oncs.get(view, 0),
    fusedOperations: f.fuses.get(view, 0),
    formatAttributes: f.fna.get(view, 0),
    abortLimit: f.acl.get(view, 0) + 1,
    asyncEventLimit: f.aerl.get(view, 0) + 1,
    firmwareUpdates: f.frmw.get(view, 0),
    logPageAttributes: f.lpa.get(view, 0),
    errorLogEntries: f.elpe.get(view, 0) + 1,
    powerStates: f.npss.get(view, 0) + 1,
    warningTemperatureKelvin: f.wctemp.get(view, 0),
    criticalTemperatureKelvin: f.cctemp.get(view, 0),
    hostMemoryPreferred: f.hmpre.get(view, 0),
    hostMemoryMinimum: f.hmmin.get(view, 0),
    totalCapacityBytes: u128(f.tnvmcap.get(view, 0)),
    unallocatedCapacityBytes: u128(f.unvmcap.get(view, 0)),
    sanitizeCapabilities: f.sanicap.get(view, 0),
    keepAliveGranularity: f.kas.get(view, 0),
    maxOutstandingCommands: f.maxcmd.get(view, 0),
    namespaceCount: f.nn.get(view, 0),
    volatileWriteCache: (f.vwc.get(view, 0) & 1) !== 0,
    atomicWriteBlocks: f.awun.get(view, 0) + 1,
    atomicWritePowerFailBlocks: f.awupf.get(view, 0) + 1,
    sglSupport: f.sgls.get(view, 0),
    subsystemNqn: text(f.subnqn.get(view, 0)),
    bytes,
  };
}

/** A format that a namespace can have. */
export interface BlockFormat {
  /** Bytes of data in a logical block; 0 for a format that there is not. */
  readonly dataBytes: number;
  /** Bytes of metadata with it. */
  readonly metadataBytes: number;
  /** 0 best, 1 better, 2 good, 3 degraded. */
  readonly performance: number;
}

/**
 * What a namespace says of itself. In brackets is what the specification calls a
 * field; what is not listed is in `bytes`.
 */
export interface NamespaceIdentity {
  /** Logical blocks. \[NSZE\] */
  readonly sizeBlocks: bigint;
  /** Logical blocks that can have content at one time. \[NCAP\] */
  readonly capacityBlocks: bigint;
  /** Logical blocks that have. \[NUSE\] */
  readonly usedBlocks: bigint;
  /** Bits: thin provisioning, atomicity, ... \[NSFEAT\] */
  readonly features: number;
  /** The formats that there are. \[LBAF, NLBAF\] */
  readonly formats: readonly BlockFormat[];
  /** Which of them the namespace has. \[FLBAS\] */
  readonly format: number;
  /** Metadata lie behind the data of each block. \[FLBAS, bit 4\] */
  readonly metadataInline: boolean;
  /** Bits: where metadata can be. \[MC\] */
  readonly metadataCapabilities: number;
  /** Bits: the protection that it can have. \[DPC\] */
  readonly protectionCapabilities: number;
  /** The type of protection information that it has; 0 for none. \[DPS\] */
  readonly protectionType: number;
  /** Several controllers can have it. \[NMIC, bit 0\] */
  readonly shared: boolean;
  /** Bits: reservations. \[RESCAP\] */
  readonly reservationCapabilities: number;
  /** Bits: what a deallocated block reads as. \[DLFEAT\] */
  readonly deallocateFeatures: number;
  /** Bytes of storage that it has. \[NVMCAP\] */
  readonly capacityBytes: bigint;
  /** Logical blocks of a transfer that is dealt with best; 0 for not said. \[NOIOB\] */
  readonly optimalBoundaryBlocks: number;
  /** Its write protection. \[NSATTR, bit 0\] */
  readonly writeProtected: boolean;
  /** 32 hexadecimal digits. \[NGUID\] */
  readonly nguid: string;
  /** 16 hexadecimal digits. \[EUI64\] */
  readonly eui64: string;
  /** All of it, 4096 bytes. */
  readonly bytes: Uint8Array;
}

/**
 * Asks about a namespace of a controller. Identify through
 * `NVME_URING_CMD_ADMIN`, Linux 5.19, on a ring with `sqe128` and `cqe32`; since
 * 6.2 any user who may open the controller's node; before, CAP_SYS_ADMIN.
 *
 * A number that is no active namespace's gives zeros; one that no namespace can
 * have is an `NvmeError`, "Invalid Namespace or Format".
 */
export function identifyNamespace(
  file: File,
  options: {
    /** The number of the namespace. */
    nsid: number;
  },
): Command<NamespaceIdentity> {
  const { nsid } = checkObject("options", options);
  checkU32("nsid", nsid);
  return identify(
    "NAMESPACE",
    file,
    nvme.NVME_IDENTIFY_CNS_NS,
    nsid,
    decodeNamespace,
  );
}

/** One of the formats in that structure, said to be there or not. */
export function decodeFormat(bytes: Uint8Array, index: number): BlockFormat {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const { nvme_id_ns, nvme_lbaf } = nvme;
  const at = nvme_id_ns.lbaf.offset + index * sizeof(nvme_lbaf);
  const shift = nvme_lbaf.ds.get(view, at);
  return {
    dataBytes: shift === 0 ? 0 : 2 ** shift,
    metadataBytes: nvme_lbaf.ms.get(view, at),
    performance: nvme_lbaf.rp.get(view, at) & 3,
  };
}

/** Reads the structure of 4096 bytes that Identify returns for a namespace. */
export function decodeNamespace(bytes: Uint8Array): NamespaceIdentity {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const { nvme_id_ns: f } = nvme;
  const nlbaf = f.nlbaf.get(view, 0);
  const flbas = f.flbas.get(view, 0);
  return {
    sizeBlocks: BigInt(f.nsze.get(view, 0)),
    capacityBlocks: BigInt(f.ncap.get(view, 0)),
    usedBlocks: BigInt(f.nuse.get(view, 0)),
    features: f.nsfeat.get(view, 0),
    formats: Array.from(
      { length: Math.min(nlbaf, 63) + 1 },
      (_, i) => decodeFormat(bytes, i),
    ),
    // Two more bits count where there can be more than sixteen.
    format: flbas & 0xf | (nlbaf > 15 ? (flbas >> 5 & 3) << 4 : 0),
    metadataInline: (flbas & 0x10) !== 0,
    metadataCapabilities: f.mc.get(view, 0),
    protectionCapabilities: f.dpc.get(view, 0),
    protectionType: f.dps.get(view, 0) & 7,
    shared: (f.nmic.get(view, 0) & 1) !== 0,
    reservationCapabilities: f.rescap.get(view, 0),
    deallocateFeatures: f.dlfeat.get(view, 0),
    capacityBytes: u128(f.nvmcap.get(view, 0)),
    optimalBoundaryBlocks: f.noiob.get(view, 0),
    writeProtected: (f.nsattr.get(view, 0) & 1) !== 0,
    nguid: hex(f.nguid.get(view, 0)),
    eui64: hex(f.eui64.get(view, 0)),
    bytes,
  };
}

/** Namespace numbers that one list has room for. */
const LIST_LENGTH = 1024;

/**
 * Lists the numbers of the active namespaces of a controller, in order: at most
 * 1024 of them, those above `after`. Identify through `NVME_URING_CMD_ADMIN`,
 * Linux 5.19, on a ring with `sqe128` and `cqe32`. CAP_SYS_ADMIN.
 */
export function activeNamespaces(
  file: File,
  options: {
    /** List namespaces with higher numbers than this. */
    after?: number;
  } = {},
): Command<number[]> {
  const { after = 0 } = checkObject("options", options);
  checkU32("after", after);
  return identify(
    "ACTIVE NAMESPACES",
    file,
    nvme.NVME_IDENTIFY_CNS_NS_ACTIVE_LIST,
    after,
    ({ buffer }) => {
      const list = [...new Uint32Array(buffer, 0, LIST_LENGTH)];
      const end = list.indexOf(0);
      return end < 0 ? list : list.slice(0, end);
    },
  );
}
