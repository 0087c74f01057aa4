// <sys/socket.h>, <linux/sockios.h>, <linux/in.h>, <linux/in6.h>, <linux/un.h>, <linux/tcp.h>, <linux/udp.h>, <linux/if.h>, <linux/net_tstamp.h>, Linux 7.2.

import { bytes, s32, struct, u16, u32, u64 } from "../struct.ts";

/** Unix sockets. */
export const AF_UNIX = 1;
/** IPv4. */
export const AF_INET = 2;
/** IPv6. */
export const AF_INET6 = 10;

/** A stream of bytes. */
export const SOCK_STREAM = 1;
/** Datagrams. */
export const SOCK_DGRAM = 2;
/** Datagrams in order over a connection. */
export const SOCK_SEQPACKET = 5;
/** Operations do not block. */
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;

/** Level of the options that all sockets have. */
export const SOL_SOCKET = 1;

/** Bind to an address that was just in use. */
export const SO_REUSEADDR = 2;
/** The type, such as SOCK_STREAM: read only. */
export const SO_TYPE = 3;
/** The pending error, which reading clears. */
export const SO_ERROR = 4;
export const SO_BROADCAST = 6;
/** Bytes of the send buffer. */
export const SO_SNDBUF = 7;
/** Bytes of the receive buffer. */
export const SO_RCVBUF = 8;
/** Send keep-alive messages. */
export const SO_KEEPALIVE = 9;
/** The priority of packets. */
export const SO_PRIORITY = 12;
/** The treatment of unsent data when a socket is closed: `struct linger`. */
export const SO_LINGER = 13;
/** Share an address with other sockets. */
export const SO_REUSEPORT = 15;
/** Credentials of a Unix socket's peer: `struct ucred`, read only. */
export const SO_PEERCRED = 17;
/** Bytes that make a socket readable. */
export const SO_RCVLOWAT = 18;
export const SO_GET_FILTER = 26;
export const SO_ACCEPTCONN = 30;
/** The mark of packets. Needs CAP_NET_ADMIN. */
export const SO_MARK = 36;
/** Report times of packets: `SOF_TIMESTAMPING_` bits. */
export const SO_TIMESTAMPING = 37;
/** The protocol: read only. */
export const SO_PROTOCOL = 38;
/** The address family: read only. */
export const SO_DOMAIN = 39;
/** Microseconds to poll a device for, before sleeping. */
export const SO_BUSY_POLL = 46;
/** The network interface, by name; CAP_NET_RAW to change it. */
export const SO_BINDTODEVICE = 25;
/** The memory of the socket: nine numbers of 32 bits, read only. */
export const SO_MEMINFO = 55;
/** The processor that packets arrive on. */
export const SO_INCOMING_CPU = 49;
/** A number unique to the socket: 8 bytes, read only. */
export const SO_COOKIE = 57;
/** Allow MSG_ZEROCOPY, which `send` refuses: `sendZc` needs no option. */
export const SO_ZEROCOPY = 60;

export const MSG_OOB = 0x1;
/** Leave the data in the queue. */
export const MSG_PEEK = 0x2;
export const MSG_DONTROUTE = 0x4;
/** Return the real length of a datagram; of TCP, discard the bytes. */
export const MSG_TRUNC = 0x20;
/** Fail with EAGAIN rather than wait. */
export const MSG_DONTWAIT = 0x40;
export const MSG_EOR = 0x80;
/** Wait until the buffer is full. */
export const MSG_WAITALL = 0x100;
export const MSG_CONFIRM = 0x800;
export const MSG_NOSIGNAL = 0x4000;
/** More data follows. */
export const MSG_MORE = 0x8000;
export const MSG_BATCH = 0x40000;
/** Close received descriptors on exec. */
export const MSG_CMSG_CLOEXEC = 0x40000000;
/** Control message with descriptors. */
export const SCM_RIGHTS = 1;
export const MSG_ZEROCOPY = 0x4000000;
export const MSG_FASTOPEN = 0x20000000;

export const SIOCINQ = 0x541b;
export const SIOCOUTQ = 0x5411;
export const SIOCGIFINDEX = 0x8933;

/** Level of IPv4 options. */
export const IPPROTO_IP = 0;
/** Level of TCP options. */
export const IPPROTO_TCP = 6;
/** Level of UDP options. */
export const IPPROTO_UDP = 17;
/** Level of IPv6 options. */
export const IPPROTO_IPV6 = 41;

export const sockaddr_in = struct(16, {
  sin_family: u16(0),
  sin_port: bytes(2, 2),
  sin_addr: bytes(4, 4),
  __pad: bytes(8, 8),
});

