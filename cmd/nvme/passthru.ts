/**
 * Any NVMe command, as the driver passes it through to the drive.
 *
 * **Contract.** A drive transfers as many bytes as the command says, whatever
 * the memory behind it: too little of it, and the drive writes over memory that
 * is none of the command's. So every command is made here, and each whose length
 * can be known is checked against its memory first.
 *
 * @module
 */

import * as E from "../../sys/uapi/errno.ts";
import {
  io_uring_sqe,
  IORING_OP_URING_CMD,
  IORING_URING_CMD_FIXED,
} from "../../sys/uapi/io_uring.ts";
import {
  nvme_uring_cmd,
  NVME_URING_CMD_ADMIN,
  NVME_URING_CMD_ADMIN_VEC,
  NVME_URING_CMD_IO,
  NVME_URING_CMD_IO_VEC,
} from "../../sys/uapi/nvme_ioctl.ts";
import { sizeof } from "../../sys/struct.ts";
import { iovec } from "../../sys/uapi/uio.ts";
import { byteLengthOf } from "../../ring/intrinsics.ts";
import {
  checkBytes,
  checkInteger,
  checkList,
  checkObject,
  checkString,
  checkU32,
  checkU8,
} from "../../ring/check.ts";
import { checkInside, type FixedBuffer } from "../../ring/registered.ts";
import { Command, type File } from "../../ring/command.ts";
import type { Completion } from "../../ring/completion.ts";
import {
  type Memory,
  type Operand,
  operand,
  scratchOperand,
} from "../../ring/operand.ts";
import { uringCmdAdvice } from "../../ring/errors.ts";
import { checkNamespace, type NvmeNamespace } from "./open.ts";
import { NvmeError } from "./status.ts";
import { checkAdmin, checkIo, checkWritable, mayChange } from "./limits.ts";

/** Memory of a command: one piece, or several that are taken one by one. */
export type NvmeData = Uint8Array | readonly Uint8Array[];

/** The fields of an NVMe command, under the names of the specification. */
export interface NvmeFields {
  /** What the drive shall do, 8 bits. */
  opcode: number;
  /**
   * The namespace. A command to a namespace has that one's number, and need not
   * say it; an admin command says it, 0 where it is on none.
   */
  nsid?: number;
  /** Command dword 2, 32 bits. */
  cdw2?: number;
  /** Command dword 3, 32 bits. */
  cdw3?: number;
  /** Command dword 10, 32 bits. */
  cdw10?: number;
  /** Command dword 11, 32 bits. */
  cdw11?: number;
  /** Command dword 12, 32 bits. */
  cdw12?: number;
  /** Command dword 13, 32 bits. */
  cdw13?: number;
  /** Command dword 14, 32 bits. */
  cdw14?: number;
  /** Command dword 15, 32 bits. */
  cdw15?: number;
  /**
   * What is transferred. The opcode says where to: an odd one reads this memory,
   * an even one writes it. Several pieces make a vectored command.
   */
  data?: NvmeData;
  /** Metadata, where they lie apart from the data. */
  metadata?: Uint8Array;
  /** The registered buffer that `data` lies in. */
  buffer?: FixedBuffer;
  /** Milliseconds until the driver aborts it. Default: the driver's own. */
  timeoutMs?: number;
  /** What messages call the command. Default: its opcode in hexadecimal. */
  name?: string;
}

/**
 * **May destroy data.** Any 64-byte NVMe command: an I/O command where `target`
 * is a namespace, an admin command where it is the descriptor of a controller's
 * node, such as `/dev/nvme0`.
 *
 * `NVME_URING_CMD_IO`, `NVME_URING_CMD_ADMIN`, and `_VEC` for several pieces of
 * memory. Linux 5.19, on a ring with `sqe128` and `cqe32`; registered buffers
 * since 6.1, for several pieces since 6.16. CAP_SYS_ADMIN, or since 6.2 for
 * commands that the drive says are harmless a descriptor that is open for it.
 *
 * The result is dword 0 and 1 of the completion. A status other than 0 is an
 * {@linkcode NvmeError}.
 *
 * A command that is not known to only read needs a descriptor that was opened for
 * writing. Memory that is too small for an Identify, a Get Log Page, a read or
 * another command that says how much it transfers is refused. For what is not
 * known here, such as a command of the vendor's, **the drive decides how much it
 * transfers**: pass memory of `ring.alloc()` with as many bytes as the drive's
 * manual says.
 *
 * @example
 * ```ts ignore
 * import { passthru } from "@uring/cmd/nvme";
 *
 * const data = ring.alloc(4096);
 * const identify = { opcode: 0x06, nsid: 0, cdw10: 1, data };
 * await ring.cmd(passthru(fd, identify)); // The controller's, in `data`.
 * ```
 */
