/**
 * What `guest.ts` has Deno run in a guest of the laboratory. It prints its
 * figures as one line of JSON.
 */

import { missing } from "../../tests/lab/nvme_drive.ts";
import { fioNs } from "./fio.ts";
import { libraryNs } from "./library.ts";
import { TITLES, type Workload, WORKLOADS } from "./plan.ts";
import type { GuestRow } from "../report/results.ts";
import { median } from "../programs/stats.ts";

const ROUNDS = 3;
/** Many small samples: V8 still compiles in some of them. */
const SAMPLES = 4;
const SAMPLE = 1024;
const WARM = 3 * SAMPLE;

// It discards what is on disks: those of the laboratory, and no others.
if (missing !== "") throw new Error(`there is no ${missing}`);

/** One way through the library. */
interface Way {
  readonly workload: Workload;
  readonly inBatches: boolean;
  readonly samples: number[];
}

const ways = WORKLOADS.flatMap((workload) =>
  [false, true].map((inBatches): Way => ({ workload, inBatches, samples: [] }))
);

// In turn, since what a later way does may undo what V8 made of an earlier one.
for (let round = 0; round < ROUNDS; round++) {
  for (const { workload, inBatches, samples } of ways) {
    await libraryNs(workload, inBatches, WARM);
    for (let i = 0; i < SAMPLES; i++) {
      const ns = await libraryNs(workload, inBatches, SAMPLE);
      if (round > 0) samples.push(ns);
    }
  }
}

const rows: GuestRow[] = [];
for (const { workload, inBatches, samples } of ways) {
  const row = (through: string, cpuNs: number) =>
    rows.push({
      workload: TITLES[workload],
      through,
      cpuNs: Math.round(cpuNs),
    });
  row(inBatches ? "cmdAllSync" : "cmd, awaited", median(samples));
  // Twice would say the same, within two in a hundred, and it starts slowly.
  const ns = await fioNs(workload, inBatches);
  row(inBatches ? "fio in batches" : "fio", ns);
}
console.log(JSON.stringify({ kernel: Deno.osRelease(), rows }));
// The rings and descriptors go with the guest.
Deno.exit(0);
