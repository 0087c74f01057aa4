// <linux/io_uring.h>, Linux 7.2.

import { struct, structFrom, u64 } from "../struct.ts";

/**
 * A submission queue entry. One of 128 bytes goes on with 64 bytes of `cmd`. Of
 * the many names of bytes 28 to 31, one for each operation, it has three.
 */
export const io_uring_sqe = structFrom(
  64,
  "0 u8 opcode, 1 u8 flags, 2 u16 ioprio, 4 s32 fd, 8 u64 off, 8 u64 addr2",
  "8 u32 cmd_op, 12 u32 __pad1, 16 u64 addr, 16 u64 splice_off_in",
  "16 u32 level, 20 u32 optname, 24 u32 len, 28 u32 rw_flags",
  "28 u16 poll_events, 28 u32 uring_cmd_flags, 32 u64 user_data",
  "40 u16 buf_index, 40 u16 buf_group, 42 u16 personality, 44 s32 splice_fd_in",
  "44 u32 file_index, 44 u32 zcrx_ifq_idx, 44 u32 optlen, 44 u16 addr_len",
  "46 u8[2] __pad3, 44 u8 write_stream, 45 u8[3] __pad4, 48 u64 addr3",
  "56 u8[8] __pad2, 48 u64 attr_ptr, 56 u64 attr_type_mask, 48 u64 optval",
  "48 u8[0] cmd",
);

/** `fd` is a place in the table of files. Linux 5.1. */
export const IOSQE_FIXED_FILE = 1 << 0;
/** Start when all before it have completed. Linux 5.2. */
export const IOSQE_IO_DRAIN = 1 << 1;
/** The next SQE starts when this one has succeeded. Linux 5.3. */
export const IOSQE_IO_LINK = 1 << 2;
/** As IOSQE_IO_LINK, also when it fails. Linux 5.5. */
export const IOSQE_IO_HARDLINK = 1 << 3;
/** Run on a worker at once. Linux 5.6. */
export const IOSQE_ASYNC = 1 << 4;
/** Use a provided buffer. Linux 5.7. */
export const IOSQE_BUFFER_SELECT = 1 << 5;
/** Post no completion on success. Linux 5.17. */
export const IOSQE_CQE_SKIP_SUCCESS = 1 << 6;

/** Poll devices for completions. Linux 5.1. */
export const IORING_SETUP_IOPOLL = 1 << 0;
/** A kernel thread submits. Linux 5.1. */
export const IORING_SETUP_SQPOLL = 1 << 1;
/** Bind the submission thread to a processor. Linux 5.1. */
export const IORING_SETUP_SQ_AFF = 1 << 2;
export const IORING_SETUP_CQSIZE = 1 << 3;
/** Make the queues smaller rather than refuse. Linux 5.6. */
export const IORING_SETUP_CLAMP = 1 << 4;
export const IORING_SETUP_ATTACH_WQ = 1 << 5;
/** Start disabled. Linux 5.10. */
export const IORING_SETUP_R_DISABLED = 1 << 6;
/** Go on submitting after a bad SQE. Linux 5.18. */
export const IORING_SETUP_SUBMIT_ALL = 1 << 7;
/** Do not interrupt the program to complete. Linux 5.19. */
export const IORING_SETUP_COOP_TASKRUN = 1 << 8;
/** Set IORING_SQ_TASKRUN while completions wait for an enter. Linux 5.19. */
export const IORING_SETUP_TASKRUN_FLAG = 1 << 9;
/** SQEs are 128 bytes. Linux 5.19. */
export const IORING_SETUP_SQE128 = 1 << 10;
/** CQEs are 32 bytes. Linux 5.19. */
export const IORING_SETUP_CQE32 = 1 << 11;
/** One thread submits. Linux 6.0. */
export const IORING_SETUP_SINGLE_ISSUER = 1 << 12;
/** Complete only in io_uring_enter(). Linux 6.1. */
export const IORING_SETUP_DEFER_TASKRUN = 1 << 13;
export const IORING_SETUP_NO_MMAP = 1 << 14;
export const IORING_SETUP_REGISTERED_FD_ONLY = 1 << 15;
/** Leave out the array of SQE numbers. Linux 6.6. */
export const IORING_SETUP_NO_SQARRAY = 1 << 16;
/** Sleep before polling. Linux 6.13. */
export const IORING_SETUP_HYBRID_IOPOLL = 1 << 17;
/** CQEs are 16 or 32 bytes. Linux 6.18. */
export const IORING_SETUP_CQE_MIXED = 1 << 18;
/** SQEs are 64 or 128 bytes. Linux 6.19. */
export const IORING_SETUP_SQE_MIXED = 1 << 19;
export const IORING_SETUP_SQ_REWIND = 1 << 20;

