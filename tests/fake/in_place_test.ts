/** Commands with memory of alloc(), which need no slot in a batch. */

import { assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { createContext, runInContext } from "node:vm";
import { stub } from "@std/testing/mock";
import { readsOf, write } from "../../cmd/op.ts";
import { alloc, Command } from "../../ring/raw.ts";
import type { Completion } from "../../ring/completion.ts";
import { draftTo } from "../../ring/draft.ts";
import { UringError } from "../../ring/errors.ts";
import { Batch } from "../../ring/flight/batch.ts";
import { deliver } from "../../ring/flight/settle.ts";
import { Slot } from "../../ring/flight/slot.ts";
import { Kind } from "../../ring/kind.ts";
import { operand } from "../../ring/operand.ts";
import { arenaOf } from "../../sys/arena.ts";
import { libc } from "../../sys/libc.ts";
import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { ADDR } from "../kit/commands.ts";
import { FakeKernel, numbered, range, type Started } from "./fake.ts";

/** Returns the address that the kernel gets for memory of alloc(). */
const addressOf = (bytes: Uint8Array) =>
  arenaOf(bytes.buffer)!.address + bytes.byteOffset;

/** Returns the number of slots that are in use. */
const slotsOf = (kernel: FakeKernel) =>
  [...kernel.engine.queues.slots.busy()].length;

Deno.test("a batch gives the kernel the addresses of memory of alloc(), without slots", async () => {
  await using kernel = new FakeKernel({ entries: 8, cqEntries: 32 });
  const memory = alloc(1 << 20);
  const reads = readsOf(7, memory);
  // On both sides of a boundary of 64 KiB, where the upper part changes.
  const starts = [0, 1, 65535, 65536, 65537, 3 * 65536 + 12345, (1 << 20) - 1];
  const slots: number[] = [];
  kernel.react = (sqe) => {
    slots.push(slotsOf(kernel));
    kernel.post(sqe, 1);
  };
  const commands = starts.map((start) => reads.at(0, start, 1));
  assertEquals(kernel.batch(commands), starts.map(() => 1));
  const views = starts.map((start) => memory.subarray(start, start + 1));
  kernel.batch(views.map((view) => write(7, view)));
  const addresses = views.map((view) => BigInt(addressOf(view)));
  const given = kernel.taken.map(({ addr }) => addr);
  assertEquals(given, [...addresses, ...addresses]);
  assertEquals(slots, new Array(14).fill(0));
});

Deno.test("a command of a batch that has to wait gives the same address from a slot", async () => {
  await using kernel = new FakeKernel({ entries: 2, cqEntries: 4 });
  const memory = alloc(65536);
  const reads = readsOf(7, memory);
  kernel.react = kernel.keep;
  kernel.wait = () => kernel.finish(7, 1);
  const commands = range(0, 9).map((i) => reads.at(0, i * 8, 1));
  kernel.react = (sqe) => kernel.post(sqe, 1);
  assertEquals(kernel.batch(commands).length, 10);
  const base = addressOf(memory);
  const expected = range(0, 9).map((i) => BigInt(base + i * 8));
  assertEquals(kernel.taken.map(({ addr }) => addr), expected);
});

Deno.test("every command of a chain gives the address of its memory", async () => {
  await using kernel = new FakeKernel();
  const memory = alloc(65536);
  const reads = readsOf(7, memory);
  kernel.link([reads.at(0, 8, 1), reads.at(0, 16, 1), reads.at(0, 24, 1)]);
  await kernel.pass();
  const base = addressOf(memory);
  const expected = [8, 16, 24].map((start) => BigInt(base + start));
  assertEquals(kernel.taken.map(({ addr }) => addr), expected);
});

Deno.test("memory without room for an address refuses all of a batch", async () => {
  await using kernel = new FakeKernel({ entries: 2 });
  const commands = range(1, 8).map((fd) => write(fd, alloc(8)));
  commands.slice(0, 7).forEach((command) => command.aim());
  const { symbols, errno } = libc();
  {
    using _full = stub(symbols, "mremap", () => {
      errno[0] = E.ENOMEM;
      return 2n ** 64n - 1n;
    });
    const refused = () => kernel.batch(commands);
    assertThrows(refused, RangeError, "cannot be mapped: ENOMEM");
  }
  await kernel.pass();
  assertEquals(kernel.taken, []);
  assertEquals(kernel.batch(commands), new Array(8).fill(0));
  assertEquals(kernel.order, range(1, 8));
});

Deno.test("the memory of a batch counts as in use until its last completion", async () => {
  await using kernel = new FakeKernel({ entries: 4 });
  const memory = [alloc(8), alloc(8)];
  const { queues } = kernel.engine;
  const inUse = () => [...queues.arenas()];
  const arenas = memory.map(({ buffer }) => arenaOf(buffer)!);
  const seen: unknown[] = [];
  kernel.react = kernel.keep;
  kernel.wait = () => {
    seen.push(inUse());
    kernel.finish(Math.min(...kernel.kept.keys()));
  };
  kernel.batch(memory.map((bytes, fd) => write(fd, bytes)));
  assertEquals(seen[0], arenas);
  assertEquals(inUse(), []);
});

Deno.test("a ring that fails in a batch keeps the addresses of its memory", async () => {
  await using kernel = new FakeKernel({ entries: 4 });
  const memory = [alloc(8), alloc(8), alloc(8)];
  kernel.react = (sqe) => sqe.fd === 1 ? kernel.post(sqe, 8) : kernel.keep(sqe);
  kernel.answer = ({ minComplete }) => minComplete > 0 ? -E.EBADF : undefined;
  const run = () => kernel.batch(memory.map((bytes, fd) => write(fd, bytes)));
  const error = assertThrows(run, UringError, "EBADF");
  // Memory whose command has completed is the program's alone.
  const held = memory.map(({ buffer }) => arenaOf(buffer)!.held);
  assertEquals(held, [true, false, true]);
  // The batch has an error of its own, which has its results.
  assertEquals(kernel.engine.queues.failure?.message, error.message);
});

Deno.test("memory without room for an address refuses all of an awaited batch", async () => {
  await using kernel = new FakeKernel();
  const { queues } = kernel.engine;
  const { symbols, errno } = libc();
  {
    using _full = stub(symbols, "mremap", () => {
      errno[0] = E.ENOMEM;
      return 2n ** 64n - 1n;
    });
    const refused = () => kernel.startBatch([write(1, alloc(8))]);
    assertThrows(refused, RangeError, "cannot be mapped: ENOMEM");
  }
  await kernel.pass();
  assertEquals([kernel.taken, queues.batches.all()], [[], []]);
  assertEquals([...queues.arenas()], []);
});

// ---- Results -------------------------------------------------------------------

/** A command whose result is 77 if `res` is 0. */
function successful(
  fd: number,
  decode: (completion: Completion) => unknown = () => "decoded",
): Command<unknown> {
  const bytes = alloc(8);
  const operands = [operand(ADDR, { bytes, kernel: "both" })];
  const rest = { success: 77, expected: [E.ENODATA], decode, operands };
  return numbered(fd, rest);
}

for (const slots of [false, true]) {
  const how = slots ? "with a slot" : "without a slot";

  Deno.test(`the result of a command that succeeds is not decoded, ${how}`, async () => {
    await using kernel = new FakeKernel();
    const never = () => {
      throw new Error("it was decoded");
    };
    const commands = [successful(1, never), successful(2, never)];
    assertEquals(kernel.batch(commands, slots), [77, 77]);
    assertEquals(kernel.run(successful(3, never)).all, []);
    await kernel.pass();
  });

  Deno.test(`any other result of such a command is decoded, ${how}`, async () => {
    await using kernel = new FakeKernel();
    const all = [5, -E.ENODATA];
    kernel.react = (sqe) => kernel.post(sqe, all[sqe.fd]);
    const decode = (done: Completion) => [done.res, done.memory(0)];
    const commands = [0, 1].map((fd) => successful(fd, decode));
    const [first, second] = commands.map(({ operands }) => operands[0].bytes);
    const results = kernel.batch(commands, slots);
    assertEquals(results, [[5, first], [-E.ENODATA, second]]);
  });

  Deno.test(`a decoder that throws, and an errno, are errors of their commands, ${how}`, async () => {
    await using kernel = new FakeKernel();
    const all = [0, 5, -E.EIO];
    kernel.react = (sqe) => kernel.post(sqe, all[sqe.fd]);
    const own = new Error("the decoder's own");
    const commands = all.map((_, fd) =>
      successful(fd, () => {
        throw own;
      })
    );
    const error = assertThrows(() => kernel.batch(commands, slots), Error);
    assertEquals(error, own);
    const [first, second, third] = Reflect.get(error, "results");
    assertEquals(first, { status: "fulfilled", value: 77 });
    assertEquals(second, { status: "rejected", reason: own });
    assertInstanceOf(third.reason, UringError);
    assertEquals([third.reason.code, third.reason.op], ["EIO", "number 2"]);
  });
}

/** An awaited batch of two commands without slots, both in flight. */
async function started(
  kernel: FakeKernel,
  decode: (completion: Completion) => unknown,
): Promise<Started> {
  kernel.react = kernel.keep;
  const batch = kernel.startBatch([1, 2].map((fd) => successful(fd, decode)));
  await kernel.pass();
  assertEquals(slotsOf(kernel), 0);
  return batch;
}

Deno.test("an awaited batch has what its commands' decoders make", async () => {
  await using kernel = new FakeKernel();
  const { told } = await started(kernel, ({ res }) => ({ res }));
  kernel.finish(2, 5);
  kernel.finish(1);
  await kernel.pass();
  assertEquals(told, [[77, { res: 5 }]]);
});

Deno.test("an object that a decoder has made is not taken for a command in flight", async () => {
  await using kernel = new FakeKernel();
  const { batch, told } = await started(kernel, ({ res }) => ({ res }));
  const { queues } = kernel.engine;
  const [, second] = [...queues.arenas()];
  kernel.finish(1, 5);
  await kernel.pass();
  assertEquals([[...queues.arenas()], batch.left], [[second], 1]);
  queues.fail(E.ENOMEM);
  await kernel.pass();
  const [first, last] = Reflect.get(told[0] as Error, "results");
  assertEquals(first, { status: "fulfilled", value: { res: 5 } });
  assertEquals(last.reason.code, "ENOMEM");
});

Deno.test("a decoder that overflows the stack fails its own command of a batch, and no other call", async () => {
  await using kernel = new FakeKernel();
  let calls = 0;
  const endless = (): number => 1 + endless();
  const { told } = await started(kernel, () => calls++ === 0 ? endless() : 77);
  kernel.wait = () => {
    kernel.finish(1, 5);
    kernel.finish(3);
  };
  assertEquals(kernel.batch([numbered(3)]), [0]);
  kernel.finish(2);
  await kernel.pass();
  const [first, last] = Reflect.get(told[0] as Error, "results");
  assertEquals(
    `${first.reason}`,
    "RangeError: Maximum call stack size exceeded",
  );
  assertEquals([last.value, calls], [77, 1]);
});

for (const slots of [false, true]) {
  const how = slots ? "with a slot" : "without a slot";

  Deno.test(`a command of a batch ${how} is decoded again if the stack was full`, async () => {
    await using kernel = new FakeKernel();
    let calls = 0;
    const endless = (): number => 1 + endless();
    const decoded = (decode: () => unknown) => {
      const batch = new Batch(kernel.engine.queues, [numbered(1)], slots);
      const command = numbered(1, { decode });
      const slot = new Slot(0);
      slot.command = command;
      if (slots) batch.leave(0, slot);
      const again = (retry: boolean) => {
        if (slots) deliver(slot, kernel.cq, 5, 0, -1, retry);
        else batch.decode(0, command, kernel.cq, 5, retry);
      };
      return { batch, again };
    };
    decoded(() => 0).again(true); // V8 compiles what there is no stack for later.
    const { batch, again } = decoded(() => calls++ === 0 ? endless() : 77);
    let error: unknown;
    const dive = () => {
      try {
        dive();
      } catch {
        // This is the last frame that fits.
      }
      if (calls > 0) return; // There was room for the decoder's call.
      try {
        again(true);
      } catch (thrown) {
        error = thrown;
      }
    };
    dive();
    assertEquals(
      [`${error}`, calls, batch.left],
      ["RangeError: Maximum call stack size exceeded", 1, 1],
    );
    again(false); // As a turn does.
    assertEquals([batch.results, calls, batch.left], [[77], 2, 0]);
  });
}

Deno.test("a decoder that the timeout of node:vm has cut short is not called again", async () => {
  await using kernel = new FakeKernel();
  let calls = 0;
  let inside = true;
  const { told } = await started(kernel, () => {
    calls++;
    while (inside); // Until the timeout.
  });
  kernel.wait = () => {
    kernel.finish(1, 5);
    kernel.finish(3);
  };
  const context = createContext({ run: () => kernel.batch([numbered(3)]) });
  const run = () => runInContext("run()", context, { timeout: 5 });
  assertThrows(run); // What it throws is of the context.
  inside = false;
  kernel.finish(2);
  for (let i = 0; i < 3; i++) await kernel.pass(); // The event loop finds out.
  const [first, last] = Reflect.get(told[0] as Error, "results");
  assertEquals(
    `${first.reason}`,
    "Error: the decoder of number 1 was cut short",
  );
  assertEquals([last.value, calls], [77, 1]);
});

// ---- Waiting -------------------------------------------------------------------

const INDEPENDENT = new Kind<number>({
  name: "INDEPENDENT",
  opcode: uapi.IORING_OP_URING_CMD,
  independent: true,
});

for (
  const [what, others, waits] of [
    ["all of a batch whose commands are independent", [], [4]],
    ["one at a time if one of them is not", [5], [1, 1, 1, 1, 1]],
  ] as const
) {
  Deno.test(`a deferred ring waits for ${what}`, async () => {
    const flags = uapi.IORING_SETUP_DEFER_TASKRUN;
    await using kernel = new FakeKernel({ flags, entries: 8 });
    kernel.react = kernel.keep;
    kernel.wait = () => kernel.finish(Math.min(...kernel.kept.keys()));
    const commands: Command<unknown>[] = range(1, 4).map((fd) =>
      new Command<number>(draftTo(INDEPENDENT, fd))
    );
    commands.push(...others.map((fd) => numbered(fd)));
    kernel.batch(commands);
    const waited = kernel.calls.map(({ minComplete }) => minComplete);
    assertEquals(waited.filter((count) => count > 0), [...waits]);
    kernel.calls.length = 0;
    kernel.batch(commands, true);
    const slotted = kernel.calls.map(({ minComplete }) => minComplete);
    assertEquals(slotted.filter((count) => count > 0), [...waits]);
    // With the submission, if nothing needs the thread before.
    assertEquals(slotted[0], others.length === 0 ? 4 : 0);
  });
}

Deno.test("a deferred ring with other commands in flight waits for one at a time", async () => {
  const flags = uapi.IORING_SETUP_DEFER_TASKRUN;
  await using kernel = new FakeKernel({ flags, entries: 8 });
  kernel.react = kernel.keep;
  kernel.run(numbered(9)); // It may hold what the batch needs.
  await kernel.pass();
  kernel.wait = () => kernel.finish(Math.max(...kernel.kept.keys()));
  kernel.calls.length = 0;
  kernel.batch(
    range(1, 3).map((fd) => new Command<number>(draftTo(INDEPENDENT, fd))),
  );
  const waited = kernel.calls.map(({ minComplete }) => minComplete);
  assertEquals(waited.filter((count) => count > 0), [1, 1, 1, 1]);
});
