/** The structures that Identify returns about controllers and namespaces. */

import * as nvme from "../../sys/uapi/nvme.ts";
import { sizeof } from "../../sys/struct.ts";
import { hex, jsonable } from "../json.ts";
import * as controller from "./controller_bits.ts";
import * as namespace from "./namespace_bits.ts";
import { decodePowerState, type PowerState } from "./power.ts";
import { flags, text, u128, utf8 } from "./values.ts";

/**
 * The identity of a controller. In brackets: the specification's name of each
 * field. The fields that are not listed are in `bytes`, which JSON leaves out.
 */
export interface ControllerIdentity {
  /** The PCI number of the vendor. \[VID\] */
  readonly vendorId: number;
  /** The PCI number of the subsystem's vendor. \[SSVID\] */
  readonly subsystemVendorId: number;
  /** The serial number. \[SN\] */
  readonly serialNumber: string;
  /** The name of the model. \[MN\] */
  readonly modelNumber: string;
  /** The revision of the active firmware. \[FR\] */
  readonly firmwareRevision: string;
  /** The IEEE number of the vendor, as six hexadecimal digits. \[IEEE\] */
  readonly ieeeOui: string;
  /** The number of the controller in its subsystem. \[CNTLID\] */
  readonly controllerId: number;
  /** 0 not reported, 1 I/O, 2 discovery, 3 administrative. \[CNTRLTYPE\] */
  readonly controllerType: number;
  /** The version of the specification, such as `"1.4.0"`. \[VER\] */
  readonly version: string;
  /**
   * The limit of a transfer, as 2 ** n smallest memory pages; 0 for none.
   * \[MDTS\]
   */
  readonly maxTransferExponent: number;
  /** The recommended arbitration burst, as 2 ** n commands. \[RAB\] */
  readonly arbitrationBurst: number;
  /**
   * Bits: 0 several ports, 1 several controllers, 2 a virtual controller (SR-IOV), 3
   * paths to a namespace that differ (asymmetric namespace access, ANA). \[CMIC\]
   */
  readonly multipath: number;
  /** The bits of `multipath` by name. \[CMIC\] */
  readonly multipathBits: controller.MultipathBits;
  /** Microseconds to resume from Runtime D3. \[RTD3R\] */
  readonly resumeMicros: number;
  /** Microseconds to enter Runtime D3. \[RTD3E\] */
  readonly pauseMicros: number;
  /** Bits: optional asynchronous events. \[OAES\] */
  readonly asyncEvents: number;
  /** The bits of `asyncEvents` by name. \[OAES\] */
  readonly asyncEventsBits: controller.AsyncEventBits;
  /** Bits: attributes. \[CTRATT\] */
  readonly attributes: number;
  /** The bits of `attributes` by name. \[CTRATT\] */
  readonly attributesBits: controller.ControllerAttributeBits;
  /** Bits: optional admin commands. \[OACS\] */
  readonly optionalAdminCommands: number;
  /** The bits of `optionalAdminCommands` by name. \[OACS\] */
  readonly optionalAdminCommandsBits: controller.AdminCommandBits;
  /** Bits: optional I/O commands. \[ONCS\] */
  readonly optionalNvmCommands: number;
  /** The bits of `optionalNvmCommands` by name. \[ONCS\] */
  readonly optionalNvmCommandsBits: controller.NvmCommandBits;
  /** Bits: fused operations. \[FUSES\] */
  readonly fusedOperations: number;
  /** Bits: the scope and the options of Format NVM. \[FNA\] */
  readonly formatAttributes: number;
  /** The bits of `formatAttributes` by name. \[FNA\] */
  readonly formatAttributesBits: controller.FormatBits;
  /** Abort commands that may be in flight. \[ACL + 1\] */
  readonly abortLimit: number;
  /** Asynchronous Event Requests that may be in flight. \[AERL + 1\] */
  readonly asyncEventLimit: number;
  /** Bits: firmware slots and how they are updated. \[FRMW\] */
  readonly firmwareUpdates: number;
  /** The bits of `firmwareUpdates` by name. \[FRMW\] */
  readonly firmwareUpdatesBits: controller.FirmwareBits;
  /** Bits: attributes of log pages. \[LPA\] */
  readonly logPageAttributes: number;
  /** The bits of `logPageAttributes` by name. \[LPA\] */
  readonly logPageAttributesBits: controller.LogPageBits;
  /** Entries that the error log can hold. \[ELPE + 1\] */
  readonly errorLogEntries: number;
  /** The number of power states. \[NPSS + 1\] */
  readonly powerStates: number;
  /** The power states, the one with the most power first. \[PSD0 to PSD31\] */
  readonly powerStateDescriptors: readonly PowerState[];
  /** Kelvin at which the drive overheats; 0 if not reported. \[WCTEMP\] */
  readonly warningTemperatureKelvin: number;
  /** Kelvin at which overheating is critical; 0 if not reported. \[CCTEMP\] */
  readonly criticalTemperatureKelvin: number;
  /** The preferred host memory buffer, in units of 4 KiB. \[HMPRE\] */
  readonly hostMemoryPreferred: number;
  /** The smallest host memory buffer, in units of 4 KiB. \[HMMIN\] */
  readonly hostMemoryMinimum: number;
  /** Bytes of storage; 0 without namespace management. \[TNVMCAP\] */
  readonly totalCapacityBytes: bigint;
  /** Bytes of storage that belong to no namespace. \[UNVMCAP\] */
  readonly unallocatedCapacityBytes: bigint;
  /** Bits: ways to sanitize. \[SANICAP\] */
  readonly sanitizeCapabilities: number;
  /** The bits of `sanitizeCapabilities` by name. \[SANICAP\] */
  readonly sanitizeCapabilitiesBits: controller.SanitizeBits;
  /** The granularity of keep alive, in units of 100 ms; 0 for none. \[KAS\] */
  readonly keepAliveGranularity: number;
  /** Commands of one queue in flight at most; 0 if not reported. \[MAXCMD\] */
  readonly maxOutstandingCommands: number;
  /** The highest number that a namespace can have. \[NN\] */
  readonly namespaceCount: number;
  /** `true` with a write cache that needs power. \[VWC, bit 0\] */
  readonly volatileWriteCache: boolean;
  /** Logical blocks that are written as a unit. \[AWUN + 1\] */
  readonly atomicWriteBlocks: number;
  /** Logical blocks that are written as a unit if power fails. \[AWUPF + 1\] */
  readonly atomicWritePowerFailBlocks: number;
  /** Bits: the SGLs, which describe scattered memory. \[SGLS\] */
  readonly sglSupport: number;
  /** The qualified name of the subsystem. \[SUBNQN\] */
  readonly subsystemNqn: string;
  /** The whole structure, 4096 bytes. */
  readonly bytes: Uint8Array;
}

