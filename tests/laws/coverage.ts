/**
 * Runs the tests, and says which branches of the library they never take.
 *
 *     deno task test:coverage [ARGUMENTS OF deno test]
 *
 * Children that tests spawn count, too, since they inherit the folder to write
 * to. It fails when a test fails, and when a layer is below its threshold.
 *
 * @module
 */

import { relative } from "node:path";
import { fileURLToPath } from "node:url";

/** Least share of the branches of a folder that tests take, in percent. */
const LEAST: Readonly<Record<string, number>> = { "ring/": 98, "cmd/": 98 };

/** The branches of a file: a line stands here once for each that was not taken. */
export interface Branches {
  readonly path: string;
  readonly found: number;
  readonly missed: readonly number[];
}

/** The branches in a report of the form LCOV, by file. */
export function branches(lcov: string): Branches[] {
  const files: Branches[] = [];
  for (const record of lcov.split("end_of_record\n")) {
    const path = /^SF:(.*)$/m.exec(record)?.[1];
    if (path === undefined) continue;
    // BRDA:line,block,branch,taken: `-` or 0 is never.
    const all = [...record.matchAll(/^BRDA:(\d+),\d+,\d+,(\d+|-)$/gm)];
    const missed = all.filter(([, , taken]) => !(Number(taken) > 0));
    const lines = missed.map(([, line]) => Number(line));
    files.push({ path, found: all.length, missed: lines });
  }
  return files;
}

/** The branches that were taken, of a hundred: all where there are none. */
export function percent(files: readonly Branches[]): number {
  const found = files.reduce((sum, file) => sum + file.found, 0);
  const missed = files.reduce((sum, { missed }) => sum + missed.length, 0);
  return found === 0 ? 100 : 100 * (found - missed) / found;
}

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Runs Deno here, and returns what it printed if that is asked for. */
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

/** Prints how far the tests get; `false` where that is not far enough. */
function report(files: readonly Branches[]): boolean {
  let good = true;
  for (const [layer, least] of Object.entries(LEAST)) {
    const own = files.filter(({ path }) => path.startsWith(layer));
    for (const file of own) {
      const missed = file.missed.length === 0
        ? ""
        : `  never taken at ${file.missed.join(" ")}`;
      console.log(
        `${percent([file]).toFixed(1).padStart(6)} % ${file.path}${missed}`,
      );
    }
    const all = percent(own);
    const enough = own.length > 0 && all >= least;
    console.log(
      `${all.toFixed(1).padStart(6)} % of the branches of ${layer}` +
        (enough ? "\n" : `, which is to be ${least} %\n`),
    );
    good &&= enough;
  }
  return good;
}

if (import.meta.main) {
  const folder = await Deno.makeTempDir();
  try {
    // Some children are other users, who write here, too.
    await Deno.chmod(folder, 0o1777);
    const args = ["-A", "--unstable-net", "--v8-flags=--expose-gc"];
    // Code that counts its own branches allocates, which cost_test is about.
    const all = ["--ignore=tests/ring/cost_test.ts", "tests/"];
    const tests = Deno.args.length > 0 ? Deno.args : all;
    // The variable does what `--coverage` does, and children inherit it.
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
