/**
 * The memory that an NVMe command transfers: one piece, several, or its own.
 */

import { sizeof } from "../../sys/struct.ts";
import { io_uring_sqe } from "../../sys/uapi/io_uring.ts";
import { nvme_uring_cmd } from "../../sys/uapi/nvme_ioctl.ts";
import { iovec } from "../../sys/uapi/uio.ts";
import { checkBytes, checkInteger, checkList } from "../../ring/check.ts";
import { append, byteLengthOf } from "../../ring/intrinsics.ts";
import {
  type Memory,
  type Operand,
  operand,
  scratchOperand,
} from "../../ring/operand.ts";

/** Memory of a command: one piece, or several that are transferred in order. */
export type NvmeData = Uint8Array | readonly Uint8Array[];

/** The memory of a command, after its length was measured. */
export interface Measured {
  /** The caller's memory. With no piece, the memory is the command's own. */
  readonly pieces: readonly Uint8Array[];
  /** Bytes in all. */
  readonly byteLength: number;
}

/** The limit of the kernel for one command: UIO_MAXIOV. */
const MAX_PIECES = 1024;
const ADDR = io_uring_sqe.cmd.offset + nvme_uring_cmd.addr.offset;

/**
 * Copies the list of pieces and adds up their bytes. After that, and before the
 * command is made, no code of the caller may run: it could resize an array.
 */
export function measure(data: NvmeData | undefined): Measured {
  const pieces = data === undefined
    ? []
    : Array.isArray(data)
    ? checkList("data", data as readonly Uint8Array[])
    : [data as Uint8Array];
  if (pieces.length > MAX_PIECES) {
    throw new RangeError(
      `a command takes at most ${MAX_PIECES} pieces of memory, not ` +
        `${pieces.length}`,
    );
  }
  let sum = 0;
  for (const piece of pieces) sum += byteLengthOf(checkBytes("data", piece));
  const byteLength = checkInteger("length of data", sum, 0, 0xffff_ffff);
  return { pieces, byteLength };
}

/**
 * Returns the kernel's access to the memory of a command. Matches nvme_is_write();
 * a fabrics command may be either.
 */
export function accessOf(opcode: number): Memory["kernel"] {
  return opcode === 0x7f ? "both" : opcode & 1 ? "reads" : "writes";
}

/** Returns the address in a command with one piece of memory. */
export function operandOf(opcode: number, bytes: Uint8Array): Operand {
  return operand(ADDR, { bytes, kernel: accessOf(opcode) });
}

/** Returns the addresses in a command, and the memory that they point at. */
export function operandsOf(
  { pieces, byteLength }: Measured,
  opcode: number,
): Operand[] {
  const kernel = accessOf(opcode);
  if (pieces.length === 0) {
    return byteLength > 0 ? [scratchOperand(ADDR, byteLength)] : [];
  }
  if (pieces.length === 1) return [operandOf(opcode, pieces[0])];
  // A vectored command points at an array of addresses and lengths.
  const size = sizeof(iovec);
  const array = new Uint8Array(pieces.length * size);
  const view = new DataView(array.buffer);
  const operands = [operand(ADDR, { bytes: array, kernel: "reads" })];
  pieces.forEach((bytes, i) => {
    iovec.iov_len.set(view, i * size, byteLengthOf(bytes));
    append(operands, operand(i * size, { bytes, kernel }, { inside: 0 }));
  });
  return operands;
}
