/**
 * Commands of files on btrfs: read and write file data in the compressed form
 * that is on disk. A program can copy a file, or send it to another machine,
 * without decompressing and compressing it.
 *
 * **Run the commands on a ring with `sqpoll: true`.** On any other ring, kernels
 * up to Linux 7.2 at least have two flaws:
 *
 * - The kernel locks a file from the start of a read until this thread has taken
 *   its result. If this thread makes a synchronous call on the file meanwhile,
 *   such as `writeSync` of a `Deno.FsFile`, the call never returns, and no signal
 *   can kill the process. Calls that are awaited are safe.
 * - The kernel hands a command that cannot complete at once to a worker: every
 *   write, and a read whose extent is in use. If the kernel was built with
 *   CONFIG_X86_X32_ABI, as Debian's is, it may take the worker for one of a
 *   32-bit process. The command then does nothing, and fails with EAGAIN.
 *
 * @module
 */

import * as uapi from "../../sys/uapi/btrfs.ts";
import { E } from "../../sys/uapi/errno.ts";
import { io_uring_sqe, IORING_OP_URING_CMD } from "../../sys/uapi/io_uring.ts";
import { sizeof } from "../../sys/struct.ts";
import { iovec } from "../../sys/uapi/uio.ts";
import { byteLengthOf, copyOf, partOf } from "../../ring/intrinsics.ts";
import { checkBytes, checkInteger } from "../../ring/check.ts";
import { checkObject, checkU64 } from "../../ring/check.ts";
import { Command, type FileRef } from "../../ring/command.ts";
import type { Completion } from "../../ring/completion.ts";
import { type Operand, operand, scratchOperand } from "../../ring/operand.ts";
import { UringError } from "../../ring/errors.ts";
import { advice, checkFile } from "./file.ts";

const io = uapi.btrfs_ioctl_encoded_io_args;

/** The index of each operand. Each operand points at the next one. */
const [ARGS, IOVECS, DATA] = [0, 1, 2];

/**
 * The `struct iovec` of a command: the last describes the data, and the others
 * are empty. A worker that is taken for 32-bit reads half of them, as structs of
 * half the size. It finds no bytes, and completes with 0. Of a single struct, it
 * would take half the address for all of it, and use the memory there. Matches
 * import_iovec() in Linux 7.2, which asks in_compat_syscall().
 *
 * The kernel keeps up to UIO_FASTIOV (8) of them on its stack, and Linux 6.13
 * leaves that stack frame too early: 9 are allocated.
 */
const IOVEC_COUNT = 9;
const LAST_IOVEC = (IOVEC_COUNT - 1) * sizeof(iovec);
const DATA_AT = LAST_IOVEC + iovec.iov_base.offset;

/** A `compression` that no kernel returns: still there, it gave no answer. */
const UNANSWERED = 0xffff_ffff;

/** The kernel's BTRFS_MAX_UNCOMPRESSED and BTRFS_MAX_COMPRESSED, in bytes. */
const MAX_EXTENT = 128 * 1024;

/** A compression; lzo has the sector size, which it compresses at a time. */
export type Compression =
  | "none"
  | "zlib"
  | "zstd"
  | `lzo${4 | 8 | 16 | 32 | 64}k`;

/** By the kernel's number, BTRFS_ENCODED_IO_COMPRESSION_NONE to _LZO_64K. */
const COMPRESSIONS = "none zlib zstd lzo4k lzo8k lzo16k lzo32k lzo64k"
  .split(" ") as (Compression | undefined)[];

