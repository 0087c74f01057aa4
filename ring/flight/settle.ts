/** How a completion becomes a result or an error, and who is told. */

import { ECANCELED, EINTR } from "../../sys/uapi/errno.ts";
import { IORING_CQE_F_MORE } from "../../sys/uapi/io_uring.ts";
import type { Command } from "../command.ts";
import { Completion } from "../completion.ts";
import { UringError } from "../errors.ts";
import {
  copyOut,
  type Extras,
  memories,
  type Receiver,
  type Slot,
} from "./slot.ts";

/** The promise of a slot. */
export const AWAITED: Receiver = {
  value: (slot, value) => slot.resolve!(value),
  error: (slot, error) => slot.resolve!(Promise.reject(error)),
  end() {},
};

/**
 * What a command that was cancelled may answer. A worker that was interrupted in
 * a system call may leak what the kernel would have restarted it by: ERESTARTSYS,
 * ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK.
 */
const CANCELLED = [ECANCELED, EINTR, 512, 513, 514, 516];

/** Of cancellations, and of commands that were told how they ended. */
export const NOBODY: Receiver = { value() {}, error() {}, end() {} };

/**
 * Settles a command, or hands on one value of a multishot command. It never
 * throws, and runs nobody's code but the command's decoder.
 *
 * `res` and `flags` are those of the completion that has the result, which is
 * not always the one `cq` is on: `notification` is what came after it. Returns
 * `false` when the result could not be made, and the receiver has the error.
 */
export function deliver(
  slot: Slot,
  cq: Extras,
  res: number,
  flags: number,
  notification: number,
): boolean {
  const command = slot.command!;
  const { decode, multishot, expected } = command;
  const simple = command.operands.length === 0;
  // A value of a stream may use all 32 bits: only its last one can be an errno.
  const more = multishot && (flags & IORING_CQE_F_MORE) !== 0;
  const good = res >= 0 || more || expected.includes(-res);
  let value: unknown = res;
  try {
    if (!simple) copyOut(slot, res);
    if (good && decode !== null) {
      const memory = simple ? undefined : memories(slot);
      const extra1 = cq.wide ? cq.extra(0) : 0n;
      const extra2 = cq.wide ? cq.extra(1) : 0n;
      value = decode(
        new Completion(res, flags, memory, extra1, extra2, notification),
      );
    }
  } catch (error) {
    slot.receiver!.error(slot, error);
    return false;
  }
  // The decoder may have closed the ring, or have been told that it failed.
  const receiver = slot.receiver!;
  if (!more && slot.aborted && isCancelled(res)) {
    settleAborted(slot);
  } else if (good) {
    receiver.value(slot, value);
    if (multishot && !more) receiver.end(slot);
  } else {
    receiver.error(slot, refusalOf(command, res));
  }
  return true;
}

/** The error that a negative result is. */
export function refusalOf(command: Command<unknown>, res: number): UringError {
  const { name, fd, advice } = command;
  let text: unknown;
  let cause: unknown;
  try {
    text = advice(-res);
  } catch (error) {
    cause = error; // The command has failed for another reason.
  }
  const known = typeof text === "string" ? text : undefined;
  const refusal = new UringError(name, fd, -res, known);
  if (cause !== undefined) refusal.cause = cause;
  return refusal;
}

/** `true` when a command that was asked to be cancelled may answer this. */
export function isCancelled(res: number): boolean {
  return CANCELLED.includes(-res);
}

/** Tells that a command was aborted. */
export function settleAborted(slot: Slot): void {
  const receiver = slot.receiver!;
  slot.receiver = NOBODY;
  // Leaving a stream is no error.
  if (slot.abortReason === undefined) receiver.end(slot);
  else receiver.error(slot, slot.abortReason);
}
