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
