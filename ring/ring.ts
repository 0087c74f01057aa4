/**
 * One ring: commands in, results out, nothing lost between.
 *
 * @module
 */

import * as uapi from "../sys/uapi/io_uring.ts";
import { lastingAddressOf } from "../sys/arena.ts";
import { bufferOf, byteLengthOf, byteOffsetOf } from "./intrinsics.ts";
import {
  checkBytes,
  checkFd,
  checkInstance,
  checkInteger,
  checkList,
  checkObject,
  checkU8,
  shown,
} from "./check.ts";
import { Command } from "./command.ts";
import { FixedBuffer, FixedFile } from "./registered.ts";
import { Engine } from "./loop/engine.ts";
import { registerAdvice, UringError } from "./errors.ts";
import type { Receiver, Slot } from "./flight/slot.ts";
import type { Queues } from "./flight/queues.ts";
import { type RingOptions, setupOptions } from "./options.ts";
import { alloc } from "./alloc.ts";
import * as register from "./bare/register.ts";
import { AWAITED } from "./flight/settle.ts";
import { patiently, type RingHandle, setup } from "./bare/setup.ts";
import { setupFlagNames } from "./bare/setup_advice.ts";
import { CommandStream } from "./flight/stream.ts";

/** How to run a command. */
export interface CommandOptions {
  /** Asks the kernel to cancel the command when it is aborted. */
  signal?: AbortSignal;
}

/** What a restricted ring may still do. What is left out, it may not. */
export interface Restrictions {
  /**
   * `IORING_OP_` numbers. On a ring with SQEs of both sizes (`mixed`), commands
   * with the larger one are another operation: IORING_OP_URING_CMD128.
   */
  ops?: readonly number[];
  /** `IORING_REGISTER_` numbers. */
  registerOps?: readonly number[];
  /** `IOSQE_` bits that a command may have, besides those that it must have. */
  sqeFlagsAllowed?: number;
  /** `IOSQE_` bits that a command must have: IOSQE_FIXED_FILE, IOSQE_ASYNC. */
  sqeFlagsRequired?: number;
}

/** Bits with which a cancellation still works. */
const REQUIRABLE = uapi.IOSQE_FIXED_FILE | uapi.IOSQE_ASYNC;

/** What a ring has done so far, and is doing. */
export interface RingStats {
  /** Calls of io_uring_enter(). */
  readonly enters: number;
  /** Commands handed to the kernel, cancellations included. */
  readonly submitted: number;
  /** Completions taken from the ring. */
  readonly completions: number;
  /** Times that a later completion woke the event loop. */
  readonly wakes: number;
  /** Times that the kernel had kept completions which the CQ had no room for. */
  readonly overflows: number;
  /** Commands in the kernel, or about to be. */
  readonly inFlight: number;
  /** Commands that wait until there is room for them. */
  readonly waiting: number;
}

/**
 * A ring of io_uring: runs commands.
 *
 * Commands that are queued in one turn of the event loop go to the kernel in
 * one system call. What has completed by then is resolved at once; for the rest
 * the event loop is woken. While commands are in flight the process stays alive.
 *
 * A ring belongs to the thread that opened it: a worker opens its own.
 *
 * @example
 * ```ts
 * import { Ring } from "@uring/cmd";
 * import { siocinq, socketFd } from "@uring/cmd/socket";
 *
 * using listener = Deno.listen({ port: 0 });
 * using conn = await Deno.connect({ port: listener.addr.port });
 * await using ring = Ring.open();
 * console.log(await ring.cmd(siocinq(socketFd(conn))), "bytes to read");
 * ```
 */
export class Ring implements AsyncDisposable {
  readonly #handle: RingHandle;
  readonly #engine: Engine;
  readonly #queues: Queues;
  /** The submission thread, where there is one. */
  #thread: { shared: boolean } | null = null;
  #files: readonly FixedFile[] = [];
  #buffers: readonly FixedBuffer[] = [];

