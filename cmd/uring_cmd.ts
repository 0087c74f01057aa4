/**
 * The generic command: any `IORING_OP_URING_CMD` for any driver.
 *
 * @module
 */

import * as uapi from "../sys/io_uring.ts";
import { type Field, isPointer, type PointerField } from "../sys/struct.ts";
import {
  checkBytes,
  checkInteger,
  checkU16,
  checkU32,
  checkU64,
  checkU8,
} from "../ring/check.ts";
import {
  Command,
  type Completion,
  type File,
  FixedBuffer,
  type Memory,
  type Operand,
  operand,
} from "../ring/command.ts";
import { uringCmdAdvice } from "../ring/errors.ts";

const { addr, addr3, cmd } = uapi.io_uring_sqe;

/** Payload in a 64-byte SQE, and in a 128-byte one. */
const INLINE_MAX = 80;

/** An address that the caller vouches for. */
export class UnsafeAddress {
  /** The address, or any other 64-bit value. */
  readonly value: number | bigint;

  /** Made by {@linkcode unsafeAddress}. */
  constructor(value: number | bigint) {
    this.value = checkU64("address", value);
  }
}

/**
 * Passes a number where an address belongs: an offset into a buffer of the
 * kernel's, an address that another library gave out, or a field that a driver
 * uses for something else. If the kernel takes it for an address, it reads or
 * writes whatever is there until the command has completed.
 */
export function unsafeAddress(value: number | bigint): UnsafeAddress {
  return new UnsafeAddress(value);
}

/** What an address in a command may be. */
export type Address = Memory | UnsafeAddress;

/** The fields of a raw uring command, under their names in the SQE. */
export interface UringCmdFields<T = number> {
  /** The file whose driver understands the command. */
  fd: File;
  /** What the driver shall do: 32 bits. */
  cmd_op: number;
  /** Byte 16 of the SQE: memory for the driver. */
  addr?: Address;
  /** Byte 16, 32 bits, of a socket option; excludes `addr`. */
  level?: number;
  /** Byte 20, 32 bits, of a socket option; excludes `addr`. */
  optname?: number;
  /** Byte 24, 32 bits. */
  len?: number;
  /**
   * Byte 28: IORING_URING_CMD_FIXED (1), IORING_URING_CMD_MULTISHOT (2). The
   * latter is for drivers that know it: another one leaves the command without
   * a completion for ever (seen on Linux 6.18), so that `close` waits for ever.
   */
  uring_cmd_flags?: number;
  /** Byte 40, 16 bits: a registered buffer, or its index. */
  buf_index?: FixedBuffer | number;
  /** Byte 42, 16 bits: registered credentials to run with. */
  personality?: number;
  /** Byte 44, 32 bits; the same bytes as `file_index`. */
  optlen?: number;
  /** Byte 44, 32 bits; the same bytes as `optlen`. */
  file_index?: number;
  /** Byte 48: memory for the driver; the same bytes as `optval`. */
  addr3?: Address;
  /** Byte 48: memory for the driver; the same bytes as `addr3`. */
  optval?: Address;
  /** From byte 48 on: up to 16 bytes, 80 with a 128-byte SQE. */
  payload?: Uint8Array;
  /** Byte 1: IOSQE_ASYNC, IOSQE_IO_LINK, ... */
  sqe_flags?: number;
  /** Byte 2, 16 bits; no kernel takes another value than 0 so far. */
  ioprio?: number;
  /** The driver answers with a 32-byte CQE. */
  cqe32?: boolean;
  /** What messages call the command. Default: `cmd_op` in hexadecimal. */
  name?: string;
  /** Makes the result of the completion. Default: `res`. */
  decode?: (completion: Completion) => T;
}

/**
 * A uring command with every field of the SQE that a driver can read.
 * `IORING_OP_URING_CMD`, Linux 5.19; the privilege is the driver's affair.
 *
 * EOPNOTSUPP: the file has no handler for commands, or its handler does not
 * know this one. EINVAL, ENOTTY: what other handlers say of that.
 *
 * @example
 * ```ts
 * import { Ring, uringCmd } from "@uring/cmd";
 * import { openat } from "@uring/cmd/op";
 *
 * await using ring = Ring.open();
 * const fd = await ring.cmd(openat("/dev/null"));
 * // The driver of /dev/null answers 0 to every command.
 * console.log(await ring.cmd(uringCmd({ fd, cmd_op: 0 })));
 * ```
 *
 * @throws {RangeError} when the payload has more than 80 bytes.
 */
