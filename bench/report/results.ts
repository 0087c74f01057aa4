/** What a run has found: what results.json holds. */

import type { Machine } from "./machine.ts";
import { cKey, ourKey, type Samples } from "../programs/samples.ts";
import type { ScriptResults } from "../programs/scripts.ts";
import type { Target } from "./targets.ts";
import { allPoints, FIXED_POINTS, type Point } from "../layers/workloads.ts";

/** The layers, from the bottom up. */
export const LAYERS: readonly string[] = [
  "./raw",
  "cmdAllSync",
  "cmdSync",
  "cmd, Promise.all",
  "cmd, loops",
];

/** What the library is held against, besides the C program. */
export const BESIDE: readonly string[] = [
  "promises alone, 128 at a time",
  "ioctl by FFI",
  "ioctl by nonblocking FFI, one at a time",
  "ioctl by nonblocking FFI, 128 at a time",
  "FsFile.read, one at a time",
  "FsFile.read, 128 at a time",
];

/** A layer at a point: medians over the rounds. */
export interface Figure extends Point {
  readonly layer: string;
  /** Nanoseconds of a command. */
  readonly ns: number;
  /** Operations per second, as a part of the C program's beside it. */
  readonly ratio: number;
  /** The same of each round, which shows how noisy the machine was. */
  readonly ratios: readonly number[];
}

/** The C program at a point. */
export interface CFigure extends Point {
  readonly ns: number;
}

/** A measurement in a guest: the CPU time of a command. */
export interface GuestRow {
  readonly workload: string;
  readonly through: string;
  readonly cpuNs: number;
}

/** What bench/guest/guest.ts returns. */
export interface Guest {
  readonly kernel: string;
  readonly rows: readonly GuestRow[];
}

export interface Results {
  readonly machine: Machine;
  readonly rounds: number;
  readonly c: readonly CFigure[];
  readonly figures: readonly Figure[];
  readonly beside: readonly { readonly name: string; readonly ns: number }[];
  readonly scripts: ScriptResults;
  readonly guest?: Guest;
  readonly targets: readonly Target[];
}

/** Medians of all that the rounds have measured beside the C program. */
export function summarize(samples: Samples): {
  c: CFigure[];
  figures: Figure[];
  beside: { name: string; ns: number }[];
} {
  const points = [...allPoints(), ...FIXED_POINTS];
  return {
    c: points.map((point) => ({ ...point, ns: samples.c(point) })),
    figures: LAYERS.flatMap((layer) =>
      points
        .filter((point) => samples.has(layer, point))
        .map((point) => ({
          layer,
          ...point,
          ns: samples.ns(ourKey(layer, point)),
          ratio: samples.ratioToC(layer, point),
          ratios: samples.ratios(ourKey(layer, point), cKey(layer, point)),
        }))
    ),
    beside: BESIDE.map((name) => ({ name, ns: samples.ns(name) })),
  };
}
