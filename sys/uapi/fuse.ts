// <linux/fuse.h>, Linux 7.2: version 7.45 of the protocol. The same on all machines.

import { structFrom } from "../struct.ts";
import { _IOW } from "./ioctl.ts";

export const FUSE_KERNEL_VERSION = 7;
export const FUSE_ROOT_ID = 1;
/** Bytes of the smallest buffer that a read of /dev/fuse takes. */
export const FUSE_MIN_READ_BUFFER = 8192;

export const FUSE_LOOKUP = 1;
export const FUSE_FORGET = 2;
export const FUSE_GETATTR = 3;
export const FUSE_SETATTR = 4;
export const FUSE_READLINK = 5;
export const FUSE_SYMLINK = 6;
export const FUSE_MKNOD = 8;
export const FUSE_MKDIR = 9;
export const FUSE_UNLINK = 10;
export const FUSE_RMDIR = 11;
export const FUSE_RENAME = 12;
export const FUSE_LINK = 13;
export const FUSE_OPEN = 14;
export const FUSE_READ = 15;
export const FUSE_WRITE = 16;
export const FUSE_STATFS = 17;
export const FUSE_RELEASE = 18;
export const FUSE_FSYNC = 20;
export const FUSE_SETXATTR = 21;
export const FUSE_GETXATTR = 22;
export const FUSE_LISTXATTR = 23;
export const FUSE_REMOVEXATTR = 24;
export const FUSE_FLUSH = 25;
export const FUSE_INIT = 26;
export const FUSE_OPENDIR = 27;
export const FUSE_READDIR = 28;
export const FUSE_RELEASEDIR = 29;
export const FUSE_FSYNCDIR = 30;
export const FUSE_GETLK = 31;
export const FUSE_SETLK = 32;
export const FUSE_SETLKW = 33;
export const FUSE_ACCESS = 34;
export const FUSE_CREATE = 35;
export const FUSE_INTERRUPT = 36;
export const FUSE_BMAP = 37;
export const FUSE_DESTROY = 38;
export const FUSE_IOCTL = 39;
export const FUSE_POLL = 40;
export const FUSE_NOTIFY_REPLY = 41;
export const FUSE_BATCH_FORGET = 42;
export const FUSE_FALLOCATE = 43;
export const FUSE_READDIRPLUS = 44;
export const FUSE_RENAME2 = 45;
export const FUSE_LSEEK = 46;
export const FUSE_COPY_FILE_RANGE = 47;
export const FUSE_SYNCFS = 50;
export const FUSE_TMPFILE = 51;
export const FUSE_STATX = 52;
export const FUSE_COPY_FILE_RANGE_64 = 53;

export const FUSE_IO_URING_CMD_REGISTER = 1;
export const FUSE_IO_URING_CMD_COMMIT_AND_FETCH = 2;

export const FUSE_NOTIFY_POLL = 1;
export const FUSE_NOTIFY_INVAL_INODE = 2;
export const FUSE_NOTIFY_INVAL_ENTRY = 3;
export const FUSE_NOTIFY_STORE = 4;
export const FUSE_NOTIFY_DELETE = 6;
export const FUSE_NOTIFY_PRUNE = 9;

