/** Batches that are awaited: `ring.cmdAll`, on the real kernel. */

import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { Ring, type RingOptions, uringCmd, UringError } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import { Command } from "../../ring/command.ts";
import { IORING_OP_NOP } from "../../sys/uapi/io_uring.ts";
import { message } from "../kit/commands.ts";
import { devNull, pipe, unixPair, writeSync } from "../kit/fds.ts";
import { pretendRelease } from "../kit/refuse.ts";
import { reportedErrors } from "../kit/reported_errors.ts";
import { lacksFlag, testUnless } from "../kit/skip.ts";
import { turn, until } from "../kit/wait.ts";

/** Makes a NOP whose decoder runs a function of the test. */
function decoded<T>(decode: () => T): Command<T> {
  return new Command({ name: "NOP", opcode: IORING_OP_NOP, decode });
}

/** A command that is in flight until the pipe can be read. It needs no slot. */
const readable = (fd: number) => op.poll(fd, { events: op.POLLIN });

/** A command without a slot that fails with EBADF. */
const bad = (fd = 9999) => op.poll(fd, { events: op.POLLIN });

/** An error with the outcomes of a batch. */
type WithResults = { results?: readonly PromiseSettledResult<unknown>[] };

/** Returns the outcomes that a failed batch tells of: values, and codes or names. */
function outcomesOf(error: unknown): unknown[] {
  return (error as WithResults).results!.map((it) => {
    if (it.status === "fulfilled") return it.value;
    return it.reason instanceof UringError
      ? it.reason.code
      : it.reason?.name ?? it.reason;
  });
}

/** Returns the error that a batch rejects with. */
async function failure(running: Promise<unknown>): Promise<unknown> {
  try {
    await running;
  } catch (error) {
    return error;
  }
  throw new Error("the batch has not failed");
}

// ---- Results -----------------------------------------------------------------

interface Kind {
  readonly options?: RingOptions;
  readonly missing?: string;
  /** `true` to open the ring as on Linux 6.12, which reads SQEs again. */
  readonly held?: boolean;
}

const KINDS: Readonly<Record<string, Kind>> = {
  "without options": {},
  "of four entries": { options: { entries: 4, cqEntries: 8 } },
  "of one entry": { options: { entries: 1, cqEntries: 2 } },
  "with large entries": { options: { sqe128: true, cqe32: true } },
  "of both sizes": {
    options: { mixed: true, entries: 4 },
    missing: lacksFlag("SQE_MIXED"),
  },
  "with sqpoll": {
    options: { entries: 8, sqpoll: { idleMs: 1 } },
    missing: lacksFlag("SQPOLL"),
  },
  "with deferTaskrun": {
    options: { deferTaskrun: true },
    missing: lacksFlag("DEFER_TASKRUN"),
  },
  "with iopoll": { options: { iopoll: true } },
  "that holds its SQEs": { options: { entries: 8 }, held: true },
};

