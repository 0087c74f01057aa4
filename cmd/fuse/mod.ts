/**
 * A filesystem in TypeScript: a directory that every program on the machine can use,
 * and whose files are what functions return (FUSE, Linux 5.19 and later).
 *
 * @module
 */

export type { Awaitable } from "./awaitable.ts";
export type { UnmountOptions } from "./children.ts";
export type { Context } from "./context.ts";
export { FuseError } from "./errors.ts";
export type { FileSystem } from "./file_system.ts";
export { memory } from "./memory.ts";
export { mount } from "./mount.ts";
export type { Mount, MountStats, Protocol } from "./live.ts";
export type { MountOptions } from "./options.ts";
export type { Changes, Dirent, Dirents, Entry, OpenedEntry } from "./nodes.ts";
export type { IoctlRequest, IoctlResult, Lock, LockRequest } from "./nodes.ts";
export type { NodeFileSystem, StatFs } from "./nodes.ts";
export type { FileKind, Stat, Time } from "./stat.ts";
export type { TransportName } from "./transport.ts";
