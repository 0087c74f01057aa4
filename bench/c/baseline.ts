/** Builds and runs the C program that the library is compared with. */

import { output, run } from "../../tests/kit/run.ts";
import { MEASURE_MS, type Point, SETUP_FLAGS } from "../layers/workloads.ts";

const ROOT = new URL("../../", import.meta.url);
const SOURCE = "bench/c/liburing.c";
const PROGRAM = ".cache/bench/liburing";

/** Compiles liburing.c into the cache folder. */
export async function build(): Promise<void> {
  await Deno.mkdir(new URL(".cache/bench/", ROOT), { recursive: true });
  const flags = ["-O2", "-Wall", "-Wextra"];
  const args = [...flags, "-o", PROGRAM, SOURCE, "-luring"];
  const advice =
    "Install a compiler and liburing: `apt install gcc libc6-dev liburing-dev`";
  try {
    const { success, stderr } = await run("cc", args, { cwd: ROOT });
    if (success) return;
    throw new Error(`${SOURCE} does not compile. ${advice}.\n${stderr}`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error(`There is no C compiler. ${advice}.`);
  }
}

/** Runs the program, and returns what it prints. */
async function baseline(args: string[]): Promise<string> {
  return (await output(new URL(PROGRAM, ROOT).pathname, args)).trim();
}

/** Returns the version of liburing that the program was built with. */
export function liburingVersion(): Promise<string> {
  return baseline(["version"]);
}

/** What the program measures: a point of a layer, or reads of a cached file. */
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
