/** The fields of a driver's structs, and values for them. */

import { Field, isPointer, type PointerField } from "../sys/struct.ts";
import { checkBytes, checkInteger, checkObject } from "../ring/check.ts";
import { checkU64, shown } from "../ring/check.ts";
import type { Completion } from "../ring/completion.ts";
import { viewOf } from "../ring/intrinsics.ts";
import type { Operand } from "../ring/operand.ts";
import { type Address, addressField } from "./address.ts";

/** The fields of a struct by name: `u8(offset)`, `pointer(offset)`, ... */
export type Layout = { readonly [name: string]: Field };

/** The value that a field takes. */
export type ValueOf<F> = F extends PointerField ? Address
  : F extends Field<infer V> ? V
  : never;

/** Values for the fields of a {@linkcode Layout}. Fields left out are 0. */
export type Values<L> = [keyof L] extends [never] ? Record<string, never>
  : { [K in keyof L]?: ValueOf<L[K]> };

/** Values read from a {@linkcode Layout}. A 64-bit field is a `bigint`. */
export type Read<L> = {
  [K in keyof L]: L[K] extends Field<infer V>
    // The brackets keep `number | bigint` from being distributed.
    ? [V] extends [Uint8Array] ? Uint8Array : bigint extends V ? bigint : number
    : never;
};

/** A field of a layout, as it was when the command was defined. */
export interface Place {
  readonly name: string;
  readonly field: Field;
  readonly offset: number;
  readonly size: number;
  readonly pointer: boolean;
  /** The least and the largest integer that the field holds. */
  readonly min: number;
  readonly max: number;
  /** `true` if the field holds bytes; `null` before that was asked. */
  takesBytes: boolean | null;
}

export function placesOf(which: string, layout: Layout = {}): Place[] {
  return Object.entries(checkObject(which, layout)).map(([name, field]) => {
    if (!(field instanceof Field)) {
      throw new TypeError(
        `${name} must be a field, such as u8(0), not ${shown(field)}`,
      );
    }
    const { offset, size } = field;
    const pointer = isPointer(field);
    checkInteger(`offset of ${name}`, offset, 0, Number.MAX_SAFE_INTEGER);
    // A subclass of a pointer could say that it has fewer bytes.
    const [least, most] = pointer ? [8, 8] : [0, Number.MAX_SAFE_INTEGER];
    checkInteger(`size of ${name}`, size, least, most);
    // A number is exact up to 53 bits and a sign.
    const { signed } = field;
    const max = 2 ** Math.min(signed ? size * 8 - 1 : size * 8, 53) - 1;
    const min = !signed ? 0 : size === 8 ? -max : -max - 1;
    const takesBytes = null;
    return { name, field, offset, size, pointer, min, max, takesBytes };
  });
}

/** Refuses fields that share bytes with a pointer, and could change an address. */
export function checkPointers(places: readonly Place[]): void {
  for (const { name, offset } of places.filter(({ pointer }) => pointer)) {
    for (const other of places) {
      if (other.name === name || other.offset >= offset + 8) continue;
      if (other.offset + other.size <= offset) continue;
      throw new RangeError(
        `${other.name} shares bytes with the pointer ${name}. Keep one of them`,
      );
    }
  }
}

/** Returns the bytes up to the end of the last field. */
export function sizeOf(places: readonly Place[]): number {
  return Math.max(0, ...places.map(({ offset, size }) => offset + size));
}

/** Writes values into a struct; its pointers become operands. */
export function encode(
  places: readonly Place[],
  values: Record<string, unknown>,
  view: DataView,
  operands: Operand[],
  base: number,
  inside: number,
): void {
  for (const place of places) {
    const { name, field, offset, pointer } = place;
    const value = Object.hasOwn(values, name) ? values[name] : undefined;
    if (value === undefined) continue;
    const checked = pointer
      ? addressField(name, base + offset, value as Address, operands, inside)
      : checkValue(place, value, view);
    field.set(view, 0, checked);
  }
}

/**
 * Returns a value if the field can hold it; `view` is on the field's struct.
 */
export function checkValue(
  place: Place,
  value: unknown,
  view: DataView,
): unknown {
  const { name, field, size, min, max } = place;
  // A field takes the type that it reads as.
  place.takesBytes ??= field.get(view, 0) instanceof Uint8Array;
  if (place.takesBytes) {
    const bytes = viewOf(checkBytes(name, value as Uint8Array));
    if (bytes.length <= size) return bytes;
    throw new RangeError(
      `${name} has room for ${size} bytes, not for ${bytes.length}`,
    );
  }
  if (size === 8 && min === 0) return checkU64(name, value as number | bigint);
  if (size === 8 && typeof value === "bigint") {
    if (BigInt.asIntN(64, value) === value) return value;
    throw new RangeError(`${name} must fit 64 bits signed, not ${value}n`);
  }
  return checkInteger(name, value as number, min, max);
}

/** Reads the indirect struct, which is the memory of operand 0, by field. */
export function readBack(
  places: readonly Place[],
  completion: Completion,
): Record<string, unknown> {
  if (places.length === 0) return {};
  const { buffer, byteOffset, byteLength } = completion.memory(0);
  const view = new DataView(buffer, byteOffset, byteLength);
  return Object.fromEntries(
    places.map(({ name, field }) => [name, field.get(view, 0)]),
  );
}
