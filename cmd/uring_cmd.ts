/**
 * The generic command: any `IORING_OP_URING_CMD` for any driver.
 *
 * @module
 */

import * as uapi from "../sys/uapi/io_uring.ts";
import {
  NVME_URING_CMD_ADMIN_VEC,
  NVME_URING_CMD_IO_VEC,
} from "../sys/uapi/nvme_ioctl.ts";
import { version } from "../sys/uname.ts";
import { optionUnit, SOCKADDR_MAX } from "../sys/socket_calls.ts";
import { high, low } from "../sys/struct.ts";
import { byteLengthOf } from "../ring/intrinsics.ts";
import { checkBoolean, checkBytes, checkFunction } from "../ring/check.ts";
import { checkObject, checkString } from "../ring/check.ts";
import { checkRingFlags, checkU16, checkU32 } from "../ring/check.ts";
import { checkU8 } from "../ring/check.ts";
import { type BufferRing, checkBufferRing } from "../ring/buffer_ring.ts";
import { Command, type FileRef } from "../ring/command.ts";
import { draftTo } from "../ring/draft.ts";
import { Kind } from "../ring/kind.ts";
import type { Completion } from "../ring/completion.ts";
import { FixedBuffer } from "../ring/registered.ts";
import type { Operand } from "../ring/operand.ts";
import { uringCmdAdvice } from "../ring/errors.ts";
import { type Address, addressField, UnsafeAddress } from "./address.ts";

const sqe = uapi.io_uring_sqe;

/** Bytes of payload in a 128-byte SQE; one of 64 bytes has room for 16. */
export const PAYLOAD_MAX = 80;

/** The fields of a raw uring command, by their names in the SQE. */
export interface UringCmdFields<T = number> {
  /** The file whose driver understands the command. */
  fd: FileRef;
  /** The driver's number for the command: 32 bits. */
  cmd_op: number;
  /** Byte 16 of the SQE: memory for the driver. */
  addr?: Address;
  /** Byte 16, 32 bits, only of a socket option; excludes `addr`. */
  level?: number;
  /** Byte 20, 32 bits, only of a socket option; excludes `addr`. */
  optname?: number;
  /** Byte 24, 32 bits. */
  len?: number;
  /**
   * Byte 28: IORING_URING_CMD_FIXED (1), IORING_URING_CMD_MULTISHOT (2, Linux 6.18).
   * Default: what `buf_index` or `buf_group` needs. A command with the latter is for
   * `ring.stream()`, and without `buf_group` kernels up to 7.2 answer EINVAL. Send it
   * only to a driver that has such commands: one that ignores the flag, as that of
   * /dev/null does on Linux 6.18, never completes it, and `close()` waits for it.
   */
  uring_cmd_flags?: number;
  /** Byte 40, 16 bits: a registered buffer, or its index. */
  buf_index?: FixedBuffer | number;
  /**
   * Byte 40, 16 bits: the group of provided buffers of `ring.registerBufferRing()`,
   * from which the driver takes one for each completion. It sets IOSQE_BUFFER_SELECT
   * and IORING_URING_CMD_MULTISHOT. `decode` gets the buffer as `lent`; without a
   * `decode`, the value is `res`, and the buffer goes back unread.
   */
  buf_group?: BufferRing;
  /**
   * Byte 42, 16 bits: registered credentials to run with. The option `personality` of
   * `ring.cmd()` replaces them, and is checked.
   */
  personality?: number;
  /**
   * Byte 44, 32 bits; the same bytes as `file_index`. It is checked against the
   * memory at byte 48; SO_GET_FILTER counts units of 8 bytes.
   */
  optlen?: number;
  /** Byte 44, 32 bits; the same bytes as `optlen`. */
  file_index?: number;
  /** Byte 48: memory for the driver; the same bytes as `optval`. */
  addr3?: Address;
  /** Byte 48: memory for the driver; the same bytes as `addr3`. */
  optval?: Address;
  /**
   * From byte 48 on: up to 16 bytes, 80 with a 128-byte SQE. The library cannot know
   * which of these bytes the driver takes for an address. (A socket's driver does so
   * with bytes 48 to 55.) Use {@linkcode defineCommand}, which has pointers.
   */
  payload?: Uint8Array;
  /** Byte 1: only IOSQE_ASYNC is allowed; every other flag affects other commands. */
  sqe_flags?: number;
  /** Byte 2, 16 bits. So far every kernel refuses any value but 0. */
  ioprio?: number;
  /** The driver answers with a 32-byte CQE. */
  cqe32?: boolean;
  /** The command's name in messages. Default: `cmd_op` in hexadecimal. */
  name?: string;
  /** Makes the result from the completion. Default: `res`. */
  decode?: (completion: Completion) => T;
}

