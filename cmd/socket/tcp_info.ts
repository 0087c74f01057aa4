/** The facts that the kernel knows of a TCP connection. */

import { IPPROTO_TCP, TCP_INFO } from "../../sys/uapi/socket.ts";
import { getsockoptSync } from "./options.ts";

/** States of a connection, by number: enum in <net/tcp_states.h>. */
const STATES = [
  "",
  ...["ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2"],
  ...["TIME_WAIT", "CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING"],
  ...["NEW_SYN_RECV"],
];

/** Bytes of the struct in Linux 5.19. It has grown since, at its end. */
const BYTES = 232;

/** The fields: the name in C after `tcpi_`, the offset and the size. */
export const FIELDS = {
  retransmits: ["retransmits", 2, 1],
  retransmitTimeout: ["rto", 8, 4],
  roundTrip: ["rtt", 68, 4],
  roundTripVariance: ["rttvar", 72, 4],
  minRoundTrip: ["min_rtt", 148, 4],
  sendSegmentSize: ["snd_mss", 16, 4],
  receiveSegmentSize: ["rcv_mss", 20, 4],
  congestionWindow: ["snd_cwnd", 80, 4],
  sendWindow: ["snd_wnd", 228, 4],
  pathMtu: ["pmtu", 60, 4],
  unacknowledged: ["unacked", 24, 4],
  lost: ["lost", 32, 4],
  retransmitted: ["total_retrans", 100, 4],
  segmentsSent: ["segs_out", 136, 4],
  segmentsReceived: ["segs_in", 140, 4],
  bytesSent: ["bytes_sent", 200, 8],
  bytesRetransmitted: ["bytes_retrans", 208, 8],
  bytesAcknowledged: ["bytes_acked", 120, 8],
  bytesReceived: ["bytes_received", 128, 8],
  bytesUnsent: ["notsent_bytes", 144, 4],
  deliveryRate: ["delivery_rate", 160, 8],
  pacingRate: ["pacing_rate", 104, 8],
  lastSentMs: ["last_data_sent", 44, 4],
  lastReceivedMs: ["last_data_recv", 52, 4],
  busyTime: ["busy_time", 168, 8],
  windowLimitedTime: ["rwnd_limited", 176, 8],
  bufferLimitedTime: ["sndbuf_limited", 184, 8],
} as const satisfies Record<string, readonly [string, number, 1 | 4 | 8]>;

/**
 * Facts of a TCP connection. In brackets: the names in `struct tcp_info`. Times are
 * microseconds, if the name does not say otherwise.
 */
export interface TcpInfo {
  /** The state, such as `"ESTABLISHED"` or `"CLOSE_WAIT"`. \[state\] */
  readonly state: string;
  /** Timeouts in a row without an acknowledgment. \[retransmits\] */
  readonly retransmits: number;
  /** Microseconds until a segment is sent again. \[rto\] */
  readonly retransmitTimeout: number;
  /** Round trip, smoothed. \[rtt\] */
  readonly roundTrip: number;
  /** The mean deviation of it. \[rttvar\] */
  readonly roundTripVariance: number;
  /** The shortest round trip of the last minutes. \[min_rtt\] */
  readonly minRoundTrip: number;
  /** Bytes of the largest segment to send. \[snd_mss\] */
  readonly sendSegmentSize: number;
  /** Bytes of the largest segment that came. \[rcv_mss\] */
  readonly receiveSegmentSize: number;
  /** Segments that the peer may have at a time: the window. \[snd_cwnd\] */
  readonly congestionWindow: number;
  /** Bytes that the peer has room for. \[snd_wnd\] */
  readonly sendWindow: number;
  /** Bytes of the largest packet on the way. \[pmtu\] */
  readonly pathMtu: number;
  /** Segments sent and not acknowledged. \[unacked\] */
  readonly unacknowledged: number;
  /** Of these, those taken for lost. \[lost\] */
  readonly lost: number;
  /** Segments that were sent again, so far. \[total_retrans\] */
  readonly retransmitted: number;
  /** Segments sent so far. \[segs_out\] */
  readonly segmentsSent: number;
  /** Segments that came so far. \[segs_in\] */
  readonly segmentsReceived: number;
  /** Bytes so far, those sent again included. \[bytes_sent\] */
  readonly bytesSent: number | bigint;
  /** Bytes that were sent again, so far. \[bytes_retrans\] */
  readonly bytesRetransmitted: number | bigint;
  /** Bytes that the peer has acknowledged, so far. \[bytes_acked\] */
  readonly bytesAcknowledged: number | bigint;
  /** Bytes so far. \[bytes_received\] */
  readonly bytesReceived: number | bigint;
  /** Bytes in the queue that were not sent yet. \[notsent_bytes\] */
  readonly bytesUnsent: number;
  /** Bytes a second that arrived last, as far as acknowledgments tell. \[delivery_rate\] */
  readonly deliveryRate: number | bigint;
  /** Bytes a second at which the kernel sends. \[pacing_rate\] */
  readonly pacingRate: number | bigint;
  /** Milliseconds since data was sent. \[last_data_sent\] */
  readonly lastSentMs: number;
  /** Milliseconds since data came. \[last_data_recv\] */
  readonly lastReceivedMs: number;
  /** Microseconds with data to send. \[busy_time\] */
  readonly busyTime: number | bigint;
  /** Of these, those in which the peer had no room. \[rwnd_limited\] */
  readonly windowLimitedTime: number | bigint;
  /** Of these, those in which the send buffer was too small. \[sndbuf_limited\] */
  readonly bufferLimitedTime: number | bigint;
}

/**
 * Reads what the kernel knows of a TCP connection, as `ss -ti` shows it.
 *
 * It is getsockopt(2) with TCP_INFO, a plain system call: the kernel's socket
 * commands read options of SOL_SOCKET only.
 *
 * @example The round trip of a connection
 * ```ts
 * import { socketFd, tcpInfoSync } from "@uring/cmd/socket";
 *
 * using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * using conn = await Deno.connect({ port: listener.addr.port });
 * const { state, roundTrip } = tcpInfoSync(socketFd(conn));
 * console.log(state, roundTrip, "microseconds"); // ESTABLISHED
 * ```
 *
 * @throws {UringError} with the errno of getsockopt(2); EOPNOTSUPP for a socket of
 * another kind.
 */
export function tcpInfoSync(fd: number): TcpInfo {
  const query = { level: IPPROTO_TCP, optname: TCP_INFO, length: BYTES };
  const bytes = getsockoptSync(fd, query);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const facts: Record<string, number | bigint> = {};
  for (const [name, [, at, size]] of Object.entries(FIELDS)) {
    facts[name] = size === 8
      ? numberOf(view.getBigUint64(at, true))
      : size === 4
      ? view.getUint32(at, true)
      : view.getUint8(at);
  }
  const state = STATES[view.getUint8(0)] ?? "unknown";
  return { state, ...facts } as unknown as TcpInfo;
}

/** Returns a number, as long as it has no gaps there. */
function numberOf(value: bigint): number | bigint {
  return value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}
