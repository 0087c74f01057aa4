/**
 * The error for a status of an NVMe drive, and the names of the statuses.
 *
 * @module
 */

import {
  NVME_SC_DNR,
  NVME_SC_MORE,
  NVME_SCT_CMD_SPECIFIC,
  NVME_SCT_GENERIC,
  NVME_SCT_MEDIA,
  NVME_SCT_PATH,
  NVME_SCT_VS,
} from "../../sys/uapi/nvme.ts";
import { checkInteger, checkString, checkU8 } from "../../ring/check.ts";

/**
 * An NVMe drive refused or failed a command. The status comes from the drive,
 * and is no errno: a command that the kernel refuses is a `UringError`.
 *
 * @example
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
export class NvmeError extends Error {
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
  /** The name of the command, such as `"URING_CMD NVME READ"`. */
  readonly op: string;
  /** The descriptor that the command went to. */
  readonly fd: number;

  /**
   * Makes the error for a status without its phase bit, as the driver passes
   * it.
   */
  constructor(op: string, fd: number, status: number, result = 0n) {
    checkString("op", op);
    checkInteger("fd", fd, -0x8000_0000, 0x7fff_ffff);
    checkInteger("status", status, -0x8000_0000, 0x7fff_ffff);
    const type = status >> 8 & 7;
    const code = status & 0xff;
    const statusName = nvmeStatusName(type, code);
    const doNotRetry = (status & NVME_SC_DNR) !== 0;
    const advice = ADVICE.get(type << 8 | code);
    super(
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
    this.op = op;
    this.fd = fd;
  }
}

/** Returns the name of a status in the NVMe specifications. */
export function nvmeStatusName(type: number, code: number): string {
  checkInteger("type", type, 0, 7);
  checkU8("code", code);
  const name = NAMES.get(type)?.get(code);
  if (name !== undefined) return name;
  const hex = `0x${code.toString(16).padStart(2, "0")}`;
  if (type === NVME_SCT_VS) return `Vendor Specific ${hex}`;
  return `Unknown Status ${hex} of Type ${type}`;
}

/** Advice by type and code, for names that do not say it all. */
const ADVICE = new Map<number, string>([
  [0x001, "The drive does not have this command."],
  [
    0x002,
    "The drive does not support a value in the command, or the feature that " +
    "it asks for.",
  ],
  [
    0x00b,
    "The controller has no such namespace. activeNamespaces() lists those " +
    "that it has.",
  ],
  [0x020, "The namespace was write-protected with Set Features."],
  [0x080, "The blocks end after the last one of the namespace."],
  [0x082, "The namespace is not ready yet. Try again."],
  [0x109, "The drive does not have this log page."],
  [0x285, "The stored data differs from the data that was sent."],
]);

/** Reads lines of a code in hexadecimal and its name. */
function names(text: string): ReadonlyMap<number, string> {
  const found = new Map<number, string>();
  for (const line of text.trim().split("\n")) {
    const [, code, name] = /^\s*(\w\w) (.*)$/.exec(line)!;
    found.set(parseInt(code, 16), name);
  }
  return found;
}

