/** Batches that are awaited, in orders that a real kernel produces only at random. */

import {
  assertEquals,
  assertInstanceOf,
  assertLess,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { stub } from "@std/testing/mock";
import { arenaOf } from "../../sys/arena.ts";
import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { alloc } from "../../ring/alloc.ts";
import { chainAdvice, UringError } from "../../ring/errors.ts";
import { operand } from "../../ring/operand.ts";
import { Batch, DIRECT } from "../../ring/flight/batch.ts";
import { Batches } from "../../ring/flight/batches.ts";
import { ADDR } from "../kit/commands.ts";
import { reportedErrors } from "../kit/reported_errors.ts";
import { until } from "../kit/wait.ts";
import {
  FakeKernel,
  numbered,
  range,
  type Shape,
  type Started,
  throwOnce,
  userData,
} from "./fake.ts";

const { ECANCELED, EIO, ENOENT, ENOMEM } = E;
const { IORING_OP_ASYNC_CANCEL: CANCEL } = uapi;

/** Commands in flight that a fake with 8 CQEs has room for. */
const ROOM = 6;

/** A kernel whose commands complete when the test says so. */
function patient(shape: Shape = {}): FakeKernel {
  const kernel = new FakeKernel(shape);
  kernel.react = kernel.keep;
  return kernel;
}

const commands = (first: number, last: number) =>
  range(first, last).map((fd) => numbered(fd));

/** Returns the outcomes that a failed batch tells of: values and reasons. */
function outcomesOf({ told: [error] }: Started): unknown[] {
  const { results } = error as { results: PromiseSettledResult<unknown>[] };
  return results.map((it) => it.status === "fulfilled" ? it.value : it.reason);
}

/** Lets all that is in the kernel complete, the last first, until none waits. */
async function finishAll(kernel: FakeKernel): Promise<void> {
  const { room, waiting } = kernel.engine.queues;
  for (let i = 0; room.inFlight + waiting.length > 0; i++) {
    const fd = [...kernel.kept.keys()].at(-1);
    if (fd !== undefined) kernel.finish(fd, fd);
    if (kernel.sqpoll) kernel.take();
    await kernel.pass();
    if (i === 1000) throw new Error("it does not end");
  }
  await kernel.pass();
}

// ---- The table -----------------------------------------------------------------

/** Adds a new batch to a table. */
function addTo(batches: Batches): Batch {
  const batch = new Batch({ ended: null }, [], false);
  batches.add(batch);
  return batch;
}

Deno.test("each of many batches is found by its number, and no other number finds one", () => {
  const batches = new Batches();
  const all = range(1, 1000).map(() => addTo(batches));
  assertEquals(new Set(all.map(({ number }) => number)).size, 1000);
  for (const batch of all) {
    assertStrictEquals(batches.find(batch.number), batch);
  }
  assertEquals(batches.find(all.at(-1)!.number + 1), null);
  // Some stay, and others come and go around them.
  const stay = all.filter((_, i) => i % 97 === 0 || i % 89 < 3);
  for (const batch of all) if (!stay.includes(batch)) batches.remove(batch);
  for (let i = 0; i < 5000; i++) {
    const batch = addTo(batches);
    assertStrictEquals(batches.find(batch.number), batch);
    batches.remove(batch);
    batches.remove(batch); // It is no longer there.
    assertEquals(batches.find(batch.number), null);
  }
  for (const batch of stay) {
    assertStrictEquals(batches.find(batch.number), batch);
  }
  assertEquals(new Set(batches.all()), new Set(stay));
});

Deno.test("a batch that is removed again leaves the one that has its place by then", () => {
  const batches = new Batches();
  const first = addTo(batches);
  batches.remove(first);
  // They come and go, until one has the place that was the first one's.
  for (let i = 1; i < 8; i++) batches.remove(addTo(batches));
  const last = addTo(batches);
  batches.remove(first);
  assertStrictEquals(batches.find(last.number), last);
});

// ---- Order ---------------------------------------------------------------------

const SHAPES: Readonly<Record<string, Shape>> = {
  "": {},
  "of one entry": { entries: 1 },
  "with a submission thread": { flags: 2 },
  "that holds SQEs": { hold: true, entries: 8 },
};

for (const [name, shape] of Object.entries(SHAPES)) {
  for (const slots of [false, true]) {
    const kind = slots ? "with slots" : "without slots";

    Deno.test(`a batch ${kind} keeps its place among others, on a ring ${name}`, async () => {
      await using kernel = patient(shape);
      kernel.run(numbered(1));
      const first = kernel.startBatch(commands(2, 20), slots);
      const one = kernel.run(numbered(21));
      const second = kernel.startBatch(commands(22, 23), slots);
      const third = kernel.startBatch(commands(24, 60), slots);
      const last = kernel.run(numbered(61));
      await finishAll(kernel);
      assertEquals(kernel.order, range(1, 61));
      assertEquals(first.told, [range(2, 20)]);
      assertEquals(second.told, [range(22, 23)]);
      assertEquals(third.told, [range(24, 60)]);
      assertEquals([one.all, last.all], [[21], [61]]);
    });
  }
}

Deno.test("commands with and without slots of one batch keep their order", async () => {
  await using kernel = patient();
  const mixed = range(1, 40).map((fd) =>
    numbered(fd, fd % 3 === 0 ? { decode: ({ res }) => -res } : {})
  );
  const { told } = kernel.startBatch(mixed);
  await finishAll(kernel);
  assertEquals(kernel.order, range(1, 40));
  assertEquals(told, [range(1, 40).map((fd) => fd % 3 === 0 ? -fd : fd)]);
});

Deno.test("ten thousand commands that wait take no slots", async () => {
  await using kernel = patient();
  const { told } = kernel.startBatch(Array(10_000).fill(numbered(1)));
  const { slots, waiting, room } = kernel.engine.queues;
  assertEquals([...slots.busy()], []);
  assertEquals(room.inFlight + waiting.length, 10_000);
  kernel.react = (sqe) => kernel.post(sqe, 7);
  for (const { low, high } of [...kernel.taken]) kernel.post({ low, high }, 7);
  await until(() => told.length > 0);
  assertEquals(told, [Array(10_000).fill(7)]);
});

Deno.test("a synchronous batch comes after a batch that waits", async () => {
  await using kernel = patient();
  const { told } = kernel.startBatch(commands(1, 20));
  kernel.wait = () => {
    const fd = Math.min(...kernel.kept.keys());
    kernel.finish(fd, fd);
  };
  assertEquals(kernel.batch(commands(21, 40)), range(21, 40));
  assertEquals(kernel.order, range(1, 40));
  await kernel.pass();
  assertEquals(told, [range(1, 20)]);
});

Deno.test("a synchronous batch runs although a batch before it never ends", async () => {
  await using kernel = patient();
  const { batch, told } = kernel.startBatch(commands(1, 12));
  await kernel.pass();
  assertEquals(kernel.order, range(1, ROOM));
  kernel.react = (sqe) => sqe.fd > 12 ? kernel.post(sqe, 0) : kernel.keep(sqe);
  for (const slots of [false, true]) {
    assertEquals(kernel.batch(commands(13, 15), slots), [0, 0, 0]);
  }
  assertEquals(kernel.order, [...range(1, 15), ...range(13, 15)]);
  assertEquals([batch.left, told], [12, []]);
  for (const fd of range(1, 12)) kernel.finish(fd);
  await kernel.pass();
  assertEquals(told, [Array(12).fill(0)]);
});

Deno.test("a batch settles among others in the order of their last completions", async () => {
  await using kernel = patient({ cqEntries: 32 });
  const order: unknown[] = [];
  const note = (what: string) => () => void order.push(what);
  const one = kernel.startBatch(commands(1, 2)).batch;
  const two = kernel.startBatch(commands(3, 4), true).batch;
  for (const [batch, name] of [[one, "one"], [two, "two"]] as const) {
    batch.resolve = note(name);
  }
  kernel.start(numbered(5), { value: note("5"), error() {}, end() {} });
  kernel.start(numbered(6), { value: note("6"), error() {}, end() {} });
  await kernel.pass();
  for (const fd of [1, 5, 3, 4, 6, 2]) kernel.finish(fd);
  await kernel.pass();
  assertEquals(order, ["5", "two", "6", "one"]);
});

Deno.test("a then that results inherit may only queue", async () => {
  await using kernel = patient();
  const { told } = kernel.startBatch(commands(1, 2));
  await kernel.pass();
  let error: unknown;
  let calls = -1;
  const then = () => {
    Reflect.deleteProperty(Array.prototype, "then");
    error = assertThrows(() => kernel.batch([numbered(3)]));
    const before = kernel.calls.length;
    for (const fd of range(4, 9)) kernel.run(numbered(fd));
    calls = kernel.calls.length - before;
  };
  for (const fd of [1, 2]) kernel.finish(fd, fd);
  Object.defineProperty(Array.prototype, "then", {
    get: then,
    configurable: true,
  });
  kernel.engine.queues.reapPosted();
  await kernel.pass();
  assertEquals([told, calls], [[[1, 2]], 0]);
  assertInstanceOf(error, TypeError);
  await finishAll(kernel);
  assertEquals(kernel.order, [1, 2, ...range(4, 9)]);
});

// ---- Aborting ------------------------------------------------------------------

for (const slots of [false, true]) {
  const kind = slots ? "with slots" : "without slots";

  Deno.test(`what waits of an aborted batch ${kind} settles at once, and the rest is cancelled first of all`, async () => {
    await using kernel = patient({ entries: 8 });
    const before = kernel.run(numbered(1));
    const started = kernel.startBatch(commands(2, 20), slots);
    const after = kernel.run(numbered(21));
    await kernel.pass();
    const { queues } = kernel.engine;
    queues.aborts.abort(started.batch, "reason");
    // Only five of them are in flight.
    assertEquals([started.batch.left, queues.waiting.length], [5, 1]);
    queues.aborts.abort(started.batch, "another");
    for (let i = 0; i < 4; i++) await kernel.pass();
    assertEquals(started.told, ["reason"]);
    const cancels = kernel.taken.filter(({ opcode }) => opcode === CANCEL);
    assertEquals(cancels.length, 5);
    const taken = kernel.taken.map(({ fd }) => fd);
    assertEquals(taken.indexOf(21), taken.length - 1);
    assertEquals(kernel.order.filter((fd) => fd > 0), [...range(1, 6), 21]);
    kernel.finish(1, 1);
    kernel.finish(21, 21);
    await kernel.pass();
    assertEquals([before.all, after.all], [[1], [21]]);
    assertEquals([queues.room.inFlight, queues.waiting.length], [0, 0]);
    assertEquals([...queues.slots.busy()], []);
  });

  Deno.test(`a batch ${kind} of which all waits is over when it is aborted`, async () => {
    await using kernel = patient({ entries: 8 });
    const others = range(1, ROOM).map((fd) => kernel.run(numbered(fd)));
    const started = kernel.startBatch(commands(7, 9), slots);
    const { queues } = kernel.engine;
    queues.aborts.abort(started.batch, "reason");
    assertEquals([queues.waiting.length, queues.batches.all()], [0, []]);
    await kernel.pass();
    assertEquals([started.told, kernel.order], [["reason"], range(1, ROOM)]);
    assertEquals(others.map(({ all }) => all), others.map(() => []));
  });
}

Deno.test("of an aborted batch so many cancellations are in flight as places are kept for them", async () => {
  await using kernel = patient({ entries: 8 });
  const started = kernel.startBatch(commands(1, ROOM));
  await kernel.pass();
  kernel.react = () => {};
  const { queues } = kernel.engine;
  queues.aborts.abort(started.batch, "reason");
  for (let i = 0; i < 3; i++) await kernel.pass();
  const cancels = () => kernel.taken.filter(({ opcode }) => opcode === CANCEL);
  assertEquals(cancels().length, 2);
  // One more waits in a slot, and not one for each command.
  assertEquals([...queues.slots.busy()].length, 3);
  kernel.react = kernel.keep;
  for (const sqe of cancels()) kernel.post(sqe, 0);
  for (let i = 0; i < 6; i++) await kernel.pass();
  assertEquals(cancels().length, ROOM);
  for (const fd of kernel.kept.keys()) kernel.finish(fd, -ECANCELED);
  await kernel.pass();
  assertEquals(started.told, ["reason"]);
});

Deno.test("an aborted batch whose commands complete by themselves cancels no more", async () => {
  await using kernel = patient({ entries: 8 });
  const started = kernel.startBatch(commands(1, ROOM));
  await kernel.pass();
  kernel.react = () => {}; // The cancellations take their time.
  const { queues } = kernel.engine;
  queues.aborts.abort(started.batch, "reason");
  await kernel.pass();
  for (const fd of [...kernel.kept.keys()]) kernel.finish(fd, fd);
  await kernel.pass();
  assertEquals(started.told, [range(1, ROOM)]);
  assertEquals(queues.batches.all(), []);
  for (const sqe of kernel.taken.slice(ROOM)) kernel.post(sqe, -ENOENT);
  kernel.react = kernel.keep;
  for (let i = 0; i < 3; i++) await kernel.pass();
  const { room, waiting } = queues;
  assertEquals([room.inFlight, waiting.length, waiting.first], [0, 0, null]);
});

Deno.test("an aborted batch cancels each command once, although other calls are cut short", async () => {
  await using kernel = patient({ entries: 8 });
  const started = kernel.startBatch(commands(1, ROOM));
  await kernel.pass();
  const asked: bigint[] = [];
  // A driver that cannot cancel; two cancellations are in flight at most.
  kernel.react = (sqe) => {
    asked.push(sqe.addr);
    kernel.slip(sqe, 0);
  };
  const { queues } = kernel.engine;
  queues.aborts.abort(started.batch, "reason");
  for (let i = 0; i < 8; i++) {
    queues.torn = true; // As such a call leaves it.
    await kernel.pass();
  }
  const targets = [...kernel.kept.values()].map((sqe) => userData(sqe));
  assertEquals(asked, targets);
  for (const fd of range(1, ROOM)) kernel.finish(fd, -ECANCELED);
  await kernel.pass();
  assertEquals(started.told, ["reason"]);
});

Deno.test("a reason that batches share has the outcomes of the last one that it ends", async () => {
  await using kernel = patient({ entries: 8 });
  const all = [commands(1, 2), commands(3, 4)].map((each) =>
    kernel.startBatch(each)
  );
  await kernel.pass();
  kernel.finish(1, 7);
  const reason = new Error("reason");
  const { aborts } = kernel.engine.queues;
  for (const { batch } of all) aborts.abort(batch, reason);
  for (let i = 0; i < 3; i++) await kernel.pass();
  assertEquals(all.map(({ told }) => told), [[reason], [reason]]);
  // The batch that was aborted last is cancelled first.
  assertEquals(outcomesOf(all[0]), [7, reason]);
});

Deno.test("aborting a batch looks at each command a fixed number of times", async () => {
  const looks = async (length: number) => {
    await using kernel = patient({ entries: 8, cqEntries: 4096 });
    const started = kernel.startBatch(Array(length).fill(numbered(1)));
    await kernel.pass();
    let count = 0;
    const { queues } = kernel.engine;
    const real = Batch.prototype.slot;
    using _stub = stub(Batch.prototype, "slot", function (this: Batch, place) {
      count++;
      return real.call(this, place);
    });
    const cancelled = new Set<string>();
    kernel.react = (sqe) => {
      cancelled.add(`${sqe.addr}`);
      const low = Number(BigInt.asIntN(32, sqe.addr));
      kernel.post({ low, high: Number(sqe.addr >> 32n) }, -ECANCELED);
      kernel.post(sqe, 0);
    };
    queues.aborts.abort(started.batch, "reason");
    await until(() => started.told.length > 0);
    assertEquals(started.told, ["reason"]);
    return count / length;
  };
  assertLess(await looks(8000), 1.2 * await looks(1000));
});

Deno.test("a cancellation that missed a command of a batch is made again while it is in flight", async () => {
  await using kernel = patient();
  const started = kernel.startBatch(commands(1, 2));
  await kernel.pass();
  let misses = 2;
  let cancels = 0;
  kernel.react = (sqe) => {
    if (sqe.opcode !== CANCEL) return kernel.keep(sqe);
    cancels++;
    if (misses-- > 0) kernel.post(sqe, -ENOENT);
    else kernel.keep(sqe);
  };
  kernel.engine.queues.aborts.abort(started.batch, "reason");
  await until(() => started.told.length > 0);
  assertEquals([started.told, cancels], [["reason"], 4]);
  // A command that is over is not cancelled again.
  const again = kernel.startBatch(commands(3, 4));
  await kernel.pass();
  misses = 2;
  kernel.engine.queues.aborts.abort(again.batch, "reason");
  await kernel.pass();
  for (const fd of [3, 4]) kernel.finish(fd, fd);
  await kernel.pass();
  assertEquals(again.told, [[3, 4]]);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assertEquals(cancels, 6);
});

Deno.test("closing drops what waits of every batch before it cancels any", async () => {
  await using kernel = patient({ entries: 8 });
  const all = [
    kernel.startBatch(commands(1, 4)),
    kernel.startBatch(commands(5, 20), true),
    kernel.startBatch(commands(21, 30)),
  ];
  await kernel.pass();
  const closed = kernel.engine.close();
  await kernel.pass();
  await closed;
  assertEquals(kernel.order.filter((fd) => fd > 0), range(1, ROOM));
  for (const { told: [error] } of all) {
    assertEquals((error as DOMException).name, "AbortError");
  }
});

Deno.test("in a decoder, an abort of a batch takes effect in the next turn", async () => {
  await using kernel = patient({ entries: 8 });
  let during = -1;
  const started = kernel.startBatch([
    numbered(1, {
      decode: () => {
        kernel.engine.queues.aborts.abort(started.batch, "reason");
        during = started.batch.left;
      },
    }),
    ...commands(2, 20),
  ]);
  await kernel.pass();
  kernel.finish(1);
  await kernel.pass();
  assertEquals(during, 20);
  for (let i = 0; i < 3; i++) await kernel.pass();
  assertEquals(started.told, ["reason"]);
});

// ---- Calls that are cut short --------------------------------------------------

/** A batch of six in flight, and six that wait, half of them with slots. */
async function halfway(kernel: FakeKernel): Promise<Started> {
  const started = kernel.startBatch(
    range(1, 12).map((fd) =>
      numbered(fd, fd % 2 ? {} : { decode: ({ res }) => res })
    ),
  );
  await kernel.pass();
  return started;
}

for (
  const place of [
    "queues.pumpFirst",
    "queues.makeRoom",
    "writer.writeRest",
    "sq.push",
  ]
) {
  Deno.test(`a batch that is cut short in ${place}() is queued by the next turn`, async () => {
    await using kernel = patient();
    const { queues } = kernel.engine;
    const [owner, method] = place.split(".") as ["writer" | "sq", string];
    throwOnce(owner === "queues" as string ? queues : queues[owner], method);
    const { told } = kernel.startBatch(commands(1, 20));
    const last = kernel.run(numbered(21));
    await finishAll(kernel);
    assertEquals(kernel.order, range(1, 21));
    assertEquals([told, last.all], [[range(1, 20)], [21]]);
  });
}

for (const place of ["batches.add", "waiting.add"]) {
  Deno.test(`a batch that is cut short in ${place}() never runs`, async () => {
    await using kernel = patient();
    const { queues } = kernel.engine;
    const [owner, method] = place.split(".") as ["batches", string];
    throwOnce(queues[owner], method);
    queues.taking = true;
    try {
      kernel.startBatch(commands(1, 3), true);
    } catch {
      // As Ring.cmdAll, which marks what it leaves behind.
    }
    await kernel.pass();
    kernel.run(numbered(4));
    await kernel.pass();
    assertEquals(kernel.order, [4]);
    assertEquals(queues.batches.all(), []);
    assertEquals([...queues.slots.busy()].length, 1);
  });
}

for (const place of ["batch.settle", "batches.remove", "cq.step"]) {
  Deno.test(`a batch whose end is cut short in ${place}() settles once`, async () => {
    await using kernel = patient();
    using strays = reportedErrors();
    const { queues } = kernel.engine;
    const { batch, told } = kernel.startBatch(commands(1, 2));
    await kernel.pass();
    kernel.finish(1, 1);
    kernel.finish(2, 2);
    const [owner, method] = place.split(".") as ["batches" | "cq", string];
    throwOnce(owner === "batch" as string ? batch : queues[owner], method);
    try {
      queues.reapPosted();
    } catch {
      // The completion stays in the queue.
    }
    await kernel.pass();
    assertEquals(told, [[1, 2]]);
    const { room, batches } = queues;
    assertEquals([room.inFlight, batches.all()], [0, []]);
    assertEquals(strays.errors, []);
  });
}

Deno.test("a batch whose end is cut short settles although another is aborted next", async () => {
  await using kernel = patient();
  const { queues } = kernel.engine;
  const first = kernel.startBatch(commands(1, ROOM));
  const second = kernel.startBatch(commands(7, 9)); // All of it waits.
  await kernel.pass();
  for (const fd of range(1, ROOM)) kernel.finish(fd, fd);
  throwOnce(queues, "endBatch");
  assertThrows(() => queues.reapPosted(), RangeError, "cut short");
  queues.aborts.abort(second.batch, "reason");
  await kernel.pass();
  assertEquals([first.told, second.told], [[range(1, ROOM)], ["reason"]]);
  assertEquals([queues.batches.all(), queues.room.inFlight], [[], 0]);
});

for (
  const place of [
    "waiting.remove",
    "waiting.addFirst",
    "slots.give",
    "batch.fail",
    "aborts.cutBatch",
    "cancellations.take",
  ]
) {
  Deno.test(`an abort that is cut short in ${place}() is finished by the next turn`, async () => {
    await using kernel = patient({ entries: 8 });
    using strays = reportedErrors();
    const { queues } = kernel.engine;
    const started = await halfway(kernel);
    const [owner, method] = place.split(".") as ["waiting", string];
    throwOnce(
      owner === "batch" as string ? started.batch : queues[owner],
      method,
    );
    const reason = new Error("reason");
    try {
      queues.aborts.abort(started.batch, reason);
    } catch {
      // The turn that is scheduled does the rest.
    }
    for (let i = 0; i < 6; i++) await kernel.pass();
    assertEquals(started.told, [reason]);
    assertEquals(outcomesOf(started), Array(12).fill(reason));
    const { room, waiting, batches, slots } = queues;
    assertEquals([room.inFlight, waiting.length], [0, 0]);
    assertEquals([batches.all(), [...slots.busy()]], [[], []]);
    assertEquals(kernel.order.filter((fd) => fd > 0), range(1, ROOM));
    assertEquals(strays.errors, []);
  });
}

Deno.test("an unasked ECANCELED of a batch is not explained by a chain, which it has none of", async () => {
  await using kernel = new FakeKernel();
  kernel.react = (sqe) => kernel.post(sqe, -ECANCELED);
  const run = () => kernel.batch(commands(1, 2));
  const { message } = assertThrows(run, UringError, "ECANCELED");
  assertEquals(message.includes(chainAdvice), false);
});

// ---- The end -------------------------------------------------------------------

Deno.test("a ring that fails rejects every batch, with what their commands came to", async () => {
  await using kernel = patient();
  const all = [await halfway(kernel), kernel.startBatch(commands(13, 15))];
  kernel.finish(1, 7);
  kernel.finish(3, -EIO);
  await kernel.pass();
  kernel.engine.queues.fail(ENOMEM);
  await kernel.pass();
  const codes = all.map((each) =>
    outcomesOf(each).map((it) => it instanceof UringError ? it.code : it)
  );
  // Each batch has an error of its own, and so its own results.
  assertEquals(codes[0], [7, "ENOMEM", "EIO", ...Array(9).fill("ENOMEM")]);
  assertEquals(codes[1], Array(3).fill("ENOMEM"));
  assertEquals(all.map(({ told: [error] }) => (error as UringError).code), [
    ...["ENOMEM", "ENOMEM"],
  ]);
  assertEquals(kernel.engine.queues.batches.all(), []);
});

Deno.test("a batch whose call was cut short settles no promise when its ring fails", async () => {
  await using kernel = patient();
  const { queues } = kernel.engine;
  const batch = new Batch(queues, commands(1, 2), false);
  let settled = 0;
  batch.resolve = () => settled++;
  queues.batches.add(batch);
  throwOnce(queues.waiting, "add");
  assertThrows(() => queues.enqueueBatch(batch), RangeError, "cut short");
  // No caller has the promise, so its rejection would end the process.
  queues.fail(ENOMEM);
  await kernel.pass();
  assertEquals([settled, queues.batches.all()], [0, []]);
});

Deno.test("memory of a command without a slot is in use until its completion, and for good on a failed ring", async () => {
  await using kernel = patient();
  const bytes = alloc(64);
  const operands = [operand(ADDR, { bytes, kernel: "writes" })];
  const arena = arenaOf(bytes.buffer)!;
  const { queues } = kernel.engine;
  // As a command whose address is known.
  const direct = () => {
    const batch = new Batch(queues, [numbered(1, { operands })], false);
    void batch.await().catch(() => {});
    queues.batches.add(batch);
    queues.enqueueBatch(batch);
  };
  direct();
  await kernel.pass();
  assertEquals([...queues.arenas()], [arena]);
  kernel.finish(1);
  await kernel.pass();
  assertEquals([[...queues.arenas()], arena.held], [[], false]);
  direct();
  await kernel.pass();
  queues.fail(ENOMEM);
  assertEquals(arena.held, true);
});

Deno.test("a completion for a place that still waits is reported, and settles nothing", async () => {
  await using kernel = patient();
  using strays = reportedErrors();
  const { batch, told } = kernel.startBatch(commands(1, 12));
  await kernel.pass();
  for (const place of [7, 11, 12, 0x7fff_ffff]) {
    kernel.post({ low: place | DIRECT, high: batch.number }, 5);
    kernel.post({ low: place | DIRECT, high: batch.number }, -5);
  }
  await kernel.pass();
  assertEquals([strays.errors.length, batch.left], [8, 12]);
  await finishAll(kernel);
  assertEquals(told, [range(1, 12)]);
});

// ---- Commands that complete more than once -------------------------------------

const { IORING_CQE_F_MORE: MORE } = uapi;

Deno.test("a command of a batch settles on its last completion, with the result before it", async () => {
  await using kernel = patient();
  const { batch, told } = kernel.startBatch(commands(1, 3));
  await kernel.pass();
  const { room } = kernel.engine.queues;
  for (const fd of [1, 3]) kernel.finish(fd, 10 * fd, MORE);
  kernel.finish(2, 20);
  await kernel.pass();
  assertEquals([told.length, batch.left, room.inFlight], [0, 2, 2]);
  assertEquals([...batch.pending()].length, 2); // They keep their memory.
  kernel.finish(1, 11, MORE);
  for (const fd of [1, 3]) kernel.finish(fd, 0);
  await kernel.pass();
  assertEquals([told, room.inFlight], [[[11, 20, 30]], 0]);
});

Deno.test("an errno that comes before the last completion of a batch's command is its error", async () => {
  await using kernel = patient();
  const { told } = kernel.startBatch(commands(1, 1));
  await kernel.pass();
  kernel.finish(1, -EIO, MORE);
  kernel.finish(1, 0);
  await kernel.pass();
  assertInstanceOf(told[0], UringError);
  assertEquals(told[0].errno, EIO);
});

Deno.test("a synchronous batch waits for the last completion, and the next one knows nothing of it", async () => {
  await using kernel = patient();
  let more = true;
  kernel.wait = () => {
    kernel.finish(1, more ? 5 : 0, more ? MORE : 0);
    more = !more;
  };
  assertEquals(kernel.batch([numbered(1)]), [5]);
  kernel.wait = () => kernel.finish(1, 7);
  assertEquals(kernel.batch([numbered(1)]), [7]);
});

Deno.test("a batch with more commands than a Map can hold errors of is refused", () => {
  const host = { ended: null };
  assertThrows(
    () => new Batch(host, new Array(2 ** 24), false),
    RangeError,
    "16777216 commands are too many for a batch, which takes 16777215: make several",
  );
  assertEquals(
    new Batch(host, new Array(2 ** 24 - 1), false).left,
    2 ** 24 - 1,
  );
});
