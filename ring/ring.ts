/**
 * The public face of a ring.
 *
 * {@linkcode Ring} checks what the caller passes, `Engine` decides when to enter
 * the kernel, `Queues` holds the commands in flight, and `RingHandle` is the
 * kernel's ring. The way of `await ring.cmd(siocinq(fd))`:
 *
 * ```text
 *  1 siocinq(fd)             makes a Command: the words of an SQE, a decoder     cmd/socket/
 *  2 Ring.cmd                checks it, and has the engine schedule a turn
 *  3 Slots.take              gives it a slot: user_data, memory, a promise       ring/flight/
 *  4 Queues.enqueue          fills an SQE and pushes it, or lets it wait
 *  5 Engine turn             a microtask later, after the program's burst        ring/loop/
 *  6 SubmissionQueue.publish stores the tail                                     ring/bare/
 *  7 Queues.enter            calls io_uring_enter(): the socket answers inline
 *  8 Queues.reapPosted       reads the CQE and finds the slot
 *  9 deliver                 decodes the result and resolves the promise
 * 10 Slots.give              gives back slot and memory; the CQ's head moves on
 * 11 Engine rest             if a command is still in flight, arms the bell ...
 * 12 Bell, Direct            ... whose eventfd wakes the event loop: back to 5
 * ```
 *
 * @module
 */

import { E } from "../sys/uapi/errno.ts";
import { IORING_SETUP_SQPOLL, IOSQE_ASYNC } from "../sys/uapi/io_uring.ts";
import { alloc } from "./alloc.ts";
import * as register from "./bare/register.ts";
import { type RingHandle, setupFor } from "./bare/setup.ts";
import { setupFlagNames } from "./bare/setup_advice.ts";
import { checkBoolean, checkFd, checkInstance, checkList } from "./check.ts";
import { checkObject, checkRingFlags, shown } from "./check.ts";
import { type BufferRing, checkBufferRing } from "./buffer_ring.ts";
import { Command } from "./command.ts";
import { Batch } from "./flight/batch.ts";
import type { Queues } from "./flight/queues.ts";
import { AWAITED, LEFT } from "./flight/settle.ts";
import { link, marksOf, NOBODY, personalityIn } from "./flight/slot.ts";
import type { Receiver, Slot } from "./flight/slot.ts";
import { CommandStream } from "./flight/stream.ts";
import type { Watches } from "./flight/watch.ts";
import { Engine } from "./loop/engine.ts";
import { listOf } from "./intrinsics.ts";
import { TRAITS } from "./kind.ts";
import { type RingOptions, setupOptions } from "./options.ts";
import type { FixedBuffer, FixedFile, Personality } from "./registered.ts";
import { checkPersonality } from "./registered.ts";
import { checkRestrictions, type Restrictions } from "./restrict.ts";
import { checkBuffers, checkFiles, checkRegistered } from "./tables.ts";
import { checkRegistrable, Tables } from "./tables.ts";

/** Options of one command, of one chain, or of one batch. */
export interface CommandOptions {
  /** A signal that asks the kernel to cancel what has not completed. */
  signal?: AbortSignal;
  /**
   * Runs the command on a kernel worker (IOSQE_ASYNC, Linux 5.6). Default: `false`,
   * the kernel tries first in the thread that submits. Set it for a command that would
   * block that thread although it should not, such as a read that misses the page
   * cache of a file system without asynchronous reads. It costs a switch of threads.
   * `maxWorkers` of `Ring.open` limits the workers.
   *
   * On a ring that was restricted, EACCES, unless `sqeFlagsAllowed` or
   * `sqeFlagsRequired` has IOSQE_ASYNC. A multishot command ends with EBADFD or
   * ECANCELED if its file cannot be polled.
   */
  async?: boolean;
  /**
   * Credentials of {@linkcode Ring.registerPersonality} to run the command with, in
   * place of those of the thread that submits.
   */
  personality?: Personality;
}

/** Options of {@linkcode Ring.link}. */
export interface ChainOptions extends CommandOptions {
  /**
   * Starts each command when the one before it has completed, successfully or not
   * (IOSQE_IO_HARDLINK, Linux 5.5). Default: `false`, a failure cancels the rest.
   */
  hard?: boolean;
}

/** Counts of what a ring has done so far, and of what it is doing. */
export interface RingStats {
  /** Calls of io_uring_enter(). */
  readonly enters: number;
  /** Commands handed to the kernel, cancellations included. */
  readonly submitted: number;
  /** Completions taken from the ring. */
  readonly completions: number;
  /** Times that a later completion woke the event loop. */
  readonly wakes: number;
  /** Times that the kernel kept completions because the CQ had no room for them. */
  readonly overflows: number;
  /** Commands in the submission queue or in the kernel. */
  readonly inFlight: number;
  /** Commands that wait until there is room for them. */
  readonly waiting: number;
}

