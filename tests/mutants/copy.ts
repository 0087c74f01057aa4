/** A copy of the project, which may be broken. */

import { cp } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { broken, type Mutant } from "./mutant.ts";
import { run } from "../kit/run.ts";

const ROOT = new URL("../../", import.meta.url);
/** The files and folders that tests need. */
const PARTS = ["deno.json", "deno.lock", "mod.ts", "README.md", "LICENSE"];
const FOLDERS = ["bench", "cmd", "ring", "sys", "tests"];

export class Copy {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async make(): Promise<Copy> {
    const folder = await Deno.makeTempDir();
    // Tests run scripts of this folder as other users.
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

  /**
   * Runs tests up to the first failure, and returns what they printed; `null` if
   * all pass. Tests that take longer than the limit fail.
   */
  async failure(
    tests: readonly string[],
    limitSeconds: number,
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
