/** The figures that a program in a guest prints. */

import { run } from "../../tests/kit/run.ts";

const ROOT = new URL("../../", import.meta.url);

/** Runs the laboratory, and returns what its guest prints as JSON. */
export async function figuresOf<T>(args: readonly string[]): Promise<T> {
  const { success, stdout, stderr } = await run(Deno.execPath(), args, {
    cwd: ROOT,
  });
  const line = stdout.split("\n").find((each) => each.startsWith('{"kernel":'));
  if (!success || line === undefined) {
    throw new Error(`the guest measured nothing: ${stderr}${stdout}`);
  }
  return JSON.parse(line);
}
