/**
 * An engine on a ring over plain arrays, with a fake kernel: the test decides what
 * happens when.
 *
 * Only the wake-up of the event loop is real: a small ring signals the eventfd
 * that the engine waits for.
 */

import { Command } from "../../ring/command.ts";
import { CompletionQueue } from "../../ring/bare/cqueue.ts";
import { Batch } from "../../ring/flight/batch.ts";
import { Engine } from "../../ring/loop/engine.ts";
import { link, type Receiver, type Slot } from "../../ring/flight/slot.ts";
import { enter, prepRw, type RingHandle, setup } from "../../ring/raw.ts";
import { SubmissionQueue } from "../../ring/bare/squeue.ts";
import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import "../kit/no_watchdogs.ts";
import { turn } from "../kit/wait.ts";

/** Indices of the shared words; the CQEs begin at the last one. */
const [SQ_HEAD, SQ_TAIL, SQ_FLAGS] = [0, 1, 2];
const [CQ_HEAD, CQ_TAIL, CQ_FLAGS, CQ_LOST, CQES] = [3, 4, 5, 6, 8];

/** The fields of an SQE that the fake kernel reads. */
export interface Sqe {
  readonly opcode: number;
  readonly linked: boolean;
  /** `IOSQE_` bits. */
  readonly flags: number;
  readonly personality: number;
  /** The number of the command in its test. */
  readonly fd: number;
  /** For a cancellation: the `user_data` of its target. */
  readonly addr: bigint;
  readonly low: number;
  readonly high: number;
  /** The number of the call that took it. */
  readonly call: number;
}

/** A call of io_uring_enter(). */
export interface Call {
  readonly toSubmit: number;
  readonly minComplete: number;
  readonly flags: number;
}

/** A receiver that records all that a command is told, in order. */
export class Told implements Receiver {
  readonly all: unknown[] = [];

  value(_: Slot, value: unknown): void {
    this.all.push(value);
  }

  error(_: Slot, error: unknown): void {
    this.all.push(error);
  }

  end(): void {
    this.all.push("end");
  }
}

/** A batch that is awaited. */
export interface Started {
  readonly batch: Batch;
  /** The results or the error, once it has settled. */
  readonly told: unknown[];
}

export interface Shape {
  entries?: number;
  cqEntries?: number;
  /** `IORING_SETUP_` bits. */
  flags?: number;
  /** The first value of the heads and tails of both queues. */
  start?: number;
  hold?: boolean;
}

/** Returns the 64-bit `user_data`, as a cancellation holds it. */
export function userData({ low, high }: { low: number; high: number }): bigint {
  return BigInt(high >>> 0) << 32n | BigInt(low >>> 0);
}

export class FakeKernel implements AsyncDisposable {
  readonly engine: Engine;
  readonly cq: CompletionQueue;
  /** All SQEs that the kernel took, in order. */
  readonly taken: Sqe[] = [];
  readonly calls: Call[] = [];
  readonly sqpoll: boolean;
  readonly hold: boolean;
  closed = false;

  /** Returns the answer to a call, or `undefined` for that of a healthy kernel. */
  answer: (call: Call) => number | undefined = () => undefined;
  /** Runs after an SQE is taken. By default it completes at once, with 0. */
  react: (sqe: Sqe) => void = (sqe) => this.post(sqe, 0);
  /** Runs repeatedly while a call waits for completions. */
  wait: () => void = () => {};

  readonly #ring: Int32Array<ArrayBuffer>;
  readonly #sqes: Int32Array<ArrayBuffer>;
  readonly #entries: number;
  readonly #cqEntries: number;
  readonly #array: number;
  readonly #signals: RingHandle = setup({ entries: 1 });
  /** Completions that overflowed the CQ. */
  readonly #backlog: (() => void)[] = [];

