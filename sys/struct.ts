/**
 * C structs as named fields at explicit offsets.
 *
 * A field reads and writes a `DataView`; a union is two names at one offset;
 * padding is a field like any other, so that no byte of a struct is unnamed.
 * Everything is little-endian, as is every machine Deno runs on.
 *
 * @module
 */

/** A place in a struct: where it starts and how many bytes it takes. */
export abstract class Field<T = unknown> {
  /** Bytes from the start of the struct. */
  readonly offset: number;
  /** Bytes the field takes. */
  readonly size: number;
  /** `true` where the C type is signed. */
  readonly signed: boolean;

  /** Made by {@linkcode u8} and its like. */
  constructor(offset: number, size: number, signed = false) {
    if (!(Number.isSafeInteger(offset) && offset >= 0)) {
      throw new RangeError("offset must be a number of bytes from 0 on");
    }
    if (!(Number.isSafeInteger(size) && size >= 0)) {
      throw new RangeError("byteLength must be a number of bytes from 0 on");
    }
    this.offset = offset;
    this.size = size;
    this.signed = signed;
  }

  /** Reads the field of the struct that starts at `base`. */
  abstract get(view: DataView, base: number): T;
  /** Writes the field of the struct that starts at `base`. */
  abstract set(view: DataView, base: number, value: T): void;
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

class U64 extends Field<number | bigint> {
  get(view: DataView, base: number): bigint {
    return view.getBigUint64(base + this.offset, true);
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

/** A field that holds an address: a `u64`, told apart by its type. */
export interface PointerField extends Field<number | bigint> {
  /** Tells the type from that of a `u64`. */
  readonly pointer: true;
}

class Pointer extends U64 implements PointerField {
  readonly pointer = true;
}

class Bytes extends Field<Uint8Array> {
  get(view: DataView, base: number): Uint8Array {
    const start = view.byteOffset + base + this.offset;
    return new Uint8Array(view.buffer, start, this.size).slice();
  }
  set(view: DataView, base: number, value: Uint8Array): void {
    if (value.length > this.size) {
      throw new RangeError(
        `${value.length} bytes do not fit a field of ${this.size} bytes`,
      );
    }
    const start = view.byteOffset + base + this.offset;
    const field = new Uint8Array(view.buffer, start, this.size);
    field.fill(0, value.length);
    field.set(value);
  }
}

/** An unsigned 8-bit field. */
export const u8 = (offset: number): Field<number> => new U8(offset, 1);
/** An unsigned 16-bit field. */
export const u16 = (offset: number): Field<number> => new U16(offset, 2);
/** An unsigned 32-bit field. */
export const u32 = (offset: number): Field<number> => new U32(offset, 4);
/** A signed 32-bit field. */
export const s32 = (offset: number): Field<number> => new S32(offset, 4, true);
/** An unsigned 64-bit field; reads as a `bigint`. */
export const u64 = (offset: number): Field<number | bigint> =>
  new U64(offset, 8);
/** A signed 64-bit field; reads as a `bigint`. */
export const s64 = (offset: number): Field<number | bigint> =>
  new S64(offset, 8, true);
/** A 64-bit field that holds an address. */
export const pointer = (offset: number): PointerField => new Pointer(offset, 8);
/** `byteLength` bytes, copied whole. */
export const bytes = (offset: number, byteLength: number): Field<Uint8Array> =>
  new Bytes(offset, byteLength);

/** `true` for a field made by {@linkcode pointer}. */
export function isPointer(field: Field): boolean {
  return field instanceof Pointer;
}

/** The low 32 bits of a 64-bit value, as an unsigned number. */
export function low(value: number | bigint): number {
  if (typeof value === "bigint") return Number(value & 0xffff_ffffn);
  return value >>> 0; // It is taken modulo 2^32, however large the number.
}

/** The high 32 bits of a 64-bit value, as an unsigned number. */
export function high(value: number | bigint): number {
  if (typeof value === "bigint") return Number(value >> 32n & 0xffff_ffffn);
  if (value >= 0 && value < 0x1_0000_0000) return 0; // Without a division.
  return Math.floor(value / 0x1_0000_0000) >>> 0;
}

const SIZE = Symbol("sizeof");

/** The fields of a struct by name, and its size. */
export type Struct<F> = F & { readonly [SIZE]: number };

/** Names the fields of a C struct of `byteLength` bytes. */
export function struct<F extends Record<string, Field>>(
  byteLength: number,
  fields: F,
): Struct<F> {
  return { ...fields, [SIZE]: byteLength };
}

/** The size of a struct in bytes. */
export function sizeof(layout: Struct<unknown>): number {
  return layout[SIZE];
}

/** `true` for a value made by {@linkcode struct}. */
export function isStruct(
  value: unknown,
): value is Struct<Record<string, Field>> {
  return typeof value === "object" && value !== null && SIZE in value;
}
