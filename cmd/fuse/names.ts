/** Names of files, which are bytes for the kernel, and text for handlers. */

import { FuseError } from "./errors.ts";

/** Strict, because two names must not become one. */
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Decodes a name.
 *
 * @throws {FuseError} EILSEQ for bytes that are no UTF-8. Another text would stand
 * for them, which may be the name of another file.
 */
export function decodeName(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new FuseError("EILSEQ", "a name is not UTF-8");
  }
}

/** Bytes of the longest name. The kernel passes on longer ones. */
const NAME_MAX = 255;
const encoder = new TextEncoder();

/**
 * Returns a name that is not too long.
 *
 * @throws {FuseError} ENAMETOOLONG for one of more than 255 bytes.
 */
export function shortName(name: string): string {
  // A UTF-16 unit has 3 bytes at most.
  const isShort = name.length <= NAME_MAX / 3 ||
    encoder.encode(name).length <= NAME_MAX;
  if (isShort) return name;
  throw new FuseError("ENAMETOOLONG");
}