  private constructor(handle: RingHandle, spin: boolean) {
    this.#handle = handle;
    this.#engine = new Engine(handle, spin);
    this.#queues = this.#engine.queues;
    dropped.register(this, this.#engine);
    bindToThread(this);
  }

  /**
   * Opens a ring, with the best flags for the event loop that this kernel
   * takes. Linux 5.19; no privilege, unless a sysctl or a sandbox forbids it.
   *
   * Without options: `IORING_SETUP_SINGLE_ISSUER`, `COOP_TASKRUN`,
   * `SUBMIT_ALL` and `NO_SQARRAY`, each left out where the kernel is older.
   *
   * @throws {UringError} when the kernel refuses, saying why and what to do.
   */
  static open(options: RingOptions = {}): Ring {
    const { spin = true } = checkObject("options", options);
    const asked = setupOptions(options);
    const ring = new Ring(setup(asked), Boolean(spin));
    if (asked.flags! & uapi.IORING_SETUP_SQPOLL) ring.#share(asked.wqFd);
    return ring;
  }

  /** Notes who has a submission thread in common. */
  #share(wqFd: number | undefined): void {
    const attached = wqFd !== undefined;
    this.#thread = attached && threads.get(wqFd) || { shared: attached };
    this.#thread.shared = attached;
    threads.set(this.fd, this.#thread);
  }

  /** The `IORING_SETUP_` flags that the kernel took, without the prefix. */
  get flags(): readonly string[] {
    return setupFlagNames(this.#handle.flags);
  }

  /** The descriptor of the ring, for `./raw` and for other system calls. */
  get fd(): number {
    return this.#handle.fd;
  }

  /**
   * Runs a command. The promise settles once, when the kernel has let go of the
   * command: with its result, or with a {@linkcode UringError}.
   *
   * Aborting the signal asks the kernel to cancel. The promise still settles
   * with what came of the command: its result if it was faster, or the signal's
   * reason. A command that a driver has taken up cannot be cancelled.
   *
   * Keep the descriptor open until then: the kernel looks for the file when the
   * command starts, and the number may be another file's by then.
   */
  cmd<T>(command: Command<T>, options?: CommandOptions): Promise<T> {
    try {
      // First what may run code of the program's, which may close the ring.
      const signal = signalOf(options);
      this.#check(command, false);
      const slot = this.#take(command, AWAITED, signal);
      const promise = slot.await();
      this.#queues.enqueue(slot);
      this.#engine.schedule();
      return promise as Promise<T>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Runs commands as a chain: each starts when the one before it has succeeded.
   * When one fails, those after it fail with ECANCELED. There is a promise for
   * each, so that `Promise.all` or `Promise.allSettled` says what matters.
   *
   * The chain is handed over in one piece, and may not be longer than the
   * ring's `entries`.
   */
  link<T extends readonly unknown[]>(
    commands: readonly [...{ [K in keyof T]: Command<T[K]> }],
    options?: CommandOptions,
  ): { -readonly [K in keyof T]: Promise<T[K]> } {
    const chain = checkList("commands", commands) as Command<unknown>[];
    let promises: Promise<unknown>[];
    try {
      const signal = signalOf(options);
      for (const command of chain) this.#check(command, false);
      if (this.#thread?.shared) {
        throw new TypeError(
          "rings that share a submission thread cannot link commands: it takes " +
            "a few at a time, and would cut the chain",
        );
      }
      if (!this.#queues.holds(chain)) {
        throw new RangeError(
          `a chain of ${chain.length} commands does not fit a ring of ` +
            `${this.#handle.sq.entries} entries`,
        );
      }
      if (signal !== undefined) throwIfAborted.call(signal);
      const slots = this.#takeAll(chain);
      slots.forEach((slot, i) => {
        slot.receiver = AWAITED;
        slot.marked = true;
        slot.linked = slots[i + 1] ?? null;
        if (signal !== undefined) this.#watch(slot, signal);
      });
      promises = slots.map((slot) => slot.await());
      if (slots.length > 0) this.#queues.enqueue(slots[0]);
      this.#engine.schedule();
    } catch (error) {
      promises = chain.map(() => Promise.reject(error));
    }
    return promises as { -readonly [K in keyof T]: Promise<T[K]> };
  }

  /**
   * Runs a command and blocks the thread until it has completed. For commands
   * that complete at once, this is the fastest way.
   */
  cmdSync<T>(command: Command<T>): T {
    this.#check(command, false);
    return this.#engine.sync.runOne(command) as T;
  }

  /**
   * Runs commands with one call of io_uring_enter(), and blocks the thread
   * until all have completed. Throws the first error when they have. What is not
   * over when that call returns is waited for with another, and with one each
   * time something has completed on a ring with `deferTaskrun`.
   */
  cmdAllSync<T>(commands: readonly Command<T>[]): T[] {
    const { sync } = this.#engine;
    const all = checkList("commands", commands);
    let direct = true;
    for (const command of all) {
      this.#check(command, false);
      direct = direct && sync.isDirect(command);
    }
    // Where one of them needs a slot, all have one.
    return sync.run(all, direct ? null : this.#takeAll(all)) as T[];
  }

  /**
   * Runs a multishot command. The command starts at once; each completion is a
   * value of the iterator. Leaving the loop cancels the command.
   *
   * Values are kept until they are asked for, however many there are.
   */
  stream<T>(
    command: Command<T>,
    options?: CommandOptions,
  ): AsyncIterableIterator<T> {
    const signal = signalOf(options);
    this.#check(command, true);
    const engine = this.#engine;
    const stream = new CommandStream<T>(() => engine.abort(slot, undefined));
    const slot = this.#take(command, {
      value: (_, value) => stream.push(value as T),
      error: (_, error) => stream.end({ error }),
      end: () => stream.end(null),
    }, signal);
    this.#queues.enqueue(slot);
    this.#engine.schedule();
    return stream;
  }

  /**
   * Memory that commands may use in place, without a copy: `byteLength` bytes,
   * zeroed, at an address that is a multiple of 65536.
   *
   * It works with every ring, and lives as long as a view of it, or a command
   * that uses it. Each call takes at least 64 KiB: allocate once, and give each
   * command a `subarray`.
   */
  alloc(byteLength: number): Uint8Array {
    return alloc(byteLength);
  }

  /**
   * Gives the ring a table of files, which commands then name by their place,
   * and which spares the kernel a look-up at each command. The descriptors may
   * be closed afterwards. A ring has one table at a time.
   */
  registerFiles(fds: readonly number[]): FixedFile[] {
    const list = checkList("fds", fds);
    checkInteger("number of files", list.length, 1, 16384);
    list.forEach((fd) => checkFd(fd));
    this.#checkOpen();
    this.#register("REGISTER_FILES", register.registerFiles(this.fd, list));
    const files = list.map((_, i) => new FixedFile(i));
    this.#files = files;
    return files.slice();
  }

  /**
   * Takes the table of files away. Refused while commands under way use it: a
   * command finds its file when it starts, and could find that of a later table.
   */
  unregisterFiles(): void {
    this.#checkOpen();
    this.#checkUnused("files", ({ fixedFile }) => fixedFile !== null);
    this.#register("UNREGISTER_FILES", register.unregisterFiles(this.fd));
    this.#files = [];
  }

  /**
   * Pins memory of {@linkcode Ring.alloc} for the ring, which spares the kernel
   * the pinning at each command. A ring has one table of buffers at a time; its
   * pages count against RLIMIT_MEMLOCK unless the process has CAP_IPC_LOCK.
   */
  registerBuffers(buffers: readonly Uint8Array[]): FixedBuffer[] {
    const list = checkList("buffers", buffers);
    checkInteger("number of buffers", list.length, 1, 4096);
    this.#checkOpen();
    const ranges = list.map((bytes) => {
      const base = lastingAddressOf(bufferOf(checkBytes("buffer", bytes)));
      if (base === undefined) {
        throw new TypeError(
          "a registered buffer must be memory of ring.alloc(): the kernel " +
            "keeps its address, and JavaScript can take other memory away",
        );
      }
      return [base + byteOffsetOf(bytes), byteLengthOf(bytes)] as const;
    });
    const rc = patiently(() => register.registerBuffers(this.fd, ranges));
    this.#register("REGISTER_BUFFERS", rc);
    const made = list.map((bytes, i) => new FixedBuffer(i, bytes));
    this.#buffers = made;
    return made.slice();
  }

  /** Unpins the buffers. Refused while commands under way use them. */
  unregisterBuffers(): void {
    this.#checkOpen();
    this.#checkUnused("buffers", ({ fixedBuffer }) => fixedBuffer !== null);
    this.#register("UNREGISTER_BUFFERS", register.unregisterBuffers(this.fd));
    this.#buffers = [];
  }

  /**
   * Leaves a ring that was opened `disabled` able to do what is listed here and
   * no more, for good, and lets it take commands: the way to hand a ring to code
   * that is trusted less. Register files and buffers before.
   *
   * It binds the operation of a command, its flags and, with
   * `sqeFlagsRequired: IOSQE_FIXED_FILE`, its file, which is then one of
   * {@linkcode Ring.registerFiles}. Whatever else is EACCES. A ring can still
   * cancel its own commands, and be closed; with `deferTaskrun` it can still be
   * told of another eventfd to signal.
   *
   * It does not bind what a command says to its file, such as `cmd_op`, nor the
   * memory it points at. `registerOps` with IORING_REGISTER_FILES lets it add
   * files; an unrestricted ring can put one into its table (IORING_OP_MSG_RING).
   * And it does not bind code: what runs in the same process with `--allow-ffi`
   * can call libc itself.
   *
   * @throws {UringError} EINVAL for an operation that the kernel does not have;
   * the ring stays `disabled`.
   */
  restrict(restrictions: Restrictions): void {
    const { sqeFlagsAllowed = 0, sqeFlagsRequired = 0 } = checkObject(
      "restrictions",
      restrictions,
    );
    const ops = checkList("ops", restrictions.ops ?? []);
    ops.push(uapi.IORING_OP_ASYNC_CANCEL);
    const registerOps = checkList("registerOps", restrictions.registerOps ?? [])
      .concat(register.neededBy(this.#handle.flags));
    if (this.#engine.state !== "disabled") {
      throw new TypeError(
        "only a ring that was opened with `disabled: true` can be restricted",
      );
    }
    checkU8("sqeFlagsAllowed", sqeFlagsAllowed);
    checkU8("sqeFlagsRequired", sqeFlagsRequired);
    if (sqeFlagsRequired & ~REQUIRABLE) {
      throw new TypeError(
        "sqeFlagsRequired may be IOSQE_FIXED_FILE and IOSQE_ASYNC: with any " +
          "other bit, a ring could not cancel its commands and be closed",
      );
    }
    const list: [opcode: number, value: number][] = [
      [uapi.IORING_RESTRICTION_SQE_FLAGS_ALLOWED, sqeFlagsAllowed],
      [uapi.IORING_RESTRICTION_SQE_FLAGS_REQUIRED, sqeFlagsRequired],
    ];
    for (const op of new Set(ops)) {
      list.push([uapi.IORING_RESTRICTION_SQE_OP, checkU8("op", op)]);
    }
    for (const op of new Set(registerOps)) {
      checkU8("registerOp", op);
      list.push([uapi.IORING_RESTRICTION_REGISTER_OP, op]);
    }
    // What wakes the event loop has to be registered while that is allowed.
    this.#engine.prepareToWait();
    const rc = register.registerRestrictions(this.fd, list);
    this.#register("REGISTER_RESTRICTIONS", rc);
    this.#register("REGISTER_ENABLE_RINGS", register.enableRings(this.fd));
    this.#queues.cancellations.requiredFlags = sqeFlagsRequired;
    this.#engine.state = "open";
  }

  /** Counts of what the ring has done, and of what it is doing. */
  stats(): RingStats {
    const { wakes } = this.#engine;
    const { enters, submitted, completions } = this.#queues;
    const { overflows, inFlight, line: { length: waiting } } = this.#queues;
    return {
      enters,
      submitted,
      completions,
      wakes,
      overflows,
      inFlight,
      waiting,
    };
  }

  /** Lets commands in flight keep the process alive: the default. */
  ref(): void {
    this.#engine.referenced = true;
  }

  /** Lets the process exit although commands of this ring are in flight. */
  unref(): void {
    this.#engine.referenced = false;
  }

  /**
   * Closes the ring: takes no more commands, cancels those in flight, waits for
   * the last completion, and gives everything back.
   *
   * A command that its driver never completes keeps it waiting, since the
   * kernel may still write to the command's memory. A warning names it after
   * five seconds.
   */
  close(): Promise<void> {
    threads.delete(this.fd);
    return this.#engine.close();
  }

  /** {@linkcode Ring.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #checkOpen(): void {
    switch (this.#engine.state) {
      case "open":
      case "disabled":
        return;
      case "failed":
        throw this.#queues.failure;
      default:
        throw new TypeError("the ring is closed");
    }
  }

  #checkUnused(table: string, uses: (command: Command<unknown>) => boolean) {
    for (const command of this.#queues.commands()) {
      if (!uses(command)) continue;
      throw new TypeError(
        `${command.name} is under way and uses the table of ${table}: wait ` +
          "for it first",
      );
    }
  }

  /** Refuses what this ring cannot run, before anything is queued. */
  #check(command: Command<unknown>, stream: boolean): void {
    if (!Command.is(command)) {
      throw new TypeError(`not a command: ${shown(command)}`);
    }
    const open = this.#engine.state === "open";
    if (open && command.runsOnAnyRing && !stream) return;
    this.#checkFully(command, stream);
  }

  #checkFully(command: Command<unknown>, stream: boolean): void {
    if (this.#engine.state !== "open") {
      this.#checkOpen();
      throw new TypeError("the ring is disabled: call ring.restrict() first");
    }
    const { name, fixedFile, fixedBuffer } = command;
    const { sq, cq } = this.#handle;
    if (command.multishot !== stream) {
      throw new TypeError(
        stream
          ? `${name} completes once: run it with ring.cmd()`
          : `${name} completes many times: run it with ring.stream()`,
      );
    }
    if (command.sqe128 && sq.sqeWords === 16 && !sq.mixed) {
      throw new RangeError(
        `${name} has more than 16 bytes of payload, which needs a ring with ` +
          "SQEs of 128 bytes: Ring.open({ sqe128: true })",
      );
    }
    if (command.cqe32 && cq.cqeWords === 4 && this.#queues.unit === 1) {
      throw new RangeError(
        `${name} is answered with 32 bytes, which needs a ring with CQEs of ` +
          "32 bytes: Ring.open({ cqe32: true })",
      );
    }
    if (fixedFile !== null && this.#files[fixedFile.index] !== fixedFile) {
      throw new TypeError(
        `${name} names a file that is not in this ring's table of files`,
      );
    }
    if (
      fixedBuffer !== null && this.#buffers[fixedBuffer.index] !== fixedBuffer
    ) {
      throw new TypeError(
        `${name} names a buffer that is not in this ring's table of buffers`,
      );
    }
    if (command.precheck === null) return;
    command.precheck();
    this.#checkOpen(); // It may have closed the ring.
  }

  /** Takes a slot, and the memory its command needs. */
  #take(
    command: Command<unknown>,
    receiver: Receiver,
    signal: AbortSignal | undefined,
  ): Slot {
    if (signal !== undefined) throwIfAborted.call(signal);
    const slot = this.#queues.slots.take(command);
    slot.receiver = receiver;
    if (signal !== undefined) this.#watch(slot, signal);
    return slot;
  }

  #watch(slot: Slot, signal: AbortSignal): void {
    const engine = this.#engine;
    slot.marked = true;
    slot.waiting = true;
    slot.signal = signal;
    slot.onAbort = () => engine.abort(slot, signal.reason);
    addListener.call(signal, "abort", slot.onAbort);
  }

  /** Takes slots for all commands, or for none of them. */
  #takeAll(commands: readonly Command<unknown>[]): Slot[] {
    const { slots } = this.#queues;
    const taken = new Array<Slot>(commands.length);
    let count = 0;
    try {
      for (; count < commands.length; count++) {
        taken[count] = slots.take(commands[count]);
      }
    } catch (error) {
      while (count > 0) slots.give(taken[--count]);
      throw error;
    }
    return taken;
  }

