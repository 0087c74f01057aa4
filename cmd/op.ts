/**
 * The ordinary operations that a program needs along with commands: files,
 * directories, sockets, polls and timeouts. Each is a `Command` for `ring.cmd()`.
 * For many reads or writes of one file, {@linkcode readsOf} and
 * {@linkcode writesOf} make them at less cost.
 *
 * Linux 5.19 has them all but `sendZc` (6.2), `ftruncate` (6.9), `bind` and
 * `listen` (6.11). They need the privilege of the system calls they are named
 * after. io_uring has no operation that lists a directory or the attributes of
 * a file, or reads a symbolic link.
 *
 * **Some operations do not fail their chain** of `ring.link()`: the next one
 * starts although they failed, because Linux 6.0 and later do not mark them as
 * failed (io_uring/fs.c, sync.c, statx.c, truncate.c and xattr.c in 6.18). These
 * are `fsync` and all operations on paths, space, status and attributes, but not
 * `openat` and `close`. Await such an operation if the next one depends on it.
 *
 * @example Read a file
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

import { E } from "../sys/uapi/errno.ts";
import { O_CLOEXEC, O_RDONLY } from "../sys/uapi/fcntl.ts";
import * as uapi from "../sys/uapi/io_uring.ts";
import * as so from "../sys/uapi/socket.ts";
import { sizeof } from "../sys/struct.ts";
import { __kernel_timespec } from "../sys/uapi/time_types.ts";
import { checkBoolean, checkFd, checkInteger } from "../ring/check.ts";
import { checkObject, checkU32 } from "../ring/check.ts";
import { isUint8Array } from "../ring/intrinsics.ts";
import { checkOffset } from "../ring/check.ts";
import { BufferRing, type LentBuffer } from "../ring/buffer_ring.ts";
import { Command, type FileRef } from "../ring/command.ts";
import { Draft, draftTo } from "../ring/draft.ts";
import { Kind } from "../ring/kind.ts";
import { checkInside, type FixedBuffer } from "../ring/registered.ts";
import { operand } from "../ring/operand.ts";
import { adviceFrom, generalAdvice } from "../ring/errors.ts";
import * as advice from "./op_advice.ts";
import { CPath, Directory, type Path } from "./path.ts";
import { decodeSockaddr, encodeSockaddr, isUnix } from "./sockaddr.ts";
import type { SocketAddress } from "./sockaddr.ts";
import { draftLent, draftTransfer, lengthOf, readOf } from "./transfer.ts";
import { RECV } from "./transfer.ts";
import { SEND, writeOf } from "./transfer.ts";

export { O_RDONLY, O_RDWR, O_WRONLY } from "../sys/uapi/fcntl.ts";
export { O_CREAT, O_EXCL, O_TMPFILE, O_TRUNC } from "../sys/uapi/fcntl.ts";
export { O_APPEND, O_DIRECT, O_DSYNC, O_SYNC } from "../sys/uapi/fcntl.ts";
export { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } from "../sys/uapi/fcntl.ts";
export { POLLERR, POLLHUP, POLLIN, POLLOUT } from "../sys/uapi/poll.ts";
export { POLLPRI, POLLRDHUP } from "../sys/uapi/poll.ts";
export { AF_INET, AF_INET6, AF_UNIX } from "../sys/uapi/socket.ts";
export { SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM } from "../sys/uapi/socket.ts";
export { MSG_DONTWAIT, MSG_MORE, SOCK_NONBLOCK } from "../sys/uapi/socket.ts";
export { MSG_PEEK, MSG_TRUNC, MSG_WAITALL } from "../sys/uapi/socket.ts";
export type { IpAddress, SocketAddress, UnixAddress } from "./sockaddr.ts";
export { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../sys/uapi/fs.ts";
export { S_IFBLK, S_IFCHR, S_IFIFO, S_IFSOCK } from "../sys/uapi/fs.ts";
export { STATX_BASIC_STATS, STATX_BTIME } from "../sys/uapi/fs.ts";
export { STATX_GID, STATX_INO, STATX_MNT_ID } from "../sys/uapi/fs.ts";
export { STATX_MODE, STATX_NLINK, STATX_SIZE } from "../sys/uapi/fs.ts";
export { STATX_ATIME, STATX_CTIME, STATX_MTIME } from "../sys/uapi/fs.ts";
export { STATX_BLOCKS, STATX_TYPE, STATX_UID } from "../sys/uapi/fs.ts";
export type { Path } from "./path.ts";
export { linkat, type LinkOptions, type PathOptions } from "./entries.ts";
export { mkdirat, type MkdirOptions, symlinkat } from "./entries.ts";
export { renameat, type RenameOptions } from "./entries.ts";
export { type TwoPathsOptions, unlinkat } from "./entries.ts";
export type { UnlinkOptions } from "./entries.ts";
export { fallocate, type FallocateMode, ftruncate } from "./extents.ts";
export { type FallocateOptions, syncFileRange } from "./extents.ts";
export type { SyncFileRangeOptions } from "./extents.ts";
export { type FileStatus, fstatx, type FstatxOptions } from "./statx.ts";
export { statx, type StatxOptions } from "./statx.ts";
export { readsOf, type Transfers, writesOf } from "./transfer.ts";
export { fgetxattr, fsetxattr, getxattr, setxattr } from "./xattr.ts";
export type { GetxattrOptions, SetxattrOptions } from "./xattr.ts";

/** Byte offset of `addr` in the SQE. */
const ADDR = uapi.io_uring_sqe.addr.offset;

