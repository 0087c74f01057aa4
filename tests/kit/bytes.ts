/** Bytes for tests: of texts, and of no meaning. */

/** Returns the bytes of a text in UTF-8. */
export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** Returns the text of bytes in UTF-8. They may be shared with the kernel. */
export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/**
 * Returns bytes that differ from their neighbours, from seed to seed, and from
 * block to block: they repeat after 251. None is 0.
 */
export function pattern(length: number, seed = 1): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + seed) % 251 + 1);
}
