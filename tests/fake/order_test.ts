/** Orders of events that a real kernel produces only at random. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertThrows,
} from "@std/assert";
import { stub } from "@std/testing/mock";
import type { Completion } from "../../ring/completion.ts";
import { WaitQueue } from "../../ring/flight/waiting.ts";
import { Slot } from "../../ring/flight/slot.ts";
import { UringError } from "../../ring/errors.ts";
import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { reportedErrors } from "../kit/reported_errors.ts";
import { until } from "../kit/wait.ts";
import { FakeKernel, numbered, range, type Sqe, Told } from "./fake.ts";

const { EAGAIN, EALREADY, ECANCELED, EINVAL, ENOENT } = E;

const { IORING_CQE_F_MORE: MORE, IORING_CQE_F_NOTIF: NOTIF } = uapi;
const CANCEL = uapi.IORING_OP_ASYNC_CANCEL;

/** Commands in flight that a fake with 8 CQEs has room for. */
const ROOM = 6;

/** A kernel whose commands complete when the test says so. */
function patient(shape = {}): FakeKernel {
  const kernel = new FakeKernel(shape);
  kernel.react = kernel.keep;
  return kernel;
}

// ---- More than one completion ------------------------------------------------

for (
  const [what, res, expected] of [
    ["result", 7, [7, MORE, 42]],
    ["error", -5, "EIO"],
  ] as const
) {
  Deno.test(`a notification settles a command, with the ${what} before it`, async () => {
    await using kernel = patient();
    const decode = ({ res, flags, notification }: Completion) => [
      res,
      flags,
      notification,
    ];
    const told = kernel.run(numbered(1, { completions: 2, decode }));
    const other = kernel.run(numbered(2));
    await kernel.pass();
    kernel.finish(1, res, MORE);
    kernel.finish(2, 9);
    await kernel.pass();
    // Its memory is the kernel's until the notification.
    assertEquals([told.all, other.all], [[], [9]]);
    assertEquals(kernel.engine.queues.room.inFlight, 1);
    kernel.finish(1, 42, NOTIF);
    await kernel.pass();
    const [end] = told.all;
    assertEquals(end instanceof UringError ? end.code : end, expected);
    assertEquals([told.all.length, kernel.engine.queues.room.inFlight], [1, 0]);
  });
}

Deno.test("a command takes the room of all that it may post, until the last", async () => {
  await using kernel = patient();
  for (const fd of range(1, 3)) kernel.run(numbered(fd, { completions: 2 }));
  kernel.run(numbered(4));
  await kernel.pass();
  assertEquals(kernel.order, [1, 2, 3]);
  kernel.finish(1, 0, MORE);
  await kernel.pass();
  assertEquals(kernel.order, [1, 2, 3]);
  kernel.finish(1, 0, NOTIF);
  await kernel.pass();
  assertEquals(kernel.order, [1, 2, 3, 4]);
  for (const fd of range(2, 4)) kernel.finish(fd);
  // Nothing of the room is lost: as many go as before.
  for (const fd of range(5, 11)) kernel.run(numbered(fd));
  await kernel.pass();
  assertEquals(kernel.order, range(1, 10));
});

Deno.test("a command that may post more than there is room for goes alone", async () => {
  await using kernel = patient();
  kernel.run(numbered(1));
  kernel.run(numbered(2, { completions: 20 }));
  kernel.run(numbered(3));
  await kernel.pass();
  assertEquals(kernel.order, [1]);
  for (const fd of [1, 2]) {
    kernel.finish(fd);
    await kernel.pass();
    assertEquals(kernel.order, range(1, fd + 1));
  }
});

// ---- Cancelling --------------------------------------------------------------