export function passthru(
  target: File | NvmeNamespace,
  fields: NvmeFields,
): Command<bigint> {
  // Each is read once, so that what was checked is what the drive is told.
  const { opcode, nsid, cdw2, cdw3, cdw10, cdw11, cdw12, cdw13, cdw14, cdw15 } =
    checkObject("fields", fields);
  const { data, metadata, buffer, timeoutMs, name } = fields;
  const hex = `0x${checkU8("opcode", opcode).toString(16)}`;
  const usual = isNamespace(target) ? hex : `ADMIN ${hex}`;
  return nvmeCommand(
    checkString("name", name ?? usual),
    target,
    {
      opcode,
      nsid,
      cdw2,
      cdw3,
      cdw10,
      cdw11,
      cdw12,
      cdw13,
      cdw14,
      cdw15,
      data,
      metadata,
      buffer,
      timeoutMs,
    },
    ({ extra1 }) => extra1,
  );
}

function isNamespace(target: File | NvmeNamespace): target is NvmeNamespace {
  return typeof target === "object" && target !== null && "nsid" in target;
}

/** Bytes of memory of the command's own, in place of `data`. */
interface OwnData {
  readonly ownBytes: number;
}

const CMD = io_uring_sqe.cmd.offset;
const ADDR = CMD + nvme_uring_cmd.addr.offset;
const METADATA = CMD + nvme_uring_cmd.metadata.offset;
/** Pieces of memory that the kernel takes in one command. */
const MAX_PIECES = 1024;

// The one payload that all commands are made in: a Command has its own copy.
const payload = new Uint8Array(sizeof(nvme_uring_cmd));
const view = new DataView(payload.buffer);

/** Makes an admin command, which goes to the node of a controller. */
export function adminCommand<T>(
  name: string,
  file: File,
  fields: NvmeFields,
  decode: (completion: Completion) => T,
  own?: OwnData,
): Command<T> {
  // Sent to a namespace, the same opcode would be an I/O command.
  if (!isNamespace(file)) return nvmeCommand(name, file, fields, decode, own);
  throw new TypeError(
    `NVME ${name} goes to the node of a controller, such as /dev/nvme0: pass ` +
      "its descriptor, and no namespace",
  );
}

/**
 * Makes any NVMe command, when it can be: see the contract above. Its fields are
 * an object of the library's own, which does not change.
 */
export function nvmeCommand<T>(
  name: string,
  target: File | NvmeNamespace,
  fields: NvmeFields,
  decode: (completion: Completion) => T,
  own?: OwnData,
): Command<T> {
  const namespace = isNamespace(target) ? checkNamespace(target) : null;
  const file = namespace !== null ? namespace.file : target as File;
  const opcode = checkU8("opcode", fields.opcode);
  const op = `URING_CMD NVME ${name}`;
  const { metadata, buffer } = fields;
  const pieces = piecesOf(fields.data);
  const dataBytes = own?.ownBytes ?? lengthOf(pieces);
  // A list of one piece is that piece, and no vectored command; of none, none.
  const data = isList(pieces) && pieces.length < 2 ? pieces[0] : pieces;
  const vectored = isList(data);
  const metadataBytes = metadata === undefined
    ? 0
    : byteLengthOf(checkBytes("metadata", metadata));

  const f = nvme_uring_cmd;
  payload.fill(0);
  f.opcode.set(view, 0, opcode);
  f.nsid.set(view, 0, nsidOf(name, namespace, fields.nsid));
  f.cdw2.set(view, 0, checkU32("cdw2", fields.cdw2 ?? 0));
  f.cdw3.set(view, 0, checkU32("cdw3", fields.cdw3 ?? 0));
  f.metadata_len.set(view, 0, metadataBytes);
  f.data_len.set(view, 0, vectored ? data.length : dataBytes);
  f.cdw10.set(view, 0, checkU32("cdw10", fields.cdw10 ?? 0));
  f.cdw11.set(view, 0, checkU32("cdw11", fields.cdw11 ?? 0));
  f.cdw12.set(view, 0, checkU32("cdw12", fields.cdw12 ?? 0));
  f.cdw13.set(view, 0, checkU32("cdw13", fields.cdw13 ?? 0));
  f.cdw14.set(view, 0, checkU32("cdw14", fields.cdw14 ?? 0));
  f.cdw15.set(view, 0, checkU32("cdw15", fields.cdw15 ?? 0));
  f.timeout_ms.set(view, 0, checkU32("timeoutMs", fields.timeoutMs ?? 0));
  if (namespace !== null) {
    checkIo(name, namespace, fields, dataBytes, metadataBytes);
  } else {
    checkAdmin(name, fields, dataBytes);
  }
  if (buffer && data) {
    for (const piece of vectored ? data : [data]) checkInside(piece, buffer);
  }

  // Matches nvme_is_write() in the kernel; a fabrics command is either.
  const kernel = opcode === 0x7f ? "both" : opcode & 1 ? "reads" : "writes";
  const operands = own !== undefined
    ? [scratchOperand(ADDR, own.ownBytes)]
    : data === undefined
    ? []
    : vectored
    ? vector(data, kernel)
    : [operand(ADDR, { bytes: data, kernel })];
  if (metadata !== undefined && metadataBytes > 0) {
    operands.push(operand(METADATA, { bytes: metadata, kernel }));
  }
  return new Command({
    name: op,
    opcode: IORING_OP_URING_CMD,
    file,
    off: namespace !== null
      ? vectored ? NVME_URING_CMD_IO_VEC : NVME_URING_CMD_IO
      : vectored
      ? NVME_URING_CMD_ADMIN_VEC
      : NVME_URING_CMD_ADMIN,
    opFlags: buffer && dataBytes > 0 ? IORING_URING_CMD_FIXED : 0,
    buffer,
    payload,
    operands,
    cqe32: true,
    precheck: namespace === null && mayChange(opcode)
      ? () => checkWritable(name, file)
      : undefined,
    // A status of the drive is a positive result, and no success.
    decode: (completion) => {
      if (completion.res === 0) return decode(completion);
      const fd = typeof file === "number" ? file : file.index;
      throw new NvmeError(op, fd, completion.res, completion.extra1);
    },
    advice: nvmeAdvice,
  });
}

