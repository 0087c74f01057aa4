/**
 * Commands for sockets: bytes in the queues, options, addresses, timestamps.
 *
 * The kernel runs them on the socket itself, without a thread. Most complete
 * before io_uring_enter() returns.
 *
 * @example Bytes not yet acknowledged, and the size of the receive buffer
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

import * as uapi from "../../sys/uapi/io_uring.ts";
import { SOL_SOCKET } from "../../sys/uapi/socket.ts";
import { holdsAddress, optionUnit } from "../../sys/socket_calls.ts";
import { SOCKADDR_MAX, socketOption } from "../../sys/socket_calls.ts";
import { byteLengthOf, copyOf, partOf } from "../../ring/intrinsics.ts";
import { checkBytes, checkFd, checkInteger } from "../../ring/check.ts";
import { checkObject, checkU32, INT_MAX } from "../../ring/check.ts";
import { Command, type File } from "../../ring/command.ts";
import { draftTo } from "../../ring/draft.ts";
import { Kind } from "../../ring/kind.ts";
import { operand, scratchOperand } from "../../ring/operand.ts";
import { adviceFrom, generalAdvice } from "../../ring/errors.ts";
import { uringCmdAdvice, UringError } from "../../ring/errors.ts";
import { decodeSockaddr, type SocketAddress } from "../sockaddr.ts";
import { levelAndName } from "../uring_cmd.ts";

export { IPPROTO_IP, IPPROTO_IPV6 } from "../../sys/uapi/socket.ts";
export { IPPROTO_TCP, IPPROTO_UDP, SOL_SOCKET } from "../../sys/uapi/socket.ts";
export { SO_BUSY_POLL, SO_MARK, SO_PRIORITY } from "../../sys/uapi/socket.ts";
export { SO_COOKIE, SO_ERROR, SO_PEERCRED } from "../../sys/uapi/socket.ts";
export { SO_DOMAIN, SO_PROTOCOL, SO_TYPE } from "../../sys/uapi/socket.ts";
export { SO_INCOMING_CPU, SO_TIMESTAMPING } from "../../sys/uapi/socket.ts";
export { SO_KEEPALIVE, SO_LINGER, SO_ZEROCOPY } from "../../sys/uapi/socket.ts";
export { SO_RCVBUF, SO_RCVLOWAT, SO_SNDBUF } from "../../sys/uapi/socket.ts";
export { SO_REUSEADDR, SO_REUSEPORT } from "../../sys/uapi/socket.ts";
export { SOF_TIMESTAMPING_OPT_ID } from "../../sys/uapi/socket.ts";
export { SOF_TIMESTAMPING_OPT_ID_TCP } from "../../sys/uapi/socket.ts";
export { SOF_TIMESTAMPING_OPT_TSONLY } from "../../sys/uapi/socket.ts";
export { SOF_TIMESTAMPING_RAW_HARDWARE } from "../../sys/uapi/socket.ts";
export { SOF_TIMESTAMPING_SOFTWARE } from "../../sys/uapi/socket.ts";
export { SOF_TIMESTAMPING_TX_ACK } from "../../sys/uapi/socket.ts";
export { SOF_TIMESTAMPING_TX_HARDWARE } from "../../sys/uapi/socket.ts";
export { SOF_TIMESTAMPING_TX_SCHED } from "../../sys/uapi/socket.ts";
export { SOF_TIMESTAMPING_TX_SOFTWARE } from "../../sys/uapi/socket.ts";
export { TCP_CONGESTION, TCP_CORK, TCP_MAXSEG } from "../../sys/uapi/socket.ts";
export { TCP_KEEPCNT, TCP_KEEPIDLE } from "../../sys/uapi/socket.ts";
export { TCP_KEEPINTVL, TCP_USER_TIMEOUT } from "../../sys/uapi/socket.ts";
export { TCP_NODELAY, TCP_QUICKACK } from "../../sys/uapi/socket.ts";
export type { IpAddress, SocketAddress, UnixAddress } from "../sockaddr.ts";
export { socketFd, socketFds, type SocketLike } from "./fd.ts";

const { addr, addr3, optval } = uapi.io_uring_sqe;
const { IORING_OP_URING_CMD: opcode } = uapi;

/**
 * Counts the bytes that a socket has received and the program has not read, as
 * `ioctl(SIOCINQ)` does. For a datagram socket, the result is the size of the
 * next datagram: 0 if there is none, or if it is empty.
 *
 * `SOCKET_URING_OP_SIOCINQ`, Linux 6.6, any user. EOPNOTSUPP: a Unix socket,
 * which supports the ioctl but not the command. EINVAL: a listening socket.
 *
 * @example Bytes that wait in a connection
 * ```ts
 * import { Ring } from "@uring/cmd";
 * import { siocinq, socketFd } from "@uring/cmd/socket";
 *
 * using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * using client = await Deno.connect({ port: listener.addr.port });
 * using server = await listener.accept();
 * await client.write(new TextEncoder().encode("hello"));
 *
 * await using ring = Ring.open();
 * console.log(await ring.cmd(siocinq(socketFd(server)))); // 5
 * ```
 */
