/**
 * The ordinary operations that a program needs around commands: files, sockets,
 * polls and timeouts, each a `Command` for `ring.cmd()`.
 *
 * Linux 5.19 has them all but `bind` and `listen` (6.11) and `sendZc` (6.2).
 * They need the rights of the system calls they are named after.
 *
 * @example
 * ```ts
 * import { Ring } from "@uring/cmd";
 * import { close, openat, read } from "@uring/cmd/op";
 *
 * await using ring = Ring.open();
 * const fd = await ring.cmd(openat("/proc/version"));
 * const buffer = ring.alloc(4096);
 * const length = await ring.cmd(read(fd, buffer));
 * console.log(new TextDecoder().decode(buffer.slice(0, length)));
 * await ring.cmd(close(fd));
 * ```
 *
 * @module
 */

import * as E from "../sys/uapi/errno.ts";
import { AT_FDCWD, O_CLOEXEC, O_RDONLY } from "../sys/uapi/fcntl.ts";
import * as uapi from "../sys/uapi/io_uring.ts";
import { SOCK_CLOEXEC } from "../sys/uapi/socket.ts";
import { sizeof } from "../sys/struct.ts";
import { __kernel_timespec } from "../sys/uapi/time_types.ts";
import { byteLengthOf } from "../ring/intrinsics.ts";
import {
  checkBytes,
  checkFd,
  checkInteger,
  checkObject,
  checkString,
  checkU32,
  checkU64,
  INT_MAX,
} from "../ring/check.ts";
import { checkInside } from "../ring/registered.ts";
import { Command, type File } from "../ring/command.ts";
import type { FixedBuffer } from "../ring/registered.ts";
import { operand } from "../ring/operand.ts";
import { generalAdvice } from "../ring/errors.ts";
import { encodeSockaddr, type SocketAddress } from "./sockaddr.ts";

export {
  O_APPEND,
  O_CREAT,
  O_DIRECT,
  O_DIRECTORY,
  O_DSYNC,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_SYNC,
  O_TMPFILE,
  O_TRUNC,
  O_WRONLY,
} from "../sys/uapi/fcntl.ts";
export {
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLPRI,
  POLLRDHUP,
} from "../sys/uapi/poll.ts";
export {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  MSG_DONTWAIT,
  MSG_MORE,
  MSG_PEEK,
  MSG_TRUNC,
  MSG_WAITALL,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_SEQPACKET,
  SOCK_STREAM,
} from "../sys/uapi/socket.ts";
export type { IpAddress, SocketAddress, UnixAddress } from "./sockaddr.ts";

/** Byte offset of `addr` in the SQE. */
const ADDR = uapi.io_uring_sqe.addr.offset;
/** `off` of a read or write at the file's own position. */
const CURRENT_POSITION = 0xffff_ffff_ffff_ffffn;

/** Does nothing, through the whole ring. `IORING_OP_NOP`; the result is 0. */
export function nop(): Command<number> {
  return new Command({ name: "NOP", opcode: uapi.IORING_OP_NOP });
}

/** How {@linkcode openat} opens. */
export interface OpenOptions {
  /** `O_` bits; O_CLOEXEC is always set. Default: O_RDONLY. */
  flags?: number;
  /** Permissions of a file that is created. Default: 0o666 less the umask. */
  mode?: number;
  /** Directory that a relative path starts at. Default: the current one. */
  dirFd?: number;
}

/**
 * Opens a file. `IORING_OP_OPENAT`; the result is a descriptor, which is yours
 * to close.
 */
