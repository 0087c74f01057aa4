/**
 * Runs in the virtual machine that guest.ts boots, and prints its figures as one
 * line of JSON.
 */

import { missing } from "../../tests/lab/nvme_drive.ts";
import { fioNs } from "./fio.ts";
import { libraryNs } from "./library.ts";
import type { GuestRow } from "./guest.ts";
import { TITLES, waysOf, WORKLOADS } from "./plan.ts";
import { median } from "../stats.ts";

const ROUNDS = 3;
/** Samples in a round. They are many and small, because V8 compiles in some. */
const SAMPLES = 4;
/** Operations of a sample. */
const SAMPLE = 1024;
/**
 * Operations before the samples of a round. The awaited ways take so many until V8
 * has compiled all of their path.
 */
const WARM = { awaited: 10 * SAMPLE, blocking: 3 * SAMPLE };

// This program destroys data: run it only where the disks are the test guest's.
if (missing !== "") {
  throw new Error(`There is no ${missing}. Run bench/guest/guest.ts.`);
}

const runs = WORKLOADS.flatMap((workload) =>
  waysOf(workload).map((way) => ({ workload, way, samples: [] as number[] }))
);

// In turn, because a later way may deoptimize an earlier one.
for (let round = 0; round < ROUNDS; round++) {
  for (const { workload, way, samples } of runs) {
    await libraryNs(workload, way, way.awaited ? WARM.awaited : WARM.blocking);
    for (let i = 0; i < SAMPLES; i++) {
      const ns = await libraryNs(workload, way, SAMPLE);
      if (round > 0) samples.push(ns);
    }
  }
}

const rows: GuestRow[] = [];
for (const workload of WORKLOADS) {
  const row = (through: string, cpuNs: number) =>
    rows.push({
      workload: TITLES[workload],
      through,
      cpuNs: Math.round(cpuNs),
    });
  for (const run of runs) {
    if (run.workload === workload) row(run.way.through, median(run.samples));
  }
  // One run is enough: fio's figures vary by 2 %, and fio starts slowly.
  row("fio", await fioNs(workload, false));
  if (workload !== "scsi") row("fio in batches", await fioNs(workload, true));
}
console.log(JSON.stringify({ kernel: Deno.osRelease(), rows }));
// The rings and descriptors go with the guest.
Deno.exit(0);
