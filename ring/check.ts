/** Checks of what a caller passes: bad input is refused before it is queued. */

import { bufferOf, byteLengthOf, isDetached } from "./intrinsics.ts";
import { isThere, isUint8Array } from "./intrinsics.ts";

/**
 * A value as a message names it. It runs none of the caller's code, which could
 * throw: no `toString`, and no trap of a proxy.
 */
export function shown(value: unknown): string {
  switch (typeof value) {
    case "string": {
      const text = JSON.stringify(value.slice(0, 64));
      return value.length > 64 ? `${text}...` : text;
    }
    case "bigint":
      return `${value}n`;
    case "function":
      return "a function";
    case "object":
      return value === null ? "null" : "{...}";
    default:
      return String(value);
  }
}

/** An object, whose properties can be asked for. */
export function checkObject<T extends object>(name: string, value: T): T {
  if (typeof value === "object" && value !== null) return value;
  throw new TypeError(`${name} must be an object, not ${shown(value)}`);
}

/** An instance of a class, or of one that extends it. */
export function checkInstance<T>(
  name: string,
  value: T,
  Class: abstract new (...args: never[]) => T,
): T {
  if (typeof value === "object" && value instanceof Class) return value;
  const { name: kind } = Class;
  throw new TypeError(`${name} must be of class ${kind}, not ${shown(value)}`);
}

/** A function; `undefined` where there need not be one. */
export function checkFunction<T>(name: string, value: T): T {
  if (value === undefined || typeof value === "function") return value;
  throw new TypeError(`${name} must be a function, not ${shown(value)}`);
}

/** A text. */
export function checkString(name: string, value: string): string {
  if (typeof value === "string") return value;
  throw new TypeError(`${name} must be a string, not ${shown(value)}`);
}

/** Lists up to this long have their memory at once. */
const USUAL = 65536;

/**
 * The elements of an array, as they were when each was read, once: what is
 * checked then cannot change under the library. A hole ends it, so that a sparse
 * array of any length takes no memory.
 */
export function checkList<T>(name: string, value: readonly T[]): T[] {
  if (!isArray(value)) {
    throw new TypeError(`${name} must be an array, not ${shown(value)}`);
  }
  // Of a proxy, the length could be anything.
  const length = checkU32(`length of ${name}`, value.length);
  const items: T[] = length <= USUAL ? new Array(length) : [];
  for (let i = 0; i < length; i++) {
    const item = value[i];
    if (item === undefined) throw new TypeError(`${name}[${i}] is missing`);
    items[i] = item;
  }
  return items;
}

function isArray(value: unknown): boolean {
  try {
    return Array.isArray(value);
  } catch {
    return false; // A proxy that was revoked.
  }
}

/** An integer within bounds. */
export function checkInteger(
  name: string,
  value: number,
  min: number,
  max: number,
): number {
  if (typeof value !== "number") {
    throw new TypeError(`${name} must be a number, not ${typeof value}`);
  }
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(
      `${name} must be an integer from ${min} to ${max}, not ${shown(value)}`,
    );
  }
  return value;
}

/** A file descriptor. */
export function checkFd(value: number, name = "fd"): number {
  return checkInteger(name, value, 0, 0x7fff_ffff);
}

/** A field of 8 bits. */
export function checkU8(name: string, value: number): number {
  return checkInteger(name, value, 0, 0xff);
}

/** A field of 16 bits. */
export function checkU16(name: string, value: number): number {
  return checkInteger(name, value, 0, 0xffff);
}

/** A field of 32 bits. */
export function checkU32(name: string, value: number): number {
  return checkInteger(name, value, 0, 0xffff_ffff);
}

/** A field of 64 bits: a safe integer, or a `bigint` of up to 64 bits. */
export function checkU64(
  name: string,
  value: number | bigint,
): number | bigint {
  if (typeof value !== "bigint") {
    return checkInteger(name, value, 0, Number.MAX_SAFE_INTEGER);
  }
  if (value < 0n || value > 0xffff_ffff_ffff_ffffn) {
    throw new RangeError(`${name} must fit 64 bits unsigned, not ${value}n`);
  }
  return value;
}

/** One of the names in a table. */
export function checkName(
  name: string,
  value: string,
  table: Readonly<Record<string, unknown>>,
): void {
  if (typeof value === "string" && Object.hasOwn(table, value)) return;
  const names = Object.keys(table).join(", ");
  throw new TypeError(`${name} must be one of ${names}, not ${shown(value)}`);
}

/** An array whose bytes are there: not detached, not shrunk away. */
export function checkBytes(name: string, value: Uint8Array): Uint8Array {
  if (!isUint8Array(value)) {
    throw new TypeError(`${name} must be a Uint8Array, not ${shown(value)}`);
  }
  if (byteLengthOf(value) === 0) checkThere(name, value);
  return value;
}

/** Distinguishes an empty array from a detached or shrunk one. */
function checkThere(name: string, value: Uint8Array): void {
  if (isThere(value)) return;
  throw new TypeError(
    isDetached(bufferOf(value))
      ? `${name} is detached: its memory was transferred elsewhere`
      : `${name} is out of bounds: its buffer was made smaller`,
  );
}
