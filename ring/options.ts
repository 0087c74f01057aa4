/** Options of a ring, and their translation for io_uring_setup(). */

import * as uapi from "../sys/uapi/io_uring.ts";
import {
  checkBoolean,
  checkFd,
  checkInteger,
  checkObject,
  checkU32,
} from "./check.ts";
import { rereadsSqes, type SetupOptions } from "./bare/setup.ts";

/**
 * Options of `Ring.open`. SQEs are the submission queue entries through which
 * commands reach the kernel, CQEs the completion queue entries that answer them.
 */
export interface RingOptions {
  /** SQEs: commands submitted by one system call. Default 64, at most 32768. */
  entries?: number;
  /**
   * CQEs: commands in flight, while more wait in order. Default 1024 or twice
   * the `entries`, whichever is more; at most 65536.
   */
  cqEntries?: number;
  /**
   * The needs of NVMe and SCSI drives: `sqe128` and `cqe32`, unless these
   * say otherwise.
   */
  drive?: boolean;
  /** SQEs of 128 bytes, for payloads of up to 80 bytes, such as NVMe's. */
  sqe128?: boolean;
  /** CQEs of 32 bytes, for commands whose result is more than a number. */
  cqe32?: boolean;
  /**
   * SQEs and CQEs of both sizes in one ring, where the kernel has them: CQEs
   * since Linux 6.18, SQEs since 6.19. `ring.flags` has those that it has. Not
   * together with `sqpoll`.
   */
  mixed?: boolean;
  /** A kernel thread that submits: `true`, or its settings. Default: none. */
  sqpoll?: boolean | {
    /** Milliseconds without work until the thread sleeps. Default 1000. */
    idleMs?: number;
    /** The processor to bind the thread to. Default: any. */
    cpu?: number;
  };
  /**
   * Poll devices for completions. Commands to a file whose device cannot be
   * polled fail with EOPNOTSUPP, and most other operations with EINVAL. The event
   * loop never sleeps while commands are
   * in flight. `"hybrid"` sleeps a little before it polls (Linux 6.13).
   */
  iopoll?: boolean | "hybrid";
  /**
   * Complete commands only in io_uring_enter() (Linux 6.1). It is cheapest with
   * `cmdSync` and `cmdAllSync`; a completion that the event loop waits for costs
   * one more system call. Default: `true` on rings with SQEs of 128 bytes, if the
   * kernel has it and there is no `sqpoll`.
   */
  deferTaskrun?: boolean;
  /**
   * Most kernel workers for commands that would block, of all rings of this
   * thread together, from now on. Default: the kernel's number; on x86-64 with
   * SQEs of 128 bytes and `deferTaskrun` it is 1, because more of them may take
   * addresses for those of a 32-bit process.
   */
  maxWorkers?: number;
  /**
   * Look for completions for up to 0.2 ms before the event loop sleeps, as long
   * as they arrive that soon. It saves the time to wake up (0.05 ms), and takes
   * processor time from others. Default: `true`.
   */
  spin?: boolean;
  /**
   * A ring whose kernel threads to share. With `sqpoll`, neither ring can link
   * commands then: the thread takes eight SQEs of a ring at a time, and the kernel
   * cuts a chain where it stops (`__io_sq_thread()`, Linux 6.18). `link` refuses such
   * a ring, except where another worker attached to it, of which it does not know.
   */
  attach?: { readonly fd: number };
  /** Take no commands until `ring.restrict()` is called. Default: `false`. */
  disabled?: boolean;
}

/**
 * Checks the options, and picks the `IORING_SETUP_` flags for them.
 *
 * Drivers of device commands ask in_compat_syscall() how wide an address is. A
 * kernel with CONFIG_X86_X32_ABI, such as Debian's, answers "32 bits" in a thread
 * that was interrupted outside a system call, and in each worker started there.
 * Commands fail with EFAULT then, because nothing of Deno lies that low (seen
 * from Linux 6.1 to 7.2 with a chain of NVMe commands, and with more commands
 * than the driver has tags for). So a ring for such commands starts and completes
 * them in io_uring_enter() only, and has one worker, which is started there as
 * well. A submission thread is never interrupted like that.
 */
