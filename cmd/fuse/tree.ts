/**
 * The tree of names that the kernel knows, for filesystems that go by paths.
 *
 * A file is found by walking from it to the root, so that a rename of a directory
 * moves one node, whatever is below. What renames or removes waits for the operations
 * in flight below, and those that come meanwhile wait for it: each handler gets a path
 * that stays good until it answers.
 */

import { atEnd, type Awaitable, isPromise, promiseOf } from "./awaitable.ts";
import { FuseError } from "./errors.ts";

/** A name that the kernel knows. */
export class PathNode {
  children: Map<string, PathNode> | null = null;
  /** The handle that `open` returned, for each of the open files. */
  handles: unknown[] | null = null;
  /** The program unlinked it. Its file is there until the last close. */
  hidden = false;
  /** The path, as long as nothing was renamed since `epoch`. */
  path = "";
  epoch = -1;

  constructor(
    /** `null` for the root, and for a file that is gone. */
    public parent: PathNode | null,
    public name: string,
  ) {}
}

/** The names that an operation changes, and those that must stay meanwhile. */
export interface Change {
  /** The files whose paths it changes, with all below them. */
  readonly nodes: readonly PathNode[];
  /** The directories in which it does. */
  readonly dirs: readonly PathNode[];
}

/** A change that waits for the end of others. */
interface Barrier extends Change {
  readonly over: Promise<void>;
}

export class PathTree {
  readonly root = new PathNode(null, "");
  /** Files that the program unlinked and that are there still. */
  hidden = 0;
  /** Counts renames: a path from before may be another file's. */
  #epoch = 0;
  /** Nodes with operations in flight, and how many. */
  readonly #busy = new Map<PathNode, number>();
  readonly #barriers: Barrier[] = [];
  /** Are called when an operation has ended. */
  readonly #waiting = new Set<() => void>();

  /** Returns the path of a node; "" for a file that is gone. */
  pathOf(node: PathNode): string {
    if (node.epoch === this.#epoch) return node.path;
    let path = "";
    let at = node;
    for (; at.parent !== null; at = at.parent) path = `/${at.name}${path}`;
    node.path = at !== this.root ? "" : path === "" ? "/" : path;
    node.epoch = this.#epoch;
    return node.path;
  }

  /**
   * Returns the path of a name in a directory.
   *
   * @throws {FuseError} ENOENT for a directory that is gone.
   */
  join(parent: PathNode, name: string): string {
    const path = this.pathOf(parent);
    if (path === "") throw new FuseError("ENOENT");
    return path === "/" ? `/${name}` : `${path}/${name}`;
  }

  /** Returns the node of a path; `undefined` if the kernel does not know it. */
  find(path: string): PathNode | undefined {
    let node: PathNode | undefined = this.root;
    for (const name of path.split("/")) {
      if (name !== "") node = node?.children?.get(name);
    }
    return node;
  }

  /** Returns the node of a name; `undefined` if the kernel does not know it. */
  child(parent: PathNode, name: string): PathNode | undefined {
    return parent.children?.get(name);
  }

  /** Returns the node of a name, which is made if need be. */
  make(parent: PathNode, name: string): PathNode {
    const found = parent.children?.get(name);
    if (found !== undefined) return found;
    const node = new PathNode(parent, name);
    (parent.children ??= new Map()).set(name, node);
    return node;
  }

  /** Removes a node that the kernel has forgotten, and its parents likewise. */
  forget(node: PathNode, known: (node: PathNode) => boolean): void {
    let at: PathNode | null = node;
    while (at !== null && at !== this.root && !known(at)) {
      if (at.children !== null && at.children.size > 0) return;
      const parent: PathNode | null = at.parent;
      this.#detach(at);
      at = parent;
    }
  }

  /** Removes a name. Its node has no path from now on. */
  remove(node: PathNode): void {
    if (node.hidden) this.hidden--;
    node.hidden = false;
    this.#detach(node);
    node.parent = null;
    this.#epoch++;
  }

  /** Gives a node another name. Whatever had it is gone. */
  move(node: PathNode, parent: PathNode, name: string): void {
    const replaced = this.child(parent, name);
    if (replaced === node) return;
    if (replaced !== undefined) this.remove(replaced);
    this.#detach(node);
    this.#attach(node, parent, name);
  }

  /** Exchanges the names of two nodes. */
  exchange(a: PathNode, b: PathNode): void {
    const { parent, name } = a;
    const { parent: otherParent, name: otherName } = b;
    this.#detach(a);
    this.#detach(b);
    this.#attach(a, otherParent!, otherName);
    this.#attach(b, parent!, name);
  }

  #attach(node: PathNode, parent: PathNode, name: string): void {
    node.parent = parent;
    node.name = name;
    (parent.children ??= new Map()).set(name, node);
    this.#epoch++;
  }