export function openat(
  path: string,
  options: OpenOptions = {},
): Command<number> {
  if (checkString("path", path).includes("\0")) {
    throw new TypeError("path has a zero byte in it");
  }
  const bytes = new TextEncoder().encode(`${path}\0`);
  const { dirFd, flags = O_RDONLY, mode = 0o666 } = checkObject(
    "options",
    options,
  );
  return new Command({
    name: `OPENAT ${JSON.stringify(path)}`,
    opcode: uapi.IORING_OP_OPENAT,
    fdWord: dirFd === undefined ? AT_FDCWD : checkFd(dirFd, "dirFd"),
    len: checkInteger("mode", mode, 0, 0o7777),
    opFlags: checkU32("flags", flags) | O_CLOEXEC,
    operands: [operand(ADDR, { bytes, kernel: "reads" })],
  });
}

/** Closes a descriptor. `IORING_OP_CLOSE`; the result is 0. */
export function close(fd: number): Command<number> {
  // A file of the ring's table is not closed like that.
  const file = checkFd(fd);
  return new Command({ name: "CLOSE", opcode: uapi.IORING_OP_CLOSE, file });
}

/** Where {@linkcode read} and {@linkcode write} start. */
export interface TransferOptions {
  /** Byte offset in the file. Default: the file's own position. */
  offset?: number | bigint;
  /** The registered buffer that the bytes lie in. */
  buffer?: FixedBuffer;
}

/**
 * Reads into an array. `IORING_OP_READ`, or `READ_FIXED` with a registered
 * buffer; the result is the number of bytes, 0 at the end of the file.
 */
export function read(
  file: File,
  into: Uint8Array,
  options: TransferOptions = {},
): Command<number> {
  return transfer("READ", "into", file, into, options);
}

/**
 * Writes an array. `IORING_OP_WRITE`, or `WRITE_FIXED` with a registered buffer;
 * the result is the number of bytes.
 */
export function write(
  file: File,
  data: Uint8Array,
  options: TransferOptions = {},
): Command<number> {
  return transfer("WRITE", "data", file, data, options);
}

function transfer(
  verb: "READ" | "WRITE",
  parameter: string,
  file: File,
  bytes: Uint8Array,
  options: TransferOptions,
): Command<number> {
  // First what may run code of the caller's: nothing changes under the checks.
  const { offset = CURRENT_POSITION, buffer } = checkObject("options", options);
  const len = lengthOf(parameter, bytes);
  if (buffer !== undefined) checkInside(bytes, buffer);
  const name = buffer ? `${verb}_FIXED` as const : verb;
  const kernel = verb === "READ" ? "writes" : "reads";
  return new Command({
    name,
    opcode: uapi[`IORING_OP_${name}`],
    file,
    off: checkU64("offset", offset),
    len,
    buffer,
    operands: [operand(ADDR, { bytes, kernel }, { counted: true })],
  });
}

/** The length of an array, as far as `len` of the SQE can say it. */
function lengthOf(name: string, bytes: Uint8Array): number {
  const length = byteLengthOf(checkBytes(name, bytes));
  if (length <= INT_MAX) return length;
  return checkInteger(`length of ${name}`, length, 0, INT_MAX);
}

/**
 * Flushes a file to its device. `IORING_OP_FSYNC`; the result is 0. With
 * `dataOnly` it leaves out metadata that reading the data does not need.
 */
export function fsync(
  file: File,
  options: { dataOnly?: boolean } = {},
): Command<number> {
  const { dataOnly = false } = checkObject("options", options);
  return new Command({
    name: "FSYNC",
    opcode: uapi.IORING_OP_FSYNC,
    file,
    opFlags: dataOnly ? uapi.IORING_FSYNC_DATASYNC : 0,
  });
}

/** What {@linkcode socket} makes. */
export interface SocketOptions {
  /** `AF_INET`, `AF_INET6` or `AF_UNIX`. */
  domain: number;
  /** `SOCK_STREAM`, `SOCK_DGRAM`, ...; SOCK_CLOEXEC is always set. */
  type: number;
  /** Default 0: the usual one. */
  protocol?: number;
}

/**
 * Makes a socket. `IORING_OP_SOCKET`; the result is a descriptor, which is
 * yours to close.
 */
