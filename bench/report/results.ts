/** The results of a run, as results.json holds them. */

import type { FuseGuest } from "../fuse/fuse.ts";
import type { Guest } from "../guest/guest.ts";
import { ALTERNATIVES, LAYER_NAMES } from "../layers/layers.ts";
import type { Alternative, Layer } from "../layers/layers.ts";
import { layerKey, type Samples } from "../layers/samples.ts";
import { allPoints, FIXED_POINTS } from "../layers/workloads.ts";
import type { Point, Workload } from "../layers/workloads.ts";
import type { ProgramResults } from "../programs/programs.ts";
import type { Machine } from "./machine.ts";
import type { Target } from "./targets.ts";

/** The C program at a point. */
export interface CFigure extends Point {
  /** Nanoseconds of a command: the median of all runs. */
  readonly ns: number;
}

/** A layer at a point. */
export interface Figure extends Point {
  readonly layer: Layer;
  /** Nanoseconds of a command: the median of the rounds. */
  readonly ns: number;
  /** Operations per second, as a part of C's: the median of `ratios`. */
  readonly ratio: number;
  /** The ratio of each round: their spread shows how noisy the machine was. */
  readonly ratios: readonly number[];
}

/** The medians of what the rounds measured. */
interface Figures {
  readonly c: readonly CFigure[];
  readonly figures: readonly Figure[];
  readonly alternatives: readonly {
    readonly name: Alternative;
    readonly ns: number;
  }[];
}

export interface Results extends Figures {
  readonly machine: Machine;
  readonly rounds: number;
  readonly programs: ProgramResults;
  readonly guest?: Guest;
  readonly fuse?: FuseGuest;
  readonly targets: readonly Target[];
}

/** Takes the medians of all rounds. */
export function summarize(samples: Samples): Figures {
  const points = [...allPoints(), ...FIXED_POINTS];
  return {
    c: points.map((point) => ({ ...point, ns: samples.c(point) })),
    figures: LAYER_NAMES.flatMap((layer) =>
      points
        .filter((point) => samples.has(layer, point))
        .map((point) => ({
          layer,
          ...point,
          ns: samples.ns(layerKey(layer, point)),
          ratio: samples.ratioToC(layer, point),
          ratios: samples.ratiosToC(layer, point),
        }))
    ),
    alternatives: ALTERNATIVES.map((name) => ({ name, ns: samples.ns(name) })),
  };
}

/** Returns the C program's nanoseconds of a command at a depth. */
export function cAt(
  { c }: Results,
  workload: Workload,
  depth: number,
): number {
  return c.find((it) => isAt(it, workload, depth))!.ns;
}

/** Returns a layer's nanoseconds of a command on /dev/null at a depth. */
export function layerAt(
  { figures }: Results,
  layer: Layer,
  depth: number,
): number {
  const ofLayer = figures.filter((it) => it.layer === layer);
  return ofLayer.find((it) => isAt(it, "cmd", depth))!.ns;
}

function isAt(point: Point, workload: Workload, depth: number): boolean {
  return point.workload === workload && point.depth === depth &&
    point.file === "fd";
}

/** Returns the nanoseconds of an alternative. */
export function alternative(results: Results, name: Alternative): number {
  return results.alternatives.find((it) => it.name === name)!.ns;
}