/** Does nothing. Linux 5.1. */
export const IORING_OP_NOP = 0;
export const IORING_OP_READV = 1;
export const IORING_OP_WRITEV = 2;
/** fsync(2). Linux 5.1. */
export const IORING_OP_FSYNC = 3;
/** Reads into a registered buffer. Linux 5.1. */
export const IORING_OP_READ_FIXED = 4;
/** Writes from a registered buffer. Linux 5.1. */
export const IORING_OP_WRITE_FIXED = 5;
/** Waits until a file is ready. Linux 5.1. */
export const IORING_OP_POLL_ADD = 6;
export const IORING_OP_POLL_REMOVE = 7;
/** sync_file_range(2). Linux 5.2. */
export const IORING_OP_SYNC_FILE_RANGE = 8;
export const IORING_OP_SENDMSG = 9;
export const IORING_OP_RECVMSG = 10;
/** Waits for a time. Linux 5.4. */
export const IORING_OP_TIMEOUT = 11;
export const IORING_OP_TIMEOUT_REMOVE = 12;
/** accept4(2). Linux 5.5. */
export const IORING_OP_ACCEPT = 13;
/** Cancels commands. Linux 5.5. */
export const IORING_OP_ASYNC_CANCEL = 14;
/** Bounds the time of the command before it in a chain. Linux 5.5. */
export const IORING_OP_LINK_TIMEOUT = 15;
/** connect(2). Linux 5.5. */
export const IORING_OP_CONNECT = 16;
/** fallocate(2). Linux 5.6. */
export const IORING_OP_FALLOCATE = 17;
/** openat(2). Linux 5.6. */
export const IORING_OP_OPENAT = 18;
/** close(2). Linux 5.6. */
export const IORING_OP_CLOSE = 19;
export const IORING_OP_FILES_UPDATE = 20;
/** statx(2). Linux 5.6. */
export const IORING_OP_STATX = 21;
/** read(2). Linux 5.6. */
export const IORING_OP_READ = 22;
/** write(2). Linux 5.6. */
export const IORING_OP_WRITE = 23;
export const IORING_OP_FADVISE = 24;
export const IORING_OP_MADVISE = 25;
/** send(2). Linux 5.6. */
export const IORING_OP_SEND = 26;
/** recv(2). Linux 5.6. */
export const IORING_OP_RECV = 27;
export const IORING_OP_OPENAT2 = 28;
export const IORING_OP_EPOLL_CTL = 29;
export const IORING_OP_SPLICE = 30;
export const IORING_OP_PROVIDE_BUFFERS = 31;
export const IORING_OP_REMOVE_BUFFERS = 32;
export const IORING_OP_TEE = 33;
export const IORING_OP_SHUTDOWN = 34;
/** renameat2(2). Linux 5.11. */
export const IORING_OP_RENAMEAT = 35;
/** unlinkat(2). Linux 5.11. */
export const IORING_OP_UNLINKAT = 36;
/** mkdirat(2). Linux 5.15. */
export const IORING_OP_MKDIRAT = 37;
/** symlinkat(2). Linux 5.15. */
export const IORING_OP_SYMLINKAT = 38;
/** linkat(2). Linux 5.15. */
export const IORING_OP_LINKAT = 39;
export const IORING_OP_MSG_RING = 40;
/** fsetxattr(2). Linux 5.19. */
export const IORING_OP_FSETXATTR = 41;
/** setxattr(2). Linux 5.19. */
export const IORING_OP_SETXATTR = 42;
/** fgetxattr(2). Linux 5.19. */
export const IORING_OP_FGETXATTR = 43;
/** getxattr(2). Linux 5.19. */
export const IORING_OP_GETXATTR = 44;
/** socket(2). Linux 5.19. */
export const IORING_OP_SOCKET = 45;
/** A command that only the file understands. Linux 5.19. */
export const IORING_OP_URING_CMD = 46;
/** Sends without a copy. Linux 6.0. */
export const IORING_OP_SEND_ZC = 47;
export const IORING_OP_SENDMSG_ZC = 48;
/** Reads again and again, into provided buffers. Linux 6.7. */
export const IORING_OP_READ_MULTISHOT = 49;
export const IORING_OP_WAITID = 50;
export const IORING_OP_FUTEX_WAIT = 51;
export const IORING_OP_FUTEX_WAKE = 52;
export const IORING_OP_FUTEX_WAITV = 53;
export const IORING_OP_FIXED_FD_INSTALL = 54;
/** ftruncate(2). Linux 6.9. */
export const IORING_OP_FTRUNCATE = 55;
/** bind(2). Linux 6.11. */
export const IORING_OP_BIND = 56;
/** listen(2). Linux 6.11. */
export const IORING_OP_LISTEN = 57;
export const IORING_OP_RECV_ZC = 58;
export const IORING_OP_EPOLL_WAIT = 59;
export const IORING_OP_READV_FIXED = 60;
export const IORING_OP_WRITEV_FIXED = 61;
export const IORING_OP_PIPE = 62;
export const IORING_OP_NOP128 = 63;
/** The same with an SQE of 128 bytes in a mixed ring. Linux 6.19. */
export const IORING_OP_URING_CMD128 = 64;

