/** Attributes of files, as handlers give them and as the kernel gets them. */

import { high, low } from "../../sys/struct.ts";
import * as fs from "../../sys/uapi/fs.ts";
import { fuse_attr, fuse_statx } from "../../sys/uapi/fuse.ts";

/**
 * A time: a `Date`, milliseconds since 1970, nanoseconds since 1970 as a `bigint`, or
 * `"now"`.
 */
export type Time = Date | number | bigint | "now";

/** The kind of a file. */
export type FileKind =
  | "file"
  | "directory"
  | "symlink"
  | "fifo"
  | "socket"
  | "char"
  | "block";

/**
 * The attributes of a file. A `Deno.FileInfo` is one, and so are the `Stats` of
 * `node:fs`. What is missing, or `null`, has a default.
 */
export interface Stat {
  /** The kind. Default: the type bits of `mode`, then `isDirectory`, then a file. */
  kind?: FileKind;
  /** Permission bits, with or without the type. Default 0o644, 0o755 or 0o777. */
  mode?: number | bigint | null;
  /** Bytes. Default 0. */
  size?: number | bigint | null;
  /** Names of the file. Default 1. */
  nlink?: number | bigint | null;
  /** The owner. Default: the user who mounted. */
  uid?: number | bigint | null;
  /** The group. Default: that of the user who mounted. */
  gid?: number | bigint | null;
  /** The device, in the encoding of the kernel's protocol, for a device node. */
  rdev?: number | bigint | null;
  /** The number of the inode. Default: a number of the mount's own. */
  ino?: number | bigint | null;
  /** Units of 512 bytes. Default: those of `size`. */
  blocks?: number | bigint | null;
  /** Bytes that are good to read or write at once. Default 4096. */
  blksize?: number | bigint | null;
  /** The time of the last read. Default `mtime`. */
  atime?: Time | null;
  /** The time of the last write. Default: when it was mounted. */
  mtime?: Time | null;
  /** The time of the last change of attributes. Default `mtime`. */
  ctime?: Time | null;
  /** The time of creation, which only statx(2) returns. */
  birthtime?: Time | null;
  /** A boolean in a `Deno.FileInfo`, a method in a `Stats`. */
  isDirectory?: boolean | (() => boolean);
  /** A boolean in a `Deno.FileInfo`. */
  isSymlink?: boolean;
  /** Milliseconds for which the kernel may keep these. Default: of the mount. */
  ttlMs?: number;
}

/** The attributes that a handler leaves out. */
export interface StatDefaults {
  readonly uid: number;
  readonly gid: number;
  /** Milliseconds since 1970. */
  readonly time: number;
}

const TYPES: Readonly<Record<FileKind, number>> = {
  file: fs.S_IFREG,
  directory: fs.S_IFDIR,
  symlink: fs.S_IFLNK,
  fifo: fs.S_IFIFO,
  socket: fs.S_IFSOCK,
  char: fs.S_IFCHR,
  block: fs.S_IFBLK,
};

/** Returns the type bits and the permission bits of a file. */
export function modeOf(stat: Stat): number {
  const given = stat.mode;
  const mode = typeof given === "number" ? given : Number(given ?? 0);
  const type = stat.kind !== undefined
    ? typeOf(stat.kind)
    : mode & fs.S_IFMT || guess(stat);
  if (given !== undefined && given !== null) return type | mode & 0o7777;
  if (type === fs.S_IFDIR) return type | 0o755;
  return type | (type === fs.S_IFLNK ? 0o777 : 0o644);
}

function typeOf(kind: FileKind): number {
  const type = TYPES[kind];
  if (type !== undefined) return type;
  const kinds = Object.keys(TYPES).join(", ");
  throw new TypeError(`kind is ${String(kind)}. It is one of ${kinds}`);
}

function guess(stat: Stat): number {
  const { isDirectory, isSymlink } = stat;
  const directory = typeof isDirectory === "function"
    ? isDirectory.call(stat)
    : isDirectory;
  if (directory) return fs.S_IFDIR;
  return isSymlink === true ? fs.S_IFLNK : fs.S_IFREG;
}

/** Checks a count of a handler's: negative ones would be huge for the kernel. */
function count(
  name: string,
  value: number | bigint | null | undefined,
  otherwise: number,
): number | bigint {
  if (value === undefined || value === null) return otherwise;
  if (typeof value === "bigint" ? value >= 0n : Number.isSafeInteger(value)) {
    if (value >= 0) return value;
  }
  throw new RangeError(
    `${name} is ${value}. It is an integer from 0 to 2^53, or a bigint`,
  );
}

const { ino, size, blocks, atime, mtime, ctime } = fuse_attr;
const { atimensec, mtimensec, ctimensec, mode, nlink } = fuse_attr;
const { uid, gid, rdev, blksize, flags } = fuse_attr;

/**
 * Writes a `struct fuse_attr` at byte `at`. Returns the mode.
 *
 * @param number The number of the inode, if `stat` has none.
 * @throws {TypeError | RangeError} for values that no file has.
 */
