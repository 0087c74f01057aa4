/** Measures the milliseconds to open a ring, run one command and close it. */

import { Ring } from "../../mod.ts";
import { nop } from "../../cmd/op.ts";
import { median } from "../stats.ts";

async function once(): Promise<number> {
  const start = performance.now();
  const ring = Ring.open();
  await ring.cmd(nop());
  await ring.close();
  return performance.now() - start;
}

/** The first of a process, which also opens libc. */
const firstMs = await once();
const times: number[] = [];
for (let i = 0; i < 50; i++) times.push(await once());
console.log(JSON.stringify({ firstMs, ms: median(times) }));
