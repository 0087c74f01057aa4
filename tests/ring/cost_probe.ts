/**
 * Runs the hot loops in a process of their own, with V8 flags that make each run
 * the same. cost_test.ts starts it. With `heap` it prints the bytes that an
 * operation of each loop allocates; with `deopts` it runs the loops between marks.
 */

import {
  anotherShape,
  cmd,
  cmdAll,
  cmdAllInLoops,
  cmdAllSync,
  cmdInLoops,
  cmdSync,
  command,
  DEPTH,
  type Loop,
  objects,
  promises,
  raw,
  serviceRun,
  serviceTurns,
} from "../kit/hot_loops.ts";
import {
  awaitedReads,
  copiedReads,
  madeNvmeReads,
  madeReads,
  makerNvmeReads,
  makerReads,
  makerReplies,
  newReads,
} from "../kit/memory_loops.ts";

// How often the event loop gets a turn depends on the clock, and a turn takes memory.
performance.now = () => 0;

const words = new Int32Array(16);

function encode(count: number): void {
  for (let i = 0; i < count; i++) command.encode(words, 0, false, i, 1);
}

function nothing(count: number): void {
  for (let i = 0; i < count; i++) words[0] = words[0] + i;
}

// ---- Bytes ------------------------------------------------------------------

/** Defined with --expose-gc. */
const { gc } = globalThis as unknown as { gc?: () => void };

const PASSES = 2;
const WARM_UP = { passes: 8, count: 32 * DEPTH };
/** Operations of a pass: so many that a late compilation adds nothing to each. */
const MANY = 1024 * DEPTH;
/** The same for loops that allocate, or make a system call for each operation. */
const FEW = 64 * DEPTH;
/** The same for loops of which each pass has a cost of its own. */
const MOST = 4 * MANY;

const measured: Record<string, [Loop, number]> = {
  objects: [objects, MANY],
  nothing: [nothing, MANY],
  raw: [raw, MANY],
  serviceRun: [serviceRun, MOST],
  serviceTurns: [serviceTurns, MOST],
  encode: [encode, MANY],
  cmdAllSync: [cmdAllSync, FEW],
  cmdAll: [cmdAll, FEW],
  cmdSync: [cmdSync, FEW],
  promises: [promises, FEW],
  cmd: [cmd, FEW],
  madeReads: [madeReads, FEW],
  newReads: [newReads, FEW],
  makerReads: [makerReads, FEW],
  makerReplies: [makerReplies, FEW],
  madeNvmeReads: [madeNvmeReads, FEW],
  makerNvmeReads: [makerNvmeReads, FEW],
  copiedReads: [copiedReads, FEW],
  awaitedReads: [awaitedReads, FEW],
};

/** Prints how many bytes an operation of each loop allocates, as JSON. */
async function printBytes(): Promise<void> {
  const found: Record<string, number> = {};
  for (const [name, [run, count]] of Object.entries(measured)) {
    for (let i = 0; i < WARM_UP.passes; i++) await run(WARM_UP.count);
    // V8 may compile during a pass, which takes memory: use the least of them.
    let least = Infinity;
    for (let i = 0; i < PASSES; i++) {
      least = Math.min(least, await bytesOf(run, count));
    }
    found[name] = least;
  }
  console.log(JSON.stringify(found));
}

async function bytesOf(run: Loop, count: number): Promise<number> {
  gc!();
  const reading = readingItself();
  const before = heapUsed();
  const running = run(count);
  if (running !== undefined) await running;
  const bytes = heapUsed() - before - reading;
  if (bytes < 0) throw new Error("V8 has collected garbage by itself");
  return bytes / count;
}

function heapUsed(): number {
  return Deno.memoryUsage().heapUsed;
}

/** Returns the bytes that reading the heap's size allocates itself. */
function readingItself(): number {
  let least = Infinity;
  for (let i = 0; i < 10; i++) {
    const before = heapUsed();
    least = Math.min(least, heapUsed() - before);
  }
  return least;
}

// ---- Marks ------------------------------------------------------------------

const ROUNDS = { warmUp: 8, measured: 16 };
const OPERATIONS = 32 * DEPTH;
const loops = {
  raw,
  serviceRun,
  serviceTurns,
  encode,
  cmdAllSync,
  cmdAll,
  cmdAllInLoops,
  cmdSync,
  cmd,
  cmdInLoops,
  madeReads,
  newReads,
  makerReads,
  makerReplies,
  madeNvmeReads,
  makerNvmeReads,
  copiedReads,
  awaitedReads,
};

/** Runs all loops in turn, first to warm V8 up, then between marks. */
async function runMarked(): Promise<void> {
  // V8 prints with C's stdio, and Deno does not. puts() puts each mark between
  // the right lines.
  const puts = { parameters: ["buffer"], result: "i32" } as const;
  const { symbols } = Deno.dlopen("libc.so.6", { puts });
  const encoder = new TextEncoder();
  const mark = (name: string) => symbols.puts(encoder.encode(`@@ ${name}\0`));

  mark("warm-up");
  for (let round = 0; round < ROUNDS.warmUp; round++) {
    for (const run of Object.values(loops)) await run(OPERATIONS);
  }
  for (let round = 0; round < ROUNDS.measured; round++) {
    for (const [name, run] of Object.entries(loops)) {
      mark(name);
      await run(OPERATIONS);
    }
  }
  mark("another shape");
  anotherShape();
  mark("end");
}

if (Deno.args[0] === "heap") await printBytes();
else await runMarked();
