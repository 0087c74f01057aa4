/** The causes of the errnos that files and sockets commonly answer, and the remedies. */

import { adviceFrom, type AdviceTable, allLentAdvice } from "../ring/errors.ts";
import { generalAdvice } from "../ring/errors.ts";

/** Another cause of EACCES. */
export const RESTRICTED = "Or the ring was restricted.";
/** Explains ENOSPC of a file system. */
export const FULL =
  "The file system is full. `df` shows its space, and `df -i` how " +
  "many files it can still take.";
/** Explains EDQUOT. */
export const QUOTA =
  "The user's quota is used up. Delete files, or have it raised.";

/** Explains an errno of openat(). */
export const openAdvice = adviceFrom({
  ENOENT: "There is no such file, or a directory on the way is missing. " +
    "O_CREAT makes the file.",
  EACCES: "The user may not open the file like this, or may not search a " +
    `directory on the way: see \`namei -l\`. ${RESTRICTED}`,
  EPERM: "The file is immutable or append-only (`lsattr`), or a security " +
    "module or the file system forbids it.",
  EEXIST: "The file is there already. Leave out O_EXCL to open it.",
  EISDIR: "The path is a directory, which opens with O_RDONLY only.",
  ENOTDIR: "A part of the path is a file where a directory has to be.",
  ELOOP: "The path is a symbolic link and O_NOFOLLOW is set, or it has more " +
    "than 40 links. `readlink -f` resolves them.",
  ENAMETOOLONG: "The path has more than 4095 bytes, or a name in it more " +
    "than 255.",
  EROFS: "The file system is read-only. Open with O_RDONLY, or mount it " +
    "writable.",
  ETXTBSY: "The file is a program that runs. Write to a copy of it, or stop " +
    "it first.",
  EBUSY: "The device is in use, by a mount or by an exclusive opener.",
  ENODEV: "No driver has the device of this node. Load the driver, or look " +
    "for the device's current name.",
  ENXIO: "The path is a socket (use connect()), a device that is gone, or " +
    "a FIFO without a reader.",
  EOPNOTSUPP: "The file system lacks what the flags ask for, such as " +
    "O_TMPFILE. Leave it out.",
  EINVAL: "The flags do not go together, or the file system lacks O_DIRECT. " +
    "O_TMPFILE needs O_WRONLY or O_RDWR.",
  EAGAIN: "The file cannot be opened without waiting. Leave out O_NONBLOCK, " +
    "or retry.",
  ENOSPC: FULL,
  EDQUOT: QUOTA,
  EBADF: "dirFd is not open.",
}, generalAdvice);

/** Explains an errno of close(). */
export const closeAdvice = adviceFrom({
  EBADF: "The descriptor is not open. Something has closed it before.",
}, generalAdvice);

const RESET = "The peer cut the connection. Connect again.";

/** Errnos of a transfer, on a socket or on another file. */
const TRANSFER: AdviceTable = {
  EAGAIN: "The file has no data or no room now, and O_NONBLOCK or " +
    "MSG_DONTWAIT keeps the command from waiting. Wait with poll().",
  EPIPE:
    "The other end is closed, this end was shut down for sending, or the " +
    "socket was never connected.",
  ECONNRESET: RESET,
  ETIMEDOUT: "The peer stopped answering. Connect again.",
  ENOTCONN: "The socket is not connected. Call connect() first.",
  EDESTADDRREQ: "The socket has no peer to send to. Call connect() first.",
  ECONNREFUSED: "Nothing listens at the peer's port: an earlier datagram was " +
    "refused.",
  EMSGSIZE: "The data is too long for one datagram. Split it up.",
  ENOBUFS: "The network has no room for the data now. Retry later.",
  EIO: "The device failed. `dmesg` shows what its driver reported.",
};

/** Explains an errno of read() and write(). */
export const transferAdvice = adviceFrom({
  ...TRANSFER,
  EISDIR: "The descriptor is a directory's. Deno.readDir() lists it.",
  ESPIPE: "A pipe, a socket or a terminal has no positions. Leave out offset.",
  EINVAL: "The file cannot be read or written like this. With O_DIRECT, " +
    "memory, offset and length must be multiples of the device's block. " +
    "offset and length must stay below 2^63.",
  EFBIG: "The file would exceed the file system's limit, or RLIMIT_FSIZE " +
    "(`ulimit -f`).",
  EPERM: "The file is sealed, immutable or append-only, or a security module " +
    "forbids it.",
  ENOSPC: "The file system is full, or the offset is past the end of the " +
    "device.",
  EDQUOT: QUOTA,
}, generalAdvice);

/** Explains an errno of fsync(). */
export const fsyncAdvice = adviceFrom({
  EINVAL: "The file has nothing to flush: it is a pipe, a socket or a " +
    "terminal, or its driver cannot.",
  EIO: "The device failed, and data written before may be lost. `dmesg` " +
    "shows what its driver reported.",
  EROFS: "The file system is read-only, or has no way to flush.",
  ENOSPC: FULL,
  EDQUOT: QUOTA,
}, generalAdvice);

/** Errnos of any operation on a socket. */
const SOCKET: AdviceTable = {
  ENOTSOCK: "The descriptor is not a socket's. Pass that of a socket.",
  EPERM: "A firewall or a security module forbids it.",
  ENETDOWN: "The network interface is down. `ip link` shows it.",
  ENETUNREACH: "No route leads to the address. `ip route get` shows the way.",
  EHOSTUNREACH: "No host answers at the address, or a router or a firewall " +
    "refused. `ip route get` shows the way.",
  EADDRNOTAVAIL: "No interface of this machine has the address (`ip addr`), " +
    "or no local port is free.",
  EAFNOSUPPORT: "The address is of another family than the socket.",
};

