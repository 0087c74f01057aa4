/** Explanations of the errnos of io_uring_setup() and of mapping a ring. */

import { E } from "../../sys/uapi/errno.ts";
import { readText } from "../../sys/file.ts";
import { isFiltered } from "../../sys/filter.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { release } from "../../sys/uname.ts";
import { adviceFrom, generalAdvice } from "../errors.ts";

/** Explains why a ring of `byteLength` bytes cannot be mapped. */
export function unmappable(errno: number, byteLength: number): string {
  return `The ring's ${byteLength} bytes cannot be mapped: ` +
    (errno === E.ENOMEM || errno === E.EAGAIN
      ? "the process is at the limit of its address space (RLIMIT_AS, " +
        "`ulimit -v`), of its mappings (the sysctl vm.max_map_count), or of " +
        "its locked memory. Raise it, or ask for fewer entries."
      : "a seccomp filter or a security module forbids it.");
}

const refusalOf = adviceFrom({
  ENOMEM: "The kernel has no memory for a ring of this size, or " +
    "RLIMIT_MEMLOCK is used up, which newer kernels count rings against " +
    "unless the process has CAP_IPC_LOCK. Raise it with `ulimit -l`, or " +
    "ask for fewer entries.",
  EAGAIN: "The kernel could start no submission thread (sqpoll): " +
    "RLIMIT_NPROC or the cgroup's pids.max is reached. Raise it, as with " +
    "`ulimit -u`, or open the ring without sqpoll.",
  ENXIO: "The ring to attach to is not open.",
}, generalAdvice);

const FILTERED = "A seccomp filter or a security module forbids io_uring. " +
  "Docker does so since version 25: run the container with " +
  "`--security-opt seccomp=` and a profile that allows the io_uring system calls.";

/** Explains an errno of io_uring_setup(), called with `flags`. */
export function refusal(errno: number, flags = 0): string {
  if (errno === E.ENOSYS) return missing();
  if (errno === E.EACCES || errno === E.EPERM) return forbidden();
  if (isFiltered("io_uring_setup", errno)) return FILTERED;
  if (errno === E.EINVAL) return unknownShape(flags);
  return refusalOf(errno) ?? "The kernel makes no ring.";
}

function missing(): string {
  const unbuilt =
    `Linux ${release()} was built without io_uring (CONFIG_IO_URING).`;
  const filtered = "A seccomp filter answers that io_uring does not exist, " +
    "as sandboxes and container runtimes do. Run with a profile that allows " +
    "the io_uring system calls.";
  const mode = seccompMode();
  if (mode === undefined) return `${unbuilt} Or: ${filtered}`;
  return mode === 0 ? unbuilt : filtered;
}

/** Causes by the value of the sysctl kernel.io_uring_disabled. */
const DISABLED: Readonly<Record<string, string>> = {
  "1": "The sysctl kernel.io_uring_disabled is 1, which leaves io_uring to " +
    "CAP_SYS_ADMIN and to the group named by kernel.io_uring_group. Join that " +
    "group, or run `sysctl -w kernel.io_uring_disabled=0` as root.",
  "2": "The sysctl kernel.io_uring_disabled is 2, which forbids io_uring to " +
    "everyone. `sysctl -w kernel.io_uring_disabled=0` as root lifts it.",
};

function forbidden(): string {
  const disabled = readText("/proc/sys/kernel/io_uring_disabled") ?? "";
  return DISABLED[disabled] ?? FILTERED;
}

function unknownShape(flags: number): string {
  const names = setupFlagNames(flags).join(", ");
  // Causes that no flag in probe().setupFlags shows.
  const attached = flags & uapi.IORING_SETUP_ATTACH_WQ;
  const bound = flags & uapi.IORING_SETUP_SQ_AFF;
  return `Linux ${release()} does not make a ring like this` +
    `${names && ` (${names})`}. See probe().setupFlags for what it takes.` +
    (attached ? " The descriptor to attach to must be a ring's." : "") +
    (bound ? " The processor to bind to must exist." : "");
}

/** Returns the names of `IORING_SETUP_` bits, without the prefix. */
export function setupFlagNames(flags: number): string[] {
  return namesOf("IORING_SETUP_", (bit) => (flags & bit) !== 0);
}

/** Returns the names of constants whose values pass a test, less the prefix. */
export function namesOf(
  prefix: string,
  test: (value: number) => boolean,
): string[] {
  return Object.entries(uapi)
    .filter(([name, value]) => name.startsWith(prefix) && test(value as number))
    .map(([name]) => name.slice(prefix.length));
}

/**
 * Returns the seccomp mode of this process: 0 without seccomp, 2 with a filter;
 * `undefined` if /proc cannot be read.
 */
function seccompMode(): number | undefined {
  const status = readText("/proc/self/status");
  return status === undefined
    ? undefined
    : Number(/^Seccomp:\s*(\d)/m.exec(status)?.[1] ?? 0);
}