export function writeAttr(
  view: DataView,
  at: number,
  stat: Stat,
  number: number,
  defaults: StatDefaults,
): number {
  const bits = modeOf(stat);
  const bytes = count("size", stat.size, 0);
  const modified = stat.mtime ?? defaults.time;
  put(view, at + ino.offset, count("ino", stat.ino, number));
  put(view, at + size.offset, bytes);
  const units = Math.ceil(Number(bytes) / 512);
  put(view, at + blocks.offset, count("blocks", stat.blocks, units));
  const accessed = stat.atime ?? modified;
  const changed = stat.ctime ?? modified;
  putTime(view, at + atime.offset, at + atimensec.offset, accessed);
  putTime(view, at + mtime.offset, at + mtimensec.offset, modified);
  putTime(view, at + ctime.offset, at + ctimensec.offset, changed);
  view.setUint32(at + mode.offset, bits, true);
  view.setUint32(at + nlink.offset, Number(stat.nlink ?? 1), true);
  view.setUint32(at + uid.offset, Number(stat.uid ?? defaults.uid), true);
  view.setUint32(at + gid.offset, Number(stat.gid ?? defaults.gid), true);
  view.setUint32(at + rdev.offset, Number(stat.rdev ?? 0), true);
  view.setUint32(at + blksize.offset, Number(stat.blksize ?? 4096), true);
  view.setUint32(at + flags.offset, 0, true);
  return bits;
}

/** The bits of statx(2) for what {@linkcode writeStatx} writes. */
const STATX_BASIC_STATS = 0x7ff;
const STATX_BTIME = 0x800;

/** Writes a `struct fuse_statx` at byte `at`: see {@linkcode writeAttr}. */
export function writeStatx(
  view: DataView,
  at: number,
  stat: Stat,
  number: number,
  defaults: StatDefaults,
): void {
  for (let i = 0; i < 256; i += 4) view.setUint32(at + i, 0, true);
  const { birthtime } = stat;
  const born = birthtime !== undefined && birthtime !== null;
  const bytes = count("size", stat.size, 0);
  const s = fuse_statx;
  const mask = STATX_BASIC_STATS | (born ? STATX_BTIME : 0);
  s.mask.set(view, at, mask);
  s.blksize.set(view, at, Number(stat.blksize ?? 4096));
  s.nlink.set(view, at, Number(stat.nlink ?? 1));
  s.uid.set(view, at, Number(stat.uid ?? defaults.uid));
  s.gid.set(view, at, Number(stat.gid ?? defaults.gid));
  s.mode.set(view, at, modeOf(stat));
  s.ino.set(view, at, count("ino", stat.ino, number));
  s.size.set(view, at, bytes);
  const units = Math.ceil(Number(bytes) / 512);
  s.blocks.set(view, at, count("blocks", stat.blocks, units));
  const modified = stat.mtime ?? defaults.time;
  const time = (offset: number, value: Time) =>
    putTime(view, at + offset, at + offset + 8, value);
  time(s.atime.offset, stat.atime ?? modified);
  time(s.mtime.offset, modified);
  time(s.ctime.offset, stat.ctime ?? modified);
  if (born) time(s.btime.offset, birthtime);
  // The protocol's rdev has the low 8 bits of the minor, then the major.
  const device = Number(stat.rdev ?? 0);
  s.rdev_major.set(view, at, device >>> 8 & 0xfff);
  s.rdev_minor.set(view, at, device & 0xff | device >>> 12 & 0xfff00);
}

/** Writes 64 bits. Most values have 32, which need no division. */
export function put(
  view: DataView,
  at: number,
  value: number | bigint,
): void {
  if (typeof value === "number" && value >>> 0 === value) {
    view.setUint32(at, value, true);
    view.setUint32(at + 4, 0, true);
    return;
  }
  view.setUint32(at, low(value), true);
  view.setUint32(at + 4, high(value), true);
}

/** Nanoseconds in a second. */
const SECOND = 1_000_000_000;
/** One 64-bit word, as a `bigint` and as its two halves. */
const word = new BigInt64Array(1);
const halves = new Int32Array(word.buffer);

/** Writes a time as seconds and nanoseconds. Times before 1970 are negative. */
function putTime(
  view: DataView,
  at: number,
  nanosecondsAt: number,
  time: Time,
): void {
  if (typeof time === "bigint") {
    word[0] = time;
    if (word[0] !== time) return putFarTime(view, at, nanosecondsAt, time);
    // In numbers, which cost a tenth. The quotient may be one off.
    const low = halves[0];
    let seconds = Math.floor((halves[1] * 2 ** 32 + (low >>> 0)) / SECOND);
    let nanoseconds = low - Math.imul(seconds, SECOND) | 0;
    if (nanoseconds < 0) (seconds--, nanoseconds += SECOND);
    else if (nanoseconds >= SECOND) (seconds++, nanoseconds -= SECOND);
    put(view, at, seconds);
    view.setUint32(nanosecondsAt, nanoseconds, true);
    return;
  }
  const ms = time === "now" ? Date.now() : Number(time);
  if (!Number.isFinite(ms)) {
    throw new RangeError(`a time is ${String(time)}. It is finite`);
  }
  const seconds = Math.floor(ms / 1000);
  // A fraction of a millisecond is kept to the microsecond, as far as a number has it.
  const nanoseconds = Math.floor((ms - seconds * 1000) * 1e6);
  put(view, at, seconds);
  view.setUint32(nanosecondsAt, nanoseconds, true);
}

/** Writes a time before 1677 or after 2262. */
function putFarTime(
  view: DataView,
  at: number,
  nanosecondsAt: number,
  time: bigint,
): void {
  const second = BigInt(SECOND);
  const nanoseconds = (time % second + second) % second;
  const seconds = (time - nanoseconds) / second;
  put(view, at, BigInt.asUintN(64, seconds));
  view.setUint32(nanosecondsAt, Number(nanoseconds), true);
}