  #detach({ parent, name }: PathNode): void {
    parent?.children?.delete(name);
  }

  // ---- Who waits for whom ----------------------------------------------------

  /** Calls a handler of a node. It waits while the path of the node may change. */
  use<T>(node: PathNode, call: () => Awaitable<T>): Awaitable<T> {
    if (this.#barriers.length > 0) {
      const barrier = this.#barriers.find(({ nodes }) => isBelow(node, nodes));
      if (barrier !== undefined) {
        return barrier.over.then(() => this.use(node, call));
      }
    }
    const result = call();
    if (!isPromise(result)) return result;
    const promise = promiseOf(result); // Two wait for it.
    this.#track(node, promise);
    return promise;
  }

  /** Counts a node as busy until a promise settles. */
  #track(node: PathNode, result: Promise<unknown>): void {
    const busy = this.#busy;
    busy.set(node, (busy.get(node) ?? 0) + 1);
    void atEnd(result, () => {
      const left = busy.get(node)! - 1;
      if (left > 0) busy.set(node, left);
      else busy.delete(node);
      for (const wake of this.#waiting) wake();
      this.#waiting.clear();
    });
  }

  /**
   * Calls a handler that changes paths, when no operation on them is in flight, and no
   * change before that concerns the same.
   */
  alone<T>(change: Change, call: () => Awaitable<T>): Awaitable<T> {
    const free = this.#busy.size === 0 && this.#barriers.length === 0;
    if (!free) return this.#queue(change, () => this.#quiet(change), call);
    const result = call();
    if (!isPromise(result)) return result;
    return this.#queue(change, () => Promise.resolve(), () => result);
  }

  async #queue<T>(
    change: Change,
    quiet: () => Promise<void>,
    call: () => Awaitable<T>,
  ): Promise<T> {
    const { promise, resolve } = Promise.withResolvers<void>();
    // One whose handler never answers must not hold up the others.
    const before = this.#barriers.filter((other) => collide(change, other));
    const barrier = { ...change, over: promise };
    this.#barriers.push(barrier);
    try {
      for (const { over } of before) await over;
      await quiet();
      return await call();
    } finally {
      this.#barriers.splice(this.#barriers.indexOf(barrier), 1);
      resolve();
    }
  }

  /** Waits until no operation of a node below is in flight. */
  async #quiet({ nodes }: Change): Promise<void> {
    while ([...this.#busy.keys()].some((node) => isBelow(node, nodes))) {
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }
}

/** Returns `true` if a change moves what another needs. */
function collide(a: Change, b: Change): boolean {
  return moves(a, b) || moves(b, a);
}

function moves({ nodes }: Change, other: Change): boolean {
  return [...other.nodes, ...other.dirs].some((node) => isBelow(node, nodes));
}

/** Returns `true` for one of the nodes, and for what is below them. */
function isBelow(node: PathNode, nodes: readonly PathNode[]): boolean {
  for (let at: PathNode | null = node; at !== null; at = at.parent) {
    if (nodes.includes(at)) return true;
  }
  return false;
}
