/**
 * Random sequences of calls, against a model of the life of a command: each command
 * settles once, with an outcome that the model allows.
 *
 * A sequence may block its process, so that each run is a child process, which the
 * test watches. SEQUENCES is the number of sequences; default 2000.
 */

import { assert, assertLess } from "@std/assert";
import type { Sequence } from "./model/sequence.ts";
import { shrink } from "./model/shrink.ts";
import { run } from "../kit/run.ts";

const SEQUENCES = Number(Deno.env.get("SEQUENCES") ?? 2000);
/** Milliseconds after which no further sequence starts. */
const LIMIT_MS = SEQUENCES > 2000 ? 600_000 : 20_000;
/** A sequence takes milliseconds: one that takes this long blocks. */
const BLOCKED_MS = 60_000;
const SHRINK_MS = 60_000;

/** The outcome of a child. */
interface Outcome {
  /** The sequence that blocked it. */
  readonly blocked: Sequence | null;
  readonly success: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs sequences in a child, and kills one that blocks. */
async function runChild(
  folder: string,
  setting: Record<string, unknown>,
  blockedMs: number,
): Promise<Outcome> {
  const current = `${folder}/current`;
  await Deno.writeTextFile(current, "");
  const main = new URL("./model/main.ts", import.meta.url).href;
  const args = [current, `${folder}/fifo`, JSON.stringify(setting)];
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--v8-flags=--expose-gc", main, ...args],
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1" },
  }).spawn();
  let blocked: Sequence | null = null;
  let seen = "";
  let since = performance.now();
  const watch = setInterval(() => {
    const text = Deno.readTextFileSync(current);
    const now = performance.now();
    if (text !== seen) [seen, since] = [text, now];
    else if (now - since > blockedMs && seen !== "") {
      blocked = JSON.parse(seen);
      child.kill("SIGKILL");
    }
  }, 200);
  const { success, stdout, stderr } = await child.output();
  clearInterval(watch);
  const decoder = new TextDecoder();
  return {
    blocked,
    success,
    stdout: decoder.decode(stdout),
    stderr: decoder.decode(stderr),
  };
}

async function makeFifo(path: string): Promise<void> {
  const { success, stderr } = await run("mkfifo", [path]);
  assert(success, stderr);
}

Deno.test("in random sequences each command settles once, with an outcome of the model", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await makeFifo(`${folder}/fifo`);
    const setting = { runs: SEQUENCES, limitMs: LIMIT_MS };
    const ran = await runChild(folder, setting, BLOCKED_MS);
    if (ran.blocked !== null) {
      const start = performance.now();
      const blocks = async (sequence: Sequence) =>
        (await runChild(folder, { sequence }, 10_000)).blocked !== null;
      const over = () => performance.now() - start > SHRINK_MS;
      const least = await shrink(ran.blocked, blocks, over);
      throw new Error(`this sequence blocks: ${JSON.stringify(least)}`);
    }
    assert(ran.success, ran.stderr);
    const { done, leaked, ms } = JSON.parse(ran.stdout);
    // Some are opened once, by the runtime.
    assertLess(leaked, 8, "descriptors");
    assert(done >= Math.min(SEQUENCES, 300), `only ${done} sequences`);
    if (SEQUENCES > 2000) console.log(`${done} sequences in ${ms} ms`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
