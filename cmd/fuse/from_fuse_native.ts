/** Takes the operations of a program for `fuse-native`, with their callbacks. */

import type { Context } from "./context.ts";
import { FuseError } from "./errors.ts";
import type { FileSystem } from "./file_system.ts";
import type { StatFs } from "./nodes.ts";
import type { Stat } from "./stat.ts";

/** A callback: 0 or an errno, negative as `Fuse.ENOENT` or positive, and the result. */
export type FuseNativeCallback<T = void> = (
  error?: number | null,
  result?: T,
  stats?: Stat[],
) => void;

/**
 * The operations of `fuse-native` 2.2, each with the arguments that it has there.
 * Buffers are Node's.
 */
export interface FuseNativeOperations {
  /** Returns attributes; the times are dates. */
  getattr(path: string, cb: FuseNativeCallback<Stat>): void;
  /** Returns the attributes of an open file. */
  fgetattr?(path: string, fd: number, cb: FuseNativeCallback<Stat>): void;
  /** Is called before it is mounted. */
  init?(cb: FuseNativeCallback): void;
  /** Checks a permission. */
  access?(path: string, mode: number, cb: FuseNativeCallback): void;
  /** Returns how much room there is. */
  statfs?(path: string, cb: FuseNativeCallback<StatFs>): void;
  /** Lists a directory. */
  readdir?(path: string, cb: FuseNativeCallback<string[]>): void;
  /** Sets the size of a file. */
  truncate?(path: string, size: number, cb: FuseNativeCallback): void;
  /** Sets the size of an open file. */
  ftruncate?(
    path: string,
    fd: number,
    size: number,
    cb: FuseNativeCallback,
  ): void;
  /** Sets times, in milliseconds as `fuse-native` gives them. */
  utimens?(
    path: string,
    atime: number,
    mtime: number,
    cb: FuseNativeCallback,
  ): void;
  /** Returns the target of a link. */
  readlink?(path: string, cb: FuseNativeCallback<string>): void;
  /** Sets owner and group. */
  chown?(path: string, uid: number, gid: number, cb: FuseNativeCallback): void;
  /** Sets permission bits. */
  chmod?(path: string, mode: number, cb: FuseNativeCallback): void;
  /** Makes a special file. */
  mknod?(path: string, mode: number, dev: number, cb: FuseNativeCallback): void;
  /** Sets an extended attribute. */
  setxattr?(
    path: string,
    name: string,
    value: Uint8Array,
    position: number,
    flags: number,
    cb: FuseNativeCallback,
  ): void;
  /** Returns an extended attribute; `null` or nothing for none. */
  getxattr?(
    path: string,
    name: string,
    position: number,
    cb: FuseNativeCallback<Uint8Array | null>,
  ): void;
  /** Lists extended attributes. */
  listxattr?(path: string, cb: FuseNativeCallback<string[]>): void;
  /** Removes an extended attribute. */
  removexattr?(path: string, name: string, cb: FuseNativeCallback): void;
  /** Opens a file. */
  open?(path: string, flags: number, cb: FuseNativeCallback<number>): void;
  /** Opens a directory. */
  opendir?(path: string, flags: number, cb: FuseNativeCallback<number>): void;
  /** Reads into a buffer. */
  read?(
    path: string,
    fd: number,
    buffer: Uint8Array,
    length: number,
    position: number,
    cb: (bytes?: number) => void,
  ): void;
  /** Writes a buffer. */
  write?(
    path: string,
    fd: number,
    buffer: Uint8Array,
    length: number,
    position: number,
    cb: (bytes?: number) => void,
  ): void;
  /** Is called at each close(2). */
  flush?(path: string, fd: number, cb: FuseNativeCallback): void;
  /** Stores a file. */
  fsync?(
    path: string,
    datasync: boolean,
    fd: number,
    cb: FuseNativeCallback,
  ): void;
  /** Stores a directory. */
  fsyncdir?(
    path: string,
    datasync: boolean,
    fd: number,
    cb: FuseNativeCallback,
  ): void;
  /** Is called after the last close of a file. */
  release?(path: string, fd: number, cb: FuseNativeCallback): void;
  /** Is called after the last close of a directory. */
  releasedir?(path: string, fd: number, cb: FuseNativeCallback): void;
  /** Makes and opens a file. */
  create?(path: string, mode: number, cb: FuseNativeCallback<number>): void;
  /** Removes a name. */
  unlink?(path: string, cb: FuseNativeCallback): void;
  /** Renames a file. */
  rename?(from: string, to: string, cb: FuseNativeCallback): void;
  /** Makes a hard link. */
  link?(from: string, to: string, cb: FuseNativeCallback): void;
  /** Makes a symbolic link. */
  symlink?(target: string, path: string, cb: FuseNativeCallback): void;
  /** Makes a directory. */
  mkdir?(path: string, mode: number, cb: FuseNativeCallback): void;
  /** Removes a directory. */
  rmdir?(path: string, cb: FuseNativeCallback): void;
}