export function uringCmd<T = number>(fields: UringCmdFields<T>): Command<T> {
  const { level, optname, payload } = fields;
  excludes("addr", fields.addr, "level or optname", level ?? optname);
  excludes("optlen", fields.optlen, "file_index", fields.file_index);
  excludes("addr3", fields.addr3, "optval", fields.optval);
  const last = fields.addr3 ?? fields.optval;
  const lastName = fields.optval === undefined ? "addr3" : "optval";
  excludes("payload", payload, "addr3 or optval", last);
  if (payload !== undefined) {
    checkPayload(checkBytes("payload", payload).length);
  }

  checkOptionLength(fields);

  const operands: Operand[] = [];
  const buffer = fields.buf_index;
  const fixed = buffer !== undefined ? uapi.IORING_URING_CMD_FIXED : 0;
  const opFlags = checkU32("uring_cmd_flags", fields.uring_cmd_flags ?? fixed);
  if (fixed && !(opFlags & (fixed | uapi.IORING_URING_CMD_MULTISHOT))) {
    throw new TypeError("buf_index needs IORING_URING_CMD_FIXED or MULTISHOT");
  }
  const hex = checkU32("cmd_op", fields.cmd_op).toString(16);
  return new Command<T>({
    name: `URING_CMD ${fields.name ?? `0x${hex}`}`,
    opcode: uapi.IORING_OP_URING_CMD,
    file: fields.fd,
    flags: checkSqeFlags(fields.sqe_flags ?? 0),
    ioprio: checkU16("ioprio", fields.ioprio ?? 0),
    off: fields.cmd_op,
    addr: level !== undefined || optname !== undefined
      ? socketOption(level ?? 0, optname ?? 0)
      : address("addr", addr.offset, fields.addr, operands),
    len: checkU32("len", fields.len ?? 0),
    opFlags,
    ...bufferOf(buffer),
    personality: checkU16("personality", fields.personality ?? 0),
    fileIndex: fields.optlen === undefined
      ? checkU32("file_index", fields.file_index ?? 0)
      : checkU32("optlen", fields.optlen),
    addr3: address(lastName, addr3.offset, last, operands),
    payload,
    operands,
    cqe32: fields.cqe32,
    multishot: (opFlags & uapi.IORING_URING_CMD_MULTISHOT) !== 0,
    decode: fields.decode,
    advice: uringCmdAdvice,
  });
}

/** The 64 bits of `level` and `optname` at byte 16 of the SQE. */
export function socketOption(level: number, optname: number): bigint {
  return BigInt(checkU32("optname", optname)) << 32n |
    BigInt(checkU32("level", level));
}

/** What `buf_index` says: a buffer that the ring checks, or a number. */
function bufferOf(
  buffer: FixedBuffer | number | undefined,
): { buffer?: FixedBuffer; bufIndex?: number } {
  if (buffer === undefined) return {};
  if (buffer instanceof FixedBuffer) return { buffer };
  return { bufIndex: checkU16("buf_index", buffer) };
}

function excludes(a: string, one: unknown, b: string, other: unknown): void {
  if (one === undefined || other === undefined) return;
  throw new TypeError(`${a} and ${b} are the same bytes of the SQE`);
}

/** `optlen` is the length of what `optval` points at, of all that is known. */
function checkOptionLength({ optlen, optval }: UringCmdFields<unknown>): void {
  if (optlen === undefined || optval === undefined) return;
  if (optval instanceof UnsafeAddress || !(optval.bytes?.length < optlen)) {
    return;
  }
  throw new RangeError(
    `optlen is ${optlen}, and optval has ${optval.bytes.length} bytes`,
  );
}

function checkPayload(byteLength: number): void {
  if (byteLength <= INLINE_MAX) return;
  throw new RangeError(
    `a command carries at most ${INLINE_MAX} bytes, not ${byteLength}: ` +
      "put what is larger into memory of ring.alloc(), and pass its address " +
      'as addr: { bytes, kernel: "reads" }',
  );
}

function checkSqeFlags(flags: number): number {
  checkU8("sqe_flags", flags);
  if (flags & uapi.IOSQE_CQE_SKIP_SUCCESS) {
    throw new TypeError(
      "IOSQE_CQE_SKIP_SUCCESS leaves a command without the completion that " +
        "settles it",
    );
  }
  if (flags & uapi.IOSQE_FIXED_FILE) {
    throw new TypeError("pass a file of ring.registerFiles() as fd instead");
  }
  return flags;
}

