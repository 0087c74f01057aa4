// <linux/bsg.h>, Linux 7.2.

import { structFrom } from "../struct.ts";

export const BSG_PROTOCOL_SCSI = 0;

export const BSG_SUB_PROTOCOL_SCSI_CMD = 0;

/** The payload of a command to a bsg node, for an SQE of 128 bytes. */
export const bsg_uring_cmd = structFrom(
  80,
  "0 pointer request, 8 u32 request_len, 12 u32 protocol, 16 u32 subprotocol",
  "20 u32 max_response_len, 24 pointer response, 32 pointer dout_xferp",
  "40 u32 dout_xfer_len, 44 u32 dout_iovec_count, 48 pointer din_xferp",
  "56 u32 din_xfer_len, 60 u32 din_iovec_count, 64 u32 timeout_ms",
  "68 u8[12] reserved",
);
