/** Builds and runs the C program that the library is compared with. */

import { run } from "../../tests/kit/run.ts";
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

async function output(args: string[]): Promise<string> {
  const program = new URL(PROGRAM, ROOT).pathname;
  const { success, stdout, stderr } = await run(program, args);
  if (!success) throw new Error(`${PROGRAM} ${args.join(" ")}: ${stderr}`);
  return stdout.trim();
}

/** Returns the version of liburing that the program was built with. */
export function liburingVersion(): Promise<string> {
  return output(["version"]);
}

/** Measures the nanoseconds of a command. */
export async function liburing(
  { workload, depth, file }: Point,
): Promise<number> {
  const flags = `0x${SETUP_FLAGS.toString(16)}`;
  const args = [workload, `${depth}`, `${MEASURE_MS}`, flags, file];
  return Number(await output(args));
}
