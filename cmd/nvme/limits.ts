/**
 * How much an NVMe command transfers, and whether it may: what its own words say,
 * and what is known of the namespace it goes to.
 *
 * @module
 */

import { O_RDONLY } from "../../sys/uapi/fcntl.ts";
import { fileFacts } from "../../sys/file.ts";
import * as nvme from "../../sys/uapi/nvme.ts";
import type { File } from "../../ring/command.ts";
import type { NvmeNamespace } from "./open.ts";

/** The words of a command that say how much it transfers. */
interface Words {
  readonly opcode: number;
  readonly cdw10?: number;
  readonly cdw11?: number;
  readonly cdw12?: number;
}

/** Commands that change nothing on a drive: they need no right to write. */
const READING_ADMIN: ReadonlySet<number> = new Set([
  nvme.nvme_admin_get_log_page,
  nvme.nvme_admin_identify,
  nvme.nvme_admin_get_features,
  nvme.nvme_admin_directive_recv,
  nvme.nvme_admin_nvme_mi_recv,
  nvme.nvme_admin_get_lba_status,
]);
const READING_IO: ReadonlySet<number> = new Set([
  nvme.nvme_cmd_flush,
  nvme.nvme_cmd_read,
  nvme.nvme_cmd_compare,
  nvme.nvme_cmd_verify,
  nvme.nvme_cmd_resv_report,
  nvme.nvme_cmd_io_mgmt_recv,
  nvme.nvme_zns_cmd_mgmt_recv,
]);

function refuseReadOnly(name: string): never {
  throw new TypeError(
    `NVME ${name} may change what the drive holds, and the descriptor is open ` +
      "for reading only: open the node with O_RDWR",
  );
}

/** Whether an admin command may change the drive. */
export function mayChange(opcode: number): boolean {
  return !READING_ADMIN.has(opcode);
}

/** Refuses a descriptor for reading, for what may change a drive. */
export function checkWritable(name: string, file: File): void {
  if (typeof file !== "number") return; // A registered file has no descriptor.
  const facts = fileFacts(file);
  // The kernel says well enough that a descriptor is not open.
  if (typeof facts === "object" && facts.access === O_RDONLY) {
    refuseReadOnly(name);
  }
}

/** Checks a command to a namespace against what is known of that. */
export function checkIo(
  name: string,
  namespace: NvmeNamespace,
  words: Words,
  dataBytes: number,
  metadataBytes: number,
): void {
  const { opcode, cdw12 = 0 } = words;
  if (!namespace.writable && !READING_IO.has(opcode)) refuseReadOnly(name);
  const { maxTransferBytes } = namespace;
  if (dataBytes > maxTransferBytes) {
    throw new RangeError(
      `NVME ${name} has ${dataBytes} bytes of data, and the drive takes at ` +
        `most ${maxTransferBytes} in one command: split it up`,
    );
  }
  switch (opcode) {
    case nvme.nvme_cmd_read:
    case nvme.nvme_cmd_write:
    case nvme.nvme_cmd_compare:
    case nvme.nvme_zns_cmd_append: {
      const blocks = (cdw12 & 0xffff) + 1;
      const action = (cdw12 >>> 16 & nvme.NVME_IO_PRINFO_PRACT) !== 0;
      const { data, metadata } = bytesOf(namespace, action);
      checkEnough(name, "data", dataBytes, blocks * data);
      checkEnough(name, "metadata", metadataBytes, blocks * metadata);
      break;
    }
    default:
      checkEnough(name, "data", dataBytes, ioBytes(words));
  }
}

/** Bytes that a command to a namespace says it transfers, if it does. */
function ioBytes(
  { opcode, cdw10 = 0, cdw11 = 0, cdw12 = 0 }: Words,
): number {
  switch (opcode) {
    case nvme.nvme_cmd_dsm:
      return ((cdw10 & 0xff) + 1) * 16;
    case nvme.nvme_cmd_copy:
      return ((cdw12 & 0xff) + 1) * 32;
    case nvme.nvme_cmd_resv_report:
      return (cdw10 + 1) * 4;
    case nvme.nvme_cmd_io_mgmt_recv:
      return (cdw11 + 1) * 4;
    case nvme.nvme_zns_cmd_mgmt_recv:
      return (cdw12 + 1) * 4;
    default:
      return 0;
  }
}

/** Checks an admin command, which says how much it transfers or does not. */
export function checkAdmin(name: string, words: Words, dataBytes: number) {
  checkEnough(name, "data", dataBytes, adminBytes(words));
}

/** Bytes that an admin command says it transfers, if it does. */
function adminBytes(
  { opcode, cdw10 = 0, cdw11 = 0, cdw12 = 0 }: Words,
): number {
  switch (opcode) {
    case nvme.nvme_admin_identify:
      return 4096;
    case nvme.nvme_admin_get_log_page:
      return ((cdw11 & 0xffff) * 0x1_0000 + (cdw10 >>> 16) + 1) * 4;
    case nvme.nvme_admin_fw_download:
    case nvme.nvme_admin_directive_recv:
      return (cdw10 + 1) * 4;
    case nvme.nvme_admin_get_lba_status:
      return (cdw12 + 1) * 4;
    default:
      return 0;
  }
}

/**
 * Bytes that are transferred for each logical block. With PRACT the drive makes
 * and takes away protection information itself, where that is all the metadata:
 * for 16 bytes, which only some formats fill with it, there is to be memory.
 */
export function bytesOf(
  { blockSize, metadataSize, metadataInline, protectionType }: NvmeNamespace,
  action: boolean,
): { data: number; metadata: number } {
  const own = action && protectionType !== 0 && metadataSize === 8;
  const size = own ? 0 : metadataSize;
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
      `for ${byteLength}`,
  );
}
