// <linux/nvme_ioctl.h>, Linux 7.2.

import { _IO, _IOWR } from "./ioctl.ts";
import { pointer, sizeof, struct, u16, u32, u8 } from "../struct.ts";

const command = {
  opcode: u8(0),
  flags: u8(1),
  rsvd1: u16(2),
  nsid: u32(4),
  cdw2: u32(8),
  cdw3: u32(12),
  metadata: pointer(16),
  addr: pointer(24),
  metadata_len: u32(32),
  data_len: u32(36),
  cdw10: u32(40),
  cdw11: u32(44),
  cdw12: u32(48),
  cdw13: u32(52),
  cdw14: u32(56),
  cdw15: u32(60),
  timeout_ms: u32(64),
};

/** A command in the form of the NVMe ioctls. */
export const nvme_passthru_cmd = struct(72, { ...command, result: u32(68) });

/** A command in an SQE of 128 bytes. */
export const nvme_uring_cmd = struct(72, { ...command, rsvd2: u32(68) });

const N = 0x4e; // 'N'
const SIZE = sizeof(nvme_uring_cmd); // That of nvme_passthru_cmd, too.

export const NVME_IOCTL_ID: number = _IO(N, 0x40);
export const NVME_IOCTL_ADMIN_CMD: number = _IOWR(N, 0x41, SIZE);
export const NVME_IOCTL_RESCAN: number = _IO(N, 0x46);

/** A command to the node of a namespace. Linux 5.19. */
export const NVME_URING_CMD_IO: number = _IOWR(N, 0x80, SIZE);
/** The command with an array of buffers. Linux 5.19. */
export const NVME_URING_CMD_IO_VEC: number = _IOWR(N, 0x81, SIZE);
/** A command to the node of a controller. Linux 5.19. */
export const NVME_URING_CMD_ADMIN: number = _IOWR(N, 0x82, SIZE);
/** The command with an array of buffers. Linux 5.19. */
export const NVME_URING_CMD_ADMIN_VEC: number = _IOWR(N, 0x83, SIZE);
