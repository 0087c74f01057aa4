/** Bytes that tests write, and texts as bytes. */

/** Returns the bytes of a text in UTF-8. */
export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** Returns the text of bytes in UTF-8. They may be shared with the kernel. */
export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** Returns bytes that are not 0 and differ from place to place and seed to seed. */
export function pattern(
  byteLength: number,
  seed = 1,
): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(
    { length: byteLength },
    (_, i) => seed + i * 7 + (i >> 8) * 11 | 1,
  );
}

/** Returns an array whose memory was given away. */
export function detached(byteLength = 512): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(byteLength);
  bytes.buffer.transfer();
  return bytes;
}
