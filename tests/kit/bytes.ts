/** Texts as bytes, and bytes as texts. */

/** Returns the bytes of a text in UTF-8. */
export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** Returns the text of bytes in UTF-8. They may be shared with the kernel. */
export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
