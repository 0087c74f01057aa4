/**
 * The files of a directory that is mirrored.
 *
 * A file that the kernel knows has a descriptor of O_PATH here. It stays the file's,
 * whatever renames, replaces or unlinks its names, and no symbolic link is followed:
 * files are opened by `/proc/self/fd`, which leads to the file of the descriptor.
 */

import { E } from "../../sys/uapi/errno.ts";
import * as fcntl from "../../sys/uapi/fcntl.ts";
import * as fs from "../../sys/uapi/fs.ts";
import { close, open, readText } from "../../sys/file.ts";
import { syscall } from "../../sys/libc.ts";
import type { Command } from "../../ring/command.ts";
import { Ring } from "../../ring/ring.ts";
import * as op from "../op.ts";
import { after, type Awaitable, isPromise } from "./awaitable.ts";
import * as calls from "./calls.ts";
import type { Context } from "./context.ts";
import { errnoOf, FuseError } from "./errors.ts";
import type { Entry, OpenedEntry } from "./nodes.ts";
import type { Stat } from "./stat.ts";

/** A file of the directory. */
export class RealFile {
  constructor(
    /** A descriptor of O_PATH. */
    readonly fd: number,
    /** The device and the inode. */
    readonly key: string,
  ) {}

  /** A path that leads to the file, and never to that of a symbolic link. */
  get path(): string {
    return pathOf(this.fd);
  }
}

const pathOf = (fd: number) => `/proc/self/fd/${fd}`;

const [S_ISUID, S_ISGID, S_IXGRP] = [0o4000, 0o2000, 0o10];
const STATUS = fs.STATX_BASIC_STATS | fs.STATX_BTIME | fs.STATX_MNT_ID;
/** Operations that may wait for a disk at a time. */
const WORKERS = 8;

/** Returns attributes as a filesystem has them. */
function statOf(status: op.FileStatus): Stat {
  const { atimeNs: atime, mtimeNs: mtime, ctimeNs: ctime } = status;
  const [major, minor] = status.rdev;
  const rdev = minor & 0xff | major << 8 | (minor & 0xfff00) << 12;
  return { ...status, rdev, atime, mtime, ctime, birthtime: status.btimeNs };
}

/** The files that the kernel knows, and the ring for operations on them. */
export class RealFiles {
  readonly root: RealFile;
  readonly #dir: string;
  /** By their keys, without the root. */
  readonly #files = new Map<string, RealFile>();
  readonly #uid = syscall("geteuid");
  readonly #gid = syscall("getegid");
  #ring: Ring | null = null;
  #mountId = 0n;
  /** The status of a file needs no wait. */
  #local = false;
  /** Permissions that new files do not get. */
  #umask = 0;

  /** @throws {FuseError} if there is no such directory. */
  constructor(dir: string) {
    const fd = open(dir, fcntl.O_PATH | fcntl.O_DIRECTORY);
    if (fd < 0) throw new FuseError(-fd, `cannot open ${dir}`);
    this.#dir = dir;
    this.root = new RealFile(fd, "");
  }

  /** The files that the kernel knows, without the root. */
  get size(): number {
    return this.#files.size;
  }

  /** Opens the ring. */
  async begin(): Promise<void> {
    if (this.#ring !== null) {
      throw new Error(`${this.#dir} was mirrored before. Make another mirror`);
    }
    this.#ring = Ring.open({ entries: 128, maxWorkers: WORKERS });
    const text = readText("/proc/self/status") ?? "";
    const umask = /^Umask:\s*([0-7]+)/m.exec(text)?.[1] ?? "777";
    this.#umask = parseInt(umask, 8);
    this.#local = calls.isLocal(this.root.fd);
    this.#mountId = (await this.#statusOf(this.root.fd)).mountId;
  }

