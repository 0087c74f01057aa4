/**
 * The bare ring: liburing's control, without promises or protection.
 *
 * Nothing here looks after memory: an address given to the kernel must stay
 * valid until the completion. `alloc` gives memory that JavaScript cannot take
 * away; keep a reference to it for as long.
 *
 * @example
 * ```ts
 * import { enter, IORING_OP_NOP, prepRw, setup } from "@uring/cmd/raw";
 *
 * const ring = setup({ entries: 8 });
 * for (let i = 0; i < 3; i++) {
 *   prepRw(ring.sq, { opcode: IORING_OP_NOP, userData: i });
 * }
 * enter(ring, { toSubmit: ring.sq.publish(), minComplete: 3 });
 * while (ring.cq.next()) console.log(ring.cq.userDataLow, ring.cq.res);
 * ring.cq.commit();
 * ring.close();
 * ```
 *
 * @module
 */

import { IORING_ENTER_GETEVENTS } from "../sys/uapi/io_uring.ts";
import { lastingAddressOf } from "../sys/arena.ts";
import { high, low } from "../sys/struct.ts";
import { bufferOf, byteOffsetOf } from "./intrinsics.ts";
import { checkBytes } from "./check.ts";
import type { RingHandle } from "./bare/setup.ts";
import type { SubmissionQueue } from "./bare/squeue.ts";

export { rereadsSqes, setup } from "./bare/setup.ts";
export type { RingHandle, SetupOptions } from "./bare/setup.ts";
export { SubmissionQueue } from "./bare/squeue.ts";
export type { SubmissionLayout } from "./bare/squeue.ts";
export { Command } from "./command.ts";
export type { CommandSpec, File } from "./command.ts";
export type { Operand } from "./operand.ts";
export { alloc } from "./alloc.ts";
export { CompletionQueue } from "./bare/cqueue.ts";
export type { CompletionLayout } from "./bare/cqueue.ts";
export {
  IORING_CQE_F_32,
  IORING_CQE_F_BUFFER,
  IORING_CQE_F_MORE,
  IORING_CQE_F_NOTIF,
  IORING_ENTER_GETEVENTS,
  IORING_ENTER_SQ_WAIT,
  IORING_ENTER_SQ_WAKEUP,
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_NOP,
  IORING_OP_POLL_ADD,
  IORING_OP_READ,
  IORING_OP_READ_FIXED,
  IORING_OP_TIMEOUT,
  IORING_OP_URING_CMD,
  IORING_OP_URING_CMD128,
  IORING_OP_WRITE,
  IORING_OP_WRITE_FIXED,
  IORING_SETUP_CLAMP,
  IORING_SETUP_COOP_TASKRUN,
  IORING_SETUP_CQE32,
  IORING_SETUP_CQE_MIXED,
  IORING_SETUP_DEFER_TASKRUN,
  IORING_SETUP_HYBRID_IOPOLL,
  IORING_SETUP_IOPOLL,
  IORING_SETUP_NO_SQARRAY,
  IORING_SETUP_R_DISABLED,
  IORING_SETUP_SINGLE_ISSUER,
  IORING_SETUP_SQ_AFF,
  IORING_SETUP_SQE128,
  IORING_SETUP_SQE_MIXED,
  IORING_SETUP_SQPOLL,
  IORING_SETUP_SUBMIT_ALL,
  IORING_SETUP_TASKRUN_FLAG,
  IORING_URING_CMD_FIXED,
  IORING_URING_CMD_MULTISHOT,
  IOSQE_ASYNC,
  IOSQE_CQE_SKIP_SUCCESS,
  IOSQE_FIXED_FILE,
  IOSQE_IO_DRAIN,
  IOSQE_IO_HARDLINK,
  IOSQE_IO_LINK,
} from "../sys/uapi/io_uring.ts";

