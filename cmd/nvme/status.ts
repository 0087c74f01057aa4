/**
 * The error for a status of an NVMe drive, and the names of the statuses.
 *
 * @module
 */

import { NVME_SC_DNR, NVME_SC_MORE, NVME_SCT_VS } from "../../sys/uapi/nvme.ts";
import { checkInteger, checkString, checkU8 } from "../../ring/check.ts";
import { CommandError } from "../../ring/errors.ts";
import { fieldsOf } from "../json.ts";
import { codeNames } from "../code_names.ts";

/**
 * The error of a command that an NVMe drive refused or failed. The status comes
 * from the drive, and is no errno: a command that the kernel refuses is a
 * `UringError`.
 *
 * @example A block beyond the end
 * ```ts ignore
 * import { NvmeError, read } from "@uring/cmd/nvme";
 *
 * try {
 *   await ring.cmd(read(namespace, { lba: 2n ** 40n, data }));
 * } catch (error) {
 *   if (!(error instanceof NvmeError)) throw error;
 *   console.log(error.statusName, error.doNotRetry); // LBA Out of Range true
 * }
 * ```
 */
export class NvmeError extends CommandError {
  /** `"NvmeError"`. */
  override readonly name = "NvmeError";
  /**
   * The status code type: 0 generic, 1 of the command, 2 of the media, 3 of the
   * path to the drive, 7 of the vendor. \[SCT\]
   */
  readonly statusCodeType: number;
  /** The status code, whose meaning depends on the type. \[SC\] */
  readonly statusCode: number;
  /** The specification's name of the status, such as `"LBA Out of Range"`. */
  readonly statusName: string;
  /** `true` if a retry of the same command will fail again. \[DNR\] */
  readonly doNotRetry: boolean;
  /** `true` if the error log has more: see `errorLog()`. \[M\] */
  readonly more: boolean;
  /** Dwords 0 and 1 of the completion, where some commands say more. */
  readonly result: bigint;

  /** Makes the error for a status as the driver passes it: without phase bit. */
  constructor(op: string, fd: number, status: number, result = 0n) {
    checkString("op", op);
    checkInteger("fd", fd, -0x8000_0000, 0x7fff_ffff);
    checkInteger("status", status, -0x8000_0000, 0x7fff_ffff);
    const type = status >> 8 & 7;
    const code = status & 0xff;
    const statusName = nvmeStatusName(type, code);
    const doNotRetry = (status & NVME_SC_DNR) !== 0;
    const advice = ADVICE[type << 8 | code];
    super(
      op,
      fd,
      statusName,
      `${op} on fd ${fd}: ${statusName} (status code type ${type}, code ` +
        `0x${code.toString(16).padStart(2, "0")}` +
        `${doNotRetry ? ", do not retry" : ""})${advice ? `. ${advice}` : ""}`,
    );
    this.statusCodeType = type;
    this.statusCode = code;
    this.statusName = statusName;
    this.doNotRetry = doNotRetry;
    this.more = (status & NVME_SC_MORE) !== 0;
    this.result = result;
  }

  /** Returns the fields and the message in the form that JSON has. */
  toJSON(): object {
    return fieldsOf({ ...this, message: this.message });
  }
}

/** Returns the name of a status in the NVMe specifications. */
export function nvmeStatusName(type: number, code: number): string {
  checkInteger("type", type, 0, 7);
  checkU8("code", code);
  const name = knownStatus(type << 8 | code);
  if (name !== undefined) return name;
  const hex = `0x${code.toString(16).padStart(2, "0")}`;
  if (type === NVME_SCT_VS) return `Vendor Specific ${hex}`;
  return `Unknown Status ${hex} of Type ${type}`;
}

