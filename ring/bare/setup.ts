import * as E from "../../sys/uapi/errno.ts";
import { close, readText } from "../../sys/file.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { io_uring_enter, syscall } from "../../sys/libc.ts";
import { map, type Mapping, unmap } from "../../sys/mapping.ts";
import { scratch } from "../../sys/scratch.ts";
import { sizeof } from "../../sys/struct.ts";
import { release, version } from "../../sys/uname.ts";
import { CompletionQueue } from "./cqueue.ts";
import { generalAdvice, registerAdvice, UringError } from "../errors.ts";
import { registerMaxWorkers, registerRingFd } from "./register.ts";
import { unregisterRingFd } from "./register.ts";
import { SubmissionQueue } from "./squeue.ts";

/** What {@linkcode setup} is asked for. */
export interface SetupOptions {
  /** SQEs; the kernel rounds up to a power of two. At most 32768. */
  entries: number;
  /** CQEs; 0 lets the kernel take twice the SQEs. At most 65536. */
  cqEntries?: number;
  /** `IORING_SETUP_` bits without which there shall be no ring. */
  flags?: number;
  /** `IORING_SETUP_` bits to take where the kernel has them. */
  optional?: number;
  /** With IORING_SETUP_SQ_AFF: the processor of the submission thread. */
  sqThreadCpu?: number;
  /** With IORING_SETUP_SQPOLL: milliseconds until the thread sleeps. */
  sqThreadIdleMs?: number;
  /** With IORING_SETUP_ATTACH_WQ: the ring whose workers are shared. */
  wqFd?: number;
  /** Workers for this thread's commands; 0 leaves the kernel's own number. */
  maxWorkers?: number;
  /**
   * Keep each SQE untouched until `sq.release()`: for uring commands on the
   * kernels that read an SQE again, see {@linkcode rereadsSqes}.
   */
  hold?: boolean;
}

/** A ring as the kernel made it: a descriptor and two queues. */
export interface RingHandle {
  /** The descriptor of the ring. */
  readonly fd: number;
  /** The `IORING_SETUP_` bits it was made with. */
  readonly flags: number;
  /** The `IORING_FEAT_` bits of the kernel. */
  readonly features: number;
  /** The submission queue. */
  readonly sq: SubmissionQueue;
  /** The completion queue. */
  readonly cq: CompletionQueue;
  /**
   * io_uring_enter(2): submits `toSubmit` SQEs, waits for `minComplete` CQEs.
   * Returns the number of SQEs taken, or `-errno`.
   */
  enter(toSubmit: number, minComplete: number, flags: number): number;
  /** Detaches the queues, unmaps them and closes the descriptor, once. */
  close(): void;
}

/** Optional bits, newest first, so that dropping the first tries the rest. */
const OPTIONAL = [
  uapi.IORING_SETUP_SQE_MIXED, // 6.19
  uapi.IORING_SETUP_CQE_MIXED, // 6.18
  uapi.IORING_SETUP_HYBRID_IOPOLL, // 6.13
  uapi.IORING_SETUP_NO_SQARRAY, // 6.6
  uapi.IORING_SETUP_DEFER_TASKRUN, // 6.1
  uapi.IORING_SETUP_SINGLE_ISSUER, // 6.0
  uapi.IORING_SETUP_TASKRUN_FLAG, // 5.19
  uapi.IORING_SETUP_COOP_TASKRUN, // 5.19
  uapi.IORING_SETUP_SUBMIT_ALL, // 5.18
];

/**
 * Makes a ring and maps its queues.
 *
 * Optional bits that the kernel does not know are left out one by one, newest
 * first; {@linkcode RingHandle.flags} says which are there.
 *
 * Matches io_uring_queue_init_params() in liburing.
 *
 * @throws {UringError} when there can be no such ring, saying why.
 */
export function setup(options: SetupOptions): RingHandle {
  const required = options.flags ?? 0;
  let optional = (options.optional ?? 0) & ~required;
  const { hold = false } = options;
  if (hold) optional &= ~uapi.IORING_SETUP_NO_SQARRAY;
  for (;;) {
    const fd = patiently(() => tryset(options, required | optional));
    if (fd >= 0) return mapped(fd, hold, options.maxWorkers ?? 0);
    const next = OPTIONAL.find((bit) => optional & bit);
    if (fd !== -E.EINVAL || next === undefined) {
      throw new UringError("io_uring_setup", -1, -fd, refusal(-fd, required));
    }
    optional &= ~next;
  }
}

/**
 * `true` on Linux 6.10 to 6.13, which read the SQE of a uring command again when
 * it was deferred to a worker, linked or drained, after io_uring_enter() has
 * returned (io_uring_cmd_prep() there; mended in 6.14). Until the command has
 * completed, its SQE must not be used for another.
 */
export function rereadsSqes(): boolean {
  const running = version();
  return running >= 6010 && running < 6014;
}

/** Milliseconds in which the kernel takes a closed ring apart. */
const GRACE_MS = 250;
const pause = new Int32Array(new SharedArrayBuffer(4));
let lastClosed = -Infinity;

