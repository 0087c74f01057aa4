// <linux/blkdev.h>, Linux 7.2.

import { _IO } from "./ioctl.ts";

export const BLOCK_URING_CMD_DISCARD: number = _IO(0x12, 0);
/** In no released header yet: the number merged for Linux 7.3. */
export const BLOCK_URING_CMD_ZONE_RESET_ALL: number = _IO(0x12, 1);