  /** Closes the ring and all descriptors. */
  async end(): Promise<void> {
    await this.#ring?.close();
    for (const { fd } of [this.root, ...this.#files.values()]) close(fd);
    this.#files.clear();
  }

  /** Runs an operation. */
  run<T>(command: Command<T>): Promise<T> {
    return this.#ring!.cmd(command);
  }

  #statusOf(fd: number): Awaitable<op.FileStatus> {
    if (this.#local) return calls.status(fd, STATUS);
    return this.run(op.fstatx(fd, { mask: STATUS }));
  }

  /** Returns the attributes of a file. */
  stat({ fd }: RealFile): Awaitable<Stat> {
    return after(this.#statusOf(fd), statOf);
  }

  /** Opens the file of a descriptor once more. */
  reopen(fd: number, flags: number): Promise<number> {
    return this.run(op.openat(pathOf(fd), { flags }));
  }

  /** Returns a descriptor of O_PATH of a name, or `-errno`. */
  #openPath(parent: RealFile, name: string): Awaitable<number> {
    const fd = calls.openCached(parent.fd, name, fcntl.O_PATH);
    return fd === -E.EAGAIN ? this.#openSlowly(parent, name) : fd;
  }

  async #openSlowly({ fd: dirFd }: RealFile, name: string): Promise<number> {
    const flags = fcntl.O_PATH | fcntl.O_NOFOLLOW;
    let fd = -1;
    try {
      fd = await this.run(op.openat(name, { dirFd, flags }));
      // On the ring: a system call for a file of the mirror itself would never return.
      const { mountId } = await this.run(op.fstatx(fd, { mask: STATUS }));
      if (mountId === this.#mountId) return fd;
      throw new FuseError("EXDEV");
    } catch (error) {
      if (fd >= 0) close(fd);
      return -errnoOf(error) || -E.EIO;
    }
  }

  /**
   * Returns the file of a name; `null` if there is none. It returns no promise where
   * memory knows the name.
   */
  lookup(parent: RealFile, name: string): Awaitable<Entry<RealFile> | null> {
    return after(this.#openPath(parent, name), (fd) => {
      if (fd === -E.ENOENT) return null;
      return this.#enter(calls.checked(fd));
    });
  }

  /** Returns the file of a name, if memory knows it. */
  peek(parent: RealFile, name: string): Entry<RealFile> | null {
    const fd = this.#local
      ? calls.openCached(parent.fd, name, fcntl.O_PATH)
      : -E.EAGAIN;
    if (fd < 0) return null;
    try {
      return this.#known(fd, calls.status(fd, STATUS));
    } catch {
      close(fd);
      return null;
    }
  }

  /** Returns the file of a name that was made now, and gives it to the caller. */
  async made(
    parent: RealFile,
    name: string,
    mode: number,
    ctx: Context,
  ): Promise<Entry<RealFile>> {
    const fd = calls.checked(await this.#openPath(parent, name));
    return await this.#enterNew(fd, this.#give(fd, parent, mode, ctx));
  }

  /**
   * Returns the file of a descriptor that was opened now, and is closed if that fails.
   *
   * @param made The directory and the mode of a file that is new.
   */
  async opened(
    handle: number,
    ctx: Context,
    made?: { parent: RealFile; mode: number },
  ): Promise<OpenedEntry<RealFile, number>> {
    try {
      const fd = await this.reopen(handle, fcntl.O_PATH);
      const given = made &&
        this.#give(fd, made.parent, fs.S_IFREG | made.mode, ctx);
      const entry = await this.#enterNew(fd, given);
      if (made === undefined) await this.clear(entry.node, ctx);
      return { ...entry, handle };
    } catch (error) {
      close(handle);
      throw error;
    }
  }

  /** Returns the file of a descriptor that is another's, after a change of it. */
  async #enterNew(
    fd: number,
    changed?: Promise<void>,
  ): Promise<Entry<RealFile>> {
    try {
      await changed;
    } catch (error) {
      close(fd);
      throw error;
    }
    return await this.#enter(fd);
  }

  /** Returns the file of a descriptor of O_PATH, which it takes. */
  #enter(fd: number): Awaitable<Entry<RealFile>> {
    const failed = (error: unknown) => {
      close(fd);
      throw error;
    };
    try {
      const status = this.#statusOf(fd);
      return isPromise(status)
        ? status.then((status) => this.#known(fd, status)).then(null, failed)
        : this.#known(fd, status);
    } catch (error) {
      return failed(error);
    }
  }

  #known(fd: number, status: op.FileStatus): Entry<RealFile> {
    // Another filesystem has inodes of the same numbers, and may be the mirror.
    if (status.mountId !== this.#mountId) throw new FuseError("EXDEV");
    const key = `${status.dev} ${status.ino}`;
    let node = this.#files.get(key);
    if (node === undefined) {
      this.#files.set(key, node = new RealFile(fd, key));
    } else close(fd);
    return { node, stat: statOf(status) };
  }

  /** Gives a new file to the caller, with the mode that was asked for. */
  async #give(
    fd: number,
    parent: RealFile,
    mode: number,
    { uid, gid }: Context,
  ): Promise<void> {
    const gives = this.#uid === 0 && (uid !== 0 || gid !== this.#gid);
    if (gives) {
      const { mode } = await this.#statusOf(parent.fd);
      calls.chown(fd, uid, (mode & S_ISGID) !== 0 ? -1 : gid);
    }
    const type = mode & fs.S_IFMT;
    const cleared = gives && (mode & (S_ISUID | S_ISGID)) !== 0;
    const masked = (this.#umask & mode) !== 0;
    if (type === fs.S_IFLNK || !cleared && !masked) return;
    // Where the directory says what its files permit, nothing was masked.
    const inherits = calls.hasDefaultAcl(parent.path);
    if (inherits && !cleared) return;
    const made = (await this.#statusOf(fd)).mode;
    // A new directory may have the bit from its parent.
    const own = type === fs.S_IFDIR ? made & S_ISGID : 0;
    const permissions = (inherits ? made : mode) & 0o777;
    calls.chmod(pathOf(fd), mode & 0o7000 | permissions | own);
  }

  /** Clears what lets a file run with the rights of its owner, if it has to. */
  async clear({ fd, path }: RealFile, ctx: Context): Promise<void> {
    if (!ctx.clearSetuid) return;
    const mode = (await this.#statusOf(fd)).mode & 0o7777;
    const group = (mode & S_IXGRP) !== 0 ? S_ISGID : 0;
    const cleared = mode & ~(S_ISUID | group);
    if (cleared !== mode) calls.chmod(path, cleared);
  }

  /** Closes the descriptor of a file that the kernel has forgotten. */
  forget({ fd, key }: RealFile): void {
    this.#files.delete(key);
    close(fd);
  }
}
