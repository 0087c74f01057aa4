// <linux/openat2.h>, Linux 7.2.

import { structFrom } from "../struct.ts";

/** Fail with EXDEV at a mount point. */
export const RESOLVE_NO_XDEV = 0x01;
/** Fail with EAGAIN where a disk has to be read: Linux 5.12. */
export const RESOLVE_CACHED = 0x20;

export const open_how = structFrom(
  24,
  "0 u64 flags, 8 u64 mode, 16 u64 resolve",
);
