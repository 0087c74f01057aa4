// <linux/btrfs.h>, Linux 7.2.

import { _IOR, _IOW } from "./ioctl.ts";
import { structFrom } from "../struct.ts";

const BTRFS_IOCTL_MAGIC = 0x94;

export const btrfs_ioctl_fs_info_args = structFrom(
  1024,
  "0 u64 max_id, 8 u64 num_devices, 16 u8[16] fsid, 32 u32 nodesize",
  "36 u32 sectorsize, 40 u32 clone_alignment, 44 u16 csum_type",
  "46 u16 csum_size, 48 u64 flags, 56 u64 generation, 64 u8[16] metadata_uuid",
  "80 u8[944] reserved",
);

export const btrfs_ioctl_encoded_io_args = structFrom(
  128,
  "0 pointer iov, 8 u64 iovcnt, 16 s64 offset, 24 u64 flags, 32 u64 len",
  "40 u64 unencoded_len, 48 u64 unencoded_offset, 56 u32 compression",
  "60 u32 encryption, 64 u8[64] reserved",
);

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