const NOP = new Kind<number>({ name: "NOP", opcode: uapi.IORING_OP_NOP });

/**
 * Does nothing, through the whole ring. `IORING_OP_NOP`; the result is 0.
 *
 * @example The time that a ring takes for a command
 * ```ts
 * import { Ring } from "@uring/cmd";
 * import { nop } from "@uring/cmd/op";
 *
 * await using ring = Ring.open();
 * const start = performance.now();
 * await ring.cmd(nop());
 * console.log(performance.now() - start, "ms");
 * ```
 */
export function nop(): Command<number> {
  return new Command<number>(new Draft(NOP));
}

/** Options of {@linkcode openat}. */
export interface OpenOptions {
  /** `O_` bits. O_CLOEXEC is always set. Default: O_RDONLY. */
  flags?: number;
  /** Permissions of a new file, less the umask. Default: 0o666. */
  mode?: number;
  /**
   * Descriptor of the directory that a relative path starts at. Default: the
   * current directory.
   */
  dirFd?: number;
}

/**
 * Opens a file. `IORING_OP_OPENAT`; the result is a descriptor, which the
 * caller closes.
 *
 * @example Create a file, write to it, and flush it to its device
 * ```ts
 * import { Ring } from "@uring/cmd";
 * import * as op from "@uring/cmd/op";
 *
 * const path = await Deno.makeTempFile();
 * await using ring = Ring.open();
 * const flags = op.O_WRONLY | op.O_CREAT | op.O_TRUNC;
 * const fd = await ring.cmd(op.openat(path, { flags, mode: 0o600 }));
 * await ring.cmd(op.write(fd, new TextEncoder().encode("hello")));
 * await ring.cmd(op.fsync(fd));
 * await ring.cmd(op.close(fd));
 * await Deno.remove(path);
 * ```
 */
export function openat(
  path: Path,
  options: OpenOptions = {},
): Command<number> {
  const name = new CPath("path", path);
  checkObject("options", options);
  const { dirFd, flags = O_RDONLY, mode = 0o666 } = options;
  const directory = new Directory("dirFd", dirFd);
  return new Command({
    name: `OPENAT ${name.text}${directory.text}`,
    opcode: uapi.IORING_OP_OPENAT,
    fdWord: directory.word,
    len: checkInteger("mode", mode, 0, 0o7777),
    opFlags: checkU32("flags", flags) | O_CLOEXEC,
    operands: [name.operand(ADDR)],
    advice: advice.openAdvice,
  });
}