export function siocinq(file: File): Command<number> {
  const draft = draftTo(SIOCINQ, file);
  draft.offLow = uapi.SOCKET_URING_OP_SIOCINQ;
  return new Command<number>(draft);
}

/**
 * Counts the bytes written to a socket that the peer has not acknowledged, as
 * `ioctl(SIOCOUTQ)` does. For a datagram socket, the result is the memory of
 * unsent datagrams, which is more than their bytes.
 *
 * `SOCKET_URING_OP_SIOCOUTQ`, Linux 6.6, any user. EOPNOTSUPP: a Unix socket,
 * which supports the ioctl but not the command. EINVAL: a listening socket.
 */
export function siocoutq(file: File): Command<number> {
  const draft = draftTo(SIOCOUTQ, file);
  draft.offLow = uapi.SOCKET_URING_OP_SIOCOUTQ;
  return new Command<number>(draft);
}

/** A socket option to read. */
export interface SocketOptionQuery {
  /** The protocol level: `SOL_SOCKET`, `IPPROTO_TCP`, ... */
  level: number;
  /** The option: `SO_RCVBUF`, ... */
  optname: number;
  /** Bytes to make room for, at most 65,536; most options have 4. */
  length: number;
}

/**
 * Reads a socket option. The result is as many bytes as the kernel wrote.
 *
 * `SOCKET_URING_OP_GETSOCKOPT`, Linux 6.7, any user; some options need a
 * capability. EOPNOTSUPP: a level other than SOL_SOCKET, for which the kernel's
 * handler has no code; {@linkcode getsockoptSync} reads those. ENOPROTOOPT: no
 * such option.
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
    opcode,
    file,
    off: uapi.SOCKET_URING_OP_GETSOCKOPT,
    addr: levelAndName(level, optname),
    fileIndex: optlen,
    operands: [scratchOperand(optval.offset, length)],
    decode: (done) =>
      copyOf(done.memory(), 0, Math.min(done.res, optlen) * unit),
    advice: level === SOL_SOCKET ? queryAdvice : otherLevelAdvice,
  });
}

/**
 * Reads a socket option of any level with a plain system call, because
 * {@linkcode getsockopt} reads SOL_SOCKET only. `length` is at most 32,768.
 *
 * @example The congestion control of a connection
 * ```ts
 * import * as s from "@uring/cmd/socket";
 *
 * using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * using conn = await Deno.connect({ port: listener.addr.port });
 * const name = s.getsockoptSync(s.socketFd(conn), {
 *   level: s.IPPROTO_TCP,
 *   optname: s.TCP_CONGESTION,
 *   length: 16,
 * });
 * console.log(new TextDecoder().decode(name)); // such as "cubic", then zeros
 * ```
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
 * `SOCKET_URING_OP_SETSOCKOPT`, Linux 6.7, any user; some options need a
 * capability. `value` is the option's bytes, or a number for an `int`.
 * ENOPROTOOPT: no such option.
 *
 * The kernel takes the value as it is. Options that are known to have an address
 * in it, such as SO_ATTACH_FILTER, are refused.
 *
 * @example Send small segments at once
 * ```ts
 * import { Ring } from "@uring/cmd";
 * import * as s from "@uring/cmd/socket";
 *
 * using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * using conn = await Deno.connect({ port: listener.addr.port });
 * await using ring = Ring.open();
 * await ring.cmd(s.setsockopt(s.socketFd(conn), {
 *   level: s.IPPROTO_TCP,
 *   optname: s.TCP_NODELAY,
 *   value: 1,
 * }));
 * ```
 */
