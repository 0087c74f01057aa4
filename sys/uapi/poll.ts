// <poll.h>, Linux 7.2. The same on x86-64 and aarch64.

/** Data can be read. */
export const POLLIN = 0x0001;
/** Urgent data, or an exceptional event. */
export const POLLPRI = 0x0002;
/** Writing would not block. */
export const POLLOUT = 0x0004;
/** An error. Always reported. */
export const POLLERR = 0x0008;
/** The other end has closed. Always reported. */
export const POLLHUP = 0x0010;
export const POLLNVAL = 0x0020;
/** The other end has shut down writing. */
export const POLLRDHUP = 0x2000;
