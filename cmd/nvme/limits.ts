/**
 * How much an NVMe command transfers, and which commands need the right to
 * write.
 */

import * as nvme from "../../sys/uapi/nvme.ts";
import type { NvmeNamespace } from "./namespace.ts";

/** The words of a command that say how much it transfers. */
export interface Words {
  readonly opcode: number;
  readonly cdw10: number;
  readonly cdw11: number;
  readonly cdw12: number;
}

/** Admin commands that do not change a drive, and need no right to write. */
export const READING_ADMIN: ReadonlySet<number> = new Set([
  nvme.nvme_admin_get_log_page,
  nvme.nvme_admin_identify,
  nvme.nvme_admin_get_features,
  nvme.nvme_admin_directive_recv,
  nvme.nvme_admin_nvme_mi_recv,
  nvme.nvme_admin_get_lba_status,
]);
/** The same for commands to a namespace. */
const READING_IO: ReadonlySet<number> = new Set([
  nvme.nvme_cmd_flush,
  nvme.nvme_cmd_read,
  nvme.nvme_cmd_compare,
  nvme.nvme_cmd_verify,
  nvme.nvme_cmd_resv_report,
  nvme.nvme_cmd_io_mgmt_recv,
  nvme.nvme_zns_cmd_mgmt_recv,
]);

/** Computes the bytes that a command transfers from its words. */
type Length = (words: Words) => number;

/** The admin commands that say how much they transfer, by their opcode. */
const ADMIN_BYTES: Readonly<Record<number, Length>> = {
  [nvme.nvme_admin_identify]: () => 4096,
  [nvme.nvme_admin_get_log_page]: ({ cdw10, cdw11 }) =>
    ((cdw11 & 0xffff) * 0x1_0000 + (cdw10 >>> 16) + 1) * 4,
  [nvme.nvme_admin_fw_download]: ({ cdw10 }) => (cdw10 + 1) * 4,
  [nvme.nvme_admin_directive_recv]: ({ cdw10 }) => (cdw10 + 1) * 4,
  [nvme.nvme_admin_get_lba_status]: ({ cdw12 }) => (cdw12 + 1) * 4,
};
/** The same for commands to a namespace, apart from those on its blocks. */
const IO_BYTES: Readonly<Record<number, Length>> = {
  [nvme.nvme_cmd_dsm]: ({ cdw10 }) => ((cdw10 & 0xff) + 1) * 16,
  [nvme.nvme_cmd_copy]: ({ cdw12 }) => ((cdw12 & 0xff) + 1) * 32,
  [nvme.nvme_cmd_resv_report]: ({ cdw10 }) => (cdw10 + 1) * 4,
  [nvme.nvme_cmd_io_mgmt_recv]: ({ cdw11 }) => (cdw11 + 1) * 4,
  [nvme.nvme_zns_cmd_mgmt_recv]: ({ cdw12 }) => (cdw12 + 1) * 4,
};

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
  const needed = ADMIN_BYTES[words.opcode]?.(words) ?? 0;
  checkEnough(name, "data", dataBytes, needed);
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
  if (!namespace.writable && !READING_IO.has(opcode)) {
    throw new TypeError(readOnly(name));
  }
  const { maxTransferBytes } = namespace;
  if (dataBytes > maxTransferBytes) {
    throw new RangeError(
      `NVME ${name} has ${dataBytes} bytes of data, and the drive takes at ` +
        `most ${maxTransferBytes} in one command. Split it up.`,
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
      checkEnough(name, "data", dataBytes, IO_BYTES[opcode]?.(words) ?? 0);
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
 * else. That is certain for 8 bytes only: in some formats, 16 bytes hold more.
 */
export function bytesOf(
  { blockSize, metadataSize, metadataInline, protectionType }: NvmeNamespace,
  control: number,
): BlockBytes {
  const action = (control & nvme.NVME_IO_PRINFO_PRACT) !== 0;
  const stripped = action && protectionType !== 0 && metadataSize === 8;
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
    `NVME ${name} transfers ${needed} bytes of ${what}, and there is memory ` +
      `for ${byteLength}. Pass more memory`,
  );
}
