/**
 * The cost of the hot paths in bytes on V8's heap and in deoptimizations. These
 * tests measure no time, so that a slow machine finds what a fast one does.
 */

import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import * as raw from "../../ring/raw.ts";
import { runDeno } from "../kit/run.ts";

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

/**
 * Bytes of a command: V8's three words, its fields, and one word because it has
 * private methods. The draft that it keeps may be shared.
 */
const COMMAND = (3 + 11 + 1) * 8;
const DRAFT = (3 + 21) * 8;

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
  assertLess((await bytes()).newReads, 1.8 * (COMMAND + DRAFT));
});

Deno.test("cmdAll allocates one word for a command, and one promise for a batch", async () => {
  const { cmdAll, cmdAllSync, promises } = await bytes();
  // The turn has a promise, too, and the loop that awaits the batch of 128.
  assertLess(cmdAll, cmdAllSync + 3 * promises / 128);
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