export const FATTR_MODE = 1 << 0;
export const FATTR_UID = 1 << 1;
export const FATTR_GID = 1 << 2;
export const FATTR_SIZE = 1 << 3;
export const FATTR_ATIME = 1 << 4;
export const FATTR_MTIME = 1 << 5;
export const FATTR_FH = 1 << 6;
export const FATTR_ATIME_NOW = 1 << 7;
export const FATTR_MTIME_NOW = 1 << 8;
export const FATTR_CTIME = 1 << 10;
export const FATTR_KILL_SUIDGID = 1 << 11;
export const FOPEN_DIRECT_IO = 1 << 0;
export const FOPEN_KEEP_CACHE = 1 << 1;
export const FOPEN_NONSEEKABLE = 1 << 2;
export const FOPEN_CACHE_DIR = 1 << 3;
export const FOPEN_STREAM = 1 << 4;
export const FOPEN_NOFLUSH = 1 << 5;
export const FOPEN_PARALLEL_DIRECT_WRITES = 1 << 6;
export const FOPEN_PASSTHROUGH = 1 << 7;
export const FUSE_ASYNC_READ = 1 << 0;
export const FUSE_POSIX_LOCKS = 1 << 1;
export const FUSE_ATOMIC_O_TRUNC = 1 << 3;
export const FUSE_BIG_WRITES = 1 << 5;
export const FUSE_FLOCK_LOCKS = 1 << 10;
export const FUSE_HAS_IOCTL_DIR = 1 << 11;
export const FUSE_AUTO_INVAL_DATA = 1 << 12;
export const FUSE_DO_READDIRPLUS = 1 << 13;
export const FUSE_READDIRPLUS_AUTO = 1 << 14;
export const FUSE_ASYNC_DIO = 1 << 15;
export const FUSE_WRITEBACK_CACHE = 1 << 16;
export const FUSE_PARALLEL_DIROPS = 1 << 18;
export const FUSE_POSIX_ACL = 1 << 20;
export const FUSE_ABORT_ERROR = 1 << 21;
export const FUSE_MAX_PAGES = 1 << 22;
export const FUSE_CACHE_SYMLINKS = 1 << 23;
export const FUSE_HANDLE_KILLPRIV_V2 = 1 << 28;
export const FUSE_INIT_EXT = 1 << 30;
export const FUSE_HAS_EXPIRE_ONLY = 2 ** 35;
export const FUSE_PASSTHROUGH = 2 ** 37;
export const FUSE_OVER_IO_URING = 2 ** 41;
export const FUSE_RELEASE_FLUSH = 1 << 0;
export const FUSE_GETATTR_FH = 1 << 0;
export const FUSE_LK_FLOCK = 1 << 0;
export const FUSE_WRITE_CACHE = 1 << 0;
export const FUSE_WRITE_KILL_SUIDGID = 1 << 2;
export const FUSE_POLL_SCHEDULE_NOTIFY = 1 << 0;
export const FUSE_FSYNC_FDATASYNC = 1 << 0;
export const FUSE_OPEN_KILL_SUIDGID = 1 << 0;
export const FUSE_EXPIRE_ONLY = 1 << 0;