/**
 * Closes a descriptor. `IORING_OP_CLOSE`; the result is 0. For files of
 * `ring.registerFiles()` there is `ring.unregisterFiles()`.
 */
export function close(fd: number): Command<number> {
  // A number: a registered file is unregistered.
  const draft = draftTo(CLOSE, checkFd(fd));
  return new Command<number>(draft);
}

const CLOSE = new Kind<number>({
  name: "CLOSE",
  opcode: uapi.IORING_OP_CLOSE,
  advice: advice.closeAdvice,
});

/** Options of {@linkcode read} and {@linkcode write}. */
export interface TransferOptions {
  /** Byte offset in the file, below 2^63. Default: the file's own position. */
  offset?: number | bigint;
  /** The registered buffer that contains the bytes. */
  buffer?: FixedBuffer;
}

/** Options of {@linkcode read} with provided buffers. */
export interface LentTransferOptions {
  /** Byte offset in the file, below 2^63. Default: the file's own position. */
  offset?: number | bigint;
  /** Reads again and again: the command is for `ring.stream()`. Default: `false`. */
  multishot?: boolean;
}

/**
 * Reads from a file into an array. `IORING_OP_READ`, or `READ_FIXED` with a
 * registered buffer; the result is the number of bytes, 0 at the end of the
 * file.
 *
 * @example Two parts of a file, in one system call
 * ```ts
 * import { Ring } from "@uring/cmd";
 * import { close, openat, read } from "@uring/cmd/op";
 *
 * await using ring = Ring.open();
 * const fd = await ring.cmd(openat(Deno.execPath()));
 * const [first, later] = [ring.alloc(16), ring.alloc(16)];
 * await Promise.all([
 *   ring.cmd(read(fd, first, { offset: 0 })),
 *   ring.cmd(read(fd, later, { offset: 4096 })),
 * ]);
 * await ring.cmd(close(fd));
 * ```
 */
export function read(
  file: FileRef,
  into: Uint8Array,
  options?: TransferOptions,
): Command<number>;
/**
 * Reads from a file into a buffer that the kernel takes when it has data.
 * `IORING_OP_READ` with IOSQE_BUFFER_SELECT (Linux 5.19), or `READ_MULTISHOT` (Linux
 * 6.7) for `ring.stream()`; see `ring.registerBufferRing()`. The result is the buffer,
 * with no bytes at the end of the file, where a stream ends.
 *
 * With `multishot`, the file has to be one that can be polled, such as a pipe, a
 * socket or a terminal. ENOBUFS: all buffers are lent. EBADFD: it cannot be polled.
 *
 * @example The first bytes of a file, in a buffer of the ring
 * ```ts
 * import { Ring } from "@uring/cmd";
 * import { close, openat, read } from "@uring/cmd/op";
 *
 * await using ring = Ring.open();
 * const buffers = ring.registerBufferRing({ count: 4, byteLength: 512 });
 * const fd = await ring.cmd(openat("/proc/version"));
 * using text = await ring.cmd(read(fd, buffers));
 * console.log(new TextDecoder().decode(text.bytes));
 * await ring.cmd(close(fd));
 * ```
 */
export function read(
  file: FileRef,
  into: BufferRing,
  options?: LentTransferOptions,
): Command<LentBuffer>;
export function read(
  file: FileRef,
  into: Uint8Array | BufferRing,
  options: TransferOptions & LentTransferOptions = {},
): Command<number> | Command<LentBuffer> {
  if (!isUint8Array(into) && BufferRing.is(into)) {
    return readLent(file, into, options);
  }
  // Options first: a getter may run code that changes the array.
  const { offset, buffer } = checkObject("options", options);
  const draft = draftTransfer(readOf(buffer), file, into, buffer);
  draft.lenWord = lengthOf("into", into);
  return new Command<number>(placed(draft, offset));
}

