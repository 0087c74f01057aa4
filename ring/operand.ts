/** The memory that a command points at. */

import { byteLengthOf } from "./intrinsics.ts";

/** Memory that a command points at. */
export interface Memory {
  /**
   * The bytes. The kernel uses memory of `Ring.alloc` in place. The ring copies
   * other memory before it queues the command, and back after the completion.
   */
  bytes: Uint8Array;
  /**
   * The kernel's access. Other fields of the command say how many bytes it reads
   * or writes: a driver that is given too large a length goes beyond the end.
   */
  kernel: "reads" | "writes" | "both";
}

/** An address in a command: where it is written, and the memory behind it. */
export interface Operand {
  /** Byte offset of the address, in the SQE or in the operand `inside`. */
  readonly at: number;
  /** The caller's bytes; `null` for scratch memory of the command. */
  readonly bytes: Uint8Array | null;
  /** Bytes of memory. */
  readonly byteLength: number;
  /** The kernel reads them. */
  readonly reads: boolean;
  /** The kernel writes them. */
  readonly writes: boolean;
  /** The result is the number of bytes that are copied back. */
  readonly counted: boolean;
  /** Index of the earlier operand that has the address; -1 for the SQE. */
  readonly inside: number;
}

/** Makes an operand of the caller's memory. */
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

/** Makes an operand of scratch memory, which only `decode` sees. */
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