/** Explains an errno of socket(). */
export const socketAdvice = adviceFrom({
  EAFNOSUPPORT: "The kernel has no sockets of this domain: it was built " +
    "without, or their module is not loaded.",
  EPROTONOSUPPORT: "The domain has no such protocol for this type. The " +
    "default 0 takes the usual one.",
  ESOCKTNOSUPPORT: "The domain has no such type of socket.",
  EPERM: "A socket of type SOCK_RAW needs root or CAP_NET_RAW.",
  EACCES: `The process may not make such a socket. ${RESTRICTED}`,
  EINVAL: "type has unknown flags, or domain or protocol is out of range.",
}, generalAdvice);

const SCOPE = "A link-local IPv6 address needs its scope, as in " +
  '"fe80::1%eth0" or "fe80::1%2".';

/** Explains an errno of bind(). */
export const bindAdvice = adviceFrom({
  ...SOCKET,
  EACCES: "A port below net.ipv4.ip_unprivileged_port_start (usually 1024) " +
    "needs root or CAP_NET_BIND_SERVICE. A path needs write permission for " +
    `its directory. ${RESTRICTED}`,
  EADDRINUSE: "Another socket has the address (`ss -ltnp` shows whose), or " +
    "the path exists. Port 0 takes a free port; remove a path that is left " +
    "over.",
  EINVAL: `The socket is bound already, or of another family. ${SCOPE} ` +
    "IORING_OP_BIND came with Linux 6.11.",
  ENOENT: "The directory of the path does not exist.",
  ENOTDIR: "A part of the path is a file where a directory has to be.",
  EROFS: "The file system of the path is read-only.",
}, generalAdvice);

/** Explains an errno of connect(). */
export const connectAdvice = adviceFrom({
  ...SOCKET,
  EACCES: "A broadcast address needs SO_BROADCAST. A path needs write " +
    "permission for the socket. Or a firewall forbids the connection. " +
    RESTRICTED,
  EINVAL: "The address is of another family than the socket, or not one to " +
    `connect to. ${SCOPE}`,
  ECONNREFUSED: "Nothing listens at the address. Start the server, or check " +
    "the port or the path.",
  ETIMEDOUT: "Nothing answered: the host is down, or a firewall drops the " +
    "packets.",
  ECONNRESET: RESET,
  ENOENT: "There is no socket at the path. Start the server, or check the " +
    "path.",
  EISCONN: "The socket is connected already. Make another one.",
  EALREADY: "An earlier connect() of this socket is still in flight.",
  EINPROGRESS: "The socket is connecting. Wait with poll() for POLLOUT.",
  EAGAIN: "The queue of the listener is full, or no local port is free. " +
    "Retry later.",
  EADDRINUSE: "The local address is in use, or no local port is free.",
  EPROTOTYPE: "The socket at the path is of another type, such as a stream " +
    "where this one takes datagrams.",
}, generalAdvice);

/** Explains an errno of listen(). */
export const listenAdvice = adviceFrom({
  ...SOCKET,
  EADDRINUSE: "Another socket listens at the port. `ss -ltnp` shows whose.",
  EOPNOTSUPP: "A socket of this type cannot listen. SOCK_STREAM can.",
  EINVAL: "The socket is connected, a Unix socket has no path (call bind() " +
    "first), or the kernel is older than 6.11.",
}, generalAdvice);

/** Explains an errno of accept(). */
export const acceptAdvice = adviceFrom({
  ...SOCKET,
  EINVAL: "The socket does not listen, or no longer. Call listen() first.",
  EOPNOTSUPP: "A socket of this type has no connections to accept.",
  ECONNABORTED: "The peer gave up before its connection was accepted. Accept " +
    "the next one.",
  EAGAIN: "No connection waits to be accepted. Wait with poll().",
}, generalAdvice);

/** Explains an errno of send() and recv(). */
export const messageAdvice = adviceFrom({
  ...SOCKET,
  ...TRANSFER,
  ENOTSOCK: "The descriptor is not a socket's. Use read() and write().",
  EOPNOTSUPP: "The socket does not take one of the flags.",
  EINVAL: "The flags do not fit this socket, or the state that it is in.",
}, generalAdvice);

/** Explains an errno of sendZc(). */
export const sendZcAdvice = adviceFrom({
  EOPNOTSUPP:
    "The socket cannot send without a copy; Unix sockets never can. Use send().",
}, messageAdvice);

/** Explains an errno of read() with provided buffers. */
export const readLentAdvice = adviceFrom({
  ENOBUFS: allLentAdvice,
  EBADFD:
    "The file cannot be polled, as a regular file. Read it without multishot.",
  EINVAL: "The file cannot be read like this, or multishot needs Linux 6.7.",
}, transferAdvice);

/** Explains an errno of recv() with provided buffers. */
export const recvLentAdvice = adviceFrom({
  ENOBUFS: allLentAdvice,
  EINVAL: "The flags do not fit this socket, or the state that it is in. " +
    "MSG_WAITALL and multishot do not go together, and multishot needs Linux 6.0.",
}, messageAdvice);
