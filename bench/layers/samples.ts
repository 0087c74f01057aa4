/**
 * The measurements of all rounds.
 *
 * On a shared machine the speed changes from second to second. So the library
 * is compared with what ran right beside it: the ratio of the two is taken in
 * each round, and the median of these ratios counts.
 */

import { median } from "../stats.ts";
import { type Alternative, type Layer, LAYERS } from "./layers.ts";
import { nameOf, type Point } from "./workloads.ts";

/** Nanoseconds of a command, for each round, by the key of the measurement. */
export class Samples {
  readonly #rounds = new Map<string, number[]>();

  add(key: string, ns: number): void {
    const rounds = this.#rounds.get(key);
    if (rounds === undefined) this.#rounds.set(key, [ns]);
    else rounds.push(ns);
  }

  /** Returns the rounds of one measurement, the oldest first. */
  of(key: string): readonly number[] {
    const rounds = this.#rounds.get(key);
    if (rounds === undefined) throw new Error(`${key} was not measured`);
    return rounds;
  }

  /** Returns the median of the rounds. */
  ns(key: string): number {
    return median(this.of(key));
  }

  /** Returns how many times as fast `ours` is as `other`, for each round. */
  ratios(ours: string, other: string): number[] {
    const others = this.of(other);
    return this.of(ours).map((ns, round) => others[round] / ns);
  }

  /** Returns how many times as fast a layer is as an alternative. */
  ratioTo(layer: Layer, point: Point, other: Alternative): number {
    return median(this.ratios(layerKey(layer, point), other));
  }

  /** Returns how many times as fast a layer is as the C program beside it. */
  ratioToC(layer: Layer, point: Point): number {
    return median(this.ratiosToC(layer, point));
  }

  /** Returns the ratios of {@linkcode ratioToC} for each round. */
  ratiosToC(layer: Layer, point: Point): number[] {
    return this.ratios(layerKey(layer, point), cKey(LAYERS[layer], point));
  }

  /** Returns the median of all runs of the C program at a point. */
  c(point: Point): number {
    const suffix = cKey("", point);
    const keys = [...this.#rounds.keys()].filter((key) => key.endsWith(suffix));
    return median(keys.flatMap((key) => this.of(key)));
  }

  /** Returns `true` if a layer was measured at a point. */
  has(layer: Layer, point: Point): boolean {
    return this.#rounds.has(layerKey(layer, point));
  }
}

/** Returns the key of a layer at a point. */
export function layerKey(layer: Layer, point: Point): string {
  return `${layer}: ${nameOf(point)}`;
}

/** Returns the key of the C program at a point, run beside a benchmark file. */
export function cKey(file: string, point: Point): string {
  return `${file}: C ${nameOf(point)}`;
}
