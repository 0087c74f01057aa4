/** While completions are delivered, the ring only queues. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertThrows,
} from "@std/assert";
import * as op from "../../cmd/op.ts";
import { UringError } from "../../ring/errors.ts";
import { E } from "../../sys/uapi/errno.ts";
import {
  IORING_CQE_F_MORE as MORE,
  IORING_OP_ASYNC_CANCEL,
} from "../../sys/uapi/io_uring.ts";
import { reportedErrors } from "../kit/reported_errors.ts";
import { turn } from "../kit/wait.ts";
import type { Slot } from "../../ring/flight/slot.ts";
import {
  FakeKernel,
  numbered,
  type Sqe,
  throwOnce,
  Told,
  userData,
} from "./fake.ts";

/** The program's code that a delivery calls. */
const PLACES = {
  "a decoder": (act: () => void) =>
    numbered(1, { decode: () => (act(), "decoded") }),
  "advice": (act: () => void) =>
    numbered(1, { advice: () => (act(), "advice") }),
  "a result's then": (act: () => void) =>
    numbered(1, {
      decode: () => ({
        get then() {
          return act();
        },
      }),
    }),
};

/** Delivers a command whose code does something while it is delivered. */
async function deliver(
  kernel: FakeKernel,
  place: keyof typeof PLACES,
  act: () => void,
): Promise<void> {
  const slot = kernel.start(PLACES[place](act));
  void slot.await(); // Another promise of it would ask for `then` again.
  slot.receiver = {
    value: (slot, value) => slot.resolve!(value),
    error() {},
    end() {},
  };
  await kernel.pass();
  kernel.finish(1, place === "advice" ? -5 : 0);
  await kernel.pass();
}

for (const place of Object.keys(PLACES) as (keyof typeof PLACES)[]) {
  Deno.test(`in ${place}, a command is queued and submitted in the next turn`, async () => {
    await using kernel = new FakeKernel();
    kernel.react = kernel.keep;
    let calls = -1;
    const told = new Told();
    await deliver(kernel, place, () => {
      const before = kernel.calls.length;
      for (let fd = 2; fd < 9; fd++) kernel.run(numbered(fd), told);
      calls = kernel.calls.length - before;
    });
    assertEquals(calls, 0); // The queue has four places: it is full.
    for (let i = 0; i < 3; i++) await kernel.pass();
    assertEquals(kernel.order, [1, 2, 3, 4, 5, 6, 7]);
  });

  Deno.test(`in ${place}, a synchronous call throws and leaves no trace`, async () => {
    await using kernel = new FakeKernel();
    kernel.react = kernel.keep;
    let error: unknown;
    await deliver(kernel, place, () => {
      error = assertThrows(() => kernel.batch([numbered(2)]));
    });
    assertInstanceOf(error, TypeError);
    kernel.react = (sqe) => kernel.post(sqe, 7);
    assertEquals(kernel.batch([numbered(3)]), [7]);
    assertEquals(kernel.order, [1, 3]);
  });

  Deno.test(`in ${place}, an abort takes effect in the next turn`, async () => {
    await using kernel = new FakeKernel();
    kernel.react = kernel.keep;
    const others = [2, 3, 4, 5, 6, 7, 8, 9].map((fd) => {
      const told = new Told();
      return { told, slot: kernel.start(numbered(fd), told) };
    });
    let during: unknown[] = [];
    await deliver(kernel, place, () => {
      const { queues } = kernel.engine;
      for (const { slot } of others) queues.aborts.abort(slot, "reason");
      during = others.flatMap(({ told }) => told.all);
    }).catch(() => {});
    // The command with the code waits until there is room for it.
    for (let i = 0; i < 9 && kernel.kept.has(1) === false; i++) {
      for (const fd of [...kernel.kept.keys()]) kernel.finish(fd);
      await kernel.pass();
    }
    assertEquals(during, []);
  });

  Deno.test(`in ${place}, close() takes effect in the next turn`, async () => {
    await using kernel = new FakeKernel();
    kernel.react = kernel.keep;
    const other = kernel.run(numbered(2));
    let during: unknown[] = [];
    let closed: Promise<void> | undefined;
    await deliver(kernel, place, () => {
      closed = kernel.engine.close();
      during = [kernel.closed, ...other.all];
    });
    assertEquals(during, [false]);
    await closed;
    assertEquals([kernel.closed, other.all.length], [true, 1]);
  });
}

