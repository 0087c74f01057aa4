/** A filesystem in memory. */

import type { Context } from "./context.ts";
import { FuseError } from "./errors.ts";
import { shortName } from "./names.ts";
import type { Dirent, NodeFileSystem } from "./nodes.ts";
import type { Time } from "./stat.ts";

const [DIRECTORY, LINK, SETGID] = [0o040000, 0o120000, 0o2000];
let inodes = 0;
const NOTHING = new Uint8Array(0);
const NONE = new Map<string, MemoryFile>();

/** A file in memory. Its fields are its attributes. */
class MemoryFile {
  readonly ino = ++inodes;
  nlink = 1;
  size = 0;
  rdev = 0;
  uid: number | undefined;
  gid: number | undefined;
  atime: Time = Date.now();
  mtime = this.atime;
  ctime = this.atime;
  data = NOTHING;
  target = "";
  /** Empty for all but directories. */
  readonly names: Map<string, MemoryFile>;
  /** Made when it is used. */
  xattrs: Map<string, Uint8Array> | null = null;
  constructor(public mode: number) {
    this.names = this.isDirectory ? new Map() : NONE;
  }

  get isDirectory(): boolean {
    return (this.mode & 0o170000) === DIRECTORY;
  }

  changed(): void {
    this.mtime = this.ctime = Date.now();
  }
}

/**
 * Returns an empty filesystem in memory, with what tmpfs has: links, extended
 * attributes, files that are open and unlinked; but no access control lists. It lives
 * as long as the program.
 *
 * @param options `maxBytes` limits its files, by default to 1 GiB.
 */
