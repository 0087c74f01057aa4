/** Memory for the arguments of system calls. */

import { arena, arenaOf, PAGE } from "./arena.ts";
import { bytesAt, copyAt, viewAt } from "./bytes.ts";

interface Scratch {
  readonly view: DataView;
  readonly bytes: Uint8Array;
  /** The address of the first byte. */
  readonly at: number;
}

let shared: Scratch | undefined;
let memory: ArrayBuffer | undefined;

/**
 * Returns 64 KiB of memory for the arguments of one synchronous system call. The
 * next caller overwrites it, so nothing that outlives the call may have it. That
 * is why its address is its home, and not an alias.
 */
export function scratch(): Scratch {
  if (shared !== undefined) return shared;
  const buffer = arena(PAGE);
  const view = viewAt(buffer, 0, PAGE);
  const bytes = bytesAt(buffer, 0, PAGE);
  memory = buffer;
  return shared = { view, bytes, at: arenaOf(buffer)!.home };
}

/** Returns a copy of the bytes of {@linkcode scratch} from `start` to `end`. */
export function scratchCopy(
  start: number,
  end: number,
): Uint8Array<ArrayBuffer> {
  scratch();
  return copyAt(memory!, start, end - start);
}
