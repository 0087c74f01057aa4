/** Turns a completion into a result or an error, and hands it to the receiver. */

import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import type { CompletionQueue } from "../bare/cqueue.ts";
import type { LentBuffer } from "../buffer_ring.ts";
import type { Command } from "../command.ts";
import { Completion } from "../completion.ts";
import { reserveStack } from "../stack.ts";
import { chainAdvice, generalAdvice, hardChainAdvice } from "../errors.ts";
import { polledAdvice, UringError } from "../errors.ts";
import type { Lease } from "./lease.ts";
import { type Chain, NOBODY, type Receiver, type Slot } from "./slot.ts";

/**
 * Calls that fit the stack if it was not full when a decoder failed. They take more
 * than V8 does to compile a function again, which needs the most.
 */
export const STACK = 1024;

/** Receives for the promise of a slot. */
export const AWAITED: Receiver = {
  value: (slot, value) => slot.resolve!(value),
  error: (slot, error) => rejectWith(slot.resolve!, () => error),
  end() {},
};

/**
 * Rejects a promise through its `resolve`, in a microtask. If it was rejected at
 * once it would stand in Deno's list of unhandled rejections until the thenable job
 * has run, and that list is searched.
 */
export function rejectWith(
  resolve: (value: unknown) => void,
  errorOf: () => unknown,
): void {
  resolve({
    then: (_: unknown, reject: (error: unknown) => void) => reject(errorOf()),
  });
}

/** Operations that a ring with iopoll has run since 5.19 (io_issue_defs). */
const POLLABLE: ReadonlySet<number> = new Set([
  uapi.IORING_OP_NOP,
  uapi.IORING_OP_READV,
  uapi.IORING_OP_WRITEV,
  uapi.IORING_OP_READ_FIXED,
  uapi.IORING_OP_WRITE_FIXED,
  uapi.IORING_OP_READ,
  uapi.IORING_OP_WRITE,
  uapi.IORING_OP_URING_CMD,
]);

/** The abort reason of a stream whose loop was left: it ends without an error. */
export const LEFT = Symbol("left");

/**
 * Errnos of commands that were cancelled. A worker that was interrupted in a
 * system call may leak the kernel's own restart codes: ERESTARTSYS,
 * ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK.
 */
const CANCELLED = [E.ECANCELED, E.EINTR, 512, 513, 514, 516];

/** Returns `true` if a command may have ended so because it was cancelled. */
export function isCancelled(res: number): boolean {
  return CANCELLED.includes(-res);
}

/**
 * Settles a command, or hands on one value of a multishot command. Runs the
 * program's code: the decoder, `advice`, and a `then` of the result.
 *
 * `res` and `flags` are those of the completion that has the result, which is
 * not always the one that `cq` is on: `notification` is the `res` of a later one,
 * or -1. Returns `false` if the result could not be made, and the receiver has
 * the error. With `retry`, the RangeError of a full stack is thrown instead: it is
 * the fault of a synchronous call, and a turn delivers the completion on a stack of
 * its own.
 */
export function deliver(
  slot: Slot,
  cq: CompletionQueue,
  res: number,
  flags: number,
  notification: number,
  retry: boolean,
): boolean {
  const command = slot.command!;
  const { multishot, expected } = command;
  // A value of a stream may use all 32 bits: only its last one can be an errno.
  const more = multishot && (flags & uapi.IORING_CQE_F_MORE) !== 0;
  if (res === 0 && !more && multishot && command.untilZero) return true;
  const succeeded = res >= 0 || more || expected.includes(-res);
  let value: unknown = res;
  try {
    if (slot.decoding) {
      throw decoderCutShort(command);
    }
    // Of a command that has failed, the arrays stay as the program has them now.
    if (command.leases && succeeded) slot.lease.copyOut(command, res);
    if (res === 0 && command.success >= 0) {
      value = command.success;
    } else if (succeeded && command.decodes) {
      const memory = memoryOf(command, slot.lease);
      const { loan } = slot;
      const completion = completionOf(
        cq,
        res,
        flags,
        memory,
        notification,
        loan,
      );
      slot.decoding = true;
      value = command.decoded(completion);
      slot.decoding = false;
    }
  } catch (error) {
    if (retry) {
      slot.decoding = false;
      reserveStack(STACK);
    }
    slot.receiver!.error(slot, error);
    return false;
  }
  const receiver = slot.receiver!;
  if (!more && slot.aborted && isCancelled(res)) {
    settleAborted(slot);
  } else if (succeeded) {
    receiver.value(slot, value);
    // A plain store: from here on it is the program's to give back.
    if (value === slot.loan) slot.loan = null;
  } else {
    receiver.error(
      slot,
      refusalOf(command, res, adviceOf(slot.chain), cq.polled),
    );
  }
  return true;
}

/** Makes the error of a command whose decoder has not returned. */
export function decoderCutShort({ name }: Command<unknown>): Error {
  return new Error(`the decoder of ${name} was cut short`);
}

/** Returns the memory behind each address of a command, for its decoder. */
function memoryOf(
  command: Command<unknown>,
  lease: Lease,
): Uint8Array[] | undefined {
  if (command.operands.length === 0) return undefined;
  return command.leases ? lease.memories(command) : ownMemory(command);
}

/** Returns the memory of a command that leases none. */
export function ownMemory({ operands }: Command<unknown>): Uint8Array[] {
  return operands.map(({ bytes }) => bytes!);
}

/** Returns the completion that `cq` is on, with a `res` that may be another's. */
export function completionOf(
  cq: CompletionQueue,
  res: number,
  flags: number,
  memory?: Uint8Array[],
  notification = -1,
  loan: LentBuffer | null = null,
): Completion {
  const extra1 = cq.wide ? cq.extra(0) : 0n;
  const extra2 = cq.wide ? cq.extra(1) : 0n;
  return new Completion(
    res,
    flags,
    memory,
    extra1,
    extra2,
    notification,
    loan,
  );
}

/** Returns what explains ECANCELED in a chain; `null` outside of one. */
function adviceOf(chain: Chain | null): string | null {
  if (chain === null) return null;
  return chain.flag === uapi.IOSQE_IO_HARDLINK ? hardChainAdvice : chainAdvice;
}

/**
 * Makes the error for a negative result, with what explains ECANCELED in its chain,
 * on a ring that polls.
 */
export function refusalOf(
  command: Command<unknown>,
  res: number,
  inChain: string | null = null,
  polled = false,
): UringError {
  const { name, fd, advice } = command;
  let text: unknown;
  let cause: unknown;
  try {
    text = advice(-res);
    // A command that the program aborted fails with the reason of the signal.
    if (inChain !== null && text === generalAdvice(E.ECANCELED)) text = inChain;
    if (polled && res === -E.EINVAL && !POLLABLE.has(command.opcode)) {
      text = polledAdvice;
    }
  } catch (error) {
    cause = error; // The command has failed for another reason.
  }
  const known = typeof text === "string" ? text : undefined;
  const refusal = new UringError(name, fd, -res, known);
  if (cause !== undefined) refusal.cause = cause;
  return refusal;
}

/** Tells the receiver of an aborted command, once. */
export function settleAborted(slot: Slot): void {
  const receiver = slot.receiver!;
  if (slot.abortReason === LEFT) receiver.end(slot);
  else receiver.error(slot, slot.abortReason);
  slot.receiver = NOBODY;
}
