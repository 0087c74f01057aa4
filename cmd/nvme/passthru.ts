/**
 * Any NVMe command, as the driver passes it through to the drive.
 *
 * **Contract.** A drive transfers as many bytes as the command says, however
 * many there are in memory: with too few, the drive overwrites memory that does
 * not belong to the command. So `nvmeCommand()` makes every command, and checks
 * the memory of each one that the specifications define. The reads and writes of
 * ./blocks.ts and ./makers.ts are checked in the same way, at less cost.
 *
 * @module
 */

import {
  io_uring_sqe,
  IORING_URING_CMD_FIXED,
} from "../../sys/uapi/io_uring.ts";
import {
  nvme_uring_cmd,
  NVME_URING_CMD_ADMIN,
  NVME_URING_CMD_ADMIN_VEC,
  NVME_URING_CMD_IO,
  NVME_URING_CMD_IO_VEC,
} from "../../sys/uapi/nvme_ioctl.ts";
import { version } from "../../sys/uname.ts";
import { arenaOf } from "../../sys/arena.ts";
import { append, bufferOf, byteLengthOf } from "../../ring/intrinsics.ts";
import { byteOffsetOf } from "../../ring/intrinsics.ts";
import {
  checkBytes,
  checkObject,
  checkString,
  checkU32,
  checkU8,
} from "../../ring/check.ts";
import {
  checkInside,
  type FixedBuffer,
  FixedFile,
} from "../../ring/registered.ts";
import { Command, type FileRef } from "../../ring/command.ts";
import { draftTo } from "../../ring/draft.ts";
import type { Completion } from "../../ring/completion.ts";
import { operand } from "../../ring/operand.ts";
import {
  accessOf,
  measure,
  type Measured,
  type NvmeData,
  operandsOf,
} from "./data.ts";
import { nvmeKind, wordsOf } from "./kind.ts";
import {
  adminOnlyReads,
  type BlockBytes,
  checkAdmin,
  checkIo,
  checkPages,
} from "./limits.ts";
import { checkNamespace, NvmeNamespace } from "./namespace.ts";
import { checkNode } from "./node.ts";

/** The fields of an NVMe command, by their names in the specification. */
export interface NvmeFields {
  /** The operation, 8 bits. \[OPC\] */
  opcode: number;
  /**
   * The number of the namespace, 32 bits; 0 for none. An admin command has to
   * say it. A command to a namespace may leave it out, and can say no other.
   * \[NSID\]
   */
  nsid?: number;
  /** Command dword 2, 32 bits. Default 0. \[CDW2\] */
  cdw2?: number;
  /** Command dword 3, 32 bits. Default 0. \[CDW3\] */
  cdw3?: number;
  /** Command dword 10, 32 bits. Default 0. \[CDW10\] */
  cdw10?: number;
  /** Command dword 11, 32 bits. Default 0. \[CDW11\] */
  cdw11?: number;
  /** Command dword 12, 32 bits. Default 0. \[CDW12\] */
  cdw12?: number;
  /** Command dword 13, 32 bits. Default 0. \[CDW13\] */
  cdw13?: number;
  /** Command dword 14, 32 bits. Default 0. \[CDW14\] */
  cdw14?: number;
  /** Command dword 15, 32 bits. Default 0. \[CDW15\] */
  cdw15?: number;
  /**
   * The memory to transfer, at most 1024 pieces. The drive reads it if the
   * opcode is odd, and writes it if the opcode is even. Several pieces make a
   * vectored command.
   */
  data?: NvmeData;
  /** The memory of metadata beside data, for a command to a namespace. */
  metadata?: Uint8Array;
  /** The registered buffer that `data` lies in. */
  buffer?: FixedBuffer;
  /**
   * Milliseconds until the driver aborts the command. Default: the driver's.
   */
  timeoutMs?: number;
  /** The command's name in messages. Default: its opcode in hexadecimal. */
  name?: string;
}