/**
 * Makes a uring command, with every field of the SQE that a driver can read.
 * `IORING_OP_URING_CMD`, Linux 5.19; the privilege depends on the driver.
 *
 * EOPNOTSUPP: the file has no handler for commands, or its handler does not
 * know this one. EINVAL, ENOTTY: the answer of other handlers to a command that
 * they do not know.
 *
 * The command completes once. Some drivers post many completions without a flag in
 * the SQE: make such a command with `new Command({ multishot: true, ... })` of
 * `@uring/cmd/raw`, and run it with `ring.stream()`.
 *
 * @example Any command, on a file whose driver takes all
 * ```ts
 * import { open, Ring, uringCmd } from "@uring/cmd";
 *
 * await using ring = Ring.open();
 * using file = open("/dev/null");
 * // The driver of /dev/null answers 0 to every command.
 * console.log(await ring.cmd(uringCmd({ fd: file.fd, cmd_op: 0 })));
 * ```
 *
 * @throws {RangeError} when the payload has more than 80 bytes.
 */
export function uringCmd<T = number>(fields: UringCmdFields<T>): Command<T> {
  // Each field is read once, so that a getter cannot change it after its check.
  const { fd, cmd_op, addr, level, optname } = checkObject("fields", fields);
  const hex = checkU32("cmd_op", cmd_op).toString(16);
  const { name = `0x${hex}`, sqe_flags = 0, ioprio = 0, len = 0 } = fields;
  const { uring_cmd_flags, buf_index, personality = 0, payload } = fields;
  const { buf_group } = fields;
  const { optlen, file_index, addr3, optval, cqe32 = false, decode } = fields;
  excludes("addr", addr, "level or optname", level ?? optname);
  excludes("optlen", optlen, "file_index", file_index);
  excludes("addr3", addr3, "optval", optval);
  excludes("buf_index", buf_index, "buf_group", buf_group);
  const last = addr3 ?? optval;
  const lastName = optval === undefined ? "addr3" : "optval";
  excludes("payload", payload, "addr3 or optval", last);

  const operands: Operand[] = [];
  const first = addressField("addr", sqe.addr.offset, addr, operands);
  const third = addressField(lastName, sqe.addr3.offset, last, operands);
  // From here on no code of the caller runs, so that no array can change.
  if (payload !== undefined) {
    checkPayload(byteLengthOf(checkBytes("payload", payload)));
  }
  const isOption = OPTIONS.includes(cmd_op);
  const option = level ?? optname;
  const at16 = option !== undefined
    ? levelAndName(level ?? 0, optname ?? 0)
    : first;
  const atLength = optlen === undefined ? "file_index" : "optlen";
  const length = checkU32(atLength, optlen ?? file_index ?? 0);
  if (option !== undefined && !isOption) {
    throw new TypeError(
      "level and optname are for the cmd_op of a socket option. To another " +
        "driver they would be an address. Pass addr",
    );
  }
  if (payload !== undefined && (option ?? optlen) !== undefined) {
    throw new TypeError(
      "the payload would be the address of the option's value. Pass optval",
    );
  }
  if (last !== undefined && !UnsafeAddress.is(last) && (isOption || optlen)) {
    const { byteLength } = operands[operands.length - 1];
    const unit = cmd_op === uapi.SOCKET_URING_OP_GETSOCKOPT
      ? optionUnit(low(at16), high(at16))
      : 1;
    if (length * unit > byteLength) {
      const units = unit === 1 ? "" : ` units of ${unit} bytes`;
      throw new RangeError(
        `${atLength} is ${length}${units}, but ${lastName} has ${byteLength} bytes`,
      );
    }
  }
  if (cmd_op === uapi.SOCKET_URING_OP_GETSOCKNAME && operands.length === 2) {
    const [{ byteLength }, room] = operands;
    if (byteLength < SOCKADDR_MAX || room.byteLength < 4) {
      throw new RangeError(
        `addr needs ${SOCKADDR_MAX} bytes and ${lastName} 4, because the kernel ` +
          "reads the length when the command runs. Or use getsockname()",
      );
    }
  }
  const isBuffer = FixedBuffer.is(buf_index);
  const fixed = buf_index !== undefined ? uapi.IORING_URING_CMD_FIXED : 0;
  const group = buf_group !== undefined ? uapi.IORING_URING_CMD_MULTISHOT : 0;
  const usual = fixed | group;
  const opFlags = checkU32("uring_cmd_flags", uring_cmd_flags ?? usual);
  if ((opFlags & group) !== group) {
    throw new TypeError(
      "buf_group needs IORING_URING_CMD_MULTISHOT. Set it in uring_cmd_flags, or " +
        "leave that out",
    );
  }
  if (fixed && !(opFlags & (fixed | uapi.IORING_URING_CMD_MULTISHOT))) {
    throw new TypeError(
      "buf_index needs IORING_URING_CMD_FIXED or MULTISHOT. Set one of them in " +
        "uring_cmd_flags, or leave that out",
    );
  }
  const isFixed = (opFlags & uapi.IORING_URING_CMD_FIXED) !== 0;
  if (isFixed && VECTORED.includes(cmd_op) && version() < 6016) {
    throw new TypeError(
      "an NVMe command with several pieces of a registered buffer loses a tag of " +
        "the drive before Linux 6.16. Pass one piece, or no buffer",
    );
  }
  const kind = new Kind<T>({
    name: `URING_CMD ${checkString("name", name)}`,
    opcode: uapi.IORING_OP_URING_CMD,
    cqe32: checkBoolean("cqe32", cqe32),
    multishot: (opFlags & uapi.IORING_URING_CMD_MULTISHOT) !== 0,
    decode: checkFunction("decode", decode),
    advice: uringCmdAdvice,
  });
  const draft = draftTo(kind, fd);
  draft.head |= checkSqeFlags(sqe_flags) << 8 |
    checkU16("ioprio", ioprio) << 16;
  draft.offLow = cmd_op | 0;
  draft.setAddr(at16);
  draft.lenWord = checkU32("len", len) | 0;
  draft.flagsWord = opFlags | 0;
  draft.bufferWord = checkU16("personality", personality) << 16;
  if (buf_group !== undefined) {
    draft.setBufferRing(checkBufferRing("buf_group", buf_group));
  } else if (isBuffer) draft.setBuffer(buf_index);
  else draft.bufferWord |= checkU16("buf_index", buf_index ?? 0);
  if (payload === undefined) draft.setMore(length, third);
  else draft.setPayload(payload, length);
  draft.setOperands(operands);
  const command = new Command<T>(draft);
  checkRingFlags(command);
  return command;
}