/** A part of a file as btrfs stores it: at most one extent. */
export interface EncodedData {
  /**
   * The stored bytes. To get the bytes of the file, decompress them, and cut the
   * result to `unencodedLength` or append zeros up to it. Then take `byteLength`
   * bytes from `unencodedOffset` on.
   *
   * Compressed bytes may end in zeros that fill the last sector. `inflateSync`
   * of `node:zlib` ignores these zeros. `zstdDecompressSync` takes them for
   * another frame, and throws: pass it the first frame only.
   */
  data: Uint8Array;
  /** The compression of `data`. */
  compression: Compression;
  /** Bytes of the file in `data`: 0 at the end of the file. */
  byteLength: number;
  /** Bytes of `data` after decompression: at most 128 KiB if compressed. */
  unencodedLength: number;
  /** Decompressed bytes before those of the file. */
  unencodedOffset: number;
}

/** Options of {@linkcode encodedRead}. */
export interface EncodedReadOptions {
  /** The first byte of the file to read: anywhere in an extent. */
  offset: number | bigint;
  /**
   * Memory to read into. 128 KiB are enough for any compressed extent. The `data`
   * of the result is a part of this memory. Into memory of `Ring.alloc`, the
   * kernel reads without a copy. Default: new memory, as large as the result.
   */
  data?: Uint8Array;
}

/**
 * Reads one extent of a file in the form that is on disk. If the extent is
 * compressed, the result has all of it, wherever in the extent `offset` lies.
 *
 * **Run it on a ring with `sqpoll: true`.** On any other ring, a synchronous call
 * of this thread on the same file, such as `writeSync` of a `Deno.FsFile`, hangs
 * the process while a read is in flight, and no signal can kill it. On a kernel
 * with CONFIG_X86_X32_ABI, the read may also fail with EAGAIN.
 *
 * `BTRFS_IOC_ENCODED_READ`, Linux 6.13, CAP_SYS_ADMIN. To read on, add the
 * `byteLength` of the result to `offset`. Data that is not compressed is returned
 * as it is, and a hole as zeros, up to the size of `data` or 128 KiB. The kernel
 * first flushes earlier writes of the file.
 *
 * ENOBUFS: `data` is smaller than the compressed extent. EPERM: no CAP_SYS_ADMIN.
 * EOPNOTSUPP: not a regular file on btrfs, or an older kernel. EAGAIN: the ring
 * has no `sqpoll`.
 *
 * @example
 * ```ts ignore
 * import { inflateSync } from "node:zlib";
 * import { Ring } from "@uring/cmd";
 * import { encodedRead } from "@uring/cmd/btrfs";
 *
 * await using ring = Ring.open({ sqpoll: true });
 * const extent = await ring.cmd(encodedRead(fd, { offset: 0 }));
 * if (extent.compression === "zlib") {
 *   const bytes = inflateSync(extent.data);
 *   const start = extent.unencodedOffset;
 *   console.log(bytes.subarray(start, start + extent.byteLength));
 * }
 * ```
 */
export function encodedRead(
  file: FileRef,
  options: EncodedReadOptions,
): Command<EncodedData> {
  const { offset, data } = checkObject("options", options);
  checkOffset(offset, 0);
  if (data !== undefined && byteLengthOf(checkBytes("data", data)) === 0) {
    throw new RangeError("data must have room: reading 0 bytes means the end");
  }
  const memory = data === undefined
    ? scratchOperand(DATA_AT, MAX_EXTENT)
    : operand(DATA_AT, { bytes: data, kernel: "writes" });
  const command: Command<EncodedData> = new Command({
    name: "URING_CMD ENCODED_READ",
    opcode: IORING_OP_URING_CMD,
    file,
    off: uapi.BTRFS_IOC_ENCODED_READ,
    operands: operandsOf({ ...memory, counted: true }, (args) => {
      io.offset.set(args, 0, offset);
      io.compression.set(args, 0, UNANSWERED);
    }),
    decode: (completion) => decodeRead(command, completion, data),
    advice,
  });
  return command;
}

