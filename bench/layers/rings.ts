/** Makes the benchmarks of a `Ring`: each workload at each depth. */

import { type Command, Ring } from "../../mod.ts";
import { devices } from "./devices.ts";
import type { Layer } from "./layers.ts";
import type { Case } from "./measure.ts";
import { allPoints, batchesPerCall, DEPTHS, nameOf } from "./workloads.ts";

/** The ring and the commands of one benchmark. */
export interface Task {
  readonly ring: Ring;
  readonly depth: number;
  readonly command: Command<number>;
  /** The command, `depth` times. */
  readonly batch: readonly Command<number>[];
  /** Batches in one call of the benchmark. */
  readonly batches: number;
}

// A thread can register 16 rings (IO_RINGFD_REG_MAX), so the workloads and
// layers share one ring for each depth.
const rings = new Map(
  DEPTHS.map((depth) => [depth, Ring.open({ entries: depth })]),
);

/** Returns the benchmarks of a layer, at all depths by default. */
export function ringCases(
  layer: Layer,
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
