/** A ring that fails at any entry into the kernel settles each command once. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertThrows,
} from "@std/assert";
import { stub } from "@std/testing/mock";
import { Cancellation, Cancellations } from "../../ring/flight/cancel.ts";
import { scratchOperand } from "../../ring/operand.ts";
import { phaseOf } from "../../ring/flight/slot.ts";
import { UringError } from "../../ring/errors.ts";
import { take } from "../../ring/flight/pool.ts";
import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { ADDR } from "../kit/commands.ts";
import { reportedErrors } from "../kit/reported_errors.ts";
import { turn, until } from "../kit/wait.ts";
import {
  type Call,
  FakeKernel,
  numbered,
  range,
  type Shape,
  throwOnce,
  Told,
} from "./fake.ts";

const { EAGAIN, EBADF, EBADR, EBUSY, EINTR, ENOMEM, ENXIO } = E;

const { IORING_ENTER_GETEVENTS: GETEVENTS } = uapi;

/** A place where the engine enters the kernel, and what is under way there. */
interface Place {
  /** The kernel takes the command of a stream twice. */
  readonly goesOn?: true;
  readonly name: string;
  readonly shape?: Shape;
  /** The call that is meant. */
  readonly call: (call: Call) => boolean;
  /** Commands that never complete are those above 100. */
  readonly run: (kernel: FakeKernel) => Promise<Told[]> | Told[];
}

/** Runs a batch, and says how it ended as a command is told. */
function batch(kernel: FakeKernel, numbers: number[], slots = false): Told {
  const told = new Told();
  try {
    const commands = numbers.map((fd) => numbered(fd));
    told.all.push(kernel.batch(commands, slots).length);
  } catch (error) {
    told.all.push(error);
  }
  return told;
}

/** Queues a batch that is awaited, and says how it ended as a command is told. */
async function awaited(
  kernel: FakeKernel,
  numbers: number[],
  slots = false,
): Promise<Told[]> {
  const commands = numbers.map((fd) => numbered(fd));
  const { told } = kernel.startBatch(commands, slots);
  for (let i = 0; i < 6; i++) await kernel.pass();
  const all = new Told();
  all.all.push(...told);
  return [all];
}

const submits = ({ toSubmit }: Call) => toSubmit > 0;
const waits = ({ minComplete }: Call) => minComplete > 0;
const asks = ({ toSubmit, minComplete, flags }: Call) =>
  toSubmit === 0 && minComplete === 0 && flags === GETEVENTS;