/** Decodes the 4096 bytes that Identify returns for a controller. */
export function decodeController(bytes: Uint8Array): ControllerIdentity {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const { nvme_id_ctrl: f } = nvme;
  const version = f.ver.get(view, 0);
  return jsonable({
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
    multipathBits: flags(f.cmic.get(view, 0), controller.MULTIPATH),
    resumeMicros: f.rtd3r.get(view, 0),
    pauseMicros: f.rtd3e.get(view, 0),
    asyncEvents: f.oaes.get(view, 0),
    asyncEventsBits: flags(f.oaes.get(view, 0), controller.ASYNC_EVENTS),
    attributes: f.ctratt.get(view, 0),
    attributesBits: flags(f.ctratt.get(view, 0), controller.ATTRIBUTES),
    optionalAdminCommands: f.oacs.get(view, 0),
    optionalAdminCommandsBits: flags(
      f.oacs.get(view, 0),
      controller.ADMIN_COMMANDS,
    ),
    optionalNvmCommands: f.oncs.get(view, 0),
    optionalNvmCommandsBits: flags(
      f.oncs.get(view, 0),
      controller.NVM_COMMANDS,
    ),
    fusedOperations: f.fuses.get(view, 0),
    formatAttributes: f.fna.get(view, 0),
    formatAttributesBits: flags(f.fna.get(view, 0), controller.FORMAT),
    abortLimit: f.acl.get(view, 0) + 1,
    asyncEventLimit: f.aerl.get(view, 0) + 1,
    firmwareUpdates: f.frmw.get(view, 0),
    firmwareUpdatesBits: controller.decodeFirmware(f.frmw.get(view, 0)),
    logPageAttributes: f.lpa.get(view, 0),
    logPageAttributesBits: flags(f.lpa.get(view, 0), controller.LOG_PAGES),
    errorLogEntries: f.elpe.get(view, 0) + 1,
    powerStates: f.npss.get(view, 0) + 1,
    powerStateDescriptors: powerStates(view),
    warningTemperatureKelvin: f.wctemp.get(view, 0),
    criticalTemperatureKelvin: f.cctemp.get(view, 0),
    hostMemoryPreferred: f.hmpre.get(view, 0),
    hostMemoryMinimum: f.hmmin.get(view, 0),
    totalCapacityBytes: u128(f.tnvmcap.get(view, 0)),
    unallocatedCapacityBytes: u128(f.unvmcap.get(view, 0)),
    sanitizeCapabilities: f.sanicap.get(view, 0),
    sanitizeCapabilitiesBits: flags(
      f.sanicap.get(view, 0),
      controller.SANITIZE,
    ),
    keepAliveGranularity: f.kas.get(view, 0),
    maxOutstandingCommands: f.maxcmd.get(view, 0),
    namespaceCount: f.nn.get(view, 0),
    volatileWriteCache: (f.vwc.get(view, 0) & 1) !== 0,
    atomicWriteBlocks: f.awun.get(view, 0) + 1,
    atomicWritePowerFailBlocks: f.awupf.get(view, 0) + 1,
    sglSupport: f.sgls.get(view, 0),
    subsystemNqn: utf8(f.subnqn.get(view, 0)),
    bytes,
  }, "bytes");
}

