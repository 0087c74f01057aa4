/**
 * The bare ring: the control of liburing, without promises and without protection.
 *
 * Nothing here keeps memory alive: an address given to the kernel must stay valid
 * until the completion. `alloc` gives memory that JavaScript cannot take away;
 * keep a reference to it for as long. Close a bare ring when the page gets an
 * `unload` event, or `deno run --watch` keeps its descriptor at each reload.
 *
 * ## The two queues
 *
 * A ring is a descriptor with two queues in memory that the kernel shares with
 * the program. The *submission queue* (SQ) holds entries (SQEs) of 64 or 128
 * bytes, each of which describes one operation: an opcode, a file, addresses and
 * lengths. The *completion queue* (CQ) holds entries (CQEs) of 16 or 32 bytes,
 * each of which has a result, flags, and the `user_data` of its SQE: 64 bits
 * that the kernel does not read, and copies to identify the command.
 *
 * Each queue is a circular array with two counters. The producer moves the
 * *tail*, the consumer moves the *head*; both run through all 32 bits, and their
 * low bits are the index in the array. The program produces SQEs and consumes
 * CQEs, the kernel does the reverse. So no lock is needed, only an order of
 * memory accesses: a producer fills an entry before it moves the tail, and a
 * consumer reads an entry before it moves the head. `Atomics.store()` and
 * `Atomics.load()` give that order (they are sequentially consistent, which
 * includes the release and acquire that the kernel expects); entries themselves
 * take plain stores and loads.
 *
 * `sq.next()` gives the next SQE to fill, `sq.publish()` moves the tail.
 * `enter()` calls io_uring_enter(2): the kernel takes up to `toSubmit` SQEs, and
 * the call returns when `minComplete` CQEs are there. `cq.next()` steps over
 * CQEs, `cq.commit()` moves the head. An operation that need not wait completes
 * within `enter()`; another one posts its CQE at any later time, in any order.
 *
 * `setup()` calls io_uring_setup(2), maps both queues in one piece and the SQEs in
 * another, and registers the descriptor with the thread (IORING_REGISTER_RING_FDS),
 * which saves the kernel a look-up at each `enter()`.
 *
 * Do not combine IORING_SETUP_SQE_MIXED and IORING_SETUP_SQPOLL where rings share a
 * thread: it takes 8 places of a ring at a time, and runs the second half of an SQE
 * that the eighth cuts in two as an SQE of its own (__io_sq_thread() and
 * io_init_req(), Linux 7.2). In a mixed ring a no-op may stand before the last place.
 * A restricted ring that refuses it posts a CQE for it, whose `user_data` is
 * 0x7fffffff.
 *
 * ## What `Ring` adds
 *
 * *Setup.* `Ring.open()` asks for CQSIZE, to choose the size of the CQ, and for
 * SUBMIT_ALL, NO_SQARRAY, SINGLE_ISSUER and COOP_TASKRUN. As long as the kernel
 * answers EINVAL, it drops one of these four, newest first. A ring with SQEs of 128
 * bytes also asks for DEFER_TASKRUN and, on x86-64, limits the thread to one kernel
 * worker. Kernels with the x32 ABI (CONFIG_X86_X32_ABI), such as Debian's, may
 * otherwise take a command's addresses for those of a 32-bit process, if they start
 * it while an interrupt returns.
 *
 * *Encoding.* A {@linkcode Command} holds its SQE as 32-bit words, so that to
 * queue it takes 16 stores or fewer. It holds no address: that of memory may change
 * while no command in flight uses it, and the ring writes it when it queues the
 * command. Outside of a ring, `encode()` and `submit()` leave it 0, and
 * `encodeAddress()` writes it.
 *
 * *user_data.* The low half is the index of a slot, which keeps the promise and
 * the memory of a command; the high half is the slot's generation, so that a late
 * CQE never settles another command. A command of a batch that returns a number,
 * and points at no memory but that of `alloc`, needs no slot: its user_data is its
 * index in the batch and the number of the batch.
 *
 * *Submission.* Commands queued in one turn of the event loop share one
 * io_uring_enter(), in a microtask that runs when no more of them come. Commands
 * that have completed when it returns are settled at once.
 *
 * *Waking up.* Only if commands remain does the event loop have to wake up. The
 * ring signals an eventfd, which Deno reads as it reads a pipe: the event loop
 * watches it with epoll. No thread waits and no call blocks. Where Deno has no class
 * of pipes for this, as before Deno 2.8, a small ring of the library reads the
 * eventfd and, linked to that read, writes a byte into a pipe, whose other end is a
 * socket of `node:net`. While the program is awake, IORING_CQ_EVENTFD_DISABLED turns
 * the signal off. Without free descriptors for this, the ring is polled every 1 to
 * 20 ms. The eventfd carries a mark (F_SETSIG), so that the library neither writes
 * nor closes another file that has its number. If somebody closes the eventfd by its
 * number, completions are found late, within a second, until the ring has another;
 * but if a file whose reads block takes the number at once, Deno may read it, and
 * block. If the last wait took less than 0.2 ms, the ring looks for completions that
 * long before the event loop sleeps, because waking up takes 0.05 ms
 * (`Ring.open({ spin: false })` leaves the processor to others).
 *
 * *Overflow.* Commands in flight are limited to the CQEs that the CQ has room for,
 * and more wait in order, so that the CQ cannot overflow. If the kernel reports an
 * overflow nevertheless, the ring flushes it. A lost completion (EBADR) fails the
 * ring and all its commands.
 *
 * *Numbers.* The ring enters the kernel, and registers files, by its index among the
 * rings that the thread has registered, of which there can be 16. So it goes on if
 * somebody closes its descriptor by its number, and leaves the next file alone that
 * has the number. A ring without an index, and before Linux 6.3 each registration,
 * goes by the descriptor: it is looked at before a wait, a registration and a close,
 * and after a submission that found nothing.
 *
 * *Linux 6.10 to 6.13* read the SQE of a deferred uring command a second time.
 * There, an SQE is not reused before its command has completed
 * ({@linkcode rereadsSqes}).
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
import { bufferOf, byteOffsetOf, clear } from "./intrinsics.ts";
import { checkBytes } from "./check.ts";
import type { RingHandle } from "./bare/setup.ts";
import type { SubmissionQueue } from "./bare/squeue.ts";

export { rereadsSqes, setup } from "./bare/setup.ts";
export type { RingHandle, SetupOptions } from "./bare/setup.ts";
export { SubmissionQueue } from "./bare/squeue.ts";
export type { SubmissionLayout } from "./bare/squeue.ts";
export { Command } from "./command.ts";
export type { CommandSpec, FileRef } from "./command.ts";
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
  IORING_OP_ACCEPT,
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_BIND,
  IORING_OP_CLOSE,
  IORING_OP_CONNECT,
  IORING_OP_FALLOCATE,
  IORING_OP_FGETXATTR,
  IORING_OP_FSETXATTR,
  IORING_OP_FSYNC,
  IORING_OP_FTRUNCATE,
  IORING_OP_GETXATTR,
  IORING_OP_LINK_TIMEOUT,
  IORING_OP_LINKAT,
  IORING_OP_LISTEN,
  IORING_OP_MKDIRAT,
  IORING_OP_NOP,
  IORING_OP_OPENAT,
  IORING_OP_POLL_ADD,
  IORING_OP_READ,
  IORING_OP_READ_FIXED,
  IORING_OP_READ_MULTISHOT,
  IORING_OP_RECV,
  IORING_OP_RENAMEAT,
  IORING_OP_SEND,
  IORING_OP_SEND_ZC,
  IORING_OP_SETXATTR,
  IORING_OP_SOCKET,
  IORING_OP_STATX,
  IORING_OP_SYMLINKAT,
  IORING_OP_SYNC_FILE_RANGE,
  IORING_OP_TIMEOUT,
  IORING_OP_UNLINKAT,
  IORING_OP_URING_CMD,
  IORING_OP_URING_CMD128,
  IORING_OP_WRITE,
  IORING_OP_WRITE_FIXED,
  IORING_REGISTER_BUFFERS,
  IORING_REGISTER_BUFFERS_UPDATE,
  IORING_REGISTER_FILES,
  IORING_REGISTER_FILES_UPDATE,
  IORING_REGISTER_PBUF_RING,
  IORING_REGISTER_PERSONALITY,
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
  IORING_UNREGISTER_BUFFERS,
  IORING_UNREGISTER_FILES,
  IORING_UNREGISTER_PBUF_RING,
  IORING_UNREGISTER_PERSONALITY,
  IORING_URING_CMD_FIXED,
  IORING_URING_CMD_MULTISHOT,
  IOSQE_ASYNC,
  IOSQE_BUFFER_SELECT,
  IOSQE_CQE_SKIP_SUCCESS,
  IOSQE_FIXED_FILE,
  IOSQE_IO_DRAIN,
  IOSQE_IO_HARDLINK,
  IOSQE_IO_LINK,
} from "../sys/uapi/io_uring.ts";

/** The fields that {@linkcode prepRw} writes. Default of each: 0. */
export interface RawSqe {
  /** Byte 0: an `IORING_OP_` number. */
  opcode: number;
  /** Byte 1: `IOSQE_` bits. */
  flags?: number;
  /** Byte 2, 16 bits. */
  ioprio?: number;
  /** Byte 4, 32 bits. */
  fd?: number;
  /** Byte 8, 64 bits: an offset, or `cmd_op`. */
  off?: number | bigint;
  /** Byte 16, 64 bits: an address as a number. */
  addr?: number | bigint;
  /** Byte 24, 32 bits. */
  len?: number;
  /** Byte 28, 32 bits: `rw_flags`, `uring_cmd_flags`, ... */
  opFlags?: number;
  /** Byte 32, the low 32 of 64 bits: `cq.userDataLow` reads it back signed. */
  userData?: number;
  /** Byte 40, 16 bits. */
  bufIndex?: number;
  /** Byte 44, 32 bits: `file_index`, `optlen`, ... */
  fileIndex?: number;
  /** Byte 48, 64 bits. */
  addr3?: number | bigint;
}

