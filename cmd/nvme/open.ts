/**
 * What is known of the NVMe device that a descriptor is open on.
 *
 * @module
 */

import { O_RDONLY } from "../../sys/uapi/fcntl.ts";
import { deviceFolder, deviceName, fileFacts } from "../../sys/file.ts";
import { type FileFacts, readText } from "../../sys/file.ts";
import { S_IFCHR } from "../../sys/uapi/fs.ts";
import { syscall } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";
import {
  nvme_admin_identify,
  NVME_IDENTIFY_CNS_NS,
} from "../../sys/uapi/nvme.ts";
import {
  NVME_IOCTL_ADMIN_CMD,
  NVME_IOCTL_ID,
  nvme_passthru_cmd,
} from "../../sys/uapi/nvme_ioctl.ts";
import { checkFd, checkInteger, checkU32 } from "../../ring/check.ts";
import type { File } from "../../ring/command.ts";
import { uringCmdAdvice, UringError } from "../../ring/errors.ts";
import { decodeFormat, decodeNamespace } from "./identify.ts";
import { NvmeError } from "./status.ts";

/**
 * A namespace as commands need it: the file they go to, and what they have to
 * fit. {@linkcode nvmeNamespace} finds it out.
 *
 * For a file of the ring's table, write `{ ...namespace, file }`. The numbers are
 * taken as they are, and the drive transfers what they say: ask for them again
 * when the namespace was formatted.
 */
export interface NvmeNamespace {
  /** The node of the namespace, such as `/dev/ng0n1`. */
  readonly file: File;
  /** The number of the namespace. */
  readonly nsid: number;
  /** Bytes of data in a logical block. */
  readonly blockSize: number;
  /** Bytes of metadata that belong to a logical block; often 0. */
  readonly metadataSize: number;
  /** Metadata lie behind the data of each block, in the same memory. */
  readonly metadataInline: boolean;
  /** The type of protection information in the metadata; 0 for none. */
  readonly protectionType: number;
  /** Logical blocks. */
  readonly blocks: bigint;
  /** Bytes of data that one command can transfer; `Infinity` if unknown. */
  readonly maxTransferBytes: number;
  /** The descriptor was opened for writing. */
  readonly writable: boolean;
}

/**
 * The facts as they are now, each of which is what it is to be: a copy, since the
 * caller's own object may have changed when it is asked again.
 */
export function checkNamespace(namespace: NvmeNamespace): NvmeNamespace {
  const {
    file,
    nsid,
    blockSize,
    metadataSize,
    metadataInline,
    protectionType,
    blocks,
    maxTransferBytes,
    writable,
  } = namespace;
  checkU32("nsid", nsid);
  checkInteger("blockSize", blockSize, 1, 0xffff_ffff);
  checkInteger("metadataSize", metadataSize, 0, 0xffff);
  checkInteger("protectionType", protectionType, 0, 7);
  if (typeof maxTransferBytes !== "number" || !(maxTransferBytes >= 0)) {
    throw new TypeError("maxTransferBytes must be a number of bytes");
  }
  return {
    file,
    nsid,
    blockSize,
    metadataSize,
    metadataInline,
    protectionType,
    blocks,
    maxTransferBytes,
    writable,
  };
}

/** What an Identify command transfers. */
const IDENTIFY_BYTES = 4096;

/**
 * Facts about the namespace whose character device `fd` is open on, such as
 * `/dev/ng0n1`: the node beside the block device `/dev/nvme0n1`, Linux 5.13.
 *
 * They are asked of the drive once, with ioctls that wait for it. Any user who
 * may open the node may ask since Linux 6.2; before, it takes CAP_SYS_ADMIN.
 *
 * @example
 * ```ts ignore
 * import { nvmeNamespace } from "@uring/cmd/nvme";
 *
 * const { nsid, blockSize, maxTransferBytes } = nvmeNamespace(fd);
 * ```
 *
 * @throws {TypeError} when `fd` is not open on the node of a namespace.
 * @throws {UringError | NvmeError} when the drive does not answer.
 */
export function nvmeNamespace(fd: number): NvmeNamespace {
  const { access, name } = namespaceNode(fd);
  const nsid = syscall("ioctl", fd, NVME_IOCTL_ID);
  if (nsid < 0) {
    throw new UringError("ioctl ID", fd, -nsid, uringCmdAdvice(-nsid));
  }
  const identity = decodeNamespace(identify(fd, nsid));
  const { bytes, format } = identity;
  const { dataBytes, metadataBytes } = decodeFormat(bytes, format);
  const disk = `/sys/block/${name.replace("ng", "nvme")}`;
  const kib = readText(`${disk}/queue/max_hw_sectors_kb`);
  return {
    file: fd,
    nsid,
    blockSize: dataBytes,
    metadataSize: metadataBytes,
    metadataInline: identity.metadataInline,
    protectionType: identity.protectionType,
    blocks: identity.sizeBlocks,
    maxTransferBytes: kib === undefined ? Infinity : Number(kib) * 1024,
    writable: access !== O_RDONLY,
  };
}

/** The structure that Identify returns for a namespace. */
function identify(fd: number, nsid: number): Uint8Array {
  const { bytes, at } = scratch();
  const data = 4096;
  bytes.fill(0, 0, data + IDENTIFY_BYTES);
  const view = new DataView(bytes.buffer);
  nvme_passthru_cmd.opcode.set(view, 0, nvme_admin_identify);
  nvme_passthru_cmd.nsid.set(view, 0, nsid);
  nvme_passthru_cmd.addr.set(view, 0, at + data);
  nvme_passthru_cmd.data_len.set(view, 0, IDENTIFY_BYTES);
  nvme_passthru_cmd.cdw10.set(view, 0, NVME_IDENTIFY_CNS_NS);
  const rc = syscall("ioctl", fd, NVME_IOCTL_ADMIN_CMD, at);
  if (rc < 0) {
    throw new UringError(
      "ioctl IDENTIFY",
      fd,
      -rc,
      "Before Linux 6.2, NVMe commands need CAP_SYS_ADMIN.",
    );
  }
  if (rc > 0) throw new NvmeError("ioctl IDENTIFY", fd, rc);
  return bytes.slice(data, data + IDENTIFY_BYTES);
}

/** Facts about the node of a namespace, and its name; any other is refused. */
function namespaceNode(fd: number): FileFacts & { name: string } {
  const facts = fileFacts(checkFd(fd));
  if (typeof facts === "number") {
    throw new UringError("fstat", fd, -facts, uringCmdAdvice(-facts));
  }
  const folder = deviceFolder(facts);
  const name = folder && deviceName(folder) || "";
  if (facts.type === S_IFCHR && /^ng\d+n\d+$/.test(name)) {
    return { ...facts, name };
  }
  const node = name === "" ? "no device" : `/dev/${name}`;
  const [disk] = /^nvme\d+n\d+/.exec(name) ?? [];
  const hint = disk
    ? `: commands go to the character device beside it, ` +
      `/dev/${disk.replace("nvme", "ng")}`
    : /^nvme\d+$/.test(name)
    ? ": that is the controller, and this wants a namespace of it, such as " +
      `/dev/${name.replace("nvme", "ng")}n1`
    : ": this wants the node of an NVMe namespace, such as /dev/ng0n1";
  throw new TypeError(`fd ${fd} is ${node}${hint}`);
}
