/** io_uring_setup(2): making a ring and mapping its queues. */

import { E } from "../../sys/uapi/errno.ts";
import { int32At } from "../../sys/bytes.ts";
import { inodeOf } from "../../sys/file.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { io_uring_enter, syscall } from "../../sys/libc.ts";
import { map, type Mapping } from "../../sys/mapping.ts";
import { scratch, scratchCopy } from "../../sys/scratch.ts";
import { type Field, sizeof } from "../../sys/struct.ts";
import { release, version } from "../../sys/uname.ts";
import { CompletionQueue } from "./cqueue.ts";
import { registerAdvice, UringError } from "../errors.ts";
import { isStill, Parts, patiently, releaseParts } from "./release.ts";
import { targetOf } from "./release.ts";
import { reserveStack } from "../stack.ts";
import * as register from "./register.ts";
import { refusal, unmappable } from "./setup_advice.ts";
import { SubmissionQueue } from "./squeue.ts";

/** Options of {@linkcode setup}. */
export interface SetupOptions {
  /** SQEs; the kernel rounds up to a power of two. At most 32768. */
  entries: number;
  /** CQEs, at most 65536. Default: the kernel's, twice the SQEs. */
  cqEntries?: number;
  /** `IORING_SETUP_` bits that the ring must have. */
  flags?: number;
  /** `IORING_SETUP_` bits to set where the kernel knows them. */
  optional?: number;
  /** With IORING_SETUP_SQ_AFF: the processor of the submission thread. */
  sqThreadCpu?: number;
  /** With IORING_SETUP_SQPOLL: milliseconds until the thread sleeps. */
  sqThreadIdleMs?: number;
  /** With IORING_SETUP_ATTACH_WQ: the ring whose workers to share. */
  wqFd?: number;
  /** Workers for this thread's commands. Default: the kernel's number. */
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
  /** The `IORING_SETUP_` bits of the ring. */
  readonly flags: number;
  /** The `IORING_FEAT_` bits of the kernel. */
  readonly features: number;
  /** The submission queue. */
  readonly sq: SubmissionQueue;
  /** The completion queue. */
  readonly cq: CompletionQueue;
  /**
   * Calls io_uring_enter(2): submits `toSubmit` SQEs, waits for `minComplete`
   * CQEs. Returns the number of SQEs that the kernel took, or `-errno`. A ring
   * without an index among the registered rings of the thread answers EBADF to a
   * call that finds that its descriptor is another ring's by now.
   */
  enter(toSubmit: number, minComplete: number, flags: number): number;
  /**
   * Returns what io_uring_register(2) finds the ring by: its index among the
   * registered rings of the thread, plus IORING_REGISTER_USE_REGISTERED_RING, or
   * else its descriptor; -1 if that is another file's by now.
   */
  target(): number;
  /** Detaches and unmaps the queues and closes the descriptor, once. */
  close(): void;
}

/** Optional bits, newest first: the order in which `setup` drops them. */
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
 * It drops optional bits that the kernel does not know one by one, newest
 * first; {@linkcode RingHandle.flags} has those that are left.
 *
 * Matches io_uring_queue_init_params() in liburing.
 *
 * @throws {UringError} if the kernel refuses, with the cause.
 */
export function setup(options: SetupOptions): RingHandle {
  return setupFor(options, (handle) => handle);
}

/**
 * Makes a ring, and what owns it from then on. If this is cut short, the ring is
 * given back.
 */
export function setupFor<T>(
  options: SetupOptions,
  adopt: (handle: RingHandle) => T,
): T {
  reserveStack(STACK);
  releaseParts(unfinished);
  const required = options.flags ?? 0;
  let optional = (options.optional ?? 0) & ~required;
  if (options.hold) optional &= ~uapi.IORING_SETUP_NO_SQARRAY;
  for (;;) {
    const parts = new Parts();
    unfinished = parts;
    const fd = patiently(() =>
      parts.fd = trySetup(options, required | optional)
    );
    if (fd >= 0) return adopted(parts, options, adopt);
    const next = OPTIONAL.find((bit) => optional & bit);
    if (fd !== -E.EINVAL || next === undefined) {
      throw setupError(-fd, refusal(-fd, required));
    }
    optional &= ~next;
  }
}

