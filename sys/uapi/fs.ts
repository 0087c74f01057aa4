// <linux/fs.h>, <linux/stat.h>, Linux 7.2.

import { _IO, _IOR } from "./ioctl.ts";
import { structFrom } from "../struct.ts";

export const BLKROGET: number = _IO(0x12, 94);
export const BLKSSZGET: number = _IO(0x12, 104);
export const BLKGETSIZE64: number = _IOR(0x12, 114, 8);
export const BLKPBSZGET: number = _IO(0x12, 123);

/** The bits of `mode` that hold the type of a file. */
export const S_IFMT = 0o170000;
/** Type of a socket. */
export const S_IFSOCK = 0o140000;
/** Type of a symbolic link. */
export const S_IFLNK = 0o120000;
/** Type of a regular file. */
export const S_IFREG = 0o100000;
/** Type of a block device. */
export const S_IFBLK = 0o060000;
/** Type of a directory. */
export const S_IFDIR = 0o040000;
/** Type of a character device. */
export const S_IFCHR = 0o020000;
/** Type of a FIFO or a pipe. */
export const S_IFIFO = 0o010000;

/** `mode`: the type. */
export const STATX_TYPE = 0x1;
/** `mode`: the permissions. */
export const STATX_MODE = 0x2;
/** `nlink`. */
export const STATX_NLINK = 0x4;
/** `uid`. */
export const STATX_UID = 0x8;
/** `gid`. */
export const STATX_GID = 0x10;
/** `atimeNs`. */
export const STATX_ATIME = 0x20;
/** `mtimeNs`. */
export const STATX_MTIME = 0x40;
/** `ctimeNs`. */
export const STATX_CTIME = 0x80;
/** `ino`. */
export const STATX_INO = 0x100;
/** `size`. */
export const STATX_SIZE = 0x200;
/** `blocks`. */
export const STATX_BLOCKS = 0x400;
/** All of the above: what stat(2) reports. */
export const STATX_BASIC_STATS = 0x7ff;
/** `btimeNs`. */
export const STATX_BTIME = 0x800;
/** `mountId`. Linux 5.8. */
export const STATX_MNT_ID = 0x1000;
export const STATX__RESERVED = 0x8000_0000;

export const RENAME_NOREPLACE = 1 << 0;
export const RENAME_EXCHANGE = 1 << 1;

export const SYNC_FILE_RANGE_WAIT_BEFORE = 1;
export const SYNC_FILE_RANGE_WRITE = 2;
export const SYNC_FILE_RANGE_WAIT_AFTER = 4;

export const statx_timestamp = structFrom(
  16,
  "0 s64 tv_sec, 8 u32 tv_nsec, 12 s32 __reserved",
);

export const statx = structFrom(
  256,
  "0 u32 stx_mask, 4 u32 stx_blksize, 8 u64 stx_attributes, 16 u32 stx_nlink",
  "20 u32 stx_uid, 24 u32 stx_gid, 28 u16 stx_mode, 30 u8[2] __spare0",
  "32 u64 stx_ino, 40 u64 stx_size, 48 u64 stx_blocks",
  "56 u64 stx_attributes_mask, 64 u8[16] stx_atime, 80 u8[16] stx_btime",
  "96 u8[16] stx_ctime, 112 u8[16] stx_mtime, 128 u32 stx_rdev_major",
  "132 u32 stx_rdev_minor, 136 u32 stx_dev_major, 140 u32 stx_dev_minor",
  "144 u64 stx_mnt_id, 152 u32 stx_dio_mem_align, 156 u32 stx_dio_offset_align",
  "160 u64 stx_subvol, 168 u32 stx_atomic_write_unit_min",
  "172 u32 stx_atomic_write_unit_max, 176 u32 stx_atomic_write_segments_max",
  "180 u32 stx_dio_read_offset_align, 184 u32 stx_atomic_write_unit_max_opt",
  "188 u8[4] __spare2, 192 u8[64] __spare3",
);
