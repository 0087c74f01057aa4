/**
 * Adds up what `deno test` printed, as one line.
 *
 *     deno run tests/laws/tally.ts RUNS < LOG
 *
 * RUNS is how many runs are in the log. A run whose counts are not there counts
 * as a failure, so that a runner which died is not taken for one that passed.
 *
 * @module
 */

import { stripVTControlCharacters } from "node:util";

export interface Tally {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** A step counts like a test, because what is skipped is often a step. */
const COUNTS =
  /^(?:ok|FAILED) \| (\d+) passed(?: \((\d+) steps?\))? \| (\d+) failed(?: \((\d+) steps?\))?(?: \| (\d+) ignored(?: \((\d+) steps?\))?)?/gm;

/** The sum of the counts in `log`, which has to have `runs` of them. */
export function tally(log: string, runs: number): Tally {
  const found = [...stripVTControlCharacters(log).matchAll(COUNTS)];
  const sum = (...groups: number[]) =>
    found.flatMap((match) => groups.map((group) => Number(match[group] ?? 0)))
      .reduce((a, b) => a + b, 0);
  return {
    passed: sum(1, 2),
    failed: sum(3, 4) + Math.abs(runs - found.length),
    skipped: sum(5, 6),
  };
}

if (import.meta.main) {
  const log = await new Response(Deno.stdin.readable).text();
  const { passed, failed, skipped } = tally(log, Number(Deno.args[0]));
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  Deno.exit(failed === 0 && passed > 0 ? 0 : 1);
}
