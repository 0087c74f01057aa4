/** Memory that commands use in place. */

import { arena, PAGE } from "../sys/arena.ts";
import { bytesAt } from "../sys/bytes.ts";
import { checkInteger } from "./check.ts";

/**
 * Allocates `byteLength` zeroed bytes that the kernel may use directly, since
 * JavaScript cannot detach, transfer, resize or free them. The address is a
 * multiple of 64 KiB, and each call takes at least as much. The memory lives as
 * long as a view of it, or a command in flight that uses it.
 */
export function alloc(byteLength: number): Uint8Array {
  checkInteger("byteLength", byteLength, 1, 2 ** 32 - PAGE);
  return bytesAt(arena(byteLength), 0, byteLength);
}
