/**
 * The status of a file: its type, size, owner and times.
 *
 * @module
 */

import { AT_EMPTY_PATH, AT_STATX_DONT_SYNC } from "../sys/uapi/fcntl.ts";
import { AT_STATX_FORCE_SYNC, AT_SYMLINK_NOFOLLOW } from "../sys/uapi/fcntl.ts";
import * as fs from "../sys/uapi/fs.ts";
import { io_uring_sqe, IORING_OP_STATX } from "../sys/uapi/io_uring.ts";
import { sizeof } from "../sys/struct.ts";
import { checkBoolean, checkFd, checkInteger } from "../ring/check.ts";
import { checkName, checkObject } from "../ring/check.ts";
import { Command } from "../ring/command.ts";
import type { Completion } from "../ring/completion.ts";
import { draftTo } from "../ring/draft.ts";
import { Kind } from "../ring/kind.ts";
import { type Operand, scratchOperand } from "../ring/operand.ts";
import { statxAdvice } from "./file_advice.ts";
import { CPath, Directory, type Path } from "./path.ts";

/** The status of a file. Times are nanoseconds since 1970, in UTC. */
export interface FileStatus {
  /** The `STATX_` bits of the fields that the file system has filled in. */
  readonly mask: number;
  /** Type and permissions: `mode & S_IFMT` is one of the `S_IF` constants. */
  readonly mode: number;
  /** Hard links. */
  readonly nlink: number;
  /** User id of the owner. */
  readonly uid: number;
  /** Group id of the owner. */
  readonly gid: number;
  /** Number of the inode, unique in its file system. */
  readonly ino: bigint;
  /** Bytes of the file. */
  readonly size: bigint;
  /** Allocated blocks of 512 bytes, whatever `blksize` is. */
  readonly blocks: bigint;
  /** Bytes that the file system prefers for a transfer. */
  readonly blksize: number;
  /** Time of the last access. */
  readonly atimeNs: bigint;
  /** Time of the last change of the data. */
  readonly mtimeNs: bigint;
  /** Time of the last change of the status. */
  readonly ctimeNs: bigint;
  /** Time of creation; `null` if the file system does not report it. */
  readonly btimeNs: bigint | null;
  /** Major and minor number of the device that holds the file. */
  readonly dev: readonly [major: number, minor: number];
  /** Major and minor number of the device that the file is a node of. */
  readonly rdev: readonly [major: number, minor: number];
  /** `STATX_ATTR_` bits of <linux/stat.h>, such as 0x10 for an immutable file. */
  readonly attributes: bigint;
  /** The `STATX_ATTR_` bits that the file system knows. */
  readonly attributesMask: bigint;
  /** Id of the mount, as in /proc/self/mountinfo; 0 unless `mask` has its bit. */
  readonly mountId: bigint;
}

/** Options of {@linkcode fstatx}. */
export interface FstatxOptions {
  /**
   * The `STATX_` bits of the fields to report. Others may be 0. Default:
   * STATX_BASIC_STATS | STATX_BTIME.
   */
  mask?: number;
  /**
   * On a network file system: `"force"` asks the server, `"never"` takes what is
   * cached, `"auto"` does what stat(2) does. Default `"auto"`.
   */
  sync?: "auto" | "force" | "never";
}

/** Options of {@linkcode statx}. */
export interface StatxOptions extends FstatxOptions {
  /**
   * Descriptor of the directory that a relative path starts at. Default: the
   * current directory.
   */
  dirFd?: number;
  /** Report a symbolic link itself, not its target. Default `false`. */
  noFollow?: boolean;
}

const SYNC = {
  auto: 0,
  force: AT_STATX_FORCE_SYNC,
  never: AT_STATX_DONT_SYNC,
} as const;

/**
 * Reports the status of the file at a path. `IORING_OP_STATX`, Linux 5.6. A mask
 * without STATX_SIZE and the like can save a network file system a request.
 *
 * ENOENT: there is no such file. ENOTDIR: a part of the path is a file. ELOOP:
 * the path has more than 40 symbolic links. EACCES: a directory on the way may
 * not be searched.
 *
 * @example The size of a program, and the kind of a symbolic link
 * ```ts
 * import { Ring } from "@uring/cmd";
 * import { S_IFLNK, S_IFMT, statx } from "@uring/cmd/op";
 *
 * await using ring = Ring.open();
 * const { size, mtimeNs } = await ring.cmd(statx(Deno.execPath()));
 * console.log(size, new Date(Number(mtimeNs / 1_000_000n)));
 * const link = await ring.cmd(statx("/proc/self/exe", { noFollow: true }));
 * console.log((link.mode & S_IFMT) === S_IFLNK);
 * ```
 */
