/** Mounts a filesystem, and serves it. */

import { unmountByChild, Watchdog } from "./children.ts";
import type { FileSystem } from "./file_system.ts";
import { readyHere } from "./here.ts";
import { LiveMount, type Mount } from "./live.ts";
import { findDirectory, type Mounted, mountFuse } from "./mounting.ts";
import type { NodeFileSystem } from "./nodes.ts";
import { checkOptions, type MountOptions } from "./options.ts";
import { readyInWorker } from "./remote.ts";
import type { Served } from "./served.ts";
import type { AnyNode } from "./server.ts";

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
 * an answer that this thread cannot give. To serve in a Worker, pass a URL.
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
/**
 * Mounts the filesystem that a module exports by default, and serves it in a Worker.
 * The program may then use the mount as any other directory, also by `readFileSync`,
 * `import` and `Deno.Command`. A function that is exported is called with `data` of the
 * options, and returns the filesystem.
 *
 * It needs `--allow-read` for the module and this library, where they are files.
 *
 * @example A module with a filesystem, and a program that mounts it
 * ```ts ignore
 * // fs.ts
 * import { memory } from "@uring/cmd/fuse";
 * export default memory();
 *
 * // main.ts
 * import { mount } from "@uring/cmd/fuse";
 * await using mem = await mount("/mnt", new URL("./fs.ts", import.meta.url));
 * Deno.writeTextFileSync("/mnt/hello.txt", "hello");
 * ```
 */
export function mount(
  dir: string,
  module: URL,
  options?: MountOptions,
): Promise<Mount>;
export async function mount(
  dir: string,
  fs: FileSystem | NodeFileSystem<AnyNode> | URL,
  given: MountOptions = {},
): Promise<Mount> {
  const options = checkOptions(given);
  const { signal } = options;
  signal?.throwIfAborted();
  const found = findDirectory(dir);
  const ready = fs instanceof URL
    ? await readyInWorker(fs, options)
    : await readyHere(fs, options);
  let watchdog: Watchdog | null = null;
  let mounted: Mounted | null = null;
  let served: Served | null = null;
  let live: LiveMount;
  try {
    signal?.throwIfAborted();
    watchdog = watch(found, options);
    mounted = await mountFuse({
      dir: found,
      name: options.name ?? "deno",
      subtype: options.subtype ?? "",
      readOnly: options.readOnly ?? false,
      allowOther: options.allowOther ?? false,
      defaultPermissions: options.defaultPermissions ?? true,
    });
    served = await ready.serve(mounted.fd);
    live = new LiveMount(found, mounted, served, watchdog, options);
  } catch (error) {
    served?.abort();
    ready.drop();
    // A mount that is not served would hang whoever looks at it.
    if (mounted !== null) {
      await unmountByChild(found, { lazy: true }).catch(() => {});
    }
    await watchdog?.stop();
    throw error;
  }
  if (signal?.aborted) {
    await live[Symbol.asyncDispose]();
    throw signal.reason;
  }
  return live;
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