export function setsockopt(
  file: File,
  option: { level: number; optname: number; value: Uint8Array | number },
): Command<number> {
  const { level, optname, value } = checkObject("option", option);
  if (holdsAddress(level, optname)) {
    throw new TypeError(
      `the value of option ${optname} of level ${level} holds an address, of ` +
        "memory that the ring does not keep. uringCmd() sets it, if you " +
        "vouch for the address",
    );
  }
  const isInt = typeof value === "number";
  const bytes = isInt ? int(value) : checkBytes("value", value);
  return new Command({
    name: "URING_CMD SETSOCKOPT",
    opcode,
    file,
    off: uapi.SOCKET_URING_OP_SETSOCKOPT,
    addr: levelAndName(level, optname),
    fileIndex: checkInteger("length of value", byteLengthOf(bytes), 0, INT_MAX),
    operands: [operand(optval.offset, { bytes, kernel: "reads" })],
    advice: optionAdvice,
  });
}

/**
 * Reads the address of a socket.
 *
 * `SOCKET_URING_OP_GETSOCKNAME`, Linux 6.19, any user. EOPNOTSUPP: an older
 * kernel.
 */
export function getsockname(file: File): Command<SocketAddress> {
  return named("URING_CMD GETSOCKNAME", file, 0);
}

/**
 * Reads the address of a socket's peer.
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
    opcode,
    file,
    off: uapi.SOCKET_URING_OP_GETSOCKNAME,
    fileIndex: peer, // At `optlen`.
    operands: [
      scratchOperand(addr.offset, SOCKADDR_MAX),
      // The kernel also writes it, but each run starts with this value.
      { ...length, bytes: int(SOCKADDR_MAX), reads: true, writes: false },
    ],
    decode: (done) => {
      const [given] = new Uint32Array(copyOf(done.memory(1)).buffer);
      return decodeSockaddr(partOf(done.memory(0), 0, given));
    },
    advice: nameAdvice,
  });
}

/** A time in the life of a packet: an element of {@linkcode txTimestamps}. */
export interface TxTimestamp {
  /**
   * The number of the datagram, or of the byte on a stream, counted from when
   * SOF_TIMESTAMPING_OPT_ID was set in SO_TIMESTAMPING.
   */
  key: number;
  /**
   * Passed to the queueing layer, to the device, or acknowledged by the peer.
   */
  type: "scheduled" | "sent" | "acknowledged";
  /** `true` for a time of the network device, `false` for one of the kernel. */
  hardware: boolean;
  /** Nanoseconds since 1970, by the system's clock or the device's. */
  nanoseconds: bigint;
}

