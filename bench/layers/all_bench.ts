/** Benchmarks of `cmdAll` that await a batch at a time. */

import { measure } from "./measure.ts";
import { ringCases } from "./rings.ts";

await measure(
  ringCases("cmdAll", ({ ring, batch, batches }) => async () => {
    for (let i = 0; i < batches; i++) await ring.cmdAll(batch);
  }),
);
