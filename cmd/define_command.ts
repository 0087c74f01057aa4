/**
 * Commands for drivers that this library does not know, from the layouts of
 * their structs.
 *
 * @module
 */

import * as uapi from "../sys/uapi/io_uring.ts";
import { Field, isPointer, type PointerField } from "../sys/struct.ts";
import {
  checkBytes,
  checkFunction,
  checkInteger,
  checkObject,
  checkString,
  checkU32,
  checkU64,
  shown,
} from "../ring/check.ts";
import { Command, type File } from "../ring/command.ts";
import type { Completion } from "../ring/completion.ts";
import { uringCmdAdvice } from "../ring/errors.ts";
import { viewOf } from "../ring/intrinsics.ts";
import { type Operand, operand } from "../ring/operand.ts";
import { type Address, address, checkPayload } from "./uring_cmd.ts";

const sqe = uapi.io_uring_sqe;

/** Named fields of a struct, made with `u8(offset)`, `pointer(offset)`, ... */
export type Layout = { readonly [name: string]: Field };

/** Values for the fields of a {@linkcode Layout}. Fields left out are 0. */
export type Values<L> = [keyof L] extends [never] ? Record<string, never> : {
  [K in keyof L]?: L[K] extends PointerField ? Address
    : L[K] extends Field<infer V> ? V
    : never;
};

/** A {@linkcode Layout} as it is read back: a 64-bit field is a `bigint`. */
export type Read<L> = {
  [K in keyof L]: L[K] extends Field<infer V>
    // In brackets, so that `number | bigint` is asked about as a whole.
    ? [V] extends [Uint8Array] ? Uint8Array : bigint extends V ? bigint : number
    : never;
};

/** What {@linkcode defineCommand} is told of a driver's command. */
export interface CommandDefinition<
  I extends Layout,
  S extends Layout,
  T,
> {
  /** What messages call the command. */
  name: string;
  /** The driver's number for it. */
  cmdOp: number;
  /** The struct that is written into the SQE: up to 16 bytes, or 80. */
  inline?: I;
  /**
   * The struct whose address is put into `addr`, for the kernel to read and
   * write. Each run of a command starts with the values it was made with.
   */
  indirect?: S;
  /** `len` of the SQE. Default: 0. */
  len?: number;
  /** The driver answers with a 32-byte CQE. */
  cqe32?: boolean;
  /** Makes the result, of the completion and of `indirect` as it is then. */
  decode?: (completion: Completion, indirect: Read<S>) => T;
}

/**
 * Makes a function that makes commands for a driver of yours, from the layouts
 * of its structs.
 *
 * @example
 * ```ts
 * import { defineCommand, pointer, Ring, s32, u16 } from "@uring/cmd";
 * import { openat } from "@uring/cmd/op";
 *
 * const fetch = defineCommand({
 *   name: "FETCH_REQ",
 *   cmdOp: 0xc010_7520,
 *   inline: { q_id: u16(0), tag: u16(2), result: s32(4), addr: pointer(8) },
 * });
 *
 * await using ring = Ring.open();
 * const fd = await ring.cmd(openat("/dev/null")); // For want of a ublk device.
 * const buffer = { bytes: ring.alloc(4096), kernel: "both" } as const;
 * console.log(await ring.cmd(fetch(fd, { tag: 7, addr: buffer })));
 * ```
 */
export function defineCommand<
  I extends Layout = Record<never, never>,
  S extends Layout = Record<never, never>,
  T = number,
