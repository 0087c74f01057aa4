/**
 * Measures fio in the guest.
 *
 * Since fio 3.38 and on Linux 6.12 or later, fio's io_uring engine trims with
 * BLOCK_URING_CMD_DISCARD, as this library does. Before, each trim was a blocking
 * ioctl, one at a time whatever the depth. `check()` tells the two apart by the
 * depths that fio reports.
 */

import { pathOf } from "../../tests/lab/nvme_drive.ts";
import { generic } from "../../tests/lab/scsi_disk.ts";
import { output } from "../../tests/kit/run.ts";
import { median } from "../stats.ts";
import { cpuTimeNs } from "./cpu_time.ts";
import { BLOCK, type Depth, type Workload } from "./plan.ts";

const ARGUMENTS: Readonly<Record<Workload, () => string[]>> = {
  ng: () => [
    ...["--ioengine=io_uring_cmd", "--cmd_type=nvme", "--rw=randread"],
    `--filename=${pathOf("large", "ng")}`,
  ],
  block: () => [
    ...["--ioengine=io_uring", "--direct=1", "--rw=randread"],
    `--filename=${pathOf("large", "nvme")}`,
  ],
  discard: () => [
    ...["--ioengine=io_uring", "--direct=1", "--rw=randtrim"],
    "--filename=/dev/nullb0",
  ],
  // fio has no engine for bsg. Its sg engine sends the same to the older node, by
  // blocking calls, one at a time.
  scsi: () => [
    ...["--ioengine=sg", "--rw=randread"],
    `--filename=/dev/${generic}`,
  ],
};

/**
 * Options that spare fio work: it reads the clock less often, keeps no map of
 * blocks already read, forks no process for the job, and collects no disk
 * statistics.
 */
const LEAN = [
  ...["--gtod_reduce=1", "--norandommap=1", "--thread=1", "--disk_util=0"],
];

/** Returns options to submit so many operations at once, and wait for all. */
function inBatchesOf(depth: number): string[] {
  return [
    `--iodepth_batch_submit=${depth}`,
    `--iodepth_batch_complete_min=${depth}`,
  ];
}

/** The part of fio's report that `check()` reads. */
interface Report {
  readonly jobs: readonly {
    readonly error: number;
    readonly iodepth_level: Readonly<Record<string, number>>;
    readonly read: { readonly total_ios: number };
    readonly trim: { readonly total_ios: number };
  }[];
}

/**
 * Operations of a short and of a long run. Both start and end alike, so the
 * difference in cost is the cost of the additional operations.
 */
const SHORT = 1024;
const LONG = SHORT + 8192;

/**
 * Measures the CPU time that fio spends on an operation, in nanoseconds, by so many
 * pairs of runs: starting fio costs as much as thousands of operations, and varies.
 */
export async function fioNs(
  workload: Workload,
  depth: Depth,
  inBatches: boolean,
  pairs: number,
): Promise<number> {
  const samples: number[] = [];
  for (let i = 0; i < pairs; i++) {
    const short = await runFio(workload, depth, inBatches, SHORT);
    const long = await runFio(workload, depth, inBatches, LONG);
    samples.push((long - short) / (LONG - SHORT));
  }
  return median(samples);
}

/** Measures the CPU time of a whole run of fio, in nanoseconds. */
async function runFio(
  workload: Workload,
  wanted: Depth,
  inBatches: boolean,
  operations: number,
): Promise<number> {
  // The sg engine blocks.
  const depth = workload === "scsi" ? 1 : wanted;
  const before = cpuTimeNs("children");
  const report = await output("fio", [
    ...["--name=guest", "--eta=never", "--output-format=json", ...LEAN],
    ...[`--bs=${BLOCK}`, `--iodepth=${depth}`],
    ...[`--io_size=${operations * BLOCK}`, ...ARGUMENTS[workload]()],
    ...inBatches ? inBatchesOf(depth) : [],
  ]);
  const spent = cpuTimeNs("children") - before;
  check(JSON.parse(report), workload, depth, operations);
  return spent;
}

/** Throws unless fio did all operations, with so many of them in flight. */
function check(
  { jobs: [job] }: Report,
  workload: Workload,
  depth: number,
  count: number,
): void {
  const { total_ios } = workload === "discard" ? job.trim : job.read;
  if (job.error !== 0 || total_ios !== count) {
    throw new Error(`fio did ${total_ios} of ${count}, error ${job.error}`);
  }
  if (job.iodepth_level[depth] < 90) {
    throw new Error(`fio had fewer than ${depth} in flight`);
  }
}
