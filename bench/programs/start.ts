/** Milliseconds to open a ring, run a first command and close it again. */

import { Ring } from "../../mod.ts";
import { nop } from "../../cmd/op.ts";
import { median } from "./stats.ts";

async function once(): Promise<number> {
  const start = performance.now();
  const ring = Ring.open();
  await ring.cmd(nop());
  await ring.close();
  return performance.now() - start;
}

/** The first of a process opens libc too. */
const firstMs = await once();
const times: number[] = [];
for (let i = 0; i < 50; i++) times.push(await once());
console.log(JSON.stringify({ firstMs, ms: median(times) }));