function readLent(
  file: FileRef,
  from: BufferRing,
  options: LentTransferOptions,
): Command<LentBuffer> {
  const { offset, multishot = false } = checkObject("options", options);
  const name = checkBoolean("multishot", multishot) ? "READ_MULTISHOT" : "READ";
  if (multishot && offset !== undefined) {
    throw new TypeError("a multishot read has no offset: leave it out");
  }
  return new Command<LentBuffer>(placed(draftLent(name, file, from), offset));
}

/**
 * Writes an array to a file. `IORING_OP_WRITE`, or `WRITE_FIXED` with a
 * registered buffer; the result is the number of bytes, which may be fewer.
 */
export function write(
  file: FileRef,
  data: Uint8Array,
  options: TransferOptions = {},
): Command<number> {
  const { offset, buffer } = checkObject("options", options);
  const draft = draftTransfer(writeOf(buffer), file, data, buffer);
  draft.lenWord = lengthOf("data", data);
  return new Command<number>(placed(draft, offset));
}

/** Sets where in its file a draft transfers: by default, at the file's position. */
function placed<T>(
  draft: Draft<T>,
  offset: number | bigint | undefined,
): Draft<T> {
  if (offset === undefined) draft.offLow = draft.offHigh = -1;
  else draft.setOff(checkOffset(offset));
  return draft;
}

/**
 * Flushes a file to its device. `IORING_OP_FSYNC`; the result is 0. With
 * `dataOnly` it omits metadata that a later read does not need, as
 * fdatasync(2).
 *
 * **A chain of `ring.link()` goes on if it fails**: await it before you rename
 * the file or report success.
 */
export function fsync(
  file: FileRef,
  options: { dataOnly?: boolean } = {},
): Command<number> {
  const { dataOnly = false } = checkObject("options", options);
  const draft = draftTo(FSYNC, file);
  if (checkBoolean("dataOnly", dataOnly)) {
    draft.flagsWord = uapi.IORING_FSYNC_DATASYNC;
  }
  return new Command<number>(draft);
}

const FSYNC = new Kind<number>({
  name: "FSYNC",
  opcode: uapi.IORING_OP_FSYNC,
  advice: advice.fsyncAdvice,
});

/** Options of {@linkcode socket}. */
export interface SocketOptions {
  /** `AF_INET`, `AF_INET6` or `AF_UNIX`. */
  domain: number;
  /** `SOCK_STREAM`, `SOCK_DGRAM`, ... SOCK_CLOEXEC is always set. */
  type: number;
  /**
   * The protocol, such as `IPPROTO_TCP` of `@uring/cmd/socket`. Default 0: the
   * usual one for `type`.
   */
  protocol?: number;
}

/**
 * Makes a socket. `IORING_OP_SOCKET`; the result is a descriptor, which the
 * caller closes.
 *
 * @example Send a request and receive the answer
 * ```ts
 * import { Ring } from "@uring/cmd";
 * import * as op from "@uring/cmd/op";
 *
 * const hostname = "127.0.0.1";
 * const answer = () => new Response("hello");
 * const server = Deno.serve({ hostname, port: 0 }, answer);
 *
 * await using ring = Ring.open();
 * const spec = { domain: op.AF_INET, type: op.SOCK_STREAM };
 * const fd = await ring.cmd(op.socket(spec));
 * await ring.cmd(op.connect(fd, server.addr));
 * const request = "GET / HTTP/1.0\r\n\r\n";
 * await ring.cmd(op.send(fd, new TextEncoder().encode(request)));
 * const into = ring.alloc(4096);
 * const length = await ring.cmd(op.recv(fd, into));
 * console.log(new TextDecoder().decode(into.slice(0, length)));
 * await ring.cmd(op.close(fd));
 * await server.shutdown();
 * ```
 */
