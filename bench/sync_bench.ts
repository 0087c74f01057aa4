/** `cmdAllSync` of a batch, and `cmdSync` of one command after another. */

import { Ring } from "../mod.ts";
import { devices } from "./devices.ts";
import { type Case, measure } from "./measure.ts";
import { allPoints, batchesPerCall, DEPTHS, nameOf } from "./workloads.ts";

const rings = new Map(
  DEPTHS.map((depth) => [depth, Ring.open({ entries: depth })]),
);
const cases: Case[] = [];
for (const point of allPoints()) {
  const { workload, depth } = point;
  const ring = rings.get(depth)!;
  const { command } = devices[workload];
  const batch = new Array(depth).fill(command);
  const batches = batchesPerCall(depth);
  const name = nameOf(point);
  cases.push({
    layer: "cmdAllSync",
    name,
    run: () => {
      for (let i = 0; i < batches; i++) ring.cmdAllSync(batch);
    },
  });
  if (depth > 1) continue;
  cases.push({
    layer: "cmdSync",
    name,
    run: () => {
      for (let i = 0; i < batches; i++) ring.cmdSync(command);
    },
  });
}
await measure(cases);
