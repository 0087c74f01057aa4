/** The difference between the kernel's answers and those of a filter. */

import { E } from "./uapi/errno.ts";
import { syscall } from "./libc.ts";

/**
 * Calls that the kernel refuses for their arguments before it looks at anything
 * else, with its errno (Linux 5.19 to 7.2). A filter sees only the number of the
 * call, or leaves these to the kernel.
 */
const REFUSED = {
  io_uring_setup: [{ args: [1, 0], errno: E.EFAULT }], // No parameters.
  io_uring_enter: [
    { args: [-1, 0, 0, -1], errno: E.EINVAL }, // All flags.
    { args: [-1], errno: E.EBADF },
  ],
  io_uring_register: [
    { args: [-2, 0x7fff], errno: E.EINVAL }, // No such opcode.
    { args: [-2], errno: E.EBADF },
  ],
};

/**
 * Returns `true` if not the kernel's io_uring but a seccomp filter or a security
 * module has answered a call with `errno`: it answers a call the same way that the
 * kernel refuses for another reason.
 */
export function isFiltered(call: keyof typeof REFUSED, errno: number): boolean {
  const asked = REFUSED[call].find((each) => each.errno !== errno);
  // Only io_uring_setup() has none, which never gets a bad address from us.
  return asked === undefined || syscall(call, ...asked.args) === -errno;
}