/** Advice by type and code, for names that do not say it all. */
const ADVICE: Readonly<Record<number, string>> = {
  0x001: "The drive does not have this command.",
  0x002:
    "The drive does not support a value in the command, the feature that " +
    "it asks for, or its number of blocks: Verify and Write Zeroes have limits " +
    "of their own (VSL and WZSL, Identify CNS 06h). Try fewer blocks.",
  0x00b: "The controller has no such namespace. activeNamespaces() lists " +
    "those that it has.",
  0x01c:
    "A sanitize failed. Sanitize again, or call exitSanitizeFailure() if " +
    "the one that failed allowed it.",
  0x01d: "The drive erases itself. sanitizeLog() has the progress.",
  0x020: "The namespace was write-protected with Set Features.",
  0x080: "The blocks end after the last one of the namespace.",
  0x082: "The namespace is not ready yet. Try again.",
  0x109: "The drive does not have this log page.",
  0x10a: "The namespace does not have this format, or not with this metadata " +
    "and protection. identifyNamespace() lists the formats.",
  0x11d: "A self-test runs. selfTestLog() has the progress.",
  0x183: "The drive takes fewer or smaller ranges: DMRL, DMRSL and DMSL of " +
    "Identify CNS 06h, or MSRC, MSSRL and MCL of Copy. Split the command up.",
  0x285: "The stored data differs from the data that was sent.",
};