/** Compressed bytes to write: the fields of {@linkcode EncodedData} fit. */
export interface EncodedWriteOptions {
  /** The first byte of the file to write: a multiple of the sector size. */
  offset: number | bigint;
  /** The compressed bytes: at most 128 KiB, and fewer than `unencodedLength`. */
  data: Uint8Array;
  /** The compression of `data`. For lzo, the one of the sector size. */
  compression: Compression;
  /**
   * Bytes of `data` after decompression, from 2 to 128 KiB. A reader cuts more
   * bytes off, and appends zeros to fewer.
   */
  unencodedLength: number;
  /**
   * Decompressed bytes before those of the file: a multiple of the sector size,
   * below `unencodedLength`. Default 0.
   */
  unencodedOffset?: number;
  /**
   * Bytes of the file in `data`. The write must end at a multiple of the sector
   * size, or at or after the end of the file. Default: all decompressed bytes
   * from `unencodedOffset` on.
   */
  byteLength?: number;
}

/**
 * **Writes data.** Stores compressed bytes as a part of a file without changing
 * them. The kernel does not check that they can be decompressed: if they cannot,
 * every later read of that part of the file fails with EIO.
 *
 * **Run it on a ring with `sqpoll: true`.** Any other ring hands every write to a
 * worker of the kernel. On a kernel with CONFIG_X86_X32_ABI, such as Debian's,
 * the write then fails with EAGAIN.
 *
 * `BTRFS_IOC_ENCODED_WRITE`, Linux 6.14, CAP_SYS_ADMIN, and `file` open for
 * writing. The result is the number of bytes in `data`. If the file is open with
 * O_APPEND, the kernel ignores `offset` and writes at the end of the file.
 *
 * The command may complete before the data is on disk, and a crash may lose it.
 * Afterwards `fsync` of `./op` waits for the data, or fails with the device's
 * error.
 *
 * A write that does not fit the sector size of the file system, or is not
 * compressed, is refused before it is queued. EINVAL: the write ends before the
 * end of the file and not at a multiple of the sector size; or the file has no
 * checksums, for example after `chattr +C`; or the kernel is 6.13. EPERM: no
 * CAP_SYS_ADMIN. EOPNOTSUPP: not a regular file on btrfs, or a kernel older than
 * 6.13. EAGAIN: the ring has no `sqpoll`.
 *
 * @example
 * ```ts ignore
 * import { Ring } from "@uring/cmd";
 * import { encodedRead, encodedWrite } from "@uring/cmd/btrfs";
 * import { O_CREAT, O_RDWR, openat, write } from "@uring/cmd/op";
 *
 * await using ring = Ring.open({ sqpoll: true });
 * const from = await ring.cmd(openat("/mnt/from"));
 * const to = await ring.cmd(openat("/mnt/to", { flags: O_RDWR | O_CREAT }));
 * for (let offset = 0;;) {
 *   const extent = await ring.cmd(encodedRead(from, { offset }));
 *   if (extent.byteLength === 0) break;
 *   await ring.cmd(
 *     extent.compression === "none"
 *       ? write(to, extent.data, { offset })
 *       : encodedWrite(to, { offset, ...extent }),
 *   );
 *   offset += extent.byteLength;
 * }
 * ```
 */