for (
  const [what, answers, expected] of [
    ["before its target", [["cancel", 0], ["target", -ECANCELED]], "reason"],
    ["after its target", [["target", -ECANCELED], ["cancel", 0]], "reason"],
    ["too late", [["target", 3], ["cancel", -ENOENT]], 3],
    ["in vain", [["cancel", -EALREADY], ["target", 3]], 3],
    ["and the target fails", [["cancel", 0], ["target", -5]], "EIO"],
  ] as const
) {
  Deno.test(`a command settles once if its cancellation is answered ${what}`, async () => {
    await using kernel = new FakeKernel();
    using strays = reportedErrors();
    kernel.react = () => {};
    const told = new Told();
    const slot = kernel.start(numbered(1), told);
    await kernel.pass();
    kernel.engine.queues.aborts.abort(slot, "reason");
    await kernel.pass();
    const [target, cancel] = kernel.taken;
    assertEquals(cancel.opcode, CANCEL);
    assertEquals(
      [cancel.addr & 0xffff_ffffn, cancel.addr >> 32n],
      [BigInt(target.low), BigInt(target.high)],
    );
    // On a slow machine the cancellation is retried meanwhile.
    kernel.react = (sqe) => kernel.post(sqe, -ENOENT);
    let over = false;
    for (const [who, res] of answers) {
      kernel.post(who === "target" ? target : cancel, res);
      await kernel.pass();
      over ||= who === "target";
      // It is told by its own completion only.
      assertEquals(told.all.length, over ? 1 : 0);
    }
    const [end] = told.all;
    assertEquals(end instanceof UringError ? end.code : end, expected);
    assertEquals([told.all.length, kernel.engine.queues.room.inFlight], [1, 0]);
    assertEquals(strays.errors, []);
  });
}

Deno.test("a command is asked to be cancelled once", async () => {
  await using kernel = new FakeKernel();
  kernel.react = () => {};
  const told = new Told();
  const slot = kernel.start(numbered(1), told);
  await kernel.pass();
  for (const reason of ["first", "second"]) {
    kernel.engine.queues.aborts.abort(slot, reason);
  }
  await kernel.pass();
  assertEquals(kernel.taken.length, 2);
  const [target, cancel] = kernel.taken;
  kernel.post(target, -ECANCELED);
  kernel.post(cancel, 0);
  await kernel.pass();
  assertEquals(told.all, ["first"]);
});

/** A kernel in which a command is over that could not be cancelled. */
async function missed(): Promise<FakeKernel> {
  const kernel = new FakeKernel();
  kernel.react = () => {};
  const slot = kernel.start(numbered(1));
  await kernel.pass();
  kernel.engine.queues.aborts.abort(slot, "reason");
  await kernel.pass();
  const [target, cancel] = kernel.taken;
  kernel.post(cancel, -EALREADY);
  await kernel.pass();
  kernel.post(target, 0);
  return kernel;
}

Deno.test({
  name: "a ring that was closed does not wait to cancel once more",
  sanitizeOps: true, // No timer is left.
  async fn() {
    await using kernel = await missed();
    await kernel.engine.close();
  },
});

Deno.test("what is over before it is cancelled once more is not", async () => {
  await using kernel = await missed();
  await kernel.pass();
  await new Promise((resolve) => setTimeout(resolve, 50));
  assertEquals(kernel.taken.length, 2);
});

Deno.test("the delay of a retried cancellation doubles, until there is none to retry", async () => {
  const delays: number[] = [];
  let fired = 0;
  const real = setTimeout;
  using _timers = stub(globalThis, "setTimeout", (fn, delay, ...rest) => {
    // Not those of `until`, of the bell's watchdog and of close().
    const other = delay! < 10 || delay === 1000 || delay! > 1280;
    if (other) return real(fn, delay, ...rest);
    delays.push(delay!);
    return real(() => {
      fired++;
      (fn as () => void)();
    }, delay);
  });
  await using kernel = new FakeKernel();
  kernel.react = () => {};
  for (const misses of [3, 1]) {
    const slot = kernel.start(numbered(1));
    await kernel.pass();
    const target = kernel.taken.at(-1)!;
    kernel.engine.queues.aborts.abort(slot, "reason");
    await kernel.pass();
    for (let i = 0; i < misses; i++) {
      const { length } = kernel.taken;
      kernel.post(kernel.taken.at(-1)!, -EALREADY);
      if (i === misses - 1) kernel.post(target, 0);
      const before = fired;
      await kernel.pass();
      await until(() => fired > before);
      await kernel.pass();
      assertEquals(kernel.taken.length, length + (i < misses - 1 ? 1 : 0));
    }
  }
  assertEquals(delays, [10, 20, 40, 10]);
});

