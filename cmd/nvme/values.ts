/** How NVMe structures hold what is no plain number. */

/** ASCII text, filled up with spaces or zeros. */
export function text(bytes: Uint8Array): string {
  return new TextDecoder("latin1").decode(bytes).replace(/[\0 ]+$/, "");
}

/** A number of 16 bytes, the lowest first. */
export function u128(bytes: Uint8Array): bigint {
  return bytes.reduceRight((sum, byte) => sum << 8n | BigInt(byte), 0n);
}

/** Two hexadecimal digits for each byte. */
export function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
