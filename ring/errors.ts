import * as E from "../sys/uapi/errno.ts";
import { errnoName } from "../sys/errno_names.ts";

/** What usually causes an errno of a command for `fd`, and what to do. */
export type Advice = (errno: number) => string | undefined;

/**
 * The kernel refused a command, or a system call of the ring.
 *
 * The message names the command, the descriptor and the errno, then the usual
 * cause and the remedy.
 *
 * @example
 * ```ts
 * import { Ring, UringError } from "@uring/cmd";
 * import { siocinq } from "@uring/cmd/socket";
 *
 * await using ring = Ring.open();
 * try {
 *   await ring.cmd(siocinq(0)); // Standard input is hardly a socket.
 * } catch (error) {
 *   if (!(error instanceof UringError)) throw error;
 *   console.log(error.code, error.errno, error.op, error.fd);
 * }
 * ```
 */
export class UringError extends Error {
  /** `"UringError"`. */
  override readonly name = "UringError";
  /** The errno by name, such as `"EOPNOTSUPP"`. */
  readonly code: string;
  /** The errno as a positive number, such as 95. */
  readonly errno: number;
  /** What was asked for, such as `"URING_CMD SIOCINQ"`. */
  readonly op: string;
  /** The descriptor it was asked of; -1 where there was none. */
  readonly fd: number;

  /** Makes the error for `errno`, a positive number. */
  constructor(op: string, fd: number, errno: number, advice?: string) {
    const code = errnoName(errno);
    const on = fd >= 0 ? ` on fd ${fd}` : "";
    super(`${op}${on}: ${code} (${errno})${advice ? `. ${advice}` : ""}`);
    this.code = code;
    this.errno = errno;
    this.op = op;
    this.fd = fd;
  }
}

const GENERAL = new Map<number, string>([
  [
    E.EBADF,
    "The descriptor is not open, or not open for this: a command that writes " +
    "needs it opened for writing.",
  ],
  [
    E.EFAULT,
    "The kernel could not use an address of the command: outside the " +
    "registered buffer it named, or not mapped.",
  ],
  [
    E.EACCES,
    "The process may not do this: the device wants a capability, a security " +
    "module denies it, or the ring was restricted.",
  ],
  [
    E.EPERM,
    "The process may not do this. Most device commands want root or a " +
    "capability.",
  ],
  [
    E.ECANCELED,
    "It was cancelled, a command it was linked to failed, or the kernel could " +
    "start no thread to run it: RLIMIT_NPROC (`ulimit -u`) or the cgroup's " +
    "pids.max is reached.",
  ],
  [
    E.EINTR,
    "The command was interrupted: cancelled, or its device was reset.",
  ],
  [
    E.ENOMEM,
    "The kernel is out of memory, or RLIMIT_MEMLOCK is too small for " +
    "registered buffers: raise it with `ulimit -l`.",
  ],
  [
    E.EMFILE,
    "The process has as many files open as RLIMIT_NOFILE lets it: close some, " +
    "or raise it with `ulimit -n`.",
  ],
  [
    E.ENFILE,
    "The machine has as many files open as the sysctl fs.file-max lets it: " +
    "raise it with `sysctl -w fs.file-max=` as root.",
  ],
  [
    E.EINVAL,
    "The kernel does not take these arguments, or is too old for this " +
    "operation: `deno run --allow-ffi jsr:@uring/cmd` lists what it takes.",
  ],
]);

/** Advice by the name of the errno it is about. */
export type AdviceTable = { readonly [code in keyof typeof E]?: string };

/** Makes an {@linkcode Advice} of a table; `fallback` is asked for the rest. */
export function adviceFrom(table: AdviceTable, fallback: Advice): Advice {
  const texts = new Map(
    Object.entries(table).map((
      [code, text],
    ) => [E[code as keyof typeof E], text]),
  );
  return (errno) => texts.get(errno) ?? fallback(errno);
}

/** What an errno means whatever the command was. */
export function generalAdvice(errno: number): string | undefined {
  return GENERAL.get(errno);
}

/** What an errno of IORING_OP_URING_CMD means whatever the file is. */
export function uringCmdAdvice(errno: number): string | undefined {
  switch (errno) {
    case E.EOPNOTSUPP:
      return "The file has no handler for uring commands, as a pipe, a tty or " +
        "a regular file on ext4 or xfs has none, its handler does not know " +
        "this command, or the ring polls (iopoll), which before Linux 7.2 " +
        "takes files that can be polled only.";
    case E.EINVAL:
      return "The handler does not take these arguments, or the kernel has no " +
        "IORING_OP_URING_CMD: it came with Linux 5.19.";
    case E.ENOTTY:
      return "The driver does not know this cmd_op.";
    default:
      return generalAdvice(errno);
  }
}

/** What an errno of io_uring_register() means. */
export function registerAdvice(errno: number): string | undefined {
  switch (errno) {
    case E.EBUSY:
      return "The ring has such a table already: unregister it first.";
    case E.EACCES:
      return "The ring was restricted and may not do this.";
    case E.ENXIO:
      return "The ring has no such table.";
    case E.EPERM:
    case E.ENOSYS:
      return "A seccomp filter or a security module forbids " +
        "io_uring_register(): run with a profile that allows it.";
    default:
      return generalAdvice(errno);
  }
}

/** What an error of io_uring_enter() means for the ring. */
export function fatalAdvice(errno: number): string {
  switch (errno) {
    case E.EBADR:
      return "The kernel had no memory for a completion and lost it. What the " +
        "commands in flight came to is not known: open another ring.";
    case E.EEXIST:
      return "The ring belongs to another thread. A worker opens its own.";
    case E.EBADF:
    case E.EOPNOTSUPP:
      return "The descriptor of the ring was closed behind its back.";
    case E.EPERM:
    case E.EACCES:
    case E.ENOSYS:
      return "A seccomp filter or a security module has come to forbid " +
        "io_uring_enter(), which runs every command: allow it, and " +
        "io_uring_register() with it.";
    case E.EOWNERDEAD:
      return "The kernel's submission thread has died.";
    default:
      return "The ring cannot go on.";
  }
}