Deno.test("no receiver runs inside another, however a decoder calls for it", async () => {
  await using kernel = new FakeKernel({ cqEntries: 32 });
  kernel.react = kernel.keep;
  let depth = 0;
  let deepest = 0;
  const slots = Array.from({ length: 12 }, (_, i) =>
    kernel.start(
      numbered(i, {
        decode: () => {
          deepest = Math.max(deepest, ++depth);
          for (const slot of slots) {
            kernel.engine.queues.aborts.abort(slot, "reason");
          }
          kernel.run(numbered(100 + i));
          depth--;
        },
      }),
      {
        value: () => deepest = Math.max(deepest, depth + 1),
        error: () => deepest = Math.max(deepest, depth + 1),
        end() {},
      },
    ));
  await kernel.pass();
  for (const fd of [...kernel.kept.keys()]) kernel.finish(fd);
  for (let i = 0; i < 3; i++) await kernel.pass();
  assertEquals(deepest, 1);
});

Deno.test("completions reach a stream in order, whatever its decoder queues", async () => {
  await using kernel = new FakeKernel({ cqEntries: 64 });
  kernel.react = (sqe) => sqe.fd === 1 ? undefined : kernel.post(sqe, 0);
  const told = kernel.run(numbered(1, {
    multishot: true,
    decode: ({ res }) => {
      kernel.run(numbered(2));
      return res;
    },
  }));
  await kernel.pass();
  const values = Array.from({ length: 30 }, (_, i) => i);
  for (const value of values) kernel.post(kernel.taken[0], value, MORE);
  for (let i = 0; i < 4; i++) await kernel.pass();
  kernel.post(kernel.taken[0], 30);
  await kernel.pass();
  assertEquals(told.all, [...values, 30, "end"]);
});

/** Returns a reaction of a driver that cannot cancel. */
function keepAll(kernel: FakeKernel): (sqe: Sqe) => void {
  return (sqe) => {
    if (sqe.opcode === IORING_OP_ASYNC_CANCEL) kernel.post(sqe, -E.EALREADY);
    else kernel.keep(sqe);
  };
}

for (
  const [how, busy] of [
    ["an exception", null],
    ["the timeout of node:vm", "sync"], // No `finally` has run.
  ] as const
) {
  Deno.test(`a synchronous call that ${how} cuts short is put in order by the next one`, async () => {
    await using kernel = new FakeKernel();
    using strays = reportedErrors();
    kernel.react = keepAll(kernel);
    const { queues } = kernel.engine;
    let cut = true;
    kernel.answer = () => {
      if (!cut) return undefined;
      kernel.take();
      cut = false;
      throw new Error("cut short");
    };
    assertThrows(() => kernel.batch([numbered(1), numbered(2)]), Error, "cut");
    queues.busy = busy;
    kernel.wait = () => kernel.finish(3, 7);
    assertEquals(kernel.batch([numbered(3)]), [7]);
    // What it has left in the kernel is to be cancelled, and completes for no one.
    const cancelled = kernel.taken.filter(({ opcode }) =>
      opcode === IORING_OP_ASYNC_CANCEL
    );
    assertEquals(
      cancelled.map(({ addr }) => addr),
      [1, 2].map((fd) => userData(kernel.kept.get(fd)!)),
    );
    for (const fd of [1, 2]) kernel.finish(fd);
    await kernel.pass();
    assertEquals([queues.room.inFlight, strays.errors], [0, []]);
  });
}

Deno.test("what still waits of a synchronous call that was cut short never runs", async () => {
  await using kernel = new FakeKernel();
  kernel.react = kernel.keep;
  // The CQ has room for six, and the call forces one of its own in.
  const before = [1, 2, 3, 4, 5, 6, 7].map((fd) => kernel.run(numbered(fd)));
  kernel.wait = () => {
    throw new Error("cut short");
  };
  const cut = () => kernel.batch([numbered(8), numbered(9)]);
  assertThrows(cut, Error, "cut short");
  kernel.wait = () => {};
  await kernel.pass();
  const after = kernel.run(numbered(10));
  for (let i = 0; i < 4; i++) {
    for (const fd of [...kernel.kept.keys()]) kernel.finish(fd, fd);
    await kernel.pass();
  }
  const { room, waiting, batches } = kernel.engine.queues;
  assertEquals(
    before.map(({ all }) => all),
    [1, 2, 3, 4, 5, 6, 7].map((fd) => [
      fd,
    ]),
  );
  assertEquals([after.all, kernel.order.includes(9)], [[10], false]);
  assertEquals([room.inFlight, waiting.length, batches.all()], [0, 0, []]);
});

