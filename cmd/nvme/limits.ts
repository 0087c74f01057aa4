/**
 * The transfer lengths of NVMe commands, and the commands that need a descriptor
 * that is open for writing.
 */

import * as nvme from "../../sys/uapi/nvme.ts";
import type { NvmeNamespace } from "./namespace.ts";

/** The words of a command that say how much it transfers. */
export interface Words {
  readonly opcode: number;
  readonly cdw10: number;
  readonly cdw11: number;
  readonly cdw12: number;
  readonly cdw13: number;
  readonly cdw15: number;
}

/** Bytes of a page, the most that a command without a length transfers. */
export const PAGE = 4096;

/** Returns `true` for the words of a command that does not change a drive. */
type Reads = (words: Words) => boolean;

const always: Reads = () => true;
/** Logs where the LSP of a Get Log Page selects what is read, and no action. */
const SELECTING_LOGS: readonly number[] = [
  0x0c, // Asymmetric Namespace Access
  0x14, // Command and Feature Lockdown
  0x15, // Boot Partition
  0x23, // FDP Events
  0x70, // Discovery
];
/** Commands of NVMe-MI that read; 0x01 and 0x02 can clear what they return. */
const READING_MI: readonly number[] = [
  0x00,
  0x01,
  0x02,
  0x04,
  0x05,
  0x08,
  0x0a,
];
/** The admin commands that can be sent through a file that is open for reading. */
const READING_ADMIN: Readonly<Record<number, Reads>> = {
  // Other logs have actions: Create Telemetry Host-Initiated Data, for example.
  [nvme.nvme_admin_get_log_page]: ({ cdw10 }) =>
    (cdw10 >>> 8 & 0x7f) === 0 || SELECTING_LOGS.includes(cdw10 & 0xff),
  [nvme.nvme_admin_identify]: always,
  [nvme.nvme_admin_get_features]: always,
  // Return Parameters of Identify and of Streams, and Get Status.
  [nvme.nvme_admin_directive_recv]: ({ cdw11 }) =>
    [0x0001, 0x0101, 0x0102].includes(cdw11 & 0xffff),
  [nvme.nvme_admin_nvme_mi_recv]: ({ cdw10, cdw11, cdw13 }) =>
    (cdw10 >>> 11 & 0xf) === 1 && READING_MI.includes(cdw11 & 0xff) &&
    cdw13 >>> 31 === 0,
  [nvme.nvme_admin_get_lba_status]: always,
};
/** The same for commands to a namespace. */
const READING_IO: Readonly<Record<number, Reads>> = {
  [nvme.nvme_cmd_flush]: always,
  [nvme.nvme_cmd_read]: always,
  [nvme.nvme_cmd_compare]: always,
  [nvme.nvme_cmd_verify]: always,
  [nvme.nvme_cmd_resv_report]: always,
  // Reclaim Unit Handle Status. Others are a vendor's.
  [nvme.nvme_cmd_io_mgmt_recv]: ({ cdw10 }) => (cdw10 & 0xff) === 1,
  // Report Zones and Extended Report Zones.
  [nvme.nvme_zns_cmd_mgmt_recv]: ({ cdw13 }) => (cdw13 & 0xff) <= 1,
};

/** Returns `true` for an admin command that is known to change nothing. */
export function adminOnlyReads(words: Words): boolean {
  return READING_ADMIN[words.opcode]?.(words) ?? false;
}

/**
 * Computes the bytes that a command transfers from its words: at most, where the
 * words do not say it. NaN if the specifications do not define the words.
 */
type Length = (words: Words) => number;

/** A number of dwords in dword 10, which is one less. */
const dwords10: Length = ({ cdw10 }) => (cdw10 + 1) * 4;
const feature: Length = ({ opcode, cdw10, cdw11 }) =>
  featureBytes(opcode, cdw10 & 0xff, cdw11) ?? PAGE;
/** Makes the {@linkcode Length} of directives. Some have no data. */
const directives = (...none: number[]): Length => (words) =>
  none.includes(words.cdw11 & 0xffff) ? 0 : dwords10(words);