/**
 * **May destroy data.** Sends any 64-byte NVMe command: an I/O command if
 * `target` is a namespace, an admin command if it is the descriptor of a
 * controller's node, such as `/dev/nvme0`.
 *
 * `NVME_URING_CMD_IO`, `NVME_URING_CMD_ADMIN`, and `_VEC` for several pieces of
 * memory. Linux 5.19, on a ring with `drive: true`; registered buffers
 * since 6.1, for several pieces since 6.16. CAP_SYS_ADMIN; since 6.2, commands
 * that the drive reports as harmless need only a descriptor that is open for
 * them.
 *
 * The result is dwords 0 and 1 of the completion. A status other than 0 is an
 * {@linkcode NvmeError}.
 *
 * A command that is not known to only read needs a file that is open for writing,
 * be it a descriptor or a registered file. Memory that is too small for a command of the specifications is
 * refused. Some commands do not say how much they transfer, and need memory for
 * the most that it can be: 4096 bytes for Dataset Management and for a vendor's
 * feature. Commands that leave the drive with memory of the host, such as Doorbell
 * Buffer Config, are refused.
 *
 * A vendor's opcode (0xc0 and up, 0x80 and up to a namespace) is not checked,
 * since **the drive decides how much it transfers**: pass memory with as many
 * bytes as the drive's manual says.
 *
 * @example Identify, as raw words
 * ```ts ignore
 * import { passthru } from "@uring/cmd/nvme";
 *
 * const data = ring.alloc(4096);
 * const identify = { opcode: 0x06, nsid: 0, cdw10: 1, data };
 * await ring.cmd(passthru(fd, identify)); // The controller's, in `data`.
 * ```
 */
export function passthru(
  target: FileRef | NvmeNamespace,
  fields: NvmeFields,
): Command<bigint> {
  if (typeof target === "object" && target !== null && !FixedFile.is(target)) {
    checkNamespace(target, "target");
  }
  checkObject("fields", fields);
  return nvmeCommand(target, fields, ({ extra1 }) => extra1);
}

/**
 * Makes an admin command, which goes to the node of a controller. `precheck` runs
 * when the command is queued, after the checks of that node.
 */
export function adminCommand<T>(
  file: FileRef,
  fields: NvmeFields,
  decode: Result<T>,
  memory?: Measured,
  precheck?: (name: string) => void,
): Command<T> {
  // Sent to a namespace, the same opcode would be an I/O command.
  if (NvmeNamespace.is(file)) {
    throw new TypeError(
      `NVME ${fields.name} goes to the node of a controller, such as ` +
        "/dev/nvme0. Pass its descriptor, and no namespace.",
    );
  }
  return nvmeCommand(file, fields, decode, memory, undefined, precheck);
}

/** Makes the result of a command that succeeded, or is the result. */
type Result<T> = ((completion: Completion) => T) | number;

/** Makes a command to a namespace. */
export function ioCommand<T>(
  namespace: NvmeNamespace,
  fields: NvmeFields,
  decode: Result<T>,
  memory?: Measured,
  perBlock?: BlockBytes,
): Command<T> {
  checkNamespace(namespace);
  return nvmeCommand(namespace, fields, decode, memory, perBlock);
}

const METADATA = io_uring_sqe.cmd.offset + nvme_uring_cmd.metadata.offset;

/**
 * Makes any NVMe command, after the checks of the contract above. Reads each of
 * the fields once, so that the drive gets what was checked.
 */