const PLACES: readonly Place[] = [
  {
    name: "the submission of a turn",
    call: submits,
    async run(kernel) {
      const all = range(1, 3).map((fd) => kernel.run(numbered(fd)));
      await kernel.pass();
      return all;
    },
  },
  {
    name: "the submission of a full queue",
    call: submits,
    run: (kernel) =>
      range(1, 6).flatMap((fd) =>
        // A ring that has failed is asked for nothing more.
        kernel.engine.queues.failure ? [] : [kernel.run(numbered(fd))]
      ),
  },
  {
    name: "the submission for a chain",
    call: submits,
    run(kernel) {
      const all = range(1, 2).map((fd) => kernel.run(numbered(fd)));
      return [...all, ...kernel.link(range(3, 5).map((fd) => numbered(fd)))];
    },
  },
  {
    name: "the submission of a batch",
    call: submits,
    run: (kernel) => [batch(kernel, range(1, 3))],
  },
  {
    name: "the submission of a batch that is longer than the queue",
    call: submits,
    run: (kernel) => [batch(kernel, range(1, 20))],
  },
  {
    name: "the submission of a batch with slots",
    call: submits,
    run: (kernel) => [batch(kernel, range(1, 20), true)],
  },
  {
    name: "the submission of a batch that is awaited",
    call: submits,
    run: (kernel) => awaited(kernel, range(1, 20)),
  },
  {
    name: "the submission of a batch that is awaited, with slots",
    call: submits,
    run: (kernel) => awaited(kernel, range(1, 20), true),
  },
  {
    name: "the wait for a batch",
    shape: { flags: uapi.IORING_SETUP_DEFER_TASKRUN },
    call: waits,
    run(kernel) {
      const { react } = kernel;
      kernel.react = kernel.keep;
      kernel.wait = () => kernel.finish(Math.min(...kernel.kept.keys()));
      const told = batch(kernel, range(1, 6));
      kernel.react = react;
      return [told];
    },
  },
  {
    name: "a look for what the CQ has no room for",
    goesOn: true,
    shape: { cqEntries: 8 },
    call: asks,
    async run(kernel) {
      class End extends Told {
        override value(): void {}
      }
      const many = numbered(1, { multishot: true });
      const all = [kernel.run(many, new End())];
      kernel.react = kernel.keep;
      await kernel.pass();
      const more = uapi.IORING_CQE_F_MORE;
      for (let i = 0; i < 12; i++) kernel.finish(1, 7, more);
      kernel.finish(1, 7);
      // The stream goes on, because it may have ended for want of room.
      for (let i = 0; i < 3; i++) await kernel.pass();
      if (kernel.kept.has(1)) kernel.finish(1, 7);
      await kernel.pass();
      return all;
    },
  },
  {
    name: "the look of a ring that polls",
    shape: { flags: uapi.IORING_SETUP_IOPOLL },
    call: asks,
    async run(kernel) {
      kernel.react = kernel.keep;
      const all = [kernel.run(numbered(1))];
      await kernel.pass();
      for (let i = 0; i < 4; i++) await turn();
      if (kernel.kept.size > 0) kernel.finish(1);
      return all;
    },
  },
  {
    name: "the waking of a submission thread",
    shape: { flags: uapi.IORING_SETUP_SQPOLL },
    call: ({ flags }) => (flags & uapi.IORING_ENTER_SQ_WAKEUP) !== 0,
    async run(kernel) {
      kernel.sleep();
      const all = range(1, 3).map((fd) => kernel.run(numbered(fd)));
      await kernel.pass();
      return all;
    },
  },
  {
    name: "the waking of a submission thread for a batch",
    shape: { flags: uapi.IORING_SETUP_SQPOLL },
    call: ({ flags }) => (flags & uapi.IORING_ENTER_SQ_WAKEUP) !== 0,
    run(kernel) {
      kernel.sleep();
      return [batch(kernel, range(1, 3))];
    },
  },
];

/** Errors after which the ring retries. */
for (const place of PLACES) {
  for (
    const [name, errno] of Object.entries({ EINTR, EAGAIN, EBUSY })
  ) {
    Deno.test(`${name} at ${place.name}: each command settles once, with its result`, async () => {
      await using kernel = new FakeKernel(place.shape);
      using strays = reportedErrors();
      let refused = 0;
      kernel.answer = (call) => {
        if (!place.call(call) || refused === 3) return undefined;
        refused++;
        return -errno;
      };
      const all = await place.run(kernel);
      for (let i = 0; i < 5; i++) await kernel.pass();
      await until(() => all.every(({ all }) => all.length > 0));
      assertEquals(refused, 3, "it does not enter there");
      all.forEach(({ all }) => assertEquals(all.length, 1));
      all.forEach(({ all }) => assert(!(all[0] instanceof Error)));
      const order = place.goesOn ? [1, 1] : range(1, kernel.order.length);
      assertEquals(kernel.order, order);
      assertEquals(strays.errors, []);
      const { room: { inFlight }, waiting: { length: waiting } } =
        kernel.engine.queues;
      assertEquals([inFlight, waiting, kernel.posted], [0, 0, 0]);
    });
  }

  for (const [name, errno] of Object.entries({ ENOMEM, EBADR, EBADF, ENXIO })) {
    Deno.test(`${name} at ${place.name}: each command settles once, and close() ends`, async () => {
      await using kernel = new FakeKernel(place.shape);
      using strays = reportedErrors();
      const react = kernel.react;
      kernel.react = (sqe) => sqe.fd > 100 ? kernel.keep(sqe) : react(sqe);
      let met = false;
      kernel.answer = (call) => {
        if (!met && !place.call(call)) return undefined;
        met = true;
        return -errno;
      };
      const held = kernel.run(numbered(101));
      const all = [held, ...await place.run(kernel)];
      await kernel.pass();
      assert(met, "it does not enter there");
      for (const { all: [error, ...rest] } of all) {
        assertInstanceOf(error, UringError);
        assertEquals([error.code, error.op, ...rest], [name, "io_uring_enter"]);
      }
      assertInstanceOf(kernel.engine.queues.failure, UringError);
      assertEquals(kernel.engine.queues.failure.code, name);
      assertEquals(kernel.engine.queues.life, "failed");
      await kernel.engine.close();
      assert(kernel.closed);
      assertEquals(strays.errors, []);
      all.forEach(({ all }) => assertEquals(all.length, 1));
    });
  }
}