/** The admin commands that transfer data, by their opcode. */
const ADMIN_BYTES: Readonly<Record<number, Length>> = {
  [nvme.nvme_admin_identify]: () => PAGE,
  [nvme.nvme_admin_get_log_page]: ({ cdw10, cdw11 }) =>
    ((cdw11 & 0xffff) * 0x1_0000 + (cdw10 >>> 16) + 1) * 4,
  [nvme.nvme_admin_set_features]: feature,
  [nvme.nvme_admin_get_features]: feature,
  0x0d: ({ cdw10 }) => (cdw10 & 0xf) === 1 ? 0 : PAGE, // Namespace Management
  [nvme.nvme_admin_fw_download]: dwords10,
  0x15: () => PAGE, // Namespace Attachment
  0x19: directives(0x0001, 0x0101, 0x0102), // Send: Enable, both Releases
  [nvme.nvme_admin_directive_recv]: directives(0x0103), // Allocate Resources
  // NVMe-MI: the lower half of dword 13 is the length in most of the commands.
  0x1d: ({ cdw13 }) => cdw13 & 0xffff,
  [nvme.nvme_admin_nvme_mi_recv]: ({ cdw13 }) => Math.max(PAGE, cdw13 & 0xffff),
  0x3d: ({ cdw10 }) => (cdw10 & 0xff) === 0 ? 0 : NaN, // Track Send: Log
  0x41: ({ cdw15 }) => cdw15 * 4, // Migration Send
  0x42: ({ cdw15 }) => (cdw15 + 1) * 4, // Migration Receive
  0x45: () => 0, // Controller Data Queue: Delete
  0x81: ({ cdw11 }) => cdw11, // Security Send
  0x82: ({ cdw11 }) => cdw11, // Security Receive
  [nvme.nvme_admin_get_lba_status]: ({ cdw12 }) => (cdw12 + 1) * 4,
};
/** Bytes of a source range of Copy, by the format of the descriptor. */
const COPY_BYTES = [32, 40, 32, 40];
/** The same for commands to a namespace, apart from those on its blocks. */
const IO_BYTES: Readonly<Record<number, Length>> = {
  // Some drives read all 256 ranges, however many the command has.
  [nvme.nvme_cmd_dsm]: () => PAGE,
  [nvme.nvme_cmd_copy]: ({ cdw12 }) =>
    ((cdw12 & 0xff) + 1) * (COPY_BYTES[cdw12 >>> 8 & 0xf] ?? NaN),
  0x0d: () => 16, // Reservation Register
  [nvme.nvme_cmd_resv_report]: dwords10,
  0x11: () => 16, // Reservation Acquire
  0x15: () => 8, // Reservation Release
  [nvme.nvme_cmd_io_mgmt_recv]: ({ cdw11 }) => (cdw11 + 1) * 4,
  // I/O Management Send: the 16-bit handles of Reclaim Unit Handle Update.
  0x1d: ({ cdw10 }) => (cdw10 & 0xff) === 1 ? ((cdw10 >>> 16) + 1) * 2 : NaN,
  // A zone has up to 255 * 64 bytes of descriptor extension.
  [nvme.nvme_zns_cmd_mgmt_send]: ({ cdw13 }) =>
    (cdw13 & 0xff) === nvme.NVME_ZNS_ZSA_SET_DESC_EXT ? 255 * 64 : 0,
  [nvme.nvme_zns_cmd_mgmt_recv]: ({ cdw12 }) => (cdw12 + 1) * 4,
};

/** Bytes of the features that have data, by their number. */
const FEATURE_BYTES: ReadonlyMap<number, number> = new Map([
  [0x03, PAGE], // LBA Range Type
  [0x0c, 256], // Autonomous Power State Transition
  [0x0e, 8], // Timestamp
  [0x13, 512], // Predictable Latency Mode Config
  [0x16, 512], // Host Behavior Support
  [0x1c, PAGE], // Performance Characteristics
  [0x1f, 256], // Namespace Admin Label
  [0x7d, PAGE], // Enhanced Controller Metadata
  [0x7e, PAGE], // Controller Metadata
  [0x7f, PAGE], // Namespace Metadata
]);

/** Features that have no data. */
const NO_DATA: ReadonlySet<number> = new Set([
  ...[0x01, 0x02, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0f, 0x10],
  ...[0x11, 0x12, 0x14, 0x15, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1d, 0x20, 0x21],
  ...[0x80, 0x82, 0x83, 0x84, 0x85],
]);

/**
 * Returns the bytes of data of a feature, where `cdw11` selects a form of it;
 * `undefined` if they are not known, as with a vendor's. No feature has more
 * than a page.
 */
export function featureBytes(
  opcode: number,
  feature: number,
  cdw11: number,
): number | undefined {
  switch (feature) {
    case nvme.NVME_FEAT_FID_HOST_MEM_BUF:
      return opcode === nvme.nvme_admin_get_features ? PAGE : 0;
    case nvme.NVME_FEAT_FID_HOST_ID:
      return cdw11 & 1 ? 16 : 8;
    default:
      return FEATURE_BYTES.get(feature) ??
        (NO_DATA.has(feature) ? 0 : undefined);
  }
}

/**
 * Admin commands about the queues of the driver, or about memory that the drive
 * goes on using after the completion.
 */
function isOfTheDriver({ opcode, cdw10, cdw11 }: Words): boolean {
  const select = cdw10 & 0xff;
  return opcode === 0x45 && select === 0 || // Controller Data Queue: Create
    opcode === nvme.nvme_admin_set_features && (cdw11 & 1) !== 0 &&
      select === nvme.NVME_FEAT_FID_HOST_MEM_BUF || // Enable
    // Delete and Create of the queues, and Doorbell Buffer Config.
    [0x00, 0x01, 0x04, 0x05, 0x7c].includes(opcode);
}

