/** Random histories of a ring, on a fake kernel that may answer in any allowed way. */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Slot } from "../../ring/flight/slot.ts";
import { phaseOf } from "../../ring/flight/slot.ts";
import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { reportedErrors } from "../kit/reported_errors.ts";
import { turn } from "../kit/wait.ts";
import {
  FakeKernel,
  numbered,
  type Shape,
  type Sqe,
  type Started,
  Told,
} from "./fake.ts";

const { EAGAIN, EBADF, EBUSY, EINTR } = E;

/** Something that happens: what, and a number that says more. */
type Step = readonly [what: keyof typeof STEPS, n: number];

/** Told at its end only. */
class End extends Told {
  override value(): void {}
}

class History {
  readonly kernel: FakeKernel;
  /** What each command was told, by its number. */
  readonly told: Told[] = [];
  readonly slots = new Map<number, Slot>();
  /** Commands that were dropped while they waited, and so never taken. */
  readonly dropped = new Set<number>();
  /** Commands that were aborted in a decoder. */
  readonly aborted = new Set<number>();
  readonly chains: number[][] = [];
  readonly batches: (Started & { fds: number[] })[] = [];
  /** Whether decoders run commands, which then may come before others. */
  readonly nested: boolean;
  #depth = 0;

  constructor(shape: Shape, nested: boolean) {
    this.kernel = new FakeKernel(shape);
    this.nested = nested;
    this.kernel.react = (sqe) => this.#react(sqe);
    this.kernel.wait = () => this.complete(0);
  }

