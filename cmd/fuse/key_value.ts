/** A filesystem over a store of keys and values. */

import { FuseError } from "./errors.ts";
import { KeyNode } from "./key_node.ts";
import { KeyTree } from "./key_store.ts";
import type { KeyValueOptions, KeyValueStore } from "./key_store.ts";
import { shortName } from "./names.ts";
import type { NodeFileSystem } from "./nodes.ts";

const O_TRUNC = 0o1000;

/**
 * Returns a filesystem over a store: each slash in a key is a directory. Directories
 * without a key below, permissions and owners exist in memory only, as long as the
 * program. A key that is no path, such as `a//b` or one of 4096 letters, is not shown;
 * nor is `a` where there is `a/b`.
 *
 * An open file is written in memory, and stored by close(2) and fsync(2), whose error
 * it can be. A rename stores each value again under its new key. It loads the list of
 * all keys, and keeps it for `ttlMs`.
 *
 * @example A `Map`
 * ```ts
 * import { keyValue } from "@uring/cmd/fuse";
 *
 * const map = new Map([["notes/today", new TextEncoder().encode("hello")]]);
 * const fs = keyValue(map); // await mount("/mnt", fs)
 * console.log(typeof fs.write); // function
 * ```
 *
 * @example The files of an HTTP server, read in parts and cached
 * ```ts ignore
 * import { keyValue, mount } from "@uring/cmd/fuse";
 *
 * const url = (key: string) => new URL(encodeURI(key), "https://example.com/");
 * const part = (from: number, length: number) => ({
 *   headers: { range: `bytes=${from}-${from + length - 1}` },
 * });
 * const files = keyValue({
 *   // [{ "key": "a/b.txt", "size": 1000 }, ...]
 *   keys: async () => (await fetch(url("keys.json"))).json(),
 *   get: async (key) => (await fetch(url(key))).bytes(),
 *   getPart: async (key, from, length) =>
 *     (await fetch(url(key), part(from, length))).bytes(),
 * }, { ttlMs: 60_000 });
 * await using mounted = await mount("/mnt", files, { keepCache: true });
 * await mounted.finished;
 * ```
 */
export function keyValue(
  store: KeyValueStore,
  { ttlMs = 1000, cacheBytes = 2 ** 24 }: KeyValueOptions = {},
): NodeFileSystem<object> {
  const tree = new KeyTree(store, { ttlMs, cacheBytes });
  const methods: NodeFileSystem<KeyNode> = {
    root: tree.root,
    truncatesOnOpen: true,
    async lookup({ names }, name) {
      await tree.list();
      const node = names?.get(shortName(name));
      if (node === undefined) return null;
      const stat = await tree.stat(node);
      return stat && { node, stat };
    },
    getattr: (node) => tree.stat(node),
    async readdir({ names }) {
      await tree.list();
      return Array.from(
        names!,
        ([name, node]) => node.known ? { name, node, stat: node.stat } : name,
      );
    },
    async open(node, flags) {
      const truncates = (flags & O_TRUNC) !== 0;
      if (!truncates && await tree.stat(node) === null) {
        throw new FuseError("ENOENT");
      }
      tree.take(node);
      node.opens++;
      if (truncates) node.resize(0);
    },
    async read(node, into, { offset }) {
      const length = Math.min(into.length, node.size - offset);
      if (length <= 0) return 0;
      if (node.value !== null || store.getPart === undefined) {
        return (await tree.load(node)).subarray(offset, offset + length);
      }
      const part = await store.getPart(node.key, offset, length);
      if (part.length === length) return part;
      throw new Error(`getPart returned ${part.length} bytes, not ${length}`);
    },
    async release(node) {
      node.opens--;
      try {
        await tree.save(node);
      } finally {
        tree.settle(node);
      }
    },
  };
  return (store.set === undefined || store.delete === undefined
    ? methods
    : { ...methods, ...changes(tree) }) as NodeFileSystem<object>;
}

/** Returns the methods that change something. */
function changes(tree: KeyTree): Partial<NodeFileSystem<KeyNode>> {
  const add = (node: KeyNode, parent: KeyNode, name: string, mode: number) => {
    parent.path(shortName(name)); // It throws if the directory is gone.
    node.attributes.mode = mode;
    node.put(parent, name);
    parent.made = true;
    return { node, stat: node.stat };
  };
  return {
    async setattr(node, { size, mode, uid, gid, mtime }) {
      const given = Object.entries({ mode, uid, gid, mtime })
        .filter(([, value]) => value !== undefined);
      Object.assign(node.attributes, Object.fromEntries(given));
      if (size === undefined) return node.stat;
      tree.take(node);
      node.opens++; // Its value stays until it is changed.
      try {
        if (size > 0) await tree.load(node);
        node.resize(size);
      } finally {
        node.opens--;
      }
      // No close(2) will come.
      if (node.opens === 0) await tree.save(node);
      tree.settle(node);
      return node.stat;
    },
    create(parent, name, mode) {
      const node = new KeyNode(null);
      node.resize(0);
      node.opens = 1;
      return add(node, parent, name, mode);
    },
    mkdir(parent, name, mode) {
      const node = new KeyNode(new Map());
      node.made = true;
      return add(node, parent, name, mode);
    },
    async write(node, data, { offset }) {
      await tree.load(node);
      node.write(data, offset);
    },
    flush: (node) => tree.save(node),
    fsync: (node) => tree.save(node),
    unlink: (parent, name) =>
      tree.alone(async () => {
        await tree.remove(there(parent, name));
        parent.made = true;
      }),
    rmdir(parent, name) {
      const node = there(parent, name);
      if (node.names!.size > 0) throw new FuseError("ENOTEMPTY");
      node.remove();
      parent.made = true;
    },
    rename: (from, name, to, newName, flags) =>
      tree.alone(async () => {
        if ((flags & ~1) !== 0) throw new FuseError("EINVAL");
        const node = there(from, name);
        const other = to.names!.get(shortName(newName));
        if (other === node) return;
        if (other?.names && other.names.size > 0) {
          throw new FuseError("ENOTEMPTY");
        }
        await tree.move(node, to, newName);
        from.made = to.made = true;
      }),
  };
}

function there({ names }: KeyNode, name: string): KeyNode {
  const node = names!.get(name);
  if (node === undefined) throw new FuseError("ENOENT");
  return node;
}
