/**
 * Memory and addresses, by Deno's functions as they were at load: what a program puts
 * in their place would get the memory.
 *
 * @module
 */

import "./deno.ts"; // Other hosts lack what is read below.

const { of, value, create } = Deno.UnsafePointer;
const { getArrayBuffer } = Deno.UnsafePointerView;

/** Returns the address of the first byte of an array. */
export function addressOf(bytes: Uint8Array<ArrayBuffer>): number {
  return Number(value(of(bytes)));
}

/** Returns the bytes at an address. */
export function bufferAt(
  address: number | Deno.PointerObject,
  byteLength: number,
): ArrayBuffer {
  const pointer = typeof address === "number"
    ? create(BigInt(address))!
    : address;
  return getArrayBuffer(pointer, byteLength);
}
