// <asm-generic/statfs.h>, Linux 7.2, as x86-64 and aarch64 have it.

import { structFrom } from "../struct.ts";

export const statfs = structFrom(
  120,
  "0 s64 f_type, 8 s64 f_bsize, 16 s64 f_blocks, 24 s64 f_bfree",
  "32 s64 f_bavail, 40 s64 f_files, 48 s64 f_ffree, 56 u8[8] f_fsid",
  "64 s64 f_namelen, 72 s64 f_frsize, 80 s64 f_flags, 88 u8[32] f_spare",
);
