/** Small, synchronous operations on files, by descriptor. */

import { AT_EACCESS, AT_EMPTY_PATH, AT_FDCWD } from "./uapi/fcntl.ts";
import { F_GETFL, O_ACCMODE } from "./uapi/fcntl.ts";
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from "./uapi/fcntl.ts";
import { E } from "./uapi/errno.ts";
import { S_IFBLK, S_IFCHR, S_IFMT, statx } from "./uapi/fs.ts";
import { syscall } from "./libc.ts";
import { scratch, scratchCopy } from "./scratch.ts";

/** Opens a path. Returns the descriptor, or `-errno`. */
export function open(path: string, flags: number = O_RDONLY): number {
  const { bytes, at } = scratch();
  const encoded = new TextEncoder().encode(path);
  bytes.set(encoded);
  bytes[encoded.length] = 0;
  return syscall("openat", AT_FDCWD, at, flags | O_CLOEXEC, 0);
}

/** The bits of access(2). */
const [W_OK, R_OK] = [2, 4];

/** Returns whether this process may open a file, by its owner and its mode. */
export function mayOpen(
  path: string,
): { readable: boolean; writable: boolean } {
  const may = (mode: number) => {
    const { bytes, at } = scratch();
    const encoded = new TextEncoder().encode(path);
    bytes.set(encoded);
    bytes[encoded.length] = 0;
    return syscall("faccessat2", AT_FDCWD, at, mode, AT_EACCESS) === 0;
  };
  return { readable: may(R_OK), writable: may(W_OK) };
}

/** Closes a descriptor. */
export function close(fd: number): void {
  syscall("close", fd);
}

/**
 * Returns the number of the inode behind a descriptor; -1n if the descriptor is not
 * open, 0n if the kernel does not say.
 */
export function inodeOf(fd: number): bigint {
  const rc = stat(fd);
  if (rc < 0) return rc === -E.EBADF ? -1n : 0n;
  return BigInt(statx.stx_ino.get(scratch().view, STAT));
}

/** The place of a `struct statx` in the scratch memory, after the empty path. */
const STAT = 8;

/** Calls statx(2) for a descriptor. Returns 0, or `-errno`. */
function stat(fd: number): number {
  const { bytes, at } = scratch();
  bytes[0] = 0; // The empty path.
  return syscall("statx", fd, at, AT_EMPTY_PATH, 0, at + STAT);
}

/**
 * Reads a file of /proc or /sys of up to 64 KiB, without the white space around
 * its text; `undefined` if it cannot be read.
 */
export function readText(path: string): string | undefined {
  const fd = open(path);
  if (fd < 0) return undefined;
  const { bytes, at } = scratch();
  const read = syscall("read", fd, at, bytes.length);
  close(fd);
  if (read < 0) return undefined;
  return new TextDecoder().decode(scratchCopy(0, read)).trim();
}

/** Facts about the file that a descriptor refers to. */
export interface FileFacts {
  /** One of the `S_IF` constants. */
  readonly type: number;
  /** The major and minor number of a device node. */
  readonly device: readonly [major: number, minor: number];
  /** One of O_RDONLY, O_WRONLY, O_RDWR. */
  readonly access: number;
}

/** Returns facts about an open descriptor, or `-errno`. */
export function fileFacts(fd: number): FileFacts | number {
  const rc = stat(fd);
  if (rc < 0) return rc;
  const { view } = scratch();
  const type = statx.stx_mode.get(view, STAT) & S_IFMT;
  const major = statx.stx_rdev_major.get(view, STAT);
  const minor = statx.stx_rdev_minor.get(view, STAT);
  const flags = syscall("fcntl", fd, F_GETFL);
  if (flags < 0) return flags;
  return { type, device: [major, minor], access: flags & O_ACCMODE };
}

/** Returns the folder of a device in /sys; `undefined` for other files. */
export function deviceFolder({ type, device }: FileFacts): string | undefined {
  if (type !== S_IFCHR && type !== S_IFBLK) return undefined;
  const kind = type === S_IFCHR ? "char" : "block";
  return `/sys/dev/${kind}/${device.join(":")}`;
}

/**
 * Returns the kernel's name for the node of a device, such as `nvme0n1` or
 * `bsg/0:0:0:0`; `undefined` where /sys is not mounted.
 */
export function deviceName(folder: string): string | undefined {
  const event = readText(`${folder}/uevent`);
  return event && (/^DEVNAME=(.*)$/m.exec(event)?.[1] ?? "");
}

/** Lists the descriptors of this process; `-errno` where /proc is not mounted. */
export function openDescriptors(): number[] | number {
  const names = listDirectory(
    "/proc/self/fd",
    (name, directory) => name !== String(directory),
  );
  return typeof names === "number" ? names : names.map(Number);
}

/** Lists the names in a directory that pass a test, or returns `-errno`. */
export function listDirectory(
  path: string,
  test: (name: string, directory: number) => boolean,
): string[] | number {
  const directory = open(path, O_DIRECTORY);
  if (directory < 0) return directory;
  const found: string[] = [];
  const { bytes, view, at } = scratch();
  for (;;) {
    const length = syscall("getdents64", directory, at, bytes.length);
    if (length <= 0) break;
    // struct linux_dirent64 has the record's length at 16 and its name at 19.
    for (let base = 0; base < length;) {
      const end = base + view.getUint16(base + 16, true);
      const name = scratchCopy(base + 19, bytes.indexOf(0, base + 19));
      const text = new TextDecoder().decode(name);
      if (!text.startsWith(".") && test(text, directory)) found.push(text);
      base = end;
    }
  }
  close(directory);
  return found;
}
