/**
 * `deno task bench`: measures the library beside C, and writes results.json,
 * results.svg and the figures in README.md and bench/README.md. It exits with 1
 * only if something could not be measured, however slow it is.
 *
 *     deno task bench [--rounds N] [--no-guest] [--dry]
 *     deno task bench --only-guest [--dry]
 *     deno task bench --only-fuse [--dry]
 *     deno task bench --report
 *
 * `--rounds` is how often everything is measured (default 13). `--no-guest`
 * leaves out what runs under QEMU. `--dry` prints the results and writes
 * nothing. `--only-guest` measures the guest anew, beside the other results of
 * results.json, and `--only-fuse` the guest with the filesystems. `--report` measures nothing: it writes the two READMEs anew from
 * results.json.
 *
 * The benchmarks may import tests/kit and tests/lab, and no other tests.
 */

import { parseArgs } from "node:util";
import { build } from "./c/baseline.ts";
import { measureFuse } from "./fuse/fuse.ts";
import { measureGuest } from "./guest/guest.ts";
import { measureRound } from "./layers/rounds.ts";
import { Samples } from "./layers/samples.ts";
import { Programs } from "./programs/programs.ts";
import { machine } from "./report/machine.ts";
import { fullReport } from "./report/report.ts";
import { type Results, summarize } from "./report/results.ts";
import {
  fuseTargets,
  guestTargets,
  type Target,
  targets,
} from "./report/targets.ts";
import { readResults, writeAll, writeTexts } from "./report/write.ts";

const { values: options } = parseArgs({
  allowNegative: true,
  options: {
    rounds: { type: "string", default: "13" },
    guest: { type: "boolean", default: true },
    "only-guest": { type: "boolean", default: false },
    "only-fuse": { type: "boolean", default: false },
    dry: { type: "boolean", default: false },
    report: { type: "boolean", default: false },
  },
});
const rounds = Number(options.rounds);
if (!(Number.isInteger(rounds) && rounds > 0)) {
  throw new RangeError(`--rounds ${options.rounds}`);
}

/** Reports progress on stderr, because the results go to stdout. */
function progress(text: string): void {
  const seconds = (performance.now() / 1000).toFixed(0);
  console.error(`${seconds.padStart(4)} s: ${text}`);
}

/** Measures in a guest; without it, the other results are still worth having. */
async function tryGuest<T>(
  what: string,
  measure: () => Promise<T>,
): Promise<T | undefined> {
  if (!options.guest) return undefined;
  progress(what);
  try {
    return await measure();
  } catch (error) {
    console.error(error);
    Deno.exitCode = 1;
  }
}

async function measure(): Promise<Results> {
  await build();
  const samples = new Samples();
  const programs = new Programs();
  for (let round = 0; round < rounds; round++) {
    progress(`round ${round + 1} of ${rounds}`);
    await measureRound(samples, round);
    await programs.measureRound(round);
  }
  const guest = await tryGuest("a guest", measureGuest);
  const fuse = await tryGuest("a guest with filesystems", measureFuse);
  const found = programs.results();
  return {
    machine: await machine(),
    rounds,
    ...summarize(samples),
    programs: found,
    guest,
    fuse,
    targets: targets(samples, found, guest, fuse),
  };
}

/** Measures a guest, and takes all else from the last results. */
async function measureOnly(what: "guest" | "fuse"): Promise<Results> {
  const last = await readResults();
  const { found, targets } = what === "guest"
    ? await measured(measureGuest, guestTargets)
    : await measured(measureFuse, fuseTargets);
  const names = targets.map(({ name }) => name);
  const others = last.targets.filter(({ name }) => !names.includes(name));
  return { ...last, [what]: found, targets: [...others, ...targets] };
}

async function measured<T>(
  measure: () => Promise<T>,
  targetsOf: (found: T) => Target[],
): Promise<{ found: T; targets: Target[] }> {
  const found = await measure();
  return { found, targets: targetsOf(found) };
}

if (options.report) {
  await writeTexts(await readResults());
} else {
  const results = options["only-guest"]
    ? await measureOnly("guest")
    : options["only-fuse"]
    ? await measureOnly("fuse")
    : await measure();
  console.log(fullReport(results));
  if (!options.dry) await writeAll(results);
  progress("done");
}
