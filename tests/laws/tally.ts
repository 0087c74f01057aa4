/**
 * Adds up the counts that `deno test` printed, and prints them as one line.
 *
 *     deno run tests/laws/tally.ts RUNS < LOG
 *
 * RUNS is the number of runs in the log. A run without counts is a failure, so
 * that a runner that died does not look like one that passed.
 *
 * @module
 */

import { stripVTControlCharacters } from "node:util";

export interface Tally {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** The last line of a run. Steps count as tests, because many skips are steps. */
const COUNTS =
  /^(?:ok|FAILED) \| (\d+) passed(?: \((\d+) steps?\))? \| (\d+) failed(?: \((\d+) steps?\))?(?: \| (\d+) ignored(?: \((\d+) steps?\))?)?/gm;

/** Adds up the counts in `log`. Each run above or below `runs` is a failure. */
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
