/** The parts of a command, as the caller of `new Command` gives them. */

import type { Completion } from "./completion.ts";
import type { Advice } from "./errors.ts";
import type { Operand } from "./operand.ts";
import type { BufferRing } from "./buffer_ring.ts";
import type { FixedBuffer, FixedFile } from "./registered.ts";

/** The file of a command: a descriptor, or a file of the ring's table. */
export type FileRef = number | FixedFile;

/** The parts of a `Command`: its SQE, and facts for the ring. */
export interface CommandSpec<T> {
  /** With `null`, no part is inherited from a polluted Object.prototype. */
  __proto__?: null;
  /** The name in messages, such as `"URING_CMD SIOCINQ"`. */
  name: string;
  /** `IORING_OP_` number. */
  opcode: number;
  /** The file. Without it, the operation has none. */
  file?: FileRef;
  /** Byte 4 of the SQE, 32 bits, where it is not a file. */
  fdWord?: number;
  /** `IOSQE_` bits. */
  flags?: number;
  /** Byte 2 of the SQE, 16 bits. */
  ioprio?: number;
  /** Byte 8 of the SQE, 64 bits: `off`, or `cmd_op` in the low half. */
  off?: number | bigint;
  /** Byte 16 of the SQE, 64 bits. Put an address into `operands` instead. */
  addr?: number | bigint;
  /** Byte 24 of the SQE, 32 bits. */
  len?: number;
  /** Byte 28 of the SQE, 32 bits: `rw_flags`, `uring_cmd_flags`, ... */
  opFlags?: number;
  /** Byte 40 of the SQE, 16 bits. */
  bufIndex?: number;
  /** The registered buffer, which sets `buf_index`. The ring checks it. */
  buffer?: FixedBuffer;
  /**
   * The provided buffers, which set `buf_group` and IOSQE_BUFFER_SELECT. The ring
   * checks them. `decode` gets the buffer as `lent`.
   */
  bufferRing?: BufferRing;
  /** Byte 42 of the SQE, 16 bits. */
  personality?: number;
  /** Byte 44 of the SQE, 32 bits: `file_index`, `optlen`, ... */
  fileIndex?: number;
  /** Byte 48 of the SQE, 64 bits. */
  addr3?: number | bigint;
  /** Byte 48 of the SQE and on: up to 16 bytes, or 80 with a 128-byte SQE. */
  payload?: Uint8Array;
  /** The addresses in the SQE, with the memory they point at. */
  operands?: readonly Operand[];
  /** The command needs a CQE of 32 bytes. */
  cqe32?: boolean;
  /** The command completes many times, and is for `Ring.stream`. */
  multishot?: boolean;
  /** See `Kind.untilZero`. */
  untilZero?: boolean;
  /** Most completions that one run posts. Default 1. */
  completions?: number;
  /** Makes the result from a completion. Default: the result is `res`. */
  decode?: (completion: Completion) => T;
  /**
   * The result if `res` is 0, from 0 on. `decode` is then not called, and a batch
   * runs the command at the price of one without a decoder.
   */
  success?: number & T;
  /** Errnos that are results: `decode` gets each as a negative `res`. */
  expected?: readonly number[];
  /** Throws if the command cannot succeed. The ring calls it at each run. */
  precheck?: () => void;
  /** Explains an errno. Default: the general advice. */
  advice?: Advice;
}
