// <linux/mount.h>, Linux 7.2.

/** Ignore set-user-ID bits of files. */
export const MS_NOSUID = 2;
/** Ignore device nodes. */
export const MS_NODEV = 4;
export const MS_RDONLY = 1;

export const MOVE_MOUNT_F_EMPTY_PATH = 0x4;
export const FSOPEN_CLOEXEC = 0x1;
export const FSCONFIG_SET_FLAG = 0;
export const FSCONFIG_SET_STRING = 1;
export const FSCONFIG_CMD_CREATE = 6;
export const FSMOUNT_CLOEXEC = 0x1;
export const MOUNT_ATTR_RDONLY = 0x1;
export const MOUNT_ATTR_NOSUID = 0x2;
export const MOUNT_ATTR_NODEV = 0x4;
