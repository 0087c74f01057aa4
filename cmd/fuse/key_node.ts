/** The files and directories that the keys of a store make. */

import { FuseError } from "./errors.ts";
import type { Stat, Time } from "./stat.ts";

/** Bytes that no path reaches: <linux/limits.h>. */
const PATH_MAX = 4096;

/** A file or a directory. */
export class KeyNode {
  /** `null` for the root, and for what is gone. */
  parent: KeyNode | null = null;
  name = "";
  /** Attributes that are kept here, and not in the store. */
  attributes: { mode?: number; uid?: number; gid?: number; mtime?: Time } = {};
  /** The value, as long as it is open, changed or cached. */
  value: Uint8Array | null = null;
  /** The promise of the value. */
  loading: Promise<Uint8Array> | null = null;
  /** The value is not stored yet. */
  dirty = false;
  /** It was removed. A program may be in a directory that is gone. */
  gone = false;
  /** Open files. */
  opens = 0;
  /** A directory is there without a key below. */
  made = false;
  /** The time after which the size and a cached value are asked for again. */
  until = 0;
  #size = 0;
  /** The memory of the value is the store's. */
  #shared = false;

  /** @param names `null` for a file. */
  constructor(readonly names: Map<string, KeyNode> | null) {}

  /** The names from the root to it, with slashes between; "" for the root. */
  get key(): string {
    return this.parent === null ? "" : this.parent.path(this.name);
  }

  /**
   * Returns the key of a name in a directory.
   *
   * @throws {FuseError} ENOENT for a directory that is gone: the key would be another's.
   */
  path(name: string): string {
    if (this.gone) throw new FuseError("ENOENT");
    const { key } = this;
    return key === "" ? name : `${key}/${name}`;
  }

  /** Bytes of the value, as far as it is known. */
  get size(): number {
    return this.value?.length ?? this.#size;
  }

  get stat(): Stat {
    const { attributes, names, size } = this;
    return { kind: names ? "directory" : "file", ...attributes, size };
  }

  /** `true` while the store need not be asked for size and value. */
  get known(): boolean {
    return this.names !== null || this.dirty ||
      performance.now() < this.until ||
      this.opens > 0 && this.value !== null;
  }

  /** `true` for a file that is open, or not stored yet. */
  get inUse(): boolean {
    return this.dirty || this.opens > 0;
  }

  /** Gives it a name, in place of the one that it has. */
  put(parent: KeyNode, name: string): this {
    this.remove();
    parent.names!.set(name, this);
    this.parent = parent;
    this.name = name;
    this.gone = false;
    return this;
  }

  remove(): void {
    this.parent?.names?.delete(this.name);
    this.parent = null;
    this.gone = true;
  }

  /** Takes what the store says of a value that is not here. */
  found(size: number, mtime?: Time): void {
    this.#size = size;
    if (mtime !== undefined) this.attributes.mtime = mtime;
  }

  /** Takes a value of the store, which is copied when it is to change. */
  take(value: Uint8Array): Uint8Array {
    this.#shared = true;
    return this.value = value;
  }

  /** Forgets the value, but not its size. */
  drop(): void {
    this.#size = this.size;
    this.value = null;
  }

  /** Changes the size of the value, and marks it as changed. */
  resize(size: number): Uint8Array {
    const old = this.value ?? new Uint8Array(0);
    const { buffer } = old;
    if (this.#shared || size > buffer.byteLength || this.value === null) {
      // Room for more, so that a file that grows is not copied with each write.
      const more = size > old.length ? Math.min(size, 2 ** 24) : 0;
      this.value = new Uint8Array(size + more).subarray(0, size);
      this.value.set(old.subarray(0, size));
      this.#shared = false;
    } else {
      old.fill(0, size);
      this.value = new Uint8Array(buffer, 0, size);
    }
    this.attributes.mtime = Date.now();
    this.dirty = true;
    return this.value;
  }

  write(data: Uint8Array, offset: number): void {
    const { length } = this.value!;
    this.resize(Math.max(length, offset + data.length)).set(data, offset);
  }

  /** Returns the files below it, or itself. */
  files(): KeyNode[] {
    if (this.names === null) return [this];
    return [...this.names.values()].flatMap((node) => node.files());
  }

  /**
   * Returns the file of a key, which is made if need be. `null` for a key that is no
   * path, and for one that has others below.
   */
  place(key: string): KeyNode | null {
    if (key.length >= PATH_MAX || !key.isWellFormed()) return null;
    const [name, ...below] = key.split("/", 2);
    if (!isName(name)) return null;
    const found = this.names!.get(name);
    if (below.length === 0) {
      if (found?.names) return null;
      return found ?? new KeyNode(null).put(this, name);
    }
    let directory = found;
    if (directory === undefined || directory.names === null) {
      if (found?.inUse) return null;
      // A file makes way for the directory of its name.
      found?.remove();
      directory = new KeyNode(new Map()).put(this, name);
    }
    return directory.place(key.slice(name.length + 1));
  }

  /** Removes files whose keys are gone, and directories that are empty then. */
  sweep(seen: ReadonlySet<KeyNode>): void {
    for (const node of [...this.names?.values() ?? []]) {
      node.sweep(seen);
      const stays = node.names === null
        ? seen.has(node) || node.inUse
        : node.made || node.names.size > 0;
      if (!stays) node.remove();
    }
  }
}

function isName(part: string): boolean {
  return part !== "" && part !== "." && part !== ".." && part.length < 256 &&
    !part.includes("\0");
}
