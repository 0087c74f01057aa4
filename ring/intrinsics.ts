/**
 * Reads of typed arrays that no subclass and no own property can falsify, and stores
 * to arrays that no setter of Array.prototype gets.
 *
 * @module
 */

import "../sys/deno.ts"; // Other hosts lack what is read below.
import { bytesAt, copyAt } from "../sys/bytes.ts";

// A subclass or an own property can shadow each of these names and answer
// differently each time. The built-in getters read the array itself, and only
// their answers may reach the kernel.
const { prototype } = Uint8Array;
const typed: object = Object.getPrototypeOf(prototype);
const tag = getter<string | undefined>(typed, Symbol.toStringTag);
const byteLength = getter<number>(typed, "byteLength");
const byteOffset = getter<number>(typed, "byteOffset");
const buffer = getter<ArrayBufferLike>(typed, "buffer");
const detached = getter<boolean>(ArrayBuffer.prototype, "detached");
const { at, fill, set } = prototype;
const { copyWithin } = prototype;
const { setUint32 } = DataView.prototype;

const { defineProperty } = Object;

/** Promise as it was at load. Another would be called while a command is half-way. */
export const Own: PromiseConstructor = Promise;
const { toSpliced } = Array.prototype;

function getter<T>(of: object, name: string | symbol): (this: unknown) => T {
  return Object.getOwnPropertyDescriptor(of, name)!.get!;
}

/** Returns the real length of an array; 0 if it is detached or out of bounds. */
export function byteLengthOf(bytes: Uint8Array): number {
  return byteLength.call(bytes);
}

/** Returns the real offset of an array in its buffer. */
export function byteOffsetOf(bytes: Uint8Array): number {
  return byteOffset.call(bytes);
}

/** Returns the real buffer of an array. */
export function bufferOf(bytes: Uint8Array): ArrayBufferLike {
  return buffer.call(bytes);
}

/** Copies bytes into an array with the built-in `set`. */
export function setBytes(into: Uint8Array, from: Uint8Array): void {
  set.call(into, from);
}

/** Zeroes the elements from `start` to `end`. */
export function clear(
  array: Uint8Array | Int32Array,
  start: number,
  end: number,
): void {
  fill.call(array as Uint8Array, 0, start, end);
}

/** Moves the words from `start` to `end` of an array to `target`. */
export function moveWords(
  array: Int32Array,
  target: number,
  start: number,
  end: number,
): void {
  copyWithin.call(array as unknown as Uint8Array, target, start, end);
}

/** Writes a number of 64 bits, given in halves, at a byte offset. */
export function setHalves(
  view: DataView,
  at: number,
  low: number,
  high: number,
): void {
  setUint32.call(view, at, low, true);
  setUint32.call(view, at + 4, high, true);
}

/** Makes a plain Uint8Array of all bytes of an array. */
export function viewOf(bytes: Uint8Array): Uint8Array {
  return bytesAt(bufferOf(bytes), byteOffsetOf(bytes), byteLengthOf(bytes));
}

/**
 * Makes a plain Uint8Array of the bytes from `start` to `end`, as far as the array
 * has them. No number that the kernel answers makes it reach beyond them.
 */
export function partOf(
  bytes: Uint8Array,
  start: number,
  end = Infinity,
): Uint8Array {
  const length = between(bytes, start, end);
  return bytesAt(bufferOf(bytes), byteOffsetOf(bytes) + start, length);
}

/** Copies the bytes from `start` to `end`, as far as the array has them. */
export function copyOf(
  bytes: Uint8Array,
  start = 0,
  end = Infinity,
): Uint8Array<ArrayBuffer> {
  const length = between(bytes, start, end);
  return copyAt(bufferOf(bytes), byteOffsetOf(bytes) + start, length);
}

function between(bytes: Uint8Array, start: number, end: number): number {
  return Math.max(0, Math.min(end, byteLengthOf(bytes)) - start);
}

/** Returns `true` for a Uint8Array of this or another realm. */
export function isUint8Array(value: unknown): value is Uint8Array {
  return tag.call(value) === "Uint8Array"; // No object can forge it.
}

/** Returns `false` for an array that is detached, or out of bounds. */
export function isThere(bytes: Uint8Array): boolean {
  try {
    at.call(bytes, 0);
    return true;
  } catch {
    return false;
  }
}

/** Returns `true` for a buffer, of any realm, whose memory was transferred elsewhere. */
export function isDetached(buffer: ArrayBufferLike): boolean {
  try {
    return detached.call(buffer);
  } catch {
    return false; // A shared one, which cannot be transferred.
  }
}

/**
 * Adds an element to an array. A store beyond the end, and `push`, would call a
 * setter that a program has put on Array.prototype, with what only the library may
 * have; and its getter would answer for the element, differently each time.
 */
export function append<T>(array: T[], value: T): void {
  defineProperty(array, array.length, {
    __proto__: null,
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  } as PropertyDescriptor);
}

/** Makes an array that has one value at every index, as an element of its own. */
export function filled<T>(length: number, value: T): T[] {
  const array: T[] = [];
  for (let i = 0; i < length; i++) append(array, value);
  return array;
}

/** Copies an array, with an element of its own in each place. */
export function listOf<T>(array: readonly T[]): T[] {
  return toSpliced.call(array, 0, 0) as T[];
}
