/**
 * Asks the drive for the facts of a namespace, with ioctls.
 *
 * @module
 */

import { O_RDONLY } from "../../sys/uapi/fcntl.ts";
import { deviceFolder, deviceName, fileFacts } from "../../sys/file.ts";
import { type FileFacts, readText } from "../../sys/file.ts";
import { S_IFCHR } from "../../sys/uapi/fs.ts";
import { syscall } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";
import * as nvme from "../../sys/uapi/nvme.ts";
import {
  NVME_IOCTL_ADMIN_CMD,
  NVME_IOCTL_ID,
  nvme_passthru_cmd,
} from "../../sys/uapi/nvme_ioctl.ts";
import { checkFd } from "../../ring/check.ts";
import { uringCmdAdvice, UringError } from "../../ring/errors.ts";
import { decodeNamespace } from "./identity.ts";
import { NvmeNamespace } from "./namespace.ts";
import { NvmeError } from "./status.ts";

/**
 * Asks the drive for the facts of the namespace whose character device `fd` is
 * open on, such as `/dev/ng0n1`. Since Linux 5.13, each block device such as
 * `/dev/nvme0n1` has one beside it.
 *
 * Blocks the thread until the drive has answered: it uses ioctls, and no ring.
 * CAP_SYS_ADMIN; since Linux 6.2, any user who may open the node.
 *
 * @example
 * ```ts ignore
 * import { nvmeNamespace } from "@uring/cmd/nvme";
 *
 * const { nsid, blockSize, maxTransferBytes } = nvmeNamespace(fd);
 * ```
 *
 * @throws {TypeError} if `fd` is not open on the node of a namespace.
 * @throws {UringError | NvmeError} if the kernel or the drive refuses to
 * answer.
 */
export function nvmeNamespace(fd: number): NvmeNamespace {
  const { access, name } = namespaceNode(fd);
  const nsid = syscall("ioctl", fd, NVME_IOCTL_ID);
  if (nsid < 0) {
    throw new UringError("ioctl ID", fd, -nsid, uringCmdAdvice(-nsid));
  }
  const identity = decodeNamespace(identify(fd, nsid));
  const { dataBytes = 0, metadataBytes = 0 } =
    identity.formats[identity.format] ?? {};
  const disk = `/sys/block/${name.replace("ng", "nvme")}`;
  const kib = readText(`${disk}/queue/max_hw_sectors_kb`);
  return new NvmeNamespace({
    file: fd,
    nsid,
    blockSize: dataBytes,
    metadataSize: metadataBytes,
    metadataInline: identity.metadataInline,
    protectionType: identity.protectionType,
    blocks: identity.sizeBlocks,
    maxTransferBytes: kib === undefined ? Infinity : Number(kib) * 1024,
    writable: access !== O_RDONLY,
  });
}

/**
 * Returns the structure of 4096 bytes that Identify returns for a namespace.
 */
function identify(fd: number, nsid: number): Uint8Array {
  const { bytes, view, at } = scratch();
  const size = 4096;
  const data = size; // The first page holds the command, the second the answer.
  bytes.fill(0, 0, data + size);
  nvme_passthru_cmd.opcode.set(view, 0, nvme.nvme_admin_identify);
  nvme_passthru_cmd.nsid.set(view, 0, nsid);
  nvme_passthru_cmd.addr.set(view, 0, at + data);
  nvme_passthru_cmd.data_len.set(view, 0, size);
  nvme_passthru_cmd.cdw10.set(view, 0, nvme.NVME_IDENTIFY_CNS_NS);
  const rc = syscall("ioctl", fd, NVME_IOCTL_ADMIN_CMD, at);
  if (rc < 0) {
    const advice = "Before Linux 6.2, NVMe commands need CAP_SYS_ADMIN.";
    throw new UringError("ioctl IDENTIFY", fd, -rc, advice);
  }
  if (rc > 0) throw new NvmeError("ioctl IDENTIFY", fd, rc);
  return bytes.slice(data, data + size);
}

/** Returns facts about the node of a namespace, and refuses any other file. */
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
  const remedy = disk
    ? `Open the character device beside it, /dev/${disk.replace("nvme", "ng")}`
    : /^nvme\d+$/.test(name)
    ? "That is the controller: open a namespace of it, such as /dev/" +
      `${name.replace("nvme", "ng")}n1`
    : "Open the node of an NVMe namespace, such as /dev/ng0n1";
  throw new TypeError(`fd ${fd} is ${node}. ${remedy}.`);
}
