/** Benchmarks of `cmd` in `depth` loops at once, which await one command each. */

import { measure } from "./measure.ts";
import { ringCases, type Task } from "./rings.ts";

async function loop({ ring, command, batches }: Task): Promise<void> {
  for (let i = 0; i < batches; i++) await ring.cmd(command);
}

await measure(
  ringCases("cmd, loops", (task) => async () => {
    const loops: Promise<void>[] = [];
    for (let i = 0; i < task.depth; i++) loops.push(loop(task));
    await Promise.all(loops);
  }),
);
