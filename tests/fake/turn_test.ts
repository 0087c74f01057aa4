/** Turns of the engine: where they begin, and where they end. */

import { assert, assertEquals, assertLess } from "@std/assert";
import { stub } from "@std/testing/mock";
import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { reportedErrors } from "../kit/reported_errors.ts";
import { turn, until } from "../kit/wait.ts";
import { FakeKernel, numbered, Told } from "./fake.ts";

const { EAGAIN, EBUSY } = E;

/** The turn that an engine takes, to be taken whenever a test likes. */
function turnOf({ engine }: FakeKernel): () => void {
  let found: (() => void) | undefined;
  using _then = stub(Promise.prototype, "then", (turn) => {
    found = turn as () => void;
    return Promise.resolve() as Promise<never>;
  });
  engine.schedule();
  assert(found !== undefined);
  found(); // So that none is due.
  return found;
}

for (const where of ["a turn", "a batch"]) {
  Deno.test(`a turn does not begin in the middle of ${where}`, async () => {
    await using kernel = new FakeKernel();
    const takeTurn = turnOf(kernel);
    let calls = -1;
    let later: Told | undefined;
    // As it is when a decoder calls into Deno, which then runs microtasks.
    const nosy = numbered(1, {
      decode: () => {
        calls = kernel.calls.length;
        later = kernel.run(numbered(3));
        for (let i = 0; i < 10; i++) takeTurn();
        calls = kernel.calls.length - calls;
        return 1;
      },
    });
    if (where === "a batch") {
      assertEquals(kernel.batch([nosy, numbered(2)], true), [1, 0]);
    } else {
      kernel.run(nosy);
      kernel.run(numbered(2));
      await turn();
    }
    assertEquals(calls, 0);
    await until(() => later!.all.length > 0); // It was put off, and not lost.
    assertEquals(kernel.order, [1, 2, 3]);
  });
}

Deno.test("of many requests for a turn few look after it", async () => {
  await using kernel = new FakeKernel();
  let looks = 0;
  const { then } = Promise.prototype;
  {
    using _then = stub(Promise.prototype, "then", function (...args) {
      looks++;
      return then.apply(this, args) as Promise<never>;
    });
    for (let i = 0; i < 200; i++) kernel.engine.schedule();
  }
  await turn();
  // The turn itself, the first three requests, and each sixty-fourth.
  assertEquals(looks, 1 + 3 + 3);
});

Deno.test("a turn does not begin in the middle of a submission that reaps", async () => {
  await using kernel = new FakeKernel();
  const takeTurn = turnOf(kernel);
  kernel.react = kernel.keep;
  let calls = -1;
  const nosy = numbered(1, {
    decode: () => {
      const before = kernel.calls.length;
      for (let i = 0; i < 10; i++) takeTurn();
      calls = kernel.calls.length - before;
    },
  });
  const told = kernel.run(nosy);
  await turn();
  // The queue is full, and what has completed is in the way of its submission.
  for (let fd = 2; fd <= 5; fd++) kernel.run(numbered(fd));
  kernel.answer = () => {
    kernel.answer = () => undefined;
    kernel.finish(1);
    return -EBUSY;
  };
  kernel.run(numbered(6));
  assertEquals([told.all.length, calls], [1, 0]);
  await turn();
  assertEquals(kernel.order, [1, 2, 3, 4, 5, 6]);
});

Deno.test("a completion between the last look and the wait is found", async () => {
  await using kernel = new FakeKernel();
  kernel.react = () => {};
  const told = kernel.run(numbered(1));
  await turn();
  assertEquals([told.all, kernel.audible], [[], true]);
  kernel.post(kernel.taken[0], 5); // Signals the eventfd.
  await until(() => told.all.length === 1);
  assertEquals(kernel.engine.wakes, 1);
  // And one that does not: the eventfd was off when it came.
  const second = kernel.run(numbered(2));
  kernel.engine.schedule();
  const seen = Object.getOwnPropertyDescriptor(
    Object.getPrototypeOf(kernel.cq),
    "eventfd",
  )!;
  Object.defineProperty(kernel.cq, "eventfd", {
    set(on: boolean) {
      if (on && second.all.length === 0 && kernel.taken.length === 2) {
        kernel.slip(kernel.taken[1], 6);
      }
      seen.set!.call(kernel.cq, on);
    },
  });
  await until(() => second.all.length === 1);
  assertEquals(second.all, [6]);
});

Deno.test("a turn ends, however many commands its results queue", async () => {
  await using kernel = new FakeKernel();
  const takeTurn = turnOf(kernel);
  let left = 100_000;
  class Hungry extends Told {
    override value(): void {
      for (
        let i = 0;
        i < 2 && left > 0 && kernel.engine.queues.waiting.length < 50;
        i++
      ) {
        left--;
        kernel.start(numbered(1), this);
      }
    }
  }
  for (let i = 0; i < 20; i++) kernel.run(numbered(1), new Hungry());
  while (kernel.calls.length === 0) takeTurn(); // It is put off at first.
  assertLess(kernel.engine.queues.completions, 1000);
  left = 0;
  await until(() =>
    kernel.engine.queues.room.inFlight + kernel.engine.queues.waiting.length ===
      0
  );
});

