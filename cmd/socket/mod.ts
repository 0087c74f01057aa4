/**
 * Commands of sockets. They run on the socket itself, in the order of the ring,
 * without a thread, and most complete before `enter` returns.
 *
 * @example
 * ```ts
 * import { Ring } from "@uring/cmd";
 * import { SO_RCVBUF, SOL_SOCKET } from "@uring/cmd/socket";
 * import { getsockopt, siocoutq, socketFd } from "@uring/cmd/socket";
 *
 * using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * using conn = await Deno.connect({ port: listener.addr.port });
 * const fd = socketFd(conn);
 *
 * await using ring = Ring.open();
 * const [unsent, option] = await Promise.all([
 *   ring.cmd(siocoutq(fd)),
 *   ring.cmd(
 *     getsockopt(fd, { level: SOL_SOCKET, optname: SO_RCVBUF, length: 4 }),
 *   ),
 * ]);
 * console.log(unsent, new Uint32Array(option.buffer)[0]);
 * ```
 *
 * @module
 */

import * as E from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { SOL_SOCKET } from "../../sys/uapi/socket.ts";
import {
  optionUnit,
  SOCKADDR_MAX,
  socketOption,
} from "../../sys/socket_calls.ts";
import { byteLengthOf } from "../../ring/intrinsics.ts";
import {
  checkBytes,
  checkFd,
  checkInteger,
  checkObject,
  checkU32,
} from "../../ring/check.ts";
import { Command, type File } from "../../ring/command.ts";
import { operand, scratchOperand } from "../../ring/operand.ts";
import {
  type Advice,
  generalAdvice,
  uringCmdAdvice,
  UringError,
} from "../../ring/errors.ts";
import { decodeSockaddr, type SocketAddress } from "../sockaddr.ts";
import { levelAndName } from "../uring_cmd.ts";

export {
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IPPROTO_UDP,
  SO_BUSY_POLL,
  SO_COOKIE,
  SO_DOMAIN,
  SO_ERROR,
  SO_INCOMING_CPU,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_MARK,
  SO_PEERCRED,
  SO_PRIORITY,
  SO_PROTOCOL,
  SO_RCVBUF,
  SO_RCVLOWAT,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  SO_TIMESTAMPING,
  SO_TYPE,
  SO_ZEROCOPY,
  SOF_TIMESTAMPING_OPT_ID,
  SOF_TIMESTAMPING_OPT_ID_TCP,
  SOF_TIMESTAMPING_OPT_TSONLY,
  SOF_TIMESTAMPING_RAW_HARDWARE,
  SOF_TIMESTAMPING_SOFTWARE,
  SOF_TIMESTAMPING_TX_ACK,
  SOF_TIMESTAMPING_TX_HARDWARE,
  SOF_TIMESTAMPING_TX_SCHED,
  SOF_TIMESTAMPING_TX_SOFTWARE,
  SOL_SOCKET,
  TCP_CONGESTION,
  TCP_CORK,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_MAXSEG,
  TCP_NODELAY,
  TCP_QUICKACK,
  TCP_USER_TIMEOUT,
} from "../../sys/uapi/socket.ts";
export type { IpAddress, SocketAddress, UnixAddress } from "../sockaddr.ts";
export { socketFd, type SocketLike } from "./fd.ts";

const { addr, addr3, optval } = uapi.io_uring_sqe;

/**
 * Bytes that have arrived at a socket and were not read: `ioctl(SIOCINQ)`. Of a
 * datagram socket, the size of the next datagram.
 *
 * `SOCKET_URING_OP_SIOCINQ`, Linux 6.6, any user. EOPNOTSUPP: a Unix socket,
 * which answers the ioctl but not the command. EINVAL: a socket that listens.
 */
export function siocinq(file: File): Command<number> {
  return queued("URING_CMD SIOCINQ", file, uapi.SOCKET_URING_OP_SIOCINQ);
}

/**
 * Bytes that were written to a socket and not yet acknowledged:
 * `ioctl(SIOCOUTQ)`. Of a datagram socket, the memory that datagrams not yet
 * sent take, which is more than their bytes.
 *
 * `SOCKET_URING_OP_SIOCOUTQ`, Linux 6.6, any user. EOPNOTSUPP: a Unix socket,
 * which answers the ioctl but not the command. EINVAL: a socket that listens.
 */
export function siocoutq(file: File): Command<number> {
  return queued("URING_CMD SIOCOUTQ", file, uapi.SOCKET_URING_OP_SIOCOUTQ);
}

function queued(name: string, file: File, cmdOp: number): Command<number> {
  return new Command({
    name,
    opcode: uapi.IORING_OP_URING_CMD,
    file,
    off: cmdOp,
    advice: queueAdvice,
  });
}

/** A socket option to read. */
export interface SocketOptionQuery {
  /** `SOL_SOCKET`. */
  level: number;
  /** `SO_RCVBUF`, ... */
  optname: number;
  /** Bytes to make room for: 4 for most options. */
  length: number;
}

