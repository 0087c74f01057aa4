/** Readers of the values in NVMe structures that are no plain numbers. */

import { partOf } from "../../ring/intrinsics.ts";

/**
 * Returns ASCII text without the spaces and zeros that pad it. Any other byte
 * is the character of that number, which no TextDecoder does.
 */
export function text(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes).replace(/[\0 ]+$/, "");
}

/** Returns UTF-8 text, which ends at the first zero. */
export function utf8(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  const whole = end < 0 ? bytes : partOf(bytes, 0, end);
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(whole);
}

/** Returns a number of 16 bytes, the lowest byte first. */
export function u128(bytes: Uint8Array): bigint {
  return bytes.reduceRight((sum, byte) => sum << 8n | BigInt(byte), 0n);
}

/** Returns two hexadecimal digits for each byte. */
export function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
