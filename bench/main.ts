/**
 * `deno task bench`: measures the library beside C, and says what it found in
 * the README, results.json and results.svg. It exits with 1 only when something
 * could not be measured, however slow it is.
 *
 *     deno task bench [--rounds N] [--no-guest] [--dry]
 *
 * `--dry` prints the results and writes nothing; `--no-guest` leaves out what
 * runs under QEMU.
 */

import { parseArgs } from "node:util";
import { build } from "./c/baseline.ts";
import { chart } from "./report/chart.ts";
import { guest as measureGuest } from "./guest/guest.ts";
import { machine } from "./report/machine.ts";
import { fullReport, readmeReport } from "./report/report.ts";
import { type Guest, type Results, summarize } from "./report/results.ts";
import { measureRound } from "./programs/rounds.ts";
import { Samples } from "./programs/samples.ts";
import { Scripts } from "./programs/scripts.ts";
import { targets } from "./report/targets.ts";
import { run } from "../tests/kit/run.ts";

const ROOT = new URL("../", import.meta.url);

const { values: options } = parseArgs({
  allowNegative: true,
  options: {
    rounds: { type: "string", default: "13" },
    guest: { type: "boolean", default: true },
    dry: { type: "boolean", default: false },
  },
});
const rounds = Number(options.rounds);
if (!(Number.isInteger(rounds) && rounds > 0)) {
  throw new RangeError(`--rounds ${options.rounds}`);
}

/** Says what is under way, where the results do not go. */
function progress(text: string): void {
  const seconds = (performance.now() / 1000).toFixed(0);
  console.error(`${seconds.padStart(4)} s: ${text}`);
}

async function write(results: Results): Promise<void> {
  const json = new URL("bench/results.json", ROOT);
  await Deno.writeTextFile(json, `${JSON.stringify(results, null, 2)}\n`);
  const readme = new URL("README.md", ROOT);
  const text = await Deno.readTextFile(readme);
  const section = /(<!-- bench -->\n)[^]*(\n<!-- \/bench -->)/;
  if (!section.test(text)) throw new Error("README.md: no <!-- bench -->");
  // A function, since a replacement text may not have a dollar sign.
  const report = readmeReport(results);
  await Deno.writeTextFile(
    readme,
    text.replace(section, (_, start, end) => `${start}\n${report}\n${end}`),
  );
  const args = ["fmt", "--quiet", json.pathname, readme.pathname];
  const { success, stderr } = await run(Deno.execPath(), args);
  if (!success) throw new Error(`deno fmt: ${stderr}`);
  const svg = await chart(results);
  await Deno.writeTextFile(new URL("bench/results.svg", ROOT), svg);
}

await build();
const samples = new Samples();
const scripts = new Scripts();
for (let round = 0; round < rounds; round++) {
  progress(`round ${round + 1} of ${rounds}`);
  await measureRound(samples, round);
  await scripts.measureRound(round);
}
let guest: Guest | undefined;
try {
  if (options.guest) {
    progress("a guest");
    guest = await measureGuest();
  }
} catch (error) {
  // The rest has been measured, and is worth to be seen.
  console.error(error);
  Deno.exitCode = 1;
}
const found = scripts.results();
const results: Results = {
  machine: await machine(),
  rounds,
  ...summarize(samples),
  scripts: found,
  guest,
  targets: targets(samples, found),
};
console.log(fullReport(results));
if (!options.dry) await write(results);
progress("done");
