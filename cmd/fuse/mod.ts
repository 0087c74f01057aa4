/**
 * A filesystem in TypeScript: a directory that programs use as any other, and whose
 * files are what functions return (FUSE).
 *
 * Root mounts by itself, another user with `fusermount3` of the package fuse3. It
 * needs `--allow-ffi` and `--allow-run=sh,umount,fusermount3`. {@linkcode mount} throws
 * with a remedy where something is missing, which `probe()` of `@uring/cmd` finds
 * before.
 *
 * Some filesystems are ready: {@linkcode memory}; {@linkcode passthrough}, which mirrors
 * a directory; {@linkcode zip} for the files of a zip; {@linkcode keyValue} over a `Map`
 * or an object store; and {@linkcode fromFuseNative} for programs of the package
 * `fuse-native`.
 *
 * **Handlers.** A {@linkcode FileSystem} has functions of paths, and a
 * {@linkcode NodeFileSystem} functions of objects that are files. Each returns its
 * value, or a promise. What is missing is answered as libfuse does.
 *
 * **Errors.** A handler throws a {@linkcode FuseError}, or any error whose `code` is the
 * name of an errno, or one of `Deno.errors`. The caller gets EIO for anything else, and
 * `onError` is told.
 *
 * **A program that uses its own mount.** The thread that serves cannot answer while it
 * waits for an answer. All of this works if a Worker serves: put the filesystem into a
 * module, and pass its URL to `mount`.
 *
 * | from the program itself                                   | served by its main thread |
 * | --------------------------------------------------------- | ------------------------- |
 * | `await Deno.readFile`, `Deno.stat`, `Deno.readDir`        | works                     |
 * | a child process that opens files by itself                | works                     |
 * | `Deno.readFileSync` and all other `*Sync`, `Deno.chdir`   | hangs                     |
 * | `import` of a module in the mount, `Deno.watchFs`         | hangs                     |
 * | `Deno.Command` with a program or `cwd` in the mount       | hangs                     |
 * | closing a `Deno.FsFile`, if the filesystem has `flush`    | hangs                     |
 *
 * **How requests come.** By reads of /dev/fuse, or by io_uring, where root has set
 * `fuse.enable_uring=1`. With io_uring, a thread that waits for the mount that it
 * serves can be ended by nothing but a restart of the machine. So io_uring is the
 * default in Workers only, whose filesystem must not use its own mount. `how` of a
 * mount says what it uses, and why.
 *
 * **Containers** need `--device /dev/fuse --cap-add SYS_ADMIN`, and where AppArmor
 * forbids mount(2), `--security-opt apparmor=unconfined`. Where io_uring is forbidden,
 * a thread waits for requests in its place.
 *
 * | Linux | has                                                            |
 * | ----- | -------------------------------------------------------------- |
 * | 5.19  | all but what follows                                           |
 * | 6.1   | files without a name: `tmpfile`                                |
 * | 6.2   | `expire` of `invalidate`                                       |
 * | 6.6   | the time of creation: `birthtime`                              |
 * | 6.9   | a mirror that the kernel reads and writes: `backing`           |
 * | 6.14  | requests by io_uring                                           |
 *
 * @example A directory with one file
 * ```ts ignore
 * import { mount } from "@uring/cmd/fuse";
 *
 * const text = new TextEncoder().encode("hello, world\n");
 * await using hello = await mount("/mnt/hello", {
 *   getattr(path) {
 *     if (path === "/") return { kind: "directory" };
 *     return path === "/hello.txt" ? { kind: "file", size: text.length } : null;
 *   },
 *   readdir: () => ["hello.txt"],
 *   read: (_path, into, { offset }) =>
 *     text.subarray(offset, offset + into.length),
 * });
 * await hello.finished; // unmounted, by `umount` or a signal
 * ```
 *
 * @example Files in memory
 * ```ts ignore
 * import { FuseError, mount } from "@uring/cmd/fuse";
 *
 * type Node = { mode: number; data: Uint8Array; size: number; mtime: number };
 * const node = (mode: number): Node => (
 *   { mode, data: new Uint8Array(0), size: 0, mtime: Date.now() }
 * );
 * const files = new Map([["/", node(0o40755)]]);
 * function at(path: string): Node {
 *   const file = files.get(path);
 *   if (file === undefined) throw new FuseError("ENOENT");
 *   return file;
 * }
 * function resize(file: Node, size: number): void {
 *   if (size > file.data.length) {
 *     const data = new Uint8Array(2 * size);
 *     data.set(file.data.subarray(0, file.size));
 *     file.data = data;
 *   } else if (size < file.size) file.data.fill(0, size, file.size);
 *   file.size = size;
 *   file.mtime = Date.now();
 * }
 * const split = (path: string) => {
 *   const slash = path.lastIndexOf("/");
 *   return [path.slice(0, slash) || "/", path.slice(slash + 1)];
 * };
 * const namesIn = (path: string) =>
 *   [...files.keys()].filter((key) => key !== "/" && split(key)[0] === path)
 *     .map((key) => split(key)[1]);
 *
 * await using mem = await mount("/mnt/memory", {
 *   getattr: (path) => files.get(path) ?? null,
 *   readdir: (path) => namesIn(path),
 *   create: (path, mode) => void files.set(path, node(0o100000 | mode)),
 *   mkdir: (path, mode) => void files.set(path, node(0o40000 | mode)),
 *   unlink: (path) => void files.delete(path),
 *   rmdir(path) {
 *     if (namesIn(path).length > 0) throw new FuseError("ENOTEMPTY");
 *     files.delete(path);
 *   },
 *   rename(from, to) {
 *     if (namesIn(to).length > 0) throw new FuseError("ENOTEMPTY");
 *     for (const [path, file] of [...files]) {
 *       if (path !== from && !path.startsWith(`${from}/`)) continue;
 *       files.delete(path);
 *       files.set(to + path.slice(from.length), file);
 *     }
 *   },
 *   read(path, into, { offset }) {
 *     const { data, size } = at(path);
 *     return data.subarray(offset, Math.min(size, offset + into.length));
 *   },
 *   write(path, data, { offset }) {
 *     const file = at(path);
 *     resize(file, Math.max(file.size, offset + data.length));
 *     file.data.set(data, offset);
 *   },
 *   truncate: (path, size) => resize(at(path), size),
 * });
 * await mem.finished;
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
export type { KeyValueEntry, KeyValueKeys } from "./key_store.ts";
export type { KeyValueOptions, KeyValueStat } from "./key_store.ts";
export type { KeyValueStore } from "./key_store.ts";
export { memory } from "./memory.ts";
export { mount } from "./mount.ts";
export type { Mount } from "./live.ts";
export type { InvalidateOptions, MountStats, Protocol } from "./served.ts";
export type { MountOptions } from "./options.ts";
export { passthrough } from "./passthrough.ts";
export type { PassthroughOptions } from "./passthrough.ts";
export type { Changes, Dirent, Dirents, Entry, OpenedEntry } from "./nodes.ts";
export type { IoctlRequest, IoctlResult, Lock, LockRequest } from "./nodes.ts";
export type { NodeFileSystem, StatFs } from "./nodes.ts";
export type { FileKind, Stat, Time } from "./stat.ts";
export type { TransportName } from "./transport.ts";
export { zip } from "./zip.ts";
export type { ZipBlob, ZipSource } from "./zip.ts";
