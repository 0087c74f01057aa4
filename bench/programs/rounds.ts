/** One round: each layer, and the C program right before or after it. */

import { run } from "../../tests/kit/run.ts";
import { liburing } from "../c/baseline.ts";
import { cKey, ourKey, type Samples } from "./samples.ts";
import {
  allPoints,
  batchesPerCall,
  FIXED_POINTS,
} from "../layers/workloads.ts";
import { type Point, pointOf } from "../layers/workloads.ts";

const LAYERS_FOLDER = new URL("../layers/", import.meta.url).pathname;

/** Benchmarks that have the C program beside them, with the layer it is for. */
const LAYERS: readonly (readonly [file: string, layer: string])[] = [
  ["raw_bench.ts", "./raw"],
  ["sync_bench.ts", "cmdAllSync"],
  ["await_bench.ts", "cmd, Promise.all"],
  ["loops_bench.ts", "cmd, loops"],
];

/** Measures everything once. Which side is first alternates. */
export async function measureRound(
  samples: Samples,
  round: number,
): Promise<void> {
  for (const [file, layer] of LAYERS) {
    const points = allPoints();
    if (layer === "./raw") points.push(...FIXED_POINTS);
    if (round % 2 === 0) await measureC(samples, layer, points);
    await measureLayer(samples, file);
    if (round % 2 === 1) await measureC(samples, layer, points);
  }
  for (const { group, name, ns } of await denoBench("ffi_bench.ts")) {
    samples.add(group, ns / Number(name));
  }
}

async function measureC(
  samples: Samples,
  layer: string,
  points: readonly Point[],
): Promise<void> {
  for (const point of points) {
    samples.add(cKey(layer, point), await liburing(point));
  }
}

async function measureLayer(samples: Samples, file: string): Promise<void> {
  for (const { group, name, ns } of await denoBench(file)) {
    const point = pointOf(name);
    const commands = batchesPerCall(point.depth) * point.depth;
    samples.add(ourKey(group, point), ns / commands);
  }
}

/** A benchmark as Deno reports it. */
interface Report {
  readonly group: string;
  readonly name: string;
  readonly results: readonly {
    readonly ok?: { readonly avg: number };
    readonly failed?: unknown;
  }[];
}

/** Runs a file of benchmarks in a process of its own. */
async function denoBench(
  file: string,
): Promise<{ group: string; name: string; ns: number }[]> {
  const args = ["bench", "-A", "--no-check", "--json", LAYERS_FOLDER + file];
  const { success, stdout, stderr } = await run(Deno.execPath(), args);
  if (!success) throw new Error(`${file} has failed:\n${stdout}${stderr}`);
  const { benches }: { benches: Report[] } = JSON.parse(stdout);
  return benches.map(({ group, name, results: [{ ok, failed }] }) => {
    if (ok === undefined) {
      throw new Error(`${file}, ${name}: ${JSON.stringify(failed)}`);
    }
    return { group, name, ns: ok.avg };
  });
}