/**
 * Reads a socket option: its bytes, as many as the kernel gave.
 *
 * `SOCKET_URING_OP_GETSOCKOPT`, Linux 6.7, any user; some options want more.
 * EOPNOTSUPP: another level than SOL_SOCKET, for which the kernel's handler has
 * no code; {@linkcode getsockoptSync} reads those. ENOPROTOOPT: no such option.
 */
export function getsockopt(
  file: File,
  query: SocketOptionQuery,
): Command<Uint8Array> {
  const { level, optname, length } = checkObject("query", query);
  checkInteger("length", length, 0, 65536);
  const unit = optionUnit(level, optname);
  const optlen = Math.floor(length / unit);
  return new Command({
    name: "URING_CMD GETSOCKOPT",
    opcode: uapi.IORING_OP_URING_CMD,
    file,
    off: uapi.SOCKET_URING_OP_GETSOCKOPT,
    addr: levelAndName(level, optname),
    fileIndex: optlen,
    operands: [scratchOperand(optval.offset, length)],
    decode: (done) => done.memory().slice(0, Math.min(done.res, optlen) * unit),
    advice: level === SOL_SOCKET ? optionAdvice : otherLevelAdvice,
  });
}

/**
 * Reads a socket option of any level by a plain system call: what to use where
 * {@linkcode getsockopt} has only SOL_SOCKET.
 *
 * @throws {UringError} with the errno of getsockopt(2).
 */
export function getsockoptSync(
  fd: number,
  query: SocketOptionQuery,
): Uint8Array {
  const { level, optname, length } = checkObject("query", query);
  checkInteger("length", length, 0, 32768);
  checkU32("level", level);
  checkU32("optname", optname);
  const value = socketOption(checkFd(fd), level, optname, length);
  if (typeof value !== "number") return value;
  throw new UringError("getsockopt", fd, -value, plainCallAdvice(-value));
}

/**
 * Sets a socket option of any level. The result is 0.
 *
 * `SOCKET_URING_OP_SETSOCKOPT`, Linux 6.7; any user, but for options that want
 * a capability. `value` is the option's bytes, or a number for an `int`.
 * ENOPROTOOPT: no such option.
 */
export function setsockopt(
  file: File,
  option: { level: number; optname: number; value: Uint8Array | number },
): Command<number> {
  const { level, optname, value } = checkObject("option", option);
  const bytes = typeof value === "number"
    ? int(value)
    : checkBytes("value", value);
  return new Command({
    name: "URING_CMD SETSOCKOPT",
    opcode: uapi.IORING_OP_URING_CMD,
    file,
    off: uapi.SOCKET_URING_OP_SETSOCKOPT,
    addr: levelAndName(level, optname),
    fileIndex: checkInteger("length of value", byteLengthOf(bytes), 0, MAX_INT),
    operands: [operand(optval.offset, { bytes, kernel: "reads" })],
    advice: optionAdvice,
  });
}

/**
 * The address of a socket itself.
 *
 * `SOCKET_URING_OP_GETSOCKNAME`, Linux 6.19, any user. EOPNOTSUPP: an older
 * kernel.
 */
export function getsockname(file: File): Command<SocketAddress> {
  return named("URING_CMD GETSOCKNAME", file, 0);
}

/**
 * The address of the socket at the other end.
 *
 * `SOCKET_URING_OP_GETSOCKNAME`, Linux 6.19, any user. EOPNOTSUPP: an older
 * kernel. ENOTCONN: the socket is not connected.
 */
export function getpeername(file: File): Command<SocketAddress> {
  return named("URING_CMD GETPEERNAME", file, 1);
}

function named(name: string, file: File, peer: 0 | 1): Command<SocketAddress> {
  const length = scratchOperand(addr3.offset, 4);
  return new Command({
    name,
    opcode: uapi.IORING_OP_URING_CMD,
    file,
    off: uapi.SOCKET_URING_OP_GETSOCKNAME,
    fileIndex: peer, // At `optlen`.
    operands: [
      scratchOperand(addr.offset, SOCKADDR_MAX),
      // Read and written, but the value belongs to the command.
      { ...length, bytes: int(SOCKADDR_MAX), reads: true, writes: false },
    ],
    decode: (done) => {
      const [given] = new Uint32Array(done.memory(1).slice().buffer);
      return decodeSockaddr(done.memory(0).subarray(0, given));
    },
    advice: nameAdvice,
  });
}

/** When a packet got how far: an element of {@linkcode txTimestamps}. */
export interface TxTimestamp {
  /**
   * Which packet: counts sent datagrams, or bytes sent on a stream, from when
   * SO_TIMESTAMPING was set with SOF_TIMESTAMPING_OPT_ID.
   */
  key: number;
  /** Handed to the queueing layer, to the device, or acknowledged by the peer. */
  type: "scheduled" | "sent" | "acknowledged";
  /** `true` when the network device took the time. */
  hardware: boolean;
  /** Nanoseconds since 1970, by the system's clock or the device's. */
  nanoseconds: bigint;
}

