/**
 * What the hot paths cost, in what can be counted: system calls, bytes on V8's
 * heap and deoptimizations. No time is measured, so that a slow machine finds
 * what a fast one does.
 */

import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { spy, stub } from "@std/testing/mock";
import { Ring, type RingOptions, uringCmd } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import type { Command } from "../../ring/command.ts";
import * as raw from "../../ring/raw.ts";
import { libc } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";
import { devNull, type FdPair, pipe } from "../kit/fds.ts";
import { runDeno } from "../kit/process.ts";
import { turn } from "../kit/wait.ts";
import { until } from "../kit/wait.ts";
import { writeSync } from "../kit/fds.ts";

// ---- System calls -----------------------------------------------------------

const ENTRIES = 128;
/** More than one of the turns in a row that are microtasks. */
const ROUNDS = 40;

interface Shape {
  readonly name: string;
  readonly options?: RingOptions;
  /** Opened as if Linux 6.12 ran, which reads SQEs again. */
  readonly held?: boolean;
  /** Completions are made when they are asked for: one call more. */
  readonly deferred?: boolean;
}

const SHAPES: readonly Shape[] = [
  { name: "as it comes" },
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
  const real = libc().symbols.call;
  const { uname } = libc().nr;
  using _release = stub(libc().symbols, "call", (nr, ...args) => {
    const rc = real(nr, ...args);
    if (held && nr === uname) {
      scratch().bytes.set(new TextEncoder().encode("6.12.0\0"), 2 * 65);
    }
    return rc;
  });
  return Ring.open({ ...options, ...more, entries: ENTRIES });
}

/** Calls of io_uring_enter(2). */
interface Enters {
  /** By whomever in this thread, at the door to libc. */
  readonly called: number;
  /** By this ring, as it counts them itself. */
  readonly counted: number;
}

async function entersOf(ring: Ring, run: () => unknown): Promise<Enters> {
  const before = ring.stats().enters;
  using calls = spy(libc().symbols, "enter");
  await run();
  const counted = ring.stats().enters - before;
  return { called: calls.calls.length, counted };
}

/** One and the same number, by both counts. */
const exactly = (enters: number): Enters => ({
  called: enters,
  counted: enters,
});

function times<T>(count: number, make: () => T): T[] {
  return Array.from({ length: count }, make);
}

for (const shape of SHAPES) {
  const { name, held = false, deferred = false } = shape;

  /** Counts for a no-op and for a uring command, which answers at once too. */
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

  Deno.test(`loops side by side take one enter a round, on a ring ${name}`, async () => {
    // A turn resolves all of them, and they have queued what comes next before
    // the microtask of the next turn submits it.
    await forBoth((ring, command, room) =>
      Promise.all(times(room, async () => {
        for (let i = 0; i < ROUNDS; i++) await ring.cmd(command);
      })), ROUNDS);
  });

  Deno.test(`loops that call through a function share them too, on a ring ${name}`, async () => {
    // Every other loop comes some microtasks later: a turn is put off for them.
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
  });

  Deno.test(`a later completion takes one enter more, on a ring ${name}`, async () => {
    // It looks at no clock to find out whether it is worth looking again.
    await using ring = openShape(shape, { spin: false });
    using ends = pipe();
    // One to submit, and one to be given what is deferred. Linux 6.1 makes
    // deferred completions in io_uring_register(), too.
    const most = deferred ? 2 : 1;
    // The other is the waker's, and has the event loop woken. A signal that is
    // late does so in vain, for one more; where it comes when all is over, the
    // waker still waits for the next round, which has one less.
    const rounds: Enters[] = [];
    const asItShould = ({ called, counted }: Enters) =>
      counted <= most && called === counted + 1;
    do {
      rounds.push(await entersOf(ring, () => readLater(ring, ends)));
    } while (!rounds.some(asItShould) && rounds.length < 8);
    assert(rounds.some(asItShould), Deno.inspect(rounds));
  });
}

/** Reads from a pipe that is written to once the read waits for it. */
async function readLater(ring: Ring, { left, right }: FdPair): Promise<void> {
  let bytesRead = 0;
  const done = (count: number) => bytesRead = count;
  // Were it never to come, closing the ring would have it fail.
  ring.cmd(op.read(left, new Uint8Array(1))).then(done, () => {});
  await turn(); // It is submitted, and the event loop will be woken.
  writeSync(right, "x");
  await until(() => bytesRead === 1);
}

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
 * V8 compiles on the thread that runs, and so always at the same place; and
 * after a tenth of the calls that it usually waits for, so that few warm it up.
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

/** Runs the probe when it is first asked for, and never again. */
function once<T>(run: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined;
  return () => running ??= run();
}

// ---- Bytes ------------------------------------------------------------------

type Measured =
  | "objects"
  | "nothing"
  | "raw"
  | "encode"
  | "cmdAllSync"
  | "cmdSync"
  | "promises"
  | "cmd";

/** Bytes of an operation. No garbage is collected but before each pass. */
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

/** Of so many commands, a few kilobytes of V8's own are less than this each. */
const NOTHING = 0.1;
/** The least object has a map and a length: less than that is none. */
const NO_OBJECT = 16;

Deno.test("an object that a loop makes is found on the heap, and nothing else", async () => {
  const { objects, nothing } = await bytes();
  assertGreater(objects, 12);
  assertLess(objects, 40);
  assertLess(nothing, NOTHING);
});

Deno.test("the bare ring allocates nothing for a command", async () => {
  assertLess((await bytes()).raw, NOTHING);
});

Deno.test("writing a command into an SQE allocates nothing", async () => {
  assertLess((await bytes()).encode, NOTHING);
});

Deno.test("cmdSync makes no object for a command", async () => {
  assertLess((await bytes()).cmdSync, NO_OBJECT);
});

Deno.test("cmdAllSync allocates a word for a command, which is its result", async () => {
  const array = 8 + 2; // A word each, and a header for all of a batch.
  // Where SQEs are held, the list of the free ones shrinks and grows, in steps.
  const free = raw.rereadsSqes() ? 20 : 0;
  assertLess((await bytes()).cmdAllSync, array + free);
});

Deno.test("cmd makes no object for a command but its promise", async () => {
  const { cmd, promises } = await bytes();
  assertLess(cmd, promises + NO_OBJECT);
});

// ---- Deoptimizations --------------------------------------------------------

const LOOPS = ["raw", "encode", "cmdAllSync", "cmdSync", "cmd", "cmdInLoops"];
const ROOT = new URL("../../", import.meta.url).href;

/** Deoptimizations in code of the library, by the mark that they came after. */
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
 * Reads a line of V8's log. It names the place that was left, and those that it
 * was inlined at: `<file:///.../ring/raw.ts:1:2> inlined at <...>`.
 */
function isDeoptOfLibrary(line: string): boolean {
  if (!line.startsWith("code-deopt,")) return false;
  return [...line.matchAll(/<(file:[^>]*)>/g)].some(([, place]) =>
    place.startsWith(ROOT) &&
    /^(ring|sys|cmd)\//.test(place.slice(ROOT.length))
  );
}

Deno.test("code that meets what it was not optimized for is seen to be left", async () => {
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