/**
 * An io_uring instance that runs commands.
 *
 * Commands that are queued in one turn of the event loop go to the kernel in
 * one system call. What has completed by then is resolved at once; for the rest
 * the event loop is woken. While commands are in flight the process stays alive.
 *
 * A ring belongs to the thread that opened it: a worker opens its own.
 * A command has the credentials (user and capabilities) of the thread that submits
 * it; with `sqpoll`, of the thread that opened the ring.
 *
 * A ring wakes the event loop with a descriptor, or before Deno 2.8 with three.
 * Without free ones, it polls for completions every 1 to 20 ms.
 *
 * Code that the ring itself calls, such as a decoder, can only queue: there,
 * `cmd`, `cmdAll`, `link`, `stream`, an abort and `close` take effect in the next
 * turn, and `cmdSync` and `cmdAllSync` throw a `TypeError`.
 *
 * Good to know:
 *
 * - A synchronous call blocks until its last command ends. Use `cmd` for a command
 *   that waits for another one or for this thread.
 * - The `unload` event closes all rings, as at a reload of `deno run --watch`. A
 *   listener for `unload` that uses a ring must be added before the first ring is
 *   opened. It cannot wait for a promise: use `cmdSync`.
 * - A worker that ends without closing its rings, by whatever way, costs the process
 *   two descriptors for each (four before Deno 2.8) and the memory given to the kernel.
 * - On x86-64, after a thread has opened a ring with `sqe128`, its commands that block
 *   run one after the other, on one kernel worker. If one may block for long, open that
 *   ring in another thread. With more workers (`maxWorkers`), device commands can fail
 *   with EFAULT.
 * - Commands are `readonly` in TypeScript only. Changing one, or making one of parts
 *   with `./raw`, is as unsafe as `unsafeAddress()`.
 * - Each `alloc()` takes one memory mapping, three in all while commands use it. The
 *   kernel setting (sysctl) vm.max_map_count allows a process 65,530.
 *
 * @example Bytes that wait in a socket
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
  readonly #tables: Tables;
  readonly #watches: Watches;
  /**
   * The traits that this ring does not offer every command: {@linkcode TRAITS} bits.
   */
  readonly #lacks: number;
  /** The restrictions that a call has begun to set. */
  #restrictions: string | null = null;
  /** The submission thread, if the ring has one. */
  #thread: Thread | null = null;

  private constructor(handle: RingHandle, spin: boolean) {
    this.#handle = handle;
    this.#engine = new Engine(handle, spin);
    const queues = this.#engine.queues;
    this.#queues = queues;
    this.#tables = new Tables(handle);
    const { sq, cq } = handle;
    const wide = sq.sqeWords === 32 || sq.mixed;
    const answers = cq.cqeWords === 8 || queues.room.unit === 2;
    this.#lacks = TRAITS.checked | (wide ? 0 : TRAITS.sqe128) |
      (answers ? 0 : TRAITS.cqe32);
    this.#watches = queues.aborts.watches;
    bindToThread(this);
  }

  /**
   * Opens a ring, with those of the best flags for an event loop that this kernel
   * knows. Linux 5.19; no privilege, unless a sysctl or a sandbox forbids it.
   *
   * Without options: `IORING_SETUP_CQSIZE`, and those of `SINGLE_ISSUER`,
   * `COOP_TASKRUN`, `SUBMIT_ALL` and `NO_SQARRAY` that the kernel has.
   *
   * @throws {UringError} if the kernel refuses, with the reason and the remedy.
   */
  static open(options: RingOptions = {}): Ring {
    const { spin = true } = checkObject("options", options);
    const asked = setupOptions(options);
    if (asked.wqFd !== undefined && asked.flags! & IORING_SETUP_SQPOLL) {
      checkNoChain(threads.get(asked.wqFd));
    }
    const ring = setupFor(asked, (handle) => new Ring(handle, Boolean(spin)));
    watchOver.call(dropped, ring, ring.#engine);
    if (asked.flags! & IORING_SETUP_SQPOLL) ring.#share(asked.wqFd);
    return ring;
  }

  /** Records which rings share a submission thread. */
  #share(wqFd: number | undefined): void {
    const attached = wqFd !== undefined;
    const { queues } = this.#engine;
    this.#thread = attached && threads.get(wqFd) ||
      { shared: attached, chains: () => queues.hasChain };
    const { fd } = this;
    const thread = this.#thread;
    // The engine, which calls it, must not keep the ring.
    this.#engine.released = () => {
      if (threads.get(fd) === thread) threads.delete(fd);
    };
    this.#thread.shared = attached;
    threads.set(this.fd, this.#thread);
  }

  /** The `IORING_SETUP_` flags that the kernel took, without the prefix. */
  get flags(): readonly string[] {
    return setupFlagNames(this.#handle.flags);
  }

  /**
   * The descriptor of the ring, for `./raw` and for other system calls; -1 when the
   * ring has closed, because the number may be another file's by then.
   */
  get fd(): number {
    return this.#queues.life === "closed" ? -1 : this.#handle.fd;
  }

  // ---- Running commands ------------------------------------------------------

  /**
   * Runs a command. The promise settles once, when the kernel has let go of the
   * command. It resolves to the command's result.
   *
   * This function never throws: the promise rejects. If the kernel refuses the
   * command, the reason is a {@linkcode UringError}; if a drive does, an `NvmeError`
   * or a `ScsiError`; for a wrong argument or a closed ring, a `TypeError` or a
   * `RangeError`; after an abort, the reason of the signal; if the decoder threw,
   * what it threw.
   *
   * Aborting the signal asks the kernel to cancel. The promise still settles
   * with the command's own outcome: its result if it was faster, or the signal's
   * reason. A command that a driver has taken up cannot be cancelled.
   *
   * Keep the descriptor open until then: the kernel looks for the file when the
   * command starts, and the number may be another file's by then.
   */
  cmd<T>(command: Command<T>, options?: CommandOptions): Promise<T> {
    let slot: Slot | null = null;
    try {
      // Reading options may run the program's code, which may close the ring.
      const asked = options === undefined ? null : this.#optionsOf(options);
      this.#check(command, false);
      this.#queues.recovery.putInOrder();
      this.#engine.schedule(1);
      this.#checkAgain(command);
      slot = this.#take(command, AWAITED, asked);
      const promise = slot.await();
      if (slot.resolve === null) slot.receiver = NOBODY;
      else this.#queues.enqueue(slot);
      return promise as Promise<T>;
    } catch (error) {
      if (slot !== null) {
        slot.receiver = NOBODY;
        this.#queues.taking = true;
      }
      return Promise.reject(error);
    }
  }

  /**
   * Runs commands as a chain: each starts when the one before it has succeeded.
   * If one fails, those after it fail with ECANCELED. A read or a write of fewer
   * bytes than asked for fails its chain, too, although its own promise resolves.
   * **Not every operation of `./op` fails its chain**: since Linux 6.0, the next
   * command starts even if an `fsync` or an operation on a path failed. The
   * documentation of that module has the list.
   *
   * There is a promise for each. They reject as that of {@linkcode Ring.cmd} does.
   *
   * Handle every promise of the chain, with `Promise.all` or `Promise.allSettled`.
   * If you await only the last one and another rejects, that rejection is unhandled,
   * and Deno ends the process.
   *
   * The chain is handed over in one piece, and may not be longer than the
   * ring's `entries`, nor than `cqEntries` less the places that are kept for
   * cancellations: a quarter, at most 16.
   *
   * With `hard: true`, each command starts when the one before it has completed,
   * whatever it came to. The order holds, and a failure cancels nothing. The kernel
   * still cancels the whole chain, before it starts, if it refuses an SQE at once
   * (EINVAL for an operation that it does not have, EACCES on a restricted ring).
   *
   * @example Close a file whether or not the write before it succeeds
   * ```ts
   * import { Ring } from "@uring/cmd";
   * import { close, openat, write } from "@uring/cmd/op";
   *
   * await using ring = Ring.open();
   * const fd = await ring.cmd(openat("/dev/full", { flags: 1 })); // O_WRONLY
   * const data = new TextEncoder().encode("lost");
   * const chain = ring.link([write(fd, data), close(fd)], { hard: true });
   * const [written, closed] = await Promise.allSettled(chain);
   * console.log(written.status, closed.status); // rejected: ENOSPC; fulfilled
   * ```
   *
   * @throws {TypeError} if `commands` is not an array: there is no promise then
   * that could reject.
   */
  link<T extends readonly unknown[]>(
    commands: readonly [...{ [K in keyof T]: Command<T[K]> }],
    options?: ChainOptions,
  ): { -readonly [K in keyof T]: Promise<T[K]> } {
    const list = this.#ask(() => checkList("commands", commands)) as Command<
      unknown
    >[];
    let promises: Promise<unknown>[];
    let slots: Slot[] = [];
    try {
      const asked = options === undefined ? NOTHING : this.#optionsOf(options);
      const { signal, marks, hard } = asked;
      this.#checkAll(list);
      if (this.#thread?.shared) {
        throw new TypeError(
          "rings that share a submission thread cannot link commands: it takes " +
            "a few at a time, and would cut the chain",
        );
      }
      if (!this.#queues.room.holds(list)) {
        throw new RangeError(
          `a chain of ${list.length} commands does not fit a ring of ` +
            `${this.#handle.sq.entries} entries: the longest has ` +
            `${this.#queues.room.longest}, where a zero-copy send counts twice`,
        );
      }
      if (list.length === 0) {
        if (signal !== undefined) throwIfAborted.call(signal);
        return [] as never;
      }
      this.#queues.recovery.putInOrder();
      this.#engine.schedule(list.length);
      for (let i = 0; i < list.length; i++) this.#checkAgain(list[i]);
      this.#checkAsked(asked);
      slots = this.#takeAll(list);
      link(slots, hard);
      for (const slot of slots) {
        slot.receiver = AWAITED;
        slot.marks = marks;
        if (signal !== undefined) this.#watches.add(slot, signal);
      }
      promises = slots.map((slot) => slot.await());
      const lost = slots.findIndex((slot) => slot.resolve === null);
      if (lost < 0) this.#queues.enqueue(slots[0]);
      else promises = this.#refuseChain(slots, promises, promises[lost]);
    } catch (error) {
      for (const slot of slots) slot.receiver = NOBODY;
      this.#queues.taking ||= slots.length > 0;
      promises = list.map(() => Promise.reject(error));
    }
    return promises as { -readonly [K in keyof T]: Promise<T[K]> };
  }

  /**
   * Runs a command and blocks the thread until it has completed. For commands
   * that complete at once, this is the fastest way. It throws what the promise of
   * {@linkcode Ring.cmd} would reject with.
   *
   * @throws {TypeError} in a decoder, and in any other code that this ring calls.
   */
  cmdSync<T>(command: Command<T>): T {
    this.#engine.sync.enter();
    this.#check(command, false);
    return this.#engine.sync.runOne(command) as T;
  }

  /**
   * Runs commands with one call of io_uring_enter(), and blocks the thread
   * until all have completed. If some have not completed when that call returns, a
   * second call waits for them. With `deferTaskrun` it takes one more call for each
   * wake-up.
   *
   * If commands fail, it throws the first error, after all have completed. The
   * property `results` of a {@linkcode UringError} has the outcome of each command, as
   * `Promise.allSettled` gives them. Close the descriptors that other commands have
   * opened.
   *
   * @throws {TypeError} in a decoder, and in any other code that this ring calls.
   */
  cmdAllSync<T>(commands: readonly Command<T>[]): T[] {
    const { sync } = this.#engine;
    sync.enter();
    const batch = this.#batchOf(commands);
    if (batch.left === 0) return [];
    try {
      this.#queues.takeSlots(batch);
    } catch (error) {
      this.#queues.recovery.putInOrder(); // Gives back the slots it has taken.
      throw error;
    }
    return sync.run(batch) as T[];
  }

  /**
   * Runs commands, and returns one promise for all of them: the fastest way to run
   * many without blocking. The promise settles when all have completed, with their
   * results in order, or with the first error. The error's property `results` has
   * the outcome of each command, as `Promise.allSettled` gives them: with it,
   * descriptors that other commands have opened can be closed.
   *
   * This function never throws: the promise rejects, as that of
   * {@linkcode Ring.cmd} does.
   *
   * Any number of batches may be in flight. Commands are queued in order, after
   * those of earlier calls; what the ring has no room for waits.
   *
   * Aborting the signal asks the kernel to cancel what has not completed, and drops
   * what waits. If that ends a command, the promise rejects with the signal's
   * reason, whose `results` have the outcomes if it is an object. Batches that share
   * a reason overwrite each other's `results`.
   *
   * @example Open a hundred files with one promise, and close them
   * ```ts
   * import { Ring } from "@uring/cmd";
   * import { close, openat } from "@uring/cmd/op";
   *
   * await using ring = Ring.open();
   * const opens = Array.from({ length: 100 }, () => openat("/dev/null"));
   * const fds = await ring.cmdAll(opens); // number[]
   * await ring.cmdAll(fds.map((fd) => close(fd)));
   * ```
   */
  cmdAll<T extends readonly unknown[]>(
    commands: readonly [...{ [K in keyof T]: Command<T[K]> }],
    options?: CommandOptions,
  ): Promise<{ -readonly [K in keyof T]: T[K] }> {
    const queues = this.#queues;
    let promise: Promise<unknown>;
    try {
      const asked = options === undefined ? NOTHING : this.#optionsOf(options);
      const { signal, marks } = asked;
      const batch = this.#batchOf(commands as readonly Command<unknown>[]);
      if (batch.left === 0) {
        if (signal !== undefined) throwIfAborted.call(signal);
        return Promise.resolve([]) as Promise<never>;
      }
      queues.recovery.putInOrder();
      this.#engine.schedule(batch.left);
      if (batch.checked) {
        const { commands: all } = batch;
        for (let i = 0; i < all.length; i++) {
          this.#checkAgain(all[i] as Command<unknown>);
        }
      }
      this.#checkAsked(asked);
      if (marks !== 0) {
        batch.marks = marks;
        batch.slotted = true;
      }
      queues.takeSlots(batch);
      promise = batch.await();
      if (batch.resolve === null) return promise as Promise<never>;
      queues.batches.add(batch);
      batch.aim(); // It counts among what uses memory now.
      if (signal !== undefined) this.#watches.add(batch, signal);
      queues.enqueueBatch(batch);
    } catch (error) {
      promise = Promise.reject(error);
    }
    return promise as Promise<{ -readonly [K in keyof T]: T[K] }>;
  }

  /**
   * Runs a multishot command. The command starts at once; each completion is a
   * value of the iterator. Leaving the loop cancels the command.
   *
   * After an abort of the signal, the loop throws the reason of the signal, by
   * default a `DOMException` named `AbortError`. To end the loop without an error,
   * leave it with `break`.
   *
   * Values are kept until they are asked for, however many there are. A command with
   * provided buffers pauses when the values that are kept have them all, and goes on
   * when the program has taken these values.
   *
   * @throws {TypeError | RangeError} for a wrong argument, a command that completes
   * once, or a closed ring. It throws the reason of a signal that was aborted before.
   */
  stream<T>(
    command: Command<T>,
    options?: CommandOptions,
  ): AsyncIterableIterator<T> {
    const asked = options === undefined ? null : this.#optionsOf(options);
    const { aborts } = this.#queues;
    const stream: CommandStream<T> = new CommandStream<T>((slot) =>
      aborts.abort(slot, LEFT)
    );
    if (Command.is(command) && command.bufferRing !== null) {
      stream.start = this.#starter(command, stream, asked);
    }
    stream.slot = this.#start(command, stream, asked);
    return stream;
  }

  /** Returns a function that starts the command of a stream again. */
  #starter<T>(
    command: Command<T>,
    stream: CommandStream<T>,
    asked: Asked | null,
  ): () => Slot {
    return () => this.#start(command, stream, asked);
  }

  /** Starts the command of a stream, and returns its slot. */
  #start<T>(
    command: Command<T>,
    stream: CommandStream<T>,
    asked: Asked | null,
  ): Slot {
    this.#check(command, true);
    const queues = this.#queues;
    queues.recovery.putInOrder();
    this.#engine.schedule(1);
    this.#checkAgain(command);
    let slot: Slot | null = null;
    try {
      slot = this.#take(command, stream, asked);
      queues.enqueue(slot);
      return slot;
    } catch (error) {
      if (slot !== null) {
        slot.receiver = NOBODY;
        queues.taking = true;
      }
      throw error;
    }
  }

  // ---- Memory and tables -----------------------------------------------------

  /**
   * Returns memory that commands use in place, without a copy: `byteLength`
   * bytes, zeroed, at an address that is a multiple of 65536.
   *
   * It works with every ring, and lives as long as a view of it, or a command
   * that uses it. Each call takes at least 64 KiB: allocate once, and give each
   * command a `subarray`.
   *
   * A command whose memory is all of `alloc` costs as little as one without memory.
   * Other memory is copied, which takes about 70 ns for each array, and 15 ns for
   * each KiB; `cmdAll` and `cmdAllSync` then need a slot for each command, which
   * takes 30 ns.
   */
  alloc(byteLength: number): Uint8Array {
    return alloc(byteLength);
  }

  /**
   * Gives the ring a table of files, which commands then name by their place,
   * and which spares the kernel a look-up at each command. The descriptors may
   * be closed afterwards. A ring has one table at a time, of at most 16384 files.
   *
   * With `null` a place stays empty, for {@linkcode Ring.updateFile}.
   */
  registerFiles(fds: readonly number[]): FixedFile[];
  /** Gives the ring a table of files with empty places. */
  registerFiles(fds: readonly (number | null)[]): (FixedFile | null)[];
  registerFiles(fds: readonly (number | null)[]): (FixedFile | null)[] {
    const list = this.#ask(() => checkFiles(fds));
    this.#checkOpen();
    return this.#tables.registerFiles(list);
  }

  /**
   * Puts a file into a place of the table of files, from 0 on, or empties the place
   * with `null`. IORING_REGISTER_FILES_UPDATE, Linux 5.5; no privilege. The place's
   * earlier {@linkcode FixedFile} is not valid any longer.
   *
   * Refused while commands in flight use the place: a command finds its file when it
   * starts, and could find the new one. Other places can be in use.
   *
   * EBADF: the descriptor is not open, or is that of a ring. The place is empty then.
   * EACCES: the ring was restricted.
   *
   * @example A table of eight places for connections that come and go
   * ```ts
   * import { Ring } from "@uring/cmd";
   * import { siocinq, socketFd } from "@uring/cmd/socket";
   *
   * await using ring = Ring.open();
   * ring.registerFiles(Array<null>(8).fill(null));
   *
   * using listener = Deno.listen({ port: 0 });
   * using conn = await Deno.connect({ port: listener.addr.port });
   * const file = ring.updateFile(3, socketFd(conn));
   * console.log(await ring.cmd(siocinq(file)), "bytes to read");
   * ring.updateFile(3, null); // The table kept the connection open until now.
   * ```
   */
  updateFile(place: number, fd: number): FixedFile;
  /** Empties a place of the table of files. */
  updateFile(place: number, fd: null): null;
  updateFile(place: number, fd: number | null): FixedFile | null {
    if (fd !== null) checkFd(fd);
    this.#checkOpen();
    return this.#tables.updateFile(place, fd, this.#queues.commands());
  }

  /**
   * Removes the table of files. Refused while commands in flight use it: a
   * command finds its file when it starts, and could find that of a later table.
   */
  unregisterFiles(): void {
    this.#checkOpen();
    this.#tables.unregisterFiles(this.#queues.commands());
  }

  /**
   * Pins memory of {@linkcode Ring.alloc} for the ring, which spares the kernel
   * the pinning at each command. A ring has one table at a time, of at most 4096
   * buffers; their pages count against RLIMIT_MEMLOCK unless the process has
   * CAP_IPC_LOCK.
   *
   * @example Reads into a registered buffer
   * ```ts
   * import { Ring } from "@uring/cmd";
   * import { close, openat, read } from "@uring/cmd/op";
   *
   * await using ring = Ring.open();
   * const [buffer] = ring.registerBuffers([ring.alloc(65536)]);
   * const fd = await ring.cmd(openat(Deno.execPath()));
   * // Two commands, each with its own part of the buffer.
   * const [first, second] = [0, 4096].map((at) =>
   *   buffer.bytes.subarray(at, at + 4096)
   * );
   * await Promise.all([
   *   ring.cmd(read(fd, first, { offset: 0, buffer })),
   *   ring.cmd(read(fd, second, { offset: 4096, buffer })),
   * ]);
   * console.log(first[0].toString(16)); // 7f: an ELF file
   * await ring.cmd(close(fd));
   * ring.unregisterBuffers();
   * ```
   *
   * With `null` a place stays empty (Linux 5.13), for {@linkcode Ring.updateBuffer}.
   */
  registerBuffers(buffers: readonly Uint8Array[]): FixedBuffer[];
  /** Gives the ring a table of buffers with empty places. */
  registerBuffers(
    buffers: readonly (Uint8Array | null)[],
  ): (FixedBuffer | null)[];
  registerBuffers(
    buffers: readonly (Uint8Array | null)[],
  ): (FixedBuffer | null)[] {
    const list = this.#ask(() => checkBuffers(buffers));
    this.#checkOpen();
    return this.#tables.registerBuffers(list);
  }

  /**
   * Pins memory of {@linkcode Ring.alloc} in a place of the table of buffers, from 0
   * on, or empties the place with `null`. IORING_REGISTER_BUFFERS_UPDATE, Linux 5.13;
   * no privilege. The place's earlier {@linkcode FixedBuffer} is not valid any longer.
   *
   * Refused while commands in flight use the place. If the kernel refuses, the place
   * keeps its buffer. ENOMEM: RLIMIT_MEMLOCK is too small (`ulimit -l`). EACCES: the
   * ring was restricted.
   *
   * A driver may put a buffer of its own into an empty place, as ublk does. Such a
   * buffer has no `FixedBuffer`: name it by its place, as `buf_index` of `uringCmd` or
   * `bufIndex` of a `Command`. An update removes it.
   *
   * @example One place for buffers that change
   * ```ts
   * import { Ring } from "@uring/cmd";
   * import { close, openat, read } from "@uring/cmd/op";
   *
   * await using ring = Ring.open();
   * ring.registerBuffers([null]);
   * const fd = await ring.cmd(openat("/proc/version"));
   * for (const byteLength of [16, 4096]) {
   *   const buffer = ring.updateBuffer(0, ring.alloc(byteLength));
   *   const options = { offset: 0, buffer };
   *   console.log(await ring.cmd(read(fd, buffer.bytes, options)), "bytes");
   * }
   * await ring.cmd(close(fd));
   * ```
   */
  updateBuffer(place: number, bytes: Uint8Array): FixedBuffer;
  /** Empties a place of the table of buffers. */
  updateBuffer(place: number, bytes: null): null;
  updateBuffer(place: number, bytes: Uint8Array | null): FixedBuffer | null {
    if (bytes !== null) checkRegistrable(bytes);
    this.#checkOpen();
    return this.#tables.updateBuffer(place, bytes, this.#queues.commands());
  }

  /** Unpins the buffers. Refused while commands in flight use them. */
  unregisterBuffers(): void {
    this.#checkOpen();
    this.#tables.unregisterBuffers(this.#queues.commands());
  }

  /**
   * Provides buffers for the kernel to choose from: it takes one when it has data, and
   * not when the command starts. So a thousand connections that are quiet share a few
   * buffers. IORING_REGISTER_PBUF_RING, Linux 5.19; no privilege.
   *
   * Commands take a `BufferRing` in place of memory, such as `recv` and `read` of
   * `./op`, and also those of many completions for {@linkcode Ring.stream}. Their
   * result is a {@linkcode LentBuffer}, which is the program's until it is released. A
   * buffer goes back by itself if nobody gets it: because the loop is left or the
   * command fails, or because a `decode` of the program's has made another value of it.
   *
   * If all buffers are lent, commands fail with ENOBUFS, and no data is lost.
   *
   * `count` is from 1 to 32768, and `byteLength` is the size of each. The memory is the
   * ring's; pages that were never filled take none. On some kernels, the 16 bytes of each
   * entry count against RLIMIT_MEMLOCK.
   *
   * @example All that a connection sends, until it ends
   * ```ts
   * import { Ring } from "@uring/cmd";
   * import { recv } from "@uring/cmd/op";
   * import { socketFd } from "@uring/cmd/socket";
   *
   * using listener = Deno.listen({ port: 0 });
   * const client = await Deno.connect({ port: listener.addr.port });
   * using server = await listener.accept();
   * await client.write(new TextEncoder().encode("hello"));
   * client.close();
   *
   * await using ring = Ring.open();
   * const buffers = ring.registerBufferRing({ count: 16, byteLength: 4096 });
   * const all = recv(socketFd(server), buffers, { multishot: true });
   * for await (using item of ring.stream(all)) {
   *   console.log(new TextDecoder().decode(item.bytes));
   * }
   * ```
   */
  registerBufferRing(
    options: { count: number; byteLength: number },
  ): BufferRing {
    const { count, byteLength } = this.#ask(() => {
      const { count, byteLength } = checkObject("options", options);
      return { count, byteLength };
    });
    this.#checkOpen();
    return this.#tables.registerBufferRing(count, byteLength);
  }

  /**
   * Takes provided buffers back from the kernel. Refused while commands in flight use
   * them. Buffers that are lent stay the program's.
   */
  unregisterBufferRing(bufferRing: BufferRing): void {
    checkBufferRing("bufferRing", bufferRing);
    this.#checkOpen();
    this.#tables.unregisterBufferRing(bufferRing, this.#queues.commands());
  }

  /**
   * Keeps the credentials that this thread has now: its user, groups, capabilities
   * and security label. A command whose option `personality` names them runs with
   * them. IORING_REGISTER_PERSONALITY, Linux 5.6; no privilege.
   *
   * They are for a program that gives up its privilege and keeps it for some commands.
   * The ring is the key to it: code that has the ring has these credentials, too.
   * `restrict()` binds what it can do with them.
   *
   * EACCES: the ring was restricted. ENOMEM: it has 65535 already.
   *
   * @example A command with the credentials of an earlier moment
   * ```ts
   * import { Ring } from "@uring/cmd";
   * import { openat, close } from "@uring/cmd/op";
   *
   * await using ring = Ring.open();
   * const personality = ring.registerPersonality();
   * // The program could call setresuid(2) here.
   * const fd = await ring.cmd(openat("/proc/version"), { personality });
   * await ring.cmd(close(fd));
   * ring.unregisterPersonality(personality);
   * ```
   */
  registerPersonality(): Personality {
    this.#checkOpen();
    return this.#tables.registerPersonality();
  }

  /** Removes credentials. Refused while commands in flight have them. */
  unregisterPersonality(personality: Personality): void {
    const { id } = checkPersonality(personality);
    this.#checkOpen();
    let used = false;
    for (const { marks } of this.#queues.slots.busy()) {
      used ||= personalityIn(marks) === id;
    }
    this.#tables.unregisterPersonality(personality, used);
  }

  /**
   * Restricts a ring that was opened `disabled` to what is listed here, for good,
   * and lets it take commands: the way to hand a ring to code that is trusted
   * less. Register files and buffers before.
   *
   * It binds the operation of a command, its flags and, with
   * `sqeFlagsRequired: IOSQE_FIXED_FILE`, its file, which is then one of
   * {@linkcode Ring.registerFiles}. The kernel refuses everything else with
   * EACCES. A ring can still cancel its own commands, and be closed; with
   * `deferTaskrun` it can still be given another eventfd to signal.
   *
   * It does not bind what a command says to its file, such as `cmd_op`, nor the
   * memory it points at. `registerOps` with IORING_REGISTER_FILES or
   * IORING_REGISTER_FILES_UPDATE lets it add files; an unrestricted ring can put one into its table (IORING_OP_MSG_RING).
   * And it does not bind code: what runs in the same process with `--allow-ffi`
   * can call libc itself, and `ring.constructor` is the class that opens rings.
   *
   * @throws {UringError} EINVAL for an operation that the kernel does not have;
   * the ring stays `disabled`.
   *
   * @example A ring that sends commands to one file, and does nothing else
   * ```ts
   * import { Ring, uringCmd } from "@uring/cmd";
   * import { close, openat } from "@uring/cmd/op";
   * import { IORING_OP_URING_CMD, IOSQE_FIXED_FILE } from "@uring/cmd/raw";
   *
   * await using trusted = Ring.open();
   * const fd = await trusted.cmd(openat("/dev/null"));
   *
   * await using ring = Ring.open({ disabled: true });
   * const [file] = ring.registerFiles([fd]);
   * await trusted.cmd(close(fd)); // The table keeps the file.
   * ring.restrict({
   *   ops: [IORING_OP_URING_CMD],
   *   sqeFlagsRequired: IOSQE_FIXED_FILE, // Only files of the table.
   * });
   * await ring.cmd(uringCmd({ fd: file, cmd_op: 0 })); // All that it can do.
   * ```
   */
  restrict(restrictions: Restrictions): void {
    const { flags } = this.#handle;
    const { list, requiredFlags } = this.#ask(() =>
      checkRestrictions(restrictions, flags)
    );
    if (this.#queues.life !== "disabled") {
      throw new TypeError(
        "only a ring that was opened with `disabled: true` can be restricted",
      );
    }
    // What wakes the event loop has to be registered while that is allowed.
    this.#engine.prepareToWait();
    this.#restrictOnce(list);
    this.#queues.cancellations.requiredFlags = requiredFlags;
    this.#queues.life = "open";
  }

  /** Restricts and enables the ring. A call that was cut short can be made again. */
  #restrictOnce(
    list: Parameters<typeof register.registerRestrictions>[1],
  ): void {
    const asked = JSON.stringify(list);
    const again = this.#restrictions !== null;
    if (again && this.#restrictions !== asked) {
      throw new TypeError(
        "restrict() was cut short with other restrictions, which may be in force: " +
          "close the ring",
      );
    }
    this.#restrictions = asked;
    const rc = register.registerRestrictions(this.#handle.target(), list);
    if (again && DONE_BEFORE.includes(-rc)) {
      // The call that was cut short had come that far.
    } else {
      if (rc < 0) this.#restrictions = null;
      checkRegistered("REGISTER_RESTRICTIONS", this.fd, rc);
    }
    const enabled = register.enableRings(this.#handle.target());
    if (again && DONE_BEFORE.includes(-enabled)) return;
    checkRegistered("REGISTER_ENABLE_RINGS", this.fd, enabled);
  }

  // ---- Life ------------------------------------------------------------------

  /** Counts what the ring has done, and what it is doing. */
  stats(): RingStats {
    const { wakes } = this.#engine;
    const { enters, submitted, completions, overflows } = this.#queues;
    const { room: { inFlight }, waiting: { length: waiting } } = this.#queues;
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
   * the last completion, and releases everything.
   *
   * A command that its driver never completes keeps it waiting, since the
   * kernel may still write to the command's memory. A warning names it after
   * five seconds.
   */
  close(): Promise<void> {
    return this.#engine.close();
  }

  /** {@linkcode Ring.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Returns what logs show: the descriptor, the flags and the counts. */
  toJSON(): RingStats & { fd: number; flags: readonly string[] } {
    const { fd, flags } = this;
    return { fd, flags, ...this.stats() };
  }

  /** Shows the ring in `console.log` as {@linkcode Ring.toJSON} describes it. */
  [Symbol.for("Deno.customInspect")](
    inspect: typeof Deno.inspect,
    options: Deno.InspectOptions,
  ): string {
    return `Ring ${inspect(this.toJSON(), options)}`;
  }

  // ---- Checks ----------------------------------------------------------------

  /** Reads arguments, where getters and proxies may run the program's code. */
  #ask<T>(read: () => T): T {
    const queues = this.#queues;
    const { busy } = queues;
    queues.busy = "program";
    try {
      return read();
    } finally {
      queues.busy = busy;
    }
  }

  #optionsOf(options: ChainOptions): Asked {
    return this.#ask(() => {
      const { signal, async = false, personality, hard = false } = checkObject(
        "options",
        options,
      );
      if (signal === undefined && options instanceof AbortSignal) {
        throw new TypeError("options is an AbortSignal: pass { signal }");
      }
      if (signal !== undefined) checkInstance("signal", signal, AbortSignal);
      const flags = checkBoolean("async", async) ? IOSQE_ASYNC : 0;
      return {
        signal,
        personality,
        hard: checkBoolean("hard", hard),
        marks: personality === undefined
          ? flags
          : marksOf(flags, checkPersonality(personality).id),
      };
    });
  }

  /** Refuses options at the last moment before slots are taken. */
  #checkAsked({ signal, personality }: Asked): void {
    if (personality !== undefined) this.#tables.checkPersonality(personality);
    if (signal !== undefined) throwIfAborted.call(signal);
  }

  #checkOpen(): void {
    switch (this.#queues.life) {
      case "open":
      case "disabled":
        return;
      case "failed":
        throw this.#queues.failure;
      default:
        throw new TypeError("the ring is closed");
    }
  }

  /** Refuses what this ring cannot run, before anything is queued. */
  #check(command: Command<unknown>, stream: boolean): void {
    if (this.#isPlain(command) && !stream) return;
    this.#checkSelf(command, stream);
    this.#askPrecheck(command);
    this.#tables.check(command);
  }

  /**
   * Refuses a list if this ring cannot run one of its commands. A `precheck` may
   * change the tables, so all of them come before the first look at a table. Returns
   * `true` if it looked.
   */
  #checkAll(commands: readonly Command<unknown>[]): boolean {
    let plain = true;
    for (let i = 0; i < commands.length; i++) {
      if (!this.#isPlain(commands[i])) plain = false;
    }
    if (plain) return false;
    for (let i = 0; i < commands.length; i++) {
      if (!this.#isPlain(commands[i])) this.#checkSelf(commands[i], false);
    }
    for (let i = 0; i < commands.length; i++) this.#askPrecheck(commands[i]);
    for (let i = 0; i < commands.length; i++) this.#tables.check(commands[i]);
    return true;
  }

  /**
   * Checks the tables once more, because a hook of `node:async_hooks` may have changed
   * them while a turn was scheduled.
   */
  #checkAgain(command: Command<unknown>): void {
    if ((command.traits & TRAITS.checked) !== 0) this.#tables.check(command);
  }

  /** Returns `true` for a command that this ring can run as it is. */
  #isPlain(command: Command<unknown>): boolean {
    if (!Command.is(command)) {
      throw new TypeError(`not a command: ${shown(command)}`);
    }
    return this.#queues.life === "open" && (command.traits & this.#lacks) === 0;
  }

  /** Calls `precheck`, which may close the ring. */
  #askPrecheck({ precheck }: Command<unknown>): void {
    if (precheck === null) return;
    this.#ask(precheck);
    this.#checkOpen();
  }

  /** Checks all but the tables of the ring and `precheck`. */
  #checkSelf(command: Command<unknown>, stream: boolean): void {
    if (this.#queues.life !== "open") {
      this.#checkOpen();
      throw new TypeError("the ring is disabled: call ring.restrict() first");
    }
    const { name } = command;
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
          `SQEs of 128 bytes: Ring.open({ sqe128: true${
            command.cqe32 ? ", cqe32: true" : ""
          } })`,
      );
    }
    if (command.cqe32 && cq.cqeWords === 4 && this.#queues.room.unit === 1) {
      throw new RangeError(
        `${name} is answered with 32 bytes, which needs a ring with CQEs of ` +
          "32 bytes: Ring.open({ cqe32: true })",
      );
    }
    checkRingFlags(command);
  }

  // ---- Slots -----------------------------------------------------------------

  /** Queues no command of a chain, and returns a promise for each that is rejected. */
  #refuseChain(
    slots: readonly Slot[],
    promises: readonly Promise<unknown>[],
    rejected: Promise<unknown>,
  ): Promise<unknown>[] {
    for (const slot of slots) slot.receiver = NOBODY;
    return promises.map((own, i) => slots[i].resolve === null ? own : rejected);
  }

  /** Takes a slot, and the memory its command needs. */
  #take(
    command: Command<unknown>,
    receiver: Receiver,
    asked: Asked | null,
  ): Slot {
    if (asked !== null) this.#checkAsked(asked);
    const slot = this.#queues.take(command);
    slot.receiver = receiver;
    if (asked !== null) this.#mark(slot, asked);
    return slot;
  }

  /** Gives a slot what the options ask for. */
  #mark(slot: Slot, { signal, marks }: Asked): void {
    slot.marks = marks;
    if (signal !== undefined) this.#watches.add(slot, signal);
  }

  /** Takes slots for all commands, or for none of them. */
  #takeAll(commands: readonly Command<unknown>[]): Slot[] {
    const queues = this.#queues;
    const taken = listOf<unknown>(commands) as Slot[]; // Until it has the slots.
    let count = 0;
    queues.begin();
    try {
      for (; count < commands.length; count++) {
        taken[count] = queues.slots.take(commands[count]);
      }
    } catch (error) {
      while (count > 0) queues.slots.give(taken[--count]);
      if (error instanceof TypeError) queues.taking = false; // See Queues.take.
      throw error;
    }
    return taken;
  }

  // ---- Batches ---------------------------------------------------------------

  /** Makes a batch of commands that this ring can run. */
  #batchOf(commands: readonly Command<unknown>[]): Batch {
    const queues = this.#queues;
    const { busy } = queues;
    let list: Command<unknown>[];
    queues.busy = "program"; // As #ask does, without a function for each batch.
    try {
      list = checkList("commands", commands);
    } finally {
      queues.busy = busy;
    }
    const checked = this.#checkAll(list);
    let slotted = false;
    for (let i = 0; i < list.length && !slotted; i++) {
      slotted = !queues.isDirect(list[i]);
    }
    const batch = new Batch(queues, list, slotted);
    batch.checked = checked;
    return batch;
  }
}

