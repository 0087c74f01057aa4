// <linux/btrfs.h>, Linux 7.2.

import { _IOR, _IOW } from "./ioctl.ts";
import { bytes, pointer, s64, struct, u16, u32, u64 } from "../struct.ts";

const BTRFS_IOCTL_MAGIC = 0x94;

export const btrfs_ioctl_fs_info_args = struct(1024, {
  max_id: u64(0),
  num_devices: u64(8),
  fsid: bytes(16, 16),
  nodesize: u32(32),
  sectorsize: u32(36),
  clone_alignment: u32(40),
  csum_type: u16(44),
  csum_size: u16(46),
  flags: u64(48),
  generation: u64(56),
  metadata_uuid: bytes(64, 16),
  reserved: bytes(80, 944),
});

export const btrfs_ioctl_encoded_io_args = struct(128, {
  iov: pointer(0),
  iovcnt: u64(8),
  offset: s64(16),
  flags: u64(24),
  len: u64(32),
  unencoded_len: u64(40),
  unencoded_offset: u64(48),
  compression: u32(56),
  encryption: u32(60),
  reserved: bytes(64, 64),
});

export const BTRFS_ENCODED_IO_COMPRESSION_NONE = 0;
/** A single zlib stream. */
export const BTRFS_ENCODED_IO_COMPRESSION_ZLIB = 1;
/** A single zstd frame, with a windowLog of at most 17. */
export const BTRFS_ENCODED_IO_COMPRESSION_ZSTD = 2;
/** LZO1X sector by sector, in the frame of fs/btrfs/lzo.c. */
export const BTRFS_ENCODED_IO_COMPRESSION_LZO_4K = 3;
export const BTRFS_ENCODED_IO_COMPRESSION_LZO_8K = 4;
export const BTRFS_ENCODED_IO_COMPRESSION_LZO_16K = 5;
export const BTRFS_ENCODED_IO_COMPRESSION_LZO_32K = 6;
export const BTRFS_ENCODED_IO_COMPRESSION_LZO_64K = 7;

export const BTRFS_ENCODED_IO_ENCRYPTION_NONE = 0;

export const BTRFS_IOC_FS_INFO: number = _IOR(BTRFS_IOCTL_MAGIC, 31, 1024);
export const BTRFS_IOC_ENCODED_READ: number = _IOR(BTRFS_IOCTL_MAGIC, 64, 128);
export const BTRFS_IOC_ENCODED_WRITE: number = _IOW(BTRFS_IOCTL_MAGIC, 64, 128);
