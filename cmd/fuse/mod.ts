/**
 * A filesystem in TypeScript: a directory that every program on the machine can use,
 * and whose files are what functions return (FUSE, Linux 5.19 and later).
 *
 * Root mounts by itself, another user with `fusermount3` of the package fuse3. It
 * needs `--allow-ffi` and `--allow-run=sh,umount,fusermount3`. In a container it needs
 * `--device /dev/fuse --cap-add SYS_ADMIN`; io_uring is used if it is allowed.
 *
 * A handler throws a {@linkcode FuseError}, or any error whose `code` is the name of an
 * errno, or one of `Deno.errors`. The caller gets EIO for anything else, and
 * `onError` is told.
 *
 * **A program that uses its own mount.** The thread that serves cannot answer while it
 * waits for an answer. `Deno.readFile`, `Deno.stat`, `Deno.readDir` and child processes
 * that open files by themselves work. `readFileSync` and all other `*Sync`, `import`,
 * `Deno.chdir`, `Deno.watchFs`, and `Deno.Command` with a program or the working
 * directory in the mount wait for ever.
 *
 * @example A directory with one file
 * ```ts ignore
 * import { mount } from "@uring/cmd/fuse";
 *
 * const text = new TextEncoder().encode("hello, world\n");
 * await using hello = await mount("/mnt/hello", {
 *   getattr: (path) =>
 *     path === "/"
 *       ? { kind: "directory" }
 *       : path === "/hello.txt"
 *       ? { kind: "file", size: text.length }
 *       : null,
 *   readdir: () => ["hello.txt"],
 *   read: (_path, into, { offset }) =>
 *     text.subarray(offset, offset + into.length),
 * });
 * await hello.finished; // Unmounted, by `umount` or a signal.
 * ```
 *
 * @module
 */

export type { Awaitable } from "./awaitable.ts";
export type { UnmountOptions } from "./children.ts";
export type { Context } from "./context.ts";
export { FuseError } from "./errors.ts";
export type { FileSystem } from "./file_system.ts";
export { fromFuseNative } from "./from_fuse_native.ts";
export type { FuseNativeCallback } from "./from_fuse_native.ts";
export type { FuseNativeOperations } from "./from_fuse_native.ts";
export { memory } from "./memory.ts";
export { mount } from "./mount.ts";
export type { Mount } from "./live.ts";
export type { InvalidateOptions, MountStats, Protocol } from "./served.ts";
export type { MountOptions } from "./options.ts";
export type { Changes, Dirent, Dirents, Entry, OpenedEntry } from "./nodes.ts";
export type { IoctlRequest, IoctlResult, Lock, LockRequest } from "./nodes.ts";
export type { NodeFileSystem, StatFs } from "./nodes.ts";
export type { FileKind, Stat, Time } from "./stat.ts";
export type { TransportName } from "./transport.ts";
