/** A filesystem in memory by paths, as the module page has it, with a little more. */

import { type FileSystem, FuseError } from "../../cmd/fuse/mod.ts";

interface Node {
  mode: number;
  data: Uint8Array;
  size: number;
  mtime: number | bigint;
  target?: string;
}

/** Makes an empty filesystem. It has no handles, and no hard links. */
export function byPaths(): FileSystem<unknown> {
  const node = (mode: number): Node => ({
    mode,
    data: new Uint8Array(0),
    size: 0,
    mtime: Date.now(),
  });
  const files = new Map<string, Node>([["/", node(0o40755)]]);
  const at = (path: string) => {
    const file = files.get(path);
    if (file === undefined) throw new FuseError("ENOENT");
    return file;
  };
  const grow = (file: Node, size: number) => {
    if (size <= file.data.length) return;
    const data = new Uint8Array(Math.max(size, 2 * file.data.length));
    data.set(file.data);
    file.data = data;
  };
  const parentOf = (path: string) =>
    path.slice(0, path.lastIndexOf("/")) || "/";
  const namesIn = (path: string) =>
    [...files.keys()].filter((key) => key !== "/" && parentOf(key) === path);
  return {
    getattr: (path) => files.get(path) ?? null,
    readdir: (path) =>
      namesIn(path).map((key) => ({
        name: key.slice(key.lastIndexOf("/") + 1),
        stat: at(key),
      })),
    create: (path, mode) => void files.set(path, node(0o100000 | mode)),
    mkdir: (path, mode) => void files.set(path, node(0o40000 | mode)),
    symlink: (target, path) => {
      const link = node(0o120777);
      link.target = target;
      link.size = target.length;
      files.set(path, link);
    },
    readlink: (path) => at(path).target!,
    unlink: (path) => void files.delete(path),
    rmdir: (path) => {
      if (namesIn(path).length > 0) throw new FuseError("ENOTEMPTY");
      files.delete(path);
    },
    rename: (from, to) => {
      if (namesIn(to).length > 0) throw new FuseError("ENOTEMPTY");
      for (const key of [...files.keys()]) {
        if (key !== from && !key.startsWith(`${from}/`)) continue;
        files.set(to + key.slice(from.length), at(key));
        files.delete(key);
      }
    },
    read: (path, into, { offset }) => {
      const file = at(path);
      const end = Math.min(file.size, offset + into.length);
      const bytes = file.data.subarray(Math.min(offset, end), end);
      into.set(bytes);
      return bytes.length;
    },
    write: (path, data, { offset }) => {
      const file = at(path);
      grow(file, offset + data.length);
      file.data.set(data, offset);
      file.size = Math.max(file.size, offset + data.length);
      file.mtime = Date.now();
    },
    truncate: (path, size) => {
      const file = at(path);
      grow(file, size);
      file.data.fill(0, size);
      file.size = size;
      file.mtime = Date.now();
    },
    chmod: (path, mode) => {
      at(path).mode = at(path).mode & 0o170000 | mode;
    },
    utimens: (path, { mtime }) => {
      if (mtime !== undefined) at(path).mtime = mtime;
    },
  };
}
