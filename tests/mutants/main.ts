/**
 * Breaks the library in one place at a time, and says which of that no test
 * notices.
 *
 *     deno task test:mutants [--only TEXT]
 *
 * Each mutant names the few files of tests that should notice it, and a test that
 * hangs has noticed. Two are tried at a time, in copies of the project, so that the
 * project itself is never broken.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { broken, Copy } from "./copy.ts";
import { memory } from "./memory.ts";
import { engine } from "./engine.ts";
import { queues } from "./queues.ts";
import { rings } from "./rings.ts";
import { slots } from "./slots.ts";
import { waking } from "./waking.ts";
import type { Mutant } from "./mutant.ts";

/** As many as are tried at a time. */
const PARALLEL = 2;

const { values } = parseArgs({ options: { only: { type: "string" } } });
const { only = "" } = values;
const mutants: readonly Mutant[] = [
  ...memory,
  ...slots,
  ...queues,
  ...rings,
  ...engine,
  ...waking,
].filter(({ what, file }) => `${file}: ${what}`.includes(only));

// One that fits nowhere is told of before any is tried.
for (const mutant of mutants) {
  const url = new URL(`../../${mutant.file}`, import.meta.url);
  broken(await Deno.readTextFile(url), mutant);
}

const left = [...mutants];
const survivors: Mutant[] = [];

/** Tries what is left in a copy of its own. */
async function work(copy: Copy): Promise<void> {
  for (let mutant = left.shift(); mutant !== undefined; mutant = left.shift()) {
    const { what, file, tests } = mutant;
    const start = performance.now();
    const output = await copy.broken(mutant, () => copy.failure(tests));
    const survived = output === null;
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    console.log(
      `${survived ? "SURVIVED" : "noticed "} ${seconds.padStart(5)} s ` +
        `${file}: ${what}`,
    );
    if (survived) survivors.push(mutant);
  }
}

await using copies = new AsyncDisposableStack();
const all: Copy[] = [];
for (let i = 0; i < PARALLEL; i++) all.push(copies.use(await Copy.make()));

// A test that fails anyway would notice everything.
const tests = [...new Set(mutants.flatMap(({ tests }) => tests))];
const half = tests.length >> 1;
const failures = await Promise.all(
  [tests.slice(0, half), tests.slice(half)]
    .map((part, i) => part.length === 0 ? null : all[i].failure(part, 600)),
);
const failed = failures.filter((output) => output !== null);
if (failed.length === 0) {
  await Promise.all(all.map(work));
  const noticed = mutants.length - survivors.length;
  console.log(`${noticed} of ${mutants.length} mutants were noticed`);
  Deno.exitCode = survivors.length === 0 && noticed > 0 ? 0 : 1;
} else {
  console.log("Without any mutant there are failures:", ...failed);
  Deno.exitCode = 1;
}
