/** Benchmarks of a ring: each workload at each depth, on a ring of that depth. */

import { type Command, Ring } from "../../mod.ts";
import { devices } from "./devices.ts";
import type { Case } from "./measure.ts";
import { allPoints, batchesPerCall, DEPTHS, nameOf } from "./workloads.ts";

/** What a benchmark runs. */
export interface Task {
  readonly ring: Ring;
  readonly depth: number;
  readonly command: Command<number>;
  /** As many of the command as the depth says. */
  readonly batch: readonly Command<number>[];
  /** How many batches a call of the benchmark runs. */
  readonly batches: number;
}

// A thread can register sixteen rings, so that workloads and layers share them.
const rings = new Map(
  DEPTHS.map((depth) => [depth, Ring.open({ entries: depth })]),
);

/** The benchmarks of a layer, at some depths or all. */
export function ringCases(
  layer: string,
  benchmark: (task: Task) => Case["run"],
  depths = DEPTHS,
): Case[] {
  return allPoints().filter(({ depth }) => depths.includes(depth)).map(
    (point) => {
      const { workload, depth } = point;
      const { command } = devices[workload];
      const run = benchmark({
        ring: rings.get(depth)!,
        depth,
        command,
        batch: new Array(depth).fill(command),
        batches: batchesPerCall(depth),
      });
      return { layer, name: nameOf(point), run };
    },
  );
}