Deno.test("a failed ring reads no more completions, and keeps its memory", async () => {
  await using kernel = new FakeKernel();
  using strays = reportedErrors();
  kernel.react = kernel.keep;
  const operands = [scratchOperand(ADDR, 64)];
  const all = range(1, 3).map((fd) => kernel.run(numbered(fd, { operands })));
  all.push(...range(4, 9).map((fd) => kernel.run(numbered(fd))));
  await kernel.pass();
  const addresses = kernel.taken.slice(0, 3).map(({ addr }) => Number(addr));
  const { low, high } = kernel.taken[3];
  const { completions } = kernel.engine.queues;
  kernel.answer = () => {
    for (const fd of range(1, 4)) kernel.finish(fd, fd);
    return -ENOMEM;
  };
  kernel.engine.queues.aborts.abort(
    [...kernel.engine.queues.slots.busy()][0],
    "reason",
  );
  const { inFlight } = kernel.engine.queues.room;
  await kernel.pass();
  kernel.post({ low, high: high + 1 }, 0);
  for (let i = 0; i < 3; i++) await kernel.pass();
  all.forEach(({ all }) => assertEquals(all, [kernel.engine.queues.failure]));
  assertEquals([kernel.posted, kernel.engine.queues.completions], [
    5,
    completions,
  ]);
  assertEquals(kernel.engine.queues.room.inFlight, inFlight);
  const reused = range(1, 1000).map(() => take(64).address);
  assertEquals(addresses.some((each) => reused.includes(each)), false);
  assertEquals(strays.errors, []);
});

Deno.test("a ring that is cut short while it fails tells each command once", async () => {
  await using kernel = new FakeKernel();
  kernel.react = kernel.keep;
  const all = range(1, 3).map((fd) => kernel.run(numbered(fd)));
  await kernel.pass();
  throwOnce(all[1], "error");
  const { queues } = kernel.engine;
  assertThrows(() => queues.fail(ENOMEM), RangeError, "cut short");
  assertEquals(all.map((told) => told.all.length), [1, 0, 0]);
  await kernel.pass();
  const { failure } = queues;
  assertEquals(all.map((told) => told.all), all.map(() => [failure]));
});

Deno.test("a ring fails when the kernel has lost completions", async () => {
  await using kernel = new FakeKernel();
  kernel.react = kernel.keep;
  const told = kernel.run(numbered(1));
  await kernel.pass();
  kernel.lost = 1;
  await kernel.pass();
  assertEquals(kernel.engine.queues.failure?.code, "EBADR");
  assertEquals(told.all, [kernel.engine.queues.failure]);
});