/** A number to write in place, or an operand whose address the ring writes. */
function address(
  name: string,
  at: number,
  value: Address | undefined,
  operands: Operand[],
  inside = -1,
): number | bigint {
  if (value === undefined) return 0;
  if (value instanceof UnsafeAddress) return value.value;
  if (typeof value !== "object" || value === null) {
    throw new TypeError(
      `${name} is an address: pass { bytes, kernel: "reads" | "writes" | ` +
        '"both" }, or wrap the number in unsafeAddress()',
    );
  }
  if (!["reads", "writes", "both"].includes(value.kernel)) {
    throw new TypeError(`${name}.kernel must be "reads", "writes" or "both"`);
  }
  checkBytes(`${name}.bytes`, value.bytes);
  operands.push(operand(at, value, { inside }));
  return 0;
}

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
  const { inline, indirect, decode } = definition;
  const inlineSize = sizeOf(inline);
  const indirectSize = sizeOf(indirect);
  checkPayload(inlineSize);
  for (const [name, field] of Object.entries(inline ?? {})) {
    if (Object.hasOwn(indirect ?? {}, name)) {
      throw new TypeError(`both layouts have a field called ${name}`);
    }
    if (isPointer(field) && field.offset % 4 !== 0) {
      throw new RangeError(
        `${name} is a pointer at byte ${field.offset} of the payload, where ` +
          "an address needs a multiple of 4",
      );
    }
  }
  return (fd, values = {}) => {
    for (const name of Object.keys(values)) {
      if (
        !Object.hasOwn(inline ?? {}, name) &&
        !Object.hasOwn(indirect ?? {}, name)
      ) {
        throw new TypeError(`${definition.name} has no field called ${name}`);
      }
    }
    const operands: Operand[] = [];
    if (indirect) {
      const bytes = new Uint8Array(indirectSize);
      // What the kernel writes is for `decode`, and not for the next run.
      const memory = operand(addr.offset, { bytes, kernel: "both" });
      operands.push({ ...memory, writes: false });
      encode(indirect, values, bytes, operands, 0, 0);
    }
    const payload = new Uint8Array(inlineSize);
    encode(inline, values, payload, operands, cmd.offset, -1);
    return new Command<T>({
      name: `URING_CMD ${definition.name}`,
      opcode: uapi.IORING_OP_URING_CMD,
      file: fd,
      off: checkU32("cmdOp", definition.cmdOp),
      len: checkU32("len", definition.len ?? 0),
      payload,
      operands,
      cqe32: definition.cqe32,
      decode: decode &&
        ((completion) =>
          decode(completion, readBack(indirect, completion) as Read<S>)),
      advice: uringCmdAdvice,
    });
  };
}

/** Bytes up to the end of the last field. */
function sizeOf(layout: Layout | undefined): number {
  const ends = Object.values(layout ?? {}).map((f) => f.offset + f.size);
  return Math.max(0, ...ends);
}

/** Writes values into a struct; its pointers become operands. */
function encode(
  layout: Layout | undefined,
  values: Record<string, unknown>,
  bytes: Uint8Array,
  operands: Operand[],
  base: number,
  inside: number,
): void {
  const view = new DataView(bytes.buffer);
  for (const [name, field] of Object.entries(layout ?? {})) {
    const value = Object.hasOwn(values, name) ? values[name] : undefined;
    if (value === undefined) continue;
    if (isPointer(field)) {
      const at = base + field.offset;
      const number = address(name, at, value as Address, operands, inside);
      field.set(view, 0, number);
    } else {
      field.set(view, 0, checkValue(name, field, value, view));
    }
  }
}

/** A value that a field can hold; `view` is on a struct that it is in. */
function checkValue(
  name: string,
  field: Field,
  value: unknown,
  view: DataView,
): unknown {
  const { size, signed } = field;
  // What a field reads as is what it takes.
  if (field.get(view, 0) instanceof Uint8Array) {
    const { length } = checkBytes(name, value as Uint8Array);
    if (length <= size) return value;
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
  layout: Layout | undefined,
  completion: Completion,
): Record<string, unknown> {
  if (layout === undefined) return {};
  const { buffer, byteOffset, byteLength } = completion.memory(0);
  const view = new DataView(buffer, byteOffset, byteLength);
  return Object.fromEntries(
    Object.entries(layout).map(([name, field]) => [name, field.get(view, 0)]),
  );
}
