/**
 * Commands of files on btrfs: file data as the disk has it, compressed. What is
 * read this way can be written this way, so that a file is copied, or sent to
 * another machine, without being decompressed and compressed again.
 *
 * **Run them on a ring with `sqpoll`.** On any other, kernels have two flaws,
 * in Linux 7.2 still:
 *
 * - Until this thread has taken the result of a read, the kernel holds a lock
 *   on the file. A synchronous call on the file that this thread makes
 *   meanwhile, such as `writeSync` of a `Deno.FsFile`, waits for the lock for
 *   ever, and nothing can kill the process. Calls that are awaited are fine.
 * - What cannot complete at once goes to a worker of the kernel: every write,
 *   and a read whose extent is in use. Where the kernel has CONFIG_X86_X32_ABI,
 *   as Debian's has, a worker may be taken for one of a 32-bit process. The
 *   command then does nothing, and is an EAGAIN here.
 *
 * @module
 */

import * as uapi from "../../sys/uapi/btrfs.ts";
import * as E from "../../sys/uapi/errno.ts";
import { io_uring_sqe, IORING_OP_URING_CMD } from "../../sys/uapi/io_uring.ts";
import { sizeof } from "../../sys/struct.ts";
import { iovec } from "../../sys/uapi/uio.ts";
import { byteLengthOf } from "../../ring/intrinsics.ts";
import {
  checkBytes,
  checkInteger,
  checkObject,
  checkU64,
} from "../../ring/check.ts";
import { Command, type File } from "../../ring/command.ts";
import type { Completion } from "../../ring/completion.ts";
import { type Operand, operand, scratchOperand } from "../../ring/operand.ts";
import { UringError } from "../../ring/errors.ts";
import { advice, checkFile } from "./file.ts";

const io = uapi.btrfs_ioctl_encoded_io_args;

/** Index of each operand, which points at the next. */
const [ARGS, PIECES, DATA] = [0, 1, 2];

/**
 * How many pieces of memory a command has: the last is the data, the others
 * are of no bytes. A worker that is taken for 32-bit reads half of them, as
 * pieces of half the size, finds no bytes and completes with 0. A single piece
 * it would take for one at half the address, and use what lies there. Matches
 * import_iovec() in Linux 7.2, which asks in_compat_syscall().
 *
 * More than UIO_FASTIOV, which is 8, are not kept on the kernel's stack, which
 * Linux 6.13 leaves too early.
 */
const PIECE_COUNT = 9;
const LAST_PIECE = (PIECE_COUNT - 1) * sizeof(iovec);
const DATA_AT = LAST_PIECE + iovec.iov_base.offset;

/** What no kernel answers, and is there still where it has not answered. */
const UNANSWERED = 0xffff_ffff;

/** The kernel's BTRFS_MAX_UNCOMPRESSED, and its BTRFS_MAX_COMPRESSED. */
const MAX_EXTENT = 128 * 1024;

/** How data is compressed; lzo with the bytes it compresses at a time. */
export type Compression =
  | "none"
  | "zlib"
  | "zstd"
  | "lzo4k"
  | "lzo8k"
  | "lzo16k"
  | "lzo32k"
  | "lzo64k";

const NUMBERS: Readonly<Record<Compression, number>> = {
  none: uapi.BTRFS_ENCODED_IO_COMPRESSION_NONE,
  zlib: uapi.BTRFS_ENCODED_IO_COMPRESSION_ZLIB,
  zstd: uapi.BTRFS_ENCODED_IO_COMPRESSION_ZSTD,
  lzo4k: uapi.BTRFS_ENCODED_IO_COMPRESSION_LZO_4K,
  lzo8k: uapi.BTRFS_ENCODED_IO_COMPRESSION_LZO_8K,
  lzo16k: uapi.BTRFS_ENCODED_IO_COMPRESSION_LZO_16K,
  lzo32k: uapi.BTRFS_ENCODED_IO_COMPRESSION_LZO_32K,
  lzo64k: uapi.BTRFS_ENCODED_IO_COMPRESSION_LZO_64K,
};
const NAMES = Object.keys(NUMBERS) as Compression[];

/** A part of a file as btrfs stores it: at most one extent. */
export interface EncodedData {
  /**
   * The bytes as they are stored. Decompress them, cut what is more than
   * `unencodedLength`, append zeros if it is less: the file's own bytes start
   * at `unencodedOffset`.
   *
   * Compressed ones may end in zeros that fill their last sector. `inflateSync`
   * of `node:zlib` leaves them alone; `zstdDecompressSync` takes them for
   * another frame, which is an error, and wants the first frame only.
   */
  data: Uint8Array;
  /** How they are compressed. */
  compression: Compression;
  /** How many bytes of the file they are: 0 at its end. */
  byteLength: number;
  /** How many bytes there are when they are decompressed, up to 128 KiB. */
  unencodedLength: number;
  /** How many of these lie before the file's own. */
  unencodedOffset: number;
}

/** Where to read. */
export interface EncodedReadOptions {
  /** The first byte of the file, in an extent or at its start. */
  offset: number | bigint;
  /**
   * Memory to read into, most often of 128 KiB, which is what the largest
   * compressed extent takes; with that of `Ring.alloc`, nothing is copied. The
   * result has a part of it. Default: new memory, as large as the result.
   */
  data?: Uint8Array;
}