/** Memory of a command, in a list that is the caller's no more. */
export function piecesOf(data: NvmeData | undefined): NvmeData | undefined {
  return isList(data) ? checkList("data", data) : data;
}

function isList(data: NvmeData | undefined): data is readonly Uint8Array[] {
  return typeof data === "object" && Array.isArray(data);
}

/** Bytes in all of the pieces, none of which may be detached. */
export function lengthOf(data: NvmeData | undefined): number {
  if (data === undefined) return 0;
  if (isList(data)) return lengthOfList(data);
  const length = byteLengthOf(checkBytes("data", data));
  return checkInteger("length of data", length, 0, 0xffff_ffff);
}

function lengthOfList(pieces: readonly Uint8Array[]): number {
  if (pieces.length > MAX_PIECES) {
    throw new RangeError(
      `a command takes at most ${MAX_PIECES} pieces of memory, not ` +
        `${pieces.length}`,
    );
  }
  let sum = 0;
  for (const piece of pieces) sum += byteLengthOf(checkBytes("data", piece));
  return checkInteger("length of data", sum, 0, 0xffff_ffff);
}

/** The array of addresses and lengths that a vectored command points at. */
function vector(
  pieces: readonly Uint8Array[],
  kernel: Memory["kernel"],
): Operand[] {
  const bytes = new Uint8Array(pieces.length * sizeof(iovec));
  const view = new DataView(bytes.buffer);
  pieces.forEach((piece, i) =>
    iovec.iov_len.set(view, i * sizeof(iovec), byteLengthOf(piece))
  );
  const array = operand(ADDR, { bytes, kernel: "reads" });
  return [
    array,
    ...pieces.map((bytes, i) =>
      operand(i * sizeof(iovec), { bytes, kernel }, { inside: 0 })
    ),
  ];
}

/** The namespace of a command, which is never guessed. */
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

function nvmeAdvice(errno: number): string | undefined {
  switch (errno) {
    case E.ENOTTY:
      return "I/O commands go to the node of a namespace, such as /dev/ng0n1, " +
        "and admin commands to that of a controller, such as /dev/nvme0.";
    case E.EOPNOTSUPP:
      return "The file is no NVMe node, whose names are /dev/ng0n1 and " +
        "/dev/nvme0, or an admin command was sent through a ring that polls, " +
        "which kernels before 7.2 do not have.";
    case E.EACCES:
      return "The process may not send this: it takes CAP_SYS_ADMIN. Since " +
        "Linux 6.2 other users may identify, and send I/O commands that the " +
        "drive says are harmless, those that write with the node open for it.";
    case E.EINVAL:
      return "The data are larger than the drive takes (max_hw_sectors_kb of " +
        "its block device) or in too many pieces, the namespace takes no " +
        "metadata apart, or nsid is not that of the node.";
    case E.EINTR:
      return "The driver aborted it: its time was up, or the drive was reset.";
    default:
      return uringCmdAdvice(errno);
  }
}
