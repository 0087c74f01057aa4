/**
 * The cost of the hot paths in system calls, bytes on V8's heap and
 * deoptimizations. These tests measure no time, so that a slow machine finds what
 * a fast one does.
 */

import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { spy, stub } from "@std/testing/mock";
import { Ring, type RingOptions, uringCmd } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import type { Command } from "../../ring/command.ts";
import * as raw from "../../ring/raw.ts";
import { libc } from "../../sys/libc.ts";
import "../kit/no_watchdogs.ts";
import { devNull, type FdPair, pipe, writeSync } from "../kit/fds.ts";
import { runDeno } from "../kit/run.ts";
import { pretendRelease } from "../kit/refuse.ts";
import { turn, until } from "../kit/wait.ts";
import { take, WAYS } from "../kit/wires.ts";

// ---- System calls -----------------------------------------------------------

const ENTRIES = 128;
/** Rounds of a loop: more than the turns that run in a row as microtasks. */
const ROUNDS = 40;

interface Shape {
  readonly name: string;
  readonly options?: RingOptions;
  /** `true` to open the ring as on Linux 6.12, which reads SQEs again. */
  readonly held?: boolean;
  /** `true` if the kernel posts completions only in io_uring_enter(). */
  readonly deferred?: boolean;
}

const SHAPES: readonly Shape[] = [
  { name: "without options" },
  {
    name: "with deferTaskrun",
    options: { deferTaskrun: true },
    deferred: true,
  },
  {
    name: "with large entries",
    options: { sqe128: true, cqe32: true },
    deferred: true,
  },
  { name: "that holds its SQEs, as on Linux 6.12", held: true },
];

function openShape({ options, held }: Shape, more: RingOptions = {}): Ring {
  using _release = held ? pretendRelease("6.12.0") : null;
  return Ring.open({ ...options, ...more, entries: ENTRIES });
}

/** Numbers of calls of io_uring_enter(2). */
interface Enters {
  /** Calls of libc by this thread. */
  readonly called: number;
  /** Calls in the statistics of the ring. */
  readonly counted: number;
}

async function entersOf(ring: Ring, run: () => unknown): Promise<Enters> {
  const before = ring.stats().enters;
  // While time stands still, the event loop is not due for a turn of its own, which
  // takes an enter of the waker.
  using _clock = stub(performance, "now", () => 0);
  using calls = spy(libc().symbols, "enter");
  await run();
  const counted = ring.stats().enters - before;
  return { called: calls.calls.length, counted };
}

/** Expects the same number of both. */
const exactly = (enters: number): Enters => ({
  called: enters,
  counted: enters,
});

function times<T>(count: number, make: () => T): T[] {
  return Array.from({ length: count }, make);
}

