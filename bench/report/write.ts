/** Writes the results into the repository. */

import { output } from "../../tests/kit/run.ts";
import { chart } from "./chart.ts";
import { fullReport, readmeReport } from "./report.ts";
import type { Results } from "./results.ts";

const ROOT = new URL("../../", import.meta.url);
const RESULTS = new URL("bench/results.json", ROOT);
const CHART = new URL("bench/results.svg", ROOT);

/** Writes results.json, the chart and the texts. */
export async function writeAll(results: Results): Promise<void> {
  await Deno.writeTextFile(RESULTS, `${JSON.stringify(results, null, 2)}\n`);
  await format(RESULTS);
  await writeTexts(results);
  await Deno.writeTextFile(CHART, await chart(results));
}

/** Returns the results that results.json holds. */
export async function readResults(): Promise<Results> {
  return JSON.parse(await Deno.readTextFile(RESULTS));
}

/** Writes the report between the markers of the two READMEs. */
export async function writeTexts(results: Results): Promise<void> {
  await replace(new URL("README.md", ROOT), readmeReport(results));
  await replace(new URL("bench/README.md", ROOT), fullReport(results));
}

const SECTION = /(<!-- bench -->\n)[^]*(\n<!-- \/bench -->)/;

async function replace(file: URL, report: string): Promise<void> {
  const text = await Deno.readTextFile(file);
  if (!SECTION.test(text)) {
    throw new Error(
      `${file.pathname} has no section to write to. Put <!-- bench --> and ` +
        "<!-- /bench --> on lines of their own.",
    );
  }
  // A function, because a `$` in a replacement string is special.
  const section = (_: string, start: string, end: string) =>
    `${start}\n${report}\n${end}`;
  await Deno.writeTextFile(file, text.replace(SECTION, section));
  await format(file);
}

async function format(file: URL): Promise<void> {
  const args = ["fmt", "--quiet", file.pathname];
  await output(Deno.execPath(), args);
}