export function statx(
  path: Path,
  options: StatxOptions = {},
): Command<FileStatus> {
  const { dirFd, noFollow = false } = checkObject("options", options);
  const [mask, sync] = checkFields(options);
  const name = new CPath("path", path);
  const directory = new Directory("dirFd", dirFd);
  return new Command({
    name: `STATX ${name.text}${directory.text}`,
    opcode: IORING_OP_STATX,
    fdWord: directory.word,
    len: mask,
    opFlags: sync |
      (checkBoolean("noFollow", noFollow) ? AT_SYMLINK_NOFOLLOW : 0),
    operands: memoryOf(name),
    decode: decodeStatus,
    advice: statxAdvice,
  });
}

/**
 * Reports the status of an open file. `IORING_OP_STATX`, Linux 5.6. The kernel
 * takes a descriptor, and no file of a ring's table.
 */
export function fstatx(
  fd: number,
  options: FstatxOptions = {},
): Command<FileStatus> {
  const [mask, sync] = checkFields(checkObject("options", options));
  // A number: the kernel answers EBADF for other files.
  const draft = draftTo(FSTATX, checkFd(fd));
  draft.lenWord = mask;
  draft.flagsWord = sync | AT_EMPTY_PATH;
  draft.setOperands(OF_DESCRIPTOR);
  return new Command(draft);
}

const FSTATX = new Kind<FileStatus>({
  name: "STATX",
  opcode: IORING_OP_STATX,
  decode: decodeStatus,
  advice: statxAdvice,
});

/** The memory of all commands for descriptors, each of which gets a copy. */
const OF_DESCRIPTOR = memoryOf(new CPath("path", ""));

function checkFields(
  { mask, sync = "auto" }: FstatxOptions,
): [mask: number, sync: number] {
  const usual = fs.STATX_BASIC_STATS | fs.STATX_BTIME;
  checkInteger("mask", mask ??= usual, 0, fs.STATX__RESERVED - 1);
  checkName("sync", sync, SYNC);
  return [mask, SYNC[sync]];
}

/** Returns the path, which the kernel reads, and the status that it writes. */
function memoryOf(path: CPath): readonly Operand[] {
  const { addr, addr2 } = io_uring_sqe;
  return [
    path.operand(addr.offset),
    scratchOperand(addr2.offset, sizeof(fs.statx)),
  ];
}

function decodeStatus(done: Completion): FileStatus {
  const { buffer, byteOffset, byteLength } = done.memory(1);
  return statusAt(new DataView(buffer, byteOffset, byteLength), 0);
}

/** Reads a `struct statx` at byte `at`. */
export function statusAt(view: DataView, at: number): FileStatus {
  const { statx } = fs;
  const u64 = (name: U64) => BigInt(statx[name].get(view, at));
  const mask = statx.stx_mask.get(view, at);
  return {
    mask,
    mode: statx.stx_mode.get(view, at),
    nlink: statx.stx_nlink.get(view, at),
    uid: statx.stx_uid.get(view, at),
    gid: statx.stx_gid.get(view, at),
    ino: u64("stx_ino"),
    size: u64("stx_size"),
    blocks: u64("stx_blocks"),
    blksize: statx.stx_blksize.get(view, at),
    atimeNs: timeAt(view, at + statx.stx_atime.offset),
    mtimeNs: timeAt(view, at + statx.stx_mtime.offset),
    ctimeNs: timeAt(view, at + statx.stx_ctime.offset),
    btimeNs: (mask & fs.STATX_BTIME) === 0
      ? null
      : timeAt(view, at + statx.stx_btime.offset),
    dev: [
      statx.stx_dev_major.get(view, at),
      statx.stx_dev_minor.get(view, at),
    ],
    rdev: [
      statx.stx_rdev_major.get(view, at),
      statx.stx_rdev_minor.get(view, at),
    ],
    attributes: u64("stx_attributes"),
    attributesMask: u64("stx_attributes_mask"),
    mountId: u64("stx_mnt_id"),
  };
}

type U64 =
  | "stx_ino"
  | "stx_size"
  | "stx_blocks"
  | "stx_attributes"
  | "stx_attributes_mask"
  | "stx_mnt_id";

/** Returns a `struct statx_timestamp` in nanoseconds. */
function timeAt(view: DataView, at: number): bigint {
  const { tv_sec, tv_nsec } = fs.statx_timestamp;
  const seconds = BigInt(tv_sec.get(view, at));
  return seconds * 1_000_000_000n + BigInt(tv_nsec.get(view, at));
}