/** Decodes the power states of a controller, of which there are at most 32. */
function powerStates(view: DataView): PowerState[] {
  const { npss, psd } = nvme.nvme_id_ctrl;
  const length = Math.min(npss.get(view, 0), 31) + 1;
  const size = sizeof(nvme.nvme_id_psd);
  return Array.from(
    { length },
    (_, i) => decodePowerState(view, psd.offset + i * size),
  );
}

/** A format that a namespace can have. */
export interface BlockFormat {
  /**
   * Bytes of data in a logical block; 0 if the format does not exist. \[LBADS\]
   */
  readonly dataBytes: number;
  /** Bytes of metadata of a logical block. \[MS\] */
  readonly metadataBytes: number;
  /** 0 best, 1 better, 2 good, 3 degraded. \[RP\] */
  readonly performance: number;
}

/**
 * The identity of a namespace. In brackets: the specification's name of each
 * field. The fields that are not listed are in `bytes`, which JSON leaves out.
 */
export interface NamespaceIdentity {
  /** The size in logical blocks. \[NSZE\] */
  readonly sizeBlocks: bigint;
  /** Logical blocks that can be allocated at one time. \[NCAP\] */
  readonly capacityBlocks: bigint;
  /** Logical blocks that are allocated. \[NUSE\] */
  readonly usedBlocks: bigint;
  /** Bits: thin provisioning, atomicity, ... \[NSFEAT\] */
  readonly features: number;
  /** The bits of `features` by name. \[NSFEAT\] */
  readonly featuresBits: namespace.NamespaceFeatureBits;
  /** The possible formats. \[LBAF, NLBAF + NULBAF + 1\] */
  readonly formats: readonly BlockFormat[];
  /** The index of the namespace's own format. \[FLBAS, bits 6:5 and 3:0\] */
  readonly format: number;
  /** `true` if the metadata follows the data of each block. \[FLBAS, bit 4\] */
  readonly metadataInline: boolean;
  /** Bits: where metadata can be. \[MC\] */
  readonly metadataCapabilities: number;
  /** The bits of `metadataCapabilities` by name. \[MC\] */
  readonly metadataCapabilitiesBits: namespace.MetadataBits;
  /** Bits: types and places of protection information. \[DPC\] */
  readonly protectionCapabilities: number;
  /** The bits of `protectionCapabilities` by name. \[DPC\] */
  readonly protectionCapabilitiesBits: namespace.ProtectionBits;
  /**
   * The type of protection information in use; 0 for none. \[DPS, bits 2:0\]
   */
  readonly protectionType: number;
  /** `true` if several controllers can attach it. \[NMIC, bit 0\] */
  readonly shared: boolean;
  /** Bits: reservations. \[RESCAP\] */
  readonly reservationCapabilities: number;
  /** The bits of `reservationCapabilities` by name. \[RESCAP\] */
  readonly reservationCapabilitiesBits: namespace.ReservationBits;
  /** Bits: the content of a deallocated block. \[DLFEAT\] */
  readonly deallocateFeatures: number;
  /** The bits of `deallocateFeatures` by name. \[DLFEAT\] */
  readonly deallocateFeaturesBits: namespace.DeallocateBits;
  /** Bytes of storage. \[NVMCAP\] */
  readonly capacityBytes: bigint;
  /**
   * Logical blocks between boundaries best not crossed; 0 if not reported.
   * \[NOIOB\]
   */
  readonly optimalBoundaryBlocks: number;
  /** `true` if it is write-protected. \[NSATTR, bit 0\] */
  readonly writeProtected: boolean;
  /** The globally unique number, 32 hexadecimal digits. \[NGUID\] */
  readonly nguid: string;
  /** The extended unique number, 16 hexadecimal digits. \[EUI64\] */
  readonly eui64: string;
  /** The whole structure, 4096 bytes. */
  readonly bytes: Uint8Array;
}

