/**
 * C structs as named fields at explicit offsets.
 *
 * A field reads and writes a `DataView`; a union is two names at one offset;
 * padding is a field like any other, so that no byte of a struct is unnamed.
 * All fields are little-endian, like every machine that Deno runs on.
 *
 * @module
 */

import { bytesAt, copyAt } from "./bytes.ts";

/** A field of a struct: its offset, its size, and how to read and write it. */
export abstract class Field<T = unknown> {
  /** Bytes from the start of the struct. */
  readonly offset: number;
  /** Bytes of the field. */
  readonly size: number;
  /** `true` where the C type is signed. */
  readonly signed: boolean;

  /** Used by {@linkcode u8} and the other functions of this kind. */
  constructor(offset: number, size: number, signed = false) {
    checkCount("offset", offset);
    checkCount("byteLength", size);
    this.offset = offset;
    this.size = size;
    this.signed = signed;
  }

  /** Reads the field in the struct at byte `base`. */
  abstract get(view: DataView, base: number): T;
  /** Writes the field in the struct at byte `base`. */
  abstract set(view: DataView, base: number, value: T): void;
}

function checkCount(name: string, value: number): void {
  if (Number.isSafeInteger(value) && value >= 0) return;
  throw new RangeError(`${name} must be a number of bytes from 0 on`);
}

class U8 extends Field<number> {
  get(view: DataView, base: number): number {
    return view.getUint8(base + this.offset);
  }
  set(view: DataView, base: number, value: number): void {
    view.setUint8(base + this.offset, value);
  }
}

class U16 extends Field<number> {
  get(view: DataView, base: number): number {
    return view.getUint16(base + this.offset, true);
  }
  set(view: DataView, base: number, value: number): void {
    view.setUint16(base + this.offset, value, true);
  }
}

class U32 extends Field<number> {
  get(view: DataView, base: number): number {
    return view.getUint32(base + this.offset, true);
  }
  set(view: DataView, base: number, value: number): void {
    view.setUint32(base + this.offset, value, true);
  }
}

class S32 extends Field<number> {
  get(view: DataView, base: number): number {
    return view.getInt32(base + this.offset, true);
  }
  set(view: DataView, base: number, value: number): void {
    view.setInt32(base + this.offset, value, true);
  }
}

// A program that redefines it would get the view.
const { getBigUint64 } = DataView.prototype;

class U64 extends Field<number | bigint> {
  get(view: DataView, base: number): bigint {
    return getBigUint64.call(view, base + this.offset, true);
  }
  set(view: DataView, base: number, value: number | bigint): void {
    view.setUint32(base + this.offset, low(value), true);
    view.setUint32(base + this.offset + 4, high(value), true);
  }
}

class S64 extends Field<number | bigint> {
  get(view: DataView, base: number): bigint {
    return view.getBigInt64(base + this.offset, true);
  }
  set(view: DataView, base: number, value: number | bigint): void {
    view.setBigInt64(base + this.offset, BigInt(value), true);
  }
}

/** A field that holds an address: a `u64` with a type of its own. */
export interface PointerField extends Field<number | bigint> {
  /** Distinguishes the type from that of a `u64`. */
  readonly pointer: true;
}

class Pointer extends U64 implements PointerField {
  readonly pointer = true;
}

class Bytes extends Field<Uint8Array> {
  get(view: DataView, base: number): Uint8Array {
    const start = view.byteOffset + base + this.offset;
    return copyAt(view.buffer, start, this.size);
  }
  set(view: DataView, base: number, value: Uint8Array): void {
    if (value.length > this.size) {
      throw new RangeError(
        `${value.length} bytes do not fit a field of ${this.size} bytes`,
      );
    }
    const start = view.byteOffset + base + this.offset;
    const field = bytesAt(view.buffer, start, this.size);
    field.fill(0, value.length);
    field.set(value);
  }
}