function nvmeCommand<T>(
  target: FileRef | NvmeNamespace,
  fields: NvmeFields,
  decode: Result<T>,
  measured?: Measured,
  perBlock?: BlockBytes,
  precheck?: (name: string) => void,
): Command<T> {
  const namespace = NvmeNamespace.is(target) ? target : null;
  const file = NvmeNamespace.is(target) ? target.file : target;
  const { nsid, cdw2 = 0, cdw3 = 0, cdw10 = 0, cdw11 = 0, cdw12 = 0 } = fields;
  const { cdw13 = 0, cdw14 = 0, cdw15 = 0, timeoutMs = 0 } = fields;
  const { data, metadata, buffer } = fields;
  const opcode = checkU8("opcode", fields.opcode);
  const name = checkString("name", fields.name ?? nameOf(opcode, namespace));
  const memory = measured ?? measure(data);
  const { pieces, byteLength } = memory;
  const vectored = pieces.length > 1;
  if (vectored && buffer && !(fixedPieces ??= version() >= 6016)) {
    throw new TypeError(
      `NVME ${name} has several pieces of a registered buffer, for each of which ` +
        "Linux before 6.16 loses a tag of the drive. Pass one piece, or no buffer.",
    );
  }
  const metadataBytes = metadata === undefined
    ? 0
    : byteLengthOf(checkBytes("metadata", metadata));
  if (metadataBytes > 0 && (namespace === null || byteLength === 0)) {
    // Kernels before 6.13 drop it, and the drive uses memory at address 0.
    throw new TypeError(
      `NVME ${name} has metadata, which the kernel passes only beside data, and ` +
        "only to a namespace. Leave metadata out.",
    );
  }

  const id = nsidOf(name, namespace, nsid);
  const words = {
    opcode,
    cdw2: checkU32("cdw2", cdw2),
    cdw3: checkU32("cdw3", cdw3),
    cdw10: checkU32("cdw10", cdw10),
    cdw11: checkU32("cdw11", cdw11),
    cdw12: checkU32("cdw12", cdw12),
    cdw13: checkU32("cdw13", cdw13),
    cdw14: checkU32("cdw14", cdw14),
    cdw15: checkU32("cdw15", cdw15),
    timeoutMs: checkU32("timeoutMs", timeoutMs),
  };
  if (namespace === null) checkAdmin(name, words, byteLength);
  else {
    checkIo(name, namespace, words, byteLength, metadataBytes, perBlock);
    if (pieces.length === 1) {
      checkPages(name, namespace, byteLength, startOf(pieces[0]));
    }
  }
  if (buffer) { for (const piece of pieces) checkInside(piece, buffer); }

  const operands = operandsOf(memory, opcode);
  if (metadata !== undefined && metadataBytes > 0) {
    const kernel = accessOf(opcode);
    append(operands, operand(METADATA, { bytes: metadata, kernel }));
  }
  const io = vectored ? NVME_URING_CMD_IO_VEC : NVME_URING_CMD_IO;
  const admin = vectored ? NVME_URING_CMD_ADMIN_VEC : NVME_URING_CMD_ADMIN;
  const known = typeof decode === "number";
  const kind = nvmeKind<T>(name, known ? null : decode, metadataBytes);
  const draft = draftTo(kind, file);
  if (known) draft.result = decode;
  draft.offLow = (namespace === null ? admin : io) | 0;
  if (buffer && byteLength > 0) draft.flagsWord = IORING_URING_CMD_FIXED;
  if (buffer) draft.setBuffer(buffer);
  const dataLength = vectored ? pieces.length : byteLength;
  draft.more = wordsOf(opcode, id, words, dataLength, metadataBytes);
  draft.setOperands(operands);
  if (namespace === null) {
    draft.precheck = () => {
      checkNode(file, name, !adminOnlyReads(words));
      precheck?.(name);
    };
  }
  return new Command<T>(draft);
}

/** Returns how far into a page the kernel finds data: it may be copied to one. */
function startOf(data: Uint8Array): number {
  return arenaOf(bufferOf(data)) ? byteOffsetOf(data) : 0;
}

/**
 * `true` from Linux 6.16 on. Before, nvme_map_user_request() answers EINVAL to
 * pieces of a registered buffer and never frees the request: when the tags of the
 * drive are used up, all commands to it hang.
 */
let fixedPieces: boolean | undefined;

function nameOf(opcode: number, namespace: NvmeNamespace | null): string {
  return `${namespace === null ? "ADMIN " : ""}0x${opcode.toString(16)}`;
}

/** Returns the namespace of a command, which is never guessed. */
function nsidOf(
  name: string,
  namespace: NvmeNamespace | null,
  nsid: number | undefined,
): number {
  if (namespace === null) {
    if (nsid !== undefined) return checkU32("nsid", nsid);
    throw new TypeError(
      `NVME ${name} needs nsid: the number of a namespace, or 0 for none`,
    );
  }
  if (nsid === undefined || checkU32("nsid", nsid) === namespace.nsid) {
    return namespace.nsid;
  }
  throw new RangeError(
    `nsid is ${nsid}, and the node is that of namespace ${namespace.nsid}`,
  );
}
