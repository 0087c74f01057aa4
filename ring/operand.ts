/** The memory that a command points at. */

import { byteLengthOf } from "./intrinsics.ts";

/** Memory that a command points at. */
export interface Memory {
  /**
   * The bytes. Memory of `Ring.alloc` is used in place; any other is copied
   * before the command is queued, and back after it has completed.
   */
  bytes: Uint8Array;
  /**
   * What the kernel does with them. How many it reads or writes, the other
   * fields of the command say: a driver that is told of more bytes than there
   * are takes what lies behind them.
   */
  kernel: "reads" | "writes" | "both";
}

/** One address in a command: where it is written, and what it points at. */
export interface Operand {
  /** Byte offset of the address, in the SQE or in the operand `inside`. */
  readonly at: number;
  /** The caller's bytes; `null` for scratch memory of the command's own. */
  readonly bytes: Uint8Array | null;
  /** Bytes of memory. */
  readonly byteLength: number;
  /** The kernel reads them. */
  readonly reads: boolean;
  /** The kernel writes them. */
  readonly writes: boolean;
  /** The kernel writes as many bytes as the result says, and no more. */
  readonly counted: boolean;
  /** Index of the earlier operand the address is written to; -1: the SQE. */
  readonly inside: number;
}

/** Memory of the caller's, as an operand. */
export function operand(
  at: number,
  { bytes, kernel }: Memory,
  { counted = false, inside = -1 }: { counted?: boolean; inside?: number } = {},
): Operand {
  const reads = kernel !== "writes";
  const writes = kernel !== "reads";
  const byteLength = byteLengthOf(bytes);
  return { at, bytes, byteLength, reads, writes, counted, inside };
}

/** Memory of the command's own, which only its `decode` sees. */
export function scratchOperand(at: number, byteLength: number): Operand {
  return {
    at,
    bytes: null,
    byteLength,
    reads: false,
    writes: true,
    counted: false,
    inside: -1,
  };
}
