/** A disk in memory. */

import { checkBytes } from "../../../ring/check.ts";
import type { Target } from "../target.ts";

/**
 * Makes a disk of bytes, or of so many zeros. For several queues in Workers, pass the
 * bytes of one `SharedArrayBuffer` to each.
 *
 * @example
 * ```ts
 * import { memoryTarget } from "@uring/cmd/ublk";
 *
 * console.log(memoryTarget(1 << 20).size); // 1048576
 * ```
 */
export function memoryTarget(
  contents: number | Uint8Array,
  { blockSize = 4096 }: { blockSize?: number } = {},
): Target {
  const bytes = typeof contents === "number"
    ? new Uint8Array(contents)
    : checkBytes("contents", contents);
  return {
    size: bytes.length,
    blockSize,
    read: ({ offset, length }, into) =>
      into.set(bytes.subarray(offset, offset + length)),
    write: ({ offset }, data) => bytes.set(data, offset),
    discard: ({ offset, length }) =>
      void bytes.fill(0, offset, offset + length),
    writeZeroes: ({ offset, length }) =>
      void bytes.fill(0, offset, offset + length),
  };
}
