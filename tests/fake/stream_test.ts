/** Streams on a fake kernel, in orders that a real one produces only at random. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { LEFT } from "../../ring/flight/settle.ts";
import { CommandStream } from "../../ring/flight/stream.ts";
import { E } from "../../sys/uapi/errno.ts";
import { IORING_CQE_F_MORE as MORE } from "../../sys/uapi/io_uring.ts";
import { reportedErrors } from "../kit/reported_errors.ts";
import { until } from "../kit/wait.ts";
import {
  FakeKernel,
  numbered,
  type Sqe,
  throwOnce,
  type Told,
} from "./fake.ts";

const { EAGAIN, ECANCELED, ENOBUFS } = E;

const many = (fd: number, decode?: () => unknown) =>
  numbered(fd, { multishot: true, decode });

/** A kernel with a stream on it, as `Ring.stream` makes one. */
async function streaming(decode?: () => unknown) {
  const kernel = new FakeKernel();
  kernel.react = () => {};
  const stream = new CommandStream<unknown>((slot) =>
    kernel.engine.queues.aborts.abort(slot, LEFT)
  );
  const slot = stream.slot = kernel.start(many(1, decode), stream);
  await kernel.pass();
  return { kernel, stream, slot, sqe: kernel.taken[0] };
}

/** Returns whether a promise is settled yet. */
function watch(promise: Promise<unknown>): { settled: boolean } {
  const state = { settled: false };
  promise.finally(() => state.settled = true).catch(() => {});
  return state;
}

Deno.test("what looks like an errno is a value of a stream, but for the last", async () => {
  const { kernel, stream, sqe } = await streaming();
  await using _ = kernel;
  for (const res of [-5, -1, -ECANCELED, -0x8000_0000, 0]) {
    kernel.post(sqe, res, MORE);
  }
  kernel.post(sqe, -5);
  await kernel.pass();
  for (const value of [-5, -1, -ECANCELED, -0x8000_0000, 0]) {
    assertEquals(await stream.next(), { done: false, value });
  }
  await assertRejects(() => stream.next(), Error, "EIO");
  assertEquals(await stream.next(), { done: true, value: undefined });
  assertEquals(kernel.engine.queues.room.inFlight, 0);
});

Deno.test("an aborted stream that is told of a value like ECANCELED goes on to its end", async () => {
  const { kernel, stream, slot, sqe } = await streaming();
  await using _ = kernel;
  kernel.engine.queues.aborts.abort(slot, new Error("enough"));
  kernel.post(sqe, -ECANCELED, MORE);
  await kernel.pass();
  assertEquals(await stream.next(), { done: false, value: -ECANCELED });
  const next = stream.next();
  const state = watch(next);
  await kernel.pass();
  assertEquals(state.settled, false);
  kernel.post(sqe, -ECANCELED);
  await kernel.pass();
  await assertRejects(() => next, Error, "enough");
});

Deno.test("values that were kept come before the end, however it ends", async () => {
  for (const last of [7, -ENOBUFS]) {
    const { kernel, stream, sqe } = await streaming();
    await using _ = kernel;
    for (const res of [1, 2, 3]) kernel.post(sqe, res, MORE);
    kernel.post(sqe, last);
    await kernel.pass();
    for (const value of last > 0 ? [1, 2, 3, last] : [1, 2, 3]) {
      assertEquals(await stream.next(), { done: false, value });
    }
    if (last < 0) await assertRejects(() => stream.next(), Error, "ENOBUFS");
    assertEquals(await stream.next(), { done: true, value: undefined });
  }
});

Deno.test("values settle the calls of next() in their order", async () => {
  const { kernel, stream, sqe } = await streaming();
  await using _ = kernel;
  const asked = Promise.allSettled([1, 2, 3, 4].map(() => stream.next()));
  for (const res of [1, 2]) kernel.post(sqe, res, MORE);
  kernel.post(sqe, -5);
  await kernel.pass();
  assertEquals((await asked).map(({ status }) => status), [
    "fulfilled",
    "fulfilled",
    "rejected", // The error is thrown once.
    "fulfilled",
  ]);
});

Deno.test("leaving a stream waits for its last completion", async () => {
  const { kernel, stream, sqe } = await streaming();
  await using _ = kernel;
  kernel.post(sqe, 1, MORE);
  await kernel.pass();
  const left = stream.return();
  const state = watch(left);
  await kernel.pass();
  const cancel = kernel.taken[1];
  kernel.post(sqe, 2, MORE);
  kernel.post(cancel, 0);
  await kernel.pass();
  assertEquals([state.settled, kernel.engine.queues.room.inFlight], [false, 1]);
  kernel.post(sqe, -ECANCELED);
  await kernel.pass();
  assertEquals(await left, { done: true, value: undefined });
  // Nothing is left of what came meanwhile.
  assertEquals(await stream.next(), { done: true, value: undefined });
  assertEquals(kernel.engine.queues.room.inFlight, 0);
});