/**
 * Makes a call again that has ENOMEM for an answer soon after a ring was closed.
 *
 * The memory of the ring, and of the buffers registered with it, counts against
 * RLIMIT_MEMLOCK until the kernel has taken it apart, some 30 ms later
 * (io_ring_exit_work(), Linux 6.18): who closes one ring and opens the next would
 * be refused.
 */
export function patiently(call: () => number): number {
  for (;;) {
    const rc = call();
    const passed = performance.now() - lastClosed > GRACE_MS;
    if (rc !== -E.ENOMEM || passed) return rc;
    Atomics.wait(pause, 0, 0, 5);
  }
}

/** io_uring_setup(2), with the parameters left in the scratch memory. */
function tryset(options: SetupOptions, flags: number): number {
  const { bytes, view, at } = scratch();
  bytes.fill(0, 0, sizeof(uapi.io_uring_params));
  const { io_uring_params: p } = uapi;
  if (options.cqEntries) flags |= uapi.IORING_SETUP_CQSIZE;
  p.flags.set(view, 0, flags);
  p.cq_entries.set(view, 0, options.cqEntries ?? 0);
  p.sq_thread_cpu.set(view, 0, options.sqThreadCpu ?? 0);
  p.sq_thread_idle.set(view, 0, options.sqThreadIdleMs ?? 0);
  p.wq_fd.set(view, 0, options.wqFd ?? 0);
  return syscall("io_uring_setup", options.entries, at);
}

function mapped(fd: number, hold: boolean, maxWorkers: number): RingHandle {
  const { io_uring_params: p, io_sqring_offsets, io_cqring_offsets } = uapi;
  // The scratch memory is overwritten by the next system call with arguments.
  const params = new DataView(
    scratch().bytes.slice(0, sizeof(p)).buffer,
  );
  const flags = p.flags.get(params, 0);
  const features = p.features.get(params, 0);
  const sqEntries = p.sq_entries.get(params, 0);
  const cqEntries = p.cq_entries.get(params, 0);
  const sqAt = p.sq_off.offset;
  const cqAt = p.cq_off.offset;
  const sq = (field: keyof typeof io_sqring_offsets & string) =>
    Number(io_sqring_offsets[field].get(params, sqAt));
  const cq = (field: keyof typeof io_cqring_offsets & string) =>
    Number(io_cqring_offsets[field].get(params, cqAt));

  const hasArray = (flags & uapi.IORING_SETUP_NO_SQARRAY) === 0;
  const sqeWords = flags & uapi.IORING_SETUP_SQE128 ? 32 : 16;
  const cqeWords = flags & uapi.IORING_SETUP_CQE32 ? 8 : 4;
  const ringBytes = Math.max(
    cq("cqes") + cqEntries * cqeWords * 4,
    hasArray ? sq("array") + sqEntries * 4 : 0,
  );
  const sqesBytes = sqEntries * sqeWords * 4;
  const mappings: Mapping[] = [];
  const undo = (errno: number, why: string) => {
    mappings.forEach(unmap);
    close(fd);
    return new UringError("io_uring_setup", -1, errno, why);
  };
  if ((features & uapi.IORING_FEAT_SINGLE_MMAP) === 0) {
    throw undo(E.ENOSYS, `Linux ${release()} is too old: 5.19 is needed.`);
  }
  for (
    const [byteLength, offset] of [
      [ringBytes, uapi.IORING_OFF_SQ_RING],
      [sqesBytes, uapi.IORING_OFF_SQES],
    ]
  ) {
    const mapping = map(fd, byteLength, offset);
    if (typeof mapping === "number") {
      throw undo(-mapping, unmappable(byteLength));
    }
    mappings.push(mapping);
  }
  const ring = new Int32Array(mappings[0].buffer, 0, ringBytes >> 2);
  const sqes = new Int32Array(mappings[1].buffer);
  if (
    ring[sq("ring_mask") >> 2] !== sqEntries - 1 ||
    ring[cq("ring_mask") >> 2] !== cqEntries - 1
  ) {
    throw undo(E.EINVAL, "The kernel laid out a ring of another size.");
  }

  const squeue = new SubmissionQueue({
    ring,
    sqes,
    head: sq("head") >> 2,
    tail: sq("tail") >> 2,
    flags: sq("flags") >> 2,
    array: hasArray ? sq("array") >> 2 : -1,
    entries: sqEntries,
    sqeWords,
    mixed: (flags & uapi.IORING_SETUP_SQE_MIXED) !== 0,
    hold,
  });
  const cqueue = new CompletionQueue({
    ring,
    head: cq("head") >> 2,
    tail: cq("tail") >> 2,
    flags: cq("flags") >> 2,
    overflow: cq("overflow") >> 2,
    cqes: cq("cqes") >> 2,
    entries: cqEntries,
    cqeWords,
    mixed: (flags & uapi.IORING_SETUP_CQE_MIXED) !== 0,
  });
  const limited = maxWorkers > 0 ? registerMaxWorkers(fd, maxWorkers) : 0;
  if (limited < 0) {
    const why = registerAdvice(-limited) ?? "";
    throw undo(-limited, `The workers cannot be limited (maxWorkers). ${why}`);
  }
  // A registered ring saves the kernel a look-up of the file at each enter.
  // A thread has 16 of them; later rings do without.
  const index = registerRingFd(fd);
  const sqpoll = (flags & uapi.IORING_SETUP_SQPOLL) !== 0;
  let target = index >= 0 ? index : fd;
  let registered = index >= 0 ? uapi.IORING_ENTER_REGISTERED_RING : 0;
  return {
    fd,
    flags,
    features,
    sq: squeue,
    cq: cqueue,
    enter(toSubmit, minComplete, flags) {
      const all = flags | registered;
      const rc = io_uring_enter(target, toSubmit, minComplete, all);
      // A submission thread answers at once, and takes the SQEs later.
      if (!sqpoll) squeue.taken(rc);
      return rc;
    },
    close() {
      if (target < 0) return;
      mappings.forEach(unmap);
      if (index >= 0) unregisterRingFd(fd, index);
      close(fd);
      lastClosed = performance.now();
      // The numbers are soon another ring's: entering is EBADF from now on.
      target = -1;
      registered = 0;
    },
  };
}

