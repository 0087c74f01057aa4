/**
 * The generic command: any `IORING_OP_URING_CMD` for any driver.
 *
 * @module
 */

import * as uapi from "../sys/uapi/io_uring.ts";
import { byteLengthOf } from "../ring/intrinsics.ts";
import {
  checkBytes,
  checkObject,
  checkString,
  checkU16,
  checkU32,
  checkU64,
  checkU8,
} from "../ring/check.ts";
import { Command, type File } from "../ring/command.ts";
import type { Completion } from "../ring/completion.ts";
import { FixedBuffer } from "../ring/registered.ts";
import { type Memory, type Operand, operand } from "../ring/operand.ts";
import { uringCmdAdvice } from "../ring/errors.ts";

const sqe = uapi.io_uring_sqe;

/** Payload in a 64-byte SQE, and in a 128-byte one. */
const INLINE_MAX = 80;

/** An address that the caller vouches for. */
export class UnsafeAddress {
  readonly #value: number | bigint;

  /** Made by {@linkcode unsafeAddress}. */
  constructor(value: number | bigint) {
    this.#value = checkU64("address", value);
  }

  /** The address, or any other 64-bit value. */
  get value(): number | bigint {
    return this.#value;
  }

  /** `true` for such an address, and not for what only looks like one. */
  static is(value: unknown): value is UnsafeAddress {
    return typeof value === "object" && value !== null && #value in value;
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
  // Each is read once, so that what was checked is what the kernel is told.
  const {
    fd,
    cmd_op,
    addr,
    level,
    optname,
    len = 0,
    uring_cmd_flags,
    buf_index,
    personality = 0,
    optlen,
    file_index,
    addr3,
    optval,
    payload,
    sqe_flags = 0,
    ioprio = 0,
    cqe32,
    name,
    decode,
  } = checkObject("fields", fields);
  excludes("addr", addr, "level or optname", level ?? optname);
  excludes("optlen", optlen, "file_index", file_index);
  excludes("addr3", addr3, "optval", optval);
  const last = addr3 ?? optval;
  const lastName = optval === undefined ? "addr3" : "optval";
  excludes("payload", payload, "addr3 or optval", last);

  const operands: Operand[] = [];
  const first = address("addr", sqe.addr.offset, addr, operands);
  const third = address(lastName, sqe.addr3.offset, last, operands);
  // From here on, no code of the caller's runs that could change an array.
  if (payload !== undefined) {
    checkPayload(byteLengthOf(checkBytes("payload", payload)));
  }
  if (optval !== undefined && !UnsafeAddress.is(optval)) {
    checkOptionLength(optlen, operands[operands.length - 1].byteLength);
  }
  const fixed = buf_index !== undefined ? uapi.IORING_URING_CMD_FIXED : 0;
  const opFlags = checkU32("uring_cmd_flags", uring_cmd_flags ?? fixed);
  if (fixed && !(opFlags & (fixed | uapi.IORING_URING_CMD_MULTISHOT))) {
    throw new TypeError("buf_index needs IORING_URING_CMD_FIXED or MULTISHOT");
  }
  const hex = checkU32("cmd_op", cmd_op).toString(16);
  return new Command<T>({
    name: `URING_CMD ${
      name === undefined ? `0x${hex}` : checkString("name", name)
    }`,
    opcode: uapi.IORING_OP_URING_CMD,
    file: fd,
    flags: checkSqeFlags(sqe_flags),
    ioprio: checkU16("ioprio", ioprio),
    off: cmd_op,
    addr: level !== undefined || optname !== undefined
      ? socketOption(level ?? 0, optname ?? 0)
      : first,
    len: checkU32("len", len),
    opFlags,
    ...bufferOf(buf_index),
    personality: checkU16("personality", personality),
    fileIndex: optlen === undefined
      ? checkU32("file_index", file_index ?? 0)
      : checkU32("optlen", optlen),
    addr3: third,
    payload,
    operands,
    cqe32,
    multishot: (opFlags & uapi.IORING_URING_CMD_MULTISHOT) !== 0,
    decode,
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
  if (FixedBuffer.is(buffer)) return { buffer };
  return { bufIndex: checkU16("buf_index", buffer) };
}

function excludes(a: string, one: unknown, b: string, other: unknown): void {
  if (one === undefined || other === undefined) return;
  throw new TypeError(`${a} and ${b} are the same bytes of the SQE`);
}

/** `optlen` is the length of what `optval` points at, of all that is known. */
function checkOptionLength(optlen: number | undefined, there: number): void {
  if (optlen === undefined || there >= checkU32("optlen", optlen)) return;
  throw new RangeError(`optlen is ${optlen}, and optval has ${there} bytes`);
}

export function checkPayload(byteLength: number): void {
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
export function address(
  name: string,
  at: number,
  value: Address | undefined,
  operands: Operand[],
  inside = -1,
): number | bigint {
  if (value === undefined) return 0;
  if (UnsafeAddress.is(value)) return value.value;
  if (typeof value !== "object" || value === null) {
    throw new TypeError(
      `${name} is an address: pass { bytes, kernel: "reads" | "writes" | ` +
        '"both" }, or wrap the number in unsafeAddress()',
    );
  }
  const { bytes, kernel } = value;
  if (!KERNEL.has(kernel)) {
    throw new TypeError(`${name}.kernel must be "reads", "writes" or "both"`);
  }
  checkBytes(`${name}.bytes`, bytes);
  operands.push(operand(at, { bytes, kernel }, { inside }));
  return 0;
}

/** What a kernel may do with memory. */
const KERNEL = new Set<Memory["kernel"]>(["reads", "writes", "both"]);
