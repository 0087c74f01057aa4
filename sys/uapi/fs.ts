// <linux/fs.h>, <linux/stat.h>, Linux 7.2.

import { _IO, _IOR } from "./ioctl.ts";
import { bytes, s32, s64, struct, u16, u32, u64 } from "../struct.ts";

export const BLKROGET: number = _IO(0x12, 94);
export const BLKSSZGET: number = _IO(0x12, 104);
export const BLKGETSIZE64: number = _IOR(0x12, 114, 8);
export const BLKPBSZGET: number = _IO(0x12, 123);

export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;

export const statx_timestamp = struct(16, {
  tv_sec: s64(0),
  tv_nsec: u32(8),
  __reserved: s32(12),
});

export const statx = struct(256, {
  stx_mask: u32(0),
  stx_blksize: u32(4),
  stx_attributes: u64(8),
  stx_nlink: u32(16),
  stx_uid: u32(20),
  stx_gid: u32(24),
  stx_mode: u16(28),
  __spare0: bytes(30, 2),
  stx_ino: u64(32),
  stx_size: u64(40),
  stx_blocks: u64(48),
  stx_attributes_mask: u64(56),
  stx_atime: bytes(64, 16),
  stx_btime: bytes(80, 16),
  stx_ctime: bytes(96, 16),
  stx_mtime: bytes(112, 16),
  stx_rdev_major: u32(128),
  stx_rdev_minor: u32(132),
  stx_dev_major: u32(136),
  stx_dev_minor: u32(140),
  stx_mnt_id: u64(144),
  stx_dio_mem_align: u32(152),
  stx_dio_offset_align: u32(156),
  stx_subvol: u64(160),
  stx_atomic_write_unit_min: u32(168),
  stx_atomic_write_unit_max: u32(172),
  stx_atomic_write_segments_max: u32(176),
  stx_dio_read_offset_align: u32(180),
  stx_atomic_write_unit_max_opt: u32(184),
  __spare2: bytes(188, 4),
  __spare3: bytes(192, 64),
});