Deno.test("an error that nobody asked for is not thrown after a stream was left", async () => {
  const { kernel, stream, sqe } = await streaming();
  await using _ = kernel;
  kernel.post(sqe, -ENOBUFS);
  await kernel.pass();
  const over = { done: true as const, value: undefined };
  assertEquals(await stream.return(), over);
  assertEquals(await stream.next(), over);
});

Deno.test("leaving a stream that has ended cancels nothing of what came after it", async () => {
  const { kernel, stream, sqe } = await streaming();
  await using _ = kernel;
  kernel.post(sqe, 1);
  await kernel.pass();
  const next = kernel.run(numbered(2)); // It has the slot now.
  await kernel.pass();
  await stream.return();
  await kernel.pass();
  assertEquals([kernel.taken.length, next.all], [2, []]);
});

Deno.test("a stream whose decoder throws ends once, and its last completion settles nothing", async () => {
  const { kernel, stream, sqe } = await streaming(() => {
    throw new Error("cannot decode");
  });
  await using _ = kernel;
  using strays = reportedErrors();
  for (const res of [1, 2, 3]) kernel.post(sqe, res, MORE);
  await kernel.pass();
  await until(() => kernel.taken.length > 1); // In the turn after.
  const cancel = kernel.taken[1];
  assertEquals([kernel.taken.length, kernel.engine.queues.room.inFlight], [
    2,
    2,
  ]);
  kernel.post(cancel, 0);
  kernel.post(sqe, -ECANCELED);
  await kernel.pass();
  await assertRejects(() => stream.next(), Error, "cannot decode");
  assertEquals(await stream.next(), { done: true, value: undefined });
  assertEquals([kernel.engine.queues.room.inFlight, strays.errors], [0, []]);
});

Deno.test("what completes while its stream is being cancelled silences nobody else", async () => {
  await using kernel = new FakeKernel();
  kernel.react = () => {};
  const told = kernel.run(many(1, () => {
    // No SQE is left for the cancellation, and no memory for a submission; what
    // has completed by then is taken at once.
    for (const fd of [11, 12, 13, 14]) kernel.run(numbered(fd));
    kernel.react = (sqe) => kernel.post(sqe, 5);
    kernel.answer = () => {
      kernel.answer = () => undefined;
      kernel.post(sqe, -ECANCELED);
      kernel.post(second, 0);
      return -EAGAIN;
    };
    throw new Error("cannot decode");
  }));
  let next: Told | undefined;
  kernel.run(numbered(2, { decode: () => next = kernel.run(numbered(3)) }));
  await kernel.pass();
  const [sqe, second] = kernel.taken;
  kernel.post(sqe, 1, MORE);
  await kernel.pass();
  await kernel.pass();
  assertEquals(told.all.map(String), ["Error: cannot decode"]);
  assertEquals(next?.all, [5]);
});

/** Posts more values than the CQ has room for, so that the kernel ends the stream. */
function overflow(kernel: FakeKernel, sqe: Sqe): void {
  for (let res = 1; res <= 8; res++) kernel.post(sqe, res, MORE);
  kernel.post(sqe, 9); // There is no room: the kernel posts its last one later.
}

/** Expects that a stream is queued again after {@linkcode overflow}, and ends well. */
async function expectToGoOn(
  { kernel, stream, sqe }: Awaited<ReturnType<typeof streaming>>,
): Promise<void> {
  for (let i = 0; i < 3; i++) await kernel.pass();
  const [, again] = kernel.taken;
  assertEquals([kernel.taken.length, again.fd, again.low], [2, 1, sqe.low]);
  kernel.post(again, 10, MORE);
  kernel.post(again, 11); // The file has ended.
  await kernel.pass();
  const values = await Array.fromAsync(stream);
  assertEquals(values, Array.from({ length: 11 }, (_, i) => 1 + i));
  assertEquals(kernel.engine.queues.room.inFlight, 0);
}

for (const whose of ["a stream", "a stream whose ring was dropped"]) {
  Deno.test(`${whose} goes on after the kernel has ended it because the CQ is full`, async () => {
    const started = await streaming();
    await using kernel = started.kernel;
    if (whose !== "a stream") kernel.engine.drop();
    overflow(kernel, started.sqe);
    await expectToGoOn(started);
  });
}

Deno.test("a stream that is cut short while it is queued again has each value once", async () => {
  const started = await streaming();
  await using kernel = started.kernel;
  const { queues } = kernel.engine;
  overflow(kernel, started.sqe);
  throwOnce(queues.waiting, "add");
  assertThrows(() => queues.reap(), RangeError, "cut short");
  kernel.engine.schedule();
  await expectToGoOn(started);
});
