import type { E } from "../sys/uapi/errno.ts";
import { errnoName } from "../sys/errno_names.ts";
import { isFiltered } from "../sys/filter.ts";

/** A function that explains an errno: the usual cause, and the remedy. */
export type Advice = (errno: number) => string | undefined;

/**
 * The error of a command that was refused or failed, by whom it may be: a
 * {@linkcode UringError} by the kernel, an `NvmeError` or a `ScsiError` by a drive.
 *
 * @example Tell what failed, whatever it was
 * ```ts
 * import { CommandError, Ring } from "@uring/cmd";
 * import { siocinq } from "@uring/cmd/socket";
 *
 * await using ring = Ring.open();
 * try {
 *   await ring.cmd(siocinq(0)); // Standard input is rarely a socket.
 * } catch (error) {
 *   if (!(error instanceof CommandError)) throw error;
 *   console.log(error.op, error.fd, error.code);
 * }
 * ```
 */
export class CommandError extends Error {
  /** The class by name. */
  override readonly name: string = "CommandError";
  /**
   * The fault by name: an errno such as `"EOPNOTSUPP"`, a status of NVMe such
   * as `"LBA Out of Range"`, a sense key of SCSI such as `"Medium Error"`.
   */
  readonly code: string;
  /** The command or system call, such as `"URING_CMD SIOCINQ"`. */
  readonly op: string;
  /** The descriptor, or the index of a registered file; -1 if there was none. */
  readonly fd: number;

  /** Makes the error of a command that went to `fd`. */
  constructor(op: string, fd: number, code: string, message: string) {
    super(message);
    this.code = code;
    this.op = op;
    this.fd = fd;
  }
}

/**
 * The error of a command, or of a system call of the ring, that the kernel refused.
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
 *   await ring.cmd(siocinq(0)); // Standard input is rarely a socket.
 * } catch (error) {
 *   if (!(error instanceof UringError)) throw error;
 *   console.log(error.code, error.errno, error.op, error.fd);
 * }
 * ```
 */
export class UringError extends CommandError {
  /** `"UringError"`. */
  override readonly name = "UringError";
  /** The errno as a positive number, such as 95. */
  readonly errno: number;
  /**
   * The outcomes of all commands, in order, if this is the error of `Ring.cmdAll`
   * or `Ring.cmdAllSync`. Close descriptors that other commands have opened.
   */
  declare readonly results?: readonly PromiseSettledResult<unknown>[];

  /** Makes the error for `errno`, a positive number. */
  constructor(op: string, fd: number, errno: number, advice?: string) {
    const code = errnoName(errno);
    const on = fd >= 0 ? ` on fd ${fd}` : "";
    const hint = advice ? `. ${advice}` : "";
    super(op, fd, code, `${op}${on}: ${code} (${errno})${hint}`);
    this.errno = errno;
  }
}

/** Advice by the name of the errno. */
export type AdviceTable = { readonly [code in keyof typeof E]?: string };

/** Makes an {@linkcode Advice} of a table. Without an entry it asks `fallback`. */
export function adviceFrom(
  table: AdviceTable,
  fallback: Advice = () => undefined,
): Advice {
  const texts: Record<string, string | undefined> = table;
  return (errno) => texts[errnoName(errno)] ?? fallback(errno);
}

/** Explains an errno of any command. */
export const generalAdvice: Advice = adviceFrom({
  EBADF: "The descriptor is not open, or not open for this. A command that " +
    "writes needs it opened for writing.",
  EFAULT: "The kernel could not use an address of the command: outside the " +
    "registered buffer it named, or not mapped.",
  EACCES: "The process may not do this: the device wants a capability, a " +
    "security module denies it, or the ring was restricted.",
  EPERM: "The process may not do this. Most device commands want root or a " +
    "capability.",
  ECANCELED: "The kernel cancelled it, because it could start no thread to " +
    "run it: RLIMIT_NPROC (`ulimit -u`) or the cgroup's pids.max is reached.",
  EINTR: "The command was interrupted: cancelled, or its device was reset.",
  EAGAIN: "The kernel could not run it now. Retry later.",
  EBUSY: "The file or its device is in use. Retry when it is free.",
  EIO: "The device failed. `dmesg` shows what its driver reported.",
  ENXIO: "The device is gone, or has no driver. Open it again when it is back.",
  ENODEV:
    "The device is gone, or has no driver. Open it again when it is back.",
  ENOSPC: "The device or the file system has no room. Free some.",
  ETIMEDOUT: "The device or the peer did not answer in time. Retry.",
  ENOTSOCK: "The descriptor is not a socket's. Pass that of a socket.",
  EOPNOTSUPP: "The file, its file system or its driver does not support this.",
  ENOMEM: "The kernel is out of memory, or RLIMIT_MEMLOCK is too small for " +
    "registered buffers. Raise it with `ulimit -l`.",
  EMFILE: "The process has as many files open as RLIMIT_NOFILE allows. " +
    "Close some, or raise it with `ulimit -n`.",
  ENFILE: "The machine has as many files open as the sysctl fs.file-max " +
    "allows. Raise it with `sysctl -w fs.file-max=` as root.",
  EINVAL: "The kernel does not take these arguments, or is too old for this " +
    "operation. `deno run --allow-ffi jsr:@uring/cmd` lists what it takes.",
});

