/** Makes a node-based filesystem of a path-based one. */

import type { Awaitable } from "./awaitable.ts";
import type { Context } from "./context.ts";
import type { FileSystem } from "./file_system.ts";
import { Layer } from "./layer.ts";
import type { NodeFileSystem } from "./nodes.ts";
import { type PathNode, PathTree } from "./tree.ts";

/** A path-based filesystem, as the server needs it. */
export interface Paths<H> {
  readonly fs: NodeFileSystem<PathNode, H>;
  readonly tree: PathTree;
  /** Asks whether the kernel knows a node. The mount sets it. */
  known: (node: PathNode) => boolean;
}

/** Methods of both interfaces that differ in a path for a node. */
const SAME = [
  ...["readlink", "flush", "fsync", "fallocate", "lseek", "access"],
  ...["statfs", "opendir", "releasedir", "fsyncdir"],
  ...["getxattr", "setxattr", "listxattr", "removexattr"],
] as const;

/** The like that may wait for another process: a rename does not wait for them. */
const WAITING = ["lock", "poll", "ioctl"] as const;

/** A method, whose arguments are passed on as they are. */
type Method = (path: string, ...args: unknown[]) => Awaitable<unknown>;

/** Makes the nodes of a filesystem. What it has no method for, they have not. */
export function pathsOf<H>(user: FileSystem<H>): Paths<H> {
  const tree = new PathTree();
  const layer = new Layer(user, tree);
  const { at } = layer;
  const paths: Paths<H> = {
    tree,
    known: () => true,
    fs: {
      root: tree.root,
      truncatesOnOpen: user.open === undefined && user.truncate !== undefined,
      pathOf: (node) => tree.pathOf(node),
      forget: (node) => tree.forget(node, (it) => paths.known(it)),
      adopt: (parent, name) => tree.make(parent, name),
      lookup: (parent, name, ctx) => layer.lookup(parent, name, ctx),
      getattr: (node, ctx) => at(node, ctx, (p) => user.getattr(p, ctx)),
      open: (node, flags, ctx) => layer.open(node, flags, ctx),
      release: (node, ctx) => layer.release(node, ctx),
      ...files(user, layer),
      ...names(user, layer),
    },
  };
  for (const name of SAME) {
    const method = user[name] as Method | undefined;
    if (method === undefined) continue;
    const call = (node: PathNode, ...args: unknown[]) =>
      at(
        node,
        args[args.length - 1] as Context<H>,
        (path) => method.call(user, path, ...args),
      );
    Object.assign(paths.fs, { [name]: call });
  }
  for (const name of WAITING) {
    const method = user[name] as Method | undefined;
    if (method === undefined) continue;
    const call = (node: PathNode, ...args: unknown[]) =>
      method.call(user, tree.pathOf(node), ...args);
    Object.assign(paths.fs, { [name]: call });
  }
  return paths;
}

type Methods<H> = Partial<NodeFileSystem<PathNode, H>>;

/** Methods on the content and the attributes of files. */
function files<H>(user: FileSystem<H>, layer: Layer<H>): Methods<H> {
  const { at, tree } = layer;
  const methods: Methods<H> = {};
  if (user.read !== undefined) {
    methods.read = (node, into, ctx) =>
      at(node, ctx, (path) => user.read!(path, into, ctx));
  }
  if (user.write !== undefined) {
    methods.write = (node, data, ctx) =>
      at(node, ctx, (path) => user.write!(path, data, ctx));
  }
  if (user.copyFileRange !== undefined) {
    methods.copyFileRange = (from, { node, offset, handle }, length, ctx) =>
      at(from, ctx, (path) => {
        const to = { path: tree.pathOf(node), offset, handle };
        return user.copyFileRange!(path, to, length, ctx);
      });
  }
  if (user.truncate ?? user.chmod ?? user.chown ?? user.utimens) {
    methods.setattr = (node, changes, ctx) => layer.setattr(node, changes, ctx);
  }
  if (user.init !== undefined) methods.init = () => user.init!();
  if (user.destroy !== undefined) methods.destroy = () => user.destroy!();
  return methods;
}

/** Methods that find, make and move names. */
function names<H>(user: FileSystem<H>, layer: Layer<H>): Methods<H> {
  const { tree } = layer;
  const methods: Methods<H> = {};
  if (user.readdir !== undefined) {
    methods.readdir = (node, ctx) => layer.readdir(node, ctx);
  }
  if (user.create !== undefined) {
    methods.create = (parent, name, mode, flags, ctx) =>
      layer.create(parent, name, mode, flags, ctx);
  }
  if (user.mknod !== undefined || user.create !== undefined) {
    methods.mknod = (parent, name, mode, rdev, ctx) =>
      layer.mknod(parent, name, mode, rdev, ctx);
  }
  if (user.mkdir !== undefined) {
    methods.mkdir = (parent, name, mode, ctx) =>
      layer.made(parent, name, ctx, (path) => user.mkdir!(path, mode, ctx));
  }
  if (user.symlink !== undefined) {
    methods.symlink = (parent, name, target, ctx) =>
      layer.made(parent, name, ctx, (path) => user.symlink!(target, path, ctx));
  }
  if (user.link !== undefined) {
    methods.link = (node, parent, name, ctx) =>
      layer.made(
        parent,
        name,
        ctx,
        (path) => user.link!(tree.pathOf(node), path, ctx),
      );
  }
  if (user.unlink !== undefined) {
    methods.unlink = (parent, name, ctx) => layer.unlink(parent, name, ctx);
  }
  if (user.rmdir !== undefined) {
    methods.rmdir = (parent, name, ctx) => layer.rmdir(parent, name, ctx);
  }
  if (user.rename !== undefined) {
    methods.rename = (from, name, to, newName, flags, ctx) =>
      layer.rename(from, name, to, newName, flags, ctx);
  }
  return methods;
}