  #register(op: string, rc: number): void {
    if (rc >= 0) return;
    throw new UringError(
      `io_uring_register ${op}`,
      this.fd,
      -rc,
      registerAdvice(-rc),
    );
  }
}

/** Submission threads, by the descriptors of the rings of this isolate. */
const threads = new Map<number, { shared: boolean }>();

// A ring that nobody has any more is closed, when its commands are over.
const dropped = new FinalizationRegistry<Engine>((engine) => engine.drop());

// Called like this, they run nothing of the program's.
const { addEventListener: addListener } = EventTarget.prototype;
const { throwIfAborted } = AbortSignal.prototype;

/** What aborts a command, if it has not done so yet. */
function signalOf(
  options: CommandOptions | undefined,
): AbortSignal | undefined {
  if (options === undefined) return undefined;
  const { signal } = checkObject("options", options);
  if (signal === undefined) return undefined;
  return checkInstance("signal", signal, AbortSignal);
}

/**
 * Posting a ring to a worker reads its properties to clone them: one of them
 * says what to do instead.
 */
function bindToThread(ring: Ring): void {
  Object.defineProperty(ring, "thread", THREAD);
}

// One getter for all rings: with one of its own, each ring would be an object of
// a kind of its own, which V8 keeps as a dictionary.
const THREAD: PropertyDescriptor = {
  enumerable: true,
  get() {
    throw new TypeError(
      "a Ring belongs to the thread that opened it: a worker opens its own",
    );
  },
};
