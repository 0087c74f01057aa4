/**
 * Operations on open directories.
 *
 * The entries of a directory are read once, when it is read from its start. Their
 * index is the offset that the kernel comes back with, so that names which are made
 * or removed meanwhile move no other.
 */

import { E } from "../../../sys/uapi/errno.ts";
import * as uapi from "../../../sys/uapi/fuse.ts";
import { after, type Awaitable } from "../awaitable.ts";
import type { Context } from "../context.ts";
import { FuseError } from "../errors.ts";
import type { Dirent, Dirents } from "../nodes.ts";
import type { FuseRequest } from "../request.ts";
import { type AnyNode, ENTRY_BYTES, type Server } from "../server.ts";
import { modeOf } from "../stat.ts";
import type { OpenFile } from "../table.ts";
import { nothing, type Operations } from "./operation.ts";

const { fuse_read_in: READ, fuse_dirent: DIRENT } = uapi;
const { fuse_open_in, fuse_release_in, fuse_fsync_in } = uapi;
const HEAD = DIRENT.name.offset;
/** The number of an inode that is not known, as libfuse has it. */
const UNKNOWN_INO = 0xffff_ffff;
const DT_DIR = 4;

type AnyDirent = string | Dirent<AnyNode>;

export const directories: Operations = {
  [uapi.FUSE_OPENDIR](server, request, ctx) {
    const { fs } = server;
    const node = server.nodes.get(request.nodeid);
    ctx.flags = request.u32(fuse_open_in.flags);
    if (fs.opendir === undefined) {
      return server.putOpen(request, 0, node, undefined, true);
    }
    return after(
      fs.opendir(node, ctx),
      (handle) => server.putOpen(request, 0, node, handle, true),
    );
  },

  [uapi.FUSE_READDIR](server, request, ctx) {
    return list(server, request, ctx, false);
  },

  [uapi.FUSE_READDIRPLUS](server, request, ctx) {
    return list(server, request, ctx, true);
  },

  [uapi.FUSE_RELEASEDIR](server, request, ctx) {
    const { fs } = server;
    const file = server.files.take(request.u64(fuse_release_in.fh));
    ctx.handle = file.handle;
    return after(fs.releasedir?.(file.node, ctx), nothing);
  },

  [uapi.FUSE_FSYNCDIR](server, request, ctx) {
    const { fs } = server;
    if (fs.fsyncdir === undefined) return -E.ENOSYS;
    const file = server.files.get(request.u64(fuse_fsync_in.fh));
    ctx.handle = file.handle;
    const dataOnly = (request.u32(fuse_fsync_in.fsync_flags) &
      uapi.FUSE_FSYNC_FDATASYNC) !== 0;
    return after(fs.fsyncdir(file.node, dataOnly, ctx), nothing);
  },
};

function list(
  server: Server,
  request: FuseRequest,
  ctx: Context,
  plus: boolean,
): Awaitable<number> {
  const { fs } = server;
  if (fs.readdir === undefined) return -E.ENOSYS;
  const file = server.files.get(request.u64(READ.fh));
  const offset = request.u64(READ.offset);
  const size = Math.min(request.u32(READ.size), request.out.length);
  if (offset > 0 && file.entries !== null) {
    return emit(server, request, file, offset, size, plus);
  }
  ctx.handle = file.handle;
  return after(
    after(fs.readdir(file.node, ctx), collect),
    (entries) => {
      file.entries = entries;
      return emit(server, request, file, offset, size, plus);
    },
  );
}

/** Copies the entries of a directory into a list. */
function collect(found: Dirents<AnyNode>): Awaitable<AnyDirent[]> {
  if (Symbol.asyncIterator in found) return Array.fromAsync(found);
  return [...found];
}

/** Writes entries from an offset on, as many as there is room for. */
function emit(
  server: Server,
  request: FuseRequest,
  file: OpenFile<AnyNode>,
  offset: number,
  size: number,
  plus: boolean,
): number {
  const entries = file.entries!;
  let at = 0;
  // Two come before those of the handler: the directory, and its parent.
  for (let i = offset; i < entries.length + 2; i++) {
    const entry = i === 0 ? "." : i === 1 ? ".." : entries[i - 2];
    try {
      const end = emitOne(server, request, at, size, file, entry, i, plus);
      if (end >= 0) at = end;
      else if (at > 0) break;
      // An answer without an entry would be the end of the directory.
      else throw new FuseError("ENAMETOOLONG", "a name has no room");
    } catch (error) {
      // What was counted has to be sent. The kernel comes back for the error.
      if (at === 0) throw error;
      break;
    }
  }
  return at;
}