export function socket(options: SocketOptions): Command<number> {
  const { domain, type, protocol = 0 } = checkObject("options", options);
  return new Command({
    name: "SOCKET",
    opcode: uapi.IORING_OP_SOCKET,
    fdWord: checkU32("domain", domain),
    off: (checkU32("type", type) | SOCK_CLOEXEC) >>> 0,
    len: checkU32("protocol", protocol),
  });
}

/** Gives a socket an address. `IORING_OP_BIND`, Linux 6.11; the result is 0. */
export function bind(file: File, address: SocketAddress): Command<number> {
  return addressed("BIND", file, address);
}

/** Connects a socket. `IORING_OP_CONNECT`; the result is 0. */
export function connect(file: File, address: SocketAddress): Command<number> {
  return addressed("CONNECT", file, address);
}

function addressed(
  name: "BIND" | "CONNECT",
  file: File,
  address: SocketAddress,
): Command<number> {
  const bytes = encodeSockaddr(checkObject("address", address));
  return new Command({
    name,
    opcode: uapi[`IORING_OP_${name}`],
    file,
    off: bytes.length,
    operands: [operand(ADDR, { bytes, kernel: "reads" })],
  });
}

/** Has a socket listen. `IORING_OP_LISTEN`, Linux 6.11; the result is 0. */
export function listen(
  file: File,
  options: { backlog?: number } = {},
): Command<number> {
  const { backlog = 511 } = checkObject("options", options);
  return new Command({
    name: "LISTEN",
    opcode: uapi.IORING_OP_LISTEN,
    file,
    len: checkU32("backlog", backlog),
  });
}

/**
 * Accepts a connection. `IORING_OP_ACCEPT`; the result is a descriptor, which is
 * yours to close.
 */
export function accept(file: File): Command<number> {
  return new Command({
    name: "ACCEPT",
    opcode: uapi.IORING_OP_ACCEPT,
    file,
    opFlags: SOCK_CLOEXEC,
  });
}

/** How {@linkcode send} and {@linkcode recv} behave. */
export interface MessageOptions {
  /** `MSG_` bits. */
  flags?: number;
}

/** Sends on a connected socket. `IORING_OP_SEND`; the result is bytes sent. */
export function send(
  file: File,
  data: Uint8Array,
  options: MessageOptions = {},
): Command<number> {
  const { flags = 0 } = checkObject("options", options);
  const len = lengthOf("data", data);
  return new Command({
    name: "SEND",
    opcode: uapi.IORING_OP_SEND,
    file,
    len,
    opFlags: checkU32("flags", flags),
    operands: [operand(ADDR, { bytes: data, kernel: "reads" })],
  });
}

/** Receives. `IORING_OP_RECV`; the result is bytes received, 0 at the end. */
export function recv(
  file: File,
  into: Uint8Array,
  options: MessageOptions = {},
): Command<number> {
  const { flags = 0 } = checkObject("options", options);
  const len = lengthOf("into", into);
  const memory = { bytes: into, kernel: "writes" } as const;
  return new Command({
    name: "RECV",
    opcode: uapi.IORING_OP_RECV,
    file,
    len,
    opFlags: checkU32("flags", flags),
    operands: [operand(ADDR, memory, { counted: true })],
  });
}

/** What came of {@linkcode sendZc}. */
export interface ZeroCopySend {
  /** Bytes sent. */
  bytesSent: number;
  /** `false` when the kernel copied after all, as it does on loopback. */
  zeroCopy: boolean;
}

/**
 * Sends without copying in the kernel. `IORING_OP_SEND_ZC`, Linux 6.2.
 *
 * The kernel completes it twice: when it is sent, and when the network has done
 * with the memory. The promise settles at the second. Use memory of
 * `ring.alloc()`: any other is copied by the library first.
 *
 * EOPNOTSUPP: the socket cannot, as a Unix socket cannot.
 */