/** Resolves when a callback is called. */
function called<T>(call: (cb: FuseNativeCallback<T>) => void): Promise<T> {
  return new Promise((resolve, reject) =>
    call((error, result) => {
      if (!error) resolve(result as T);
      else reject(errorOf(error));
    })
  );
}

/** Resolves to a number of bytes. */
function counted(
  call: (cb: (bytes?: number) => void) => void,
): Promise<number> {
  return new Promise((resolve, reject) =>
    call((bytes = 0) => bytes < 0 ? reject(errorOf(bytes)) : resolve(bytes))
  );
}

function errorOf(error: number): Error {
  const errno = Math.abs(error);
  return errno > 0 && errno < 512
    ? new FuseError(errno)
    : new TypeError(`the callback got ${error}, which is no errno`);
}

/** Returns a view as a Buffer, whose methods programs for Node use. */
function bufferOf(bytes: Uint8Array): Uint8Array {
  const { Buffer } = process.getBuiltinModule("node:buffer");
  return Buffer.from(
    bytes.buffer as ArrayBuffer,
    bytes.byteOffset,
    bytes.length,
  );
}

type Ctx = Context<number>;
const fdOf = ({ handle }: Ctx) => handle ?? 0;

/**
 * Makes a filesystem of the operations of a `fuse-native` program, as they stand:
 * `new Fuse(path, ops).mount(cb)` becomes `await mount(path, fromFuseNative(ops))`.
 *
 * @example A directory with one file
 * ```ts
 * import { fromFuseNative } from "@uring/cmd/fuse";
 *
 * const fs = fromFuseNative({
 *   readdir: (path, cb) => cb(0, path === "/" ? ["file"] : []),
 *   getattr: (path, cb) =>
 *     path === "/" ? cb(0, { mode: 0o40755 }) : cb(-2), // Fuse.ENOENT
 * });
 * console.log(typeof fs.getattr); // function
 * ```
 */
