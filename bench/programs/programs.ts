/** Measurements that are programs of their own, because they need a process. */

import { output } from "../../tests/kit/run.ts";
import { liburing } from "../c/baseline.ts";
import { FLAT_DEPTHS, READS_DEPTH } from "../layers/workloads.ts";
import { median } from "../stats.ts";

/** The figures of a program by name; medians if it ran more than once. */
export type Numbers = Readonly<Record<string, number>>;

interface Program {
  /** The program runs in round 0 and in every so many rounds after it. */
  readonly every: number;
  /** Flags of `deno run`. */
  readonly flags?: readonly string[];
  /** Measures in another way than by running the file of the same name. */
  readonly measure?: () => Promise<Numbers>;
}

/** The period of heap.ts, whose bytes do not vary, and of the slow idle.ts. */
const ONCE = Infinity;

/** heap.ts counts bytes between two collections, so V8 may not add its own. */
const NO_COLLECTION = "--v8-flags=--expose-gc,--min-semi-space-size=256," +
  "--max-semi-space-size=256";

/** The programs in the order in which a round runs them. */
const PROGRAMS = {
  encode: { every: 1 },
  reads: { every: 1 },
  readsC: { every: 1, measure: readsC },
  heap: { every: ONCE, flags: [NO_COLLECTION] },
  late: { every: 1 },
  idle: { every: ONCE },
  start: { every: 1 },
  // After the others, which have filled Deno's caches.
  import: { every: 1 },
  // These take the longest.
  wake: { every: 3 },
  flat: { every: 3 },
  flatC: { every: 3, measure: flatC },
} satisfies Record<string, Program>;

export type ProgramResults = Readonly<Record<keyof typeof PROGRAMS, Numbers>>;

const programs = Object.entries<Program>(PROGRAMS);

/** Runs the programs round by round, and keeps their figures. */
export class Programs {
  readonly #runs = new Map<string, Numbers[]>(
    programs.map(([name]) => [name, []]),
  );

  async measureRound(round: number): Promise<void> {
    for (const [name, { every, flags = [], measure }] of programs) {
      if (round % every !== 0) continue;
      const numbers = await (measure?.() ?? runFile(`${name}.ts`, flags));
      this.#runs.get(name)!.push(numbers);
    }
  }

  /** Returns the medians of all rounds. */
  results(): ProgramResults {
    return Object.fromEntries(
      [...this.#runs].map(([name, runs]) => [name, medians(runs)]),
    ) as ProgramResults;
  }
}

async function runFile(
  file: string,
  flags: readonly string[],
): Promise<Numbers> {
  const path = new URL(file, import.meta.url).pathname;
  const args = ["run", "-A", "--no-check", ...flags, path];
  return JSON.parse(await output(Deno.execPath(), args));
}

/** Measures the C program at the depths of flat.ts. */
async function flatC(): Promise<Numbers> {
  const numbers: Record<string, number> = {};
  for (const depth of FLAT_DEPTHS) {
    const point = { workload: "cmd", depth, file: "fd" } as const;
    numbers[`depth ${depth}`] = await liburing(point);
  }
  return numbers;
}

/** Measures the C program with the reads of reads.ts. */
async function readsC(): Promise<Numbers> {
  const point = { workload: "read", depth: READS_DEPTH, file: "fd" } as const;
  return { ns: await liburing(point) };
}

function medians(runs: readonly Numbers[]): Numbers {
  const names = Object.keys(runs[0]);
  return Object.fromEntries(
    names.map((name) => [name, median(runs.map((each) => each[name]))]),
  );
}
