/** Files and rings of subcommands: opened for one, and closed after it. */

import { Ring } from "../../ring/ring.ts";
import { controllerNode } from "../nvme/mod.ts";
import { close, O_RDONLY, O_RDWR, openat } from "../op.ts";

/** Calls a function with an open device and a ring for drives. */
export async function onDevice<T>(
  path: string,
  options: { writable?: boolean },
  run: (ring: Ring, fd: number) => Promise<T>,
): Promise<T> {
  await using ring = Ring.open({ drive: true });
  const flags = options.writable ? O_RDWR : O_RDONLY;
  const fd = await ring.cmd(openat(path, { flags }));
  try {
    return await run(ring, fd);
  } finally {
    await ring.cmd(close(fd));
  }
}

/** Returns the node of the controller: /dev/nvme0 for /dev/nvme0n1 and /dev/ng0n1. */
export function controllerPath(path: string): string {
  return /^\/dev\/(nvme|ng)\d+n\d+$/.test(path) ? controllerNode(path) : path;
}

/** Returns the node for commands to a namespace: /dev/ng0n1 for /dev/nvme0n1. */
export function namespacePath(path: string): string {
  return path.replace(/^\/dev\/nvme(\d+n\d+)$/, "/dev/ng$1");
}

/** Reads all of a file, or of the standard input for `-`. */
export async function readInput(path: string): Promise<Uint8Array> {
  return path === "-"
    ? await new Response(Deno.stdin.readable).bytes()
    : await Deno.readFile(path);
}

/** Writes bytes to a file, or to the standard output for `-`. */
export async function writeOutput(
  path: string,
  bytes: Uint8Array,
): Promise<void> {
  if (path !== "-") return await Deno.writeFile(path, bytes);
  for (let at = 0; at < bytes.length;) {
    at += await Deno.stdout.write(bytes.subarray(at));
  }
}