for (const [kind, { options, missing = "", held }] of Object.entries(KINDS)) {
  const open = () => {
    using _release = held ? pretendRelease("6.12.0") : null;
    return Ring.open(options);
  };

  testUnless(
    missing,
    `results have the order of the commands, on a ring ${kind}`,
    async () => {
      await using ring = open();
      const commands = Array.from(
        { length: 300 },
        (_, i) => i % 3 === 1 ? decoded(() => i) : op.nop(),
      );
      const expected = commands.map((_, i) => i % 3 === 1 ? i : 0);
      for (const length of [1, 2, 5, 300]) {
        const part = commands.slice(0, length);
        assertEquals<unknown>(
          await ring.cmdAll(part),
          expected.slice(0, length),
        );
      }
      const nops = Array(500).fill(op.nop());
      assertEquals(await ring.cmdAll(nops), Array(500).fill(0));
      const { inFlight, waiting, submitted, completions } = ring.stats();
      assertEquals([inFlight, waiting, submitted], [0, 0, completions]);
    },
  );

  if (kind === "with iopoll") continue; // Its files have to be polled.

  testUnless(
    missing,
    `late and early completions make one batch, on a ring ${kind}`,
    async () => {
      await using ring = open();
      using ends = pipe();
      const into = new Uint8Array(4);
      const abort = new AbortController();
      const all = ring.cmdAll(
        [op.nop(), readable(ends.left), op.read(ends.left, into), op.nop()],
        abort,
      );
      const later = ring.cmd(op.nop());
      await turn();
      writeSync(ends.right, "late");
      assertEquals(await all, [0, op.POLLIN, 4, 0]);
      assertEquals(into, new TextEncoder().encode("late"));
      assertEquals(await later, 0);
      abort.abort(); // It is over: there is nothing to cancel.
      await turn();
      assertEquals(ring.stats().inFlight, 0);
    },
  );

  testUnless(
    missing,
    `an abort cancels what is in flight and drops what waits, on a ring ${kind}`,
    async () => {
      await using ring = open();
      using ends = pipe();
      const abort = new AbortController();
      const reason = new Error("enough");
      const commands = Array.from(
        { length: 400 },
        (_, i) =>
          i % 4 === 3
            ? op.read(ends.left, new Uint8Array(1))
            : readable(ends.left),
      );
      const all = ring.cmdAll([op.nop(), bad(), ...commands], abort);
      await turn();
      const other = ring.cmd(op.nop());
      abort.abort(reason);
      assertStrictEquals(await failure(all), reason);
      const outcomes = outcomesOf(reason);
      assertEquals(outcomes.slice(0, 2), [0, "EBADF"]);
      assertEquals(new Set(outcomes.slice(2)), new Set(["Error"]));
      assertEquals(await other, 0);
      const { inFlight, waiting } = ring.stats();
      assertEquals([inFlight, waiting], [0, 0]);
    },
  );
}

Deno.test("the results of commands of several types have a type each", async () => {
  await using ring = Ring.open();
  const text = decoded(() => "text");
  const results: [string, number, void] = await ring.cmdAll([
    text,
    op.nop(),
    op.timeout(1),
  ]);
  assertEquals(results, ["text", 0, undefined]);
  const numbers: number[] = await ring.cmdAll([1, 2].map(() => op.nop()));
  assertEquals(numbers, [0, 0]);
});

Deno.test("a batch of no commands resolves with no results", async () => {
  const ring = Ring.open();
  assertEquals(await ring.cmdAll([]), []);
  assertEquals(ring.cmdAllSync([]), []);
  assertEquals(ring.stats().enters, 0);
  await ring.close();
});

Deno.test("one command may be in a batch many times, and in many batches", async () => {
  await using ring = Ring.open();
  using file = devNull();
  const command = uringCmd({ fd: file.fd, cmd_op: 0 });
  const read = op.read(file.fd, new Uint8Array(8));
  const all = Array.from(
    { length: 20 },
    () => ring.cmdAll([command, read, command, read]),
  );
  assertEquals(await Promise.all(all), Array(20).fill([0, 0, 0, 0]));
});

Deno.test("memory is copied when a batch is made, and back before it resolves", async () => {
  await using ring = Ring.open({ entries: 2 });
  using ends = unixPair(); // Before Linux 6.5, pipes keep no order among workers.
  const texts = Array.from({ length: 20 }, (_, i) => Uint8Array.of(i));
  const writes = ring.cmdAll(texts.map((each) => op.write(ends.right, each)));
  for (const each of texts) each.fill(99); // The caller may use it again at once.
  assertEquals(await writes, Array(20).fill(1));
  const into = texts.map(() => new Uint8Array(1));
  await ring.cmdAll(into.map((each) => op.read(ends.left, each)));
  assertEquals(into.map(([byte]) => byte), texts.map((_, i) => i));
});

Deno.test("thousands of batches in flight resolve each with its own results", async () => {
  await using ring = Ring.open({ entries: 64, cqEntries: 16384 });
  using ends = pipe();
  const late = readable(ends.left);
  let resolved = 0;
  const all = Array.from(
    { length: 3000 },
    (_, i) =>
      ring.cmdAll([late, decoded(() => i), late]).then((results) => {
        resolved++;
        return results;
      }),
  );
  await turn();
  assertEquals(ring.stats().inFlight, 6000);
  // Others come and go meanwhile.
  for (let i = 0; i < 100; i++) {
    assertEquals(await ring.cmdAll([op.nop(), op.nop()]), [0, 0]);
  }
  assertEquals(resolved, 0);
  writeSync(ends.right, "x");
  const results = await Promise.all(all);
  assertEquals(results, all.map((_, i) => [op.POLLIN, i, op.POLLIN]));
});

