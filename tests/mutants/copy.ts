/** A copy of the project, which may be broken. */

import { cp } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { broken, type Mutant } from "./mutant.ts";

const ROOT = new URL("../../", import.meta.url);
/** The files and folders that tests need. */
const PARTS = ["deno.json", "deno.lock", "mod.ts", "README.md", "LICENSE"];
const FOLDERS = ["bench", "cmd", "ring", "sys", "tests"];

export interface TestRun {
  readonly success: boolean;
  readonly output: string;
  readonly longestQuietSeconds: number;
}

export class Copy implements AsyncDisposable {
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
   * Runs tests up to the first failure. A run that prints nothing for so many
   * seconds hangs, and fails.
   */
  async test(
    tests: readonly string[],
    quietSeconds: number,
  ): Promise<TestRun> {
    // It passes a signal on to the children of its child.
    const child = new Deno.Command("timeout", {
      args: [
        ...["--kill-after=1", "600", Deno.execPath(), "test", "-A"],
        ...["--unstable-net", "--no-check", "--quiet", "--fail-fast"],
        ...["--v8-flags=--expose-gc", ...tests],
      ],
      cwd: this.#folder,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    let output = "";
    let longest = 0;
    let last = performance.now();
    const watch = setInterval(() => {
      if (performance.now() - last < quietSeconds * 1000) return;
      clearInterval(watch);
      child.kill("SIGTERM");
    }, 100);
    await Promise.all([child.stdout, child.stderr].map(async (stream) => {
      for await (const text of stream.pipeThrough(new TextDecoderStream())) {
        output += text;
        longest = Math.max(longest, performance.now() - last);
        last = performance.now();
      }
    }));
    clearInterval(watch);
    const { success } = await child.status;
    return { success, output, longestQuietSeconds: longest / 1000 };
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
