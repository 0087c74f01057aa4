/** The operations of a path-based filesystem that are more than a call with a path. */

import { O_TRUNC } from "../../sys/uapi/fcntl.ts";
import { S_IFMT, S_IFREG } from "../../sys/uapi/fs.ts";
import { after, type Awaitable, orElse } from "./awaitable.ts";
import type { Context } from "./context.ts";
import { FuseError } from "./errors.ts";
import type { FileSystem } from "./file_system.ts";
import type { Changes, Dirents, Entry } from "./nodes.ts";
import type { Change, PathNode, PathTree } from "./tree.ts";

/** Exchange the two names. */
const RENAME_EXCHANGE = 2;
/** The name of a file that was unlinked while it is open. */
const HIDDEN = ".fuse_hidden";

export class Layer<H> {
  #hidden = 0;

  constructor(
    readonly user: FileSystem<H>,
    readonly tree: PathTree,
  ) {}

  /** Calls a handler with the path of a node. */
  readonly at = <T>(
    node: PathNode,
    ctx: Context<H>,
    call: (path: string) => Awaitable<T>,
  ): Awaitable<T> =>
    this.tree.use(node, () => {
      // fstat(2) of an unlinked file comes without its open file.
      if (ctx.handle === undefined && node.handles !== null) {
        ctx.handle = node.handles.at(-1) as H;
      }
      return call(this.tree.pathOf(node));
    });

  lookup(
    parent: PathNode,
    name: string,
    ctx: Context<H>,
  ): Awaitable<Entry<PathNode> | null> {
    const { tree, user } = this;
    return tree.use(
      parent,
      () =>
        after(
          user.getattr(tree.join(parent, name), ctx),
          (stat) =>
            stat === null || stat === undefined
              ? null
              : { node: tree.make(parent, name), stat },
        ),
    );
  }

  /** Calls a handler that makes a file, then asks for its attributes. */
  made<T>(
    parent: PathNode,
    name: string,
    ctx: Context<H>,
    call: (path: string) => Awaitable<T>,
    undo: (path: string, handle: T) => void = () => {},
  ): Awaitable<Entry<PathNode> & { handle: T }> {
    const { tree, user } = this;
    return tree.use(parent, () => {
      const path = tree.join(parent, name);
      return after(
        call(path),
        (handle) =>
          orElse(() =>
            after(user.getattr(path, ctx), (stat) => {
              if (stat === null || stat === undefined) {
                throw new FuseError(
                  "EIO",
                  `${path} was made, and is not there`,
                );
              }
              return { node: tree.make(parent, name), stat, handle };
            }), () => undo(path, handle)),
      );
    });
  }

  create(
    parent: PathNode,
    name: string,
    mode: number,
    flags: number,
    ctx: Context<H>,
  ) {
    const made = this.made(
      parent,
      name,
      ctx,
      (path) => this.user.create!(path, mode, flags, ctx),
      (path, handle) => void this.#drop(path, handle as H, ctx),
    );
    return after(made, ({ node, stat, handle }) => {
      (node.handles ??= []).push(handle);
      return { node, stat, handle: handle as H };
    });
  }

