/**
 * What was measured, round by round.
 *
 * A machine that others use is slower now than a second ago. So what is
 * compared was measured in the same round: the quotient of the two is taken in
 * each round, and the median of those is what counts.
 */

import { median } from "./stats.ts";
import { nameOf, type Point } from "../layers/workloads.ts";

/** Nanoseconds of a command, of each round, by what was measured. */
export class Samples {
  readonly #rounds = new Map<string, number[]>();

  add(key: string, ns: number): void {
    const rounds = this.#rounds.get(key);
    if (rounds === undefined) this.#rounds.set(key, [ns]);
    else rounds.push(ns);
  }

  /** The rounds of one thing that was measured. */
  of(key: string): readonly number[] {
    const rounds = this.#rounds.get(key);
    if (rounds === undefined) throw new Error(`${key} was not measured`);
    return rounds;
  }

  /** The median of the rounds. */
  ns(key: string): number {
    return median(this.of(key));
  }

  /** How many times as fast `ours` is as `other`, of each round by itself. */
  ratios(ours: string, other: string): number[] {
    const others = this.of(other);
    return this.of(ours).map((ns, round) => others[round] / ns);
  }

  /** The median of those. */
  ratio(ours: string, other: string): number {
    return median(this.ratios(ours, other));
  }

  /** The same against the C program that ran beside it. */
  ratioToC(layer: string, point: Point): number {
    return this.ratio(ourKey(layer, point), cKey(layer, point));
  }

  /** The C program's median, of all its runs, whatever they were beside. */
  c(point: Point): number {
    const suffix = cKey("", point);
    const keys = [...this.#rounds.keys()].filter((key) => key.endsWith(suffix));
    return median(keys.flatMap((key) => this.of(key)));
  }

  /** `true` when a layer was measured at a point. */
  has(layer: string, point: Point): boolean {
    return this.#rounds.has(ourKey(layer, point));
  }
}

/** The key of a layer's figure. */
export function ourKey(layer: string, point: Point): string {
  return `${layer}: ${nameOf(point)}`;
}

/** The key of the C program's, when it ran beside that layer. */
export function cKey(layer: string, point: Point): string {
  // These two are measured by one process, and C beside it once.
  const process = layer === "cmdSync" ? "cmdAllSync" : layer;
  return `${process}: C ${nameOf(point)}`;
}
