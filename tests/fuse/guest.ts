/**
 * Mounts for tests, in guests only.
 *
 * A mount can leave processes behind that no signal ends. So a server is a process of
 * its own, everything that uses the mount is another, each has a deadline, and in the
 * end all FUSE connections of the guest are aborted.
 */

import { assert } from "@std/assert";
import { readText } from "../../sys/file.ts";
import { run } from "../kit/run.ts";
import { launchDeno, type Launched, ok, sh } from "../kit/server.ts";
import { lacksGuest } from "../kit/skip.ts";
import { settles } from "../kit/wait.ts";

export { ok, sh };

/** The reason to skip tests that mount. */
export const missing: string = lacksGuest();

/** The names of the ways to serve. */
export type WayName =
  | "classic"
  | "io_uring"
  | "in a Worker"
  | "asleep"
  | "asleep in poll";

/** A way to serve. */
export interface Way {
  readonly name: WayName;
  /** The options of a server that asks for it. */
  readonly options: Record<string, unknown>;
  /** What {@linkcode Mount.how} says. */
  readonly how: RegExp;
  readonly missing: string;
}

/** Switches FUSE over io_uring on. Returns why it cannot be. */
function lacksUring(): string {
  if (missing) return missing;
  try {
    Deno.writeTextFileSync(ENABLE, "Y");
    return "";
  } catch {
    return "a kernel with FUSE over io_uring";
  }
}

/** The parameter that switches FUSE over io_uring on. */
export const ENABLE = "/sys/module/fuse/parameters/enable_uring";

/** The reason to skip tests of FUSE over io_uring. */
export const missingUring: string = lacksUring();

/** The ways to serve, each with the same outcome. */
export const WAYS: readonly Way[] = [
  {
    name: "classic",
    options: {},
    how: /requests by read\(2\), .* in the event loop: a main thread could/,
    missing,
  },
  {
    name: "io_uring",
    options: { transport: "io_uring" },
    how: /requests by io_uring, \d+ queues of 8$/,
    missing: missingUring,
  },
  {
    name: "in a Worker",
    options: { worker: true },
    how: missingUring
      ? /in a Worker: requests by read/
      : /in a Worker: requests by io_uring, \d+ queues of 8$/,
    missing,
  },
  {
    name: "asleep",
    options: { worker: true, sleep: true },
    how: missingUring
      ? /in a Worker: requests by read.*, waiting asleep in poll/
      : /in a Worker: requests by io_uring, .* asleep in between$/,
    missing,
  },
  {
    name: "asleep in poll",
    options: { worker: true, sleep: true, transport: "classic" },
    how: /in a Worker: requests by read.*, waiting asleep in poll.*asked for$/,
    missing: missingUring || missing,
  },
];

/** Runs a script of this folder in another process. */
export async function client(
  file: string,
  args: readonly string[],
  seconds = 120,
): Promise<string> {
  const limit = ["-s", "KILL", `${seconds}`, Deno.execPath()];
  const script = new URL(file, import.meta.url).pathname;
  const { code, stdout, stderr } = await run(
    "timeout",
    [...limit, "run", "-A", "--no-check", "--cached-only", script, ...args],
  );
  if (code === 0) return stdout.trim();
  throw new Error(`${file}: exit ${code}\n${stdout}${stderr}`);
}

/** A server in a process of its own. */
export interface Served extends Launched {
  /** Where it is mounted. */
  readonly dir: string;
}

/** How to serve. */
export interface Serving {
  /** Options of `mount`. */
  readonly options?: Record<string, unknown>;
  /** Programs before Deno, such as `setpriv`. */
  readonly prefix?: readonly string[];
  readonly dir?: string;
}

/** Serves one of the filesystems of `server.ts` while `use` runs. */
export async function serve(
  kind: string,
  use: (served: Served) => Promise<void>,
  { options = {}, prefix = [], dir: given }: Serving = {},
): Promise<void> {
  const dir = given ?? await Deno.makeTempDir({ prefix: "fuse-" });
  await watched(start(kind, dir, options, prefix), async (served) => {
    await served.line("mounted");
    await use(served);
  });
}

/** Uses a mount. Whatever happens, neither it nor its program is there afterwards. */
export async function watched(
  served: Served,
  use: (served: Served) => Promise<void>,
): Promise<void> {
  const { dir } = served;
  try {
    await use(served);
  } catch (error) {
    console.log(`the server printed:\n${served.lines.join("\n")}`);
    throw error;
  } finally {
    await cleanUp(dir);
    served.kill("SIGKILL");
    assert(await settles(served.status), "the server does not end");
  }
}

/** The permissions of a program that mounts. */
export const PERMISSIONS: readonly string[] = [
  ...["--allow-ffi", "--allow-run=sh,umount,fusermount3", "--no-prompt"],
];

/** Returns the permissions that the module page names, or all for other work. */
function permissions(options: Record<string, unknown>): string[] {
  if (options.self || options.withoutRing || options.blocking) return ["-A"];
  if (options.read) return [...PERMISSIONS, "--allow-read"];
  return options.worker ? [...PERMISSIONS, "--allow-read"] : [...PERMISSIONS];
}

/** Starts a server, which may fail. */
export function start(
  kind: string,
  dir: string,
  options: Record<string, unknown> = {},
  prefix: readonly string[] = [],
): Served {
  const script = new URL("server.ts", import.meta.url).pathname;
  const args = [kind, dir, JSON.stringify(options)];
  return launch(dir, [...permissions(options), script, ...args], prefix);
}

/** Starts a program for Deno that mounts on a directory. */
export function launch(
  dir: string,
  args: readonly string[],
  prefix: readonly string[] = [],
): Served {
  return Object.assign(launchDeno(args, prefix), { dir });
}

/** Takes a mount away, however it is, and ends whoever waits for it. */
async function cleanUp(dir: string): Promise<void> {
  await sh(`umount -l ${dir}; umount -l ${dir}`, 10);
  const all = "/sys/fs/fuse/connections/*/abort";
  await sh(`for each in ${all}; do echo 1 >$each; done`, 10);
  await sh(`rmdir ${dir}`, 10);
}

/** Returns `true` if something is mounted on a directory. */
export function isMounted(dir: string): boolean {
  return (readText("/proc/mounts") ?? "").includes(` ${dir} `);
}

/** As whom an ordinary user mounts. */
export const NOBODY = [
  "/usr/bin/setpriv",
  ...["--reuid", "65534", "--regid", "65534", "--clear-groups"],
];
