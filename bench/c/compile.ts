/** Compiles the programs in C that the library is compared with. */

import { run } from "../../tests/kit/run.ts";

const ROOT = new URL("../../", import.meta.url);
const FLAGS = ["-O2", "-Wall", "-Wextra"];

/**
 * Compiles a source of this folder into a program below the top of the project.
 *
 * @param packages What has to be installed, for the error message.
 */
export async function compile(
  source: string,
  program: string,
  flags: readonly string[],
  packages: string,
): Promise<void> {
  await Deno.mkdir(new URL(".cache/bench/", ROOT), { recursive: true });
  const args = [...FLAGS, "-o", program, `bench/c/${source}`, ...flags];
  const advice = `Install what it needs: \`apt install ${packages}\``;
  try {
    const { success, stderr } = await run("cc", args, { cwd: ROOT });
    if (success) return;
    throw new Error(`${source} does not compile. ${advice}.\n${stderr}`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error(`There is no C compiler. ${advice}.`);
  }
}
