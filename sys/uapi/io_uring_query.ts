// <linux/io_uring/query.h>, Linux 7.2.

import { structFrom } from "../struct.ts";

export const io_uring_query_hdr = structFrom(
  40,
  "0 u64 next_entry, 8 u64 query_data, 16 u32 query_op, 20 u32 size",
  "24 s32 result, 28 u8[12] __resv",
);

export const IO_URING_QUERY_OPCODES = 0;

export const io_uring_query_opcode = structFrom(
  48,
  "0 u32 nr_request_opcodes, 4 u32 nr_register_opcodes, 8 u64 feature_flags",
  "16 u64 ring_setup_flags, 24 u64 enter_flags, 32 u64 sqe_flags",
  "40 u32 nr_query_opcodes, 44 u32 __pad",
);
