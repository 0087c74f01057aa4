/** Socket options, read and set. */

import * as uapi from "../../sys/uapi/io_uring.ts";
import { SOL_SOCKET } from "../../sys/uapi/socket.ts";
import { holdsAddress, optionUnit } from "../../sys/socket_calls.ts";
import { socketOption } from "../../sys/socket_calls.ts";
import { byteLengthOf, copyOf } from "../../ring/intrinsics.ts";
import { checkBytes, checkFd, checkInteger } from "../../ring/check.ts";
import { checkObject, checkU32, INT_MAX } from "../../ring/check.ts";
import { Command, type FileRef } from "../../ring/command.ts";
import { operand, scratchOperand } from "../../ring/operand.ts";
import { adviceFrom, generalAdvice, UringError } from "../../ring/errors.ts";
import { levelAndName } from "../uring_cmd.ts";

const { optval } = uapi.io_uring_sqe;
const { IORING_OP_URING_CMD: opcode } = uapi;

/** A socket option. */
export interface SocketOption {
  /** The protocol level: `SOL_SOCKET`, `IPPROTO_TCP`, ... */
  level: number;
  /** The option: `SO_RCVBUF`, ... */
  optname: number;
}

/** A socket option to read as bytes. */
export interface SocketOptionQuery extends SocketOption {
  /** Bytes to make room for, at most 65,536. */
  length: number;
}

/** Bytes of an `int`. */
const INT_BYTES = 4;

/**
 * Reads a socket option. The result is the number of an `int`, which most options
 * are; if `length` is given, it is as many bytes as the kernel wrote.
 *
 * `SOCKET_URING_OP_GETSOCKOPT`, Linux 6.7, any user; some options need a
 * capability. EOPNOTSUPP: a level other than SOL_SOCKET, for which the kernel's
 * handler has no code; {@linkcode getsockoptSync} reads those. ENOPROTOOPT: no
 * such option.
 */
export function getsockopt(
  file: FileRef,
  query: SocketOption & { length?: undefined },
): Command<number>;
/** Reads a socket option as bytes. */
export function getsockopt(
  file: FileRef,
  query: SocketOptionQuery,
): Command<Uint8Array>;
export function getsockopt(
  file: FileRef,
  query: SocketOption & { length?: number },
): Command<Uint8Array> | Command<number> {
  const { level, optname, length } = checkObject("query", query);
  if (length !== undefined) return reading(file, level, optname, length, same);
  return reading(file, level, optname, INT_BYTES, intOf);
}

const same = (bytes: Uint8Array) => bytes;

/** Returns the number of an `int`. A few options have fewer bytes. */
function intOf(bytes: Uint8Array): number {
  const whole = new Uint8Array(INT_BYTES);
  whole.set(bytes);
  return new Int32Array(whole.buffer)[0];
}

function reading<T>(
  file: FileRef,
  level: number,
  optname: number,
  length: number,
  then: (bytes: Uint8Array) => T,
): Command<T> {
  checkInteger("length", length, 0, 65536);
  const unit = optionUnit(level, optname);
  const optlen = Math.floor(length / unit);
  return new Command({
    name: "URING_CMD GETSOCKOPT",
    opcode,
    file,
    off: uapi.SOCKET_URING_OP_GETSOCKOPT,
    addr: levelAndName(level, optname),
    fileIndex: optlen,
    operands: [scratchOperand(optval.offset, length)],
    decode: (done) =>
      then(copyOf(done.memory(), 0, Math.min(done.res, optlen) * unit)),
    advice: level === SOL_SOCKET ? queryAdvice : otherLevelAdvice,
  });
}

/**
 * Reads a socket option of any level with a plain system call, because
 * {@linkcode getsockopt} reads SOL_SOCKET only. It returns the number of an `int`,
 * or bytes if `length` is given, which is at most 32,768.
 *
 * @example The congestion control of a connection
 * ```ts
 * import * as s from "@uring/cmd/socket";
 *
 * using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * using conn = await Deno.connect({ port: listener.addr.port });
 * const name = s.getsockoptSync(s.socketFd(conn), {
 *   level: s.IPPROTO_TCP,
 *   optname: s.TCP_CONGESTION,
 *   length: 16,
 * });
 * console.log(new TextDecoder().decode(name)); // such as "cubic", then zeros
 * ```
 *
 * @throws {UringError} with the errno of getsockopt(2).
 */