Deno.test("batches run in order with the commands before and after them", async () => {
  await using ring = Ring.open({ entries: 4, cqEntries: 8 });
  using ends = unixPair();
  let numbers = 0;
  const write = () => op.write(ends.right, Uint8Array.of(numbers++));
  const all = [
    ring.cmd(write()),
    ring.cmdAll(Array.from({ length: 40 }, write)),
    ring.cmd(write()),
    ring.cmdAll(Array.from({ length: 40 }, write)),
    ring.cmd(write()),
  ];
  assertGreater(ring.stats().waiting, 60);
  ring.cmdAllSync([write(), write()]);
  await Promise.all<unknown>(all);
  const bytes = new Uint8Array(256);
  assertEquals(await ring.cmd(op.read(ends.left, bytes)), numbers);
  assertEquals(
    [...bytes.subarray(0, numbers)],
    Array.from({ length: numbers }, (_, i) => i),
  );
});

Deno.test("a batch that is larger than the ring waits without losing count", async () => {
  await using ring = Ring.open({ entries: 4, cqEntries: 8 });
  using ends = pipe();
  const all = ring.cmdAll(Array(1000).fill(readable(ends.left)));
  const { inFlight, waiting } = ring.stats();
  assertEquals(inFlight + waiting, 1000);
  assertLess(inFlight, 9);
  writeSync(ends.right, "x");
  assertEquals(await all, Array(1000).fill(op.POLLIN));
  assertEquals(ring.stats().waiting, 0);
});

// ---- Failures ----------------------------------------------------------------

Deno.test("a batch rejects with its first error once all have completed, and tells of all", async () => {
  await using ring = Ring.open();
  using ends = pipe();
  const thrown = new TypeError("thrown");
  const all = ring.cmdAll([
    op.nop(),
    readable(ends.left),
    bad(9998),
    decoded(() => "fine"),
    decoded(() => {
      throw thrown;
    }),
    bad(9999),
  ]);
  let settled = false;
  all.catch(() => settled = true);
  await turn();
  await turn();
  assertEquals(settled, false);
  writeSync(ends.right, "x");
  const error = await assertRejects(() => all, UringError, "fd 9998");
  assertEquals(outcomesOf(error), [
    ...[0, op.POLLIN, "EBADF", "fine", "TypeError", "EBADF"],
  ]);
  assertEquals(Object.keys(error).includes("results"), false);
  // As cmdAllSync tells it.
  const sync = assertThrows(() => ring.cmdAllSync([op.nop(), bad()]));
  assertEquals(outcomesOf(sync), [0, "EBADF"]);
});

Deno.test("a batch of one command rejects with its error as cmd does", async () => {
  await using ring = Ring.open();
  const error = await assertRejects(() => ring.cmdAll([bad()]), UringError);
  assertEquals([error.code, (error as WithResults).results], [
    "EBADF",
    undefined,
  ]);
});

Deno.test("descriptors that a failed batch has opened can be closed", async () => {
  await using ring = Ring.open();
  const missing = op.openat("/dev/null/none");
  const opens = [op.openat("/dev/null"), missing, op.openat("/dev/null")];
  const error = await failure(ring.cmdAll(opens));
  const { results } = error as WithResults;
  const fds = results!.flatMap((it) =>
    it.status === "fulfilled" ? [it.value as number] : []
  );
  assertEquals(fds.length, 2);
  assertEquals(await ring.cmdAll(fds.map((fd) => op.close(fd))), [0, 0]);
});

