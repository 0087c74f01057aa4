/** What one run adds to the SQE of its command, on a fake kernel. */

import { assertEquals } from "@std/assert";
import type { Command } from "../../ring/command.ts";
import { link, marksOf } from "../../ring/flight/slot.ts";
import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { FakeKernel, numbered, range, Told } from "./fake.ts";

const { IOSQE_ASYNC, IOSQE_IO_HARDLINK, IOSQE_IO_LINK } = uapi;

/** Queues a command with marks, and returns what it is told. */
function marked(
  kernel: FakeKernel,
  command: Command<unknown>,
  marks: number,
): Told {
  const { queues } = kernel.engine;
  const slot = queues.slots.take(command);
  const told = new Told();
  slot.receiver = told;
  slot.marks = marks;
  queues.enqueue(slot);
  return told;
}

Deno.test("a run adds its flags and credentials, and the next user of the slot has none", async () => {
  await using kernel = new FakeKernel();
  const own = numbered(2, { personality: 7, bufIndex: 3 });
  marked(kernel, numbered(1), marksOf(IOSQE_ASYNC, 0xffff));
  await kernel.pass();
  marked(kernel, own, marksOf(IOSQE_ASYNC, 0));
  await kernel.pass();
  marked(kernel, own, marksOf(0, 9));
  await kernel.pass();
  kernel.run(own);
  kernel.run(numbered(1));
  await kernel.pass();
  assertEquals(
    kernel.taken.map(({ flags, personality }) => [flags, personality]),
    [[16, 0xffff], [16, 7], [0, 9], [0, 7], [0, 0]],
  );
});

Deno.test("a command that waited for room has its marks when it gets some", async () => {
  await using kernel = new FakeKernel({ entries: 4, cqEntries: 8 });
  kernel.react = kernel.keep;
  for (const number of range(1, 12)) {
    marked(kernel, numbered(number), marksOf(IOSQE_ASYNC, number));
  }
  for (const number of range(1, 12)) {
    await kernel.pass();
    kernel.finish(number);
  }
  await kernel.pass();
  assertEquals(kernel.order, range(1, 12));
  assertEquals(
    kernel.taken.map(({ personality }) => personality),
    range(1, 12),
  );
});

Deno.test("a stream that is queued again has the marks it began with", async () => {
  await using kernel = new FakeKernel({ cqEntries: 2 });
  kernel.react = kernel.keep;
  const stream = numbered(1, { multishot: true });
  const told = marked(kernel, stream, marksOf(IOSQE_ASYNC, 5));
  await kernel.pass();
  for (let i = 0; i < 3; i++) kernel.finish(1, i, uapi.IORING_CQE_F_MORE);
  kernel.finish(1, 3); // The kernel ends it, because the CQ is full.
  await kernel.pass();
  assertEquals(told.all, [0, 1, 2, 3]);
  await kernel.pass();
  assertEquals(
    kernel.taken.map(({ flags, personality }) => [flags, personality]),
    [[16, 5], [16, 5]],
  );
  kernel.finish(1, 0);
  await kernel.pass();
});

for (const hard of [false, true]) {
  const flag = hard ? IOSQE_IO_HARDLINK : IOSQE_IO_LINK;

  Deno.test(`each SQE of a chain but the last has flag ${flag}, next to its marks`, async () => {
    await using kernel = new FakeKernel({ entries: 8 });
    const { queues } = kernel.engine;
    const slots = range(1, 3).map((each) => queues.slots.take(numbered(each)));
    link(slots, hard);
    for (const slot of slots) {
      slot.receiver = new Told();
      slot.marks = IOSQE_ASYNC;
    }
    queues.enqueue(slots[0]);
    await kernel.pass();
    assertEquals(kernel.taken.map(({ flags }) => flags), [
      16 | flag,
      16 | flag,
      16,
    ]);
  });

  Deno.test(`the rest of a chain with flag ${flag} that a short submit cuts off is canceled`, async () => {
    await using kernel = new FakeKernel({ entries: 8 });
    const { queues } = kernel.engine;
    let calls = 0;
    kernel.answer = ({ toSubmit }) =>
      calls++ === 0 && toSubmit > 1 ? 2 : undefined;
    const slots = range(1, 4).map((each) => queues.slots.take(numbered(each)));
    link(slots, hard);
    const told = slots.map((slot) => slot.receiver = new Told());
    queues.enqueue(slots[0]);
    await kernel.pass();
    await kernel.pass();
    assertEquals(told.slice(0, 2).map(({ all }) => all), [[0], [0]]);
    for (const { all: [error] } of told.slice(2)) {
      const { errno, message } = error as { errno: number; message: string };
      assertEquals(errno, E.ECANCELED);
      assertEquals(message.includes("a part of the chain"), hard);
    }
  });
}