  #react(sqe: Sqe): void {
    if (sqe.opcode === uapi.IORING_OP_ASYNC_CANCEL || sqe.fd % 3 > 0) {
      return this.kernel.keep(sqe);
    }
    this.kernel.post(sqe, sqe.fd);
  }

  /** A command with the next number, and a decoder if `n` says so. */
  make(n: number) {
    const fd = this.told.length;
    this.told.push(new Told());
    const decode = this.nested && n % 4 > 0
      ? () => this.#decode(n, fd)
      : undefined;
    return numbered(fd, { decode, completions: n % 5 === 4 ? 2 : 1 });
  }

  #decode(n: number, fd: number): number {
    if (this.#depth > 3) return fd;
    this.#depth++;
    if (n % 4 === 1) this.run(0);
    if (n % 4 === 2) this.abort(n >> 2);
    if (n % 4 === 3) this.link(n >> 2 & 3);
    this.#depth--;
    return fd;
  }

  /** Whether commands may be queued: after that, a ring refuses them itself. */
  get #open(): boolean {
    return this.kernel.engine.queues.life === "open";
  }

  run(n: number): void {
    if (!this.#open) return;
    const command = this.make(n);
    const slot = this.kernel.start(command, this.told[command.fd]);
    this.slots.set(command.fd, slot);
  }

  stream(): void {
    if (!this.#open) return;
    const command = numbered(this.told.length, { multishot: true });
    const end = new End();
    this.told.push(end);
    this.slots.set(command.fd, this.kernel.start(command, end));
  }

  link(n: number): void {
    if (!this.#open) return;
    const commands = Array.from({ length: 1 + n % 3 }, () => this.make(0));
    if (!this.kernel.engine.queues.room.holds(commands)) {
      for (const { fd } of commands) this.#drop(fd);
      return;
    }
    const told = this.kernel.link(commands);
    commands.forEach(({ fd }, i) => this.told[fd] = told[i]);
    this.chains.push(commands.map(({ fd }) => fd));
  }

  #drop(fd: number): void {
    this.told[fd].all.push("dropped");
    this.dropped.add(fd);
  }

  /** Makes the commands of a batch, which have slots if `n` is odd. */
  #batchOf(n: number) {
    const slots = n % 2 === 1;
    const commands = Array.from(
      { length: 1 + n },
      (_, i) => this.make(slots ? i : 0),
    );
    return { commands, slots, fds: commands.map(({ fd }) => fd) };
  }

  batch(n: number): void {
    if (!this.#open) return;
    const { commands, slots, fds } = this.#batchOf(n);
    try {
      assertEquals(this.kernel.batch(commands, slots), fds);
    } catch (error) {
      // Nothing but the end of the ring, which its commands are told of at once.
      if (this.#open) throw error;
      for (const fd of fds) this.dropped.add(fd);
    }
    for (const fd of fds) this.told[fd].all.push(fd);
  }

  /** Queues a batch that is awaited. */
  all(n: number): void {
    if (!this.#open) return;
    const { commands, slots, fds } = this.#batchOf(n);
    const started = this.kernel.startBatch(commands, slots);
    this.batches.push({ ...started, fds });
  }

  /** Aborts a batch that is awaited, if there is any. */
  abortAll(n: number): void {
    const under = this.batches.filter(({ batch }) => batch.left > 0);
    if (under.length === 0) return;
    const { batch, fds } = under[n % under.length];
    for (const fd of fds.slice(batch.rest)) this.dropped.add(fd);
    this.kernel.engine.queues.aborts.abort(batch, "reason");
  }

  abort(n: number): void {
    const under = [...this.slots].filter(([fd, slot]) =>
      slot.command?.fd === fd && this.told[fd].all.length === 0
    );
    if (under.length === 0) return;
    const [fd, slot] = under[n % under.length];
    // In a decoder it is only noted: the command may still be taken.
    if (this.#depth > 0) this.aborted.add(fd);
    else if (phaseOf(slot) === "waiting") this.dropped.add(fd);
    this.kernel.engine.queues.aborts.abort(slot, "reason");
  }

  /** Completes one of the commands in the kernel, if there is any. */
  complete(n: number, flags = 0): void {
    const kept = [...this.kernel.kept.keys()];
    if (kept.length === 0) return;
    const fd = kept[n % kept.length];
    // A command that a batch stands for completes once.
    const once = this.kernel.kept.get(fd)!.low < 0;
    this.kernel.finish(fd, fd, once ? 0 : flags);
  }

  /** Has the next calls answered so. */
  trouble(errno: number, n: number): void {
    let left = n;
    this.kernel.answer = ({ toSubmit }) => {
      if (left-- > 0) return errno === 0 && toSubmit > 1 ? 1 : -errno;
      this.kernel.answer = () => undefined;
    };
  }

  /** Lets all come to its end, and compares. */
  async end(how: (typeof ENDS)[number]): Promise<void> {
    const { kernel, told } = this;
    const { engine } = kernel;
    kernel.answer = () => how === "fails" ? -EBADF : undefined;
    const closed = how === "is over" ? undefined : engine.close();
    for (let i = 0; !kernel.closed && this.#busy; i++) {
      if (kernel.sqpoll && i % 2 === 1) kernel.take();
      // A held SQE is free for a cancellation when its command is over.
      if (how !== "is closed" || kernel.hold) this.complete(i);
      await kernel.pass();
      assert(i < 1000, "it does not end");
    }
    await (closed ?? engine.close());
    assert(kernel.closed);
    await turn();
    for (const { fds, told: [end, ...more] } of this.batches) {
      assertEquals(more, []);
      fds.forEach((fd, i) => {
        if (Array.isArray(end)) assertEquals(end[i], fd);
        told[fd].all.push(end);
      });
    }
    assertEquals(told.map(({ all }) => all.length), told.map(() => 1));
    this.#compare(how === "is over");
    if (engine.queues.failure === null) {
      assertEquals([...engine.queues.slots.busy()], []);
    }
  }

  /** A short submit has cut a chain before this command, which did not run. */
  #cutOff(fd: number, opcode: number): void {
    assertEquals(opcode, uapi.IORING_OP_NOP);
    this.dropped.add(fd);
  }

  get #busy(): boolean {
    return this.kernel.engine.queues.room.inFlight +
        this.kernel.engine.queues.waiting.length > 0;
  }

  /** Compares what the kernel has taken with what was queued. */
  #compare(complete: boolean): void {
    const { kernel, told } = this;
    const fds = kernel.order.filter((fd) => fd >= 0);
    assertEquals(new Set(fds).size, fds.length, "a command was taken twice");
    if (!this.nested) assertEquals(fds, fds.toSorted((a, b) => a - b));
    for (const chain of this.chains) {
      const at = kernel.taken.findIndex(({ fd }) => fd === chain[0]);
      if (at < 0) continue;
      const taken = kernel.taken.slice(at, at + chain.length);
      // A ring may fail when the kernel has taken a part of it.
      if (complete) assertEquals(taken.length, chain.length);
      let cut = false;
      taken.forEach(({ opcode, fd, linked }, i) => {
        cut ||= opcode === uapi.IORING_OP_NOP;
        if (cut) this.#cutOff(chain[i], opcode);
        else assertEquals(fd, chain[i]);
        assertEquals(linked, i < chain.length - 1);
      });
    }
    if (!complete) return;
    const missing = told.flatMap((_, fd) => fds.includes(fd) ? [] : [fd]);
    const dropped = missing.filter((fd) =>
      this.dropped.has(fd) || this.aborted.has(fd)
    );
    assertEquals(missing, dropped);
    for (const fd of this.dropped) assert(!fds.includes(fd));
  }
}

/** How a history ends. */
const ENDS = ["is over", "is closed", "fails"] as const;

const MORE = uapi.IORING_CQE_F_MORE;
const STEPS = {
  run: (history: History, n: number) => history.run(n),
  stream: (history: History) => history.stream(),
  link: (history: History, n: number) => history.link(n),
  batch: (history: History, n: number) => history.batch(n),
  all: (history: History, n: number) => history.all(n),
  abort: (history: History, n: number) => history.abort(n),
  abortAll: (history: History, n: number) => history.abortAll(n),
  complete: (history: History, n: number) => history.complete(n),
  more: (history: History, n: number) => history.complete(n, MORE),
  again: (history: History, n: number) => history.trouble(EAGAIN, n),
  busy: (history: History, n: number) => history.trouble(EBUSY, n),
  interrupted: (history: History, n: number) => history.trouble(EINTR, n),
  short: (history: History, n: number) => history.trouble(0, n),
  /** What a submission thread does by itself. */
  take: ({ kernel }: History) => void (kernel.sqpoll && kernel.take()),
  pass: (history: History) => history.kernel.pass(),
};

const steps: fc.Arbitrary<Step> = fc.tuple(
  fc.constantFrom(
    ...Object.keys(STEPS) as (keyof typeof STEPS)[],
    "run",
    "run",
    "run",
    "pass",
    "pass",
  ),
  fc.nat(11),
);

const shapes: fc.Arbitrary<Shape> = fc.record({
  entries: fc.constantFrom(1, 2, 4, 8),
  cqEntries: fc.constantFrom(8, 16),
  start: fc.constantFrom(0, -3, 0x7fff_fffd),
  hold: fc.boolean(),
  flags: fc.constantFrom(
    0,
    uapi.IORING_SETUP_DEFER_TASKRUN,
    uapi.IORING_SETUP_SQPOLL,
  ),
});

for (const nested of [false, true]) {
  const what = nested
    ? "with decoders that queue and abort commands"
    : "in order";

  Deno.test(`each command runs and settles once in any history, ${what}`, async () => {
    await fc.assert(
      fc.asyncProperty(
        shapes,
        fc.array(steps, { maxLength: 40 }),
        fc.constantFrom(...ENDS),
        async (shape, all, how) => {
          using strays = reportedErrors();
          const history = new History(shape, nested);
          for (const [what, n] of all) await STEPS[what](history, n);
          await history.end(how);
          assertEquals(strays.errors, []);
        },
      ),
      { numRuns: 300 },
    );
  });
}