export function sendZc(
  file: File,
  data: Uint8Array,
  options: MessageOptions & { buffer?: FixedBuffer } = {},
): Command<ZeroCopySend> {
  const { flags = 0, buffer } = checkObject("options", options);
  const len = lengthOf("data", data);
  if (buffer !== undefined) checkInside(data, buffer);
  return new Command({
    name: "SEND_ZC",
    opcode: uapi.IORING_OP_SEND_ZC,
    file,
    ioprio: uapi.IORING_SEND_ZC_REPORT_USAGE |
      (buffer ? uapi.IORING_RECVSEND_FIXED_BUF : 0),
    len,
    opFlags: checkU32("flags", flags),
    buffer,
    operands: [operand(ADDR, { bytes: data, kernel: "reads" })],
    completions: 2,
    decode: ({ res, notification }) => ({
      bytesSent: res,
      // -1 where no notification came; else one bit of it says "copied".
      zeroCopy: notification >= 0,
    }),
    advice: (errno) =>
      errno === E.EOPNOTSUPP
        ? "The socket cannot send without copying, as a Unix socket cannot: " +
          "use send()."
        : generalAdvice(errno),
  });
}

/**
 * Waits until a file is ready. `IORING_OP_POLL_ADD`; the result is the `POLL`
 * bits that are. POLLERR and POLLHUP are always waited for.
 */
export function poll(
  file: File,
  options: { events: number },
): Command<number> {
  const { events } = checkObject("options", options);
  return new Command({
    name: "POLL_ADD",
    opcode: uapi.IORING_OP_POLL_ADD,
    file,
    opFlags: checkU32("events", events),
  });
}

/** Waits for a time, in milliseconds. `IORING_OP_TIMEOUT`. */
export function timeout(delayMs: number): Command<void> {
  return new Command<void>({
    name: "TIMEOUT",
    opcode: uapi.IORING_OP_TIMEOUT,
    len: 1,
    operands: [operand(ADDR, { bytes: timespec(delayMs), kernel: "reads" })],
    expected: [E.ETIME], // That the time is over is what was asked for.
    decode: () => {},
  });
}

/**
 * Bounds the time of the command before it in `ring.link()`, in milliseconds:
 * when it is over, the kernel is asked to cancel that command.
 * `IORING_OP_LINK_TIMEOUT`; the result is `true` when the time ran out.
 *
 * A command that a driver has taken up cannot be cancelled: it goes on after
 * its time, and settles with its own result.
 */
export function linkTimeout(delayMs: number): Command<boolean> {
  return new Command({
    name: "LINK_TIMEOUT",
    opcode: uapi.IORING_OP_LINK_TIMEOUT,
    len: 1,
    operands: [operand(ADDR, { bytes: timespec(delayMs), kernel: "reads" })],
    // Out of time: ETIME, and what cancelling came to where it did not succeed.
    expected: [E.ETIME, E.ENOENT, E.EALREADY, E.ECANCELED],
    decode: ({ res }) => res !== -E.ECANCELED,
    advice: (errno) =>
      errno === E.EINVAL
        ? "It needs a command before it: pass both to ring.link()."
        : generalAdvice(errno),
  });
}

function timespec(delayMs: number): Uint8Array {
  if (typeof delayMs !== "number") {
    throw new TypeError(`delayMs must be a number, not ${typeof delayMs}`);
  }
  if (!(delayMs >= 0 && delayMs <= 1e12)) {
    throw new RangeError(`delayMs must be from 0 to 1e12, not ${delayMs}`);
  }
  const view = new DataView(new ArrayBuffer(sizeof(__kernel_timespec)));
  const nanoseconds = BigInt(Math.round(delayMs * 1e6));
  __kernel_timespec.tv_sec.set(view, 0, nanoseconds / 1_000_000_000n);
  __kernel_timespec.tv_nsec.set(view, 0, nanoseconds % 1_000_000_000n);
  return new Uint8Array(view.buffer);
}
