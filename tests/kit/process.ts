/** This process as the kernel sees it, and processes that a test starts. */

import { type Run, run } from "./run.ts";

/** Counts the open descriptors of this process. */
export function openFdCount(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

/** Returns the descriptors of this process that are eventfds or rings. */
export function descriptors(kind: "eventfd" | "io_uring"): number[] {
  return [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => Number(name))
    .filter((fd) => {
      try {
        const name = Deno.readLinkSync(`/proc/self/fd/${fd}`);
        return name === `anon_inode:[${kind}]`;
      } catch {
        return false; // The descriptor of the directory, closed by now.
      }
    });
}

/** How many workers the kernel has started for this process's rings. */
export function workerCount(): number {
  return [...Deno.readDirSync("/proc/self/task")].filter(({ name }) => {
    try {
      const comm = Deno.readTextFileSync(`/proc/self/task/${name}/comm`);
      return comm.startsWith("iou-wrk");
    } catch {
      return false; // It has just ended.
    }
  }).length;
}

/** Lines of /proc/self/maps. */
export function mappingCount(): number {
  return Deno.readTextFileSync("/proc/self/maps").split("\n").length - 1;
}

/** `true` if this process runs as root. */
export const isRoot: boolean = Deno.uid() === 0;

/** Runs a script, which imports files of this project as `@uring/...`. */
export async function runScript(
  source: string,
  flags: readonly string[] = ["--allow-ffi"],
  prefix: readonly string[] = [],
): Promise<Run> {
  const path = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    const root = new URL("../..", import.meta.url).href;
    await Deno.writeTextFile(path, source.replaceAll("@uring/", root));
    return await runDeno(["run", "--no-prompt", ...flags, path], prefix);
  } finally {
    await Deno.remove(path);
  }
}

/** Runs Deno, through a program such as `prlimit` if `prefix` names one. */
export function runDeno(
  args: readonly string[],
  prefix: readonly string[] = [],
): Promise<Run> {
  const [program, ...rest] = [...prefix, Deno.execPath(), ...args];
  return run(program, rest, { env: { NO_COLOR: "1" } });
}

/** Collects errors that are reported to the global scope, until it is disposed. */
export function reportedErrors(): Disposable & { errors: unknown[] } {
  const errors: unknown[] = [];
  const listen = (event: ErrorEvent) => {
    event.preventDefault();
    errors.push(event.error);
  };
  addEventListener("error", listen);
  const stop = () => removeEventListener("error", listen);
  return { errors, [Symbol.dispose]: stop };
}
