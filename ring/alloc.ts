/** Memory for callers, which commands use in place. */

import { arena, PAGE } from "../sys/arena.ts";
import { checkInteger } from "./check.ts";

/** Memory that JavaScript cannot take away, zeroed: an arena of its own. */
export function alloc(byteLength: number): Uint8Array {
  checkInteger("byteLength", byteLength, 1, 2 ** 32 - PAGE);
  return new Uint8Array(arena(byteLength), 0, byteLength);
}