Deno.test("a call that was cut short leaves its commands their memory until they complete", async () => {
  await using kernel = new FakeKernel();
  using strays = reportedErrors();
  kernel.react = keepAll(kernel);
  const { queues } = kernel.engine;
  kernel.wait = () => {
    throw new Error("cut short");
  };
  assertThrows(() => kernel.batch([numbered(1)], true), Error, "cut short");
  kernel.wait = () => {};
  await kernel.pass();
  assertEquals([...queues.commands()].length, 1); // The kernel has it.
  kernel.finish(1);
  await kernel.pass();
  assertEquals([...queues.commands()].length, 0);
  assertEquals([queues.room.inFlight, strays.errors], [0, []]);
});

Deno.test("a call that was cut short in a decoder is put in order by the event loop", async () => {
  await using kernel = new FakeKernel();
  kernel.react = (sqe) => kernel.post(sqe, 0);
  kernel.engine.queues.busy = "program"; // As the timeout of node:vm leaves it.
  assertThrows(() => kernel.batch([numbered(1)]), TypeError, "decoder");
  await turn();
  await turn();
  assertEquals(kernel.batch([numbered(1)]), [0]);
});

for (const place of ["cq.step", "slots.give"]) {
  for (
    const [what, rest, expected] of [
      ["a result", { decode: () => "decoded" }, ["decoded"]],
      ["a number", {}, [7]],
      ["an error", { expected: [] }, ["EIO"]],
      ["the end of a stream", { multishot: true }, [7, "end"]],
    ] as const
  ) {
    Deno.test(`a call that is cut short in ${place}() delivers ${what} once`, async () => {
      await using kernel = new FakeKernel();
      using strays = reportedErrors();
      kernel.react = kernel.keep;
      const { queues } = kernel.engine;
      const told = [0, 1].map((fd) => kernel.run(numbered(fd, rest)));
      await kernel.pass();
      const res = what === "an error" ? -E.EIO : 7;
      for (const fd of [0, 1]) kernel.finish(fd, res);
      const [owner, method] = place.split(".") as ["cq" | "slots", string];
      throwOnce(queues[owner], method);
      assertThrows(() => queues.reapPosted(), RangeError, "cut short");
      assertEquals(queues.reapPosted(), 2);
      const outcomes = told.map(({ all }) =>
        all.map((it) => it instanceof UringError ? it.code : it)
      );
      assertEquals(outcomes, [[...expected], [...expected]]);
      assertEquals([queues.room.inFlight, strays.errors], [0, []]);
    });
  }
}

Deno.test("a slot that a call has taken and not queued is given back by the next turn", async () => {
  await using kernel = new FakeKernel();
  const { queues } = kernel.engine;
  queues.taking = true;
  const slot = queues.slots.take(numbered(1));
  await kernel.pass();
  assertEquals([slot.command, queues.taking], [null, false]);
});

Deno.test("a cancellation after a synchronous call that was cut short stays in the queue", async () => {
  await using kernel = new FakeKernel();
  kernel.react = kernel.keep;
  const told = new Told();
  const slot = kernel.start(numbered(1), told);
  await kernel.pass();
  const { queues } = kernel.engine;
  throwOnce(queues, "enter");
  throwOnce(queues.recovery, "leaveBatch"); // As node:vm's timeout, which runs no `catch`.
  assertThrows(() => kernel.batch([numbered(2)]), RangeError, "cut short");
  queues.aborts.abort(slot, "reason");
  queues.recovery.putInOrder();
  await kernel.pass();
  assertEquals([told.all, kernel.order.includes(2)], [["reason"], false]);
});

Deno.test("a decoder's abort of a command that waits settles it in the next turn", async () => {
  await using kernel = new FakeKernel();
  kernel.react = kernel.keep;
  const told = new Told();
  let during: unknown[] = [];
  kernel.start(numbered(1, {
    decode: () => {
      kernel.engine.queues.aborts.abort(last, "reason");
      during = [...told.all];
    },
  }));
  for (let fd = 2; fd < 12; fd++) kernel.run(numbered(fd));
  const last = kernel.start(numbered(12), told);
  await kernel.pass();
  kernel.finish(1);
  await kernel.pass();
  assertEquals([during, told.all], [[], ["reason"]]);
});

