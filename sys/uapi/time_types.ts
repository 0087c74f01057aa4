// <linux/time_types.h>, Linux 7.2.

import { s64, struct } from "../struct.ts";

export const __kernel_timespec = struct(16, {
  tv_sec: s64(0),
  tv_nsec: s64(8),
});
