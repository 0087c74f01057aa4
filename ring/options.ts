/** What a ring can be asked for, and what that is to the kernel. */

import * as uapi from "../sys/uapi/io_uring.ts";
import { checkFd, checkInteger, checkObject, checkU32 } from "./check.ts";
import { rereadsSqes, type SetupOptions } from "./bare/setup.ts";

/** What `Ring.open` is asked for. */
export interface RingOptions {
  /** SQEs: commands handed to the kernel at once. Default 64, at most 32768. */
  entries?: number;
  /**
   * CQEs: commands in flight; more wait in order. Default 1024 or twice the
   * `entries`, whichever is more; at most 65536.
   */
  cqEntries?: number;
  /** SQEs of 128 bytes, for commands of up to 80 bytes, such as NVMe's. */
  sqe128?: boolean;
  /** CQEs of 32 bytes, for commands that answer more than a number. */
  cqe32?: boolean;
  /**
   * SQEs and CQEs of both sizes in one ring, each where the kernel has it: CQEs
   * since Linux 6.18, SQEs since 6.19. See `ring.flags`.
   */
  mixed?: boolean;
  /** A kernel thread takes the submissions: `true`, or how it shall behave. */
  sqpoll?: boolean | {
    /** Milliseconds without work until the thread sleeps. Default 1000. */
    idleMs?: number;
    /** The processor to bind it to. */
    cpu?: number;
  };
  /**
   * Completions are polled for, on devices that can do that: commands to any
   * other file answer EOPNOTSUPP. The event loop
   * turns all the time while commands are in flight. `"hybrid"` sleeps a little
   * before it polls (Linux 6.13).
   */
  iopoll?: boolean | "hybrid";
  /**
   * Complete commands only when the program asks: cheapest when driven by
   * `cmdSync` and `cmdAllSync`; a completion the event loop waits for costs one
   * system call more. Linux 6.1. Default: on rings with SQEs of 128 bytes, where
   * the kernel has it and there is no `sqpoll`.
   */
  deferTaskrun?: boolean;
  /**
   * Kernel workers for commands that would block, of all rings of this thread
   * together and from now on. Default: the kernel's own number, and on x86-64 with
   * SQEs of 128 bytes and `deferTaskrun` 1: more of them may take addresses for
   * those of a 32-bit process.
   */
  maxWorkers?: number;
  /**
   * Look for completions for up to 0.2 ms before the event loop sleeps, as long
   * as they come as soon as that. It takes the processor's time that sleeping
   * would leave to others, and saves the time that waking takes. Default: `true`.
   */
  spin?: boolean;
  /**
   * A ring whose kernel threads this one shall share. With `sqpoll`, neither can
   * link commands any more: the thread takes eight SQEs of a ring at a time, and
   * where it stops, the kernel cuts a chain (`__io_sq_thread()`, Linux 6.18).
   */
  attach?: { readonly fd: number };
  /** Take no commands until `ring.restrict()` was called. */
  disabled?: boolean;
}

/**
 * Checks the options, and picks the `IORING_SETUP_` flags for them.
 *
 * Drivers of device commands ask in_compat_syscall() how wide an address is. A
 * kernel with CONFIG_X86_X32_ABI, as Debian's, says "32 bits" where a thread was
 * interrupted rather than in a system call, and in each worker that is started
 * there: commands are EFAULT then, since nothing of Deno lies that low (seen from
 * Linux 6.1 to 7.2: a chain of NVMe commands, and more of them than the driver
 * has tags for). So a ring for such commands starts and completes them in
 * io_uring_enter() only, and has one worker, which is started there as well. A
 * submission thread is never interrupted like that.
 */
export function setupOptions(options: RingOptions): SetupOptions {
  // Each is read once, so that what was checked is what is used.
  const { entries: wanted = 64, sqe128, cqe32, mixed, iopoll } = checkObject(
    "options",
    options,
  );
  const { sqpoll, deferTaskrun, attach, disabled } = options;
  const hold = rereadsSqes();
  const least = mixed ? 4 : 1; // A large SQE takes up to three places.
  const entries = Math.max(least, checkInteger("entries", wanted, 1, 32768));
  const { cqEntries = Math.max(1024, 2 * entries) } = options;
  checkInteger("cqEntries", cqEntries, wanted, 65536);
  if (mixed && (sqe128 || cqe32)) {
    throw new TypeError(
      "a ring is mixed, or of one size with sqe128 or cqe32",
    );
  }
  if (sqpoll && deferTaskrun) {
    throw new TypeError("a ring has sqpoll or deferTaskrun, not both");
  }
  let flags = 0;
  let optional = uapi.IORING_SETUP_SUBMIT_ALL |
    uapi.IORING_SETUP_NO_SQARRAY | uapi.IORING_SETUP_SINGLE_ISSUER;
  if (sqe128) flags |= uapi.IORING_SETUP_SQE128;
  if (cqe32) flags |= uapi.IORING_SETUP_CQE32;
  if (iopoll) flags |= uapi.IORING_SETUP_IOPOLL;
  if (iopoll === "hybrid") flags |= uapi.IORING_SETUP_HYBRID_IOPOLL;
  if (attach !== undefined) flags |= uapi.IORING_SETUP_ATTACH_WQ;
  if (disabled) flags |= uapi.IORING_SETUP_R_DISABLED;
  const safe = Boolean(sqe128 || mixed) && !sqpoll && deferTaskrun !== false;
  const { cpu, idleMs = 1000 } = typeof sqpoll === "object" && sqpoll || {};
  if (sqpoll) flags |= uapi.IORING_SETUP_SQPOLL;
  if (cpu !== undefined) flags |= uapi.IORING_SETUP_SQ_AFF;
  if (deferTaskrun) {
    flags |= uapi.IORING_SETUP_DEFER_TASKRUN |
      uapi.IORING_SETUP_SINGLE_ISSUER | uapi.IORING_SETUP_TASKRUN_FLAG;
  } else if (!sqpoll) {
    optional |= uapi.IORING_SETUP_COOP_TASKRUN;
    if (safe) {
      optional |= uapi.IORING_SETUP_DEFER_TASKRUN |
        uapi.IORING_SETUP_TASKRUN_FLAG;
    }
  }
  if (mixed) {
    optional |= uapi.IORING_SETUP_SQE_MIXED | uapi.IORING_SETUP_CQE_MIXED;
  }
  const { maxWorkers = safe && Deno.build.arch === "x86_64" ? 1 : 0 } = options;
  return {
    // Where SQEs are held until their commands have completed, there are as many
    // as commands may be in flight.
    entries: hold ? Math.min(32768, Math.max(entries, cqEntries)) : entries,
    cqEntries: Math.max(entries, cqEntries),
    flags,
    optional,
    hold,
    maxWorkers: checkInteger("maxWorkers", maxWorkers, 0, 0xffff),
    wqFd: attach === undefined
      ? undefined
      : checkFd(checkObject("attach", attach).fd, "attach.fd"),
    sqThreadCpu: cpu === undefined ? undefined : checkU32("sqpoll.cpu", cpu),
    sqThreadIdleMs: checkU32("sqpoll.idleMs", idleMs),
  };
}