/**
 * Writes the next SQE, and zeroes its second half if it has 128 bytes. Returns
 * `false` if the queue is full. Matches io_uring_get_sqe() and io_uring_prep_rw()
 * in liburing.
 */
export function prepRw(sq: SubmissionQueue, sqe: RawSqe): boolean {
  // Each field is read first: a getter can throw, or fill SQEs itself.
  const { opcode, flags = 0, ioprio = 0, fd, off, addr, len, opFlags } = sqe;
  const { userData, bufIndex, fileIndex, addr3 } = sqe;
  const { words, mixed } = sq;
  const at = mixed ? sq.next() : sq.peek();
  if (at < 0) return false;
  sq.zero(at);
  // Fields that are left out are not stored: stores are what filling a queue costs.
  if (fd !== undefined) words[at + 1] = fd;
  if (off !== undefined) {
    words[at + 2] = low(off);
    words[at + 3] = high(off);
  }
  if (addr !== undefined) {
    words[at + 4] = low(addr);
    words[at + 5] = high(addr);
  }
  if (len !== undefined) words[at + 6] = len;
  if (opFlags !== undefined) words[at + 7] = opFlags;
  if (userData !== undefined) words[at + 8] = userData;
  if (bufIndex !== undefined) words[at + 10] = bufIndex;
  if (fileIndex !== undefined) words[at + 11] = fileIndex;
  if (addr3 !== undefined) {
    words[at + 12] = low(addr3);
    words[at + 13] = high(addr3);
  }
  if (sq.sqeWords === 32) clear(words, at + 16, at + 32);
  // In a mixed ring the SQE is in the queue already, and a no-op until now.
  words[at] = opcode | flags << 8 | ioprio << 16;
  if (!mixed) sq.push();
  return true;
}