const NAMES: ReadonlyMap<number, ReadonlyMap<number, string>> = new Map([
  [
    NVME_SCT_GENERIC,
    names(`
      00 Successful Completion
      01 Invalid Command Opcode
      02 Invalid Field in Command
      03 Command ID Conflict
      04 Data Transfer Error
      05 Commands Aborted due to Power Loss Notification
      06 Internal Error
      07 Command Abort Requested
      08 Command Aborted due to SQ Deletion
      09 Command Aborted due to Failed Fused Command
      0a Command Aborted due to Missing Fused Command
      0b Invalid Namespace or Format
      0c Command Sequence Error
      0d Invalid SGL Segment Descriptor
      0e Invalid Number of SGL Descriptors
      0f Data SGL Length Invalid
      10 Metadata SGL Length Invalid
      11 SGL Descriptor Type Invalid
      12 Invalid Use of Controller Memory Buffer
      13 PRP Offset Invalid
      14 Atomic Write Unit Exceeded
      15 Operation Denied
      16 SGL Offset Invalid
      18 Host Identifier Inconsistent Format
      19 Keep Alive Timer Expired
      1a Keep Alive Timeout Invalid
      1b Command Aborted due to Preempt and Abort
      1c Sanitize Failed
      1d Sanitize In Progress
      1e SGL Data Block Granularity Invalid
      1f Command Not Supported for Queue in CMB
      20 Namespace is Write Protected
      21 Command Interrupted
      22 Transient Transport Error
      23 Command Prohibited by Command and Feature Lockdown
      24 Admin Command Media Not Ready
      80 LBA Out of Range
      81 Capacity Exceeded
      82 Namespace Not Ready
      83 Reservation Conflict
      84 Format In Progress
      85 Invalid Value Size
      86 Invalid Key Size
      87 KV Key Does Not Exist
      88 Unrecovered Error
      89 Key Exists`),
  ],
  [
    NVME_SCT_CMD_SPECIFIC,
    names(`
      00 Completion Queue Invalid
      01 Invalid Queue Identifier
      02 Invalid Queue Size
      03 Abort Command Limit Exceeded
      05 Asynchronous Event Request Limit Exceeded
      06 Invalid Firmware Slot
      07 Invalid Firmware Image
      08 Invalid Interrupt Vector
      09 Invalid Log Page
      0a Invalid Format
      0b Firmware Activation Requires Conventional Reset
      0c Invalid Queue Deletion
      0d Feature Identifier Not Saveable
      0e Feature Not Changeable
      0f Feature Not Namespace Specific
      10 Firmware Activation Requires NVM Subsystem Reset
      11 Firmware Activation Requires Controller Level Reset
      12 Firmware Activation Requires Maximum Time Violation
      13 Firmware Activation Prohibited
      14 Overlapping Range
      15 Namespace Insufficient Capacity
      16 Namespace Identifier Unavailable
      18 Namespace Already Attached
      19 Namespace Is Private
      1a Namespace Not Attached
      1b Thin Provisioning Not Supported
      1c Controller List Invalid
      1d Device Self-test In Progress
      1e Boot Partition Write Prohibited
      1f Invalid Controller Identifier
      20 Invalid Secondary Controller State
      21 Invalid Number of Controller Resources
      22 Invalid Resource Identifier
      23 Sanitize Prohibited While Persistent Memory Region is Enabled
      24 ANA Group Identifier Invalid
      25 ANA Attach Failed
      26 Insufficient Capacity
      27 Namespace Attachment Limit Exceeded
      28 Prohibition of Command Execution Not Supported
      29 I/O Command Set Not Supported
      2a I/O Command Set Not Enabled
      2b I/O Command Set Combination Rejected
      2c Invalid I/O Command Set
      2d Identifier Unavailable
      80 Conflicting Attributes
      81 Invalid Protection Information
      82 Attempted Write to Read Only Range
      83 Command Size Limit Exceeded
      b6 Invalid Zone Operation Request
      b7 ZRWA Resources Unavailable
      b8 Zone Boundary Error
      b9 Zone Is Full
      ba Zone Is Read Only
      bb Zone Is Offline
      bc Zone Invalid Write
      bd Too Many Active Zones
      be Too Many Open Zones
      bf Invalid Zone State Transition`),
  ],
  [
    NVME_SCT_MEDIA,
    names(`
      80 Write Fault
      81 Unrecovered Read Error
      82 End-to-end Guard Check Error
      83 End-to-end Application Tag Check Error
      84 End-to-end Reference Tag Check Error
      85 Compare Failure
      86 Access Denied
      87 Deallocated or Unwritten Logical Block
      88 End-to-end Storage Tag Check Error`),
  ],
  [
    NVME_SCT_PATH,
    names(`
      00 Internal Path Error
      01 Asymmetric Access Persistent Loss
      02 Asymmetric Access Inaccessible
      03 Asymmetric Access Transition
      60 Controller Pathing Error
      70 Host Pathing Error
      71 Command Aborted By Host`),
  ],
]);
