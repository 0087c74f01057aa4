/** Benchmarks of `cmd` that await a whole batch with `Promise.all`. */

import { measure } from "./measure.ts";
import { ringCases } from "./rings.ts";

await measure(
  ringCases("cmd, Promise.all", ({ ring, batch, batches }) => async () => {
    for (let i = 0; i < batches; i++) {
      await Promise.all(batch.map((each) => ring.cmd(each)));
    }
  }),
);
