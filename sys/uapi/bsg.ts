// <linux/bsg.h>, Linux 7.2.

import { bytes, pointer, struct, u32 } from "../struct.ts";

export const BSG_PROTOCOL_SCSI = 0;

export const BSG_SUB_PROTOCOL_SCSI_CMD = 0;

/** The payload of a command to a bsg node, for an SQE of 128 bytes. */
export const bsg_uring_cmd = struct(80, {
  request: pointer(0),
  request_len: u32(8),
  protocol: u32(12),
  subprotocol: u32(16),
  max_response_len: u32(20),
  response: pointer(24),
  dout_xferp: pointer(32),
  dout_xfer_len: u32(40),
  dout_iovec_count: u32(44),
  din_xferp: pointer(48),
  din_xfer_len: u32(56),
  din_iovec_count: u32(60),
  timeout_ms: u32(64),
  reserved: bytes(68, 12),
});
