// <asm/unistd.h> of x86-64 and aarch64, Linux 7.2.

/** The system calls that this library makes: number on x86-64, on aarch64. */
const NUMBERS = {
  read: [0, 63],
  write: [1, 64],
  close: [3, 57],
  ioctl: [16, 29],
  fcntl: [72, 25],
  openat: [257, 56],
  openat2: [437, 437],
  readlinkat: [267, 78],
  faccessat2: [439, 439],
  getdents64: [217, 61],
  lseek: [8, 62],
  truncate: [76, 45],
  ftruncate: [77, 46],
  fstatfs: [138, 44],
  listxattr: [194, 11],
  removexattr: [197, 14],
  mknodat: [259, 33],
  fchownat: [260, 54],
  fchmodat: [268, 53],
  utimensat: [280, 88],
  copy_file_range: [326, 285],
  statx: [332, 291],
  munmap: [11, 215],
  mremap: [25, 216],
  eventfd2: [290, 19],
  pipe2: [293, 59],
  uname: [63, 160],
  capget: [125, 90],
  capset: [126, 91],
  geteuid: [107, 175],
  getegid: [108, 177],
  mount: [165, 40],
  fsopen: [430, 430],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  move_mount: [429, 429],
  ppoll: [271, 73],
  socket: [41, 198],
  socketpair: [53, 199],
  bind: [49, 200],
  listen: [50, 201],
  connect: [42, 203],
  accept4: [288, 242],
  getsockname: [51, 204],
  getpeername: [52, 205],
  getsockopt: [55, 209],
  setsockopt: [54, 208],
  recvmsg: [47, 212],
  io_uring_setup: [425, 425],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
} as const;

/** The numbers of one machine, by the name of the system call. */
export type SyscallNumbers = {
  readonly [name in keyof typeof NUMBERS]: number;
};

function column(index: 0 | 1): SyscallNumbers {
  const numbers = Object.entries(NUMBERS)
    .map(([name, machines]) => [name, machines[index]]);
  return Object.fromEntries(numbers);
}

export const __NR_x86_64: SyscallNumbers = column(0);
export const __NR_aarch64: SyscallNumbers = column(1);

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
