/** One round: each benchmark file, and the C program right before or after it. */

import { output } from "../../tests/kit/run.ts";
import { liburing } from "../c/baseline.ts";
import { type Layer, LAYERS } from "./layers.ts";
import { cKey, layerKey, type Samples } from "./samples.ts";
import {
  allPoints,
  batchesPerCall,
  FIXED_POINTS,
  type Point,
  pointOf,
} from "./workloads.ts";

/** Measures everything once. The side that runs first alternates by round. */
export async function measureRound(
  samples: Samples,
  round: number,
): Promise<void> {
  for (const file of new Set(Object.values(LAYERS))) {
    const points = allPoints();
    if (file === LAYERS["./raw"]) points.push(...FIXED_POINTS);
    if (round % 2 === 0) await measureC(samples, file, points);
    await measureLayers(samples, file);
    if (round % 2 === 1) await measureC(samples, file, points);
  }
  for (const { group, name, ns } of await denoBench("ffi_bench.ts")) {
    samples.add(group, ns / Number(name));
  }
}

async function measureC(
  samples: Samples,
  file: string,
  points: readonly Point[],
): Promise<void> {
  for (const point of points) {
    samples.add(cKey(file, point), await liburing(point));
  }
}

async function measureLayers(samples: Samples, file: string): Promise<void> {
  for (const { group, name, ns } of await denoBench(file)) {
    const point = pointOf(name);
    const commands = batchesPerCall(point.depth) * point.depth;
    samples.add(layerKey(group as Layer, point), ns / commands);
  }
}

/** A benchmark in the JSON that `deno bench` prints. */
interface Report {
  readonly group: string;
  readonly name: string;
  readonly results: readonly {
    readonly ok?: { readonly avg: number };
    readonly failed?: unknown;
  }[];
}

/** Runs a benchmark file in a process of its own. */
async function denoBench(
  file: string,
): Promise<{ group: string; name: string; ns: number }[]> {
  const path = new URL(file, import.meta.url).pathname;
  const args = ["bench", "-A", "--no-check", "--json", path];
  const report = await output(Deno.execPath(), args);
  const { benches }: { benches: Report[] } = JSON.parse(report);
  return benches.map(({ group, name, results: [{ ok, failed }] }) => {
    if (ok === undefined) {
      throw new Error(`${file}, ${name}: ${JSON.stringify(failed)}`);
    }
    return { group, name, ns: ok.avg };
  });
}