/** Explains EINVAL on a ring that polls: io_init_req(), Linux 6.18. */
export const polledAdvice =
  "A ring with iopoll runs only what can be polled: " +
  "reads and writes of files with O_DIRECT, and commands to devices. Run " +
  "anything else on another ring.";

/** Explains ENOBUFS of a command with provided buffers. */
export const allLentAdvice =
  "All provided buffers are lent, or wait in a stream. " +
  "Release each when you are done with it, as `for await (using item of ...)` " +
  "does, read from all streams, or register more buffers. No data is lost: run " +
  "the command again.";

/** Explains ECANCELED of a command of a chain. */
export const chainAdvice = "A command before it in its chain failed, or " +
  "transferred fewer bytes than asked for, or its linkTimeout() ran out.";

/** Explains ECANCELED of a command of a chain that goes on after a failure. */
export const hardChainAdvice =
  "The kernel refused a command of its chain before " +
  "any of them started, or took only a part of the chain, or its " +
  "linkTimeout() ran out.";

/** Explains an errno of IORING_OP_URING_CMD on any file. */
export const uringCmdAdvice: Advice = adviceFrom({
  EOPNOTSUPP: "The file has no handler for uring commands (as a pipe, a tty, " +
    "or a regular file on ext4 or xfs), or its handler does not know this " +
    "command. On a ring with iopoll, before Linux 7.2, the device must " +
    "support polling.",
  EINVAL: "The handler does not take these arguments, or the kernel has no " +
    "IORING_OP_URING_CMD, which came with Linux 5.19.",
  ENOTTY: "The driver does not know this cmd_op.",
}, generalAdvice);

const REGISTER_FORBIDDEN = "A seccomp filter or a security module forbids " +
  "io_uring_register(). Run with a profile that allows it.";

const registerCauses = adviceFrom({
  EBADF:
    "A descriptor is not open, or is that of a ring, which no table takes.",
  EMFILE: "A table may not be larger than RLIMIT_NOFILE. Raise it with " +
    "`ulimit -n`.",
  EBUSY: "The ring has such a table already. Unregister it first.",
  EACCES: "The ring was restricted and may not do this.",
  ENXIO: "The ring has no such table.",
  EPERM: REGISTER_FORBIDDEN,
  ENOSYS: REGISTER_FORBIDDEN,
}, generalAdvice);

/** Explains an errno of io_uring_register(). */
export const registerAdvice: Advice = (errno) =>
  isFiltered("io_uring_register", errno)
    ? REGISTER_FORBIDDEN
    : registerCauses(errno);

/** Explains an errno of a registration of provided buffers. */
export const bufferRingAdvice: Advice = adviceFrom({
  EINVAL:
    "The kernel has no rings of provided buffers, which came with Linux 5.19.",
  EEXIST: "Something else has registered the group with the ring's descriptor.",
  ENOMEM:
    "The kernel is out of memory, or RLIMIT_MEMLOCK is too small for the " +
    "ring. Raise it with `ulimit -l`, or register fewer buffers.",
}, registerAdvice);

const ENTER_FORBIDDEN = "A seccomp filter or a security module now forbids " +
  "io_uring_enter(), which runs every command. Allow it, and " +
  "io_uring_register() with it.";
const RING_CLOSED = "The descriptor of the ring was closed behind its back.";

const fatal = adviceFrom({
  EBADR: "The kernel had no memory for a completion and lost it. The results " +
    "of the commands in flight are unknown. Open another ring.",
  EEXIST: "The ring belongs to another thread. A worker opens its own.",
  EBADF: RING_CLOSED,
  EOPNOTSUPP: RING_CLOSED,
  EPERM: ENTER_FORBIDDEN,
  EACCES: ENTER_FORBIDDEN,
  ENOSYS: ENTER_FORBIDDEN,
  EOWNERDEAD: "The kernel's submission thread has died.",
  ESHUTDOWN:
    "The program got an `unload` event, which closes its rings. Add a " +
    "listener that uses a ring before the first ring is opened.",
});

/** Explains an errno of io_uring_enter(), which ends the ring. */
export function fatalAdvice(errno: number): string {
  return isFiltered("io_uring_enter", errno)
    ? ENTER_FORBIDDEN
    : fatal(errno) ?? "The ring cannot go on.";
}
