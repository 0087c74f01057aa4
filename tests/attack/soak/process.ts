/** Resources that this process holds, to find those that it leaks. */

import { collect, turn } from "../../kit/wait.ts";
import { mappingCount, openFdCount } from "../../kit/process.ts";

/** Megabytes of memory that are in use. */
export function residentMb(): number {
  return Deno.memoryUsage().rss / 2 ** 20;
}

export interface Holdings {
  readonly descriptors: number;
  readonly mappings: number;
}

export function holdings(): Holdings {
  return { descriptors: openFdCount(), mappings: mappingCount() };
}

/** Returns the holdings after garbage was collected and threads have ended. */
export async function settledHoldings(): Promise<Holdings> {
  for (let i = 0; i < 10; i++) {
    collect();
    await turn();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return holdings();
}

/** The mean of the numbers in the tenth part of a list that is number `n`. */
export function meanOfTenth(numbers: readonly number[], n: number): number {
  const from = Math.floor(numbers.length * n / 10);
  const part = numbers.slice(from, Math.floor(numbers.length * (n + 1) / 10));
  return part.reduce((sum, each) => sum + each, 0) / part.length;
}
