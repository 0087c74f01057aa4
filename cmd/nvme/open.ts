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
import { scratch, scratchCopy } from "../../sys/scratch.ts";
import * as nvme from "../../sys/uapi/nvme.ts";
import {
  NVME_IOCTL_ADMIN_CMD,
  NVME_IOCTL_ID,
  nvme_passthru_cmd,
} from "../../sys/uapi/nvme_ioctl.ts";
import { checkFd } from "../../ring/check.ts";
import { uringCmdAdvice, UringError } from "../../ring/errors.ts";
import { decodeController, decodeNamespace } from "./identity.ts";
import { PAGE } from "./limits.ts";
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
 * @example The facts of a namespace
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
  const identity = decodeNamespace(
    identify(fd, nsid, nvme.NVME_IDENTIFY_CNS_NS),
  );
  const { format, protectionType } = identity;
  const { dataBytes = 0, metadataBytes = 0 } = identity.formats[format] ?? {};
  const queue = `/sys/block/${name.replace("ng", "nvme")}/queue`;
  const limit = (file: string) =>
    Number(readText(`${queue}/${file}`) ?? Infinity);
  const maxSegments = limit("max_segments");
  const zoned = readText(`${queue}/zoned`) === "host-managed";
  return new NvmeNamespace({
    file: fd,
    nsid,
    blockSize: dataBytes,
    metadataSize: metadataBytes,
    metadataInline: identity.metadataInline,
    protectionType,
    ...protectionType === 0 ? {} : protectionFormat(fd, nsid, format),
    blocks: identity.sizeBlocks,
    // Each page takes a segment, unless it happens to follow the one before it
    // in physical memory: see bio_map_user_iov().
    maxTransferBytes: Math.min(
      limit("max_hw_sectors_kb") * 1024,
      maxSegments * PAGE,
    ),
    maxSegments,
    maxAppendBytes: zoned ? appendLimit(fd) : Infinity,
    writable: access !== O_RDONLY,
  });
}

/**
 * Asks for the format of protection information. A controller whose formats all
 * have guards of 16 bits does not know the question, and would log an error.
 */
function protectionFormat(
  fd: number,
  nsid: number,
  format: number,
): Partial<NvmeNamespace> {
  const controller = identify(fd, 0, nvme.NVME_IDENTIFY_CNS_CTRL);
  const { attributes } = decodeController(controller);
  if ((attributes & nvme.NVME_CTRL_CTRATT_ELBAS) === 0) return {};
  const cns = nvme.NVME_IDENTIFY_CNS_CSI_NS;
  return decodeProtection(identify(fd, nsid, cns, nvme.NVME_CSI_NVM), format);
}

/** Decodes the extended format of that number, an entry of ELBAF. */
export function decodeProtection(
  bytes: Uint8Array,
  format: number,
): Partial<NvmeNamespace> {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const { elbaf, pic } = nvme.nvme_nvm_id_ns;
  const extended = view.getUint32(elbaf.offset + format * 4, true);
  const kind = extended >> 7 & 3;
  // 3 stands for a qualified format, where the controller has those (PIC, bit 3).
  const qualified = kind === 3 && (pic.get(view, 0) & 8) !== 0;
  const guardBits = [16, 32, 64][qualified ? extended >> 9 & 15 : kind];
  return { guardBits, storageTagBits: extended & 0x7f };
}

/** Asks for the limit of a Zone Append in bytes. */
function appendLimit(fd: number): number {
  const cns = nvme.NVME_IDENTIFY_CNS_CSI_CTRL;
  const { buffer } = identify(fd, 0, cns, nvme.NVME_CSI_ZNS);
  const zasl = nvme.nvme_zns_id_ctrl.zasl.get(new DataView(buffer), 0);
  // 2 ** n smallest pages of the controller, which have 4096 bytes or more.
  return zasl === 0 ? Infinity : 2 ** zasl * PAGE;
}

/** Returns a structure of 4096 bytes that Identify returns. */
export function identify(
  fd: number,
  nsid: number,
  cns: number,
  csi = 0,
): Uint8Array {
  const { bytes, view, at } = scratch();
  const size = PAGE;
  const data = size; // The first page holds the command, the second the answer.
  bytes.fill(0, 0, data + size);
  nvme_passthru_cmd.opcode.set(view, 0, nvme.nvme_admin_identify);
  nvme_passthru_cmd.nsid.set(view, 0, nsid);
  nvme_passthru_cmd.addr.set(view, 0, at + data);
  nvme_passthru_cmd.data_len.set(view, 0, size);
  nvme_passthru_cmd.cdw10.set(view, 0, cns);
  nvme_passthru_cmd.cdw11.set(view, 0, csi << 24);
  const rc = syscall("ioctl", fd, NVME_IOCTL_ADMIN_CMD, at);
  if (rc < 0) {
    const advice = "Before Linux 6.2, NVMe commands need CAP_SYS_ADMIN.";
    throw new UringError("ioctl IDENTIFY", fd, -rc, advice);
  }
  if (rc > 0) throw new NvmeError("ioctl IDENTIFY", fd, rc);
  return scratchCopy(data, data + size);
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
