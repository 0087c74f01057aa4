/**
 * A filesystem that mirrors a directory.
 *
 * A file that the kernel knows has a descriptor of O_PATH here. It stays the file's,
 * whatever renames, replaces or unlinks its names, and no symbolic link is followed:
 * files are opened by `/proc/self/fd`, which leads to the file of the descriptor.
 */

import * as fcntl from "../../sys/uapi/fcntl.ts";
import * as fs from "../../sys/uapi/fs.ts";
import { close, open, readText } from "../../sys/file.ts";
import { syscall } from "../../sys/libc.ts";
import { checkBoolean, checkObject, checkText } from "../../ring/check.ts";
import type { Command } from "../../ring/command.ts";
import { Ring } from "../../ring/ring.ts";
import * as op from "../op.ts";
import * as calls from "./calls.ts";
import type { Context } from "./context.ts";
import { FuseError } from "./errors.ts";
import type { Entry, NodeFileSystem } from "./nodes.ts";
import type { Stat } from "./stat.ts";

/** Options of {@linkcode passthrough}. */
export interface PassthroughOptions {
  /**
   * `false` lets all reads and writes come to the server. Default: the kernel itself
   * reads and writes the files, if it can.
   */
  kernelIo?: boolean;
}

/** A file of the directory. */
class RealFile {
  constructor(
    /** A descriptor of O_PATH. */
    readonly fd: number,
    readonly key: string,
  ) {}

  /** A path that leads to the file, and never to that of a symbolic link. */
  get path(): string {
    return pathOf(this.fd);
  }
}

const pathOf = (fd: number) => `/proc/self/fd/${fd}`;

/** What an open file keeps of the flags of the caller. */
const KEPT = fcntl.O_ACCMODE | fcntl.O_APPEND | fcntl.O_SYNC | fcntl.O_TRUNC;
const [S_ISUID, S_ISGID, S_IXGRP] = [0o4000, 0o2000, 0o10];
/** Bytes that are copied at once, while nothing else is served. */
const MOST_COPIED = 2 ** 24;
/** Operations that may wait for a disk at a time. */
const WORKERS = 8;
const STATUS = fs.STATX_BASIC_STATS | fs.STATX_BTIME | fs.STATX_MNT_ID;

/** The effects of fallocate(2), by the bits that ask for them. */
const EFFECTS: Readonly<Record<number, op.FallocateMode>> = {
  0: "allocate",
  1: "allocateKeepSize",
  3: "punchHole",
  8: "collapseRange",
  16: "zeroRange",
  17: "zeroRangeKeepSize",
  32: "insertRange",
  64: "unshareRange",
};

function statOf(status: op.FileStatus): Stat {
  const { atimeNs: atime, mtimeNs: mtime, ctimeNs: ctime } = status;
  const [major, minor] = status.rdev;
  const rdev = minor & 0xff | major << 8 | (minor & 0xfff00) << 12;
  return { ...status, rdev, atime, mtime, ctime, birthtime: status.btimeNs };
}

/**
 * Returns a filesystem that mirrors a directory, with all that its own filesystem has:
 * links, extended attributes, holes. Operations run on a ring, and not in Deno's
 * threads. As root, on Linux 6.9 and later, the kernel itself reads and writes the
 * files (FUSE_PASSTHROUGH), as fast as it does without the mount.
 *
 * To change what a program sees, spread it and replace some of its methods; `read` and
 * `write` need `kernelIo: false`.
 *
 * A file that the kernel knows takes a descriptor, until the kernel forgets it. Names
 * that are not UTF-8 are not there. Filesystems that are mounted below are left out:
 * EXDEV. Each result can be mounted once.
 *
 * @example A mirror in which names are upper case
 * ```ts ignore
 * import { mount, passthrough } from "@uring/cmd/fuse";
 *
 * const files = passthrough("/srv/data");
 * const upper: typeof files = {
 *   ...files,
 *   lookup: (parent, name, ctx) =>
 *     files.lookup(parent, name.toLowerCase(), ctx),
 * };
 * await using mirror = await mount("/mnt/data", upper, { allowOther: true });
 * await mirror.finished;
 * ```
 */
