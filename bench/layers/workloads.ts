/** The workloads, depths and durations, for the library and the C program. */

/**
 * `nop` is an IORING_OP_NOP, `cmd` a uring command on /dev/null, and `siocinq`
 * one on a TCP socket.
 */
export const WORKLOADS = ["nop", "cmd", "siocinq"] as const;
export type Workload = typeof WORKLOADS[number];

/** Numbers of commands that are submitted and awaited together. */
export const DEPTHS: readonly number[] = [1, 8, 32, 128, 1024];

/** The depths of programs/flat.ts: time per command should not depend on them. */
export const FLAT_DEPTHS: readonly number[] = [32, 128, 512, 1024, 4096];

/** The depth of programs/reads.ts. */
export const READS_DEPTH = 16;

/** IORING_SETUP_ bits of C's rings: SINGLE_ISSUER, COOP_TASKRUN, SUBMIT_ALL. */
export const SETUP_FLAGS = 0x1180;

/** Milliseconds that one figure is measured in one round. */
export const MEASURE_MS = 30;

/** One figure: a workload at a depth, on a descriptor or a registered file. */
export interface Point {
  readonly workload: Workload;
  readonly depth: number;
  readonly file: "fd" | "fixed";
}

/** Returns every workload at every depth. */
export function allPoints(): Point[] {
  return WORKLOADS.flatMap((workload) =>
    DEPTHS.map((depth): Point => ({ workload, depth, file: "fd" }))
  );
}

/** The points with a registered file, for `./raw` only. */
export const FIXED_POINTS: readonly Point[] = [
  { workload: "cmd", depth: 128, file: "fixed" },
  { workload: "cmd", depth: 1024, file: "fixed" },
];

/** Returns the name of the benchmark of a point; `pointOf` reads it back. */
export function nameOf({ workload, depth, file }: Point): string {
  return `${workload} ${depth} ${file}`;
}

/** Returns the point of a benchmark by its name. */
export function pointOf(name: string): Point {
  const [workload, depth, file] = name.split(" ");
  return {
    workload: workload as Workload,
    depth: Number(depth),
    file: file as Point["file"],
  };
}

/**
 * Returns the batches in one call of a benchmark: at least 8, and at least 1024
 * commands, so that reading the clock around the call costs nothing.
 */
export function batchesPerCall(depth: number): number {
  return Math.max(8, Math.ceil(1024 / depth));
}