/** Use the registered buffer `buf_index`. Linux 6.1. */
export const IORING_URING_CMD_FIXED = 1 << 0;
/** Complete many times, into provided buffers. Linux 6.18. */
export const IORING_URING_CMD_MULTISHOT = 1 << 1;
export const IORING_URING_CMD_MASK = 3;

export const IORING_FSYNC_DATASYNC = 1 << 0;

/** A timeout that ends counts as a success, and so fails no chain. */
export const IORING_TIMEOUT_ETIME_SUCCESS = 1 << 5;

export const IORING_POLL_ADD_MULTI = 1 << 0;

export const IORING_ASYNC_CANCEL_ALL = 1 << 0;
export const IORING_ASYNC_CANCEL_ANY = 1 << 2;

/** Receives again and again, into provided buffers. Linux 6.0. */
export const IORING_RECV_MULTISHOT = 1 << 1;
export const IORING_RECVSEND_FIXED_BUF = 1 << 2;
export const IORING_SEND_ZC_REPORT_USAGE = 1 << 3;

export const IORING_NOTIF_USAGE_ZC_COPIED = 0x8000_0000;

export const IORING_NOP_INJECT_RESULT = 1 << 0;
export const IORING_NOP_CQE32 = 1 << 5;

/** The upper 16 bits are the id of a provided buffer. Linux 5.7. */
export const IORING_CQE_F_BUFFER = 1 << 0;
/** More completions of the same command follow. Linux 5.13. */
export const IORING_CQE_F_MORE = 1 << 1;
/** A notification that zero-copy memory is free again. Linux 6.0. */
export const IORING_CQE_F_NOTIF = 1 << 3;
export const IORING_CQE_F_SKIP = 1 << 5;
/** A completion of 32 bytes in a mixed ring. Linux 6.18. */
export const IORING_CQE_F_32 = 1 << 15;