for (const shape of SHAPES) {
  const { name, held = false, deferred = false } = shape;

  /** Counts the calls for a NOP and for a uring command of /dev/null. */
  const forBoth = async (
    run: (ring: Ring, command: Command<number>, room: number) => unknown,
    expected: number,
  ) => {
    await using ring = openShape(shape);
    using file = devNull();
    for (const command of [op.nop(), uringCmd({ fd: file.fd, cmd_op: 0 })]) {
      const found = await entersOf(ring, () => run(ring, command, ENTRIES));
      assertEquals(found, exactly(expected), command.name);
    }
  };

  Deno.test(`a batch that fits takes one enter, on a ring ${name}`, async () => {
    await forBoth((ring, command, room) => {
      ring.cmdAllSync(times(room, () => command));
    }, 1);
  });

  Deno.test(`an awaited batch that fits takes one enter, on a ring ${name}`, async () => {
    await forBoth(
      (ring, command, room) => ring.cmdAll(times(room, () => command)),
      1,
    );
  });

  Deno.test(`awaited batches of one turn share one enter, on a ring ${name}`, async () => {
    await forBoth((ring, command, room) =>
      Promise.all(times(
        8,
        () => ring.cmdAll(times(room >> 3, () => command)),
      )), 1);
  });

  Deno.test(`loops of batches take one enter a round, on a ring ${name}`, async () => {
    await forBoth((ring, command, room) =>
      Promise.all(times(4, async () => {
        const batch = times(room >> 2, () => command);
        for (let i = 0; i < ROUNDS; i++) await ring.cmdAll(batch);
      })), ROUNDS);
  });

  Deno.test(`cmdSync takes one enter, on a ring ${name}`, async () => {
    await forBoth((ring, command) => ring.cmdSync(command), 1);
  });

  Deno.test(`commands of one turn share one enter, on a ring ${name}`, async () => {
    await forBoth(
      (ring, command, room) =>
        Promise.all(times(room, () => ring.cmd(command))),
      1,
    );
  });

  Deno.test(`concurrent loops take one enter a round, on a ring ${name}`, async () => {
    // A turn resolves all promises, and the loops queue their next commands
    // before the microtask of the next turn submits.
    await forBoth((ring, command, room) =>
      Promise.all(times(room, async () => {
        for (let i = 0; i < ROUNDS; i++) await ring.cmd(command);
      })), ROUNDS);
  });

  Deno.test(`loops that call through a function share their enters, on a ring ${name}`, async () => {
    // Every second loop queues some microtasks later. The turn waits for them.
    await forBoth((ring, command, room) => {
      const through = async () => await ring.cmd(command);
      const direct = () => ring.cmd(command);
      const each = times(room >> 1, () => [direct, through]).flat();
      return Promise.all(each.map(async (run) => {
        for (let i = 0; i < ROUNDS; i++) await run();
      }));
    }, ROUNDS);
  });

  // A ring that holds SQEs has as many as commands may be in flight.
  const holds = held || raw.rereadsSqes();
  const [enters, word] = holds ? [1, "one enter"] : [4, "four enters"];

  Deno.test(`four times as many as there are entries take ${word}, on a ring ${name}`, async () => {
    await forBoth(
      (ring, command, room) =>
        Promise.all(times(4 * room, () => ring.cmd(command))),
      enters,
    );
  });

  Deno.test(`four times as many in a batch take ${word}, on a ring ${name}`, async () => {
    await using ring = openShape(shape);
    using file = devNull();
    const inBatch = (command: ReturnType<typeof op.nop>) =>
      entersOf(ring, () => ring.cmdAllSync(times(4 * ENTRIES, () => command)));
    assertEquals(await inBatch(op.nop()), exactly(enters));
    const command = uringCmd({ fd: file.fd, cmd_op: 0 });
    assertEquals(await inBatch(command), exactly(enters));
    await forBoth(
      (ring, command, room) => ring.cmdAll(times(4 * room, () => command)),
      enters,
    );
  });

  for (const [i, way] of WAYS.entries()) {
    const more = ["no enter", "one enter"][i];
    Deno.test(`a later completion takes ${more} more through ${way}, on a ring ${name}`, async () => {
      using _way = take(way);
      // Without `spin` the number of calls does not depend on the clock.
      await using ring = openShape(shape, { spin: false });
      using ends = pipe();
      // One enter submits. Where completions are deferred, one more fetches them;
      // Linux 6.1 also posts them in io_uring_register(), which saves that one.
      const most = deferred ? 2 : 1;
      // The waker enters once to wake the event loop. A late signal adds one enter
      // to its round, or saves the next round one, since the waker waits already.
      const rounds: Enters[] = [];
      const asItShould = ({ called, counted }: Enters) =>
        counted <= most && called === counted + i;
      do {
        rounds.push(await entersOf(ring, () => readLater(ring, ends)));
      } while (!rounds.some(asItShould) && rounds.length < 8);
      assert(rounds.some(asItShould), Deno.inspect(rounds));
    });
  }
}

/** Reads from a pipe, and writes to it once the read is in flight. */
async function readLater(ring: Ring, { left, right }: FdPair): Promise<void> {
  let bytesRead = 0;
  const done = (count: number) => bytesRead = count;
  // If it never completes, closing the ring rejects it.
  ring.cmd(op.read(left, new Uint8Array(1))).then(done, () => {});
  await turn(); // Submits the read, and arms the bell.
  writeSync(right, "x");
  await until(() => bytesRead === 1);
}

Deno.test("a batch of commands with memory takes one enter", async () => {
  const { nvmeBatch, readBatch, ring, wide } = await import(
    "../kit/memory_loops.ts"
  );
  for (let round = 0; round < 3; round++) {
    const reads = await entersOf(ring, () => ring.cmdAllSync(readBatch));
    assertEquals(reads, exactly(1));
    const nvme = await entersOf(wide, () => wide.cmdAllSync(nvmeBatch));
    assertEquals(nvme, exactly(1));
  }
});