export function passthrough(
  dir: string,
  options: PassthroughOptions = {},
): NodeFileSystem<object> {
  checkText("dir", dir);
  const { kernelIo = true } = checkObject("options", options);
  checkBoolean("kernelIo", kernelIo);
  /** The files that the kernel knows, by device and inode. */
  const files = new Map<string, RealFile>();
  let ring: Ring | undefined;
  let [mountId, umask] = [0n, 0];
  const ours = { uid: syscall("geteuid"), gid: syscall("getegid") };
  const fd = open(dir, fcntl.O_PATH | fcntl.O_DIRECTORY);
  if (fd < 0) throw new FuseError(-fd, `cannot open ${dir}`);
  const root = new RealFile(fd, "");
  const cmd = <T>(command: Command<T>) => ring!.cmd(command);
  const statusOf = (fd: number) => cmd(op.fstatx(fd, { mask: STATUS }));
  const openPath = (path: string, dirFd?: number) => {
    const flags = fcntl.O_PATH | fcntl.O_NOFOLLOW;
    return cmd(op.openat(path, { dirFd, flags }));
  };
  // Magic links are followed, and nothing else is opened by a path.
  const reopen = (fd: number, flags: number) =>
    cmd(op.openat(pathOf(fd), { flags }));

  /** Returns the file of a descriptor of O_PATH, which it takes. */
  async function enter(
    fd: number,
    prepare?: () => Promise<void>,
  ): Promise<Entry<RealFile>> {
    let used = false;
    try {
      await prepare?.();
      const status = await statusOf(fd);
      if (status.mountId !== mountId) throw new FuseError("EXDEV");
      const key = `${status.dev} ${status.ino}`;
      let node = files.get(key);
      if (node === undefined) {
        files.set(key, node = new RealFile(fd, key));
        used = true;
      }
      return { node, stat: statOf(status) };
    } finally {
      if (!used) close(fd);
    }
  }

  /** Gives a new file to the caller, with the mode that was asked for. */
  async function give(
    fd: number,
    parent: RealFile,
    mode: number,
    { uid, gid }: Context,
  ): Promise<void> {
    const gives = ours.uid === 0 && (uid !== ours.uid || gid !== ours.gid);
    if (gives) {
      const inherits = ((await statusOf(parent.fd)).mode & S_ISGID) !== 0;
      calls.chown(fd, uid, inherits ? -1 : gid);
    }
    const type = mode & fs.S_IFMT;
    const cleared = gives && (mode & (S_ISUID | S_ISGID)) !== 0;
    if (type === fs.S_IFLNK || !cleared && (umask & mode) === 0) return;
    // A new directory may have the bit from its parent.
    const own = type === fs.S_IFDIR ? (await statusOf(fd)).mode & S_ISGID : 0;
    calls.chmod(pathOf(fd), mode & 0o7777 | own);
  }

  /** Returns the file of a name that was made now. */
  async function made(
    parent: RealFile,
    name: string,
    mode: number,
    ctx: Context,
  ): Promise<Entry<RealFile>> {
    const fd = await openPath(name, parent.fd);
    return await enter(fd, () => give(fd, parent, mode, ctx));
  }

  /** Returns the file of a new, open file. */
  async function opened(
    handle: number,
    prepare?: (fd: number) => Promise<void>,
  ) {
    try {
      const fd = await reopen(handle, fcntl.O_PATH);
      const entry = await enter(fd, prepare && (() => prepare(fd)));
      return { ...entry, handle };
    } catch (error) {
      close(handle);
      throw error;
    }
  }

  /** Clears what lets a file run with the rights of its owner, if it has to. */
  async function clear({ fd, path }: RealFile, ctx: Context): Promise<void> {
    if (!ctx.clearSetuid) return;
    const { mode } = await statusOf(fd);
    let cleared = mode & 0o7777 & ~S_ISUID;
    if ((mode & S_IXGRP) !== 0) cleared &= ~S_ISGID;
    if (cleared !== (mode & 0o7777)) calls.chmod(path, cleared);
  }

  const methods: NodeFileSystem<RealFile, number> = {
    root,
    clearsSetuid: true,

    async init() {
      if (ring !== undefined) {
        throw new Error(`${dir} was mirrored before. Make another mirror`);
      }
      ring = Ring.open({ entries: 128, maxWorkers: WORKERS });
      mountId = (await statusOf(root.fd)).mountId;
      const text = readText("/proc/self/status") ?? "";
      umask = parseInt(/^Umask:\s*([0-7]+)/m.exec(text)?.[1] ?? "777", 8);
    },
    async destroy() {
      await ring?.close();
      for (const { fd } of [root, ...files.values()]) close(fd);
      files.clear();
    },
    async lookup(parent, name) {
      try {
        return await enter(await openPath(name, parent.fd));
      } catch (error) {
        if ((error as { code?: string }).code === "ENOENT") return null;
        throw error;
      }
    },
    forget({ fd, key }) {
      files.delete(key);
      close(fd);
    },
    getattr: async ({ fd }) => statOf(await statusOf(fd)),
    async setattr(file, changes, ctx) {
      const { fd, path } = file;
      const { size, uid, gid, mode, atime, mtime } = changes;
      if (size !== undefined) {
        if (ctx.handle === undefined) calls.truncate(path, size);
        else calls.ftruncate(ctx.handle, size);
        await clear(file, ctx);
      }
      if (uid !== undefined || gid !== undefined) {
        calls.chown(fd, uid ?? -1, gid ?? -1);
      }
      if (mode !== undefined) calls.chmod(path, mode);
      if (atime !== undefined || mtime !== undefined) {
        calls.utimes(fd, [atime, mtime]);
      }
      return statOf(await statusOf(fd));
    },
    readlink: ({ fd }) => calls.readlink(fd),
    statfs: ({ fd }) => calls.space(fd),

    async mknod(parent, name, mode, rdev, ctx) {
      calls.mknod(parent.fd, name, mode, rdev);
      return await made(parent, name, mode, ctx);
    },
    async mkdir(parent, name, mode, ctx) {
      await cmd(op.mkdirat(name, { dirFd: parent.fd, mode: mode & 0o7777 }));
      return await made(parent, name, fs.S_IFDIR | mode, ctx);
    },
    async symlink(parent, name, target, ctx) {
      await cmd(op.symlinkat(target, name, { dirFd: parent.fd }));
      return await made(parent, name, fs.S_IFLNK, ctx);
    },
    async link({ path }, parent, name) {
      const to = { toDirFd: parent.fd, followLink: true };
      await cmd(op.linkat(path, name, to));
      return await enter(await openPath(name, parent.fd));
    },
    async unlink(parent, name) {
      await cmd(op.unlinkat(name, { dirFd: parent.fd }));
    },
    async rmdir(parent, name) {
      const options = { dirFd: parent.fd, removeDirectory: true };
      await cmd(op.unlinkat(name, options));
    },
    async rename(from, name, to, newName, flags) {
      if ((flags & ~3) !== 0 || flags === 3) throw new FuseError("EINVAL");
      const [noReplace, exchange] = [(flags & 1) !== 0, (flags & 2) !== 0];
      const dirs = { fromDirFd: from.fd, toDirFd: to.fd };
      await cmd(op.renameat(name, newName, { ...dirs, noReplace, exchange }));
    },

    async create(parent, name, mode, flags, ctx) {
      const dirFd = parent.fd;
      const kept = flags & KEPT | fcntl.O_NOFOLLOW;
      const made = kept | fcntl.O_CREAT | fcntl.O_EXCL;
      try {
        const handle = await cmd(op.openat(name, { dirFd, flags: made, mode }));
        return await opened(
          handle,
          (fd) => give(fd, parent, fs.S_IFREG | mode, ctx),
        );
      } catch (error) {
        const there = (error as { code?: string }).code === "EEXIST";
        if (!there || (flags & fcntl.O_EXCL) !== 0) throw error;
      }
      // Another program has made it meanwhile.
      return await opened(await cmd(op.openat(name, { dirFd, flags: kept })));
    },
    async tmpfile(parent, mode, flags, ctx) {
      const made = flags & (KEPT | fcntl.O_EXCL) | fcntl.O_TMPFILE;
      const handle = await cmd(op.openat(parent.path, { flags: made, mode }));
      return await opened(
        handle,
        (fd) => give(fd, parent, fs.S_IFREG | mode, ctx),
      );
    },
    async open(file, flags, ctx) {
      const handle = await reopen(file.fd, flags & KEPT);
      await clear(file, ctx);
      return handle;
    },
    read: (_, into, { handle, offset }) =>
      cmd(op.read(handle, into, { offset })),
    async write(file, data, ctx) {
      const { handle, offset } = ctx;
      const written = await cmd(op.write(handle, data, { offset }));
      await clear(file, ctx);
      return written;
    },
    release: (_, { handle }) => close(handle),
    async fsync(_, dataOnly, { handle }) {
      await cmd(op.fsync(handle, { dataOnly }));
    },
    async fallocate(_, bits, offset, length, { handle }) {
      const mode = EFFECTS[bits];
      if (mode === undefined) throw new FuseError("EOPNOTSUPP");
      await cmd(op.fallocate(handle, { mode, offset, length }));
    },
    lseek: (_, offset, whence, { handle }) =>
      calls.seek(handle, offset, whence),
    copyFileRange: (_, { handle, offset }, length, ctx) =>
      calls.copyRange(
        { fd: ctx.handle, offset: ctx.offset },
        { fd: handle, offset },
        Math.min(length, MOST_COPIED),
      ),

    opendir: ({ fd }) => reopen(fd, fcntl.O_DIRECTORY),
    readdir: (_, { handle }) =>
      calls.readDirectory(handle).map(({ name, ino, type }) => ({
        name,
        stat: { ino, mode: type },
      })),
    releasedir: (_, { handle }) => close(handle),
    async fsyncdir(_, dataOnly, { handle }) {
      await cmd(op.fsync(handle, { dataOnly }));
    },

    getxattr: ({ path }, name) => cmd(op.getxattr(path, name)),
    async setxattr({ path }, name, value, flags) {
      const only = ([undefined, "create", "replace"] as const)[flags];
      await cmd(op.setxattr(path, name, value, { only }));
    },
    listxattr: ({ path }) => calls.listxattr(path),
    removexattr: ({ path }, name) => calls.removexattr(path, name),
  };
  if (kernelIo) methods.backing = (_, handle) => handle;
  return methods as NodeFileSystem<object>;
}
