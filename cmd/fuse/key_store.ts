/** A store of keys and values, with the tree of its keys and what is cached of it. */

import { checkBytes } from "../../ring/check.ts";
import type { Awaitable } from "./awaitable.ts";
import { FuseError } from "./errors.ts";
import { KeyNode } from "./key_node.ts";
import type { Stat, Time } from "./stat.ts";

/** The facts that a store knows of a value. */
export interface KeyValueStat {
  /** Bytes. */
  readonly size: number;
  /** The time at which it was stored. */
  readonly mtime?: Time;
}

/** A key, with what the store knows of its value. */
export interface KeyValueEntry extends KeyValueStat {
  /** The key. */
  readonly key: string;
}

/** Keys, which may say the sizes of their values. */
export type KeyValueKeys =
  | Iterable<string | KeyValueEntry>
  | AsyncIterable<string | KeyValueEntry>;

/**
 * A store of values by keys. Each method returns its value, or a promise of it: a
 * `Map<string, Uint8Array>` is a store.
 */
export interface KeyValueStore {
  /** Returns all keys, best with sizes: then nothing else is asked for them. */
  keys(): Awaitable<KeyValueKeys>;
  /** Returns a value. `undefined` or `null`: there is none. */
  get(key: string): Awaitable<Uint8Array | null | undefined>;
  /** Stores a value. Without it, all files are to be read only. */
  set?(key: string, value: Uint8Array<ArrayBuffer>): unknown;
  /** Removes a key, if it is there. */
  delete?(key: string): unknown;
  /** Returns size and time of a value. Default: those of `keys`, or `get` finds out. */
  stat?(key: string): Awaitable<KeyValueStat | null | undefined>;
  /** Returns `length` bytes of a value. Without it, a file that is read is kept whole. */
  getPart?(key: string, offset: number, length: number): Awaitable<Uint8Array>;
}

/** Options of {@linkcode keyValue}. */
export interface KeyValueOptions {
  /**
   * Milliseconds for which the list of keys, sizes and cached values are not asked for
   * again. Default 1000.
   */
  ttlMs?: number;
  /** Bytes of values that are kept of files that are not open. Default 16 MiB. */
  cacheBytes?: number;
}

/** The known part of a store, and the changes that are not stored yet. */
export class KeyTree {
  readonly root = new KeyNode(new Map());
  #listed = -Infinity;
  #turn: Promise<unknown> = Promise.resolve();
  /** Closed files with values, from the oldest on. */
  readonly #cached = new Set<KeyNode>();
  #cachedBytes = 0;

  constructor(
    readonly store: KeyValueStore,
    readonly options: Required<KeyValueOptions>,
  ) {}

  /** Lists of keys, and changes of them, take turns. */
  alone<T>(call: () => Awaitable<T>): Promise<T> {
    const done = this.#turn.then(call);
    this.#turn = done.catch(() => {});
    return done;
  }

  #later(): number {
    return performance.now() + this.options.ttlMs;
  }

  /** Brings the tree up to date. */
  async list(): Promise<void> {
    if (performance.now() < this.#listed) return;
    await this.alone(async () => {
      if (performance.now() < this.#listed) return;
      const until = this.#later();
      const seen = new Set<KeyNode>();
      for await (const entry of await this.store.keys()) {
        const isKey = typeof entry === "string";
        const file = this.root.place(isKey ? entry : entry.key);
        if (file === null) continue;
        seen.add(file);
        if (!isKey && !file.inUse) this.#found(file, entry, until);
      }
      this.root.sweep(seen);
      this.#listed = until;
    });
  }

  /** Takes what the store says of a file. */
  #found(file: KeyNode, { size, mtime }: KeyValueStat, until: number): void {
    const known = file.attributes.mtime;
    const same = size === file.size && mtime !== undefined &&
      known !== undefined && Number(mtime) === Number(known);
    if (!same && file.value !== null) {
      this.take(file);
      file.drop();
    }
    file.found(size, mtime);
    file.until = until;
  }

  /** Takes a file out of the cache. */
  take(node: KeyNode): void {
    if (this.#cached.delete(node)) this.#cachedBytes -= node.value!.length;
  }

  /** Keeps the value of a closed file while there is room. */
  settle(node: KeyNode): void {
    if (node.opens > 0 || node.dirty || node.value === null) return;
    this.take(node);
    this.#cached.add(node);
    this.#cachedBytes += node.value.length;
    for (const oldest of this.#cached) {
      if (this.#cachedBytes <= this.options.cacheBytes) return;
      this.take(oldest);
      oldest.drop();
    }
  }

  /** Returns the value of a file. */
  load(node: KeyNode): Awaitable<Uint8Array> {
    return node.value ??
      (node.loading ??= this.#get(node).finally(() => node.loading = null));
  }

  async #get(node: KeyNode): Promise<Uint8Array> {
    const value = node.parent && await this.store.get(node.key);
    // It may have been written meanwhile.
    if (node.value !== null) return node.value;
    if (value === null || value === undefined) throw new FuseError("ENOENT");
    checkBytes("what get() returns", value); // Else it would be an empty file.
    node.until = this.#later();
    return node.take(value);
  }

  /** Returns the attributes of a file; `null` if its key is gone. */
  async stat(node: KeyNode): Promise<Stat | null> {
    if (node.known || node.parent === null) return node.stat;
    if (this.store.stat === undefined) await this.list();
    if (node.known || node.parent === null) return node.stat;
    this.take(node);
    node.drop();
    if (this.store.stat === undefined) {
      await this.load(node);
      this.settle(node);
      return node.stat;
    }
    const found = await this.store.stat(node.key);
    if (found === null || found === undefined) return null;
    node.found(found.size, found.mtime);
    node.until = this.#later();
    return node.stat;
  }

  /** Stores a file that was written. */
  async save(node: KeyNode): Promise<void> {
    if (!node.dirty) return;
    await this.alone(async () => {
      if (!node.dirty || node.parent === null) return;
      node.dirty = false;
      // Until it is stored, the store would return an old size.
      node.until = Infinity;
      try {
        await this.store.set!(node.key, node.value!.slice());
      } catch (error) {
        node.dirty = true;
        throw error;
      } finally {
        node.until = this.#later();
      }
    });
  }

  /** Removes a file. Its value stays while it is open. */
  async remove(node: KeyNode): Promise<void> {
    if (node.opens > 0) await this.load(node);
    await this.store.delete!(node.key);
    this.take(node);
    node.remove();
  }

  /** Stores all values below a node under other keys. */
  async move(node: KeyNode, parent: KeyNode, name: string): Promise<void> {
    const { store } = this;
    const replaced = parent.names!.get(name);
    if (replaced && replaced.opens > 0) await this.load(replaced);
    const files = node.files();
    const keys = files.map(({ key }) => key);
    const [from, to] = [node.key, parent.path(name)];
    for (const [i, file] of files.entries()) {
      const value = await this.load(file);
      await store.set!(to + keys[i].slice(from.length), value.slice());
      this.settle(file);
    }
    for (const key of keys) await store.delete!(key);
    if (replaced) this.take(replaced);
    replaced?.remove();
    node.put(parent, name);
  }
}