export const IORING_OFF_SQ_RING = 0;
export const IORING_OFF_SQES = 0x10000000;

/** Byte offsets of the words of the SQ ring in its mapping. */
export const io_sqring_offsets = structFrom(
  40,
  "0 u32 head, 4 u32 tail, 8 u32 ring_mask, 12 u32 ring_entries, 16 u32 flags",
  "20 u32 dropped, 24 u32 array, 28 u32 resv1, 32 u64 user_addr",
);

export const IORING_SQ_NEED_WAKEUP = 1 << 0;
export const IORING_SQ_CQ_OVERFLOW = 1 << 1;
export const IORING_SQ_TASKRUN = 1 << 2;

/** Byte offsets of the words of the CQ ring in its mapping. */
export const io_cqring_offsets = structFrom(
  40,
  "0 u32 head, 4 u32 tail, 8 u32 ring_mask, 12 u32 ring_entries",
  "16 u32 overflow, 20 u32 cqes, 24 u32 flags, 28 u32 resv1, 32 u64 user_addr",
);

export const IORING_CQ_EVENTFD_DISABLED = 1 << 0;

/** Wait for completions, and post those that wait for an enter. */
export const IORING_ENTER_GETEVENTS = 1 << 0;
/** Wake the submission thread. */
export const IORING_ENTER_SQ_WAKEUP = 1 << 1;
/** Wait for room in a queue with a submission thread. Linux 5.10. */
export const IORING_ENTER_SQ_WAIT = 1 << 2;
export const IORING_ENTER_REGISTERED_RING = 1 << 4;

/** The parameters of io_uring_setup(), which it fills in. */
export const io_uring_params = structFrom(
  120,
  "0 u32 sq_entries, 4 u32 cq_entries, 8 u32 flags, 12 u32 sq_thread_cpu",
  "16 u32 sq_thread_idle, 20 u32 features, 24 u32 wq_fd, 28 u8[12] resv",
  "40 u8[40] sq_off, 80 u8[40] cq_off",
);

export const IORING_FEAT_SINGLE_MMAP = 1 << 0;
export const IORING_FEAT_NODROP = 1 << 1;
export const IORING_FEAT_SUBMIT_STABLE = 1 << 2;
export const IORING_FEAT_RW_CUR_POS = 1 << 3;
export const IORING_FEAT_CUR_PERSONALITY = 1 << 4;
export const IORING_FEAT_FAST_POLL = 1 << 5;
export const IORING_FEAT_POLL_32BITS = 1 << 6;
export const IORING_FEAT_SQPOLL_NONFIXED = 1 << 7;
export const IORING_FEAT_EXT_ARG = 1 << 8;
export const IORING_FEAT_NATIVE_WORKERS = 1 << 9;
export const IORING_FEAT_RSRC_TAGS = 1 << 10;
export const IORING_FEAT_CQE_SKIP = 1 << 11;
export const IORING_FEAT_LINKED_FILE = 1 << 12;
export const IORING_FEAT_REG_REG_RING = 1 << 13;
export const IORING_FEAT_RECVSEND_BUNDLE = 1 << 14;
export const IORING_FEAT_MIN_TIMEOUT = 1 << 15;
export const IORING_FEAT_RW_ATTR = 1 << 16;
export const IORING_FEAT_NO_IOWAIT = 1 << 17;