Deno.test("a cancellation goes ahead of waiting commands", async () => {
  await using kernel = patient();
  const slots = range(1, 9).map((fd) => kernel.start(numbered(fd)));
  await kernel.pass();
  assertEquals(kernel.order, range(1, ROOM));
  kernel.engine.queues.aborts.abort(slots[2], "reason");
  await kernel.pass();
  assertEquals(kernel.taken[ROOM].opcode, CANCEL);
});

Deno.test("a cancellation that found no free SQE still goes ahead of waiting commands", async () => {
  await using kernel = patient({ cqEntries: 8, entries: 4 });
  const stuck = range(1, ROOM).map((fd) => kernel.start(numbered(fd)));
  await kernel.pass();
  for (const fd of range(7, 9)) kernel.run(numbered(fd));
  // There is no memory for a while, and more to cancel than there are SQEs.
  kernel.answer = () => -11;
  for (const slot of stuck) kernel.engine.queues.aborts.abort(slot, "reason");
  kernel.answer = () => undefined;
  // A driver has the first ones, which do not end for it.
  const driver = (sqe: Sqe) => {
    if (sqe.opcode === CANCEL && sqe.addr % 8n < 4n) {
      kernel.post(sqe, -EALREADY);
    } else kernel.keep(sqe);
  };
  kernel.react = driver;
  for (let i = 0; i < 4; i++) await kernel.pass();
  const asked = kernel.taken.filter(({ opcode }) => opcode === CANCEL);
  // On a slow machine the driver is asked again meanwhile.
  const targets = new Set(asked.map(({ addr }) => addr));
  assertEquals(targets.size, ROOM, "not all were asked to be cancelled");
  kernel.react = kernel.keep;
  for (const fd of range(1, 4)) kernel.finish(fd);
});

Deno.test("a cancellation finds an SQE although commands in flight hold theirs", async () => {
  await using kernel = patient({ hold: true });
  const slots = range(1, 6).map((fd) => kernel.start(numbered(fd)));
  for (let i = 0; i < 3; i++) await kernel.pass();
  kernel.engine.queues.aborts.abort(slots[0], "reason");
  for (let i = 0; i < 3; i++) await kernel.pass();
  assert(kernel.taken.some(({ opcode }) => opcode === CANCEL));
});

// ---- Waiting for room ----------------------------------------------------------

Deno.test("no command, chain or batch overtakes a waiting command", async () => {
  await using kernel = patient();
  for (const fd of range(1, ROOM - 1)) kernel.run(numbered(fd));
  // There is room for one command, but not for a chain of two.
  kernel.link([numbered(6), numbered(7)]);
  kernel.run(numbered(8));
  kernel.link([numbered(9)]);
  await kernel.pass();
  assertEquals(kernel.order, range(1, 5));
  kernel.wait = () => kernel.finish(Math.min(...kernel.kept.keys()));
  kernel.batch([numbered(10), numbered(11)]);
  assertEquals(kernel.order, range(1, 11));
  kernel.engine.sync.runOne(numbered(12));
  assertEquals(kernel.order, range(1, 12));
});