/** Makes an unsigned 8-bit field. */
export const u8 = (offset: number): Field<number> => new U8(offset, 1);
/** Makes an unsigned 16-bit field. */
export const u16 = (offset: number): Field<number> => new U16(offset, 2);
/** Makes an unsigned 32-bit field. */
export const u32 = (offset: number): Field<number> => new U32(offset, 4);
/** Makes a signed 32-bit field. */
export const s32 = (offset: number): Field<number> => new S32(offset, 4, true);
/** Makes an unsigned 64-bit field, which reads as a `bigint`. */
export const u64 = (offset: number): Field<number | bigint> =>
  new U64(offset, 8);
/** Makes a signed 64-bit field, which reads as a `bigint`. */
export const s64 = (offset: number): Field<number | bigint> =>
  new S64(offset, 8, true);
/** Makes a 64-bit field that holds an address. */
export const pointer = (offset: number): PointerField => new Pointer(offset, 8);
/** Makes a field of `byteLength` bytes, which are copied. */
export const bytes = (offset: number, byteLength: number): Field<Uint8Array> =>
  new Bytes(offset, byteLength);

/** Returns `true` for a field of {@linkcode pointer}. */
export function isPointer(field: Field): boolean {
  return field instanceof Pointer;
}

/** Returns the low 32 bits of a 64-bit value, as an unsigned number. */
export function low(value: number | bigint): number {
  if (typeof value === "bigint") return Number(value & 0xffff_ffffn);
  return value >>> 0; // Modulo 2^32, however large the number.
}

/** Returns the high 32 bits of a 64-bit value, as an unsigned number. */
export function high(value: number | bigint): number {
  if (typeof value === "bigint") return Number(value >> 32n & 0xffff_ffffn);
  return Math.floor(value / 0x1_0000_0000) >>> 0;
}

const SIZE = Symbol("sizeof");

/** A struct: its fields by name, and its size. */
export type Struct<F> = F & { readonly [SIZE]: number };

/** Makes a struct of `byteLength` bytes from its fields by name. */
export function struct<F extends Record<string, Field>>(
  byteLength: number,
  fields: F,
): Struct<F> {
  return { ...fields, [SIZE]: byteLength };
}

const MAKERS = { u8, u16, u32, u64, s32, s64, pointer };
type Makers = typeof MAKERS;

/** The entries of a row: `"0 u16 vid, 2 u16 ssvid"` has two. */
type EntriesOf<Row extends string> = Row extends `${infer First}, ${infer Rest}`
  ? First | EntriesOf<Rest>
  : Row;

/** The fields of the entries, by name. */
type FieldsOf<Entry extends string> = {
  [E in Entry as E extends `${number} ${string} ${infer Name}` ? Name : never]:
    E extends `${number} ${infer Type extends keyof Makers} ${string}`
      ? ReturnType<Makers[Type]>
      : Field<Uint8Array>;
};

/**
 * Makes a struct of rows of text, for the long structs of a header. Each entry is
 * the offset, the type and the name of a field; `u8[20]` are 20 bytes.
 */
export function structFrom<Row extends string>(
  byteLength: number,
  ...rows: Row[]
): Struct<FieldsOf<EntriesOf<Row>>> {
  const fields: Record<string, Field> = {};
  for (const entry of rows.join(", ").split(", ")) {
    const [at, type, name] = entry.split(" ");
    const offset = Number(at);
    const make = MAKERS[type as keyof Makers];
    fields[name] = make === undefined
      ? bytes(offset, parseInt(type.slice("u8[".length)))
      : make(offset);
  }
  return struct(byteLength, fields as FieldsOf<EntriesOf<Row>>);
}

/** Returns the size of a struct in bytes. */
export function sizeof(layout: Struct<unknown>): number {
  return layout[SIZE];
}

/** Returns `true` for a value of {@linkcode struct}. */
export function isStruct(
  value: unknown,
): value is Struct<Record<string, Field>> {
  return typeof value === "object" && value !== null && SIZE in value;
}