/**
 * The times at which packets of a socket were sent, as a stream.
 *
 * `SOCKET_URING_OP_TX_TIMESTAMP`, Linux 6.17, any user, on a ring opened with
 * `cqe32: true` or `mixed: true`. Set SO_TIMESTAMPING first, with what to
 * report and with SOF_TIMESTAMPING_OPT_TSONLY, without which packets that carry
 * their payload back are passed over. ENOBUFS ends the stream: its ring had no
 * room for a completion. Older kernels, such as 6.18, say nothing then, and hold
 * the rest back until the next packet is sent: give the ring `cqEntries` enough.
 *
 * @example
 * ```ts ignore
 * import { Ring } from "@uring/cmd";
 * import * as s from "@uring/cmd/socket";
 *
 * await using ring = Ring.open({ cqe32: true });
 * const value = s.SOF_TIMESTAMPING_SOFTWARE | s.SOF_TIMESTAMPING_TX_SOFTWARE |
 *   s.SOF_TIMESTAMPING_OPT_ID | s.SOF_TIMESTAMPING_OPT_TSONLY;
 * const level = s.SOL_SOCKET;
 * const optname = s.SO_TIMESTAMPING;
 * await ring.cmd(s.setsockopt(fd, { level, optname, value }));
 * for await (const { key, nanoseconds } of ring.stream(s.txTimestamps(fd))) {
 *   console.log(key, nanoseconds);
 * }
 * ```
 */
export function txTimestamps(file: File): Command<TxTimestamp> {
  return new Command({
    name: "URING_CMD TX_TIMESTAMP",
    opcode: uapi.IORING_OP_URING_CMD,
    file,
    off: uapi.SOCKET_URING_OP_TX_TIMESTAMP,
    cqe32: true,
    multishot: true,
    decode: ({ res, flags, extra1, extra2 }) => ({
      key: res >>> 0, // All 32 bits of it: a stream's key may look negative.
      type: TYPES[flags >>> uapi.IORING_TIMESTAMP_TYPE_SHIFT & 3],
      hardware: (flags & uapi.IORING_CQE_F_TSTAMP_HW) !== 0,
      nanoseconds: extra1 * 1_000_000_000n + extra2, // struct io_timespec
    }),
    advice: timestampAdvice,
  });
}

/** SCM_TSTAMP_SND, SCM_TSTAMP_SCHED, SCM_TSTAMP_ACK, SCM_TSTAMP_COMPLETION. */
const TYPES = ["sent", "scheduled", "acknowledged", "sent"] as const;

/** The kernel takes the length of an option as an `int`. */
const MAX_INT = 0x7fff_ffff;

/** The four bytes of an `int`. */
function int(value: number): Uint8Array {
  checkInteger("value", value, -0x8000_0000, 0xffff_ffff);
  return new Uint8Array(Uint32Array.of(value).buffer);
}

const queueAdvice: Advice = (errno) => {
  switch (errno) {
    case E.EOPNOTSUPP:
      return "The file is not a socket, its family has no such count for " +
        "commands, as Unix sockets have none although they answer the ioctl, " +
        "or the kernel is older than 6.6.";
    case E.EINVAL:
      return "The socket listens, and so has no bytes of its own.";
    default:
      return uringCmdAdvice(errno);
  }
};

const optionAdvice: Advice = (errno) => {
  switch (errno) {
    case E.EOPNOTSUPP:
      return "The socket's family does not take this option, the file is not " +
        "a socket, or the kernel is older than 6.7; before about 6.12, Unix " +
        "sockets took no option commands at all.";
    case E.ENOPROTOOPT:
      return "The socket has no such option at this level.";
    case E.EINVAL:
    case E.EDOM:
      return "The value is not one the option takes, or too short for it.";
    case E.ERANGE:
      return "The option has more bytes than `length` makes room for.";
    case E.ENOENT:
      return "The kernel has nothing of this name. The names for " +
        "TCP_CONGESTION are in net.ipv4.tcp_available_congestion_control.";
    default:
      return generalAdvice(errno);
  }
};

const plainCallAdvice: Advice = (errno) => {
  switch (errno) {
    case E.ENOTSOCK:
      return "The descriptor is not a socket's.";
    case E.EOPNOTSUPP:
      return "The socket's family has no options at this level.";
    default:
      return optionAdvice(errno);
  }
};

const otherLevelAdvice: Advice = (errno) =>
  errno === E.EOPNOTSUPP
    ? "The kernel's handler reads options of the level SOL_SOCKET only " +
      "(io_uring_cmd_getsockopt(), still so in Linux 7.2). getsockoptSync() " +
      "reads this one with a plain system call; setsockopt() sets it."
    : optionAdvice(errno);

const nameAdvice: Advice = (errno) => {
  switch (errno) {
    case E.EOPNOTSUPP:
      return "The file is not a socket, or the kernel is older than 6.19, " +
        "which brought this command.";
    case E.ENOTCONN:
      return "The socket is not connected.";
    default:
      return uringCmdAdvice(errno);
  }
};

const timestampAdvice: Advice = (errno) => {
  switch (errno) {
    case E.EOPNOTSUPP:
      return "The file is not a socket, or the kernel is older than 6.17.";
    case E.ENOBUFS:
      return "The completion queue was full: open the ring with more " +
        "cqEntries, and start the stream again.";
    default:
      return uringCmdAdvice(errno);
  }
};
