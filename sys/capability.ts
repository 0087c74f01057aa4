/** Capabilities of the calling thread. */

import {
  __user_cap_data_struct,
  __user_cap_header_struct,
  _LINUX_CAPABILITY_VERSION_3,
} from "./uapi/capability.ts";
import { syscall } from "./libc.ts";
import { scratch } from "./scratch.ts";

// Places in the scratch memory, from the end of what calls under `call` may use.
const HEADER = 0xff00;
const DATA = HEADER + 8;

/**
 * Calls a function while this thread does not have a capability. Only what the function
 * does before it returns is without.
 */
export function withoutCapability<T>(capability: number, call: () => T): T {
  const { view, at } = scratch();
  const { version, pid } = __user_cap_header_struct;
  version.set(view, HEADER, _LINUX_CAPABILITY_VERSION_3);
  pid.set(view, HEADER, 0);
  if (syscall("capget", at + HEADER, at + DATA) < 0) return call();
  const { effective } = __user_cap_data_struct;
  const had = effective.get(view, DATA);
  const set = (value: number) => {
    effective.set(view, DATA, value >>> 0);
    syscall("capset", at + HEADER, at + DATA);
  };
  set(had & ~(1 << capability));
  try {
    return call();
  } finally {
    set(had);
  }
}
