/**
 * Warms benchmarks up, and registers them with Deno.
 *
 * `Deno.bench` warms up for 10 ms, which is too short for TurboFan. It then
 * measures for 500 ms, or, given `n`, for 10 ms and `n` calls. So each function is warmed up here, in two passes over the file, because a
 * later function may deoptimize an earlier one. `n` keeps the measurement short.
 */

import type { Alternative, Layer } from "./layers.ts";
import { MEASURE_MS } from "./workloads.ts";

/** Milliseconds that each function runs in each of the two passes. */
const WARM_MS = 15;

/** One benchmark. */
export interface Case {
  readonly layer: Layer | Alternative;
  /**
   * The point of a layer, as `nameOf()` in workloads.ts writes it; the number
   * of calls in one run of an alternative.
   */
  readonly name: string;
  /** An `async` function, or one that returns nothing: Deno asks which it is. */
  readonly run: () => void | Promise<void>;
}

export async function measure(cases: readonly Case[]): Promise<void> {
  for (const { run } of cases) await warm(run);
  for (const { layer, name, run } of cases) {
    const n = Math.ceil(MEASURE_MS / await warm(run));
    Deno.bench({ group: layer, name, n, fn: run });
  }
}

/** Runs a function for `WARM_MS`, and returns the milliseconds of one call. */
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