  /** Releases a file of which the kernel is not told. The error is another one's. */
  async #drop(path: string, handle: H, ctx: Context<H>): Promise<void> {
    try {
      ctx.handle = handle;
      await this.user.release?.(path, ctx);
    } catch {
      // As it says above.
    }
  }

  mknod(
    parent: PathNode,
    name: string,
    mode: number,
    rdev: number,
    ctx: Context<H>,
  ): Awaitable<Entry<PathNode>> {
    const { user } = this;
    return this.made(parent, name, ctx, (path) => {
      if (user.mknod !== undefined) return user.mknod(path, mode, rdev, ctx);
      const type = mode & S_IFMT;
      if (type !== S_IFREG && type !== 0) throw new FuseError("EPERM");
      return after(user.create!(path, mode & 0o7777, 0, ctx), (handle) => {
        ctx.handle = handle as H;
        return user.release?.(path, ctx);
      });
    });
  }

  open(node: PathNode, flags: number, ctx: Context<H>): Awaitable<H | void> {
    const { user } = this;
    const open = (path: string): Awaitable<H | void> => {
      if (user.open !== undefined) return user.open(path, flags, ctx);
      if ((flags & O_TRUNC) === 0) return undefined;
      return after(user.truncate?.(path, 0, ctx), () => undefined);
    };
    return after(
      this.tree.use(node, () => open(this.tree.pathOf(node))),
      (handle) => {
        (node.handles ??= []).push(handle);
        return handle;
      },
    );
  }

  release(node: PathNode, ctx: Context<H>): Awaitable<void> {
    const { tree, user } = this;
    const handles = node.handles ?? [];
    handles.splice(handles.indexOf(ctx.handle), 1);
    if (handles.length === 0) node.handles = null;
    return after(
      user.release === undefined
        ? undefined
        : tree.use(node, () => user.release!(tree.pathOf(node), ctx)),
      () => {
        if (!node.hidden || node.handles !== null) return;
        return this.#remove(node, () => user.unlink!(tree.pathOf(node), ctx));
      },
    );
  }

  readdir(node: PathNode, ctx: Context<H>): Awaitable<Dirents<PathNode>> {
    const { tree, user } = this;
    return this.at(node, ctx, (path) => {
      if (path === "") return [];
      const found = user.readdir!(path, ctx);
      if (tree.hidden === 0) return found;
      return after(found, (dirents) => withoutHidden(tree, node, dirents));
    });
  }

  setattr(node: PathNode, what: Changes, ctx: Context<H>): Awaitable<void> {
    const { user } = this;
    return this.at(node, ctx, (path) => {
      const { size, mode, uid, gid, atime, mtime } = what;
      const steps: (() => Awaitable<void>)[] = [];
      const step = (method: keyof FileSystem, call: () => Awaitable<void>) => {
        if (user[method] === undefined) {
          throw new FuseError(user.write === undefined ? "EROFS" : "ENOSYS");
        }
        steps.push(call);
      };
      if (size !== undefined) {
        step("truncate", () => user.truncate!(path, size, ctx));
      }
      if (mode !== undefined) {
        step("chmod", () => user.chmod!(path, mode, ctx));
      }
      if (uid !== undefined || gid !== undefined) {
        step("chown", () => user.chown!(path, uid ?? -1, gid ?? -1, ctx));
      }
      // A write sets the times of its file: that needs no method.
      const times = atime !== undefined || mtime !== undefined;
      if (times && !(size !== undefined && user.utimens === undefined)) {
        step("utimens", () => user.utimens!(path, { atime, mtime }, ctx));
      }
      return steps.reduce<Awaitable<void>>(
        (before, next) => after(before, next),
        undefined,
      );
    });
  }

  // ---- What changes paths ----------------------------------------------------

  unlink(parent: PathNode, name: string, ctx: Context<H>): Awaitable<void> {
    const { tree, user } = this;
    const node = tree.child(parent, name);
    const unlink = () => user.unlink!(tree.join(parent, name), ctx);
    const change = changeOf([node], [parent]);
    if (node === undefined) return tree.alone(change, unlink);
    return tree.alone(change, () => {
      if (this.#needsItsName(node)) return this.#hide(node, ctx);
      return after(unlink(), () => tree.remove(node));
    });
  }

  rmdir(parent: PathNode, name: string, ctx: Context<H>): Awaitable<void> {
    const { tree, user } = this;
    const node = tree.child(parent, name);
    return tree.alone(
      changeOf([node], [parent]),
      () =>
        after(user.rmdir!(tree.join(parent, name), ctx), () => {
          if (node !== undefined) tree.remove(node);
        }),
    );
  }

  rename(
    from: PathNode,
    name: string,
    to: PathNode,
    newName: string,
    flags: number,
    ctx: Context<H>,
  ): Awaitable<void> {
    const { tree, user } = this;
    // The kernel itself looks whether the new name exists (vfs_rename()).
    const exchange = (flags & RENAME_EXCHANGE) !== 0;
    if ((flags & ~1) !== 0 && user.rename!.length < 3) {
      throw new FuseError("EINVAL");
    }
    const moved = tree.child(from, name);
    const replaced = tree.child(to, newName);
    return tree.alone(changeOf([moved, replaced], [from, to]), () => {
      const hidden = !exchange && replaced !== undefined &&
          this.#needsItsName(replaced)
        ? this.#hide(replaced, ctx)
        : undefined;
      return after(hidden, () => {
        const path = tree.join(to, newName);
        const done = user.rename!(tree.join(from, name), path, flags, ctx);
        return after(done, () => {
          const source = moved ?? tree.make(from, name);
          if (exchange) {
            tree.exchange(source, replaced ?? tree.make(to, newName));
          } else tree.move(source, to, newName);
        });
      });
    });
  }

  /** Returns `true` for an open file that only its name leads to. */
  #needsItsName(node: PathNode): boolean {
    return this.user.rename !== undefined && node.handles !== null &&
      node.handles.includes(undefined);
  }

  /** Renames an open file in place of unlinking it, as libfuse does. */
  #hide(node: PathNode, ctx: Context<H>): Awaitable<void> {
    const { tree, user } = this;
    const parent = node.parent!;
    const name = `${HIDDEN}${(++this.#hidden).toString(16).padStart(8, "0")}`;
    const [from, to] = [tree.pathOf(node), tree.join(parent, name)];
    return after(user.rename!(from, to, 0, ctx), () => {
      tree.move(node, parent, name);
      if (!node.hidden) tree.hidden++;
      node.hidden = true;
    });
  }

  #remove(node: PathNode, call: () => Awaitable<void>): Awaitable<void> {
    const { tree } = this;
    const change = changeOf([node], []);
    return tree.alone(change, () => after(call(), () => tree.remove(node)));
  }
}

/** Describes a change of the nodes of some names, where the kernel knows them. */
function changeOf(
  nodes: readonly (PathNode | undefined)[],
  dirs: readonly PathNode[],
): Change {
  return { nodes: nodes.filter((node) => node !== undefined), dirs };
}

/** Leaves out the files that were unlinked while they are open. */
function withoutHidden(
  tree: PathTree,
  node: PathNode,
  dirents: Dirents,
): Dirents {
  const shown = (entry: string | { readonly name: string }) => {
    const name = typeof entry === "string" ? entry : entry.name;
    return !(name.startsWith(HIDDEN) && tree.child(node, name)?.hidden);
  };
  if (!(Symbol.asyncIterator in dirents)) {
    return Array.from(dirents).filter(shown);
  }
  return (async function* () {
    for await (const entry of dirents) if (shown(entry)) yield entry;
  })();
}
