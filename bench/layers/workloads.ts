/** What is measured, and how much of it: the same for both sides. */

/**
 * `nop` is an IORING_OP_NOP, `cmd` a uring command on /dev/null, and `siocinq`
 * one on a TCP socket.
 */
export const WORKLOADS = ["nop", "cmd", "siocinq"] as const;
export type Workload = typeof WORKLOADS[number];

/** Commands that are handed over and waited for together. */
export const DEPTHS: readonly number[] = [1, 8, 32, 128, 1024];

/** IORING_SETUP_ bits of C's rings: SINGLE_ISSUER, COOP_TASKRUN, SUBMIT_ALL. */
export const SETUP_FLAGS = 0x1180;

/** How long one figure is measured in one round. */
export const MEASURE_MS = 30;

/** One figure: a workload at a depth, on a descriptor or a registered file. */
export interface Point {
  readonly workload: Workload;
  readonly depth: number;
  readonly file: "fd" | "fixed";
}

/** Every workload at every depth. */
export function allPoints(): Point[] {
  return WORKLOADS.flatMap((workload) =>
    DEPTHS.map((depth): Point => ({ workload, depth, file: "fd" }))
  );
}

/** With a registered file, which is for ./raw alone. */
export const FIXED_POINTS: readonly Point[] = [
  { workload: "cmd", depth: 128, file: "fixed" },
  { workload: "cmd", depth: 1024, file: "fixed" },
];

/** The name of a benchmark, which `pointOf` reads back. */
export function nameOf({ workload, depth, file }: Point): string {
  return `${workload} ${depth} ${file}`;
}

/** The point that a benchmark is called after. */
export function pointOf(name: string): Point {
  const [workload, depth, file] = name.split(" ");
  return {
    workload: workload as Workload,
    depth: Number(depth),
    file: file as Point["file"],
  };
}

/**
 * Batches in one call of a benchmark. A call is a thousand commands or more, so
 * that the look at the clock around it costs nothing.
 */
export function batchesPerCall(depth: number): number {
  return Math.max(8, Math.ceil(1024 / depth));
}
