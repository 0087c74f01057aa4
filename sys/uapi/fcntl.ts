// <fcntl.h>, Linux 7.2. Four numbers differ between x86-64 and aarch64.

// On another host, the check of the host says so, and not this line.
const aarch64 = globalThis.Deno?.build.arch === "aarch64";

/** Open for reading. */
export const O_RDONLY = 0o0;
/** Open for writing. */
export const O_WRONLY = 0o1;
/** Open for both. */
export const O_RDWR = 0o2;
export const O_ACCMODE = 0o3;
/** Create the file if there is none. */
export const O_CREAT = 0o100;
/**
 * With O_CREAT: fail if the file exists. Without it, on a block device: fail with
 * EBUSY if the device or a partition of it is mounted or otherwise in use. On other
 * files it has no effect then.
 */
export const O_EXCL = 0o200;
/** Truncate to nothing. */
export const O_TRUNC = 0o1000;
/** Write at the end. */
export const O_APPEND = 0o2000;
/** Do not block. */
export const O_NONBLOCK = 0o4000;
/** Complete writes when the data is stored. */
export const O_DSYNC = 0o10000;
/** Bypass the page cache. Memory, offsets and lengths must be aligned. */
export const O_DIRECT: number = aarch64 ? 0o200000 : 0o40000;
/** Fail if it is not a directory. */
export const O_DIRECTORY: number = aarch64 ? 0o40000 : 0o200000;
/** Fail if it is a symbolic link. */
export const O_NOFOLLOW: number = aarch64 ? 0o100000 : 0o400000;
export const O_CLOEXEC = 0o2000000;
/** Complete writes when data and metadata are stored. */
export const O_SYNC = 0o4010000;
/** Open the path only: no reads, no writes. */
export const O_PATH = 0o10000000;
/** Make a file without a name, in this directory. */
export const O_TMPFILE: number = 0o20000000 | O_DIRECTORY;

export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
export const AT_SYMLINK_FOLLOW = 0x400;
export const AT_EACCESS = 0x200;
export const AT_EMPTY_PATH = 0x1000;
export const AT_STATX_FORCE_SYNC = 0x2000;
export const AT_STATX_DONT_SYNC = 0x4000;

export const F_SETFD = 2;
export const F_GETFL = 3;
export const F_SETFL = 4;
export const FD_CLOEXEC = 1;

export const F_RDLCK = 0;
export const F_WRLCK = 1;
export const F_UNLCK = 2;
/** Sets the signal that a file sends, which it keeps even if it sends none. */
export const F_SETSIG = 10;
export const F_GETSIG = 11;
/** Duplicates a descriptor, to be closed in a new program. */
export const F_DUPFD_CLOEXEC = 1030;
