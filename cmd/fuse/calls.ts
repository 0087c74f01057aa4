/**
 * System calls on files for which io_uring has no operation. They are made in this
 * thread, and return at once where files are local.
 */

import { E } from "../../sys/uapi/errno.ts";
import { AT_EMPTY_PATH, O_CLOEXEC, O_NOFOLLOW } from "../../sys/uapi/fcntl.ts";
import { open_how, RESOLVE_CACHED } from "../../sys/uapi/openat2.ts";
import { RESOLVE_NO_XDEV } from "../../sys/uapi/openat2.ts";
import { statfs } from "../../sys/uapi/statfs.ts";
import type { SyscallNumbers } from "../../sys/uapi/unistd.ts";
import { lseek, syscall } from "../../sys/libc.ts";
import { scratch, scratchCopy } from "../../sys/scratch.ts";
import { sizeof } from "../../sys/struct.ts";
import { type FileStatus, statusAt } from "../statx.ts";
import { errnoOf, FuseError } from "./errors.ts";
import { decodeName } from "./names.ts";
import type { StatFs } from "./nodes.ts";

const encoder = new TextEncoder();

/** The scratch memory from here on is for results. */
const RESULT = 0x4000;
const RESULT_BYTES = 0xc000;

/** Returns the result of a system call, and throws if the call has failed. */
export function checked(rc: number): number {
  if (rc < 0) throw new FuseError(-rc);
  return rc;
}

/** Makes a system call. A text stands for its address. */
function call(
  name: keyof SyscallNumbers,
  ...args: (number | string)[]
): number {
  const { bytes, at } = scratch();
  let next = 0;
  const words = args.map((arg) => {
    if (typeof arg === "number") return arg;
    const start = next;
    next += encoder.encodeInto(arg, bytes.subarray(start)).written;
    bytes[next++] = 0;
    return at + start;
  });
  return checked(syscall(name, ...words));
}

/** Returns the address of the memory for results. */
const result = () => scratch().at + RESULT;

/**
 * Opens a name in a directory, without following links, as far as memory knows it.
 * Returns the descriptor, or `-errno`: EAGAIN if the disk has to be asked, EXDEV for
 * the root of another mount.
 */
export function openCached(dirFd: number, name: string, flags: number): number {
  const { bytes, view, at } = scratch();
  const { written } = encoder.encodeInto(name, bytes);
  bytes[written] = 0;
  open_how.flags.set(view, RESULT, flags | O_CLOEXEC | O_NOFOLLOW);
  open_how.mode.set(view, RESULT, 0);
  const resolve = RESOLVE_CACHED | RESOLVE_NO_XDEV;
  open_how.resolve.set(view, RESULT, resolve);
  return syscall("openat2", dirFd, at, result(), sizeof(open_how));
}

/** Returns the status of a descriptor's file. */
export function status(fd: number, mask: number): FileStatus {
  call("statx", fd, "", AT_EMPTY_PATH, mask, result());
  return statusAt(scratch().view, RESULT);
}

/** Types of filesystems whose inodes, once opened, are in memory: <linux/magic.h>. */
const LOCAL = [
  ...[0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994], // ext4, XFS, btrfs, tmpfs
  ...[0x794c_7630, 0xf2f5_2010, 0xca45_1a4e], // overlayfs, F2FS, bcachefs
];

/** Returns `true` if the status of a file of a filesystem needs no wait. */
export function isLocal(fd: number): boolean {
  call("fstatfs", fd, result());
  return LOCAL.includes(Number(statfs.f_type.get(scratch().view, RESULT)));
}

/** Changes the permissions of a file at a path. */
export function chmod(path: string, mode: number): void {
  call("fchmodat", -1, path, mode);
}

/** Changes owner and group of a descriptor's file; -1 leaves them. */
export function chown(fd: number, uid: number, gid: number): void {
  call("fchownat", fd, "", uid, gid, AT_EMPTY_PATH);
}

/** Nanoseconds that leave a time as it is: <linux/stat.h>. */
const UTIME_OMIT = 0x3fff_fffe;
const SECOND = 1_000_000_000n;

/** Changes the times of a descriptor's file, in nanoseconds. */
export function utimes(
  fd: number,
  times: readonly (bigint | undefined)[],
): void {
  const { view } = scratch();
  times.forEach((time = -1n, i) => {
    const rest = (time % SECOND + SECOND) % SECOND;
    const omit = times[i] === undefined;
    const at = RESULT + 16 * i;
    view.setBigInt64(at, omit ? 0n : (time - rest) / SECOND, true);
    view.setBigInt64(at + 8, omit ? BigInt(UTIME_OMIT) : rest, true);
  });
  call("utimensat", fd, "", result(), AT_EMPTY_PATH);
}