  constructor(shape: Shape = {}) {
    const { entries = 4, cqEntries = 8, start = 0, flags = 0 } = shape;
    const { hold = false } = shape;
    this.hold = hold;
    this.#entries = entries;
    this.#cqEntries = cqEntries;
    this.sqpoll = (flags & uapi.IORING_SETUP_SQPOLL) !== 0;
    this.#array = hold ? CQES + cqEntries * 4 : -1;
    const ring = new Int32Array(CQES + cqEntries * 4 + entries);
    this.#ring = ring;
    this.#sqes = new Int32Array(entries * 16);
    for (const index of [SQ_HEAD, SQ_TAIL, CQ_HEAD, CQ_TAIL]) {
      ring[index] = start;
    }
    const sq = new SubmissionQueue({
      ring,
      sqes: this.#sqes,
      head: SQ_HEAD,
      tail: SQ_TAIL,
      flags: SQ_FLAGS,
      array: this.#array,
      entries,
      sqeWords: 16,
      mixed: false,
      hold,
    });
    const cq = this.cq = new CompletionQueue({
      ring,
      head: CQ_HEAD,
      tail: CQ_TAIL,
      flags: CQ_FLAGS,
      overflow: CQ_LOST,
      cqes: CQES,
      entries: cqEntries,
      cqeWords: 4,
      mixed: false,
    });
    this.engine = new Engine({
      fd: this.#signals.fd,
      target: () => this.#signals.target(),
      flags,
      features: 0,
      sq,
      cq,
      enter: (toSubmit, minComplete, flags) => {
        const rc = this.#enter({ toSubmit, minComplete, flags });
        if (!this.sqpoll) sq.taken(rc);
        return rc;
      },
      close: () => {
        if (this.closed) return;
        this.closed = true;
        for (const { buffer } of [ring, this.#sqes]) buffer.transfer(0);
        this.#signals.close();
      },
    }, false);
  }

  /** Commands that the kernel took and has not completed, by their numbers. */
  readonly kept = new Map<number, Sqe>();

  /** A reaction that completes no command but a cancelled one. */
  readonly keep = (sqe: Sqe): void => {
    if (sqe.opcode !== uapi.IORING_OP_ASYNC_CANCEL) {
      this.kept.set(sqe.fd, sqe);
      return;
    }
    const target = [...this.kept.values()].find((each) =>
      userData(each) === sqe.addr
    );
    if (target !== undefined) this.finish(target.fd, -E.ECANCELED);
    this.post(sqe, target === undefined ? -E.ENOENT : 0);
  };

  /** Posts a completion of a kept command, its last unless `flags` has F_MORE. */
  finish(fd: number, res = 0, flags = 0): void {
    const sqe = this.kept.get(fd);
    if (sqe === undefined) throw new Error(`number ${fd} is not in the kernel`);
    if ((flags & uapi.IORING_CQE_F_MORE) === 0) this.kept.delete(fd);
    this.post(sqe, res, flags);
  }

  // ---- The program -----------------------------------------------------------

  /** Queues a command, and returns the record of what it is told. */
  run(command: Command<unknown>, receiver: Told = new Told()): Told {
    this.start(command, receiver);
    return receiver;
  }

  /** Queues a command, and returns its slot. */
  start(command: Command<unknown>, receiver: Receiver = new Told()): Slot {
    const slot = this.engine.queues.slots.take(command);
    slot.receiver = receiver;
    this.engine.queues.enqueue(slot);
    this.engine.schedule();
    return slot;
  }

  /** Queues a chain, and returns the record of each command. */
  link(commands: readonly Command<unknown>[]): Told[] {
    const slots = commands.map((each) => this.engine.queues.slots.take(each));
    link(slots);
    const all = slots.map((slot) => slot.receiver = new Told());
    this.engine.queues.enqueue(slots[0]);
    this.engine.schedule();
    return all;
  }

  /** Makes a batch, whose commands have slots if they need them or `slots`. */
  #batchOf(commands: readonly Command<unknown>[], slots: boolean): Batch {
    const { queues } = this.engine;
    const direct = commands.every((each) => queues.isDirect(each));
    const batch = new Batch(queues, [...commands], slots || !direct);
    if (!slots) queues.takeSlots(batch);
    else {
      commands.forEach((command, place) =>
        batch.leave(place, queues.slots.take(command))
      );
    }
    return batch;
  }

  /** Runs a synchronous batch. */
  batch(commands: readonly Command<unknown>[], slots = false): unknown[] {
    this.engine.sync.enter();
    return this.engine.sync.run(this.#batchOf(commands, slots));
  }

  /** Queues a batch that is awaited. */
  startBatch(commands: readonly Command<unknown>[], slots = false): Started {
    const { queues } = this.engine;
    const batch = this.#batchOf(commands, slots);
    const told: unknown[] = [];
    const tell = (what: unknown) => void told.push(what);
    batch.await().then(tell, tell);
    queues.batches.add(batch);
    batch.aim();
    queues.enqueueBatch(batch);
    this.engine.schedule();
    return { batch, told };
  }

  /** Waits for a turn of the engine and one of the event loop. */
  pass(): Promise<void> {
    this.engine.schedule();
    return turn();
  }

  // ---- The kernel ------------------------------------------------------------

  /** The numbers of the commands that the kernel took, in order. */
  get order(): number[] {
    return this.taken.map(({ fd }) => fd);
  }

  /** Posts a completion, or keeps it until the CQ has room. */
  post(to: { low: number; high: number }, res: number, flags = 0): void {
    const { low, high } = to;
    const post = () => {
      const tail = this.#ring[CQ_TAIL];
      const at = CQES + (tail & this.#cqEntries - 1) * 4;
      this.#ring.set([low, high, res, flags], at);
      this.#ring[CQ_TAIL] = tail + 1;
    };
    if (this.#backlog.length > 0 || this.posted === this.#cqEntries) {
      this.#backlog.push(post);
      this.#ring[SQ_FLAGS] |= uapi.IORING_SQ_CQ_OVERFLOW;
    } else {
      post();
    }
    if (this.audible) this.#signal();
  }

  /** Posts a completion without signalling the eventfd. */
  slip(to: { low: number; high: number }, res: number): void {
    const before = this.#ring[CQ_FLAGS];
    this.#ring[CQ_FLAGS] |= uapi.IORING_CQ_EVENTFD_DISABLED;
    this.post(to, res);
    this.#ring[CQ_FLAGS] = before;
  }

  /** `true` if a completion signals the eventfd. */
  get audible(): boolean {
    return (this.#ring[CQ_FLAGS] & uapi.IORING_CQ_EVENTFD_DISABLED) === 0;
  }

  /** Completions that the engine has not committed. */
  get posted(): number {
    return this.#ring[CQ_TAIL] - this.#ring[CQ_HEAD] | 0;
  }

  /** SQEs that the engine published and the kernel has not taken. */
  get offered(): number {
    return this.#ring[SQ_TAIL] - this.#ring[SQ_HEAD] | 0;
  }

  /** The number of completions that the kernel lost for lack of memory. */
  set lost(count: number) {
    this.#ring[CQ_LOST] = count;
  }

  /** Puts the submission thread to sleep. */
  sleep(): void {
    this.#ring[SQ_FLAGS] |= uapi.IORING_SQ_NEED_WAKEUP;
  }

  /** Takes SQEs, as a submission thread does by itself. */
  take(count = this.offered): number {
    for (let i = 0; i < count; i++) {
      const head = this.#ring[SQ_HEAD];
      const place = head & this.#entries - 1;
      const sqe = this.#array < 0 ? place : this.#ring[this.#array + place];
      const words = this.#sqes.slice(sqe * 16, sqe * 16 + 16);
      // Reading it twice would show: only its first word, with the flags, stays.
      this.#sqes.fill(-1, sqe * 16 + 1, sqe * 16 + 16);
      this.#ring[SQ_HEAD] = head + 1;
      const opcode = words[0] & 0xff;
      // The engine turns a command cut off its chain into a NOP without a file.
      const cutOff = opcode === uapi.IORING_OP_NOP && words[1] === 0;
      const taken: Sqe = {
        opcode,
        linked: (words[0] >> 8 & uapi.IOSQE_IO_LINK) !== 0,
        flags: words[0] >>> 8 & 0xff,
        personality: words[10] >>> 16,
        fd: cutOff ? -1 : words[1],
        addr: new BigUint64Array(words.buffer)[2],
        low: words[8],
        high: words[9],
        call: this.calls.length,
      };
      this.taken.push(taken);
      if (cutOff) this.post(taken, 0);
      else this.react(taken);
    }
    return count;
  }

  #enter(call: Call): number {
    if (this.calls.push(call) > 5000) throw new Error("too many calls");
    if (this.closed) throw new Error("a ring was entered after it was closed");
    const answer = this.answer(call);
    if (answer !== undefined && answer <= 0) return answer;
    const { toSubmit, minComplete, flags } = call;
    let taken = Math.min(answer ?? toSubmit, this.offered);
    if (!this.sqpoll) {
      this.take(taken);
    } else {
      taken = toSubmit;
      if (flags & uapi.IORING_ENTER_SQ_WAKEUP) {
        this.#ring[SQ_FLAGS] &= ~uapi.IORING_SQ_NEED_WAKEUP;
        this.take();
      }
      // The thread takes what there is while the call waits for it.
      if (flags & uapi.IORING_ENTER_SQ_WAIT || minComplete > 0) this.take();
    }
    if (flags & uapi.IORING_ENTER_GETEVENTS) {
      this.#flush();
      const least = Math.min(minComplete, this.#cqEntries);
      for (let before = -1; this.posted < least; this.wait()) {
        // A test that posts nothing more has found a deadlock.
        if (this.posted === before) throw new Error("a call that never ends");
        before = this.posted;
      }
    }
    return taken;
  }

  #flush(): void {
    while (this.#backlog.length > 0 && this.posted < this.#cqEntries) {
      this.#backlog.shift()!();
    }
    if (this.#backlog.length > 0) return;
    this.#ring[SQ_FLAGS] &= ~uapi.IORING_SQ_CQ_OVERFLOW;
  }

  /** Signals the eventfd, which the engine registered with the real ring. */
  #signal(): void {
    const { sq, cq } = this.#signals;
    prepRw(sq, { opcode: uapi.IORING_OP_NOP });
    enter(this.#signals, { toSubmit: sq.publish() });
    while (cq.next());
    cq.commit();
  }

  /** Closes the engine, whose every call now fails with EBADF. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.answer = () => -E.EBADF;
    if (!this.closed) this.#ring[SQ_FLAGS] |= uapi.IORING_SQ_TASKRUN;
    const closed = this.engine.close();
    this.engine.schedule(); // It may be closing already.
    await closed;
  }
}

/** Makes a command that a test recognizes by its number. */
export function numbered(
  fd: number,
  rest: Partial<ConstructorParameters<typeof Command<unknown>>[0]> = {},
): Command<unknown> {
  const opcode = uapi.IORING_OP_URING_CMD;
  return new Command({ name: `number ${fd}`, opcode, file: fd, ...rest });
}

/** Lets a method throw once, as a stack overflow does at its start. */
export function throwOnce(object: object, name: string): void {
  const value = () => {
    Reflect.deleteProperty(object, name);
    throw new RangeError("cut short");
  };
  Object.defineProperty(object, name, { value, configurable: true });
}

/** Returns the numbers from `first` to `last`. */
export function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}