/** The fields that {@linkcode prepRw} writes; those left out are 0. */
export interface RawSqe {
  /** Byte 0: an `IORING_OP_` number. */
  opcode: number;
  /** Byte 1: `IOSQE_` bits. */
  flags?: number;
  /** Byte 2, 16 bits. */
  ioprio?: number;
  /** Byte 4. Default: 0. */
  fd?: number;
  /** Byte 8, 64 bits: an offset, or `cmd_op`. */
  off?: number | bigint;
  /** Byte 16, 64 bits: an address as a number. */
  addr?: number | bigint;
  /** Byte 24. */
  len?: number;
  /** Byte 28: `rw_flags`, `uring_cmd_flags`, ... */
  opFlags?: number;
  /** Byte 32, the low 32 of 64 bits; `cq.userDataLow` reads it back signed. */
  userData?: number;
  /** Byte 40, 16 bits. */
  bufIndex?: number;
  /** Byte 44: `file_index`, `optlen`, ... */
  fileIndex?: number;
  /** Byte 48, 64 bits. */
  addr3?: number | bigint;
}

/**
 * Writes the next SQE; `false` when the queue is full. More than its first 64
 * bytes is zeroed. Matches io_uring_get_sqe() and io_uring_prep_rw() in liburing.
 */
export function prepRw(sq: SubmissionQueue, sqe: RawSqe): boolean {
  const at = sq.next();
  if (at < 0) return false;
  const { words } = sq;
  const { flags = 0, ioprio = 0, off, addr, addr3 } = sqe;
  sq.zero(at);
  words[at] = sqe.opcode | flags << 8 | ioprio << 16;
  // What is left out is not stored: a queue is filled as fast as it is stored to.
  if (sqe.fd !== undefined) words[at + 1] = sqe.fd;
  if (off !== undefined) {
    words[at + 2] = low(off);
    words[at + 3] = high(off);
  }
  if (addr !== undefined) {
    words[at + 4] = low(addr);
    words[at + 5] = high(addr);
  }
  if (sqe.len !== undefined) words[at + 6] = sqe.len;
  if (sqe.opFlags !== undefined) words[at + 7] = sqe.opFlags;
  if (sqe.userData !== undefined) words[at + 8] = sqe.userData;
  if (sqe.bufIndex !== undefined) words[at + 10] = sqe.bufIndex;
  if (sqe.fileIndex !== undefined) words[at + 11] = sqe.fileIndex;
  if (addr3 !== undefined) {
    words[at + 12] = low(addr3);
    words[at + 13] = high(addr3);
  }
  if (sq.sqeWords === 32) words.fill(0, at + 16, at + 32);
  return true;
}

/** What {@linkcode enter} shall do. */
export interface EnterOptions {
  /** SQEs to submit: what `sq.publish()` returned. */
  toSubmit?: number;
  /** CQEs to wait for. */
  minComplete?: number;
  /** `IORING_ENTER_` bits; waiting sets IORING_ENTER_GETEVENTS. */
  flags?: number;
}

/**
 * io_uring_enter(2): the number of SQEs taken, or `-errno`. It is not made again
 * when it was interrupted. Matches io_uring_enter() in liburing.
 */
export function enter(ring: RingHandle, options: EnterOptions = {}): number {
  const { toSubmit = 0, minComplete = 0, flags = 0 } = options;
  const wait = minComplete > 0 ? IORING_ENTER_GETEVENTS : 0;
  return ring.enter(toSubmit, minComplete, flags | wait);
}

/**
 * The address of an array that lies in memory of {@linkcode alloc} or
 * `Ring.alloc`.
 *
 * @throws {TypeError} for any other array: its memory could go away.
 */
export function addressOf(bytes: Uint8Array): number {
  const base = lastingAddressOf(bufferOf(checkBytes("bytes", bytes)));
  if (base !== undefined) return base + byteOffsetOf(bytes);
  throw new TypeError("only memory of alloc() has an address that stays");
}
