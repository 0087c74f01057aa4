/** This process as the kernel sees it, and processes that a test starts. */

import { type Run, run } from "./run.ts";

/** How many descriptors this process has open. */
export function openFdCount(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

/** The descriptors of this process that are a file of the kernel's own. */
export function descriptors(kind: "eventfd" | "io_uring"): number[] {
  return [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => Number(name))
    .filter((fd) => {
      try {
        const name = Deno.readLinkSync(`/proc/self/fd/${fd}`);
        return name === `anon_inode:[${kind}]`;
      } catch {
        return false; // The one that the directory was read by.
      }
    });
}

/** Counts the workers that the kernel has started for this process's rings. */
export function workerCount(): number {
  return workerStates().length;
}

/** Returns the state of each such worker: `"S"` for one that sleeps. */
export function workerStates(): string[] {
  return [...Deno.readDirSync("/proc/self/task")].flatMap(({ name }) => {
    try {
      const stat = Deno.readTextFileSync(`/proc/self/task/${name}/stat`);
      return /\(iou-wrk[^)]*\) (\w)/.exec(stat)?.[1] ?? [];
    } catch {
      return []; // It has just ended.
    }
  });
}

/** Lines of /proc/self/maps. */
export function mappingCount(): number {
  return Deno.readTextFileSync("/proc/self/maps").split("\n").length - 1;
}

/** `true` when this process may do what only root can. */
export const isRoot: boolean = Deno.uid() === 0;

/** Runs a script that imports this library as `@uring/...`. */
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

/** Runs Deno, behind the words of a `prefix` such as `["setpriv", ...]`. */
export function runDeno(
  args: readonly string[],
  prefix: readonly string[] = [],
): Promise<Run> {
  const [program, ...rest] = [...prefix, Deno.execPath(), ...args];
  return run(program, rest, { env: { NO_COLOR: "1" } });
}

/** What is reported to the global scope meanwhile. */
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
