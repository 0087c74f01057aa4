// <linux/io_uring/query.h>, Linux 7.2.

import { bytes, s32, struct, u32, u64 } from "../struct.ts";

export const io_uring_query_hdr = struct(40, {
  next_entry: u64(0),
  query_data: u64(8),
  query_op: u32(16),
  size: u32(20),
  result: s32(24),
  __resv: bytes(28, 12),
});

export const IO_URING_QUERY_OPCODES = 0;

export const io_uring_query_opcode = struct(48, {
  nr_request_opcodes: u32(0),
  nr_register_opcodes: u32(4),
  feature_flags: u64(8),
  ring_setup_flags: u64(16),
  enter_flags: u64(24),
  sqe_flags: u64(32),
  nr_query_opcodes: u32(40),
  __pad: u32(44),
});