Deno.test("commands that queue more do not starve the event loop", async () => {
  await using kernel = new FakeKernel();
  let on = true;
  let count = 0;
  class Endless extends Told {
    override value(): void {
      if (++count > 5_000_000) on = false;
      if (on) kernel.start(numbered(1), this);
    }
  }
  for (let i = 0; i < 20; i++) kernel.run(numbered(1), new Endless());
  let turns = 0;
  while (++turns < 5) await turn();
  assert(on, "the event loop had no turn");
  on = false;
  await until(() =>
    kernel.engine.queues.room.inFlight + kernel.engine.queues.waiting.length ===
      0
  );
});

Deno.test("reaping ends, although a stream posts as fast as the ring reads", async () => {
  await using kernel = new FakeKernel();
  const takeTurn = turnOf(kernel);
  kernel.react = () => {};
  const post = (flags = 0) => kernel.post(kernel.taken[0], 1, flags);
  let left = 500;
  const decode = () => {
    if (left-- > 0) post(left > 0 ? uapi.IORING_CQE_F_MORE : 0);
  };
  const told = kernel.run(numbered(1, { multishot: true, decode }));
  await kernel.pass();
  post(uapi.IORING_CQE_F_MORE);
  takeTurn();
  assertLess(told.all.length, 100);
  await until(() => told.all.at(-1) === "end");
});

Deno.test("reaping ends, however many completions arrive meanwhile", async () => {
  await using kernel = new FakeKernel();
  const takeTurn = turnOf(kernel);
  kernel.react = (sqe) => sqe.fd === 9 ? kernel.post(sqe, 0) : undefined;
  let count = 0;
  const more = numbered(1, {
    multishot: true,
    decode: () => {
      // A synchronous call looks for what has completed, of all commands.
      if (++count < 10_000) {
        kernel.post(kernel.taken[0], 1, uapi.IORING_CQE_F_MORE);
      }
      return 0;
    },
  });
  kernel.run(more);
  const peek = numbered(2, {
    multishot: true,
    decode: () => kernel.engine.sync.runOne(numbered(9)),
  });
  kernel.run(peek);
  await kernel.pass();
  kernel.post(kernel.taken[0], 1, uapi.IORING_CQE_F_MORE);
  kernel.post(kernel.taken[1], 1, uapi.IORING_CQE_F_MORE);
  takeTurn();
  assertLess(0, count);
  assertLess(count, 1000);
  await turn();
  count = 10_000;
});

for (const start of [-8, 0x7fff_fff8]) {
  const from = `0x${(start >>> 0).toString(16)}`;
  for (const hold of [false, true]) {
    Deno.test(`queues that start at ${from}${hold ? " and hold SQEs" : ""} lose nothing as they wrap`, async () => {
      await using kernel = new FakeKernel({ start, hold });
      using strays = reportedErrors();
      kernel.react = (sqe) => kernel.post(sqe, sqe.fd);
      const all: Told[] = [];
      for (let fd = 0; fd < 40; fd += 10) {
        for (let i = 0; i < 4; i++) all.push(kernel.run(numbered(fd + i)));
        const chain = [4, 5, 6].map((i) => numbered(fd + i));
        all.push(...kernel.link(chain));
        const batch = [7, 8, 9].map((i) => numbered(fd + i));
        assertEquals(kernel.batch(batch, hold), [7, 8, 9].map((i) => fd + i));
        await kernel.pass();
      }
      assertEquals(kernel.order, Array.from({ length: 40 }, (_, i) => i));
      assertEquals(
        all.map(({ all }) => all),
        kernel.order.filter((i) => i % 10 < 7).map((i) => [i]),
      );
      assertEquals([strays.errors, kernel.engine.queues.room.inFlight], [
        [],
        0,
      ]);
      assertEquals(kernel.posted, 0);
    });
  }
}

for (const generation of [0x7fff_ffff, -1, 0]) {
  Deno.test(`a completion of generation ${generation} settles no command of the next`, async () => {
    await using kernel = new FakeKernel();
    kernel.react = () => {};
    const slot = kernel.engine.queues.slots.take(numbered(1));
    slot.generation = generation;
    kernel.engine.queues.slots.give(slot);
    slot.generation = generation; // As if it had been given that often.
    const [first, second] = [1, 2].map(() => new Told());
    kernel.start(numbered(1), first);
    await kernel.pass();
    const [old] = kernel.taken;
    assertEquals([old.low, old.high], [slot.index, generation]);
    kernel.post(old, 5);
    await kernel.pass();
    kernel.start(numbered(2), second);
    await kernel.pass();
    using strays = reportedErrors();
    kernel.post(old, 6);
    await kernel.pass();
    assertEquals([first.all, second.all], [[5], []]);
    assertEquals(strays.errors.length, 1);
    kernel.post(kernel.taken[1], 7);
    await kernel.pass();
    assertEquals([first.all, second.all], [[5], [7]]);
  });
}

Deno.test("a submission that the kernel lacks memory for is retried in later turns", async () => {
  await using kernel = new FakeKernel();
  let refused = 0;
  kernel.answer = () => refused++ < 10 ? -EAGAIN : undefined;
  const told = kernel.run(numbered(1));
  await until(() => told.all.length === 1);
  assertEquals([kernel.order, refused], [[1], 11]);
});

Deno.test("a full queue is submitted at once", async () => {
  await using kernel = new FakeKernel();
  for (let fd = 1; fd <= 6; fd++) kernel.run(numbered(fd));
  assertEquals(kernel.order, [1, 2, 3, 4]);
});