Deno.test("a batch that its ring fails throws the error that its first commands had", async () => {
  await using kernel = new FakeKernel({ entries: 8 });
  kernel.react = (sqe) => {
    if (sqe.fd === 3) kernel.keep(sqe);
    else kernel.post(sqe, sqe.fd === 2 ? -5 : 0);
  };
  kernel.answer = ({ minComplete }) => minComplete > 0 ? -ENOMEM : undefined;
  const [error] = batch(kernel, range(1, 3)).all;
  assertInstanceOf(error, UringError);
  assertEquals([error.code, error.op], ["EIO", "number 2"]);
  assertEquals(kernel.engine.queues.failure?.code, "ENOMEM");
});

Deno.test("a command aborted while it waited does not fail with its ring as well", async () => {
  await using kernel = new FakeKernel();
  kernel.react = kernel.keep;
  for (const fd of range(1, 6)) kernel.run(numbered(fd));
  await kernel.pass();
  const told = new Told();
  const slot = kernel.start(numbered(7), told);
  assertEquals(phaseOf(slot), "waiting");
  kernel.engine.queues.aborts.abort(slot, "reason");
  kernel.engine.queues.fail(ENOMEM);
  assertEquals([told.all, kernel.engine.queues.life], [["reason"], "failed"]);
});

for (const waiting of [false, true]) {
  Deno.test(`a ring that fails while it closes${waiting ? ", with cancellations in line," : ""} has closed`, async () => {
    await using kernel = new FakeKernel({ cqEntries: 64 });
    kernel.react = kernel.keep;
    const all = range(1, 9).map((fd) => kernel.run(numbered(fd)));
    await kernel.pass();
    if (waiting) kernel.answer = () => -EAGAIN;
    const closed = kernel.engine.close();
    kernel.answer = () => -EBADF;
    await closed;
    await turn();
    assert(kernel.closed);
    for (const { all: [error, ...rest] } of all) {
      assertEquals([error, rest], [kernel.engine.queues.failure, []]);
    }
  });
}

Deno.test("a ring that fails among completions that are in the way is entered no more", async () => {
  await using kernel = new FakeKernel();
  kernel.react = kernel.keep;
  const failing = numbered(1, {
    decode: () => {
      kernel.answer = () => -ENOMEM;
      kernel.engine.sync.runOne(numbered(3));
    },
  });
  kernel.run(failing);
  await kernel.pass();
  const told = kernel.run(numbered(2));
  kernel.answer = () => {
    kernel.finish(1);
    return -EBUSY;
  };
  const before = kernel.calls.length;
  await kernel.pass();
  assertEquals(kernel.calls.length - before, 2);
  assertEquals(told.all, [kernel.engine.queues.failure]);
});

Deno.test("a decoder that closes a ring, which fails at it, has its queues until it returns", async () => {
  await using kernel = new FakeKernel({ cqEntries: 32 });
  kernel.react = kernel.keep;
  let closed: Promise<void> | undefined;
  let early = false;
  const closing = numbered(1, {
    decode: () => {
      // The queue is full, and the first cancellation submits it.
      for (const fd of range(2, 5)) kernel.run(numbered(fd));
      kernel.answer = () => -ENOMEM;
      closed = kernel.engine.close();
      early = kernel.closed;
    },
  });
  const told = kernel.run(closing);
  await kernel.pass();
  kernel.finish(1);
  await kernel.pass();
  await closed;
  assertEquals([early, kernel.closed, told.all.length], [false, true, 1]);
});

Deno.test("a retry whose timer the stack had no room for is made when the completion is delivered again", async () => {
  const retried = Promise.withResolvers<number>();
  const cancellations = new Cancellations({
    inFlight: () => true,
    retry: (low) => retried.resolve(low),
  });
  const missed = new Cancellation(cancellations, 7, 1);
  {
    using _full = stub(globalThis, "setTimeout", () => {
      throw new RangeError("the stack is full");
    });
    assertThrows(() => cancellations.missed(missed), RangeError);
  }
  cancellations.missed(missed);
  using _alive = alive(); // The timer of a retry does not keep the process alive.
  assertEquals(await retried.promise, 7);
});

/** Keeps the process alive. */
function alive(): Disposable {
  const timer = setInterval(() => {}, 1000);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