/** The options of a call, checked. */
interface Asked {
  readonly signal: AbortSignal | undefined;
  readonly personality: Personality | undefined;
  readonly hard: boolean;
  /** See `marksOf`. */
  readonly marks: number;
}

/** The options of a call that has none. */
const NOTHING: Asked = {
  signal: undefined,
  personality: undefined,
  hard: false,
  marks: 0,
};

/**
 * The answer of io_uring_register() about a ring that is restricted (EBUSY), or
 * enabled as well (EBADFD, EACCES).
 */
const DONE_BEFORE: readonly number[] = [E.EBUSY, E.EBADFD, E.EACCES];

/** A submission thread. */
interface Thread {
  /** Several rings have it. */
  shared: boolean;
  /** Returns `true` if its first ring has a chain that the kernel may not have taken. */
  readonly chains: () => boolean;
}

/** Submission threads, by the descriptors of the rings of this isolate. */
const threads = new Map<number, Thread>();

/** Refuses another ring for a thread that would cut a chain: see {@linkcode Ring.link}. */
function checkNoChain(thread: Thread | undefined): void {
  if (thread === undefined || thread.shared || !thread.chains()) return;
  throw new TypeError(
    "a ring cannot share a submission thread that has not taken all commands of " +
      "ring.link(): it would take a few at a time, and cut the chain. Await them, " +
      "then open the ring",
  );
}

// Closes a ring that became unreachable, once its commands have completed.
const dropped = new FinalizationRegistry<Engine>((engine) => engine.drop());

// Called like this, they run no code of the program's.
const { throwIfAborted } = AbortSignal.prototype;
const { register: watchOver } = FinalizationRegistry.prototype;

/**
 * Explains why a ring cannot be posted to a worker: cloning a ring reads its
 * properties, and this one throws.
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