Deno.test("a line has its order, whoever is alone in it", () => {
  const line = new WaitQueue();
  const slots = range(0, 3).map((i) => new Slot(i));
  const all = () => {
    const found: number[] = [];
    for (let slot; (slot = line.first) !== null; line.remove(slot)) {
      found.push((slot as Slot).index);
    }
    return found;
  };
  line.addFirst(slots[0]);
  for (const slot of [slots[1], slots[2]]) line.add(slot);
  line.addFirst(slots[3]);
  assertEquals([line.length, all(), line.length], [4, [3, 0, 1, 2], 0]);
  for (const slot of [slots[1], slots[0]]) line.add(slot);
  assertEquals(all(), [1, 0]);
});

Deno.test("waiting commands go in their order, in whatever order room is made", async () => {
  await using kernel = patient();
  for (const fd of range(1, 30)) kernel.run(numbered(fd));
  await kernel.pass();
  while (kernel.kept.size > 0) {
    const [first, ...rest] = kernel.kept.keys();
    kernel.finish(rest.at(-1) ?? first);
    await kernel.pass();
  }
  assertEquals(kernel.order, range(1, 30));
});

for (const hold of [false, true]) {
  Deno.test(`the rest of a chain that a short submit cuts does not run${hold ? ", where SQEs are held" : ""}`, async () => {
    await using kernel = patient({ hold });
    const told = kernel.link([1, 2, 3].map((fd) => numbered(fd)));
    kernel.answer = () => {
      kernel.answer = () => undefined;
      return 1;
    };
    await kernel.pass();
    kernel.finish(1, 7);
    await kernel.pass();
    await kernel.pass();
    assertEquals(kernel.order.filter((fd) => fd >= 0), [1]);
    assertEquals(told[0].all, [7]);
    for (const { all } of told.slice(1)) {
      assertEquals(all.map((error) => (error as UringError).code), [
        "ECANCELED",
      ]);
    }
    const next = kernel.run(numbered(4));
    await kernel.pass();
    kernel.finish(4, 8);
    await kernel.pass();
    assertEquals(next.all, [8]);
  });
}

Deno.test("a command whose link timeout is cut off by a short submit is cancelled", async () => {
  await using kernel = patient();
  const opcode = uapi.IORING_OP_LINK_TIMEOUT;
  const told = kernel.link([numbered(1), numbered(2, { opcode })]);
  kernel.answer = () => {
    kernel.answer = () => undefined;
    return 1;
  };
  for (let i = 0; i < 3; i++) await kernel.pass();
  for (const { all } of told) {
    assertEquals(all.map((error) => (error as UringError).code), ["ECANCELED"]);
  }
});

Deno.test("commands that a short submit cuts off a batch linked by hand fail", async () => {
  await using kernel = patient();
  kernel.react = (sqe) => kernel.post(sqe, sqe.opcode === 0xff ? -EINVAL : 0);
  kernel.answer = () => {
    kernel.answer = () => undefined;
    return 1;
  };
  const flags = uapi.IOSQE_IO_LINK;
  const commands = [numbered(1, { flags }), numbered(2)];
  assertThrows(() => kernel.batch(commands), UringError, "EINVAL");
  assertEquals(kernel.taken.map(({ opcode }) => opcode), [
    uapi.IORING_OP_URING_CMD,
    0xff,
  ]);
});

Deno.test("a short submit between two chains cuts none", async () => {
  await using kernel = patient();
  const first = kernel.link([numbered(1), numbered(2)]);
  const second = kernel.link([numbered(3), numbered(4)]);
  kernel.answer = () => {
    kernel.answer = () => undefined;
    return 2;
  };
  await kernel.pass();
  assertEquals(kernel.order, [1, 2, 3, 4]);
  for (const fd of [1, 2, 3, 4]) kernel.finish(fd, fd);
  await kernel.pass();
  assertEquals([...first, ...second].map(({ all }) => all), [[1], [2], [3], [
    4,
  ]]);
});