Deno.test("a batch of the bare ring takes one enter", () => {
  const ring = raw.setup({ entries: ENTRIES });
  try {
    using calls = spy(libc().symbols, "enter");
    for (let round = 1; round <= 3; round++) {
      for (let i = 0; i < ENTRIES; i++) {
        assert(raw.prepRw(ring.sq, { opcode: raw.IORING_OP_NOP, userData: i }));
      }
      const toSubmit = ring.sq.publish();
      const taken = raw.enter(ring, { toSubmit, minComplete: ENTRIES });
      assertEquals([taken, ring.cq.ready], [ENTRIES, ENTRIES]);
      while (ring.cq.next());
      ring.cq.commit();
      assertEquals(calls.calls.length, round);
    }
  } finally {
    ring.close();
  }
});

// ---- The probe --------------------------------------------------------------

/**
 * Flags that make V8 compile on the main thread, and so always at the same place,
 * after a tenth of the usual number of calls, so that the warm-up is short.
 */
const SAME_EVERY_TIME = [
  "--single-threaded",
  "--invocation-count-for-maglev=40",
  "--invocation-count-for-maglev-osr=10",
  "--invocation-count-for-turbofan=300",
  "--invocation-count-for-osr=50",
];

async function probe(what: string, flags: readonly string[]): Promise<string> {
  const script = new URL("cost_probe.ts", import.meta.url).href;
  const v8 = `--v8-flags=${[...SAME_EVERY_TIME, ...flags].join()}`;
  const args = ["run", "--no-prompt", "--allow-ffi", v8, script, what];
  const { code, stdout, stderr } = await runDeno(args);
  assertEquals([code, stderr], [0, ""]);
  return stdout;
}

/** Makes a function that runs `run` at the first call only. */
function once<T>(run: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined;
  return () => running ??= run();
}

// ---- Bytes ------------------------------------------------------------------

type Measured =
  | "objects"
  | "nothing"
  | "raw"
  | "serviceRun"
  | "serviceTurns"
  | "encode"
  | "cmdAllSync"
  | "cmdAll"
  | "cmdSync"
  | "promises"
  | "cmd"
  | "madeReads"
  | "newReads"
  | "makerReads"
  | "makerReplies"
  | "madeNvmeReads"
  | "makerNvmeReads"
  | "copiedReads"
  | "awaitedReads";

/** Bytes of an operation. V8 collects garbage only before each pass. */
const bytes = once(async (): Promise<Record<Measured, number>> => {
  const semiSpaceMiB = 32;
  return JSON.parse(
    await probe("heap", [
      "--expose-gc",
      `--min-semi-space-size=${semiSpaceMiB}`,
      `--max-semi-space-size=${semiSpaceMiB}`,
    ]),
  );
});

/** Bytes per operation. V8's own few kilobytes, divided by all passes, are less. */
const NOTHING = 0.1;
/** Bytes of the smallest object: a map and a length. */
const NO_OBJECT = 16;

Deno.test("the measurement finds an object that a loop makes, and nothing else", async () => {
  const { objects, nothing } = await bytes();
  assertGreater(objects, 12);
  assertLess(objects, 40);
  assertLess(nothing, NOTHING);
});

Deno.test("the bare ring allocates nothing for a command", async () => {
  assertLess((await bytes()).raw, NOTHING);
});

Deno.test("a service allocates nothing for a reply", async () => {
  assertLess((await bytes()).serviceRun, NOTHING);
  // A turn of the event loop is shared by 16 rounds.
  assertLess((await bytes()).serviceTurns, 1);
});

Deno.test("writing a command into an SQE allocates nothing", async () => {
  assertLess((await bytes()).encode, NOTHING);
});

Deno.test("cmdSync makes no object for a command", async () => {
  assertLess((await bytes()).cmdSync, NO_OBJECT);
});

/** A word for each command, and its share of the array's header and of the batch. */
const ARRAY = 8 + 3;
/** Where SQEs are held, the list of free ones grows and shrinks. */
const FREE = raw.rereadsSqes() ? 20 : 0;

Deno.test("cmdAllSync allocates one word for a command: its result", async () => {
  assertLess((await bytes()).cmdAllSync, ARRAY + FREE);
});

// Where SQEs are held, every command has a slot.
const SLOT = raw.rereadsSqes() ? 2 * ARRAY : 0;