/** Options of {@linkcode enter}. Default of each: 0. */
export interface EnterOptions {
  /** SQEs to submit: the result of `sq.publish()`. */
  toSubmit?: number;
  /** CQEs to wait for. */
  minComplete?: number;
  /** `IORING_ENTER_` bits; waiting sets IORING_ENTER_GETEVENTS. */
  flags?: number;
}

/**
 * Calls io_uring_enter(2). Returns the number of SQEs that the kernel took, or
 * `-errno`. It does not retry after EINTR. Matches io_uring_enter() in liburing.
 */
export function enter(ring: RingHandle, options: EnterOptions = {}): number {
  const { toSubmit = 0, minComplete = 0, flags = 0 } = options;
  const wait = minComplete > 0 ? IORING_ENTER_GETEVENTS : 0;
  return ring.enter(toSubmit, minComplete, flags | wait);
}

/**
 * Returns the address of an array in memory of {@linkcode alloc} or `Ring.alloc`.
 *
 * @throws {TypeError} for any other array: its memory could go away.
 */
export function addressOf(bytes: Uint8Array): number {
  const base = lastingAddressOf(bufferOf(checkBytes("bytes", bytes)));
  if (base !== undefined) return base + byteOffsetOf(bytes);
  throw new TypeError(
    "the array has no address that stays. Allocate it with alloc()",
  );
}
