/** The number of runs of a property, and the errors that it may have. */

import type fc from "fast-check";
import { NvmeError } from "../../../cmd/nvme/mod.ts";
import { ScsiError } from "../../../cmd/scsi/mod.ts";
import { UringError } from "../../../mod.ts";
import { Own } from "./values.ts";

/** Runs of a property for each run of a quick test. */
const FACTOR = Number(Deno.env.get("FUZZ_FACTOR") ?? 1);

/** The seed that a failure printed, to replay it. */
const SEED = Deno.env.get("FUZZ_SEED");

/** Returns the parameters of fast-check, which prints the seed of a failure. */
export function runs(count: number): fc.Parameters<unknown> {
  const seed = SEED === undefined ? {} : { seed: Number(SEED) };
  return { numRuns: Math.ceil(count * FACTOR), ...seed };
}

/** Messages of the engine about code that did not check its arguments. */
const SLIP = new RegExp(
  [
    /(undefined|null) \(reading|is not (a function|iterable|defined)/,
    /Cannot (read|destructure|convert|mix|use|set|access|assign)/,
    /not an? object|Invalid (typed )?array( buffer)? length|Division by zero/,
    /Do not know how|Illegal invocation|circular structure|read only property/,
    /outside the bounds|offset is out of bounds|not a typed array/,
    /incompatible receiver|Method .* called on|private member|stack size/,
  ].map(({ source }) => source).join("|"),
  "i",
);

/** Throws if an error is not one that the library means to throw. */
export function judge(error: unknown): void {
  if (error instanceof Own) return;
  if (!(error instanceof Error)) {
    throw new Error("what was thrown is no Error", { cause: error });
  }
  const { name, message } = error;
  // A revoked proxy is the caller's own error.
  if (/on a proxy that has been revoked/.test(message)) return;
  const known = error instanceof UringError || error instanceof NvmeError ||
    error instanceof ScsiError || error instanceof Deno.errors.NotCapable ||
    error instanceof TypeError || error instanceof RangeError ||
    name === "AbortError" || name === "Error";
  if (known && !SLIP.test(message)) return;
  throw new Error(`a slip: ${name}: ${message}`, { cause: error });
}

/** Runs a function, and returns its result; `undefined` if it may throw so. */
export function attempt<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    judge(error);
    return undefined;
  }
}

/** Waits for a promise, which has to settle within five seconds. */
export async function settled(promise: unknown): Promise<unknown> {
  const { promise: late, resolve } = Promise.withResolvers<symbol>();
  const timer = setTimeout(() => resolve(LATE), 5000);
  const result = await Promise.race([promise, late]).catch(judge);
  clearTimeout(timer);
  if (result === LATE) throw new Error("a promise has not settled");
  return result;
}

const LATE = Symbol("late");