/** The statuses: a digit for the type, and two for the code. */
const knownStatus = codeNames(`
  000 Successful Completion; 001 Invalid Command Opcode
  002 Invalid Field in Command; 003 Command ID Conflict; 004 Data Transfer Error
  005 Commands Aborted due to Power Loss Notification; 006 Internal Error
  007 Command Abort Requested; 008 Command Aborted due to SQ Deletion
  009 Command Aborted due to Failed Fused Command
  00a Command Aborted due to Missing Fused Command
  00b Invalid Namespace or Format; 00c Command Sequence Error
  00d Invalid SGL Segment Descriptor; 00e Invalid Number of SGL Descriptors
  00f Data SGL Length Invalid; 010 Metadata SGL Length Invalid
  011 SGL Descriptor Type Invalid; 012 Invalid Use of Controller Memory Buffer
  013 PRP Offset Invalid; 014 Atomic Write Unit Exceeded; 015 Operation Denied
  016 SGL Offset Invalid; 018 Host Identifier Inconsistent Format
  019 Keep Alive Timer Expired; 01a Keep Alive Timeout Invalid
  01b Command Aborted due to Preempt and Abort; 01c Sanitize Failed
  01d Sanitize In Progress; 01e SGL Data Block Granularity Invalid
  01f Command Not Supported for Queue in CMB; 020 Namespace is Write Protected
  021 Command Interrupted; 022 Transient Transport Error
  023 Command Prohibited by Command and Feature Lockdown
  024 Admin Command Media Not Ready; 025 Invalid Key Tag
  026 Host Dispersed Namespace Support Not Enabled
  027 Host Identifier Not Initialized; 028 Incorrect Key; 029 FDP Disabled
  02a Invalid Placement Handle List; 02b Sanitize Namespace Failed
  02c Sanitize Namespace In Progress; 080 LBA Out of Range; 081 Capacity Exceeded
  082 Namespace Not Ready; 083 Reservation Conflict; 084 Format In Progress
  085 Invalid Value Size; 086 Invalid Key Size; 087 KV Key Does Not Exist
  088 Unrecovered Error; 089 Key Exists
  100 Completion Queue Invalid; 101 Invalid Queue Identifier
  102 Invalid Queue Size; 103 Abort Command Limit Exceeded
  105 Asynchronous Event Request Limit Exceeded; 106 Invalid Firmware Slot
  107 Invalid Firmware Image; 108 Invalid Interrupt Vector; 109 Invalid Log Page
  10a Invalid Format; 10b Firmware Activation Requires Conventional Reset
  10c Invalid Queue Deletion; 10d Feature Identifier Not Saveable
  10e Feature Not Changeable; 10f Feature Not Namespace Specific
  110 Firmware Activation Requires NVM Subsystem Reset
  111 Firmware Activation Requires Controller Level Reset
  112 Firmware Activation Requires Maximum Time Violation
  113 Firmware Activation Prohibited; 114 Overlapping Range
  115 Namespace Insufficient Capacity; 116 Namespace Identifier Unavailable
  118 Namespace Already Attached; 119 Namespace Is Private
  11a Namespace Not Attached; 11b Thin Provisioning Not Supported
  11c Controller List Invalid; 11d Device Self-test In Progress
  11e Boot Partition Write Prohibited; 11f Invalid Controller Identifier
  120 Invalid Secondary Controller State
  121 Invalid Number of Controller Resources; 122 Invalid Resource Identifier
  123 Sanitize Prohibited While Persistent Memory Region is Enabled
  124 ANA Group Identifier Invalid; 125 ANA Attach Failed
  126 Insufficient Capacity; 127 Namespace Attachment Limit Exceeded
  128 Prohibition of Command Execution Not Supported
  129 I/O Command Set Not Supported; 12a I/O Command Set Not Enabled
  12b I/O Command Set Combination Rejected; 12c Invalid I/O Command Set
  12d Identifier Unavailable; 12e Namespace Is Dispersed
  12f Invalid Discovery Information; 130 Zoning Data Structure Locked
  131 Zoning Data Structure Not Found; 132 Insufficient Discovery Resources
  133 Requested Function Disabled; 134 ZoneGroup Originator Invalid
  135 Invalid Host; 136 Invalid NVM Subsystem; 137 Invalid Controller Data Queue
  138 Not Enough Resources; 139 Controller Suspended; 13a Controller Not Suspended
  13b Controller Data Queue Full; 13e Invalid Power Limit
  13f Cross-Controller Reset in Progress
  140 Cross-Controller Reset Log Page Full
  141 Cross-Controller Reset Limit Exceeded; 180 Conflicting Attributes
  181 Invalid Protection Information; 182 Attempted Write to Read Only Range
  183 Command Size Limit Exceeded; 184 Invalid Command ID
  185 Incompatible Namespace or Format; 186 Fast Copy Not Possible
  187 Overlapping I/O Range; 188 Namespace Not Reachable
  189 Insufficient Resources; 18a Insufficient Program Resources
  18b Invalid Memory Namespace; 18c Invalid Memory Range Set
  18d Invalid Memory Range Set Identifier; 18e Invalid Program Data
  18f Invalid Program Index; 190 Invalid Program Type
  191 Maximum Memory Ranges Exceeded; 192 Maximum Memory Range Sets Exceeded
  193 Maximum Programs Activated; 194 Maximum Program Bytes Exceeded
  195 Memory Range Set In Use; 196 No Program; 197 Overlapping Memory Ranges
  198 Program Not Activated; 199 Program In Use
  19a Program Index Not Downloadable; 19b Program Too Big
  19c Successful Media Verification Read; 1b6 Invalid Zone Operation Request
  1b7 ZRWA Resources Unavailable; 1b8 Zone Boundary Error; 1b9 Zone Is Full
  1ba Zone Is Read Only; 1bb Zone Is Offline; 1bc Zone Invalid Write
  1bd Too Many Active Zones; 1be Too Many Open Zones
  1bf Invalid Zone State Transition
  280 Write Fault; 281 Unrecovered Read Error; 282 End-to-end Guard Check Error
  283 End-to-end Application Tag Check Error
  284 End-to-end Reference Tag Check Error; 285 Compare Failure
  286 Access Denied; 287 Deallocated or Unwritten Logical Block
  288 End-to-end Storage Tag Check Error
  300 Internal Path Error; 301 Asymmetric Access Persistent Loss
  302 Asymmetric Access Inaccessible; 303 Asymmetric Access Transition
  360 Controller Pathing Error; 370 Host Pathing Error
  371 Command Aborted By Host`);