Deno.test("a command aborted before it is queued never is, and frees its place", async () => {
  await using kernel = patient();
  const all = range(1, 10).map((fd) => {
    const told = new Told();
    return { told, slot: kernel.start(numbered(fd), told) };
  });
  await kernel.pass();
  assertEquals(kernel.engine.queues.waiting.length, 4);
  kernel.engine.queues.aborts.abort(all[7].slot, "reason");
  assertEquals(all[7].told.all, ["reason"]); // There is nothing to wait for.
  for (const fd of range(1, ROOM)) kernel.finish(fd);
  await kernel.pass();
  assertEquals(kernel.order, [...range(1, 7), 9, 10]);
  for (const fd of [7, 9, 10]) kernel.finish(fd);
  await kernel.pass();
  assertEquals(all.map(({ told }) => told.all.length), Array(10).fill(1));
  assertEquals([...kernel.engine.queues.slots.busy()], []);
  assertEquals(kernel.engine.queues.waiting.length, 0);
});

Deno.test("a waiting chain that is aborted gives all its commands back", async () => {
  await using kernel = patient();
  for (const fd of range(1, ROOM)) kernel.run(numbered(fd));
  const slots = range(7, 9).map((fd) =>
    kernel.engine.queues.slots.take(numbered(fd))
  );
  const told = slots.map((slot, i) => {
    slot.linked = slots[i + 1] ?? null;
    return slot.receiver = new Told();
  });
  kernel.engine.queues.enqueue(slots[0]);
  for (const slot of slots) kernel.engine.queues.aborts.abort(slot, "reason");
  await kernel.pass();
  kernel.finish(1);
  await kernel.pass();
  assertEquals(told.map(({ all }) => all), Array(3).fill(["reason"]));
  assertEquals([...kernel.engine.queues.slots.busy()].length, ROOM - 1);
  assertEquals([kernel.order, kernel.engine.queues.waiting.length], [
    range(1, 6),
    0,
  ]);
  // Each slot is free once: three commands have three of them.
  const fresh = range(7, 10).map(() =>
    kernel.engine.queues.slots.take(numbered(7))
  );
  assertEquals(new Set(fresh).size, 4);
  for (const slot of fresh) kernel.engine.queues.slots.give(slot);
});

Deno.test("once the last waiting command has gone, the next goes at once", async () => {
  await using kernel = patient();
  for (const fd of range(1, 8)) kernel.run(numbered(fd));
  await kernel.pass();
  for (const fd of range(1, 6)) kernel.finish(fd);
  await kernel.pass();
  for (const fd of range(7, 8)) kernel.finish(fd);
  await kernel.pass();
  for (const fd of range(9, 16)) kernel.run(numbered(fd));
  await kernel.pass();
  assertEquals(kernel.order, range(1, 14));
  for (const fd of range(9, 14)) kernel.finish(fd);
  await kernel.pass();
  assertEquals(kernel.order, range(1, 16));
});

// ---- Chains --------------------------------------------------------------------

for (const hold of [false, true]) {
  const queue = hold ? "a queue that holds SQEs" : "the queue";

  Deno.test(`a chain is not cut at the end of ${queue}`, async () => {
    await using kernel = new FakeKernel({ hold });
    kernel.run(numbered(1));
    kernel.run(numbered(2));
    const told = kernel.link([numbered(3), numbered(4), numbered(5)]);
    await kernel.pass();
    assertEquals(kernel.order, range(1, 5));
    assertEquals(
      kernel.taken.map(({ linked }) => linked),
      [false, false, true, true, false],
    );
    assertEquals(
      kernel.taken.map(({ call }) => call),
      [1, 1, 2, 2, 2],
    );
    assertEquals(told.map(({ all }) => all), [[0], [0], [0]]);
  });
}