/**
 * Returns the bytes that a command transfers. The opcodes from `vendor` on are
 * the drive's own. Of the others, those with 0 in bits 1:0 transfer nothing. For
 * fabrics commands (0x7f), the transport takes no more than the memory holds.
 */
function bytesByTable(
  table: Readonly<Record<number, Length>>,
  vendor: number,
  words: Words,
): number {
  const { opcode } = words;
  const none = opcode >= vendor || (opcode & 3) === 0 || opcode === 0x7f;
  return table[opcode]?.(words) ?? (none ? 0 : NaN);
}

/** Returns the message about a command that a file for reading cannot send. */
export function readOnly(name: string): string {
  return `NVME ${name} may change what the drive holds, and its file is open ` +
    "for reading only. Open the node with O_RDWR.";
}

/** Checks the memory of an admin command that says how much it transfers. */
export function checkAdmin(
  name: string,
  words: Words,
  dataBytes: number,
): void {
  if (isOfTheDriver(words)) {
    throw new TypeError(
      `NVME ${name} would change queues of the driver, or leave the drive with ` +
        "memory that it uses after the completion. Leave this to the driver.",
    );
  }
  checkEnough(name, "data", dataBytes, bytesByTable(ADMIN_BYTES, 0xc0, words));
}

/** Checks that the file of a namespace can send a command. */
export function checkChanges(
  name: string,
  { writable }: NvmeNamespace,
  words: Words,
): void {
  if (writable || READING_IO[words.opcode]?.(words)) return;
  throw new TypeError(readOnly(name));
}

/** Checks a command to a namespace against the facts of that namespace. */
export function checkIo(
  name: string,
  namespace: NvmeNamespace,
  words: Words,
  dataBytes: number,
  metadataBytes: number,
  perBlock?: BlockBytes,
): void {
  const { opcode, cdw12 } = words;
  checkChanges(name, namespace, words);
  const { maxTransferBytes, maxAppendBytes } = namespace;
  const most = opcode === nvme.nvme_zns_cmd_append
    ? Math.min(maxTransferBytes, maxAppendBytes)
    : maxTransferBytes;
  if (dataBytes > most) {
    throw new RangeError(
      `NVME ${name} has ${dataBytes} bytes of data, and the drive takes at ` +
        `most ${most} in one command. Split it up.`,
    );
  }
  switch (opcode) {
    case nvme.nvme_cmd_read:
    case nvme.nvme_cmd_write:
    case nvme.nvme_cmd_compare:
    case nvme.nvme_zns_cmd_append: {
      const blocks = (cdw12 & 0xffff) + 1;
      const { data, metadata } = perBlock ?? bytesOf(namespace, cdw12 >>> 16);
      checkEnough(name, "data", dataBytes, blocks * data);
      checkEnough(name, "metadata", metadataBytes, blocks * metadata);
      break;
    }
    default:
      checkEnough(name, "data", dataBytes, bytesByTable(IO_BYTES, 0x80, words));
  }
}

/** Bytes of memory for each logical block of a transfer. */
export interface BlockBytes {
  readonly data: number;
  readonly metadata: number;
}

/**
 * Returns the bytes of memory for each logical block, where `control` is the
 * upper half of dword 12. With PRACT in it, the drive makes and strips
 * protection information itself, and transfers no metadata that is nothing
 * else: 8 bytes with a guard of 16 bits, otherwise 16 bytes.
 */
export function bytesOf(
  namespace: NvmeNamespace,
  control: number,
): BlockBytes {
  const action = (control & nvme.NVME_IO_PRINFO_PRACT) !== 0;
  const { blockSize, metadataSize, metadataInline } = namespace;
  const { protectionType, guardBits } = namespace;
  const stripped = action && protectionType !== 0 &&
    metadataSize === (guardBits === 16 ? 8 : 16);
  const size = stripped ? 0 : metadataSize;
  return metadataInline
    ? { data: blockSize + size, metadata: 0 }
    : { data: blockSize, metadata: size };
}

function checkEnough(
  name: string,
  what: string,
  byteLength: number,
  needed: number,
): void {
  if (byteLength >= needed) return;
  throw new RangeError(
    Number.isNaN(needed)
      ? `NVME ${name} transfers an unknown number of bytes. Send it with a ` +
        "program that knows the command, such as nvme-cli."
      : `NVME ${name} transfers ${needed} bytes of ${what}, and there is ` +
        `memory for ${byteLength}. Pass more memory`,
  );
}

/**
 * Checks that data do not touch too many pages, where `offset` says how far into a
 * page they start.
 */
export function checkPages(
  name: string,
  { maxSegments }: NvmeNamespace,
  byteLength: number,
  offset: number,
): void {
  offset &= PAGE - 1;
  if (offset + byteLength <= maxSegments * PAGE) return;
  throw new RangeError(
    `NVME ${name} has ${byteLength} bytes of data that start ${offset} bytes ` +
      `into a page, and the drive takes at most ${maxSegments} pages. Start ` +
      "them at a page, or split the command up.",
  );
}
