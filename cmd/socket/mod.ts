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
import { SOCKADDR_MAX } from "../../sys/socket_calls.ts";
import { copyOf, partOf } from "../../ring/intrinsics.ts";
import { Command, type FileRef } from "../../ring/command.ts";
import { draftTo } from "../../ring/draft.ts";
import { Kind } from "../../ring/kind.ts";
import { scratchOperand } from "../../ring/operand.ts";
import { adviceFrom, uringCmdAdvice } from "../../ring/errors.ts";
import { decodeSockaddr, type SocketAddress } from "../sockaddr.ts";
import { int } from "./options.ts";

export { IP_FREEBIND, IP_MTU, IP_MTU_DISCOVER } from "../../sys/uapi/socket.ts";
export { IP_MULTICAST_LOOP, IP_MULTICAST_TTL } from "../../sys/uapi/socket.ts";
export { IP_RECVERR, IP_TOS, IP_TTL } from "../../sys/uapi/socket.ts";
export { IPV6_MTU, IPV6_MULTICAST_HOPS } from "../../sys/uapi/socket.ts";
export { IPV6_TCLASS, IPV6_UNICAST_HOPS } from "../../sys/uapi/socket.ts";
export { IPV6_V6ONLY, UDP_GRO, UDP_SEGMENT } from "../../sys/uapi/socket.ts";
export {
  SO_BINDTODEVICE,
  SO_MEMINFO,
  TCP_INFO,
} from "../../sys/uapi/socket.ts";
export { TCP_FASTOPEN, TCP_FASTOPEN_CONNECT } from "../../sys/uapi/socket.ts";
export { TCP_NOTSENT_LOWAT } from "../../sys/uapi/socket.ts";
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
export {
  getsockopt,
  getsockoptSync,
  setsockopt,
  type SocketOption,
  type SocketOptionQuery,
} from "./options.ts";
export { type TcpInfo, tcpInfoSync } from "./tcp_info.ts";
export { socketFd, socketFds, type SocketLike } from "./fd.ts";

const { addr, addr3 } = uapi.io_uring_sqe;
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
export function siocinq(file: FileRef): Command<number> {
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
export function siocoutq(file: FileRef): Command<number> {
  const draft = draftTo(SIOCOUTQ, file);
  draft.offLow = uapi.SOCKET_URING_OP_SIOCOUTQ;
  return new Command<number>(draft);
}

/**
 * Reads the address of a socket.
 *
 * `SOCKET_URING_OP_GETSOCKNAME`, Linux 6.19, any user. EOPNOTSUPP: an older
 * kernel.
 */
export function getsockname(file: FileRef): Command<SocketAddress> {
  return named("URING_CMD GETSOCKNAME", file, 0);
}

/**
 * Reads the address of a socket's peer.
 *
 * `SOCKET_URING_OP_GETSOCKNAME`, Linux 6.19, any user. EOPNOTSUPP: an older
 * kernel. ENOTCONN: the socket is not connected.
 */
export function getpeername(file: FileRef): Command<SocketAddress> {
  return named("URING_CMD GETPEERNAME", file, 1);
}

function named(
  name: string,
  file: FileRef,
  peer: 0 | 1,
): Command<SocketAddress> {
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
export function txTimestamps(file: FileRef): Command<TxTimestamp> {
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