/** Decodes the 4096 bytes that Identify returns for a namespace. */
export function decodeNamespace(bytes: Uint8Array): NamespaceIdentity {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const { nvme_id_ns: f } = nvme;
  const last = f.nlbaf.get(view, 0) + f.nulbaf.get(view, 0);
  const flbas = f.flbas.get(view, 0);
  const length = Math.min(last, 63) + 1;
  return jsonable({
    sizeBlocks: BigInt(f.nsze.get(view, 0)),
    capacityBlocks: BigInt(f.ncap.get(view, 0)),
    usedBlocks: BigInt(f.nuse.get(view, 0)),
    features: f.nsfeat.get(view, 0),
    featuresBits: flags(f.nsfeat.get(view, 0), namespace.FEATURES),
    formats: Array.from({ length }, (_, i) => decodeFormat(view, i)),
    // Bits 5 and 6 count only if there are more than 16 formats.
    format: flbas & 0xf | (last > 15 ? (flbas >> 5 & 3) << 4 : 0),
    metadataInline: (flbas & 0x10) !== 0,
    metadataCapabilities: f.mc.get(view, 0),
    metadataCapabilitiesBits: flags(f.mc.get(view, 0), namespace.METADATA),
    protectionCapabilities: f.dpc.get(view, 0),
    protectionCapabilitiesBits: flags(f.dpc.get(view, 0), namespace.PROTECTION),
    protectionType: f.dps.get(view, 0) & 7,
    shared: (f.nmic.get(view, 0) & 1) !== 0,
    reservationCapabilities: f.rescap.get(view, 0),
    reservationCapabilitiesBits: flags(
      f.rescap.get(view, 0),
      namespace.RESERVATIONS,
    ),
    deallocateFeatures: f.dlfeat.get(view, 0),
    deallocateFeaturesBits: namespace.decodeDeallocate(f.dlfeat.get(view, 0)),
    capacityBytes: u128(f.nvmcap.get(view, 0)),
    optimalBoundaryBlocks: f.noiob.get(view, 0),
    writeProtected: (f.nsattr.get(view, 0) & 1) !== 0,
    nguid: hex(f.nguid.get(view, 0)),
    eui64: hex(f.eui64.get(view, 0)),
    bytes,
  }, "bytes");
}

function decodeFormat(view: DataView, index: number): BlockFormat {
  const { nvme_id_ns, nvme_lbaf } = nvme;
  const at = nvme_id_ns.lbaf.offset + index * sizeof(nvme_lbaf);
  const shift = nvme_lbaf.ds.get(view, at);
  return {
    dataBytes: shift === 0 ? 0 : 2 ** shift,
    metadataBytes: nvme_lbaf.ms.get(view, at),
    performance: nvme_lbaf.rp.get(view, at) & 3,
  };
}