/**
 * Sets the size of a file at a path. The operation of io_uring needs Linux 6.9.
 *
 * @param fd The descriptor of the file that is open, if one is: it may be writable where
 * the path is not.
 */
export function truncate(path: string, size: number, fd = -1): void {
  if (fd < 0 || syscall("ftruncate", fd, size) < 0) {
    call("truncate", path, size);
  }
}

/** Makes a node. `rdev` is as the kernel's protocol has it. */
export function mknod(
  dirFd: number,
  name: string,
  mode: number,
  rdev: number,
): void {
  call("mknodat", dirFd, name, mode, rdev);
}

/** Returns the target of a descriptor's symbolic link. */
export function readlink(fd: number): string {
  const length = call("readlinkat", fd, "", result(), RESULT_BYTES);
  return decodeName(scratchCopy(RESULT, RESULT + length));
}

/** Returns the names of a file's extended attributes. */
export function listxattr(path: string): string[] {
  const length = call("listxattr", path, result(), RESULT_BYTES);
  const names = decodeName(scratchCopy(RESULT, RESULT + length));
  return names.split("\0").slice(0, -1);
}

/** Returns `true` if a directory has an access control list for its new files. */
export function hasDefaultAcl(path: string): boolean {
  try {
    return listxattr(path).includes("system.posix_acl_default");
  } catch (error) {
    // Rather too little is permitted than too much.
    return errnoOf(error) !== E.EOPNOTSUPP;
  }
}

/** Removes an extended attribute. */
export function removexattr(path: string, name: string): void {
  call("removexattr", path, name);
}

/** Finds data (3) or a hole (4) from an offset on. */
export function seek(fd: number, offset: number, whence: number): number {
  return checked(lseek(fd, offset, whence));
}

/** Copies bytes from a file to another. Returns their number. */
export function copyRange(
  from: { fd: number; offset: number },
  to: { fd: number; offset: number },
  length: number,
): number {
  const { view } = scratch();
  view.setBigInt64(RESULT, BigInt(from.offset), true);
  view.setBigInt64(RESULT + 8, BigInt(to.offset), true);
  const [input, output] = [result(), result() + 8];
  return call("copy_file_range", from.fd, input, to.fd, output, length, 0);
}

type Room =
  | "f_blocks"
  | "f_bfree"
  | "f_bavail"
  | "f_files"
  | "f_ffree"
  | "f_bsize"
  | "f_frsize"
  | "f_namelen";

/** Returns the room of the filesystem of a descriptor. */
export function space(fd: number): StatFs {
  call("fstatfs", fd, result());
  const { view } = scratch();
  const field = (name: Room) => Number(statfs[name].get(view, RESULT));
  return {
    blocks: field("f_blocks"),
    bfree: field("f_bfree"),
    bavail: field("f_bavail"),
    files: field("f_files"),
    ffree: field("f_ffree"),
    bsize: field("f_bsize"),
    frsize: field("f_frsize"),
    namelen: field("f_namelen"),
  };
}

// Of `struct linux_dirent64`, which no header of the kernel has for programs.
const DIRENT = { reclen: 16, type: 18, name: 19 };

/** An entry of a directory, with what the directory itself says of its file. */
export interface RawDirent {
  readonly name: string;
  readonly ino: bigint;
  /** The type bits of its mode; 0 if the filesystem does not say. */
  readonly type: number;
}

/** Returns the entries of an open directory whose names are UTF-8. */
export function readDirectory(fd: number): RawDirent[] {
  checked(lseek(fd, 0, 0));
  const found: RawDirent[] = [];
  const { bytes, view } = scratch();
  for (;;) {
    const end = RESULT +
      call("getdents64", fd, result(), RESULT_BYTES);
    if (end === RESULT) return found;
    for (let at = RESULT; at < end;) {
      const ino = view.getBigUint64(at, true);
      const type = bytes[at + DIRENT.type] << 12;
      const start = at + DIRENT.name;
      try {
        const name = scratchCopy(start, bytes.indexOf(0, start));
        found.push({ name: decodeName(name), ino, type });
      } catch {
        // A request for it would be refused as well.
      }
      at += view.getUint16(at + DIRENT.reclen, true);
    }
  }
}
