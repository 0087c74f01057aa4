/** `cmdAllSync` of a batch, and `cmdSync` of one command after another. */

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