Deno.test("a chain without free SQEs waits, and goes in one piece", async () => {
  await using kernel = new FakeKernel();
  kernel.run(numbered(1));
  kernel.run(numbered(2));
  kernel.answer = () => -11;
  kernel.link([numbered(3), numbered(4), numbered(5)]);
  kernel.run(numbered(6)); // It would fit, and has to wait all the same.
  kernel.answer = () => undefined;
  await kernel.pass();
  assertEquals(kernel.order, range(1, 6));
  const calls = kernel.taken.map(({ call }) => call);
  assertEquals(new Set(calls.slice(2, 5)).size, 1);
});

// ---- Batches --------------------------------------------------------------------

Deno.test("completions in any order find their places in a batch", async () => {
  await using kernel = patient({ entries: 16, cqEntries: 32 });
  kernel.wait = () => {
    for (const fd of [...kernel.kept.keys()].reverse()) kernel.finish(fd, fd);
  };
  const commands = range(1, 40).map((fd) => numbered(fd));
  for (const slots of [false, true]) {
    assertEquals(kernel.batch(commands, slots), range(1, 40));
  }
});

for (const slots of [false, true]) {
  Deno.test(`a batch ${slots ? "with" : "without"} slots has no more in flight than the CQ has room for`, async () => {
    await using kernel = patient({ entries: 8 });
    let most = 0;
    kernel.wait = () => {
      most = Math.max(most, kernel.kept.size);
      kernel.finish(Math.min(...kernel.kept.keys()));
    };
    kernel.batch(range(1, 40).map((fd) => numbered(fd)), slots);
    assertEquals([most, kernel.order], [ROOM, range(1, 40)]);
  });
}

Deno.test("a place of a batch settles once, whatever completions come for it", async () => {
  await using kernel = patient({ cqEntries: 32 });
  using strays = reportedErrors();
  kernel.wait = () => {
    const [one, two] = kernel.taken;
    kernel.post(one, 5);
    kernel.post(one, 6); // And again: the batch is not over for it.
    kernel.post(two, -5);
    kernel.post(two, 7);
    kernel.wait = () => kernel.finish(3, 3);
  };
  const commands = [numbered(1), numbered(2, { expected: [5] }), numbered(3)];
  assertEquals(kernel.batch(commands), [5, -5, 3]);
  assertEquals([strays.errors.length, kernel.engine.queues.room.inFlight], [
    2,
    0,
  ]);
});

Deno.test("a place is settled once, when others of its batch have slots, too", async () => {
  await using kernel = patient({ entries: 8 });
  using strays = reportedErrors();
  kernel.wait = () => {
    const [one] = kernel.taken;
    kernel.post(one, 1);
    kernel.post(one, 9);
    kernel.wait = () => {
      const fd = Math.max(...kernel.kept.keys());
      kernel.finish(fd, fd);
    };
    kernel.kept.delete(1);
  };
  // Those that the CQ has no room for wait, and have a slot for that.
  const commands = range(1, ROOM + 3).map((fd) => numbered(fd));
  assertEquals(kernel.batch(commands), range(1, ROOM + 3));
  assertEquals([strays.errors.length, kernel.engine.queues.room.inFlight], [
    1,
    0,
  ]);
});

Deno.test("a result is never taken for a command of its batch", async () => {
  await using kernel = patient({ cqEntries: 32 });
  using strays = reportedErrors();
  // As it is for Command.is(), an array, an object, nothing.
  const results = [numbered(99), [1], {}, null, undefined, -1];
  const commands = results.map((result, i) =>
    numbered(i, { decode: () => result })
  );
  commands.push(numbered(6), numbered(7));
  kernel.react = (sqe) => sqe.fd < 7 ? kernel.post(sqe, 0) : kernel.keep(sqe);
  kernel.wait = () => {
    // What would be theirs if the batch stood for them.
    for (const place of range(0, 6)) {
      for (const high of [0, 1]) kernel.post({ low: place | 1 << 31, high }, 3);
    }
    const under = [...kernel.engine.queues.commands()].map(({ fd }) => fd);
    assertEquals(under, [7]);
    kernel.finish(7, 1);
  };
  assertEquals(kernel.batch(commands, true), [...results, 0, 1]);
  assertEquals([strays.errors.length, kernel.engine.queues.room.inFlight], [
    14,
    0,
  ]);
});

