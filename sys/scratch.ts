/** Memory for the arguments of system calls. */

import { arena, arenaOf, PAGE } from "./arena.ts";

/** Memory for the arguments of a system call. */
interface Scratch {
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly at: number;
}

let shared: Scratch | undefined;

/**
 * Memory for the arguments of one synchronous system call. The next caller
 * overwrites it, so it is never given to anything that outlives the call: there
 * is no need for an alias.
 */
export function scratch(): Scratch {
  if (shared !== undefined) return shared;
  const buffer = arena(PAGE);
  const at = arenaOf(buffer)!.home;
  return shared = {
    view: new DataView(buffer),
    bytes: new Uint8Array(buffer),
    at,
  };
}
