/** The node-based interface: a filesystem whose files are objects. */

import type { Awaitable } from "./awaitable.ts";
import type { Context } from "./context.ts";
import type { Stat } from "./stat.ts";

/** A file that was found or made: the object, and its attributes. */
export interface Entry<N> {
  /** The file. Two names of one file return the same object. */
  readonly node: N;
  /** The attributes. */
  readonly stat: Stat;
  /** Milliseconds for which the kernel may keep the name. Default: of the mount. */
  readonly ttlMs?: number;
}

/** A file that was made and opened. */
export interface OpenedEntry<N, H> extends Entry<N> {
  /** Any value, which the operations on the open file get. */
  readonly handle?: H;
}

/** A name in a directory. With attributes, `ls -l` needs no further operation. */
export interface Dirent<N = never> {
  /** The name, without slashes. */
  readonly name: string;
  /** The attributes. */
  readonly stat?: Stat;
  /** The file, if `stat` is given. Default: `adopt` makes it. */
  readonly node?: N;
}

/** The names in a directory, without `.` and `..`. */
export type Dirents<N = never> =
  | Iterable<string | Dirent<N>>
  | AsyncIterable<string | Dirent<N>>;

/**
 * The changes that `setattr` is to make. A part that is `undefined` stays. Times are
 * nanoseconds.
 */
export interface Changes {
  /** Permission bits. */
  mode?: number;
  /** The owner. */
  uid?: number;
  /** The group. */
  gid?: number;
  /** Bytes. */
  size?: number;
  /** The time of the last read. */
  atime?: bigint;
  /** The time of the last write. */
  mtime?: bigint;
  /** The time of the last change of attributes. */
  ctime?: bigint;
}

/** Room in a filesystem, for statfs(2). What is missing is 0. */
export interface StatFs {
  /** Units of `frsize` bytes. */
  blocks?: number;
  /** Free units. */
  bfree?: number;
  /** Free units for users without privilege. Default `bfree`. */
  bavail?: number;
  /** Files there can be. */
  files?: number;
  /** Files there can be in addition. */
  ffree?: number;
  /** Bytes good to transfer at once. Default 4096. */
  bsize?: number;
  /** Bytes of a unit. Default `bsize`. */
  frsize?: number;
  /** Bytes of the longest name. Default 255. */
  namelen?: number;
}

/** A range of a file that is locked, or asked about. */
export interface Lock {
  /** `"none"` unlocks. */
  type: "read" | "write" | "none";
  /** The first byte. */
  start: bigint;
  /** The last byte; 2^63 - 1 up to the end of the file. */
  end: bigint;
  /** The process that has it, or wants it. */
  pid: number;
}

/** An operation on locks. */
export interface LockRequest extends Lock {
  /** `"test"` returns a lock in the way; `"wait"` waits for its end. */
  action: "test" | "set" | "wait";
  /** Whose lock it is. */
  owner: bigint;
  /** `true` for flock(2), which locks whole files. */
  flock: boolean;
}

/** An ioctl(2). The kernel has decoded the sizes from its number. */
export interface IoctlRequest {
  /** The number of the command. */
  command: number;
  /** The third argument: an address in the caller, or a number. */
  argument: bigint;
  /** The bytes that the caller gives. */
  input: Uint8Array;
  /** The most bytes that the caller takes. */
  outputSize: number;
}

/** The answer of an ioctl(2): its result, and bytes for the caller. */
export interface IoctlResult {
  /** The result of ioctl(2). Default 0. */
  result?: number;
  /** Bytes for the caller. */
  output?: Uint8Array;
}

/**
 * A filesystem whose files are objects of the program. Each operation returns its
 * value, or a promise of it; it throws, or rejects, with the error. What is missing is
 * answered ENOSYS, or EROFS where it would write and there is no `write`.
 */
