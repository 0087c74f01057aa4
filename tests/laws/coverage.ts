/**
 * Runs the tests, and lists the branches of the library that they never take.
 *
 *     deno task test:coverage [ARGUMENTS OF deno test]
 *
 * Processes that tests spawn count as well, because they inherit the folder of the
 * profiles. It fails when a test fails, and when a layer is below its threshold.
 *
 * @module
 */

import { relative } from "node:path";
import { fileURLToPath } from "node:url";

/** Least share of the branches of a folder that tests take, in percent. */
const LEAST: Readonly<Record<string, number>> = { "ring/": 98, "cmd/": 98 };

/** Folders whose code only guests run. */
const IN_GUESTS = ["cmd/ublk/"];

/** The branches of a file. `missed` has one line number for each never taken. */
export interface Branches {
  readonly path: string;
  readonly found: number;
  readonly missed: readonly number[];
}

/** Reads the branches of each file from a report in the LCOV format. */
export function branches(lcov: string): Branches[] {
  const files: Branches[] = [];
  for (const record of lcov.split("end_of_record\n")) {
    const path = /^SF:(.*)$/m.exec(record)?.[1];
    if (path === undefined) continue;
    // BRDA:line,block,branch,taken, where taken is `-` or 0 for never.
    const all = [...record.matchAll(/^BRDA:(\d+),\d+,\d+,(\d+|-)$/gm)];
    const missed = all.filter(([, , taken]) => !(Number(taken) > 0));
    const lines = missed.map(([, line]) => Number(line));
    files.push({ path, found: all.length, missed: lines });
  }
  return files;
}

/** Returns how many percent of the branches were taken: 100 if there are none. */
export function percent(files: readonly Branches[]): number {
  const found = files.reduce((sum, file) => sum + file.found, 0);
  const missed = files.reduce((sum, { missed }) => sum + missed.length, 0);
  return found === 0 ? 100 : 100 * (found - missed) / found;
}

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Runs Deno at the root. Returns its output if `stdout` is `"piped"`. */
async function deno(
  args: readonly string[],
  stdout: "inherit" | "piped",
  env: Record<string, string> = {},
): Promise<{ success: boolean; text: string }> {
  const command = new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: root,
    env,
    stdout,
    stderr: "inherit",
  });
  const output = await command.output();
  const text = stdout === "piped"
    ? new TextDecoder().decode(output.stdout)
    : "";
  return { success: output.success, text };
}

/** Prints the coverage. Returns `false` if a layer is below its threshold. */
function report(files: readonly Branches[]): boolean {
  let good = true;
  for (const [layer, least] of Object.entries(LEAST)) {
    const own = files.filter(({ path }) =>
      path.startsWith(layer) && !IN_GUESTS.some((it) => path.startsWith(it))
    );
    for (const file of own) {
      const missed = file.missed.length === 0
        ? ""
        : `  never taken in lines ${file.missed.join(" ")}`;
      console.log(
        `${percent([file]).toFixed(1).padStart(6)} % ${file.path}${missed}`,
      );
    }
    const all = percent(own);
    const enough = own.length > 0 && all >= least;
    console.log(
      `${all.toFixed(1).padStart(6)} % of the branches of ${layer}` +
        (enough ? "\n" : `, which is below ${least} %\n`),
    );
    good &&= enough;
  }
  return good;
}

if (import.meta.main) {
  const folder = await Deno.makeTempDir();
  try {
    // Some tests run a process as another user, which writes here as well.
    await Deno.chmod(folder, 0o1777);
    const args = ["-A", "--unstable-net", "--v8-flags=--expose-gc"];
    // cost_test counts allocations, and code that counts branches allocates.
    const all = ["--ignore=tests/ring/cost_test.ts", "tests/"];
    const tests = Deno.args.length > 0 ? Deno.args : all;
    // Does the same as `--coverage`, and child processes inherit it.
    const env = { DENO_COVERAGE_DIR: folder };
    const ran = await deno(["test", ...args, ...tests], "inherit", env);
    const { text } = await deno(["coverage", "--lcov", folder], "piped");
    const files = branches(text).map((file) => ({
      ...file,
      path: relative(root, file.path),
    }));
    Deno.exitCode = report(files) && ran.success ? 0 : 1;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