Deno.test("an abort that was noted does not meet the next command of its slot", async () => {
  await using kernel = new FakeKernel();
  kernel.react = kernel.keep;
  const { queues } = kernel.engine;
  const next = new Told();
  const slots: Slot[] = [
    kernel.start(numbered(0, {
      decode: () => queues.aborts.abort(slots[1], "reason"),
    })),
    kernel.start(numbered(1)),
    kernel.start(numbered(2, {
      decode: () => {
        const slot = queues.slots.take(numbered(3));
        slot.receiver = next;
        queues.enqueue(slot);
        same = slot === slots[1];
      },
    })),
  ];
  let same = false;
  await kernel.pass();
  for (const fd of [0, 1, 2]) kernel.finish(fd);
  await kernel.pass();
  await kernel.pass();
  kernel.finish(3, 7);
  await kernel.pass();
  assertEquals([same, next.all], [true, [7]]);
});

Deno.test("a batch that was cut short in a decoder completes for no one", async () => {
  await using kernel = new FakeKernel();
  using strays = reportedErrors();
  kernel.react = keepAll(kernel);
  const { queues } = kernel.engine;
  kernel.wait = () => {
    throw new Error("cut short");
  };
  throwOnce(queues.recovery, "leaveBatch");
  assertThrows(() => kernel.batch([numbered(1)]), RangeError, "cut short");
  queues.busy = "program"; // As the timeout of node:vm leaves it.
  await kernel.pass();
  await turn();
  // It may never complete by itself.
  const [{ addr }] = kernel.taken.filter(({ opcode }) =>
    opcode === IORING_OP_ASYNC_CANCEL
  );
  assertEquals(addr, userData(kernel.kept.get(1)!));
  kernel.wait = () => kernel.finish(2, 7);
  assertEquals(kernel.batch([numbered(2)]), [7]);
  kernel.finish(1);
  await kernel.pass();
  assertEquals([queues.room.inFlight, strays.errors], [0, []]);
});

/** Runs command 2 by a synchronous call, in which command 1 completes as well. */
function runBeside(kernel: FakeKernel): void {
  kernel.wait = () => {
    if (kernel.kept.has(1)) kernel.finish(1);
    if (kernel.kept.has(2)) kernel.finish(2, 7);
  };
  assertEquals(kernel.batch([numbered(2)]), [7]);
}

Deno.test("a decoder that overflows the stack fails its own command, and no synchronous call", async () => {
  await using kernel = new FakeKernel();
  const told = new Told();
  let runs = 0;
  const endless = (): number => 1 + endless();
  kernel.react = kernel.keep;
  const decode = () => {
    runs++;
    return endless();
  };
  kernel.run(numbered(1, { decode }), told);
  await kernel.pass();
  runBeside(kernel);
  assertEquals(told.all.map(String), [
    "RangeError: Maximum call stack size exceeded",
  ]);
  assertEquals(runs, 1);
});

Deno.test("what a decoder throws is not asked anything", async () => {
  await using kernel = new FakeKernel();
  const told = new Told();
  kernel.react = kernel.keep;
  const thrown = new Proxy({}, {
    get: () => asked++,
    getPrototypeOf: () => {
      throw new Error("the trap ran");
    },
  });
  let asked = 0;
  const decode = () => {
    throw thrown;
  };
  kernel.run(numbered(1, { decode }), told);
  await kernel.pass();
  runBeside(kernel);
  assert(told.all[0] === thrown);
  assertEquals(asked, 0);
});

Deno.test("a command whose memory is refused leaves nothing to be put in order", async () => {
  await using kernel = new FakeKernel();
  const { queues } = kernel.engine;
  const gone = new Uint8Array(8);
  const command = op.write(0, gone);
  structuredClone(gone.buffer, { transfer: [gone.buffer] });
  assertThrows(() => queues.take(command), TypeError, "memory of WRITE");
  assertEquals(queues.taking, false);
});

Deno.test("what is queued, and what is over, leaves nothing to be put in order", async () => {
  await using kernel = new FakeKernel({ entries: 1, cqEntries: 4 });
  const { queues } = kernel.engine;
  const slotted = () => numbered(1, { decode: () => 7 });
  for (let i = 0; i < 6; i++) { // The last ones wait.
    const slot = queues.take(slotted());
    slot.receiver = new Told();
    queues.enqueue(slot);
    assertEquals(queues.taking, false);
  }
  kernel.startBatch([slotted(), slotted()]);
  assertEquals(queues.taking, false);
  kernel.batch([slotted(), numbered(2)]);
  assertEquals([queues.taking, queues.batch], [false, null]);
});