export function setupOptions(options: RingOptions): SetupOptions {
  // Each option is read once, so that the value used is the value checked.
  checkObject("options", options);
  const { entries: wanted = 64, drive, mixed, iopoll } = options;
  const { sqe128 = drive, cqe32 = drive } = options;
  const { sqpoll, deferTaskrun, attach, disabled, spin } = options;
  const { cpu, idleMs = 1000 } = typeof sqpoll === "object"
    ? checkObject("sqpoll", sqpoll)
    : {};
  const booleans = {
    ...{ drive, sqe128, cqe32, mixed, deferTaskrun, disabled, spin },
    iopoll: iopoll === "hybrid" || iopoll,
    sqpoll: typeof sqpoll === "object" || sqpoll,
  };
  for (const [name, value] of Object.entries(booleans)) {
    if (value !== undefined) checkBoolean(name, value);
  }
  const hold = rereadsSqes();
  // A large SQE takes up to three places; where SQEs are held, a cancellation
  // takes one.
  const least = mixed || hold ? 4 : 1;
  const entries = Math.max(least, checkInteger("entries", wanted, 1, 32768));
  const { cqEntries = Math.max(1024, 2 * entries) } = options;
  checkInteger("cqEntries", cqEntries, wanted, 65536);
  if (mixed && sqpoll) {
    throw new TypeError(
      "a ring cannot be both mixed and sqpoll: a submission thread that several " +
        "rings share would take a long command in two parts, and run the second as " +
        "a command of its own. Use sqe128 and cqe32 in place of mixed",
    );
  }
  if (mixed && (sqe128 || cqe32)) {
    throw new TypeError(
      "a ring is mixed, or of one size with sqe128, cqe32 or drive",
    );
  }
  if (sqpoll && deferTaskrun) {
    throw new TypeError("a ring has sqpoll or deferTaskrun, not both");
  }
  const safe = Boolean(sqe128 || mixed) && !sqpoll && deferTaskrun !== false;
  const deferred = uapi.IORING_SETUP_DEFER_TASKRUN |
    uapi.IORING_SETUP_TASKRUN_FLAG;
  const flags = when(sqe128, uapi.IORING_SETUP_SQE128) |
    when(cqe32, uapi.IORING_SETUP_CQE32) |
    when(iopoll, uapi.IORING_SETUP_IOPOLL) |
    when(iopoll === "hybrid", uapi.IORING_SETUP_HYBRID_IOPOLL) |
    when(attach !== undefined, uapi.IORING_SETUP_ATTACH_WQ) |
    when(disabled, uapi.IORING_SETUP_R_DISABLED) |
    when(sqpoll, uapi.IORING_SETUP_SQPOLL) |
    when(cpu !== undefined, uapi.IORING_SETUP_SQ_AFF) |
    when(deferTaskrun, deferred | uapi.IORING_SETUP_SINGLE_ISSUER);
  const optional = uapi.IORING_SETUP_SUBMIT_ALL |
    uapi.IORING_SETUP_NO_SQARRAY | uapi.IORING_SETUP_SINGLE_ISSUER |
    when(!sqpoll && !deferTaskrun, uapi.IORING_SETUP_COOP_TASKRUN) |
    when(safe && !deferTaskrun, deferred) |
    when(mixed, uapi.IORING_SETUP_SQE_MIXED | uapi.IORING_SETUP_CQE_MIXED);
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
      : checkAttached(checkObject("attach", attach).fd),
    sqThreadCpu: cpu === undefined ? undefined : checkU32("sqpoll.cpu", cpu),
    sqThreadIdleMs: checkU32("sqpoll.idleMs", idleMs),
  };
}

/** Checks the descriptor of the ring to attach to, which a closed one lacks. */
function checkAttached(fd: number): number {
  if (fd === -1) throw new TypeError("the ring to attach to is closed");
  return checkFd(fd, "attach.fd");
}

function when(asked: unknown, flags: number): number {
  return asked ? flags : 0;
}
