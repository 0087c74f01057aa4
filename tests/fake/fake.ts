/**
 * A ring over plain arrays, and an engine on it: the test is the kernel, and
 * says what happens when.
 *
 * Only what makes the event loop turn is real: a small ring, which signals the
 * eventfd that the engine waits for.
 */

import { Command } from "../../ring/command.ts";
import { CompletionQueue } from "../../ring/bare/cqueue.ts";
import { Engine } from "../../ring/loop/engine.ts";
import { link, type Receiver, type Slot } from "../../ring/flight/slot.ts";
import { enter, prepRw, type RingHandle, setup } from "../../ring/raw.ts";
import { SubmissionQueue } from "../../ring/bare/squeue.ts";
import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { turn } from "../kit/wait.ts";

const { EBADF, ECANCELED, ENOENT } = E;

/** Where the shared words are: the CQEs begin at the last of them. */
const [SQ_HEAD, SQ_TAIL, SQ_FLAGS] = [0, 1, 2];
const [CQ_HEAD, CQ_TAIL, CQ_FLAGS, CQ_LOST, CQES] = [3, 4, 5, 6, 8];

/** What the kernel has read of an SQE. */
export interface Sqe {
  readonly opcode: number;
  readonly linked: boolean;
  /** Which of a test's commands it is. */
  readonly fd: number;
  /** For a cancellation: the `user_data` of its target. */
  readonly addr: bigint;
  readonly low: number;
  readonly high: number;
  /** Which call has taken it. */
  readonly call: number;
}

/** A call of io_uring_enter(). */
export interface Call {
  readonly toSubmit: number;
  readonly minComplete: number;
  readonly flags: number;
}

/** What a command was told, in order. */
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

export interface Shape {
  entries?: number;
  cqEntries?: number;
  /** `IORING_SETUP_` bits. */
  flags?: number;
  /** Where head and tail of both queues start. */
  start?: number;
  hold?: boolean;
}

/** `user_data` as a cancellation names it. */
export function userData({ low, high }: { low: number; high: number }): bigint {
  return BigInt(high >>> 0) << 32n | BigInt(low >>> 0);
}

export class FakeKernel implements AsyncDisposable {
  readonly engine: Engine;
  readonly cq: CompletionQueue;
  /** SQEs, as they were taken. */
  readonly taken: Sqe[] = [];
  readonly calls: Call[] = [];
  readonly sqpoll: boolean;
  readonly hold: boolean;
  closed = false;

  /** The answer to a call, if the kernel has another than it should. */
  answer: (call: Call) => number | undefined = () => undefined;
  /** What becomes of an SQE once it was taken. */
  react: (sqe: Sqe) => void = (sqe) => this.post(sqe, 0);
  /** What happens while a call waits: once more, as long as it waits. */
  wait: () => void = () => {};

  readonly #ring: Int32Array<ArrayBuffer>;
  readonly #sqes: Int32Array<ArrayBuffer>;
  readonly #entries: number;
  readonly #cqEntries: number;
  readonly #array: number;
  readonly #signals: RingHandle = setup({ entries: 1 });
  /** Completions that the CQ has no room for. */
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

  /** Commands that were taken and have not completed, by their numbers. */
  readonly kept = new Map<number, Sqe>();

  /** A reaction: nothing completes by itself, but for what is cancelled. */
  readonly keep = (sqe: Sqe): void => {
    if (sqe.opcode !== uapi.IORING_OP_ASYNC_CANCEL) {
      this.kept.set(sqe.fd, sqe);
      return;
    }
    const target = [...this.kept.values()].find((each) =>
      userData(each) === sqe.addr
    );
    if (target !== undefined) this.finish(target.fd, -ECANCELED);
    this.post(sqe, target === undefined ? -ENOENT : 0);
  };

  /** Completes a command that was kept, or goes on with it. */
  finish(fd: number, res = 0, flags = 0): void {
    const sqe = this.kept.get(fd);
    if (sqe === undefined) throw new Error(`number ${fd} is not in the kernel`);
    if ((flags & uapi.IORING_CQE_F_MORE) === 0) this.kept.delete(fd);
    this.post(sqe, res, flags);
  }

  // ---- The program -----------------------------------------------------------

  /** Queues a command, and says what it is told. */
  run(command: Command<unknown>, receiver: Told = new Told()): Told {
    this.start(command, receiver);
    return receiver;
  }