for (
  const [what, flags, expected] of [
    ["at once for all that completes late", 0, [0, 3]],
    [
      "for one completion at a time with DEFER_TASKRUN",
      uapi.IORING_SETUP_DEFER_TASKRUN,
      [0, 1, 1, 1],
    ],
  ] as const
) {
  Deno.test(`a batch waits ${what}`, async () => {
    await using kernel = new FakeKernel({ flags });
    kernel.react = kernel.keep;
    kernel.wait = () => kernel.finish([...kernel.kept.keys()][0]);
    assertEquals(kernel.batch([1, 2, 3].map((i) => numbered(i))), [0, 0, 0]);
    assertEquals(kernel.calls.map((call) => call.minComplete), [...expected]);
  });
}

Deno.test("after EBUSY a call waits for fewer completions", async () => {
  await using kernel = patient({ entries: 8, cqEntries: 32 });
  let busy = true;
  kernel.answer = ({ minComplete }) => {
    if (minComplete === 0 || !busy) return undefined;
    busy = false;
    for (const fd of range(2, 5)) kernel.finish(fd, fd);
    return -16;
  };
  kernel.wait = () => {
    assertEquals(kernel.calls.at(-1)!.minComplete, 1);
    kernel.finish(1, 1); // There is no other to wait for.
  };
  const commands = range(1, 5).map((fd) => numbered(fd));
  assertEquals(kernel.batch(commands), range(1, 5));
});

for (const slots of [true, false]) {
  const kind = slots ? "with slots" : "without slots";

  Deno.test(`a batch ${kind} runs to its end before a close() in a decoder takes effect`, async () => {
    await using kernel = patient({ cqEntries: 32 });
    const other = kernel.run(numbered(1));
    const closing = numbered(2, { decode: () => void kernel.engine.close() });
    const commands = range(3, 9).map((fd) => numbered(fd));
    if (slots) commands.unshift(closing);
    else kernel.run(closing);
    kernel.react = (sqe) =>
      sqe.fd === 1 ? kernel.keep(sqe) : kernel.post(sqe, sqe.fd);
    const results = kernel.batch(commands, slots);
    assertEquals(results.slice(slots ? 1 : 0), range(3, 9));
    assertEquals([other.all, kernel.closed], [[], false]);
    kernel.react = kernel.keep;
    await kernel.engine.close();
    assertInstanceOf(other.all[0], DOMException);
    assert(kernel.closed);
  });
}

Deno.test("a batch runs although the CQ is full of what never ends", async () => {
  await using kernel = patient();
  for (const fd of range(1, 8)) kernel.run(numbered(fd));
  await kernel.pass();
  kernel.react = (sqe) => sqe.fd > 8 ? kernel.post(sqe, 0) : kernel.keep(sqe);
  for (const slots of [false, true]) {
    assertEquals(kernel.batch([numbered(9), numbered(10)], slots), [0, 0]);
  }
  assertEquals(kernel.order, [...range(1, 10), 9, 10]);
});

Deno.test("closing drops what waits before it cancels anything, which may make room", async () => {
  await using kernel = patient({ entries: 1 });
  const all = range(1, 12).map((fd) => kernel.run(numbered(fd)));
  await kernel.pass();
  assertEquals(kernel.order, range(1, ROOM));
  // Two cancellations do not fit the queue, and commands complete meanwhile.
  kernel.answer = () => {
    kernel.answer = () => undefined;
    for (const fd of range(1, 3)) kernel.finish(fd, fd);
    return -EAGAIN;
  };
  await kernel.engine.close();
  assertEquals(kernel.order.filter((fd) => fd > 0), range(1, ROOM));
  assertEquals(all.map((told) => told.all.length), all.map(() => 1));
});

