/**
 * Runs in the virtual machine that guest.ts boots, and prints its figures as one
 * line of JSON. Its argument is the number of rounds.
 */

import { missing } from "../../tests/lab/nvme_drive.ts";
import { fioNs } from "./fio.ts";
import { libraryNs } from "./library.ts";
import type { GuestRow } from "./guest.ts";
import {
  type Depth,
  depthsOf,
  TITLES,
  waysOf,
  type Workload,
  WORKLOADS,
} from "./plan.ts";
import { median } from "../stats.ts";

/** The number of rounds that are measured. One more, the first, only warms up. */
const ROUNDS = Number(Deno.args[0]);
/** Pairs of runs of fio: an odd number, for a median. */
const PAIRS = 2 * ROUNDS - 1;
/** Samples in a round. They are many and small, because V8 compiles in some. */
const SAMPLES = 4;
/** Operations of a sample. */
const SAMPLE = 1024;
/**
 * Operations before the samples of a round. The awaited ways take so many until V8
 * has compiled all of their path.
 */
const WARM = { awaited: 10 * SAMPLE, blocking: 4 * SAMPLE };

// This program destroys data: run it only where the disks are the test guest's.
if (missing !== "") {
  throw new Error(`There is no ${missing}. Run bench/guest/guest.ts.`);
}

const runs = WORKLOADS.flatMap((workload) =>
  depthsOf(workload).flatMap((depth) =>
    waysOf(workload).map((way) => ({
      workload,
      depth,
      way,
      samples: [] as number[],
    }))
  )
);

// In turn, because a later way may deoptimize an earlier one.
for (let round = 0; round <= ROUNDS; round++) {
  for (const { workload, depth, way, samples } of runs) {
    const warm = way.awaited ? WARM.awaited : WARM.blocking;
    // Later, V8 has to compile again only what another way has deoptimized.
    await libraryNs(workload, depth, way, round === 0 ? warm : warm / 2);
    for (let i = 0; i < SAMPLES; i++) {
      const ns = await libraryNs(workload, depth, way, SAMPLE);
      if (round > 0) samples.push(ns);
    }
  }
}

const rows: GuestRow[] = [];
const row = (
  workload: Workload,
  depth: Depth,
  through: string,
  cpuNs: number,
) =>
  rows.push({
    workload: TITLES[workload],
    depth,
    through,
    cpuNs: Math.round(cpuNs),
  });
for (const { workload, depth, way, samples } of runs) {
  row(workload, depth, way.through, median(samples));
}
for (const workload of WORKLOADS) {
  for (const depth of depthsOf(workload)) {
    const fio = (inBatches: boolean) =>
      fioNs(workload, depth, inBatches, PAIRS);
    row(workload, depth, "fio", await fio(false));
    if (workload !== "scsi") {
      row(workload, depth, "fio in batches", await fio(true));
    }
  }
}
console.log(JSON.stringify({ kernel: Deno.osRelease(), rows }));
// The rings and descriptors go with the guest.
Deno.exit(0);
