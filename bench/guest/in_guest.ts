/**
 * Runs in the virtual machine that guest.ts boots, and prints its figures as one
 * line of JSON.
 */

import { missing } from "../../tests/lab/nvme_drive.ts";
import { fioNs } from "./fio.ts";
import { libraryNs } from "./library.ts";
import type { GuestRow } from "./guest.ts";
import { TITLES, type Workload, WORKLOADS } from "./plan.ts";
import { median } from "../stats.ts";

const ROUNDS = 3;
/** Samples in a round. They are many and small, because V8 compiles in some. */
const SAMPLES = 4;
/** Operations of a sample. */
const SAMPLE = 1024;
/** Operations before the samples of a round. */
const WARM = 3 * SAMPLE;

// This program destroys data: run it only where the disks are the test guest's.
if (missing !== "") {
  throw new Error(`There is no ${missing}. Run bench/guest/guest.ts.`);
}

/** One way to run a workload with the library. */
interface Way {
  readonly workload: Workload;
  readonly inBatches: boolean;
  readonly samples: number[];
}

const ways = WORKLOADS.flatMap((workload) =>
  [false, true].map((inBatches): Way => ({ workload, inBatches, samples: [] }))
);

// In turn, because a later way may deoptimize an earlier one.
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
  // One run is enough: fio's figures vary by 2 %, and fio starts slowly.
  const ns = await fioNs(workload, inBatches);
  row(inBatches ? "fio in batches" : "fio", ns);
}
console.log(JSON.stringify({ kernel: Deno.osRelease(), rows }));
// The rings and descriptors go with the guest.
Deno.exit(0);