Deno.test("what a batch refuses it refuses before any command is queued", async () => {
  const ring = Ring.open();
  const other = Ring.open();
  using file = devNull();
  const [fixed] = other.registerFiles([file.fd]);
  const abort = new AbortController();
  const reason = new Error("before");
  abort.abort(reason);
  const detached = new Uint8Array(8);
  const write = op.write(file.fd, detached);
  detached.buffer.transfer();
  const nop = op.nop();
  const refused: [unknown[], unknown, string][] = [
    [[nop, "nop"], undefined, "not a command"],
    [[nop, undefined], undefined, "missing"],
    [{ length: 1 } as never, undefined, "must be an array"],
    [[nop, uringCmd({ fd: fixed, cmd_op: 0 })], undefined, "table of files"],
    [[nop, write], undefined, "detached"],
    [[nop], { signal: 1 }, "AbortSignal"],
    [[nop], 1, "options must be an object"],
    [[nop], abort, "before"],
  ];
  for (const [commands, options, text] of refused) {
    const run = () => ring.cmdAll(commands as [], options as undefined);
    await assertRejects(run, Error, text);
  }
  await turn();
  assertEquals(ring.stats().submitted, 0);
  assertThrows(() => ring.cmdAllSync([nop, write]), TypeError, "detached");
  await ring.close();
  await other.close();
  await assertRejects(() => ring.cmdAll([nop]), TypeError, "closed");
});

Deno.test("a list that closes the ring while it is read queues nothing", async () => {
  const ring = Ring.open();
  const commands = [op.nop(), op.nop()];
  let closed: Promise<void> | undefined;
  Object.defineProperty(commands, 1, {
    get: () => {
      closed ??= ring.close();
      return op.nop();
    },
  });
  await assertRejects(() => ring.cmdAll(commands), TypeError, "closed");
  await closed;
  assertEquals(ring.stats().submitted, 0);
});

// ---- Aborts and the end --------------------------------------------------------

Deno.test("a batch that completed although it was aborted resolves", async () => {
  await using ring = Ring.open();
  const abort = new AbortController();
  const all = ring.cmdAll([op.nop(), decoded(() => 1)], abort);
  abort.abort();
  assertEquals(await all, [0, 1]);
});

Deno.test("of an aborted batch each command has its own outcome if it was faster", async () => {
  await using ring = Ring.open();
  using first = pipe();
  using second = pipe();
  const abort = new AbortController();
  const all = ring.cmdAll(
    [bad(), readable(first.left), readable(second.left)],
    abort,
  );
  await turn();
  writeSync(first.right, "x");
  await until(() => ring.stats().inFlight === 1);
  abort.abort();
  const error = await failure(all);
  // The reason comes before the first error.
  assertStrictEquals(error, abort.signal.reason);
  assertEquals(outcomesOf(error), ["EBADF", op.POLLIN, "AbortError"]);
});

Deno.test("a reason that is no object rejects the batch as it is", async () => {
  await using ring = Ring.open();
  using ends = pipe();
  for (const reason of ["text", null, 0, Object.freeze({ name: "frozen" })]) {
    const abort = new AbortController();
    const all = ring.cmdAll(Array(3).fill(readable(ends.left)), abort);
    abort.abort(reason);
    assertStrictEquals(await failure(all), reason);
  }
});

Deno.test("one signal aborts commands and batches, and leaves others alone", async () => {
  await using ring = Ring.open();
  using ends = pipe();
  const abort = new AbortController();
  const late = readable(ends.left);
  const aborted = [
    ring.cmdAll([late, late], abort),
    ring.cmd(late, abort),
    ring.cmdAll([late, op.nop()], abort),
  ];
  const others = [ring.cmdAll([late, late]), ring.cmdAll([op.nop(), late])];
  await turn();
  abort.abort("enough");
  for (const each of aborted) assertEquals(await failure(each), "enough");
  assertEquals(ring.stats().inFlight, 3);
  writeSync(ends.right, "x");
  assertEquals(await Promise.all(others), [[1, 1], [0, 1]]);
});

Deno.test("aborting ten thousand commands of a batch takes no more calls than they need", async () => {
  await using ring = Ring.open({ entries: 64, cqEntries: 16384 });
  using ends = pipe();
  const abort = new AbortController();
  const all = ring.cmdAll(Array(10_000).fill(readable(ends.left)), abort);
  await turn();
  assertEquals(ring.stats().inFlight, 10_000);
  const { enters, submitted } = ring.stats();
  abort.abort("enough");
  assertEquals(await failure(all), "enough");
  const after = ring.stats();
  assertEquals(after.submitted - submitted, 10_000); // A cancellation each.
  assertLess(after.enters - enters, 10_000 / 8);
  assertEquals([after.inFlight, after.waiting], [0, 0]);
});