function unmappable(byteLength: number): string {
  return `The ring's ${byteLength} bytes cannot be mapped: the process is at ` +
    "the limit of its address space (RLIMIT_AS, `ulimit -v`) or of its " +
    "mappings (the sysctl vm.max_map_count). Raise it, or ask for fewer entries.";
}

/** Why there is no ring, and what to do about it. */
export function refusal(errno: number, flags = 0): string {
  switch (errno) {
    case E.ENOSYS: {
      const missing =
        `Linux ${release()} was built without io_uring (CONFIG_IO_URING).`;
      const filtered = "A seccomp filter answers that io_uring does not " +
        "exist, as sandboxes and container runtimes do: run with a profile " +
        "that allows the io_uring system calls.";
      const mode = seccompMode();
      if (mode === undefined) return `${missing} Or: ${filtered}`;
      return mode === 0 ? missing : filtered;
    }
    case E.EACCES:
    case E.EPERM: {
      const disabled = readText("/proc/sys/kernel/io_uring_disabled");
      if (disabled === "2") {
        return "The sysctl kernel.io_uring_disabled is 2, which forbids " +
          "io_uring to everyone: `sysctl -w kernel.io_uring_disabled=0` as " +
          "root lifts it.";
      }
      if (disabled === "1") {
        return "The sysctl kernel.io_uring_disabled is 1, which leaves " +
          "io_uring to CAP_SYS_ADMIN and to the group named by " +
          "kernel.io_uring_group: join that group, or run " +
          "`sysctl -w kernel.io_uring_disabled=0` as root.";
      }
      return "A seccomp filter or a security module forbids io_uring. Docker " +
        "does so since version 25: run the container with " +
        "`--security-opt seccomp=` and a profile that allows the io_uring " +
        "system calls.";
    }
    case E.ENOMEM:
      return "The kernel has no memory for a ring of this size, or " +
        "RLIMIT_MEMLOCK is used up, which newer kernels count rings against " +
        "unless the process has CAP_IPC_LOCK: raise it with `ulimit -l`, or " +
        "ask for fewer entries.";
    case E.EAGAIN:
      return "The kernel could start no submission thread (sqpoll): " +
        "RLIMIT_NPROC or the cgroup's pids.max is reached. Raise it, as with " +
        "`ulimit -u`, or open the ring without sqpoll.";
    case E.ENXIO:
      return "The ring to attach to is not open.";
    case E.EINVAL:
      return `Linux ${release()} does not make a ring like this` +
        `${shape(flags)}: see probe().setupFlags for what it takes.` +
        `${namedElsewhere(flags)}`;
    default:
      return generalAdvice(errno) ?? "The kernel makes no ring.";
  }
}

/** What a ring asks for that no flag says is there. */
function namedElsewhere(flags: number): string {
  const attached = flags & uapi.IORING_SETUP_ATTACH_WQ;
  const bound = flags & uapi.IORING_SETUP_SQ_AFF;
  return (attached ? " The descriptor to attach to has to be a ring's." : "") +
    (bound ? " The processor to bind to has to be there." : "");
}

function shape(flags: number): string {
  const names = setupFlagNames(flags);
  return names.length ? ` (${names.join(", ")})` : "";
}

/** The names of `IORING_SETUP_` bits, without the prefix. */
export function setupFlagNames(flags: number): string[] {
  const prefix = "IORING_SETUP_";
  return Object.entries(uapi)
    .filter(([name, bit]) =>
      name.startsWith(prefix) && (flags & (bit as number)) !== 0
    )
    .map(([name]) => name.slice(prefix.length));
}

/** 0 without seccomp, 2 with a filter; `undefined` where /proc does not say. */
function seccompMode(): number | undefined {
  const status = readText("/proc/self/status");
  return status === undefined
    ? undefined
    : Number(/^Seccomp:\s*(\d)/m.exec(status)?.[1] ?? 0);
}