/** The uring commands of an NVMe drive that take several pieces of memory. */
const VECTORED: readonly number[] = [
  NVME_URING_CMD_IO_VEC,
  NVME_URING_CMD_ADMIN_VEC,
];

/** The uring commands of a socket that have `level`, `optname` and `optlen`. */
const OPTIONS: readonly number[] = [
  uapi.SOCKET_URING_OP_GETSOCKOPT,
  uapi.SOCKET_URING_OP_SETSOCKOPT,
];

/** Returns `level` and `optname` as the 64 bits at byte 16 of the SQE. */
export function levelAndName(level: number, optname: number): bigint {
  return BigInt(checkU32("optname", optname)) << 32n |
    BigInt(checkU32("level", level));
}

/** Throws if two names of the same bytes are both given. */
function excludes(a: string, one: unknown, b: string, other: unknown): void {
  if (one === undefined || other === undefined) return;
  throw new TypeError(
    `${a} and ${b} are the same bytes of the SQE. Pass one of them`,
  );
}

/** Throws if a payload of so many bytes fits no SQE. */
export function checkPayload(byteLength: number): void {
  if (byteLength <= PAYLOAD_MAX) return;
  throw new RangeError(
    `a command carries at most ${PAYLOAD_MAX} bytes, not ${byteLength}. ` +
      "Put a larger struct into memory of ring.alloc(), and pass it as " +
      'addr: { bytes, kernel: "reads" }',
  );
}

function checkSqeFlags(flags: number): number {
  checkU8("sqe_flags", flags);
  if (flags & uapi.IOSQE_FIXED_FILE) {
    throw new TypeError(
      "IOSQE_FIXED_FILE is set by the ring. Pass a file of " +
        "ring.registerFiles() as fd",
    );
  }
  return flags;
}