export function encodedWrite(
  file: FileRef,
  options: EncodedWriteOptions,
): Command<number> {
  checkObject("options", options);
  const { offset, data, compression, unencodedLength } = options;
  if (compression === "none") {
    throw new TypeError("data must be compressed: write() takes other data");
  }
  const number = COMPRESSIONS.indexOf(compression);
  if (number < 0) {
    const names = COMPRESSIONS.slice(1).join();
    throw new TypeError(`compression must be one of ${names}`);
  }
  checkInteger("unencodedLength", unencodedLength, 2, MAX_EXTENT);
  const { unencodedOffset = 0 } = options;
  checkInteger("unencodedOffset", unencodedOffset, 0, unencodedLength - 1);
  const rest = unencodedLength - unencodedOffset;
  const { byteLength = rest } = options;
  checkInteger("byteLength", byteLength, 1, rest);
  checkOffset(offset, byteLength);
  const length = byteLengthOf(checkBytes("data", data));
  checkInteger("length of data", length, 1, unencodedLength - 1);
  const memory = operand(DATA_AT, { bytes: data, kernel: "reads" });
  const command: Command<number> = new Command({
    name: "URING_CMD ENCODED_WRITE",
    opcode: IORING_OP_URING_CMD,
    file,
    off: uapi.BTRFS_IOC_ENCODED_WRITE,
    operands: operandsOf(memory, (args) => {
      io.offset.set(args, 0, offset);
      io.len.set(args, 0, byteLength);
      io.unencoded_len.set(args, 0, unencodedLength);
      io.unencoded_offset.set(args, 0, unencodedOffset);
      io.compression.set(args, 0, number);
    }),
    precheck: () => checkFile(file, offset, unencodedOffset, compression),
    decode({ res }) {
      if (res === 0) throw unanswered(command); // A write has 1 byte or more.
      return res;
    },
    advice,
  });
  return command;
}

/** Throws for a range that the kernel's signed offsets cannot express. */
function checkOffset(offset: number | bigint, byteLength: number): void {
  const end = BigInt(checkU64("offset", offset)) + BigInt(byteLength);
  if (end < 2n ** 63n) return;
  throw new RangeError(`offset must leave the end below 2^63, not at ${end}`);
}

/** Returns the arguments, the iovecs they point at, and the data of the last. */
function operandsOf(
  data: Operand,
  fill: (args: DataView) => void,
): readonly Operand[] {
  const args = new Uint8Array(sizeof(io));
  const argsView = new DataView(args.buffer);
  io.iovcnt.set(argsView, 0, IOVEC_COUNT);
  fill(argsView);
  const iovecs = new Uint8Array(IOVEC_COUNT * sizeof(iovec));
  iovec.iov_len.set(new DataView(iovecs.buffer), LAST_IOVEC, data.byteLength);
  // The kernel answers a read in the arguments. `decode` sees the answer in the
  // command's memory, and `args` keeps its values for the next run.
  const { addr } = io_uring_sqe;
  return [
    operand(addr.offset, { bytes: args, kernel: "reads" }),
    operand(io.iov.offset, { bytes: iovecs, kernel: "reads" }, {
      inside: ARGS,
    }),
    { ...data, inside: IOVECS },
  ];
}

/** Returns the error of a command that a worker did nothing for. */
function unanswered({ name, fd }: Command<unknown>): UringError {
  return new UringError(name, fd, E.EAGAIN, advice(E.EAGAIN));
}

function decodeRead(
  command: Command<unknown>,
  completion: Completion,
  data?: Uint8Array,
): EncodedData {
  const { res } = completion;
  const { buffer, byteOffset, byteLength } = completion.memory(ARGS);
  const view = new DataView(buffer, byteOffset, byteLength);
  const compression = io.compression.get(view, 0);
  if (compression === UNANSWERED) throw unanswered(command);
  const encryption = io.encryption.get(view, 0);
  const name = COMPRESSIONS[compression];
  // <linux/btrfs.h> asks to check all three: later kernels may add values.
  if (
    name === undefined ||
    encryption !== uapi.BTRFS_ENCODED_IO_ENCRYPTION_NONE ||
    io.reserved.get(view, 0).some((byte) => byte !== 0)
  ) {
    throw new Error(
      "the encoding of the extent is not known here: compression " +
        `${compression}, encryption ${encryption}`,
    );
  }
  return {
    data: data === undefined
      ? copyOf(completion.memory(DATA), 0, res)
      : partOf(data, 0, res),
    compression: name,
    byteLength: Number(io.len.get(view, 0)),
    unencodedLength: Number(io.unencoded_len.get(view, 0)),
    unencodedOffset: Number(io.unencoded_offset.get(view, 0)),
  };
}