export const sockaddr_in6 = struct(28, {
  sin6_family: u16(0),
  sin6_port: bytes(2, 2),
  sin6_flowinfo: bytes(4, 4),
  sin6_addr: bytes(8, 16),
  sin6_scope_id: u32(24),
});

export const sockaddr_un = struct(110, {
  sun_family: u16(0),
  sun_path: bytes(2, 108),
});

export const cmsghdr = struct(16, {
  cmsg_len: u64(0),
  cmsg_level: s32(8),
  cmsg_type: s32(12),
});

export const ifreq = struct(40, {
  ifr_name: bytes(0, 16),
  ifr_ifru: bytes(16, 24),
  ifr_ifindex: s32(16),
});

/** The type of service of packets: the DSCP in its upper six bits. */
export const IP_TOS = 1;
/** Hops that a packet may take. */
export const IP_TTL = 2;
/** The way in which packets find out the path's MTU: 2 for always. */
export const IP_MTU_DISCOVER = 10;
/** Errors of the network, by MSG_ERRQUEUE. */
export const IP_RECVERR = 11;
/** The path's MTU of a connected socket, read only. */
export const IP_MTU = 14;
/** Bind to an address that no interface has. */
export const IP_FREEBIND = 15;
/** Hops that a multicast packet may take. */
export const IP_MULTICAST_TTL = 33;
/** A flag: one's own multicast packets come back. */
export const IP_MULTICAST_LOOP = 34;

/** Hops that a packet may take. */
export const IPV6_UNICAST_HOPS = 16;
/** Hops that a multicast packet may take. */
export const IPV6_MULTICAST_HOPS = 18;
/** The path's MTU of a connected socket, read only. */
export const IPV6_MTU = 24;
/** Take no IPv4: set it before bind. */
export const IPV6_V6ONLY = 26;
/** The traffic class of packets: the DSCP in its upper six bits. */
export const IPV6_TCLASS = 67;

/** Bytes of a datagram, of which a send makes several (GSO). */
export const UDP_SEGMENT = 103;
/** Take several datagrams as one (GRO). */
export const UDP_GRO = 104;

/** Send small packets at once. */
export const TCP_NODELAY = 1;
/** Bytes of the largest segment (MSS). */
export const TCP_MAXSEG = 2;
/** Send only full packets. */
export const TCP_CORK = 3;
/** Seconds of silence until the first keep-alive. */
export const TCP_KEEPIDLE = 4;
/** Seconds between keep-alives. */
export const TCP_KEEPINTVL = 5;
/** Unanswered keep-alives until the connection is dropped. */
export const TCP_KEEPCNT = 6;
/** Facts of the connection: see `tcpInfoSync()`. */
export const TCP_INFO = 11;
/** Acknowledge at once. */
export const TCP_QUICKACK = 12;
/** The congestion control algorithm, by name. */
export const TCP_CONGESTION = 13;
/** Milliseconds that data may stay unacknowledged. */
export const TCP_USER_TIMEOUT = 18;
/** Connections to a listener that may begin with data: set it before listen. */
export const TCP_FASTOPEN = 23;
/** Unsent bytes from which on the socket is not writable. */
export const TCP_NOTSENT_LOWAT = 25;
/** A connection begins with the first data. */
export const TCP_FASTOPEN_CONNECT = 30;

/** Take the time in the device, when a packet leaves. */
export const SOF_TIMESTAMPING_TX_HARDWARE = 1 << 0;
/** Take the time when a packet is handed to the device. */
export const SOF_TIMESTAMPING_TX_SOFTWARE = 1 << 1;
/** Report times that the kernel took. */
export const SOF_TIMESTAMPING_SOFTWARE = 1 << 4;
/** Report times that the device took. */
export const SOF_TIMESTAMPING_RAW_HARDWARE = 1 << 6;
/** Number the packets, in `key`. */
export const SOF_TIMESTAMPING_OPT_ID = 1 << 7;
/** Take the time before the queueing layer. */
export const SOF_TIMESTAMPING_TX_SCHED = 1 << 8;
/** Take the time when the peer has acknowledged the data. */
export const SOF_TIMESTAMPING_TX_ACK = 1 << 9;
/** Report the time without the packet. */
export const SOF_TIMESTAMPING_OPT_TSONLY = 1 << 11;
/** Count from the last byte written, not acknowledged. Linux 6.2. */
export const SOF_TIMESTAMPING_OPT_ID_TCP = 1 << 16;
