/** The filesystems that tests serve, by name: in a process, or in a Worker. */

import { type FileSystem, FuseError, keyValue } from "../../cmd/fuse/mod.ts";
import { type KeyValueStore, memory, passthrough } from "../../cmd/fuse/mod.ts";
import { type NodeFileSystem, zip } from "../../cmd/fuse/mod.ts";
import { byPaths } from "./by_paths.ts";

const text = new TextEncoder().encode("hello, world\n");
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const names = (...list: string[]) => ({
  getattr: (path: string) =>
    path === "/"
      ? { kind: "directory" as const }
      : list.includes(path.slice(1))
      ? { kind: "file" as const, size: text.length }
      : null,
  readdir: () => list,
});

const read = (
  _path: string,
  into: Uint8Array,
  { offset }: { offset: number },
) => text.subarray(offset, offset + into.length);

/** What changes by itself, for `invalidate`. */
let version = 1;

/** Changes a file of `changing`. */
export function change(): void {
  version++;
}

export const KINDS: Readonly<Record<string, () => FileSystem<unknown>>> = {
  hello: () => ({ ...names("hello.txt"), read }),
  paths: () => byPaths(),
  async: () => delayed(byPaths()),
  /** Each file fails with the error of its name. */
  errors: () => ({
    ...names("ENOTEMPTY", "code", "NotFound", "unknown", "number", "null"),
    open: (path) => {
      switch (path.slice(1)) {
        case "code":
          throw Object.assign(new Error("node's"), { code: "EXDEV" });
        case "NotFound":
          throw new Deno.errors.NotFound("Deno's");
        case "number":
          throw 17;
        case "null":
          return Promise.reject(null);
        case "unknown":
          throw new Error("the reason");
        default:
          throw new FuseError(path.slice(1));
      }
    },
    read,
  }),
  /** Each file never answers, or answers wrongly. */
  slow: () => ({
    ...names("never", "interrupted", "many", "negative"),
    read: (path, into) => {
      if (path === "/many") return new Uint8Array(into.length + 100).fill(65);
      if (path === "/negative") return -1;
      return new Promise<number>(() => {});
    },
    open: (path, _flags, ctx) => {
      if (path !== "/interrupted") return;
      return new Promise<void>((_, reject) => {
        ctx.signal.addEventListener("abort", () => {
          console.log("interrupted by", ctx.signal.reason.message);
          reject(ctx.signal.reason);
        });
        console.log("waiting for a signal");
      });
    },
  }),
  /** Each file ends its server in another way. */
  crash: () => ({
    ...names("throw", "loop"),
    read: (path) => {
      if (path === "/loop") { for (;;); }
      setTimeout(() => {
        throw new Error("uncaught");
      });
      return new Promise<number>(() => {});
    },
  }),
  /** A file that is made never is. */
  stuck: () => ({
    ...names(),
    create: () => {
      console.log("creating");
      return new Promise<void>(() => {});
    },
    write: () => {},
  }),
  changing: () => ({
    getattr: (path) =>
      path === "/"
        ? { kind: "directory" }
        : { size: 1, mtime: version * 1000, ttlMs: 1e9 },
    readdir: () => ["file"],
    read: () => new TextEncoder().encode(`${version}`),
  }),
};

function delayed(fs: FileSystem<unknown>): FileSystem<unknown> {
  const slow: Record<string, unknown> = {};
  for (const [name, method] of Object.entries(fs)) {
    const call = method as (...args: unknown[]) => unknown;
    slow[name] = async (...args: unknown[]) => {
      if (Math.random() < 0.5) await sleep(Math.random() * 3);
      return call.apply(fs, args);
    };
    if (name === "rename") {
      const rename = slow[name] as (...args: unknown[]) => Promise<void>;
      // A method that takes no flags is not asked to exchange.
      slow[name] = (from: string, to: string) => rename(from, to);
    }
  }
  return slow as unknown as FileSystem<unknown>;
}

/** Where a test puts the zip that is served. */
export const ZIP = "/tmp/served.zip";

/** The filesystems that are ready. */
const READY: Readonly<Record<string, () => NodeFileSystem<object>>> = {
  memory: () => memory(),
  zip: () => zip(ZIP),
  map: () => keyValue(new Map()),
  store: () => keyValue(slowStore(), { ttlMs: 200, cacheBytes: 20_000 }),
};

/** A store whose methods take their time, with parts and sizes. */
function slowStore(): KeyValueStore {
  const map = new Map<string, Uint8Array>();
  const late = async <T>(value: T): Promise<T> => {
    if (Math.random() < 0.5) await sleep(Math.random() * 3);
    return value;
  };
  return {
    keys: () => late(map.keys()),
    get: (key) => late(map.get(key)),
    set: async (key, value) => void map.set(key, await late(value)),
    delete: async (key) => void map.delete(await late(key)),
    stat: (key) => {
      const value = map.get(key);
      return late(value && { size: value.length });
    },
    getPart: (key, offset, length) =>
      late(map.get(key)!.subarray(offset, offset + length)),
  };
}

/**
 * Makes a filesystem by its name. `passthrough:DIRECTORY:FILES` mirrors a directory;
 * that of a name with `-served` without help of the kernel.
 */
export default function make(
  kind: string,
): FileSystem<unknown> | NodeFileSystem<object> {
  const [name, dir, files = 10_000] = kind.split(":");
  if (name === "passthrough") {
    const kernelIo = !dir.endsWith("-served");
    return passthrough(dir, { kernelIo, maxFiles: Number(files) });
  }
  return name in READY ? READY[name]() : KINDS[name]();
}