/** Gives the ring a table of buffers. Linux 5.1. */
export const IORING_REGISTER_BUFFERS = 0;
/** Removes the table of buffers. Linux 5.1. */
export const IORING_UNREGISTER_BUFFERS = 1;
/** Gives the ring a table of files. Linux 5.1. */
export const IORING_REGISTER_FILES = 2;
/** Removes the table of files. Linux 5.1. */
export const IORING_UNREGISTER_FILES = 3;
export const IORING_REGISTER_EVENTFD = 4;
export const IORING_UNREGISTER_EVENTFD = 5;
/** Puts files into places of the table. Linux 5.5. */
export const IORING_REGISTER_FILES_UPDATE = 6;
export const IORING_REGISTER_PROBE = 8;
/** Registers the credentials of the calling thread. Linux 5.6. */
export const IORING_REGISTER_PERSONALITY = 9;
/** Removes registered credentials. Linux 5.6. */
export const IORING_UNREGISTER_PERSONALITY = 10;
export const IORING_REGISTER_RESTRICTIONS = 11;
export const IORING_REGISTER_ENABLE_RINGS = 12;
/** Puts buffers into places of the table. Linux 5.13. */
export const IORING_REGISTER_BUFFERS_UPDATE = 16;
export const IORING_REGISTER_IOWQ_MAX_WORKERS = 19;
export const IORING_REGISTER_RING_FDS = 20;
export const IORING_UNREGISTER_RING_FDS = 21;
/** Registers a ring of provided buffers. Linux 5.19. */
export const IORING_REGISTER_PBUF_RING = 22;
/** Removes a ring of provided buffers. Linux 5.19. */
export const IORING_UNREGISTER_PBUF_RING = 23;
export const IORING_REGISTER_FILE_ALLOC_RANGE = 25;
export const IORING_REGISTER_PBUF_STATUS = 26;
export const IORING_REGISTER_QUERY = 35;
export const IORING_REGISTER_USE_REGISTERED_RING = 0x8000_0000;

export const io_uring_rsrc_update2 = structFrom(
  32,
  "0 u32 offset, 4 u32 resv, 8 u64 data, 16 u64 tags, 24 u32 nr, 28 u32 resv2",
);

export const io_uring_buf_reg = structFrom(
  40,
  "0 u64 ring_addr, 8 u32 ring_entries, 12 u16 bgid, 14 u16 flags",
  "16 u32 min_left, 20 u8[20] resv",
);

export const io_uring_buf_status = structFrom(
  40,
  "0 u32 buf_group, 4 u32 head, 8 u8[32] resv",
);

/** One provided buffer. In the first one, `resv` is the tail of the ring. */
export const io_uring_buf = structFrom(
  16,
  "0 u64 addr, 8 u32 len, 12 u16 bid, 14 u16 resv",
);

export const IO_URING_OP_SUPPORTED = 1 << 0;

export const io_uring_probe_op = structFrom(
  8,
  "0 u8 op, 1 u8 resv, 2 u16 flags, 4 u32 resv2",
);

export const io_uring_probe = structFrom(
  16,
  "0 u8 last_op, 1 u8 ops_len, 2 u16 resv, 4 u8[12] resv2, 16 u8[0] ops",
);

export const io_uring_restriction = structFrom(
  16,
  "0 u16 opcode, 2 u8 register_op, 2 u8 sqe_op, 2 u8 sqe_flags, 3 u8 resv",
  "4 u8[12] resv2",
);

export const IORING_RESTRICTION_REGISTER_OP = 0;
export const IORING_RESTRICTION_SQE_OP = 1;
export const IORING_RESTRICTION_SQE_FLAGS_ALLOWED = 2;
export const IORING_RESTRICTION_SQE_FLAGS_REQUIRED = 3;

export const SOCKET_URING_OP_SIOCINQ = 0;
export const SOCKET_URING_OP_SIOCOUTQ = 1;
export const SOCKET_URING_OP_GETSOCKOPT = 2;
export const SOCKET_URING_OP_SETSOCKOPT = 3;
export const SOCKET_URING_OP_TX_TIMESTAMP = 4;
export const SOCKET_URING_OP_GETSOCKNAME = 5;

export const IORING_TIMESTAMP_TYPE_SHIFT = 17;
export const IORING_CQE_F_TSTAMP_HW = 1 << 16;

export const io_timespec = struct(16, {
  tv_sec: u64(0),
  tv_nsec: u64(8),
});