/**
 * Reads a part of a file as it lies on disk: of a compressed extent all of it,
 * wherever in it the offset is.
 *
 * `BTRFS_IOC_ENCODED_READ`, Linux 6.13, CAP_SYS_ADMIN. The result has the bytes
 * and how many bytes of the file they are: go on behind those. What is not
 * compressed is returned as it is, a hole as zeros, up to 128 KiB or `data` of
 * it. What was written before is flushed first.
 *
 * ENOBUFS: `data` is smaller than the compressed extent. EPERM: without the
 * capability. EOPNOTSUPP: not a regular file on btrfs, or an older kernel.
 * EAGAIN: the ring has no `sqpoll`; the head of this module says more.
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
  file: File,
  options: EncodedReadOptions,
): Command<EncodedData> {
  const { offset, data } = checkObject("options", options);
  checkOffset(offset, 0);
  if (data !== undefined && byteLengthOf(checkBytes("data", data)) === 0) {
    throw new RangeError("data must have room: with 0 bytes all is read as 0");
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

/** What to write, most often what {@linkcode encodedRead} has returned. */
export interface EncodedWriteOptions {
  /** The first byte of the file: a multiple of the sector size. */
  offset: number | bigint;
  /** The compressed bytes: up to 128 KiB, and fewer than `unencodedLength`. */
  data: Uint8Array;
  /** How they are compressed. lzo has to be that of the sector size. */
  compression: Compression;
  /**
   * How many bytes there are when they are decompressed: up to 128 KiB. If
   * there are more, they are cut off; if there are fewer, zeros follow.
   */
  unencodedLength: number;
  /** Where the file's own start in these: a multiple of the sector size. */
  unencodedOffset?: number;
  /**
   * How many bytes of the file they are. The end is a multiple of the sector
   * size, unless nothing of the file is behind it. Default: all that there are.
   */
  byteLength?: number;
}

/**
 * **Writes data.** Makes compressed bytes a part of a file as they are. Nothing
 * checks that they can be decompressed: where they cannot, reading the file is
 * an EIO from then on.
 *
 * `BTRFS_IOC_ENCODED_WRITE`, Linux 6.14, CAP_SYS_ADMIN, and `file` open for
 * writing. The result is the number of bytes in `data`. With O_APPEND they go
 * to the end of the file, whatever the offset is.
 *
 * What does not fit the file system, or is not compressed, is refused before it
 * is queued. EINVAL: an end that is no multiple of the sector size, before the
 * end of the file; a file without checksums, such as one that `chattr +C` was
 * used on. EPERM: without the capability. EOPNOTSUPP: not a regular file on
 * btrfs, or a kernel older than 6.13, while 6.13 itself says EINVAL. EAGAIN:
 * the ring has no `sqpoll`; the head of this module says more.
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
  file: File,
  options: EncodedWriteOptions,
): Command<number> {
  const { offset, data, compression, unencodedLength } = checkObject(
    "options",
    options,
  );
  if (compression === "none") {
    throw new TypeError("data has to be compressed: write() takes other data");
  }
  if (!NAMES.includes(compression)) {
    throw new TypeError(`compression must be one of ${NAMES.slice(1).join()}`);
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
      io.compression.set(args, 0, NUMBERS[compression]);
    }),
    precheck: () => checkFile(file, offset, unencodedOffset, compression),
    decode({ res }) {
      if (res === 0) throw unanswered(command); // There is no such write.
      return res;
    },
    advice,
  });
  return command;
}

/** The kernel's offsets are signed. */
function checkOffset(offset: number | bigint, byteLength: number): void {
  const end = BigInt(checkU64("offset", offset)) + BigInt(byteLength);
  if (end < 2n ** 63n) return;
  throw new RangeError(`offset must leave the end below 2^63, not at ${end}`);
}

/** The arguments, the pieces that they point at, and the data of the last. */
function operandsOf(
  data: Operand,
  fill: (args: DataView) => void,
): readonly Operand[] {
  const args = new Uint8Array(sizeof(io));
  const argsView = new DataView(args.buffer);
  io.iovcnt.set(argsView, 0, PIECE_COUNT);
  fill(argsView);
  const pieces = new Uint8Array(PIECE_COUNT * sizeof(iovec));
  iovec.iov_len.set(new DataView(pieces.buffer), LAST_PIECE, data.byteLength);
  // A read is answered in the arguments as well. `decode` sees it there, and as
  // it is not copied back, each run starts with the same arguments.
  const { addr } = io_uring_sqe;
  return [
    operand(addr.offset, { bytes: args, kernel: "reads" }),
    {
      ...operand(io.iov.offset, { bytes: pieces, kernel: "reads" }),
      inside: ARGS,
    },
    { ...data, inside: PIECES },
  ];
}

/** What is told of a command that a worker did nothing for. */
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
  const name = NAMES.find((name) => NUMBERS[name] === compression);
  // <linux/btrfs.h> asks to check all three, for what later kernels may say.
  if (
    name === undefined ||
    encryption !== uapi.BTRFS_ENCODED_IO_ENCRYPTION_NONE ||
    io.reserved.get(view, 0).some((byte) => byte !== 0)
  ) {
    throw new Error(
      "the extent is encoded in a way that is not known here: compression " +
        `${compression}, encryption ${encryption}`,
    );
  }
  return {
    data: data?.subarray(0, res) ?? completion.memory(DATA).slice(0, res),
    compression: name,
    byteLength: Number(io.len.get(view, 0)),
    unencodedLength: Number(io.unencoded_len.get(view, 0)),
    unencodedOffset: Number(io.unencoded_offset.get(view, 0)),
  };
}