Deno.test("closing cancels no cancellation", async () => {
  await using kernel = patient({ cqEntries: 32 });
  const slots = range(1, 3).map((fd) => kernel.start(numbered(fd)));
  await kernel.pass();
  kernel.react = (sqe) => {
    if (sqe.opcode !== CANCEL) kernel.keep(sqe);
  };
  kernel.engine.queues.aborts.abort(slots[0], "reason");
  await kernel.pass();
  void kernel.engine.close();
  await kernel.pass();
  const cancels = kernel.taken.filter(({ opcode }) => opcode === CANCEL);
  assertEquals(cancels.length, 3);
});

Deno.test("a completion for a free slot settles no command", async () => {
  await using kernel = new FakeKernel();
  using strays = reportedErrors();
  kernel.run(numbered(1));
  await kernel.pass();
  const [{ low, high }] = kernel.taken;
  for (const next of [high, high + 1]) kernel.post({ low, high: next }, 5);
  await kernel.pass();
  assertEquals([strays.errors.length, kernel.engine.queues.room.inFlight], [
    2,
    0,
  ]);
});

Deno.test("of many cancellations so many are in flight as places are kept for them", async () => {
  await using kernel = patient();
  const slots = range(1, ROOM).map((fd) => kernel.start(numbered(fd)));
  await kernel.pass();
  kernel.react = () => {};
  for (const slot of slots) kernel.engine.queues.aborts.abort(slot, "reason");
  for (let i = 0; i < 3; i++) await kernel.pass();
  const cancels = () => kernel.taken.filter(({ opcode }) => opcode === CANCEL);
  assertEquals(cancels().length, 2);
  kernel.react = kernel.keep;
  for (const sqe of cancels()) kernel.post(sqe, 0);
  for (let i = 0; i < 6; i++) await kernel.pass();
  assertEquals(cancels().length, ROOM);
  for (const fd of kernel.kept.keys()) kernel.finish(fd);
});

Deno.test("on a mixed ring each command counts as a large completion", async () => {
  const flags = uapi.IORING_SETUP_CQE_MIXED;
  await using kernel = patient({ cqEntries: 16, flags });
  for (const fd of range(1, 9)) kernel.run(numbered(fd));
  for (let i = 0; i < 3; i++) await kernel.pass();
  // Sixteen places, less four for cancellations and one for a filler.
  assertEquals(kernel.taken.length, 5);
});

Deno.test("an SQE filled during a submission is held until it is submitted itself", async () => {
  await using kernel = patient({ hold: true });
  const opcode = uapi.IORING_OP_NOP;
  const queues = (fd: number) => () =>
    void kernel.run(numbered(fd, { opcode }));
  kernel.run(numbered(1, { decode: queues(3) }));
  await kernel.pass();
  kernel.react = (sqe) => kernel.post(sqe, 0);
  kernel.run(numbered(2, { opcode, decode: queues(4) }));
  kernel.answer = () => {
    kernel.answer = () => undefined;
    kernel.finish(1);
    return -EAGAIN;
  };
  for (let i = 0; i < 3; i++) await kernel.pass();
  assertEquals(kernel.order, [1, 2, 3, 4]);
});

Deno.test("where SQEs are held, no more commands are in flight than there are SQEs for", async () => {
  await using kernel = patient({ hold: true, entries: 16, cqEntries: 16 });
  for (const fd of range(1, 20)) kernel.run(numbered(fd));
  await kernel.pass();
  // Four are spared for cancellations.
  assertEquals(kernel.order, range(1, 12));
  for (const fd of range(1, 12)) kernel.finish(fd);
  for (let i = 0; i < 3; i++) await kernel.pass();
  assertEquals(kernel.order, range(1, 20));
});