/**
 * Calls that fit the stack before a ring is made, while there is nothing to give
 * back: twice what making it takes.
 */
const STACK = 256;

function setupError(errno: number, why: string): UringError {
  return new UringError("io_uring_setup", -1, errno, why);
}

/**
 * Returns `true` on Linux 6.10 to 6.13, which read the SQE of a uring command
 * again after io_uring_enter() has returned, if the command was deferred to a
 * worker, linked or drained (io_uring_cmd_prep() there; fixed in 6.14). Until
 * the command has completed, its SQE must not be used for another.
 */
export function rereadsSqes(): boolean {
  const running = version();
  return running >= 6010 && running < 6014;
}

/** Calls io_uring_setup(2); the parameters stay in the scratch memory. */
function trySetup(options: SetupOptions, flags: number): number {
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

/**
 * The parts of the last ring that was begun, which are empty once it has an owner.
 * `node:vm` may end a call without running `catch`: the next call gives them back.
 */
let unfinished = new Parts();

/**
 * Maps the ring of a new descriptor, and makes its handle and its owner. Whatever
 * fails on the way, nothing is left.
 */
function adopted<T>(
  parts: Parts,
  options: SetupOptions,
  adopt: (handle: RingHandle) => T,
): T {
  try {
    const owner = adopt(makeHandle(parts, options));
    unfinished = new Parts();
    return owner;
  } catch (error) {
    releaseParts(parts);
    throw error;
  }
}

function makeHandle(parts: Parts, options: SetupOptions): RingHandle {
  const { fd } = parts;
  const params = readParams();
  if ((params.features & uapi.IORING_FEAT_SINGLE_MMAP) === 0) {
    const why = `Linux ${release()} is too old. Linux 5.19 is needed.`;
    throw setupError(E.ENOSYS, why);
  }
  const { ringWords, sqesWords } = params;
  mapWords(parts.rings, fd, ringWords, uapi.IORING_OFF_SQ_RING);
  mapWords(parts.sqes, fd, sqesWords, uapi.IORING_OFF_SQES);
  const ring = int32At(parts.rings.buffer, ringWords);
  const hold = options.hold ?? false;
  const [sq, cq] = makeQueues(params, ring, parts.sqes.buffer, hold);
  limitWorkers(fd, options.maxWorkers ?? 0);
  parts.inode = inodeOf(fd);
  // Entering by the index saves the kernel the look-up of the file. A thread has
  // 16 of them (IO_RINGFD_REG_MAX, Linux 6.18); rings beyond that do without.
  const index = register.registerRingFd(fd);
  parts.index = index;
  const { flags, features } = params;
  const sqpoll = (flags & uapi.IORING_SETUP_SQPOLL) !== 0;
  parts.takesIndex = (features & uapi.IORING_FEAT_REG_REG_RING) !== 0;
  let target = index >= 0 ? index : fd;
  let registered = index >= 0 ? uapi.IORING_ENTER_REGISTERED_RING : 0;
  /** Returns `true` if the ring is found by a number that is another file's now. */
  const isLost = () => index < 0 && !isStill(target, parts.inode);
  return {
    fd,
    flags,
    features,
    sq,
    cq,
    enter(toSubmit, minComplete, flags) {
      const all = flags | registered;
      // On another ring a wait might never end, and a submission finds no SQE. Only
      // such calls ask, because asking is a system call.
      const waits = toSubmit === 0 && minComplete > 0 || sqpoll;
      if (waits && isLost()) return -E.EBADF;
      const rc = io_uring_enter(target, toSubmit, minComplete, all);
      if (rc === 0 && toSubmit > 0 && isLost()) return -E.EBADF;
      // A submission thread answers at once, and takes the SQEs later.
      if (!sqpoll) sq.taken(rc);
      return rc;
    },
    target() {
      if (target < 0) return -1;
      const found = targetOf(parts);
      return found === fd && !isStill(fd, parts.inode) ? -1 : found;
    },
    close() {
      // Another file may get the descriptor's number: enter() is EBADF from now on.
      target = -1;
      registered = 0;
      releaseParts(parts);
    },
  };
}

type Params = ReturnType<typeof readParams>;

/** Reads the parameters before another system call uses the scratch memory. */
function readParams() {
  const { io_uring_params: p, io_sqring_offsets, io_cqring_offsets } = uapi;
  const view = new DataView(scratchCopy(0, sizeof(p)).buffer);
  const flags = p.flags.get(view, 0);
  const sqEntries = p.sq_entries.get(view, 0);
  const cqEntries = p.cq_entries.get(view, 0);
  const sq = wordsOf(io_sqring_offsets, view, p.sq_off.offset);
  const cq = wordsOf(io_cqring_offsets, view, p.cq_off.offset);
  const sqeWords: 16 | 32 = flags & uapi.IORING_SETUP_SQE128 ? 32 : 16;
  const cqeWords: 4 | 8 = flags & uapi.IORING_SETUP_CQE32 ? 8 : 4;
  const array = flags & uapi.IORING_SETUP_NO_SQARRAY ? -1 : sq.array;
  const sqEnd = array < 0 ? 0 : array + sqEntries;
  return {
    flags,
    features: p.features.get(view, 0),
    sq: { ...sq, array, entries: sqEntries, sqeWords },
    cq: { ...cq, entries: cqEntries, cqeWords },
    ringWords: Math.max(cq.cqes + cqEntries * cqeWords, sqEnd),
    sqesWords: sqEntries * sqeWords,
  };
}

/** Reads a struct of byte offsets as indices of 32-bit words. */
function wordsOf<F extends Record<string, Field>>(
  offsets: F,
  view: DataView,
  base: number,
): { [name in keyof F & string]: number } {
  const words = Object.entries(offsets)
    .map(([name, field]) => [name, Number(field.get(view, base)) >> 2]);
  return Object.fromEntries(words);
}

/** Maps words of the ring at one of the `IORING_OFF_` offsets. */
function mapWords(
  mapping: Mapping,
  fd: number,
  words: number,
  offset: number,
): void {
  const rc = map(mapping, fd, words * 4, offset);
  if (rc < 0) throw setupError(-rc, unmappable(-rc, words * 4));
}

function makeQueues(
  { flags, sq, cq }: Params,
  ring: Int32Array,
  sqes: ArrayBuffer,
  hold: boolean,
): [SubmissionQueue, CompletionQueue] {
  for (const { ring_mask, entries } of [sq, cq]) {
    if (ring[ring_mask] === entries - 1) continue;
    throw setupError(E.EINVAL, "The kernel laid out a ring of another size.");
  }
  const words = int32At(sqes);
  const mixedSq = (flags & uapi.IORING_SETUP_SQE_MIXED) !== 0;
  const polled = (flags & uapi.IORING_SETUP_IOPOLL) !== 0;
  const mixedCq = (flags & uapi.IORING_SETUP_CQE_MIXED) !== 0;
  return [
    new SubmissionQueue({ ...sq, ring, sqes: words, mixed: mixedSq, hold }),
    new CompletionQueue({ ...cq, ring, mixed: mixedCq, polled }),
  ];
}

function limitWorkers(fd: number, maxWorkers: number): void {
  const rc = maxWorkers > 0 ? register.registerMaxWorkers(fd, maxWorkers) : 0;
  if (rc >= 0) return;
  const why = registerAdvice(-rc) ?? "";
  throw setupError(-rc, `The workers cannot be limited (maxWorkers). ${why}`);
}
