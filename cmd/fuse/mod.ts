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
 * directory in the mount wait for ever. All of them work if a Worker serves: put the
 * filesystem into a module, and pass its URL.
 *
 * **How requests come.** By reads of /dev/fuse, or by io_uring: Linux 6.14, where root
 * has set `fuse.enable_uring=1`. With io_uring, a thread that waits for the mount that
 * it serves can be ended by nothing but a restart of the machine. So io_uring is the
 * default in Workers only, whose filesystem must not use its own mount. `how` of a
 * mount says what it uses, and why.
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
 * @example A filesystem in a Worker, which the program itself may use in any way
 * ```ts ignore
 * // greeting.ts: a filesystem, or a function that returns one.
 * export default (greeting: string) => ({
 *   getattr: (path: string) => path === "/" ? { kind: "directory" } : { size: 5 },
 *   read: () => new TextEncoder().encode(greeting),
 * });
 *
 * // main.ts
 * import { mount } from "@uring/cmd/fuse";
 *
 * const module = new URL("./greeting.ts", import.meta.url);
 * await using served = await mount("/mnt", module, { data: "hello" });
 * console.log(Deno.readTextFileSync("/mnt/any"), served.how);
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
export { keyValue } from "./key_value.ts";
export type { KeyValueOptions, KeyValueStat } from "./key_store.ts";
export type { KeyValueStore } from "./key_store.ts";
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
export { zip } from "./zip.ts";
export type { ZipBlob, ZipSource } from "./zip.ts";
