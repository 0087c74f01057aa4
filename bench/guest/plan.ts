/** What is measured in the guest: the same for the library and for fio. */

/** `ng` and `block` read 4 KiB at a random place, `discard` discards them. */
export const WORKLOADS = ["ng", "block", "discard"] as const;
export type Workload = typeof WORKLOADS[number];

/** The workloads in words. */
export const TITLES: Readonly<Record<Workload, string>> = {
  ng: "NVMe read, /dev/ngXnY",
  block: "NVMe read, /dev/nvmeXnY",
  discard: "discard, null_blk",
};

/** Bytes of one operation. */
export const BLOCK = 4096;

/**
 * Operations in flight. fio rounds it up to a power of two, and the drive of
 * the laboratory has 31 tags: more would wait in a worker of the kernel.
 */
export const DEPTH = 16;
