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
  /** Loops of one command each await them; otherwise a batch blocks. */
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

/** Numbers of operations in flight. Both are powers of two, as fio reports them. */
export const DEPTHS = [16, 64] as const;
export type Depth = typeof DEPTHS[number];

/** Returns the depths of a workload: scsi_debug runs one read at a time. */
export function depthsOf(workload: Workload): readonly Depth[] {
  return workload === "scsi" ? [16] : DEPTHS;
}

/** Entries of an NVMe queue: operations without one wait in a kernel worker. */
export const NVME_QUEUE = 128;

/** Bytes of one operation. */
export const BLOCK = 4096;