export function getsockoptSync(
  fd: number,
  query: SocketOption & { length?: undefined },
): number;
/** Reads a socket option of any level as bytes. */
export function getsockoptSync(
  fd: number,
  query: SocketOptionQuery,
): Uint8Array;
export function getsockoptSync(
  fd: number,
  query: SocketOption & { length?: number },
): Uint8Array | number {
  const { level, optname, length } = checkObject("query", query);
  if (length !== undefined) return optionNow(fd, level, optname, length);
  return intOf(optionNow(fd, level, optname, INT_BYTES));
}

function optionNow(
  fd: number,
  level: number,
  optname: number,
  length: number,
): Uint8Array {
  checkInteger("length", length, 0, 32768);
  checkU32("level", level);
  checkU32("optname", optname);
  const value = socketOption(checkFd(fd), level, optname, length);
  if (typeof value !== "number") return value;
  throw new UringError("getsockopt", fd, -value, plainCallAdvice(-value));
}

/**
 * Sets a socket option of any level. The result is 0.
 *
 * `SOCKET_URING_OP_SETSOCKOPT`, Linux 6.7, any user; some options need a
 * capability. `value` is the option's bytes, or a number for an `int`.
 * ENOPROTOOPT: no such option.
 *
 * The kernel takes the value as it is. Options that are known to have an address
 * in it, such as SO_ATTACH_FILTER, are refused.
 *
 * @example Send small segments at once
 * ```ts
 * import { Ring } from "@uring/cmd";
 * import * as s from "@uring/cmd/socket";
 *
 * using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * using conn = await Deno.connect({ port: listener.addr.port });
 * await using ring = Ring.open();
 * await ring.cmd(s.setsockopt(s.socketFd(conn), {
 *   level: s.IPPROTO_TCP,
 *   optname: s.TCP_NODELAY,
 *   value: 1,
 * }));
 * ```
 */
export function setsockopt(
  file: FileRef,
  option: { level: number; optname: number; value: Uint8Array | number },
): Command<number> {
  const { level, optname, value } = checkObject("option", option);
  if (holdsAddress(level, optname)) {
    throw new TypeError(
      `the value of option ${optname} of level ${level} holds an address, of ` +
        "memory that the ring does not keep. uringCmd() sets it, if you " +
        "vouch for the address",
    );
  }
  const isInt = typeof value === "number";
  const bytes = isInt ? int(value) : checkBytes("value", value);
  return new Command({
    name: "URING_CMD SETSOCKOPT",
    opcode,
    file,
    off: uapi.SOCKET_URING_OP_SETSOCKOPT,
    addr: levelAndName(level, optname),
    fileIndex: checkInteger("length of value", byteLengthOf(bytes), 0, INT_MAX),
    operands: [operand(optval.offset, { bytes, kernel: "reads" })],
    advice: optionAdvice,
  });
}

/** Returns the four bytes of an `int`, signed or unsigned. */
export function int(value: number): Uint8Array {
  checkInteger("value", value, -0x8000_0000, 0xffff_ffff);
  return new Uint8Array(Uint32Array.of(value).buffer);
}

const TOO_SHORT = "The option has more bytes than `length` makes room for.";
const BAD_VALUE = "The value is not one the option takes, or too short for it.";

const optionAdvice = adviceFrom({
  EOPNOTSUPP: "The socket's family does not take this option, the file is " +
    "not a socket, or the kernel is older than 6.7. Before about 6.12, Unix " +
    "sockets took no option commands.",
  ENOPROTOOPT: "The socket has no such option at this level.",
  EINVAL: BAD_VALUE,
  EDOM: BAD_VALUE,
  ERANGE: TOO_SHORT,
  ENODEV: "The network namespace has no device of this name. `ip link` lists " +
    "those for SO_BINDTODEVICE.",
  ENOENT: "The kernel has nothing of this name. The names for TCP_CONGESTION " +
    "are in net.ipv4.tcp_available_congestion_control.",
}, generalAdvice);

const queryAdvice = adviceFrom({
  EINVAL: `${TOO_SHORT} Or the socket has no such value in its state.`,
}, optionAdvice);

const plainCallAdvice = adviceFrom({
  ENOTSOCK: "The descriptor is not a socket's.",
  EOPNOTSUPP: "The socket's family has no options at this level.",
}, queryAdvice);

const otherLevelAdvice = adviceFrom({
  EOPNOTSUPP: "The kernel's handler reads options of SOL_SOCKET only " +
    "(io_uring_cmd_getsockopt(), Linux 7.2). Read this one with " +
    "getsockoptSync(), and set it with setsockopt().",
}, queryAdvice);