const nameOf = (entry: AnyDirent) =>
  typeof entry === "string" ? entry : entry.name;

/** Writes an entry at byte `at`. Returns the end of it, or -1 without room. */
function emitOne(
  server: Server,
  request: FuseRequest,
  at: number,
  size: number,
  file: OpenFile<AnyNode>,
  entry: AnyDirent,
  index: number,
  plus: boolean,
): number {
  const name = nameOf(entry);
  if (index > 1 && (name === "." || name === "..")) return at;
  const { out, outView } = request;
  const dirent = plus ? at + ENTRY_BYTES : at;
  const start = dirent + HEAD;
  if (start + name.length > size) return -1;
  const length = putName(request, start, size - start, name);
  if (length < 0) return -1;
  const end = start + length;
  const padded = end + 7 & ~7;
  if (padded > size) return -1;
  for (let i = end; i < padded; i++) out[i] = 0;
  request.putU64(dirent + DIRENT.ino.offset, inodeOf(entry));
  request.putU64(dirent + DIRENT.off.offset, index + 1);
  outView.setUint32(dirent + DIRENT.namelen.offset, length, true);
  const type = index < 2 ? DT_DIR : typeOf(entry);
  outView.setUint32(dirent + DIRENT.type.offset, type, true);
  if (!plus) return padded;
  if (index < 2) putNothing(request, at);
  else putEntry(server, request, at, file.node, entry);
  return padded;
}

/**
 * Writes the attributes of an entry, and counts the lookup. Without attributes the
 * number of the node is 0, which the kernel passes over: fuse_direntplus_link().
 */
function putEntry(
  server: Server,
  request: FuseRequest,
  at: number,
  parent: AnyNode,
  entry: AnyDirent,
): void {
  const found = server.fs.peek?.(parent, nameOf(entry)) ?? null;
  if (found !== null) return void server.putEntryAt(request, at, found);
  if (typeof entry !== "string" && entry.stat !== undefined) {
    const { name, stat } = entry;
    const node = entry.node ?? server.fs.adopt?.(parent, name, stat);
    if (node !== undefined) {
      server.putEntryAt(request, at, { node, stat });
      return;
    }
  }
  putNothing(request, at);
}

function putNothing({ outView }: FuseRequest, at: number): void {
  for (let i = 0; i < ENTRY_BYTES; i += 4) outView.setUint32(at + i, 0, true);
}

function inodeOf(entry: AnyDirent): number | bigint {
  return (typeof entry === "string" ? null : entry.stat?.ino) ?? UNKNOWN_INO;
}

/** Returns the `DT_` number: the type bits of a mode. 0 if it is not known. */
function typeOf(entry: AnyDirent): number {
  if (typeof entry === "string" || entry.stat === undefined) return 0;
  return modeOf(entry.stat) >>> 12;
}

const encoder = new TextEncoder();

/**
 * Writes a name of at most `room` bytes. Returns its bytes, or -1 without room.
 *
 * @throws {TypeError} for what is no name. The kernel would refuse the directory.
 */
function putName(
  request: FuseRequest,
  at: number,
  room: number,
  name: string,
): number {
  const { out } = request;
  const { length } = name;
  let i = 0;
  for (; i < length && i < 64; i++) {
    const unit = name.charCodeAt(i);
    if (unit > 0x7f || unit === 0x2f || unit === 0) break;
    out[at + i] = unit;
  }
  if (i === length && length > 0) return length;
  if (length === 0 || name.includes("/") || name.includes("\0")) {
    throw new TypeError(
      `readdir returned the name ${
        JSON.stringify(name)
      }. A name is not empty, ` +
        "and has no slash and no zero byte",
    );
  }
  const into = out.subarray(at, at + room);
  const { read, written } = encoder.encodeInto(name, into);
  return read < length ? -1 : written;
}
