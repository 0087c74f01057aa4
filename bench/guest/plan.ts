/** The workloads of the guest, the same for the library and for fio. */

/** All read `BLOCK` bytes at a random place, but `discard`, which discards them. */
export const WORKLOADS = ["ng", "block", "discard", "scsi"] as const;
export type Workload = typeof WORKLOADS[number];

/** The workloads as the report names them. */
export const TITLES: Readonly<Record<Workload, string>> = {
  ng: "NVMe read, /dev/ngXnY",
  block: "NVMe read, /dev/nvmeXnY",
  discard: "discard, null_blk",
  scsi: "SCSI read, /dev/bsg",
};

/**
 * Where the library's commands come from: `made` before the measurement, as fio's
 * are, or for each operation, by a `maker` or by a `function`.
 */
export type Source = "made" | "maker" | "function";

/** A way to run operations with the library. */
export interface Way {
  /** The name in the report. */
  readonly through: string;
  /** `DEPTH` loops await a command each; otherwise in batches of `DEPTH`. */
  readonly awaited: boolean;
  readonly source: Source;
}

const WAYS: readonly Way[] = [
  { through: "cmd, maker", awaited: true, source: "maker" },
  { through: "cmd, function", awaited: true, source: "function" },
  { through: "cmdAllSync, made before", awaited: false, source: "made" },
  { through: "cmdAllSync, maker", awaited: false, source: "maker" },
  { through: "cmdAllSync, function", awaited: false, source: "function" },
];

/** Returns the ways of a workload: there is no maker of SCSI reads. */
export function waysOf(workload: Workload): readonly Way[] {
  return WAYS.filter(({ source }) => workload !== "scsi" || source !== "maker");
}

/** Bytes of one operation. */
export const BLOCK = 4096;

/**
 * Operations in flight. fio rounds the number up to a power of two, and the
 * emulated drive has 31 tags: operations beyond them would wait in a kernel
 * worker.
 */
export const DEPTH = 16;
