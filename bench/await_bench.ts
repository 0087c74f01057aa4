/** `cmd` of a batch, awaited together. */

import { Ring } from "../mod.ts";
import { devices } from "./devices.ts";
import { measure } from "./measure.ts";
import { allPoints, batchesPerCall, DEPTHS, nameOf } from "./workloads.ts";

const rings = new Map(
  DEPTHS.map((depth) => [depth, Ring.open({ entries: depth })]),
);
await measure(
  allPoints().map((point) => {
    const { workload, depth } = point;
    const ring = rings.get(depth)!;
    const batch = new Array(depth).fill(devices[workload].command);
    const batches = batchesPerCall(depth);
    return {
      layer: "cmd, Promise.all",
      name: nameOf(point),
      run: async () => {
        for (let i = 0; i < batches; i++) {
          await Promise.all(batch.map((each) => ring.cmd(each)));
        }
      },
    };
  }),
);