export interface NodeFileSystem<N extends object, H = unknown> {
  /** The directory that is mounted. */
  readonly root: N;
  /** Finds a name in a directory. `null`: ENOENT. */
  lookup(
    parent: N,
    name: string,
    ctx: Context<H>,
  ): Awaitable<Entry<N> | null>;
  /** Is told that the kernel no longer knows a file, and has no open file of it. */
  forget?(node: N): void;
  /**
   * Finds a name in a directory that is listed with attributes, as for `ls -l`, if that
   * needs no wait. `null`: the kernel looks it up when it is used.
   */
  peek?(parent: N, name: string): Entry<N> | null;
  /** Returns the file of an entry for which `readdir` gave attributes. */
  adopt?(parent: N, name: string, stat: Stat): N;
  /** Returns a text for messages. */
  pathOf?(node: N): string | null;
  /** `true` if `open` truncates the file for O_TRUNC. Default: `setattr` does. */
  readonly truncatesOnOpen?: boolean;

  /**
   * Files that the kernel is to know at most. It is asked to forget the oldest of those
   * that nothing uses (Linux 6.18). Default: as many as it likes.
   */
  readonly maxNodes?: number;
  /**
   * `true` if the filesystem itself clears set-user-ID bits: in `write`, `setattr`,
   * `open` and `create` where `ctx.clearSetuid` asks for it. It saves the `getxattr`
   * that comes before each write otherwise.
   */
  readonly clearsSetuid?: boolean;
  /**
   * `true` if files have access control lists, as extended attributes that are called
   * `system.posix_acl_access`. The kernel then checks them, with `allowOther` and
   * `defaultPermissions`. Default: it checks the permission bits only.
   */
  readonly hasAcls?: boolean;

  /** Returns the attributes of a file. `null`: ENOENT. */
  getattr(node: N, ctx: Context<H>): Awaitable<Stat | null>;
  /** Changes attributes. Returns those after it, or nothing. */
  setattr?(node: N, changes: Changes, ctx: Context<H>): Awaitable<Stat | void>;
  /** Throws if the caller may not read (4), write (2) or execute (1) it. Not asked with `defaultPermissions`. */
  access?(node: N, mask: number, ctx: Context<H>): Awaitable<void>;
  /** Returns the target of a symbolic link. */
  readlink?(node: N, ctx: Context<H>): Awaitable<string>;
  /** Returns how much room there is. */
  statfs?(node: N, ctx: Context<H>): Awaitable<StatFs>;

  /** Makes a file of any kind but a directory or a link: `mode` has the type. */
  mknod?(
    parent: N,
    name: string,
    mode: number,
    rdev: number,
    ctx: Context<H>,
  ): Awaitable<Entry<N>>;
  /** Makes a directory. */
  mkdir?(
    parent: N,
    name: string,
    mode: number,
    ctx: Context<H>,
  ): Awaitable<Entry<N>>;
  /** Makes a symbolic link with a target. */
  symlink?(
    parent: N,
    name: string,
    target: string,
    ctx: Context<H>,
  ): Awaitable<Entry<N>>;
  /** Gives a file another name. */
  link?(
    node: N,
    parent: N,
    name: string,
    ctx: Context<H>,
  ): Awaitable<Entry<N>>;
  /** Removes a name of a file. */
  unlink?(parent: N, name: string, ctx: Context<H>): Awaitable<void>;
  /** Removes a directory. ENOTEMPTY: it has names. */
  rmdir?(parent: N, name: string, ctx: Context<H>): Awaitable<void>;
  /** `flags`: 1 fails if the new name exists; 2 exchanges the two. */
  rename?(
    parent: N,
    name: string,
    newParent: N,
    newName: string,
    flags: number,
    ctx: Context<H>,
  ): Awaitable<void>;