  /** The same, for the slot it has. */
  start(command: Command<unknown>, receiver: Receiver = new Told()): Slot {
    const slot = this.engine.queues.slots.take(command);
    slot.receiver = receiver;
    this.engine.queues.enqueue(slot);
    this.engine.schedule();
    return slot;
  }

  /** Queues a chain, and says what each command of it is told. */
  link(commands: readonly Command<unknown>[]): Told[] {
    const slots = commands.map((each) => this.engine.queues.slots.take(each));
    link(slots);
    const all = slots.map((slot) => slot.receiver = new Told());
    this.engine.queues.enqueue(slots[0]);
    this.engine.schedule();
    return all;
  }

  /** Runs a batch, whose commands have slots or stand for themselves. */
  batch(commands: readonly Command<unknown>[], slots = false): unknown[] {
    this.engine.sync.enter();
    const direct = commands.every((each) => this.engine.sync.isDirect(each));
    const taken = slots || !direct
      ? commands.map((each) => this.engine.queues.slots.take(each))
      : null;
    return this.engine.sync.run([...commands], taken);
  }

  /** Has the engine take a turn, and the event loop too. */
  pass(): Promise<void> {
    this.engine.schedule();
    return turn();
  }

  // ---- The kernel ------------------------------------------------------------

  /** The numbers of the commands that were taken. */
  get order(): number[] {
    return this.taken.map(({ fd }) => fd);
  }

  /** Posts a completion, or keeps it until there is room. */
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

  /** Posts without a sound, as if the eventfd had been off for that moment. */
  slip(to: { low: number; high: number }, res: number): void {
    const before = this.#ring[CQ_FLAGS];
    this.#ring[CQ_FLAGS] |= uapi.IORING_CQ_EVENTFD_DISABLED;
    this.post(to, res);
    this.#ring[CQ_FLAGS] = before;
  }

  /** Whether a completion signals the eventfd. */
  get audible(): boolean {
    return (this.#ring[CQ_FLAGS] & uapi.IORING_CQ_EVENTFD_DISABLED) === 0;
  }

  /** Completions that were not given back to the kernel. */
  get posted(): number {
    return this.#ring[CQ_TAIL] - this.#ring[CQ_HEAD] | 0;
  }

  /** SQEs that were published and not taken. */
  get offered(): number {
    return this.#ring[SQ_TAIL] - this.#ring[SQ_HEAD] | 0;
  }

  /** Completions that were lost for want of memory. */
  set lost(count: number) {
    this.#ring[CQ_LOST] = count;
  }

  /** The submission thread goes to sleep. */
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
      // It is read once; its flags say where a chain was cut.
      this.#sqes.fill(-1, sqe * 16 + 1, sqe * 16 + 16);
      this.#ring[SQ_HEAD] = head + 1;
      const opcode = words[0] & 0xff;
      // What was cut off a chain is a no-op on no file; no command of a test is.
      const cutOff = opcode === uapi.IORING_OP_NOP && words[1] === 0;
      const taken: Sqe = {
        opcode,
        linked: (words[0] >> 8 & uapi.IOSQE_IO_LINK) !== 0,
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
    if (this.calls.push(call) > 5000) throw new Error("a call without end");
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
        // A test that has nothing more to post has found a deadlock.
        if (this.posted === before) throw new Error("a call waits for ever");
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

  /** Signals the eventfd, which the engine has given to the real ring. */
  #signal(): void {
    const { sq, cq } = this.#signals;
    prepRw(sq, { opcode: uapi.IORING_OP_NOP });
    enter(this.#signals, { toSubmit: sq.publish() });
    while (cq.next());
    cq.commit();
  }

  /** The end, whatever is under way: the kernel has gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.answer = () => -EBADF;
    if (!this.closed) this.#ring[SQ_FLAGS] |= uapi.IORING_SQ_TASKRUN;
    const closed = this.engine.close();
    this.engine.schedule(); // It may be closing already.
    await closed;
  }
}

/** A command that a test tells from others by its number. */
export function numbered(
  fd: number,
  rest: Partial<ConstructorParameters<typeof Command<unknown>>[0]> = {},
): Command<unknown> {
  const opcode = uapi.IORING_OP_URING_CMD;
  return new Command({ name: `number ${fd}`, opcode, file: fd, ...rest });
}
