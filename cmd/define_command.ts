/**
 * Commands for drivers that this library does not know, from the layouts of
 * their structs.
 *
 * @module
 */

import * as uapi from "../sys/uapi/io_uring.ts";
import { Field, isPointer, type PointerField } from "../sys/struct.ts";
import { checkBytes, checkFunction, checkInteger } from "../ring/check.ts";
import {
  checkBoolean,
  checkObject,
  checkString,
  checkU32,
} from "../ring/check.ts";
import { checkU64, shown } from "../ring/check.ts";
import { Command, type File } from "../ring/command.ts";
import type { Completion } from "../ring/completion.ts";
import { uringCmdAdvice } from "../ring/errors.ts";
import { viewOf } from "../ring/intrinsics.ts";
import { type Operand, operand } from "../ring/operand.ts";
import { type Address, addressField } from "./address.ts";
import { checkPayload } from "./uring_cmd.ts";

const sqe = uapi.io_uring_sqe;

/** The fields of a struct by name: `u8(offset)`, `pointer(offset)`, ... */
export type Layout = { readonly [name: string]: Field };

/** Values for the fields of a {@linkcode Layout}. Fields left out are 0. */
export type Values<L> = [keyof L] extends [never] ? Record<string, never> : {
  [K in keyof L]?: L[K] extends PointerField ? Address
    : L[K] extends Field<infer V> ? V
    : never;
};

/** Values read from a {@linkcode Layout}. A 64-bit field is a `bigint`. */
export type Read<L> = {
  [K in keyof L]: L[K] extends Field<infer V>
    // The brackets keep `number | bigint` from being distributed.
    ? [V] extends [Uint8Array] ? Uint8Array : bigint extends V ? bigint : number
    : never;
};

/**
 * A driver's command, for {@linkcode defineCommand}.
 *
 * Only a `pointer` field is an address that the library keeps right. If the
 * driver takes another field for an address, such as a `u64`, the kernel reads
 * or writes whatever is there.
 */
export interface CommandDefinition<I extends Layout, S extends Layout, T> {
  /** The command's name in messages. */
  name: string;
  /** The driver's number for the command: 32 bits. */
  cmdOp: number;
  /**
   * The struct inside the SQE: at most 16 bytes, 80 in a 128-byte SQE. Fields that
   * overlap make a union: give each command a value for one of them. A field may not
   * overlap a `pointer`.
   */
  inline?: I;
  /**
   * The struct at the address in `addr`, which the kernel reads and writes; at
   * most 1 MiB. Fields may overlap here, too. Each run of a command starts with the
   * values it was made with.
   */
  indirect?: S;
  /** `len` of the SQE. Default: 0. */
  len?: number;
  /** The driver answers with a 32-byte CQE. */
  cqe32?: boolean;
  /**
   * Makes the result from the completion and from `indirect` after it, where a
   * `pointer` is 0.
   */
  decode?: (completion: Completion, indirect: Read<S>) => T;
}

/**
 * Returns a function that makes commands for a driver of yours, from the
 * layouts of its structs.
 *
 * @example A request of a ublk server; /dev/null stands in for its device
 * ```ts
 * import { defineCommand, pointer, Ring, s32, u16 } from "@uring/cmd";
 * import { close, openat } from "@uring/cmd/op";
 *
 * const fetch = defineCommand({
 *   name: "FETCH_REQ",
 *   cmdOp: 0xc010_7520,
 *   inline: { q_id: u16(0), tag: u16(2), result: s32(4), addr: pointer(8) },
 * });
 *
 * await using ring = Ring.open();
 * const fd = await ring.cmd(openat("/dev/null"));
 * const buffer = { bytes: ring.alloc(4096), kernel: "both" } as const;
 * console.log(await ring.cmd(fetch(fd, { tag: 7, addr: buffer })));
 * await ring.cmd(close(fd));
 * ```
 */
export function defineCommand<
  I extends Layout = Record<never, never>,
  S extends Layout = Record<never, never>,
  T = number,
