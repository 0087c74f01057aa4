// <asm/unistd.h> of x86-64 and aarch64, Linux 7.2.

export const __NR_x86_64 = {
  read: 0,
  write: 1,
  close: 3,
  ioctl: 16,
  fcntl: 72,
  openat: 257,
  readlinkat: 267,
  getdents64: 217,
  statx: 332,
  munmap: 11,
  mremap: 25,
  eventfd2: 290,
  pipe2: 293,
  uname: 63,
  socket: 41,
  socketpair: 53,
  bind: 49,
  listen: 50,
  connect: 42,
  accept4: 288,
  getsockname: 51,
  getpeername: 52,
  getsockopt: 55,
  setsockopt: 54,
  io_uring_setup: 425,
  io_uring_enter: 426,
  io_uring_register: 427,
};

/** The numbers of the system calls that this library makes. */
export type SyscallNumbers = {
  readonly [name in keyof typeof __NR_x86_64]: number;
};

export const __NR_aarch64: SyscallNumbers = {
  read: 63,
  write: 64,
  close: 57,
  ioctl: 29,
  fcntl: 25,
  openat: 56,
  readlinkat: 78,
  getdents64: 61,
  statx: 291,
  munmap: 215,
  mremap: 216,
  eventfd2: 19,
  pipe2: 59,
  uname: 160,
  socket: 198,
  socketpair: 199,
  bind: 200,
  listen: 201,
  connect: 203,
  accept4: 242,
  getsockname: 204,
  getpeername: 205,
  getsockopt: 209,
  setsockopt: 208,
  io_uring_setup: 425,
  io_uring_enter: 426,
  io_uring_register: 427,
};

/**
 * Returns the numbers for a machine.
 *
 * @throws {Error} on any other machine: a wrong number is another system call.
 */
export function syscallNumbers(os: string, arch: string): SyscallNumbers {
  if (os !== "linux") {
    throw new Error(
      `io_uring is a Linux interface, and this is ${os}. Run it on Linux 5.19 or later.`,
    );
  }
  if (arch === "x86_64") return __NR_x86_64;
  if (arch === "aarch64") return __NR_aarch64;
  throw new Error(
    `The system call numbers of ${arch} are not known here. Run it on x86_64 or aarch64.`,
  );
}