/**
 * Reports the times at which packets of a socket were sent, for
 * `ring.stream()`.
 *
 * `SOCKET_URING_OP_TX_TIMESTAMP`, Linux 6.17, any user, on a ring opened with
 * `cqe32: true` or `mixed: true`. First set SO_TIMESTAMPING to the times to
 * report and SOF_TIMESTAMPING_OPT_TSONLY. Without the latter, the kernel passes
 * over packets that carry their payload back.
 *
 * ENOBUFS ends the stream when the ring has no room for a completion. Older
 * kernels, such as 6.18, report no error, and hold the rest back until the
 * socket sends the next packet: open the ring with enough `cqEntries`.
 *
 * @example The times of every packet of `fd`
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
    opcode,
    file,
    off: uapi.SOCKET_URING_OP_TX_TIMESTAMP,
    cqe32: true,
    multishot: true,
    decode: ({ res, flags, extra1, extra2 }) => ({
      key: res >>> 0, // Unsigned: the key of a long stream has bit 31 set.
      type: TYPES[flags >>> uapi.IORING_TIMESTAMP_TYPE_SHIFT & 3],
      hardware: (flags & uapi.IORING_CQE_F_TSTAMP_HW) !== 0,
      nanoseconds: extra1 * 1_000_000_000n + extra2, // struct io_timespec
    }),
    advice: timestampAdvice,
  });
}

/**
 * By SCM_TSTAMP_SND, SCM_TSTAMP_SCHED, SCM_TSTAMP_ACK, SCM_TSTAMP_COMPLETION.
 */
const TYPES = ["sent", "scheduled", "acknowledged", "sent"] as const;

/** Returns the four bytes of an `int`, signed or unsigned. */
function int(value: number): Uint8Array {
  checkInteger("value", value, -0x8000_0000, 0xffff_ffff);
  return new Uint8Array(Uint32Array.of(value).buffer);
}

const queueAdvice = adviceFrom({
  EOPNOTSUPP: "The file is not a socket, its family has no such count (Unix " +
    "sockets have it only as an ioctl), or the kernel is older than 6.6.",
  EINVAL: "The socket listens, and so has no bytes of its own.",
}, uringCmdAdvice);

const SIOCINQ = new Kind<number>({
  name: "URING_CMD SIOCINQ",
  opcode,
  advice: queueAdvice,
});
const SIOCOUTQ = new Kind<number>({
  name: "URING_CMD SIOCOUTQ",
  opcode,
  advice: queueAdvice,
});

const TOO_SHORT = "The option has more bytes than `length` makes room for.";
const BAD_VALUE = "The value is not one the option takes, or too short for it.";

const optionAdvice = adviceFrom({
  EOPNOTSUPP: "The socket's family does not take this option, the file is " +
    "not a socket, or the kernel is older than 6.7. Before about 6.12, Unix " +
    "sockets took no option commands.",
  ENOPROTOOPT: "The socket has no such option at this level.",
  EINVAL: BAD_VALUE,
  EDOM: BAD_VALUE,
  ERANGE: TOO_SHORT,
  ENODEV: "The network namespace has no device of this name. `ip link` lists " +
    "those for SO_BINDTODEVICE.",
  ENOENT: "The kernel has nothing of this name. The names for TCP_CONGESTION " +
    "are in net.ipv4.tcp_available_congestion_control.",
}, generalAdvice);

const queryAdvice = adviceFrom({
  EINVAL: `${TOO_SHORT} Or the socket has no such value in its state.`,
}, optionAdvice);

const plainCallAdvice = adviceFrom({
  ENOTSOCK: "The descriptor is not a socket's.",
  EOPNOTSUPP: "The socket's family has no options at this level.",
}, queryAdvice);

const otherLevelAdvice = adviceFrom({
  EOPNOTSUPP: "The kernel's handler reads options of SOL_SOCKET only " +
    "(io_uring_cmd_getsockopt(), Linux 7.2). Read this one with " +
    "getsockoptSync(), and set it with setsockopt().",
}, queryAdvice);

const nameAdvice = adviceFrom({
  EOPNOTSUPP: "The file is not a socket, or the kernel is older than 6.19, " +
    "which brought this command.",
  ENOTCONN: "The socket is not connected.",
}, uringCmdAdvice);

const timestampAdvice = adviceFrom({
  EOPNOTSUPP: "The file is not a socket, or the kernel is older than 6.17.",
  ENOBUFS: "The completion queue was full. Open the ring with more " +
    "cqEntries, and start the stream again.",
}, uringCmdAdvice);
