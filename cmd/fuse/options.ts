/** Options of a mount, and what they ask the kernel for. */

import { pageSize } from "../../sys/page_size.ts";
import {
  checkBoolean,
  checkFunction,
  checkInstance,
} from "../../ring/check.ts";
import { checkInteger, checkName, checkObject } from "../../ring/check.ts";
import { checkText, INT_MAX, shown } from "../../ring/check.ts";
import { isRoot } from "./children.ts";
import type { Flag, Wishes } from "./init.ts";
import type { NodeFileSystem } from "./nodes.ts";
import type { AnyNode } from "./server.ts";

/** Options of {@linkcode mount}. */
export interface MountOptions {
  /** The device that `mount` and `df` show. Default `"deno"`. */
  name?: string;
  /** The text after `fuse.` in the type of the mount. Default: none. */
  subtype?: string;
  /** `true` refuses all writes. Default `false`. */
  readOnly?: boolean;
  /**
   * `true` lets other users in. A user other than root needs `user_allow_other` in
   * /etc/fuse.conf. Default `false`.
   */
  allowOther?: boolean;
  /** `false` leaves the checks of permissions to the handlers. Default `true`. */
  defaultPermissions?: boolean;
  /** `false` leaves a dead mount behind when the process is killed. Default `true`. */
  autoUnmount?: boolean;
  /** `false` leaves SIGINT, SIGTERM and SIGHUP to the program. Default `true`. */
  signals?: boolean;
  /**
   * The way of requests. `"io_uring"` needs Linux 6.14 and `fuse.enable_uring=1`;
   * without, it is `"classic"` all the same, and {@linkcode Mount.how} says why.
   * `"auto"`, the default, is `"io_uring"` in a Worker only: a thread that serves
   * with io_uring, and waits for its own mount, waits until the machine is started
   * again.
   */
  transport?: "auto" | "io_uring" | "classic";
  /**
   * Requests of each CPU at a time with io_uring, from 1 to 256, with memory for a
   * write each. Default 8; 2 on machines with more than 16 CPUs.
   */
  queueDepth?: number;
  /**
   * In a Worker of its own: `true` lets the thread sleep in the kernel between
   * requests, and not in the event loop, which takes longer to wake. Handlers
   * may return promises all the same. But timers and other work of the module that no
   * request waits for go on only with the next request. Default `false`.
   */
  sleep?: boolean;
  /** Is passed to the function that a module exports: see {@linkcode mount}. */
  data?: unknown;
  /** Bytes of the largest write, from 4096 to 1 MiB. Default 1 MiB. */
  maxWrite?: number;
  /** Milliseconds for which the kernel keeps names. Default 1000. */
  entryTtlMs?: number;
  /** Milliseconds for which the kernel keeps attributes. Default 1000. */
  attrTtlMs?: number;
  /** Milliseconds for which the kernel keeps that a name is not there. Default 0. */
  negativeTtlMs?: number;
  /** `true` lets the kernel collect writes, and keep size and times. Default `false`. */
  writeback?: boolean;
  /** `true` passes each read and write on, past the kernel's cache. Default `false`. */
  directIo?: boolean;
  /** `true` keeps cached data when a file is opened again. Default `false`. */
  keepCache?: boolean;
  /** A signal that unmounts. */
  signal?: AbortSignal;
  /**
   * Is told what a handler threw that is no errno, so that the caller got EIO. Default:
   * `console.error`.
   */
  onError?: (error: unknown, op: string, path: string | null) => void;
  /**
   * Milliseconds after which the caller of a handler that has not answered gets EIO.
   * Default 0: it waits.
   */
  timeoutMs?: number;
}

const MiB = 2 ** 20;

/** Checks options before anything is mounted. Returns them as they are now. */
export function checkOptions(given: MountOptions): MountOptions {
  const options = { ...checkObject("options", given) };
  const { signal, onError, transport, timeoutMs, queueDepth, maxWrite } =
    options;
  for (const name of ["name", "subtype"] as const) {
    const text = options[name];
    if (text !== undefined) checkText(name, text);
  }
  for (const name of SWITCHES) {
    const value = options[name];
    if (value !== undefined) checkBoolean(name, value);
  }
  for (const name of ["entryTtlMs", "attrTtlMs", "negativeTtlMs"] as const) {
    const ms = options[name];
    if (ms === undefined || typeof ms === "number" && ms >= 0) continue;
    throw new RangeError(
      `${name} must be a number from 0 on, not ${shown(ms)}`,
    );
  }
  if (transport !== undefined) checkName("transport", transport, TRANSPORTS);
  if (timeoutMs !== undefined) checkInteger("timeoutMs", timeoutMs, 0, INT_MAX);
  if (maxWrite !== undefined) checkInteger("maxWrite", maxWrite, 4096, MiB);
  if (queueDepth !== undefined) checkInteger("queueDepth", queueDepth, 1, 256);
  if (signal !== undefined) checkInstance("signal", signal, AbortSignal);
  checkFunction("onError", onError);
  return options;
}

const SWITCHES = [
  ...["readOnly", "allowOther", "defaultPermissions", "autoUnmount"] as const,
  ...["signals", "sleep", "writeback", "directIo", "keepCache"] as const,
];
const TRANSPORTS = { auto: 0, io_uring: 0, classic: 0 };

/** Returns what a filesystem with these options asks the kernel for. */
export function wishesOf(
  fs: NodeFileSystem<AnyNode>,
  options: MountOptions,
): Wishes {
  const { maxWrite = MiB, writeback = false, directIo = false } = options;
  const page = pageSize();
  const flags: Flag[] = ["DO_READDIRPLUS", "READDIRPLUS_AUTO"];
  if (fs.readdir === undefined) flags.length = 0;
  if (fs.truncatesOnOpen === true) flags.push("ATOMIC_O_TRUNC");
  if (fs.lock !== undefined) flags.push("POSIX_LOCKS", "FLOCK_LOCKS");
  if (fs.ioctl !== undefined) flags.push("HAS_IOCTL_DIR");
  if (writeback) flags.push("WRITEBACK_CACHE");
  if (fs.clearsSetuid === true) flags.push("HANDLE_KILLPRIV_V2");
  // Others than the user who mounts are nowhere else.
  const others = options.allowOther && options.defaultPermissions !== false;
  if (fs.hasAcls === true && others) flags.push("POSIX_ACL");
  // The kernel has either: process_init_reply() of Linux 6.9.
  const backed = fs.backing !== undefined && !writeback && !directIo;
  if (backed && isRoot()) flags.push("PASSTHROUGH");
  return {
    flags,
    maxWrite: Math.max(1, Math.floor(maxWrite / page)) * page,
    pageSize: page,
  };
}
