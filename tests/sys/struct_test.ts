import {
  assertEquals,
  assertFalse,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  bytes,
  type Field,
  high,
  isPointer,
  isStruct,
  low,
  pointer,
  s32,
  s64,
  sizeof,
  struct,
  structFrom,
  u16,
  u32,
  u64,
  u8,
} from "../../sys/struct.ts";

/** Makes a view in the middle of a buffer, so that a lost byteOffset shows. */
function memory(byteLength: number): { view: DataView; all: Uint8Array } {
  const all = new Uint8Array(byteLength + 16).fill(0xee);
  const view = new DataView(all.buffer, 8, byteLength);
  return { view, all };
}

/** Writes a value at base 4 of 24 bytes of 0xee. Returns the bytes that changed. */
function written<T>(field: Field<T>, value: T): number[] {
  const { view, all } = memory(24);
  field.set(view, 4, value);
  const start = 8 + 4 + field.offset;
  const end = start + field.size;
  all.forEach((byte, i) => {
    if (i < start || i >= end) assertEquals(byte, 0xee, `byte ${i - 12}`);
  });
  return [...all.subarray(start, end)];
}

/** Writes a value, and reads it back. */
function readBack<T>(field: Field<T>, value: T): T {
  const { view } = memory(24);
  field.set(view, 4, value);
  return field.get(view, 4);
}

Deno.test("unsigned fields are little-endian", () => {
  assertEquals(written(u8(3), 0xf1), [0xf1]);
  assertEquals(written(u16(3), 0xf1f2), [0xf2, 0xf1]);
  assertEquals(written(u32(3), 0xf1f2f3f4), [0xf4, 0xf3, 0xf2, 0xf1]);
  assertEquals(readBack(u8(3), 0xf1), 0xf1);
  assertEquals(readBack(u16(3), 0xf1f2), 0xf1f2);
  assertEquals(readBack(u32(3), 0xf1f2f3f4), 0xf1f2f3f4);
});

Deno.test("a signed field keeps its sign", () => {
  assertEquals(written(s32(3), -2), [0xfe, 0xff, 0xff, 0xff]);
  assertEquals(readBack(s32(3), -2), -2);
  assertEquals(readBack(s32(3), 0x7fff_ffff), 0x7fff_ffff);
});

Deno.test("a 64-bit field takes a number as well as a bigint", () => {
  const golden = [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x02, 0x00];
  for (const field of [u64(3), s64(3), pointer(3)]) {
    assertEquals(written(field, 0x2_3344_5566_7788), golden);
    assertEquals(written(field, 0x2_3344_5566_7788n), golden);
    assertEquals(readBack(field, 0x2_3344_5566_7788), 0x2_3344_5566_7788n);
    assertEquals(readBack(field, 0xffff_ffff), 0xffff_ffffn);
    assertEquals(readBack(field, 0x1_0000_0000), 0x1_0000_0000n);
  }
  assertEquals(
    written(u64(3), 0x8877_6655_4433_2211n),
    [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88],
  );
  assertEquals(readBack(u64(3), 0xffff_ffff_ffff_ffffn), 2n ** 64n - 1n);
});

Deno.test("a negative 64-bit value is two's complement", () => {
  const golden = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
  for (const value of [-2, -2n]) {
    assertEquals(written(s64(3), value), golden);
    assertEquals(readBack(s64(3), value), -2n);
    // An offset of -1 means the file position, in a field that is unsigned.
    assertEquals(written(u64(3), value), golden);
  }
  assertEquals(readBack(s64(3), -0x1_0000_0001), -0x1_0000_0001n);
  assertEquals(readBack(u64(3), -0x1_0000_0000), 2n ** 64n - 2n ** 32n);
});

