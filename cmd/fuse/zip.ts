/** The files of a zip, as a filesystem. */

import type { Awaitable } from "./awaitable.ts";
import { FuseError } from "./errors.ts";
import type { NodeFileSystem } from "./nodes.ts";
import { type Content, Inflation, Stored } from "./zip_content.ts";
import { TTL_MS, zipContent, zipDirectory } from "./zip_tree.ts";
import { type ZipFile, type ZipNode, zipTree } from "./zip_tree.ts";

/** The ways of compression. */
const [STORED, DEFLATED] = [0, 8];
/** Bytes of the longest path, that of a link. */
const PATH_MAX = 4095;

/**
 * Bytes that can be read in parts, such as a `Blob`. What `slice` returns may be a
 * promise, such as that of a `Response` to a request for a range.
 */
export interface ZipBlob {
  /** Bytes. */
  readonly size: number;
  /** Returns the bytes from `start` to before `end`. */
  slice(
    start: number,
    end: number,
  ): Awaitable<{ arrayBuffer(): Promise<ArrayBuffer> }>;
}

/** A zip: in memory, in a file, or where a {@linkcode ZipBlob} has it. */
export type ZipSource = Uint8Array | string | URL | ZipBlob;

/**
 * Returns the files of a zip, to be read only. They are inflated while they are read:
 * reads in order inflate each byte once. A read from more than 4 MiB before the last
 * one inflates the file again from its start. An open file takes about 12 MiB at most.
 *
 * A mount reads the directory of the zip, and is refused if that is broken, or has a
 * name that is absolute or has `..`. Files that are encrypted, or compressed with
 * other than deflate, are listed and cannot be opened. Checksums are not compared.
 *
 * A path needs `--allow-read`. A filesystem is for one mount.
 *
 * @example A zip, which the kernel may cache because it does not change
 * ```ts ignore
 * import { mount, zip } from "@uring/cmd/fuse";
 *
 * const options = { readOnly: true, keepCache: true };
 * await using photos = await mount("/mnt", zip("photos.zip"), options);
 * await photos.finished;
 * ```
 */
export function zip(source: ZipSource): NodeFileSystem<object> {
  let file: ZipFile;
  const open = async ({ data, size }: ZipNode): Promise<Content> => {
    const { method, encrypted, byteLength } = data!;
    if (encrypted || ![STORED, DEFLATED].includes(method)) {
      throw new FuseError("EOPNOTSUPP");
    }
    const start = await zipContent(file, data!);
    const part = (from: number, to: number) =>
      file.read(start + from, start + Math.min(to, byteLength));
    return method === STORED
      ? new Stored(part, size)
      : new Inflation(part, byteLength, size);
  };
  const methods: NodeFileSystem<ZipNode, Content> = {
    root: zipDirectory(),
    async init() {
      file = fileOf(source);
      await zipTree(file, methods.root).catch((error) => {
        file.close();
        throw error;
      });
    },
    destroy: () => file.close(),
    lookup({ names }, name) {
      const node = names!.get(name);
      return node ? { node, stat: node, ttlMs: TTL_MS } : null;
    },
    getattr: (node) => node,
    readdir: ({ names }) =>
      Array.from(names!, ([name, node]) => ({ name, node, stat: node })),
    async readlink(node) {
      const into = new Uint8Array(Math.min(node.size, PATH_MAX));
      const content = await open(node);
      const found = await content.read(into, 0);
      await content.close();
      return new TextDecoder().decode(
        found instanceof Uint8Array ? found : into,
      );
    },
    open,
    read: (_, into, { offset, handle }) => handle.read(into, offset),
    release: (_, { handle }) => handle.close(),
  };
  return methods as NodeFileSystem<object>;
}

/** Opens a zip. */
function fileOf(source: ZipSource): ZipFile {
  if (source instanceof Uint8Array) {
    const read = (start: number, end: number) => source.subarray(start, end);
    return { size: source.length, read, close() {} };
  }
  if (typeof source !== "string" && !(source instanceof URL)) {
    const read = async (start: number, end: number) =>
      new Uint8Array(await (await source.slice(start, end)).arrayBuffer());
    return { size: source.size, read, close() {} };
  }
  const file = Deno.openSync(source);
  return {
    size: file.statSync().size,
    // Without the threads of Deno, which may all be waiting for this mount.
    read(start, end) {
      file.seekSync(start, Deno.SeekMode.Start);
      const into = new Uint8Array(end - start);
      for (let at = 0; at < into.length;) {
        const length = file.readSync(into.subarray(at));
        if (length === null) return into.subarray(0, at);
        at += length;
      }
      return into;
    },
    close: () => file.close(),
  };
}