Deno.test("memory of alloc() costs a batch nothing", async () => {
  const { madeReads, madeNvmeReads } = await bytes();
  assertLess(madeReads, ARRAY + FREE + SLOT);
  // V8 has its own, once, in the code that waits.
  assertLess(madeNvmeReads, ARRAY + 1 + FREE + SLOT);
});

Deno.test("memory of alloc() costs an awaited command nothing", async () => {
  const { awaitedReads, promises } = await bytes();
  assertLess(awaitedReads, promises + NO_OBJECT);
});

Deno.test("other memory is copied without a view of it", async () => {
  const slot = 2 * ARRAY;
  const addresses = 2 * 16; // Two numbers of more than 32 bits.
  assertLess((await bytes()).copiedReads, ARRAY + slot + addresses);
});

/** Bytes of a command. */
const COMMAND = (3 + 22) * 8;

Deno.test("a maker allocates its command, and nothing else", async () => {
  const { makerReads, makerReplies, makerNvmeReads } = await bytes();
  // Of the two arrays one is the loop's own.
  const batch = 2 * ARRAY + FREE + SLOT;
  assertLess(makerReads, COMMAND + batch);
  assertLess(makerNvmeReads, COMMAND + batch);
  const values = 3 * 8; // A list of one value.
  assertLess(makerReplies, COMMAND + values + batch);
});

Deno.test("a function allocates what it takes to check a command, and no more", async () => {
  assertLess((await bytes()).newReads, 3.3 * COMMAND);
});

Deno.test("cmdAll allocates one word for a command, and one promise for a batch", async () => {
  const { cmdAll, cmdAllSync, promises } = await bytes();
  // The turn has a promise, too, and the loop that awaits the batch.
  assertLess(cmdAll, cmdAllSync + 3 * promises / ENTRIES);
});

Deno.test("cmd makes no object for a command but its promise", async () => {
  const { cmd, promises } = await bytes();
  assertLess(cmd, promises + NO_OBJECT);
});

// ---- Deoptimizations --------------------------------------------------------

const LOOPS = [
  ...[
    "raw",
    "serviceRun",
    "serviceTurns",
    "encode",
    "cmdAllSync",
    "cmdAll",
    "cmdAllInLoops",
  ],
  ...["cmdSync", "cmd", "cmdInLoops", "madeReads", "newReads"],
  ...["makerReads", "makerReplies", "madeNvmeReads", "makerNvmeReads"],
  ...["copiedReads", "awaitedReads"],
];
const ROOT = new URL("../../", import.meta.url).href;

/** Deoptimizations in the library's code, by the mark before them in the log. */
const deopts = once(async (): Promise<Map<string, string[]>> => {
  const stdout = await probe("deopts", [
    "--log-deopt",
    "--logfile=-",
    "--no-logfile-per-isolate",
  ]);
  const found = new Map<string, string[]>();
  let mark = "";
  for (const line of stdout.split("\n")) {
    if (line.startsWith("@@ ")) {
      mark = line.slice(3);
      if (!found.has(mark)) found.set(mark, []);
    } else if (isDeoptOfLibrary(line)) {
      found.get(mark)?.push(line);
    }
  }
  return found;
});

/**
 * Returns whether a line of V8's log is a deoptimization of the library's code.
 * It names a place, and those that it was inlined at:
 * `<file:///.../ring/raw.ts:1:2> inlined at <...>`.
 */
function isDeoptOfLibrary(line: string): boolean {
  if (!line.startsWith("code-deopt,")) return false;
  return [...line.matchAll(/<(file:[^>]*)>/g)].some(([, place]) =>
    place.startsWith(ROOT) &&
    /^(ring|sys|cmd)\//.test(place.slice(ROOT.length))
  );
}

Deno.test("the log shows a deoptimization that the probe provokes", async () => {
  const found = await deopts();
  assertEquals([...found.keys()], [
    "warm-up",
    ...LOOPS,
    "another shape",
    "end",
  ]);
  const seen = found.get("another shape")!;
  assert(seen.some((line) => line.includes("/ring/raw.ts:")), seen.join("\n"));
});

for (const loop of LOOPS) {
  Deno.test(`the code of the library stays optimized: ${loop}`, async () => {
    assertEquals((await deopts()).get(loop), []);
  });
}