>(
  definition: CommandDefinition<I, S, T>,
): (fd: File, values?: Values<I & S>) => Command<T> {
  const { name, cmdOp, len = 0, cqe32, decode } = checkObject(
    "definition",
    definition,
  );
  const inline = placesOf("inline", definition.inline);
  const indirect = placesOf("indirect", definition.indirect);
  checkString("name", name);
  checkU32("cmdOp", cmdOp);
  checkU32("len", len);
  checkFunction("decode", decode);
  const inlineSize = sizeOf(inline);
  const indirectSize = sizeOf(indirect);
  checkPayload(inlineSize);
  checkInteger("bytes of indirect", indirectSize, 0, INDIRECT_MAX);
  const known = new Set(indirect?.map(({ name }) => name));
  for (const { name, offset, pointer } of inline ?? []) {
    if (known.has(name)) {
      throw new TypeError(`both layouts have a field called ${name}`);
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
        throw new TypeError(`${name} has no field called ${field}`);
      }
    }
    const operands: Operand[] = [];
    if (indirect) {
      const bytes = new Uint8Array(indirectSize);
      // What the kernel writes is for `decode`, and not for the next run.
      const memory = operand(sqe.addr.offset, { bytes, kernel: "both" });
      operands.push({ ...memory, writes: false });
      encode(indirect, values, bytes, operands, 0, 0);
    }
    const payload = new Uint8Array(inlineSize);
    encode(inline, values, payload, operands, sqe.cmd.offset, -1);
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
          decode(completion, readBack(indirect, completion) as Read<S>)),
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

/** Bytes of a struct that a command points at, at most. */
const INDIRECT_MAX = 1 << 20;

function placesOf(which: string, layout: Layout | undefined) {
  if (layout === undefined) return undefined;
  return Object.entries(checkObject(which, layout)).map(
    ([name, field]): Place => {
      if (typeof field !== "object" || !(field instanceof Field)) {
        throw new TypeError(
          `${name} must be a field, such as u8(0), not ${shown(field)}`,
        );
      }
      const { offset, size } = field;
      checkInteger(`offset of ${name}`, offset, 0, Number.MAX_SAFE_INTEGER);
      checkInteger(`size of ${name}`, size, 0, Number.MAX_SAFE_INTEGER);
      return { name, field, offset, size, pointer: isPointer(field) };
    },
  );
}

/** Bytes up to the end of the last field. */
function sizeOf(places: readonly Place[] | undefined): number {
  return Math.max(0, ...(places ?? []).map((f) => f.offset + f.size));
}

/** Writes values into a struct; its pointers become operands. */
function encode(
  places: readonly Place[] | undefined,
  values: Record<string, unknown>,
  bytes: Uint8Array,
  operands: Operand[],
  base: number,
  inside: number,
): void {
  const view = new DataView(bytes.buffer);
  for (const { name, field, offset, size, pointer } of places ?? []) {
    const value = Object.hasOwn(values, name) ? values[name] : undefined;
    if (value === undefined) continue;
    if (pointer) {
      const at = base + offset;
      const number = address(name, at, value as Address, operands, inside);
      field.set(view, 0, number);
    } else {
      field.set(view, 0, checkValue(name, field, size, value, view));
    }
  }
}

/** A value that a field can hold; `view` is on a struct that it is in. */
function checkValue(
  name: string,
  field: Field,
  size: number,
  value: unknown,
  view: DataView,
): unknown {
  const { signed } = field;
  // What a field reads as is what it takes.
  if (field.get(view, 0) instanceof Uint8Array) {
    const bytes = viewOf(checkBytes(name, value as Uint8Array));
    const { length } = bytes;
    if (length <= size) return bytes;
    throw new RangeError(
      `${name} has room for ${size} bytes, not for ${length}`,
    );
  }
  if (size === 8 && !signed) return checkU64(name, value as number | bigint);
  if (size === 8 && typeof value === "bigint") {
    if (BigInt.asIntN(64, value) === value) return value;
    throw new RangeError(`${name} must fit 64 bits signed, not ${value}n`);
  }
  const range = 2 ** Math.min(size * 8, 54);
  const min = size === 8 ? Number.MIN_SAFE_INTEGER : signed ? -range / 2 : 0;
  const max = signed ? range / 2 - 1 : range - 1;
  return checkInteger(name, value as number, min, max);
}

function readBack(
  places: readonly Place[] | undefined,
  completion: Completion,
): Record<string, unknown> {
  if (places === undefined) return {};
  const { buffer, byteOffset, byteLength } = completion.memory(0);
  const view = new DataView(buffer, byteOffset, byteLength);
  return Object.fromEntries(
    places.map(({ name, field }) => [name, field.get(view, 0)]),
  );
}
