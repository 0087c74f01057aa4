// <linux/ublk_cmd.h>, Linux 7.2. The same on x86-64 and aarch64.

import { structFrom } from "../struct.ts";
import { _IOR, _IOWR } from "./ioctl.ts";

/** `sizeof(struct ublksrv_ctrl_cmd)` and of `struct ublksrv_io_cmd`. */
const CTRL = 32;
const IO = 16;
/** The letter of the commands. */
const U = 0x75;

export const UBLK_U_CMD_GET_QUEUE_AFFINITY: number = _IOR(U, 0x01, CTRL);
export const UBLK_U_CMD_GET_DEV_INFO: number = _IOR(U, 0x02, CTRL);
export const UBLK_U_CMD_ADD_DEV: number = _IOWR(U, 0x04, CTRL);
export const UBLK_U_CMD_DEL_DEV: number = _IOWR(U, 0x05, CTRL);
export const UBLK_U_CMD_START_DEV: number = _IOWR(U, 0x06, CTRL);
export const UBLK_U_CMD_STOP_DEV: number = _IOWR(U, 0x07, CTRL);
export const UBLK_U_CMD_SET_PARAMS: number = _IOWR(U, 0x08, CTRL);
export const UBLK_U_CMD_GET_PARAMS: number = _IOR(U, 0x09, CTRL);
export const UBLK_U_CMD_START_USER_RECOVERY: number = _IOWR(U, 0x10, CTRL);
export const UBLK_U_CMD_END_USER_RECOVERY: number = _IOWR(U, 0x11, CTRL);
export const UBLK_U_CMD_GET_DEV_INFO2: number = _IOR(U, 0x12, CTRL);
export const UBLK_U_CMD_GET_FEATURES: number = _IOR(U, 0x13, CTRL);
export const UBLK_U_CMD_DEL_DEV_ASYNC: number = _IOR(U, 0x14, CTRL);
export const UBLK_U_CMD_UPDATE_SIZE: number = _IOWR(U, 0x15, CTRL);
export const UBLK_U_CMD_QUIESCE_DEV: number = _IOWR(U, 0x16, CTRL);
export const UBLK_U_CMD_TRY_STOP_DEV: number = _IOWR(U, 0x17, CTRL);

export const UBLK_U_IO_FETCH_REQ: number = _IOWR(U, 0x20, IO);
export const UBLK_U_IO_COMMIT_AND_FETCH_REQ: number = _IOWR(U, 0x21, IO);

export const UBLK_FEATURES_LEN = 8;
export const UBLK_MAX_QUEUE_DEPTH = 4096;
export const UBLK_MAX_NR_QUEUES = 4096;
/** The place of the data of requests in the node, with UBLK_F_USER_COPY. */
export const UBLKSRV_IO_BUF_OFFSET = 0x8000_0000;
/** Bits of the largest request, and of a tag. */
export const UBLK_IO_BUF_BITS = 25;
export const UBLK_TAG_BITS = 16;

export const UBLK_F_SUPPORT_ZERO_COPY: number = 1 << 0;
export const UBLK_F_URING_CMD_COMP_IN_TASK: number = 1 << 1;
export const UBLK_F_NEED_GET_DATA: number = 1 << 2;
export const UBLK_F_USER_RECOVERY: number = 1 << 3;
export const UBLK_F_USER_RECOVERY_REISSUE: number = 1 << 4;
export const UBLK_F_UNPRIVILEGED_DEV: number = 1 << 5;
export const UBLK_F_CMD_IOCTL_ENCODE: number = 1 << 6;
export const UBLK_F_USER_COPY: number = 1 << 7;
export const UBLK_F_ZONED: number = 1 << 8;
export const UBLK_F_USER_RECOVERY_FAIL_IO: number = 1 << 9;
export const UBLK_F_UPDATE_SIZE: number = 1 << 10;
export const UBLK_F_AUTO_BUF_REG: number = 1 << 11;
export const UBLK_F_QUIESCE: number = 1 << 12;
export const UBLK_F_PER_IO_DAEMON: number = 1 << 13;
export const UBLK_F_BUF_REG_OFF_DAEMON: number = 1 << 14;
export const UBLK_F_BATCH_IO: number = 1 << 15;
export const UBLK_F_INTEGRITY: number = 1 << 16;
export const UBLK_F_SAFE_STOP_DEV: number = 1 << 17;
export const UBLK_F_NO_AUTO_PART_SCAN: number = 1 << 18;
export const UBLK_F_SHMEM_ZC: number = 1 << 19;

export const UBLK_S_DEV_DEAD = 0;
export const UBLK_S_DEV_LIVE = 1;
export const UBLK_S_DEV_QUIESCED = 2;
export const UBLK_S_DEV_FAIL_IO = 3;

export const UBLK_IO_OP_READ = 0;
export const UBLK_IO_OP_WRITE = 1;
export const UBLK_IO_OP_FLUSH = 2;
export const UBLK_IO_OP_DISCARD = 3;
export const UBLK_IO_OP_WRITE_ZEROES = 5;

/** Bits of `op_flags`, not of the flags shifted down. */
export const UBLK_IO_F_FUA: number = 1 << 13;
export const UBLK_IO_F_NOUNMAP: number = 1 << 15;

export const UBLK_ATTR_READ_ONLY: number = 1 << 0;
export const UBLK_ATTR_ROTATIONAL: number = 1 << 1;
export const UBLK_ATTR_VOLATILE_CACHE: number = 1 << 2;
export const UBLK_ATTR_FUA: number = 1 << 3;

export const UBLK_PARAM_TYPE_BASIC: number = 1 << 0;
export const UBLK_PARAM_TYPE_DISCARD: number = 1 << 1;

/** The payload of a control command. */
export const ublksrv_ctrl_cmd = structFrom(
  CTRL,
  "0 u32 dev_id, 4 u16 queue_id, 6 u16 len, 8 u64 addr, 16 u8[8] data",
  "24 u16 dev_path_len, 26 u16 pad, 28 u32 reserved",
);

export const ublksrv_ctrl_dev_info = structFrom(
  64,
  "0 u16 nr_hw_queues, 2 u16 queue_depth, 4 u16 state, 6 u16 pad0",
  "8 u32 max_io_buf_bytes, 12 u32 dev_id, 16 s32 ublksrv_pid, 20 u32 pad1",
  "24 u64 flags, 32 u64 ublksrv_flags, 40 u32 owner_uid, 44 u32 owner_gid",
  "48 u64 reserved1, 56 u64 reserved2",
);

/** A request, in the memory that the driver shares. */
export const ublksrv_io_desc = structFrom(
  24,
  "0 u32 op_flags, 4 u32 nr_sectors, 8 u64 start_sector, 16 u64 addr",
);

/** The payload of FETCH_REQ and COMMIT_AND_FETCH_REQ. */
export const ublksrv_io_cmd = structFrom(
  IO,
  "0 u16 q_id, 2 u16 tag, 4 s32 result, 8 u64 addr",
);

export const ublk_param_basic = structFrom(
  32,
  "0 u32 attrs, 4 u8 logical_bs_shift, 5 u8 physical_bs_shift",
  "6 u8 io_opt_shift, 7 u8 io_min_shift, 8 u32 max_sectors",
  "12 u32 chunk_sectors, 16 u64 dev_sectors, 24 u64 virt_boundary_mask",
);

export const ublk_param_discard = structFrom(
  20,
  "0 u32 discard_alignment, 4 u32 discard_granularity",
  "8 u32 max_discard_sectors, 12 u32 max_write_zeroes_sectors",
  "16 u16 max_discard_segments, 18 u16 reserved0",
);
