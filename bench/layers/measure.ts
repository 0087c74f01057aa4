/**
 * Benchmarks that have been warmed up.
 *
 * `Deno.bench` warms up for ten milliseconds, in which TurboFan sees little,
 * and then measures for half a second, or with `n` that many calls and ten
 * milliseconds. So each function runs here first, twice in turn with the others
 * of its file, since what a later one does may undo what V8 made of an earlier
 * one; and `n` is chosen such that the measurement is a short one.
 */

import { MEASURE_MS } from "./workloads.ts";

/** How long each function runs in each of the two turns. */
const WARM_MS = 15;

/** One benchmark. */
export interface Case {
  /** What of the library it measures. */
  readonly layer: string;
  /** What it measures it with: see `nameOf` in workloads.ts. */
  readonly name: string;
  /** An `async` function, or one that returns nothing: Deno tells by that. */
  readonly run: () => void | Promise<void>;
}

/** Warms the functions up, and registers them with Deno. */
export async function measure(cases: readonly Case[]): Promise<void> {
  for (const { run } of cases) await warm(run);
  for (const { layer, name, run } of cases) {
    const n = Math.ceil(MEASURE_MS / await warm(run));
    Deno.bench({ group: layer, name, n, fn: run });
  }
}

/** Runs a function for a while, and returns the milliseconds of one call. */
async function warm(run: () => void | Promise<void>): Promise<number> {
  const start = performance.now();
  let calls = 0;
  let elapsed = 0;
  while (elapsed < WARM_MS) {
    await run();
    calls++;
    elapsed = performance.now() - start;
  }
  return elapsed / calls;
}