export function socket(options: SocketOptions): Command<number> {
  const { domain, type, protocol = 0 } = checkObject("options", options);
  return new Command({
    name: "SOCKET",
    opcode: uapi.IORING_OP_SOCKET,
    fdWord: checkU32("domain", domain),
    off: (checkU32("type", type) | so.SOCK_CLOEXEC) >>> 0,
    len: checkU32("protocol", protocol),
    advice: advice.socketAdvice,
  });
}

/**
 * Binds a socket to an address. `IORING_OP_BIND`, Linux 6.11; the result is 0.
 */
export function bind(file: FileRef, address: SocketAddress): Command<number> {
  return addressed("BIND", file, address);
}

/** Connects a socket. `IORING_OP_CONNECT`; the result is 0. */
export function connect(
  file: FileRef,
  address: SocketAddress,
): Command<number> {
  return addressed("CONNECT", file, address);
}

function addressed(
  name: "BIND" | "CONNECT",
  file: FileRef,
  address: SocketAddress,
): Command<number> {
  const bytes = encodeSockaddr(checkObject("address", address));
  const opcode = uapi[`IORING_OP_${name}`];
  const operands = [operand(ADDR, { bytes, kernel: "reads" })];
  return new Command({
    // From the bytes: a getter of `address` may return something else now.
    name: `${name} ${addressText(decodeSockaddr(bytes))}`,
    opcode,
    file,
    off: bytes.length,
    operands,
    advice: name === "BIND" ? advice.bindAdvice : advice.connectAdvice,
  });
}

