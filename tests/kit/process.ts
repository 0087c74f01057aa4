/** This process as the kernel sees it. */

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

/** Counts the workers that the kernel has started for this process's rings. */
export function workerCount(): number {
  return workerStates().length;
}

/** Returns the state of each such worker: `"S"` for one that sleeps. */
export function workerStates(): string[] {
  return [...workers().values()];
}

/**
 * Returns the state of each such worker by its number. Those of rings that are closed
 * end at any time.
 */
export function workers(): Map<string, string> {
  const found = new Map<string, string>();
  for (const { name } of Deno.readDirSync("/proc/self/task")) {
    try {
      const stat = Deno.readTextFileSync(`/proc/self/task/${name}/stat`);
      const [, state] = /\(iou-wrk[^)]*\) (\w)/.exec(stat) ?? [];
      if (state !== undefined) found.set(name, state);
    } catch {
      // It has just ended.
    }
  }
  return found;
}

/** Lines of /proc/self/maps. */
export function mappingCount(): number {
  return Deno.readTextFileSync("/proc/self/maps").split("\n").length - 1;
}

/** Counts the mappings of rings in this process. */
export function ringMappings(): number {
  const maps = Deno.readTextFileSync("/proc/self/maps");
  return maps.match(/io_uring/g)?.length ?? 0;
}

/** `true` if this process runs as root. */
export const isRoot: boolean = Deno.uid() === 0;
