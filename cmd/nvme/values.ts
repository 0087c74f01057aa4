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

/** The numbers of the bits that the fields of an interface stand for. */
export type BitsOf<T> = Readonly<Record<keyof T, number>>;

/** Returns for each name whether the bit of that number is set. */
export function flags<K extends string>(
  value: number,
  bits: Readonly<Record<K, number>>,
): Record<K, boolean> {
  const entries = Object.entries<number>(bits)
    .map(([name, bit]) => [name, (value >>> bit & 1) === 1]);
  return Object.fromEntries(entries);
}

/** Returns a view of the bytes of an array, and of no others. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