export const fuse_attr = structFrom(
  88,
  "0 u64 ino, 8 u64 size, 16 u64 blocks, 24 u64 atime, 32 u64 mtime",
  "40 u64 ctime, 48 u32 atimensec, 52 u32 mtimensec, 56 u32 ctimensec",
  "60 u32 mode, 64 u32 nlink, 68 u32 uid, 72 u32 gid, 76 u32 rdev",
  "80 u32 blksize, 84 u32 flags",
);
export const fuse_statx = structFrom(
  256,
  "0 u32 mask, 4 u32 blksize, 8 u64 attributes, 16 u32 nlink, 20 u32 uid",
  "24 u32 gid, 28 u16 mode, 30 u8[2] __spare0, 32 u64 ino, 40 u64 size",
  "48 u64 blocks, 56 u64 attributes_mask, 64 u8[16] atime",
  "80 u8[16] btime, 96 u8[16] ctime, 112 u8[16] mtime, 128 u32 rdev_major",
  "132 u32 rdev_minor, 136 u32 dev_major, 140 u32 dev_minor",
  "144 u8[112] __spare2",
);
export const fuse_kstatfs = structFrom(
  80,
  "0 u64 blocks, 8 u64 bfree, 16 u64 bavail, 24 u64 files, 32 u64 ffree",
  "40 u32 bsize, 44 u32 namelen, 48 u32 frsize, 52 u32 padding",
  "56 u8[24] spare",
);
export const fuse_file_lock = structFrom(
  24,
  "0 u64 start, 8 u64 end, 16 u32 type, 20 u32 pid",
);
export const fuse_entry_out = structFrom(
  128,
  "0 u64 nodeid, 8 u64 generation, 16 u64 entry_valid, 24 u64 attr_valid",
  "32 u32 entry_valid_nsec, 36 u32 attr_valid_nsec, 40 u8[88] attr",
);
export const fuse_forget_in = structFrom(
  8,
  "0 u64 nlookup",
);
export const fuse_forget_one = structFrom(
  16,
  "0 u64 nodeid, 8 u64 nlookup",
);
export const fuse_batch_forget_in = structFrom(
  8,
  "0 u32 count, 4 u32 dummy",
);
export const fuse_getattr_in = structFrom(
  16,
  "0 u32 getattr_flags, 4 u32 dummy, 8 u64 fh",
);
export const fuse_attr_out = structFrom(
  104,
  "0 u64 attr_valid, 8 u32 attr_valid_nsec, 12 u32 dummy, 16 u8[88] attr",
);
export const fuse_statx_in = structFrom(
  24,
  "0 u32 getattr_flags, 4 u32 reserved, 8 u64 fh, 16 u32 sx_flags",
  "20 u32 sx_mask",
);
export const fuse_statx_out = structFrom(
  288,
  "0 u64 attr_valid, 8 u32 attr_valid_nsec, 12 u32 flags, 16 u8[16] spare",
  "32 u8[256] stat",
);
export const fuse_mknod_in = structFrom(
  16,
  "0 u32 mode, 4 u32 rdev, 8 u32 umask, 12 u32 padding",
);
export const fuse_mkdir_in = structFrom(
  8,
  "0 u32 mode, 4 u32 umask",
);
export const fuse_rename_in = structFrom(
  8,
  "0 u64 newdir",
);
export const fuse_rename2_in = structFrom(
  16,
  "0 u64 newdir, 8 u32 flags, 12 u32 padding",
);
export const fuse_link_in = structFrom(
  8,
  "0 u64 oldnodeid",
);
export const fuse_setattr_in = structFrom(
  88,
  "0 u32 valid, 4 u32 padding, 8 u64 fh, 16 u64 size, 24 u64 lock_owner",
  "32 u64 atime, 40 u64 mtime, 48 u64 ctime, 56 u32 atimensec",
  "60 u32 mtimensec, 64 u32 ctimensec, 68 u32 mode, 72 u32 unused4",
  "76 u32 uid, 80 u32 gid, 84 u32 unused5",
);
export const fuse_open_in = structFrom(
  8,
  "0 u32 flags, 4 u32 open_flags",
);
export const fuse_create_in = structFrom(
  16,
  "0 u32 flags, 4 u32 mode, 8 u32 umask, 12 u32 open_flags",
);
export const fuse_open_out = structFrom(
  16,
  "0 u64 fh, 8 u32 open_flags, 12 s32 backing_id",
);
export const fuse_release_in = structFrom(
  24,
  "0 u64 fh, 8 u32 flags, 12 u32 release_flags, 16 u64 lock_owner",
);
export const fuse_flush_in = structFrom(
  24,
  "0 u64 fh, 8 u32 unused, 12 u32 padding, 16 u64 lock_owner",
);
export const fuse_read_in = structFrom(
  40,
  "0 u64 fh, 8 u64 offset, 16 u32 size, 20 u32 read_flags",
  "24 u64 lock_owner, 32 u32 flags, 36 u32 padding",
);
export const fuse_write_in = structFrom(
  40,
  "0 u64 fh, 8 u64 offset, 16 u32 size, 20 u32 write_flags",
  "24 u64 lock_owner, 32 u32 flags, 36 u32 padding",
);
export const fuse_write_out = structFrom(
  8,
  "0 u32 size, 4 u32 padding",
);
export const fuse_fsync_in = structFrom(
  16,
  "0 u64 fh, 8 u32 fsync_flags, 12 u32 padding",
);
export const fuse_setxattr_in = structFrom(
  16,
  "0 u32 size, 4 u32 flags, 8 u32 setxattr_flags, 12 u32 padding",
);
export const fuse_getxattr_in = structFrom(
  8,
  "0 u32 size, 4 u32 padding",
);
export const fuse_getxattr_out = structFrom(
  8,
  "0 u32 size, 4 u32 padding",
);
export const fuse_lk_in = structFrom(
  48,
  "0 u64 fh, 8 u64 owner, 16 u8[24] lk, 40 u32 lk_flags, 44 u32 padding",
);
export const fuse_access_in = structFrom(
  8,
  "0 u32 mask, 4 u32 padding",
);
export const fuse_init_in = structFrom(
  64,
  "0 u32 major, 4 u32 minor, 8 u32 max_readahead, 12 u32 flags",
  "16 u32 flags2, 20 u8[44] unused",
);
export const fuse_init_out = structFrom(
  64,
  "0 u32 major, 4 u32 minor, 8 u32 max_readahead, 12 u32 flags",
  "16 u16 max_background, 18 u16 congestion_threshold, 20 u32 max_write",
  "24 u32 time_gran, 28 u16 max_pages, 30 u16 map_alignment",
  "32 u32 flags2, 36 u32 max_stack_depth, 40 u16 request_timeout",
  "42 u8[22] unused",
);
export const fuse_interrupt_in = structFrom(
  8,
  "0 u64 unique",
);
export const fuse_ioctl_in = structFrom(
  32,
  "0 u64 fh, 8 u32 flags, 12 u32 cmd, 16 u64 arg, 24 u32 in_size",
  "28 u32 out_size",
);
export const fuse_ioctl_out = structFrom(
  16,
  "0 s32 result, 4 u32 flags, 8 u32 in_iovs, 12 u32 out_iovs",
);
export const fuse_poll_in = structFrom(
  24,
  "0 u64 fh, 8 u64 kh, 16 u32 flags, 20 u32 events",
);
export const fuse_poll_out = structFrom(
  8,
  "0 u32 revents, 4 u32 padding",
);
export const fuse_notify_poll_wakeup_out = structFrom(
  8,
  "0 u64 kh",
);
export const fuse_fallocate_in = structFrom(
  32,
  "0 u64 fh, 8 u64 offset, 16 u64 length, 24 u32 mode, 28 u32 padding",
);
export const fuse_in_header = structFrom(
  40,
  "0 u32 len, 4 u32 opcode, 8 u64 unique, 16 u64 nodeid, 24 u32 uid",
  "28 u32 gid, 32 u32 pid, 36 u16 total_extlen, 38 u16 padding",
);
export const fuse_out_header = structFrom(
  16,
  "0 u32 len, 4 s32 error, 8 u64 unique",
);
export const fuse_dirent = structFrom(
  24,
  "0 u64 ino, 8 u64 off, 16 u32 namelen, 20 u32 type, 24 u8[0] name",
);
export const fuse_notify_inval_inode_out = structFrom(
  24,
  "0 u64 ino, 8 s64 off, 16 s64 len",
);
export const fuse_notify_inval_entry_out = structFrom(
  16,
  "0 u64 parent, 8 u32 namelen, 12 u32 flags",
);
export const fuse_notify_delete_out = structFrom(
  24,
  "0 u64 parent, 8 u64 child, 16 u32 namelen, 20 u32 padding",
);
export const fuse_notify_store_out = structFrom(
  24,
  "0 u64 nodeid, 8 u64 offset, 16 u32 size, 20 u32 padding",
);
export const fuse_lseek_in = structFrom(
  24,
  "0 u64 fh, 8 u64 offset, 16 u32 whence, 20 u32 padding",
);
export const fuse_lseek_out = structFrom(
  8,
  "0 u64 offset",
);
export const fuse_copy_file_range_in = structFrom(
  56,
  "0 u64 fh_in, 8 u64 off_in, 16 u64 nodeid_out, 24 u64 fh_out",
  "32 u64 off_out, 40 u64 len, 48 u64 flags",
);
export const fuse_copy_file_range_out = structFrom(
  8,
  "0 u64 bytes_copied",
);
export const fuse_uring_ent_in_out = structFrom(
  32,
  "0 u64 flags, 8 u64 commit_id, 16 u32 payload_sz, 20 u32 padding",
  "24 u64 reserved",
);
export const fuse_uring_req_header = structFrom(
  288,
  "0 u8[128] in_out, 128 u8[128] op_in, 256 u8[32] ring_ent_in_out",
);
export const fuse_uring_cmd_req = structFrom(
  24,
  "0 u64 flags, 8 u64 commit_id, 16 u16 qid, 18 u8[6] padding",
);

export const fuse_notify_prune_out = structFrom(
  16,
  "0 u32 count, 4 u32 padding, 8 u64 spare",
);
export const fuse_backing_map = structFrom(
  16,
  "0 s32 fd, 4 u32 flags, 8 u64 padding",
);

const FUSE_DEV_IOC_MAGIC = 229;

export const FUSE_DEV_IOC_BACKING_OPEN: number = _IOW(
  FUSE_DEV_IOC_MAGIC,
  1,
  16,
);
export const FUSE_DEV_IOC_BACKING_CLOSE: number = _IOW(
  FUSE_DEV_IOC_MAGIC,
  2,
  4,
);
