// <linux/uio.h>, Linux 7.2.

import { pointer, struct, u64 } from "../struct.ts";

/** A piece of memory in an array. */
export const iovec = struct(16, {
  iov_base: pointer(0),
  iov_len: u64(8),
});
