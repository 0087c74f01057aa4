// <asm-generic/ioctl.h>, Linux 7.2. The same on x86-64 and aarch64.

const IOC_NRSHIFT = 0;
const IOC_TYPESHIFT = 8;
const IOC_SIZESHIFT = 16;
const IOC_DIRSHIFT = 30;
const IOC_NONE = 0;
const IOC_WRITE = 1;
const IOC_READ = 2;

function ioc(dir: number, type: number, nr: number, size: number): number {
  return (dir << IOC_DIRSHIFT | size << IOC_SIZESHIFT | type << IOC_TYPESHIFT |
    nr << IOC_NRSHIFT) >>> 0;
}

/** Makes the number of a command without an argument. */
export const _IO = (type: number, nr: number): number =>
  ioc(IOC_NONE, type, nr, 0);
/** Makes the number of a command that reads `size` bytes from the kernel. */
export const _IOR = (type: number, nr: number, size: number): number =>
  ioc(IOC_READ, type, nr, size);
/** Makes the number of a command that writes `size` bytes to the kernel. */
export const _IOW = (type: number, nr: number, size: number): number =>
  ioc(IOC_WRITE, type, nr, size);
/** Makes the number of a command that does both with `size` bytes. */
export const _IOWR = (type: number, nr: number, size: number): number =>
  ioc(IOC_READ | IOC_WRITE, type, nr, size);
