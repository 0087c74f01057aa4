/** A copy of the project, which may be broken. */

import { cp } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Mutant } from "./mutant.ts";
import { run } from "../kit/run.ts";

const ROOT = new URL("../../", import.meta.url);
/** What a test needs of it. */
const PARTS = ["deno.json", "deno.lock", "mod.ts", "README.md", "LICENSE"];
const FOLDERS = ["bench", "cmd", "ring", "sys", "tests"];
/** The tests of a mutant that take longer than this hang. */
const LIMIT_SECONDS = 60;

export class Copy {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async make(): Promise<Copy> {
    const folder = await Deno.makeTempDir();
    // Some tests run scripts as other users, who read them here.
    await Deno.chmod(folder, 0o755);
    for (const part of [...PARTS, ...FOLDERS]) {
      const from = fileURLToPath(new URL(part, ROOT));
      await cp(from, `${folder}/${part}`, { recursive: true });
    }
    return new Copy(folder);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#folder, { recursive: true });
  }

  /** What tests printed that do not pass, as none does that takes too long. */
  async failure(
    tests: readonly string[],
    limitSeconds = LIMIT_SECONDS,
  ): Promise<string | null> {
    const { success, stdout, stderr } = await run("timeout", [
      ...["--kill-after=1", String(limitSeconds)],
      ...[Deno.execPath(), "test", "-A", "--unstable-net", "--no-check"],
      ...["--quiet", "--fail-fast", "--v8-flags=--expose-gc"],
      ...tests,
    ], { cwd: this.#folder });
    return success ? null : stdout + stderr;
  }

  /** Calls a function while the copy is broken. */
  async broken<T>(mutant: Mutant, fn: () => Promise<T>): Promise<T> {
    const path = `${this.#folder}/${mutant.file}`;
    const text = await Deno.readTextFile(path);
    await Deno.writeTextFile(path, broken(text, mutant));
    try {
      return await fn();
    } finally {
      await Deno.writeTextFile(path, text);
    }
  }
}

/** The text of a file with a mutant in it, which has to fit in one place only. */
export function broken(text: string, { file, from, to, what }: Mutant): string {
  const parts = text.split(from);
  if (parts.length !== 2 || from === to) {
    throw new Error(
      `${file} has ${parts.length - 1} places for the mutant "${what}"`,
    );
  }
  return parts.join(to);
}
