/**
 * Measures a read of 4 KiB from the page cache, in batches: with commands that were
 * made before, as C's are, and with a command made for each read, by a maker or by
 * a function. The three take turns, so that a drift of the machine affects all
 * alike.
 */

import { type Command, Ring } from "../../mod.ts";
import { openat, read, readsOf } from "../../cmd/op.ts";
import { READS_DEPTH } from "../layers/workloads.ts";
import { median } from "../stats.ts";

const TURNS = 61;
/** Batches in a turn. */
const BATCHES = 256;
/** Bytes of a read. */
const BLOCK = 4096;

const ring = Ring.open({ entries: READS_DEPTH });
const memory = ring.alloc(READS_DEPTH * BLOCK);
const path = await Deno.makeTempFile();
await Deno.writeFile(path, new Uint8Array(READS_DEPTH * BLOCK).fill(1));
const fd = ring.cmdSync(openat(path));
await Deno.remove(path);

const parts = Array.from(
  { length: READS_DEPTH },
  (_, i) => memory.subarray(i * BLOCK, (i + 1) * BLOCK),
);
const made = parts.map((part, i) => read(fd, part, { offset: i * BLOCK }));
const reads = readsOf(fd, memory);

/** Returns a batch of commands that are made for it. */
function batchOf(make: (i: number) => Command<number>): Command<number>[] {
  const batch = new Array<Command<number>>(READS_DEPTH);
  for (let i = 0; i < READS_DEPTH; i++) batch[i] = make(i);
  return batch;
}

const byMaker = (i: number) => reads.at(i * BLOCK, i * BLOCK, BLOCK);
const byFunction = (i: number) => read(fd, parts[i], { offset: i * BLOCK });

const sources: readonly (readonly [string, () => Command<number>[]])[] = [
  ["madeNs", () => made],
  ["makerNs", () => batchOf(byMaker)],
  ["functionNs", () => batchOf(byFunction)],
];
const times = sources.map((): number[] => []);
for (let turn = -4; turn < TURNS; turn++) {
  for (const [which, [, batch]] of sources.entries()) {
    const start = performance.now();
    for (let i = 0; i < BATCHES; i++) ring.cmdAllSync(batch());
    const ns = (performance.now() - start) * 1e6 / (BATCHES * READS_DEPTH);
    if (turn >= 0) times[which].push(ns);
  }
}
if (memory.some((byte) => byte !== 1)) throw new Error("nothing was read");
console.log(JSON.stringify(
  Object.fromEntries(sources.map(([name], i) => [name, median(times[i])])),
));
await ring.close();
