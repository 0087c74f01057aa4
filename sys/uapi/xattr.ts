// <linux/xattr.h>, <linux/limits.h>, Linux 7.2.

export const XATTR_CREATE = 0x1;
export const XATTR_REPLACE = 0x2;

/** Most bytes of the name of an extended attribute. */
export const XATTR_NAME_MAX = 255;
/** Most bytes of the value of an extended attribute. */
export const XATTR_SIZE_MAX = 65536;
