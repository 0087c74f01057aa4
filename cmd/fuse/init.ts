/** The first request of a mount, in which the kernel and the server agree on flags. */

import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/fuse.ts";
import type { FuseRequest } from "./request.ts";

/** FUSE_KERNEL_MINOR_VERSION of Linux 7.2, up to which this server knows the protocol. */
const MINOR = 45;

const { fuse_init_in: IN, fuse_init_out: OUT } = uapi;
const INIT_BYTES = 64;

/** The flags by name. Flags from 2^32 on are in `flags2`. */
const FLAGS = {
  ASYNC_READ: uapi.FUSE_ASYNC_READ,
  POSIX_LOCKS: uapi.FUSE_POSIX_LOCKS,
  ATOMIC_O_TRUNC: uapi.FUSE_ATOMIC_O_TRUNC,
  BIG_WRITES: uapi.FUSE_BIG_WRITES,
  FLOCK_LOCKS: uapi.FUSE_FLOCK_LOCKS,
  HAS_IOCTL_DIR: uapi.FUSE_HAS_IOCTL_DIR,
  AUTO_INVAL_DATA: uapi.FUSE_AUTO_INVAL_DATA,
  DO_READDIRPLUS: uapi.FUSE_DO_READDIRPLUS,
  READDIRPLUS_AUTO: uapi.FUSE_READDIRPLUS_AUTO,
  ASYNC_DIO: uapi.FUSE_ASYNC_DIO,
  WRITEBACK_CACHE: uapi.FUSE_WRITEBACK_CACHE,
  PARALLEL_DIROPS: uapi.FUSE_PARALLEL_DIROPS,
  POSIX_ACL: uapi.FUSE_POSIX_ACL,
  ABORT_ERROR: uapi.FUSE_ABORT_ERROR,
  MAX_PAGES: uapi.FUSE_MAX_PAGES,
  CACHE_SYMLINKS: uapi.FUSE_CACHE_SYMLINKS,
  HANDLE_KILLPRIV_V2: uapi.FUSE_HANDLE_KILLPRIV_V2,
  INIT_EXT: uapi.FUSE_INIT_EXT,
  HAS_EXPIRE_ONLY: uapi.FUSE_HAS_EXPIRE_ONLY,
  PASSTHROUGH: uapi.FUSE_PASSTHROUGH,
  OVER_IO_URING: uapi.FUSE_OVER_IO_URING,
};

/** The name of a flag. */
export type Flag = keyof typeof FLAGS;

/**
 * The flags that every mount asks for. Missing on purpose: HANDLE_KILLPRIV_V2, with which
 * the filesystem has to clear set-user-ID bits, and the flags that change a struct.
 */
const ALWAYS: readonly Flag[] = [
  ...["ASYNC_READ", "BIG_WRITES", "ASYNC_DIO", "PARALLEL_DIROPS"] as const,
  ...["ABORT_ERROR", "MAX_PAGES", "CACHE_SYMLINKS", "INIT_EXT"] as const,
  ...["HAS_EXPIRE_ONLY", "AUTO_INVAL_DATA"] as const,
];

/** The wishes of a server. */
export interface Wishes {
  /** Flags, in addition to those that every mount asks for. */
  readonly flags: readonly Flag[];
  /** Bytes of the largest write. */
  readonly maxWrite: number;
  /** Bytes of a page of this machine. */
  readonly pageSize: number;
}

/** The agreement of the two. */
export interface Agreement {
  /** The minor version of the protocol. */
  readonly minor: number;
  readonly maxWrite: number;
  readonly flags: readonly Flag[];
}

/**
 * Files of ordinary filesystems may back those of the mount, but not of overlayfs: with
 * 2, no overlayfs could be on top of the mount.
 */
const MAX_STACK_DEPTH = 1;

/** Requests that the kernel itself makes may be this many at a time. */
const MAX_BACKGROUND = 64;

/**
 * Answers an INIT. Returns the agreement, and the bytes of the reply or `-errno`.
 *
 * The kernel makes another INIT if the reply has a smaller major version than its
 * own; there is none.
 */
export function negotiate(
  request: FuseRequest,
  { flags, maxWrite, pageSize }: Wishes,
): { agreement: Agreement | null; result: number } {
  const major = request.u32(IN.major);
  const minor = Math.min(
    request.u32(IN.minor),
    MINOR,
  );
  // Linux 5.19 has 7.36. Before 7.23 the reply had another size.
  if (major !== uapi.FUSE_KERNEL_VERSION || minor < 23) {
    return { agreement: null, result: -E.EPROTO };
  }
  const offered = request.u32(IN.flags);
  const extended = (offered & uapi.FUSE_INIT_EXT) !== 0;
  const offered2 = extended ? request.u32(IN.flags2) : 0;
  const readahead = request.u32(IN.max_readahead);
  const has = (flag: Flag) =>
    FLAGS[flag] < 2 ** 32
      ? (offered & FLAGS[flag]) !== 0
      : (offered2 & FLAGS[flag] / 2 ** 32) !== 0;
  const agreed = [...new Set([...ALWAYS, ...flags])].filter(has);
  const sum = (from: number, to: number) =>
    agreed.map((flag) => FLAGS[flag])
      .filter((value) => value >= from && value < to)
      .reduce((all, value) => all + value / from, 0);
  request.clear(INIT_BYTES);
  const { outView } = request;
  const put = (field: { offset: number }, value: number) =>
    outView.setUint32(field.offset, value, true);
  put(OUT.major, major);
  put(OUT.minor, minor);
  put(OUT.max_readahead, readahead);
  put(OUT.flags, sum(1, 2 ** 32));
  put(OUT.flags2, sum(2 ** 32, 2 ** 64));
  put(OUT.max_write, maxWrite);
  put(OUT.time_gran, 1);
  if (agreed.includes("PASSTHROUGH")) {
    put(OUT.max_stack_depth, MAX_STACK_DEPTH);
  }
  outView.setUint16(OUT.max_background.offset, MAX_BACKGROUND, true);
  const threshold = MAX_BACKGROUND * 3 / 4;
  outView.setUint16(OUT.congestion_threshold.offset, threshold, true);
  outView.setUint16(OUT.max_pages.offset, maxWrite / pageSize, true);
  const agreement = { minor, maxWrite, flags: agreed };
  return { agreement, result: INIT_BYTES };
}
