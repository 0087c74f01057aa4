/** The measurements that are programs of their own, each of one concern. */

import { run } from "../../tests/kit/run.ts";
import { liburing } from "../c/baseline.ts";
import { median } from "./stats.ts";

const HERE = new URL(".", import.meta.url).pathname;

/** What a program printed, as medians if it ran more than once. */
export type Numbers = Readonly<Record<string, number>>;

/** What each of them found. */
export interface ScriptResults {
  readonly encode: Numbers;
  readonly heap: Numbers;
  readonly late: Numbers;
  readonly idle: Numbers;
  readonly start: Numbers;
  readonly import: Numbers;
  readonly flat: Numbers;
  /** The C program at the depths of `flat`. */
  readonly flatC: Numbers;
}

/** No collection but those that heap.ts asks for: see there. */
const HEAP_FLAGS = "--v8-flags=--expose-gc,--min-semi-space-size=256," +
  "--max-semi-space-size=256";

/** Depths of flat.ts. */
const FLAT_DEPTHS = [32, 128, 512, 1024, 4096];

/** Runs them, round by round. */
export class Scripts {
  readonly #runs: Record<keyof ScriptResults, Numbers[]> = {
    encode: [],
    heap: [],
    late: [],
    idle: [],
    start: [],
    import: [],
    flat: [],
    flatC: [],
  };

  /** What counts bytes runs once, what is long at times, the rest each time. */
  async measureRound(round: number): Promise<void> {
    const runs = this.#runs;
    if (round === 0) {
      runs.heap.push(await script("heap.ts", HEAP_FLAGS));
      runs.idle.push(await script("idle.ts"));
      await script("import.ts"); // Fills Deno's caches.
    }
    runs.encode.push(await script("encode.ts"));
    runs.late.push(await script("late.ts"));
    runs.start.push(await script("start.ts"));
    runs.import.push(await script("import.ts"));
    if (round % 3 === 0) {
      runs.flat.push(await script("flat.ts"));
      runs.flatC.push(await flatC());
    }
  }

  /** Medians of the rounds. */
  results(): ScriptResults {
    const runs = this.#runs;
    return {
      encode: medians(runs.encode),
      heap: medians(runs.heap),
      late: medians(runs.late),
      idle: medians(runs.idle),
      start: medians(runs.start),
      import: medians(runs.import),
      flat: medians(runs.flat),
      flatC: medians(runs.flatC),
    };
  }
}

async function script(file: string, ...flags: string[]): Promise<Numbers> {
  const args = ["run", "-A", "--no-check", ...flags, HERE + file];
  const { success, stdout, stderr } = await run(Deno.execPath(), args);
  if (!success) throw new Error(`${file} has failed:\n${stderr}`);
  return JSON.parse(stdout);
}

async function flatC(): Promise<Numbers> {
  const numbers: Record<string, number> = {};
  for (const depth of FLAT_DEPTHS) {
    const point = { workload: "cmd", depth, file: "fd" } as const;
    numbers[`depth ${depth}`] = await liburing(point);
  }
  return numbers;
}

function medians(runs: readonly Numbers[]): Numbers {
  const names = Object.keys(runs[0]);
  return Object.fromEntries(
    names.map((name) => [name, median(runs.map((each) => each[name]))]),
  );
}