export function fromFuseNative(ops: FuseNativeOperations): FileSystem<number> {
  const has = <K extends keyof FuseNativeOperations>(name: K) =>
    ops[name] !== undefined;
  const fs: FileSystem<number> = {
    getattr: (path, ctx) =>
      has("fgetattr") && ctx.handle !== undefined
        ? called((cb) => ops.fgetattr!(path, fdOf(ctx), cb))
        : called((cb) => ops.getattr(path, cb)),
  };
  const set = <K extends keyof FuseNativeOperations>(
    name: K,
    methods: Partial<FileSystem<number>>,
  ) => void (has(name) && Object.assign(fs, methods));
  set("init", { init: () => called((cb) => ops.init!(cb)) });
  set("access", {
    access: (path, mask) => called((cb) => ops.access!(path, mask, cb)),
  });
  set("statfs", { statfs: (path) => called((cb) => ops.statfs!(path, cb)) });
  set("readdir", {
    readdir: (path) =>
      new Promise((resolve, reject) =>
        ops.readdir!(path, (error, names = [], stats) => {
          if (error) return reject(errorOf(error));
          resolve(names.map((name, i) => ({ name, stat: stats?.[i] })));
        })
      ),
  });
  const truncate = (path: string, size: number, ctx: Ctx) =>
    has("ftruncate") && ctx.handle !== undefined
      ? called<void>((cb) => ops.ftruncate!(path, fdOf(ctx), size, cb))
      : called<void>((cb) => ops.truncate!(path, size, cb));
  set("truncate", { truncate });
  set("utimens", {
    async utimens(path, { atime, mtime }, ctx) {
      // It takes both times: the one that stays is read first.
      const old = atime === undefined || mtime === undefined
        ? await fs.getattr(path, ctx)
        : null;
      const ms = (time: bigint | undefined, kept: unknown) =>
        time === undefined ? Number(kept ?? Date.now()) : Number(time) / 1e6;
      const [a, m] = [ms(atime, old?.atime), ms(mtime, old?.mtime)];
      await called<void>((cb) => ops.utimens!(path, a, m, cb));
    },
  });
  set("readlink", {
    readlink: (path) => called((cb) => ops.readlink!(path, cb)),
  });
  set("chown", {
    chown: (path, uid, gid) => called((cb) => ops.chown!(path, uid, gid, cb)),
  });
  set("chmod", {
    chmod: (path, mode) => called((cb) => ops.chmod!(path, mode, cb)),
  });
  set("mknod", {
    mknod: (path, mode, dev) => called((cb) => ops.mknod!(path, mode, dev, cb)),
  });
  set("setxattr", {
    setxattr: (path, name, value, flags) =>
      called((cb) => ops.setxattr!(path, name, bufferOf(value), 0, flags, cb)),
  });
  set("getxattr", {
    getxattr: async (path, name) =>
      await called<Uint8Array | null>((cb) =>
        ops.getxattr!(path, name, 0, cb)
      ) ?? null,
  });
  set("listxattr", {
    listxattr: (path) => called((cb) => ops.listxattr!(path, cb)),
  });
  set("removexattr", {
    removexattr: (path, name) =>
      called((cb) => ops.removexattr!(path, name, cb)),
  });
  set("open", {
    open: (path, flags) => called((cb) => ops.open!(path, flags, cb)),
  });
  set("opendir", {
    opendir: (path, { flags }) => called((cb) => ops.opendir!(path, flags, cb)),
  });
  set("read", {
    read: (path, into, ctx) =>
      counted((cb) =>
        ops.read!(path, fdOf(ctx), bufferOf(into), into.length, ctx.offset, cb)
      ),
  });
  set("write", {
    write: (path, data, ctx) =>
      counted((cb) =>
        ops.write!(path, fdOf(ctx), bufferOf(data), data.length, ctx.offset, cb)
      ),
  });
  set("flush", {
    flush: (path, ctx) => called((cb) => ops.flush!(path, fdOf(ctx), cb)),
  });
  set("fsync", {
    fsync: (path, dataOnly, ctx) =>
      called((cb) => ops.fsync!(path, dataOnly, fdOf(ctx), cb)),
  });
  set("fsyncdir", {
    fsyncdir: (path, dataOnly, ctx) =>
      called((cb) => ops.fsyncdir!(path, dataOnly, fdOf(ctx), cb)),
  });
  set("release", {
    release: (path, ctx) => called((cb) => ops.release!(path, fdOf(ctx), cb)),
  });
  set("releasedir", {
    releasedir: (path, ctx) =>
      called((cb) => ops.releasedir!(path, fdOf(ctx), cb)),
  });
  set("create", {
    create: (path, mode) => called((cb) => ops.create!(path, mode, cb)),
  });
  set("unlink", { unlink: (path) => called((cb) => ops.unlink!(path, cb)) });
  set("rename", {
    rename: (from, to) => called((cb) => ops.rename!(from, to, cb)),
  });
  set("link", { link: (from, to) => called((cb) => ops.link!(from, to, cb)) });
  set("symlink", {
    symlink: (target, path) => called((cb) => ops.symlink!(target, path, cb)),
  });
  set("mkdir", {
    mkdir: (path, mode) => called((cb) => ops.mkdir!(path, mode, cb)),
  });
  set("rmdir", { rmdir: (path) => called((cb) => ops.rmdir!(path, cb)) });
  return fs;
}