export function memory(
  { maxBytes = 2 ** 30 }: { maxBytes?: number } = {},
): NodeFileSystem<object> {
  let used = 0;
  const root = new MemoryFile(DIRECTORY | 0o755);
  root.nlink = 2;

  function resize(file: MemoryFile, size: number): void {
    if (size > file.data.length) {
      const most = maxBytes - used + file.data.length;
      if (size > most) throw new FuseError("ENOSPC");
      const more = Math.min(2 * file.data.length, size + 2 ** 24);
      const room = Math.max(size, Math.min(more, most));
      const data = new Uint8Array(room);
      data.set(file.data.subarray(0, file.size));
      used += room - file.data.length;
      file.data = data;
    }
    if (size < file.size) file.data.fill(0, size, file.size);
    file.size = size;
  }

  function add(parent: MemoryFile, name: string, file: MemoryFile) {
    if (parent.nlink === 0) throw new FuseError("ENOENT");
    parent.names.set(shortName(name), file);
    parent.changed();
    return { node: file, stat: file };
  }

  function make(parent: MemoryFile, name: string, mode: number, ctx: Context) {
    const file = new MemoryFile(mode);
    const inherits = (parent.mode & SETGID) !== 0;
    file.uid = ctx.uid;
    file.gid = inherits ? parent.gid : ctx.gid;
    if (file.isDirectory) {
      file.nlink = 2;
      parent.nlink++;
      if (inherits) file.mode |= SETGID;
    }
    return add(parent, name, file);
  }

  function remove(parent: MemoryFile, name: string): void {
    const file = parent.names.get(name);
    if (file === undefined) throw new FuseError("ENOENT");
    if (file.isDirectory) {
      if (file.names.size > 0) throw new FuseError("ENOTEMPTY");
      parent.nlink--;
      file.nlink = 0;
    } else file.nlink--;
    parent.names.delete(name);
    file.ctime = Date.now();
    parent.changed();
  }

  const methods: NodeFileSystem<MemoryFile> = {
    root,
    truncatesOnOpen: true,
    lookup(parent, name) {
      const node = parent.names.get(shortName(name));
      return node === undefined ? null : { node, stat: node };
    },
    forget(file) {
      if (file.nlink === 0) used -= file.data.length;
    },
    getattr: (file) => file,
    setattr(file, { size, ...rest }) {
      if (size !== undefined && size !== file.size) resize(file, size);
      if (size !== undefined) file.mtime = Date.now();
      if (rest.mode !== undefined) rest.mode |= file.mode & 0o170000;
      file.ctime = Date.now();
      return Object.assign(file, rest);
    },
    readdir(file) {
      const entries: Dirent<MemoryFile>[] = [];
      file.names.forEach((node, name) => {
        entries.push({ name, node, stat: node });
      });
      return entries;
    },
    mknod(parent, name, mode, rdev, ctx) {
      const entry = make(parent, name, mode, ctx);
      entry.node.rdev = rdev;
      return entry;
    },
    create: (parent, name, mode, _, ctx) =>
      make(parent, name, 0o100000 | mode, ctx),
    mkdir: (parent, name, mode, ctx) =>
      make(parent, name, DIRECTORY | mode, ctx),
    symlink(parent, name, target, ctx) {
      const entry = make(parent, name, LINK | 0o777, ctx);
      entry.node.target = target;
      entry.node.size = new TextEncoder().encode(target).length;
      return entry;
    },
    readlink: (file) => file.target,
    link(file, parent, name) {
      const entry = add(parent, name, file);
      file.nlink++;
      file.ctime = Date.now();
      return entry;
    },
    unlink: remove,
    rmdir: remove,
    rename(from, name, to, newName, flags) {
      const file = from.names.get(name);
      const other = to.names.get(shortName(newName));
      if (file === undefined) throw new FuseError("ENOENT");
      if ((flags & ~3) !== 0) throw new FuseError("EINVAL");
      const exchange = (flags & 2) !== 0 && other !== undefined;
      if (other === file) return;
      if (!exchange && other !== undefined) remove(to, newName);
      from.names.delete(name);
      to.names.set(newName, file);
      if (file.isDirectory) (from.nlink--, to.nlink++);
      if (exchange) from.names.set(name, other);
      if (exchange && other.isDirectory) (from.nlink++, to.nlink--);
      file.ctime = Date.now();
      from.changed();
      to.changed();
    },
    open(file, flags) {
      if ((flags & 0o1000) === 0) return; // O_TRUNC
      resize(file, 0);
      file.changed();
    },
    read(file, into, { offset }) {
      const end = Math.min(file.size, offset + into.length);
      if (offset >= end) return 0;
      into.set(file.data.subarray(offset, end));
      return end - offset;
    },
    write(file, data, { offset }) {
      const end = offset + data.length;
      if (end > file.size) resize(file, end);
      file.data.set(data, offset);
      file.changed();
    },
    fallocate(file, mode, offset, length) {
      const end = offset + length;
      if ((mode & ~3) !== 0) throw new FuseError("EOPNOTSUPP");
      if ((mode & 2) !== 0) file.data.fill(0, offset, Math.min(end, file.size));
      else if ((mode & 1) === 0 && end > file.size) resize(file, end);
      file.changed();
    },
    fsync() {},
    fsyncdir() {},
    statfs() {
      const blocks = Math.floor(maxBytes / 4096);
      const bfree = Math.floor((maxBytes - used) / 4096);
      return { blocks, bfree, files: inodes + 2 ** 20, ffree: 2 ** 20 };
    },
    getxattr: (file, name) => file.xattrs?.get(name) ?? null,
    setxattr(file, name, value, flags) {
      // Nobody would check an access control list.
      if (name.startsWith("system.")) throw new FuseError("EOPNOTSUPP");
      const xattrs = file.xattrs ??= new Map();
      const there = xattrs.has(name);
      if (flags === 1 && there) throw new FuseError("EEXIST");
      if (flags === 2 && !there) throw new FuseError("ENODATA");
      xattrs.set(name, value.slice());
      file.ctime = Date.now();
    },
    listxattr: (file) => file.xattrs?.keys() ?? [],
    removexattr(file, name) {
      if (!file.xattrs?.delete(name)) throw new FuseError("ENODATA");
    },
  };
  return methods;
}
