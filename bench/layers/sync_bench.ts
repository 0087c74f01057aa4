/** Benchmarks of `cmdAllSync` with a batch, and of `cmdSync` at depth 1. */

import { measure } from "./measure.ts";
import { ringCases } from "./rings.ts";

await measure([
  ...ringCases("cmdAllSync", ({ ring, batch, batches }) => () => {
    for (let i = 0; i < batches; i++) ring.cmdAllSync(batch);
  }),
  ...ringCases("cmdSync", ({ ring, command, batches }) => () => {
    for (let i = 0; i < batches; i++) ring.cmdSync(command);
  }, [1]),
]);