/** Returns an address as messages show it: with port, or as a path in quotes. */
function addressText(address: SocketAddress): string {
  if (isUnix(address)) return JSON.stringify(address.path ?? "");
  const { hostname, port } = address;
  return `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
}

/**
 * Makes a socket listen for connections. `IORING_OP_LISTEN`, Linux 6.11; the
 * result is 0. At most `backlog` connections, by default 511, wait for
 * {@linkcode accept}.
 */
export function listen(
  file: FileRef,
  options: { backlog?: number } = {},
): Command<number> {
  const { backlog = 511 } = checkObject("options", options);
  const opcode = uapi.IORING_OP_LISTEN;
  const len = checkU32("backlog", backlog);
  return new Command({
    name: "LISTEN",
    opcode,
    file,
    len,
    advice: advice.listenAdvice,
  });
}

/**
 * Accepts a connection. `IORING_OP_ACCEPT`; the result is a descriptor, which
 * the caller closes.
 */
export function accept(file: FileRef): Command<number> {
  const draft = draftTo(ACCEPT, file);
  draft.flagsWord = so.SOCK_CLOEXEC;
  return new Command<number>(draft);
}

const ACCEPT = new Kind<number>({
  name: "ACCEPT",
  opcode: uapi.IORING_OP_ACCEPT,
  advice: advice.acceptAdvice,
});

/** Options of {@linkcode send}, {@linkcode recv} and {@linkcode sendZc}. */
export interface MessageOptions {
  /** `MSG_` bits. Default: 0. */
  flags?: number;
}

/** Options of {@linkcode recv} with provided buffers. */
export interface LentMessageOptions extends MessageOptions {
  /** Receives again and again: the command is for `ring.stream()`. Default: `false`. */
  multishot?: boolean;
}

/** Flags with which the kernel has copied the bytes when a SEND completes. */
const COPIED = so.MSG_OOB | so.MSG_DONTROUTE | so.MSG_DONTWAIT |
  so.MSG_EOR | so.MSG_WAITALL | so.MSG_CONFIRM | so.MSG_NOSIGNAL |
  so.MSG_MORE | so.MSG_BATCH | so.MSG_FASTOPEN;

/**
 * Flags with which a RECV answers at least the number of bytes that it wrote. With
 * MSG_TRUNC it may be more, and TCP writes none (tcp_recvmsg_locked()).
 */
const COUNTED = so.MSG_OOB | so.MSG_PEEK | so.MSG_DONTWAIT | so.MSG_WAITALL |
  so.MSG_NOSIGNAL | so.MSG_TRUNC;

/**
 * Sends on a connected socket. `IORING_OP_SEND`; the result is the number of
 * bytes sent, which may be fewer.
 *
 * @throws {TypeError} for MSG_ZEROCOPY, with which the network would still read
 * memory that the command has given back, and for flags of unknown effect.
 */
export function send(
  file: FileRef,
  data: Uint8Array,
  options: MessageOptions = {},
): Command<number> {
  const { flags = 0 } = checkObject("options", options);
  const opFlags = checkU32("flags", flags);
  if (flags & so.MSG_ZEROCOPY) {
    throw new TypeError(
      "With MSG_ZEROCOPY the network reads the memory after the command has " +
        "completed. Use sendZc()",
    );
  }
  if (flags & ~COPIED) {
    const unknown = ((flags & ~COPIED) >>> 0).toString(16);
    throw new TypeError(`flags has 0x${unknown}, which send() does not take`);
  }
  const draft = draftTransfer(SEND, file, data);
  draft.lenWord = lengthOf("data", data);
  draft.flagsWord = opFlags | 0;
  return new Command<number>(draft);
}

/**
 * Receives from a socket. `IORING_OP_RECV`; the result is the number of bytes
 * received, 0 after the peer has shut down its side. With MSG_TRUNC it is the
 * length of the whole datagram, or the bytes that TCP discarded: such bytes are
 * not in the array, which keeps what it had.
 */
export function recv(
  file: FileRef,
  into: Uint8Array,
  options?: MessageOptions,
): Command<number>;
/**
 * Receives from a socket into a buffer that the kernel takes when it has data.
 * `IORING_OP_RECV` with IOSQE_BUFFER_SELECT, Linux 5.19; with `multishot`, Linux 6.0,
 * for `ring.stream()`; see `ring.registerBufferRing()`. The result is the buffer, with
 * no bytes after the peer has shut down its side, where a stream ends. An empty
 * datagram ends a stream, too.
 *
 * ENOBUFS: all buffers are lent.
 */
export function recv(
  file: FileRef,
  into: BufferRing,
  options?: LentMessageOptions,
): Command<LentBuffer>;
export function recv(
  file: FileRef,
  into: Uint8Array | BufferRing,
  options: LentMessageOptions = {},
): Command<number> | Command<LentBuffer> {
  if (!isUint8Array(into) && BufferRing.is(into)) {
    return recvLent(file, into, options);
  }
  const { flags = 0 } = checkObject("options", options);
  const opFlags = checkU32("flags", flags);
  const counted = (flags & ~COUNTED) === 0;
  const draft = draftTransfer(RECV, file, into, undefined, counted);
  draft.lenWord = lengthOf("into", into);
  draft.flagsWord = opFlags | 0;
  return new Command<number>(draft);
}

function recvLent(
  file: FileRef,
  from: BufferRing,
  options: LentMessageOptions,
): Command<LentBuffer> {
  const { flags = 0, multishot = false } = checkObject("options", options);
  const name = checkBoolean("multishot", multishot) ? "RECV_MULTISHOT" : "RECV";
  const draft = draftLent(name, file, from);
  draft.flagsWord = checkU32("flags", flags) | 0;
  if (multishot) draft.head |= uapi.IORING_RECV_MULTISHOT << 16;
  return new Command<LentBuffer>(draft);
}

/** The result of {@linkcode sendZc}. */
export interface ZeroCopySend {
  /** Bytes sent. */
  bytesSent: number;
  /**
   * `false` if the kernel copied the bytes after all, as it does on loopback.
   */
  zeroCopy: boolean;
}

/**
 * Sends without a copy in the kernel. `IORING_OP_SEND_ZC`, Linux 6.2.
 *
 * The kernel posts two completions: one when the bytes are sent, one when the
 * network no longer needs the memory. The promise settles at the second. Use
 * memory of `ring.alloc()`, because the library copies any other.
 *
 * EOPNOTSUPP: the socket does not support it; Unix sockets never do.
 */
export function sendZc(
  file: FileRef,
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
      // -1 without a notification; IORING_NOTIF_USAGE_ZC_COPIED is its sign.
      zeroCopy: notification >= 0,
    }),
    advice: advice.sendZcAdvice,
  });
}

/**
 * Waits until a file is ready for one of `events`, which are `POLL` bits.
 * `IORING_OP_POLL_ADD`; the result is the bits that are ready. The kernel adds
 * POLLERR and POLLHUP to `events`.
 *
 * @example Wait at most one second for a connection to a listener
 * ```ts
 * import { Ring } from "@uring/cmd";
 * import { poll, POLLIN } from "@uring/cmd/op";
 * import { socketFd } from "@uring/cmd/socket";
 *
 * using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * using _conn = await Deno.connect({ port: listener.addr.port });
 * await using ring = Ring.open();
 * const signal = AbortSignal.timeout(1000);
 * const wait = poll(socketFd(listener), { events: POLLIN });
 * console.log(await ring.cmd(wait, { signal }) === POLLIN);
 * ```
 */
export function poll(
  file: FileRef,
  options: { events: number },
): Command<number> {
  const { events } = checkObject("options", options);
  const draft = draftTo(POLL_ADD, file);
  draft.flagsWord = checkU32("events", events) | 0;
  return new Command<number>(draft);
}

const POLL_ADD = new Kind<number>({
  name: "POLL_ADD",
  opcode: uapi.IORING_OP_POLL_ADD,
});

/**
 * Waits `delayMs` milliseconds, from 0 to 1e12. `IORING_OP_TIMEOUT`; there is
 * no result.
 */
export function timeout(delayMs: number): Command<void> {
  return new Command<void>({
    name: "TIMEOUT",
    opcode: uapi.IORING_OP_TIMEOUT,
    len: 1,
    opFlags: uapi.IORING_TIMEOUT_ETIME_SUCCESS, // It fails no chain.
    operands: [operand(ADDR, { bytes: timespec(delayMs), kernel: "reads" })],
    expected: [E.ETIME], // The kernel's answer when the time is over.
    decode: () => {},
  });
}

/**
 * Bounds the time of the command before it in `ring.link()`. After `delayMs`
 * milliseconds, from 0 to 1e12, the kernel tries to cancel that command.
 * `IORING_OP_LINK_TIMEOUT`; the result is `true` if the time ran out.
 *
 * The kernel cannot cancel a command that a driver has started. Such a command
 * continues after its time, and settles with its own result.
 *
 * @example Give a command 10 ms
 * ```ts
 * import { Ring } from "@uring/cmd";
 * import { linkTimeout, timeout } from "@uring/cmd/op";
 *
 * await using ring = Ring.open();
 * const chain = ring.link([timeout(60_000), linkTimeout(10)]);
 * const [slow, ranOut] = await Promise.allSettled(chain);
 * console.log(slow.status, ranOut); // rejected: ECANCELED; the value true
 * ```
 */
export function linkTimeout(delayMs: number): Command<boolean> {
  return new Command({
    name: "LINK_TIMEOUT",
    opcode: uapi.IORING_OP_LINK_TIMEOUT,
    len: 1,
    operands: [operand(ADDR, { bytes: timespec(delayMs), kernel: "reads" })],
    // ECANCELED: the command was faster. ETIME: it was cancelled. The others
    // say why it was not: it had completed, or a driver had started it.
    expected: [E.ETIME, E.ENOENT, E.EALREADY, E.ECANCELED],
    decode: ({ res }) => res !== -E.ECANCELED,
    advice: linkTimeoutAdvice,
  });
}

const linkTimeoutAdvice = adviceFrom({
  EINVAL: "It needs a command before it. Pass both to ring.link().",
}, generalAdvice);

/** Returns a `struct __kernel_timespec` for a time in milliseconds. */
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
