/**
 * Measures the bytes that a command allocates on V8's heap, over a million
 * commands.
 *
 * Run it with --expose-gc and a new space of 256 MiB: V8 then collects garbage
 * only when this program asks, and between two collections the heap grows by
 * exactly what was allocated. The program verifies this with an object of known
 * size: a header of three words, and one property.
 */

import { CompletionQueue, SubmissionQueue } from "../../ring/raw.ts";
import {
  cmd,
  cmdAll,
  cmdAllSync,
  cmdSync,
  command,
  DEPTH,
  type Loop,
  objects,
  promises,
  raw,
} from "../../tests/kit/hot_loops.ts";
import { collect } from "../../tests/kit/wait.ts";

const COMMANDS = 1_000_000;
/** Commands between two readings of the heap size: a whole number of batches. */
const CHUNK = 64 * DEPTH;
/** Bytes after which the program collects, well before V8 would. */
const COLLECT = 64e6;

/**
 * Returns the bytes of one operation: the least of three passes after a short
 * one, because V8's compiler allocates on the same heap for some time. A pass in
 * which V8 frees memory, as it does after compiling, does not count.
 */
async function bytesOf(run: Loop): Promise<number> {
  await pass(run, COMMANDS / 10);
  const passes: number[] = [];
  for (let i = 0; i < 20 && passes.length < 3; i++) {
    const bytes = await pass(run, COMMANDS);
    if (bytes !== Infinity) passes.push(bytes);
  }
  if (passes.length === 0) throw new Error("V8 freed memory in every pass");
  return Math.min(...passes);
}

async function pass(run: Loop, count: number): Promise<number> {
  let total = 0;
  let since = COLLECT;
  let operations = 0;
  for (; operations < count; operations += CHUNK) {
    if (since >= COLLECT) {
      collect();
      since = 0;
    }
    const before = Deno.memoryUsage().heapUsed;
    const running = run(CHUNK);
    if (running !== undefined) await running;
    const bytes = Deno.memoryUsage().heapUsed - before;
    since += Math.max(0, bytes);
    if (bytes < 0) return Infinity; // V8 freed some: the pass is useless.
    total += bytes;
  }
  return total / operations;
}

// ---- Encoding and reaping, on queues without a kernel ----------------------

/** Word indices of heads and tails in `words`. */
const [SQ_HEAD, SQ_TAIL, CQ_HEAD, CQ_TAIL, ZERO, CQES] = [0, 1, 2, 3, 4, 16];
const words = new Int32Array(CQES + 4 * DEPTH);
const sq = new SubmissionQueue({
  ring: words,
  sqes: new Int32Array(16 * DEPTH),
  head: SQ_HEAD,
  tail: SQ_TAIL,
  flags: ZERO,
  array: -1,
  entries: DEPTH,
  sqeWords: 16,
  mixed: false,
  hold: false,
});
const cq = new CompletionQueue({
  ring: words,
  head: CQ_HEAD,
  tail: CQ_TAIL,
  flags: ZERO,
  overflow: ZERO,
  cqes: CQES,
  entries: DEPTH,
  cqeWords: 4,
});

function encodeAndReap(count: number): void {
  for (let done = 0; done < count; done += DEPTH) {
    for (let i = 0; i < DEPTH; i++) command.submit(sq, i, 1);
    const published = sq.publish();
    // As the kernel would, take all SQEs and post as many CQEs.
    words[SQ_HEAD] = words[SQ_TAIL];
    words[CQ_TAIL] = words[CQ_TAIL] + published | 0;
    while (cq.next()) if (cq.res !== 0) throw new Error(`${cq.res}`);
    cq.commit();
  }
}

const results: Record<string, number> = {};
const runners = {
  objects,
  raw,
  encodeAndReap,
  cmdAllSync,
  cmdAll,
  cmdSync,
  promises,
  cmd,
};
for (const [name, run] of Object.entries(runners)) {
  results[name] = await bytesOf(run);
}
const known = 4 * 8;
if (Math.abs(results.objects - known) > 1) {
  throw new Error(`an object takes ${known} bytes, not ${results.objects}`);
}
console.log(JSON.stringify(results));
