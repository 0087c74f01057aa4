/** Readers of the values in NVMe structures that are no plain numbers. */

/** Returns ASCII text without the spaces and zeros that pad it. */
export function text(bytes: Uint8Array): string {
  return new TextDecoder("latin1").decode(bytes).replace(/[\0 ]+$/, "");
}

/** Returns a number of 16 bytes, the lowest byte first. */
export function u128(bytes: Uint8Array): bigint {
  return bytes.reduceRight((sum, byte) => sum << 8n | BigInt(byte), 0n);
}

/** Returns two hexadecimal digits for each byte. */
export function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
