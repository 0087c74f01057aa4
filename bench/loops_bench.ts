/** `cmd` in as many loops at once as the depth says, each awaiting its own. */

import { type Command, Ring } from "../mod.ts";
import { devices } from "./devices.ts";
import { measure } from "./measure.ts";
import { allPoints, batchesPerCall, DEPTHS, nameOf } from "./workloads.ts";

async function loop(
  ring: Ring,
  command: Command<number>,
  count: number,
): Promise<void> {
  for (let i = 0; i < count; i++) await ring.cmd(command);
}

const rings = new Map(
  DEPTHS.map((depth) => [depth, Ring.open({ entries: depth })]),
);
await measure(
  allPoints().map((point) => {
    const { workload, depth } = point;
    const ring = rings.get(depth)!;
    const { command } = devices[workload];
    const count = batchesPerCall(depth);
    return {
      layer: "cmd, loops",
      name: nameOf(point),
      run: async () => {
        const loops: Promise<void>[] = [];
        for (let i = 0; i < depth; i++) loops.push(loop(ring, command, count));
        await Promise.all(loops);
      },
    };
  }),
);
