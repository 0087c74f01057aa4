/** Restrictions of a ring: what it may do after `Ring.restrict`. */

import * as uapi from "../sys/uapi/io_uring.ts";
import { neededBy } from "./bare/register.ts";
import { checkList, checkObject, checkU8 } from "./check.ts";
import { append } from "./intrinsics.ts";

/** The operations that a restricted ring may still do; all others are refused. */
export interface Restrictions {
  /**
   * `IORING_OP_` numbers; `@uring/cmd/raw` has those of all commands of this
   * library. On a ring with SQEs of both sizes (`mixed`), commands with the larger
   * one are another operation: IORING_OP_URING_CMD128.
   */
  ops?: readonly number[];
  /**
   * `IORING_REGISTER_` and `IORING_UNREGISTER_` numbers; `@uring/cmd/raw` has those
   * of files, buffers and credentials. IORING_REGISTER_PBUF_STATUS (26) lets the ring
   * find out if a failed command has used a provided buffer, which is not used again
   * otherwise.
   */
  registerOps?: readonly number[];
  /** `IOSQE_` bits that a command may set in addition to the required ones. */
  sqeFlagsAllowed?: number;
  /** `IOSQE_` bits that a command must set: IOSQE_FIXED_FILE, IOSQE_ASYNC. */
  sqeFlagsRequired?: number;
}

/** Bits with which a cancellation still works. */
const REQUIRABLE = uapi.IOSQE_FIXED_FILE | uapi.IOSQE_ASYNC;

/** One entry of IORING_REGISTER_RESTRICTIONS. */
export type Restriction = readonly [opcode: number, value: number];

/**
 * Checks restrictions, and adds what a ring made with `flags` needs in any case:
 * cancelling, so that it can be closed, and waking the event loop.
 */
export function checkRestrictions(
  restrictions: Restrictions,
  flags: number,
): { list: Restriction[]; requiredFlags: number } {
  checkObject("restrictions", restrictions);
  const { sqeFlagsAllowed = 0, sqeFlagsRequired = 0 } = restrictions;
  const ops = checkList("ops", restrictions.ops ?? []);
  append(ops, uapi.IORING_OP_ASYNC_CANCEL);
  const registerOps = checkList("registerOps", restrictions.registerOps ?? [])
    .concat(neededBy(flags));
  checkU8("sqeFlagsAllowed", sqeFlagsAllowed);
  checkU8("sqeFlagsRequired", sqeFlagsRequired);
  if (sqeFlagsRequired & ~REQUIRABLE) {
    throw new TypeError(
      "sqeFlagsRequired may be IOSQE_FIXED_FILE and IOSQE_ASYNC: with any " +
        "other bit, a ring could not cancel its commands and be closed",
    );
  }
  const list: Restriction[] = [
    [uapi.IORING_RESTRICTION_SQE_FLAGS_ALLOWED, sqeFlagsAllowed],
    [uapi.IORING_RESTRICTION_SQE_FLAGS_REQUIRED, sqeFlagsRequired],
  ];
  for (const op of new Set(ops)) {
    append(list, [uapi.IORING_RESTRICTION_SQE_OP, checkU8("op", op)]);
  }
  for (const op of new Set(registerOps)) {
    append(list, [
      uapi.IORING_RESTRICTION_REGISTER_OP,
      checkU8("registerOp", op),
    ]);
  }
  return { list, requiredFlags: sqeFlagsRequired };
}
