/** Mounts a filesystem, and serves it. */

import { close } from "../../sys/file.ts";
import {
  checkFunction,
  checkObject,
  checkPrototype,
} from "../../ring/check.ts";
import { unmountByChild, Watchdog } from "./children.ts";
import type { FileSystem } from "./file_system.ts";
import { type Files, LiveMount, type Mount } from "./live.ts";
import { findDirectory, type Mounted, mountFuse } from "./mounting.ts";
import type { NodeFileSystem } from "./nodes.ts";
import { type MountOptions, wishesOf } from "./options.ts";
import { pathsOf } from "./paths.ts";
import type { AnyNode } from "./server.ts";
import { waiterFor } from "./waiting.ts";

/**
 * Mounts a filesystem on a directory, and serves it in this thread. Resolves when
 * programs can use it. Linux 5.19, with `fuse` in the kernel. Root mounts by itself,
 * other users with fusermount3.
 *
 * It needs `--allow-ffi` and `--allow-run=sh,umount,fusermount3`.
 *
 * Do not use the mount from the thread that serves it, except by functions such as
 * `Deno.readFile`, which open and close a file in another thread. `readFileSync`,
 * `Deno.open(path).close()`, `import` and `Deno.Command` with a program of it wait for
 * an answer that this thread cannot give.
 *
 * @param fs Functions of paths, or of nodes: an object with `root` is node-based.
 * @throws {FuseError} if it cannot be mounted, with the reason and the remedy.
 */
export function mount<H>(
  dir: string,
  fs: FileSystem<H>,
  options?: MountOptions,
): Promise<Mount>;
/** Mounts a filesystem whose files are objects: an object with `root`. */
export function mount<N extends object, H>(
  dir: string,
  fs: NodeFileSystem<N, H>,
  options?: MountOptions,
): Promise<Mount>;
export async function mount(
  dir: string,
  fs: FileSystem | NodeFileSystem<AnyNode>,
  options: MountOptions = {},
): Promise<Mount> {
  checkPrototype(checkObject("options", options));
  checkFunction("getattr", checkObject("fs", fs).getattr);
  const files = "root" in fs ? nodesOnly(fs) : withPaths(fs);
  const { signal } = options;
  signal?.throwIfAborted();
  const found = findDirectory(dir);
  const wishes = wishesOf(files.fs, options);
  await files.fs.init?.();
  const watchdog = watch(found, options);
  let mounted: Mounted | null = null;
  let live: LiveMount | null = null;
  try {
    mounted = await mountFuse({
      dir: found,
      name: options.name ?? "deno",
      subtype: options.subtype ?? "",
      readOnly: options.readOnly ?? false,
      allowOther: options.allowOther ?? false,
      defaultPermissions: options.defaultPermissions ?? true,
    });
    const waiter = waiterFor(mounted.fd);
    live = new LiveMount(found, mounted, waiter, files, wishes, options);
    await live.begin(watchdog);
    return live;
  } catch (error) {
    // A mount that is not served would hang whoever looks at it.
    if (live !== null) live.abort();
    else if (mounted !== null) close(mounted.fd);
    if (mounted !== null) {
      await unmountByChild(found, { lazy: true }).catch(() => {});
    }
    await watchdog?.stop();
    throw error;
  }
}

function withPaths<H>(user: FileSystem<H>): Files {
  const paths = pathsOf(user);
  return {
    fs: paths.fs as NodeFileSystem<AnyNode>,
    find: (path) => paths.tree.find(path),
    serve: ({ nodes }) => paths.known = (node) => nodes.idOf(node) !== 0,
  };
}

function nodesOnly(fs: NodeFileSystem<AnyNode>): Files {
  return { fs, find: () => undefined, serve: () => {} };
}

/** Starts the process that unmounts when this one is killed; `null` without `sh`. */
function watch(
  dir: string,
  { autoUnmount = true }: MountOptions,
): Watchdog | null {
  if (!autoUnmount) return null;
  try {
    return new Watchdog(dir);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