Deno.test("the halves of a 64-bit value are unsigned numbers", () => {
  for (
    const [value, hi, lo] of [
      [0, 0, 0],
      [0xffff_ffff, 0, 0xffff_ffff],
      [0x1_0000_0000, 1, 0],
      [Number.MAX_SAFE_INTEGER, 0x1f_ffff, 0xffff_ffff],
      [-1, 0xffff_ffff, 0xffff_ffff],
      [-0x1_0000_0000, 0xffff_ffff, 0],
    ]
  ) {
    assertEquals([high(value), low(value)], [hi, lo], `${value}`);
    const bigint = BigInt(value);
    assertEquals([high(bigint), low(bigint)], [hi, lo], `${bigint}n`);
  }
  assertEquals(high(0x8000_0000_ffff_fffen), 0x8000_0000);
  assertEquals(low(0x8000_0000_ffff_fffen), 0xffff_fffe);
});

Deno.test("bytes are copied, and the rest of the field is zeroed", () => {
  const field = bytes(3, 4);
  assertEquals(written(field, Uint8Array.of(1, 2, 3, 4)), [1, 2, 3, 4]);
  assertEquals(written(field, Uint8Array.of(1, 2)), [1, 2, 0, 0]);
  assertEquals(written(field, new Uint8Array()), [0, 0, 0, 0]);
  const { view } = memory(24);
  field.set(view, 4, Uint8Array.of(1, 2, 3, 4));
  const copy = field.get(view, 4);
  field.set(view, 4, new Uint8Array());
  assertEquals([...copy], [1, 2, 3, 4]);
});

Deno.test("bytes that do not fit are refused before anything is written", () => {
  const { view, all } = memory(24);
  assertThrows(
    () => bytes(3, 4).set(view, 4, new Uint8Array(5)),
    RangeError,
    "5 bytes do not fit a field of 4 bytes",
  );
  assertEquals(all.every((byte) => byte === 0xee), true);
});

Deno.test("a field knows its offset, its size and its sign", () => {
  for (
    const [field, size, signed] of [
      [u8(5), 1, false],
      [u16(5), 2, false],
      [u32(5), 4, false],
      [s32(5), 4, true],
      [u64(5), 8, false],
      [s64(5), 8, true],
      [pointer(5), 8, false],
      [bytes(5, 0), 0, false],
    ] as const
  ) {
    assertEquals([field.offset, field.size, field.signed], [5, size, signed]);
  }
});

Deno.test("a pointer is distinguished from a number of its size", () => {
  assertEquals(isPointer(pointer(0)), true);
  assertFalse(isPointer(u64(0)));
  assertFalse(isPointer(bytes(0, 8)));
});

Deno.test("a struct has its fields by name, and its size beside them", () => {
  const fields = { a: u32(0), b: s32(0), pad: bytes(4, 4) };
  const layout = struct(8, fields);
  assertEquals(Object.keys(layout), ["a", "b", "pad"]);
  assertStrictEquals(layout.a, fields.a);
  assertEquals(sizeof(layout), 8);
  assertEquals(isStruct(layout), true);
  for (const other of [fields, null, undefined, 8, "struct"]) {
    assertFalse(isStruct(other));
  }
});

Deno.test("a union is two names of the same bytes", () => {
  const { a, b } = struct(4, { a: u32(0), b: s32(0) });
  const { view } = memory(4);
  b.set(view, 0, -1);
  assertEquals(a.get(view, 0), 0xffff_ffff);
});

Deno.test("a struct of rows of text has the fields that functions make", () => {
  const rows = structFrom(
    57,
    "0 u8 a, 1 u16 b, 3 u32 c, 7 s32 d",
    "11 u64 e, 19 s64 f, 27 pointer g, 35 u8[20] h, 55 u8[0] i",
    "55 u16 j",
  );
  const made = struct(57, {
    a: u8(0),
    b: u16(1),
    c: u32(3),
    d: s32(7),
    e: u64(11),
    f: s64(19),
    g: pointer(27),
    h: bytes(35, 20),
    i: bytes(55, 0),
    j: u16(55),
  });
  assertEquals(Object.entries(rows), Object.entries(made));
  assertEquals(sizeof(rows), 57);
  for (const [name, field] of Object.entries(rows)) {
    const { constructor } = made[name as keyof typeof made];
    assertStrictEquals(field.constructor, constructor);
  }
});

Deno.test("a row with a type that there is not throws", () => {
  assertThrows(() => structFrom(4, "0 u33 a"), RangeError, "byteLength");
});
