/** The files that the kernel knows by number, and the open ones among them. */

import { FUSE_ROOT_ID } from "../../sys/uapi/fuse.ts";
import { FuseError } from "./errors.ts";
import type { Dirent } from "./nodes.ts";

/** A file that the kernel knows. */
export interface Known<N> {
  readonly id: number;
  readonly node: N;
  /** Replies that named the file, less what was forgotten. */
  lookups: number;
}

/**
 * The files by their numbers. No number is used twice, so that the kernel never takes
 * one file for another.
 */
export class NodeTable<N extends object> {
  readonly #byId = new Map<number, Known<N>>();
  readonly #byNode = new Map<N, Known<N>>();
  #last = FUSE_ROOT_ID;

  constructor(root: N) {
    this.#add({ id: FUSE_ROOT_ID, node: root, lookups: 1 });
  }

  /** The files that the kernel knows. */
  get size(): number {
    return this.#byId.size;
  }

  /** Returns a file by its number. */
  get(id: number): N {
    const known = this.#byId.get(id);
    if (known === undefined) throw new FuseError("ESTALE", `no node ${id}`);
    return known.node;
  }

  /** Returns the number of a file; 0 if the kernel does not know it. */
  idOf(node: N): number {
    return this.#byNode.get(node)?.id ?? 0;
  }

  /** Returns what is known of a file. */
  find(node: N): Known<N> | undefined {
    return this.#byNode.get(node);
  }

  /** Counts a reply that names a file, and returns its number. */
  enter(node: N, found: Known<N> | undefined = this.find(node)): number {
    const known = found ?? this.#add({ id: ++this.#last, node, lookups: 0 });
    known.lookups++;
    return known.id;
  }

  /** Counts replies as forgotten. Returns `true` if the last of them was. */
  forget(id: number, lookups: number): boolean {
    const known = this.#byId.get(id);
    if (known === undefined || id === FUSE_ROOT_ID) return false;
    known.lookups -= lookups;
    return known.lookups <= 0;
  }

  /** Removes a file, unless a reply has named it since, and returns it. */
  remove(id: number): N | null {
    const known = this.#byId.get(id);
    if (known === undefined || known.lookups > 0) return null;
    this.#byId.delete(id);
    this.#byNode.delete(known.node);
    return known.node;
  }

  /**
   * Returns the numbers of the oldest files, at most half of all. They are the youngest
   * from now on.
   */
  rotate(most: number): number[] {
    const count = Math.min(most, this.size >> 1);
    const ids: number[] = [];
    for (const [id, known] of this.#byId) {
      if (ids.length >= count) break;
      if (id !== FUSE_ROOT_ID) ids.push(id);
      this.#byId.delete(id);
      this.#byId.set(id, known);
    }
    return ids;
  }

  #add(known: Known<N>): Known<N> {
    this.#byId.set(known.id, known);
    this.#byNode.set(known.node, known);
    return known;
  }
}

/** An open file or directory. */
export interface OpenFile<N> {
  readonly node: N;
  /** The value that the handler returned. */
  readonly handle: unknown;
  readonly directory: boolean;
  /** The entries of a directory, as they were at its start; `null` if not read. */
  entries: readonly (string | Dirent<N>)[] | null;
}

/** The open files by their numbers. */
export class OpenFiles<N extends object> {
  readonly #files: (OpenFile<N> | null)[] = [null];
  readonly #free: number[] = [];
  /** The open files. */
  size = 0;

  /** Adds a file, and returns its number. */
  add(node: N, handle: unknown, directory: boolean): number {
    const at = this.#free.pop() ?? this.#files.length;
    this.#files[at] = { node, handle, directory, entries: null };
    this.size++;
    return at;
  }

  /** Returns a file by its number. */
  get(at: number): OpenFile<N> {
    const file = this.#files[at] ?? null;
    if (file === null) throw new FuseError("EBADF", `no open file ${at}`);
    return file;
  }

  /** Removes a file, and returns it. */
  take(at: number): OpenFile<N> {
    const file = this.get(at);
    this.#files[at] = null;
    this.#free.push(at);
    this.size--;
    return file;
  }

  /** Removes all files, and returns them. */
  takeAll(): OpenFile<N>[] {
    const left = this.#files.filter((it) => it !== null);
    this.#files.length = 1;
    this.#free.length = 0;
    this.size = 0;
    return left;
  }
}