  /** Makes a file and opens it. */
  create?(
    parent: N,
    name: string,
    mode: number,
    flags: number,
    ctx: Context<H>,
  ): Awaitable<OpenedEntry<N, H>>;
  /** Makes and opens a file without a name, for O_TMPFILE. */
  tmpfile?(
    parent: N,
    mode: number,
    flags: number,
    ctx: Context<H>,
  ): Awaitable<OpenedEntry<N, H>>;
  /** Opens a file. What it returns is `ctx.handle` until `release`. */
  open?(node: N, flags: number, ctx: Context<H>): Awaitable<H | void>;
  /**
   * Returns the descriptor of a regular file, which the kernel then reads, writes and
   * maps itself, in place of `read` and `write`: FUSE_PASSTHROUGH, Linux 6.9, root
   * only. It is asked at the first `open` or `create` of a node, and decides for all
   * until the last `release`. The descriptor may be closed then. `null`: the handlers
   * read and write, as they do where the kernel refuses.
   */
  backing?(node: N, handle: H): number | null;
  /** Puts bytes into `into` and returns their number, or returns bytes. */
  read?(
    node: N,
    into: Uint8Array,
    ctx: Context<H>,
  ): Awaitable<number | Uint8Array>;
  /** Writes bytes, and returns their number if it is fewer. */
  write?(
    node: N,
    data: Uint8Array,
    ctx: Context<H>,
  ): Awaitable<number | void>;
  /** Is called at each close(2), whose error it can be. */
  flush?(node: N, ctx: Context<H>): Awaitable<void>;
  /** Is called after the last close of an open file. */
  release?(node: N, ctx: Context<H>): Awaitable<void>;
  /** Stores a file for good: all of it, or its data only. */
  fsync?(node: N, dataOnly: boolean, ctx: Context<H>): Awaitable<void>;
  /** Reserves room, or makes holes: `mode` has `FALLOC_FL_` bits. */
  fallocate?(
    node: N,
    mode: number,
    offset: number,
    length: number,
    ctx: Context<H>,
  ): Awaitable<void>;
  /** `whence` is 3 (data) or 4 (hole). Returns the offset found. */
  lseek?(
    node: N,
    offset: number,
    whence: number,
    ctx: Context<H>,
  ): Awaitable<number>;
  /** Copies from `ctx.offset` of the open file. Returns the bytes copied. */
  copyFileRange?(
    node: N,
    to: { node: N; offset: number; handle: H },
    length: number,
    ctx: Context<H>,
  ): Awaitable<number>;
  /** Takes, frees or tests a lock. Without it the kernel locks by itself. */
  lock?(node: N, request: LockRequest, ctx: Context<H>): Awaitable<Lock | void>;
  /** Answers an ioctl(2) on an open file. */
  ioctl?(
    node: N,
    request: IoctlRequest,
    ctx: Context<H>,
  ): Awaitable<number | IoctlResult | void>;
  /**
   * Returns the `POLL` bits that are ready. `wake`, if the caller waits, is called
   * once when others may be.
   */
  poll?(
    node: N,
    events: number,
    wake: (() => void) | null,
    ctx: Context<H>,
  ): Awaitable<number>;

  /** Opens a directory. What it returns is `ctx.handle` until `releasedir`. */
  opendir?(node: N, ctx: Context<H>): Awaitable<H | void>;
  /** Returns the names in a directory, best with their attributes. */
  readdir?(node: N, ctx: Context<H>): Awaitable<Dirents<N>>;
  /** Is called after the last close of an open directory. */
  releasedir?(node: N, ctx: Context<H>): Awaitable<void>;
  /** Stores a directory for good. */
  fsyncdir?(node: N, dataOnly: boolean, ctx: Context<H>): Awaitable<void>;

  /** `null`: ENODATA. */
  getxattr?(
    node: N,
    name: string,
    ctx: Context<H>,
  ): Awaitable<Uint8Array | null>;
  /** `flags`: 1 fails if there is one, 2 if there is none. */
  setxattr?(
    node: N,
    name: string,
    value: Uint8Array,
    flags: number,
    ctx: Context<H>,
  ): Awaitable<void>;
  /** Returns the names of extended attributes. */
  listxattr?(node: N, ctx: Context<H>): Awaitable<Iterable<string>>;
  /** Removes an extended attribute. ENODATA: there is none. */
  removexattr?(node: N, name: string, ctx: Context<H>): Awaitable<void>;

  /** Is called before it is mounted. */
  init?(): Awaitable<void>;
  /**
   * Is called when the mount has ended, and if it fails after `init`. The unmounting
   * program waits for it: one that never ends keeps `unmount()` waiting.
   */
  destroy?(): Awaitable<void>;
}
