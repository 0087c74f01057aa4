/** The workloads of the guest, the same for the library and for fio. */

/** `ng` and `block` read `BLOCK` bytes at a random place; `discard` discards. */
export const WORKLOADS = ["ng", "block", "discard"] as const;
export type Workload = typeof WORKLOADS[number];

/** The workloads as the report names them. */
export const TITLES: Readonly<Record<Workload, string>> = {
  ng: "NVMe read, /dev/ngXnY",
  block: "NVMe read, /dev/nvmeXnY",
  discard: "discard, null_blk",
};

/** Bytes of one operation. */
export const BLOCK = 4096;

/**
 * Operations in flight. fio rounds the number up to a power of two, and the
 * emulated drive has 31 tags: operations beyond them would wait in a kernel
 * worker.
 */
export const DEPTH = 16;
