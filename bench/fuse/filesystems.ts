/** The filesystems that are served: in the main thread, or in a Worker. */

import { type FileSystem, FuseError, memory } from "../../cmd/fuse/mod.ts";
import type { Kind } from "./plan.ts";

/** A file, whose fields are its attributes. */
class File {
  size = 0;
  mtime = Date.now();
  data = new Uint8Array(0);
  readonly names = new Map<string, File>();
  constructor(readonly mode: number) {}
}

const DIRECTORY = 0o040000;

/** A filesystem in memory that finds its files by their paths. */
function paths(): FileSystem<File> {
  const files = new Map([["/", new File(DIRECTORY | 0o755)]]);
  const at = (path: string) => {
    const file = files.get(path);
    if (file === undefined) throw new FuseError("ENOENT");
    return file;
  };
  const split = (path: string) => {
    const slash = path.lastIndexOf("/");
    const parent = at(slash === 0 ? "/" : path.slice(0, slash));
    return { parent, name: path.slice(slash + 1) };
  };
  const add = (path: string, mode: number) => {
    const { parent, name } = split(path);
    const file = new File(mode);
    parent.names.set(name, file);
    files.set(path, file);
    return file;
  };
  const resize = (file: File, size: number) => {
    if (size > file.data.length) {
      const data = new Uint8Array(Math.max(size, 2 * file.data.length));
      data.set(file.data);
      file.data = data;
    }
    if (size < file.size) file.data.fill(0, size, file.size);
    file.size = size;
    file.mtime = Date.now();
  };
  return {
    getattr: (path) => files.get(path) ?? null,
    readdir: (path) =>
      Array.from(at(path).names, ([name, stat]) => ({ name, stat })),
    mkdir: (path, mode) => void add(path, DIRECTORY | mode),
    create: (path, mode) => add(path, 0o100000 | mode),
    open: (path, flags) => {
      const file = at(path);
      if ((flags & 0o1000) !== 0) resize(file, 0); // O_TRUNC
      return file;
    },
    unlink: (path) => {
      const { parent, name } = split(path);
      parent.names.delete(name);
      files.delete(path);
    },
    read: (_, into, { handle, offset }) => {
      const { data, size } = handle;
      const end = Math.min(size, offset + into.length);
      into.set(data.subarray(Math.min(offset, end), end));
      return Math.max(0, end - offset);
    },
    write: (_, data, { handle, offset }) => {
      const end = offset + data.length;
      if (end > handle.size) resize(handle, end);
      handle.data.set(data, offset);
      handle.mtime = Date.now();
    },
    truncate: (path, size) => resize(at(path), size),
    getxattr: () => null,
    statfs: () => ({
      ...{ blocks: 2 ** 18, bfree: 2 ** 17 },
      ...{ files: 2 ** 20, ffree: 2 ** 20 },
    }),
  };
}

/** Makes each handler return a promise. */
function promises<H>(fs: FileSystem<H>): FileSystem<H> {
  const all = Object.entries(fs) as [string, (...args: unknown[]) => unknown][];
  const promised = all.map(([name, call]) => [
    name,
    async (...args: unknown[]) => await call(...args),
  ]);
  return Object.fromEntries(promised) as unknown as FileSystem<H>;
}

/** Makes a filesystem. */
export default (kind: Kind) => {
  switch (kind) {
    case "memory":
      return memory();
    case "paths":
      return paths();
    case "promises":
      return promises(paths());
  }
};
