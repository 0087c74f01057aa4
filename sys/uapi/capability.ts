// <linux/capability.h>, Linux 7.2.

import { structFrom } from "../struct.ts";

export const _LINUX_CAPABILITY_VERSION_3 = 0x2008_0522;
/** Keep the set-user-ID bit of a file that one writes to, or gives away. */
export const CAP_FSETID = 4;

export const __user_cap_header_struct = structFrom(
  8,
  "0 u32 version, 4 s32 pid",
);
export const __user_cap_data_struct = structFrom(
  12,
  "0 u32 effective, 4 u32 permitted, 8 u32 inheritable",
);
