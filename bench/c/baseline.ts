/** Builds and runs the C program that the library is compared with. */

import { output } from "../../tests/kit/run.ts";
import { MEASURE_MS, type Point, SETUP_FLAGS } from "../layers/workloads.ts";
import { compile } from "./compile.ts";

const ROOT = new URL("../../", import.meta.url);
const PROGRAM = ".cache/bench/liburing";

/** Compiles liburing.c into the cache folder. */
export function build(): Promise<void> {
  const packages = "gcc libc6-dev liburing-dev";
  return compile("liburing.c", PROGRAM, ["-luring"], packages);
}

/** Runs the program, and returns what it prints. */
async function baseline(args: string[]): Promise<string> {
  return (await output(new URL(PROGRAM, ROOT).pathname, args)).trim();
}

/** Returns the version of liburing that the program was built with. */
export function liburingVersion(): Promise<string> {
  return baseline(["version"]);
}

/** The subject of the program: a point of a layer, or reads of a cached file. */
interface Measurement extends Omit<Point, "workload"> {
  readonly workload: Point["workload"] | "read";
}

/** Measures the nanoseconds of a command. */
export async function liburing(
  { workload, depth, file }: Measurement,
): Promise<number> {
  const flags = `0x${SETUP_FLAGS.toString(16)}`;
  const args = [workload, `${depth}`, `${MEASURE_MS}`, flags, file];
  return Number(await baseline(args));
}
