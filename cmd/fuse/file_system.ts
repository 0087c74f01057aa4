/** The path-based interface: a filesystem as functions of paths. */

import type { Awaitable } from "./awaitable.ts";
import type { Context } from "./context.ts";
import type { Dirents, IoctlRequest, IoctlResult } from "./nodes.ts";
import type { Lock, LockRequest, StatFs } from "./nodes.ts";
import type { Stat } from "./stat.ts";

/**
 * A filesystem, with names and arguments as in libfuse and `fuse-native`. Each method
 * returns its value or a promise of it; it throws, or rejects, with the error.
 *
 * A path begins with a slash. That of a file which was unlinked while it is open is
 * `""`: use `ctx.handle`. Without `open`, such a file is renamed until it is closed.
 *
 * What is missing is answered ENOSYS, or EROFS where it would write and there is no
 * `write`. All may be missing but `getattr`.
 */
export interface FileSystem<H = unknown> {
  /** Returns the attributes of a file. `null`: ENOENT. */
  getattr(path: string, ctx: Context<H>): Awaitable<Stat | null>;
  /** Returns the names in a directory, best with their attributes. */
  readdir?(path: string, ctx: Context<H>): Awaitable<Dirents>;
  /** Opens a file. What it returns is `ctx.handle` until `release`. */
  open?(path: string, flags: number, ctx: Context<H>): Awaitable<H | void>;
  /** Makes a file and opens it. */
  create?(
    path: string,
    mode: number,
    flags: number,
    ctx: Context<H>,
  ): Awaitable<H | void>;
  /**
   * Reads from `ctx.offset` on. Puts bytes into `into` and returns their number, or
   * returns bytes. Fewer than `into.length` mean the end of the file. `into` is memory
   * of the reply: it is somebody else's as soon as the method has answered.
   */
  read?(
    path: string,
    into: Uint8Array,
    ctx: Context<H>,
  ): Awaitable<number | Uint8Array>;
  /**
   * Writes at `ctx.offset`. Returns the number of bytes if they are fewer. `data` is
   * memory of the request: copy what you keep.
   */
  write?(
    path: string,
    data: Uint8Array,
    ctx: Context<H>,
  ): Awaitable<number | void>;
  /** Is called at each close(2), whose error it can be. */
  flush?(path: string, ctx: Context<H>): Awaitable<void>;
  /** Is called after the last close of an open file. */
  release?(path: string, ctx: Context<H>): Awaitable<void>;
  /** Stores a file for good: all of it, or its data only. */
  fsync?(path: string, dataOnly: boolean, ctx: Context<H>): Awaitable<void>;
  /** Sets the size of a file. */
  truncate?(path: string, size: number, ctx: Context<H>): Awaitable<void>;
  /** Reserves room, or makes holes: `mode` has `FALLOC_FL_` bits. */
  fallocate?(
    path: string,
    mode: number,
    offset: number,
    length: number,
    ctx: Context<H>,
  ): Awaitable<void>;
  /** `whence` is 3 (data) or 4 (hole). Returns the offset found. */
  lseek?(
    path: string,
    offset: number,
    whence: number,
    ctx: Context<H>,
  ): Awaitable<number>;
  /** Copies from `ctx.offset`. Returns the bytes copied. */
  copyFileRange?(
    path: string,
    to: { path: string; offset: number; handle: H },
    length: number,
    ctx: Context<H>,
  ): Awaitable<number>;
  /** Takes, frees or tests a lock. Without it the kernel locks by itself. */
  lock?(
    path: string,
    request: LockRequest,
    ctx: Context<H>,
  ): Awaitable<Lock | void>;
  /** Answers an ioctl(2) on an open file. */
  ioctl?(
    path: string,
    request: IoctlRequest,
    ctx: Context<H>,
  ): Awaitable<number | IoctlResult | void>;
  /** Returns the `POLL` bits that are ready: see `NodeFileSystem.poll`. */
  poll?(
    path: string,
    events: number,
    wake: (() => void) | null,
    ctx: Context<H>,
  ): Awaitable<number>;

  /** Opens a directory. What it returns is `ctx.handle` until `releasedir`. */
  opendir?(path: string, ctx: Context<H>): Awaitable<H | void>;
  /** Is called after the last close of an open directory. */
  releasedir?(path: string, ctx: Context<H>): Awaitable<void>;
  /** Stores a directory for good. */
  fsyncdir?(path: string, dataOnly: boolean, ctx: Context<H>): Awaitable<void>;

  /** Makes a directory. */
  mkdir?(path: string, mode: number, ctx: Context<H>): Awaitable<void>;
  /** Makes a file of any kind but a directory or a link: `mode` has the type. */
  mknod?(
    path: string,
    mode: number,
    rdev: number,
    ctx: Context<H>,
  ): Awaitable<void>;
  /** Removes a name of a file. */
  unlink?(path: string, ctx: Context<H>): Awaitable<void>;
  /** Removes a directory. ENOTEMPTY: it has names. */
  rmdir?(path: string, ctx: Context<H>): Awaitable<void>;
  /** Makes a symbolic link with a target. */
  symlink?(target: string, path: string, ctx: Context<H>): Awaitable<void>;
  /** Returns the target of a symbolic link. */
  readlink?(path: string, ctx: Context<H>): Awaitable<string>;
  /** Gives a file another name. */
  link?(from: string, to: string, ctx: Context<H>): Awaitable<void>;
  /**
   * Renames a file, and replaces what has the new name. `flags` 2 asks to exchange the
   * two, and is refused for a method that takes no `flags`.
   */
  rename?(
    from: string,
    to: string,
    flags: number,
    ctx: Context<H>,
  ): Awaitable<void>;

  /** Sets times, in nanoseconds since 1970. What is `undefined` stays. */
  utimens?(
    path: string,
    times: { atime?: bigint; mtime?: bigint },
    ctx: Context<H>,
  ): Awaitable<void>;
  /** Sets permission bits. */
  chmod?(path: string, mode: number, ctx: Context<H>): Awaitable<void>;
  /** Sets owner and group. What is -1 stays. */
  chown?(
    path: string,
    uid: number,
    gid: number,
    ctx: Context<H>,
  ): Awaitable<void>;
  /** Throws if the caller may not read (4), write (2) or execute (1) it. Not asked with `defaultPermissions`. */
  access?(path: string, mask: number, ctx: Context<H>): Awaitable<void>;
  /** Returns how much room there is. */
  statfs?(path: string, ctx: Context<H>): Awaitable<StatFs>;

  /** Returns an extended attribute. `null`: ENODATA. */
  getxattr?(
    path: string,
    name: string,
    ctx: Context<H>,
  ): Awaitable<Uint8Array | null>;
  /** `flags`: 1 fails if there is one, 2 if there is none. */
  setxattr?(
    path: string,
    name: string,
    value: Uint8Array,
    flags: number,
    ctx: Context<H>,
  ): Awaitable<void>;
  /** Returns the names of extended attributes. */
  listxattr?(path: string, ctx: Context<H>): Awaitable<Iterable<string>>;
  /** Removes an extended attribute. ENODATA: there is none. */
  removexattr?(path: string, name: string, ctx: Context<H>): Awaitable<void>;

  /** Is called before it is mounted. */
  init?(): Awaitable<void>;
  /**
   * Is called when the mount has ended, and if it fails after `init`. The unmounting
   * program waits for it: one that never ends keeps `unmount()` waiting.
   */
  destroy?(): Awaitable<void>;
}
