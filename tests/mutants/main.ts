/**
 * Breaks the library in one place at a time, and reports the mutants that no test
 * notices.
 *
 *     deno task test:mutants [--seed 7] [--each 4] [--only TEXT]
 *
 *     --seed NUMBER  draws other mutants; without it, a random one, which is shown
 *     --each NUMBER  mutants that are drawn of each file, besides those of
 *                    ./reasons.ts; default 6
 *     --only TEXT    only mutants whose name has the text; a whole name, or
 *                    `FILE:LINE:`, replays what a run reported
 *
 * Each mutant runs the few files of tests that should notice it, up to the first
 * failure. A run hangs if it prints nothing for three times as long as without a
 * mutant, and five seconds: that is noticed as well. Two mutants run at a time, in
 * copies of the project, so that the project itself is never broken.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { Copy } from "./copy.ts";
import { generate } from "./generate.ts";
import { EQUIVALENT } from "./judged.ts";
import { type Mutant, nameOf } from "./mutant.ts";
import { reasoned } from "./reasons.ts";
import { files, testsFor } from "./tests.ts";

/** Mutants that run at a time. */
const PARALLEL = 2;
/** Seconds in which a run without a mutant has to print something. */
const QUIET_SECONDS = 120;

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    each: { type: "string", default: "6" },
    only: { type: "string", default: "" },
  },
});
const seed = Number(values.seed ?? Math.trunc(Math.random() * 1e6));
const count = Number(values.each);
const isChosen = (mutant: Mutant) => nameOf(mutant).includes(values.only);
const isJudged = ({ file, code, what }: Mutant) =>
  EQUIVALENT.some((it) =>
    it.file === file && it.code === code && it.what === what
  );

async function textOf(file: string): Promise<string> {
  return await Deno.readTextFile(new URL(`../../${file}`, import.meta.url));
}

const mutants = (await reasoned(textOf)).filter(isChosen);
for (const file of files()) {
  const options = {
    seed,
    count,
    wanted: (mutant: Mutant) => isChosen(mutant) && !isJudged(mutant),
  };
  mutants.push(
    ...generate(file, await textOf(file), testsFor(file), options),
  );
}

await using copies = new AsyncDisposableStack();
const all: Copy[] = [];
for (let i = 0; i < PARALLEL; i++) all.push(copies.use(await Copy.make()));

/** Calls a function for each item, in whichever copy is free. */
async function inCopies<T>(
  items: readonly T[],
  fn: (item: T, copy: Copy) => Promise<void>,
): Promise<void> {
  const left = [...items];
  await Promise.all(all.map(async (copy) => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) {
      await fn(item, copy);
    }
  }));
}

// A test that fails without a mutant would notice every mutant.
const limits = new Map<string, number>();
const failures: string[] = [];
const sets = new Map(mutants.map(({ tests }) => [tests.join(), tests]));
await inCopies([...sets], async ([key, tests], copy) => {
  const run = await copy.test(tests, QUIET_SECONDS);
  limits.set(key, 3 * run.longestQuietSeconds + 5);
  if (!run.success) failures.push(run.output);
});
if (failures.length > 0) {
  console.log("Without any mutant there are failures:", ...failures);
  Deno.exit(1);
}

const survivors: Mutant[] = [];
console.log(`${mutants.length} mutants, with --seed ${seed} --each ${count}`);
await inCopies(mutants, async (mutant, copy) => {
  const limit = limits.get(mutant.tests.join())!;
  const start = performance.now();
  const { success } = await copy.broken(
    mutant,
    () => copy.test(mutant.tests, limit),
  );
  const seconds = ((performance.now() - start) / 1000).toFixed(1).padStart(5);
  const word = success ? "SURVIVED" : "noticed ";
  console.log(`${word} ${seconds} s ${nameOf(mutant)}`);
  if (success) survivors.push(mutant);
});
const noticed = mutants.length - survivors.length;
console.log(`\n${noticed} of ${mutants.length} mutants were noticed`);
for (const mutant of survivors) {
  console.log(`SURVIVED ${nameOf(mutant)}\n         in ${mutant.code}`);
}
Deno.exitCode = survivors.length === 0 && noticed > 0 ? 0 : 1;
