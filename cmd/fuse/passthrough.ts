/** A filesystem that mirrors a directory. */

import * as fcntl from "../../sys/uapi/fcntl.ts";
import * as fs from "../../sys/uapi/fs.ts";
import { close, readText } from "../../sys/file.ts";
import {
  checkBoolean,
  checkInteger,
  checkObject,
  checkText,
} from "../../ring/check.ts";
import type { Command } from "../../ring/command.ts";
import * as op from "../op.ts";
import * as calls from "./calls.ts";
import { FuseError } from "./errors.ts";
import type { NodeFileSystem } from "./nodes.ts";
import { type RealFile, RealFiles } from "./real_files.ts";

/** Options of {@linkcode passthrough}. */
export interface PassthroughOptions {
  /**
   * `false` lets all reads and writes come to the server. Default: the kernel itself
   * reads and writes the files, if it can.
   */
  kernelIo?: boolean;
  /**
   * The most files that the kernel is to know. Each takes a descriptor. When there are
   * more, the kernel is asked to forget some that nothing uses (Linux 6.18). Default:
   * half of the descriptors that the process may have.
   */
  maxFiles?: number;
}

const codeOf = (error: unknown) => (error as { code?: string }).code;

/** The flags of the caller that an open file keeps. */
const KEPT = fcntl.O_ACCMODE | fcntl.O_APPEND | fcntl.O_SYNC | fcntl.O_TRUNC;
/** Returns half of the descriptors that this process may have. */
function half(): number {
  const limits = readText("/proc/self/limits") ?? "";
  const soft = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? 1024);
  return Math.max(soft >> 1, 1);
}

/** Bytes that are copied at once, while nothing else is served. */
const MOST_COPIED = 2 ** 24;
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

/**
 * Returns a filesystem that mirrors a directory, with all that its own filesystem has:
 * links, extended attributes, holes. What may wait for a disk runs on a ring, and not
 * in Deno's threads. As root, on Linux 6.9 and later, the kernel itself reads and
 * writes the files (FUSE_PASSTHROUGH), which takes up to a tenth longer than without
 * the mount, unless they are on overlayfs.
 *
 * To change what a program sees, spread it and replace some of its methods; `read` and
 * `write` need `kernelIo: false`.
 *
 * Names that are not UTF-8 are not there. Filesystems that are mounted below are left
 * out: EXDEV. Each result can be mounted once.
 *
 * @example A mirror that prints who opens files
 * ```ts ignore
 * import { mount, passthrough } from "@uring/cmd/fuse";
 *
 * const files = passthrough("/srv/data");
 * const watched: typeof files = {
 *   ...files,
 *   open(node, flags, ctx) {
 *     console.log(`process ${ctx.pid} opens a file`);
 *     return files.open!(node, flags, ctx);
 *   },
 * };
 * await using mirror = await mount("/mnt/data", watched, { allowOther: true });
 * await mirror.finished;
 * ```
 */
export function passthrough(
  dir: string,
  options: PassthroughOptions = {},
): NodeFileSystem<object> {
  checkText("dir", dir);
  const { kernelIo = true, maxFiles } = checkObject("options", options);
  checkBoolean("kernelIo", kernelIo);
  const maxNodes = maxFiles ?? half();
  checkInteger("maxFiles", maxNodes, 1, 2 ** 31 - 1);
  const files = new RealFiles(dir);
  const cmd = <T>(command: Command<T>) => files.run(command);

  const methods: NodeFileSystem<RealFile, number> = {
    root: files.root,
    maxNodes,
    clearsSetuid: true,
    hasAcls: true,

    init: () => files.begin(),
    destroy: () => files.end(),
    lookup: (parent, name) => files.lookup(parent, name),
    // A listing leaves the last descriptors to files that are used.
    peek: (parent, name) =>
      files.size < maxNodes ? files.peek(parent, name) : null,
    forget: (file) => files.forget(file),
    getattr: (file) => files.stat(file),
    async setattr(file, changes, ctx) {
      const { fd, path } = file;
      const { size, uid, gid, mode, atime, mtime } = changes;
      if (size !== undefined) {
        calls.truncate(path, size, ctx.handle);
      }
      if (uid !== undefined || gid !== undefined) {
        calls.chown(fd, uid ?? -1, gid ?? -1);
      }
      await files.clear(file, ctx);
      if (mode !== undefined) calls.chmod(path, mode);
      if (atime !== undefined || mtime !== undefined) {
        calls.utimes(fd, [atime, mtime]);
      }
      return await files.stat(file);
    },
    readlink: ({ fd }) => calls.readlink(fd),
    statfs: ({ fd }) => calls.space(fd),

    async mknod(parent, name, mode, rdev, ctx) {
      calls.mknod(parent.fd, name, mode, rdev);
      return await files.made(parent, name, mode, ctx);
    },
    async mkdir(parent, name, mode, ctx) {
      await cmd(op.mkdirat(name, { dirFd: parent.fd, mode: mode & 0o7777 }));
      return await files.made(parent, name, fs.S_IFDIR | mode, ctx);
    },
    async symlink(parent, name, target, ctx) {
      await cmd(op.symlinkat(target, name, { dirFd: parent.fd }));
      return await files.made(parent, name, fs.S_IFLNK, ctx);
    },
    async link({ path }, parent, name) {
      const to = { toDirFd: parent.fd, followLink: true };
      await cmd(op.linkat(path, name, to));
      const entry = await files.lookup(parent, name);
      if (entry === null) throw new FuseError("ENOENT");
      return entry;
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
      let fd;
      try {
        fd = await cmd(op.openat(name, { dirFd, flags: made, mode }));
      } catch (error) {
        const there = codeOf(error) === "EEXIST";
        if (!there || (flags & fcntl.O_EXCL) !== 0) throw error;
        // Another program has made it meanwhile.
        const flagsOfIt = { dirFd, flags: kept };
        return await files.opened(await cmd(op.openat(name, flagsOfIt)), ctx);
      }
      return await files.opened(fd, ctx, { parent, mode });
    },
    async tmpfile(parent, mode, flags, ctx) {
      const made = flags & (KEPT | fcntl.O_EXCL) | fcntl.O_TMPFILE;
      const fd = await cmd(op.openat(parent.path, { flags: made, mode }));
      return await files.opened(fd, ctx, { parent, mode });
    },
    async open(file, flags, ctx) {
      const handle = await files.reopen(file.fd, flags & KEPT);
      await files.clear(file, ctx);
      return handle;
    },
    read: (_, into, { handle, offset }) =>
      cmd(op.read(handle, into, { offset })),
    async write(file, data, ctx) {
      const { handle, offset } = ctx;
      const written = await cmd(op.write(handle, data, { offset }));
      await files.clear(file, ctx);
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

    opendir: ({ fd }) => files.reopen(fd, fcntl.O_DIRECTORY),
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