Deno.test("closing cancels the batches in flight, and drops what waits of them", async () => {
  const ring = Ring.open({ entries: 4, cqEntries: 8 });
  using ends = pipe();
  const late = readable(ends.left);
  const read = op.read(ends.left, new Uint8Array(1));
  const batches = [
    ring.cmdAll(Array(100).fill(late)),
    ring.cmdAll([late, read]),
    ring.cmdAll([op.nop(), read]),
  ];
  await turn();
  const closed = ring.close();
  for (const each of batches) {
    const error = await failure(each) as DOMException;
    assertEquals([error.name, error.message], [
      "AbortError",
      "The ring was closed",
    ]);
  }
  await closed;
});

Deno.test("a decoder queues a batch, which runs in the next turn", async () => {
  await using ring = Ring.open({ entries: 2 });
  let later: Promise<unknown[]> | undefined;
  const queues = decoded(() => {
    const { enters } = ring.stats();
    later = ring.cmdAll(Array(20).fill(op.nop()));
    return ring.stats().enters - enters;
  });
  assertEquals(await ring.cmdAll([queues, op.nop()]), [0, 0]);
  assertEquals(await later, Array(20).fill(0));
  assertEquals(ring.cmdSync(queues), 0);
  assertEquals(await later, Array(20).fill(0));
});

Deno.test("a decoder may abort its own batch, and close its ring", async () => {
  const ring = Ring.open();
  using ends = pipe();
  const abort = new AbortController();
  const aborts = decoded(() => abort.abort("enough"));
  const all = ring.cmdAll([aborts, readable(ends.left), op.nop()], abort);
  assertEquals(await failure(all), "enough");
  const closes = decoded(() => void ring.close());
  const last = ring.cmdAll([closes, readable(ends.left)]);
  const error = await failure(last);
  assertEquals(outcomesOf(error), [undefined, "AbortError"]);
  await ring.close();
});

Deno.test("a synchronous call delivers the batches that complete meanwhile", async () => {
  await using ring = Ring.open();
  using ends = pipe();
  const order: string[] = [];
  const late = ring.cmdAll([readable(ends.left), op.nop()])
    .then(() => order.push("batch"));
  await turn();
  ring.cmdAllSync([op.nop(), op.write(ends.right, new Uint8Array(1))]);
  order.push("sync");
  await late;
  assertEquals(order, ["sync", "batch"]);
});

Deno.test("files cannot be unregistered while a batch in flight uses them", async () => {
  await using ring = Ring.open({ entries: 2, cqEntries: 4 });
  using ends = pipe();
  const [fixed] = ring.registerFiles([ends.left]);
  const all = ring.cmdAll(Array(10).fill(readable(fixed as never)));
  assertThrows(() => ring.unregisterFiles(), TypeError, "in flight");
  await turn();
  assertThrows(() => ring.unregisterFiles(), TypeError, "in flight");
  writeSync(ends.right, "x");
  await all;
  ring.unregisterFiles();
});

Deno.test("a completion for a batch that is over is reported, and settles nothing", async () => {
  await using ring = Ring.open();
  await using sender = Ring.open();
  using reported = reportedErrors();
  assertEquals(await ring.cmdAll([op.nop(), op.nop()]), [0, 0]);
  await sender.cmdAll([
    message(ring, 1n << 31n, 7),
    message(ring, 1n << 31n | 1n, 7),
  ]);
  assertEquals(await ring.cmdAll([op.nop(), op.nop()]), [0, 0]);
  await until(() => reported.errors.length === 2);
  assert(String(reported.errors[0]).includes("res 7 for no command"));
  assertEquals(ring.stats().inFlight, 0);
});

Deno.test("a restricted ring runs batches, and cancels them", async () => {
  await using ring = Ring.open({ disabled: true });
  using ends = pipe();
  await assertRejects(() => ring.cmdAll([op.nop()]), TypeError, "disabled");
  const late = readable(ends.left);
  ring.restrict({ ops: [op.nop().opcode, late.opcode] });
  const abort = new AbortController();
  const all = ring.cmdAll([op.nop(), late, op.fsync(ends.left)], abort);
  await turn();
  abort.abort("enough");
  assertEquals(await failure(all), "enough");
});