>(
  definition: CommandDefinition<I, S, T>,
): (fd: File, values?: Values<I & S>) => Command<T> {
  checkObject("definition", definition);
  const { name, cmdOp, len = 0, cqe32 = false, decode } = definition;
  const { inline, indirect } = definition;
  const inlinePlaces = placesOf("inline", inline);
  const indirectPlaces = placesOf("indirect", indirect);
  checkString("name", name);
  checkU32("cmdOp", cmdOp);
  checkU32("len", len);
  checkBoolean("cqe32", cqe32);
  checkFunction("decode", decode);
  for (const places of [inlinePlaces, indirectPlaces]) checkPointers(places);
  const inlineSize = sizeOf(inlinePlaces);
  const indirectSize = sizeOf(indirectPlaces);
  checkPayload(inlineSize);
  checkInteger("bytes of indirect", indirectSize, 0, INDIRECT_MAX);
  const known = new Set(indirectPlaces.map(({ name }) => name));
  for (const { name, offset, pointer } of inlinePlaces) {
    if (known.has(name)) {
      throw new TypeError(
        `both layouts have a field called ${name}. Rename one`,
      );
    }
    known.add(name);
    if (pointer && offset % 4 !== 0) {
      throw new RangeError(
        `${name} is a pointer at byte ${offset} of the payload, where an ` +
          "address needs a multiple of 4",
      );
    }
  }
  return (fd, values = {}) => {
    for (const field of Object.keys(checkObject("values", values))) {
      if (!known.has(field)) {
        const fields = [...known].join(", ") || "none";
        throw new TypeError(
          `${name} has no field called ${field}. Its fields: ${fields}`,
        );
      }
    }
    const operands: Operand[] = [];
    if (indirect) {
      const bytes = new Uint8Array(indirectSize);
      // `decode` reads what the kernel writes; the next run starts anew.
      const memory = operand(sqe.addr.offset, { bytes, kernel: "both" });
      operands.push({ ...memory, writes: false });
      encode(indirectPlaces, values, bytes, operands, 0, 0);
    }
    const payload = new Uint8Array(inlineSize);
    encode(inlinePlaces, values, payload, operands, sqe.cmd.offset, -1);
    return new Command<T>({
      name: `URING_CMD ${name}`,
      opcode: uapi.IORING_OP_URING_CMD,
      file: fd,
      off: cmdOp,
      len,
      payload,
      operands,
      cqe32,
      decode: decode &&
        ((completion) =>
          decode(completion, readBack(indirectPlaces, completion) as Read<S>)),
      advice: uringCmdAdvice,
    });
  };
}

/** A field of a layout, as it was when the command was defined. */
interface Place {
  readonly name: string;
  readonly field: Field;
  readonly offset: number;
  readonly size: number;
  readonly pointer: boolean;
}

/** Most bytes of an indirect struct, so that a mistyped offset is refused. */
const INDIRECT_MAX = 1 << 20;

function placesOf(which: string, layout: Layout = {}): Place[] {
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
    return { name, field, offset, size, pointer };
  });
}

/** Refuses fields that share bytes with a pointer, and could change an address. */
function checkPointers(places: readonly Place[]): void {
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
function sizeOf(places: readonly Place[]): number {
  return Math.max(0, ...places.map(({ offset, size }) => offset + size));
}

/** Writes values into a struct; its pointers become operands. */
function encode(
  places: readonly Place[],
  values: Record<string, unknown>,
  bytes: Uint8Array,
  operands: Operand[],
  base: number,
  inside: number,
): void {
  const view = new DataView(bytes.buffer);
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
function checkValue(
  { name, field, size }: Place,
  value: unknown,
  view: DataView,
): unknown {
  const { signed } = field;
  // A field takes the type that it reads as.
  if (field.get(view, 0) instanceof Uint8Array) {
    const bytes = viewOf(checkBytes(name, value as Uint8Array));
    if (bytes.length <= size) return bytes;
    throw new RangeError(
      `${name} has room for ${size} bytes, not for ${bytes.length}`,
    );
  }
  if (size === 8 && !signed) return checkU64(name, value as number | bigint);
  if (size === 8 && typeof value === "bigint") {
    if (BigInt.asIntN(64, value) === value) return value;
    throw new RangeError(`${name} must fit 64 bits signed, not ${value}n`);
  }
  // A number is exact up to 53 bits and a sign.
  const max = 2 ** Math.min(signed ? size * 8 - 1 : size * 8, 53) - 1;
  const min = !signed ? 0 : size === 8 ? -max : -max - 1;
  return checkInteger(name, value as number, min, max);
}

/** Reads the indirect struct, which is the memory of operand 0, by field. */
function readBack(
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
