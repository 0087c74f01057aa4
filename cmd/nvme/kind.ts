/** The parts that NVMe commands have in common: words of the SQE, results, errors. */

import { io_uring_sqe, IORING_OP_URING_CMD } from "../../sys/uapi/io_uring.ts";
import { nvme_uring_cmd } from "../../sys/uapi/nvme_ioctl.ts";
import type { Completion } from "../../ring/completion.ts";
import { adviceFrom, uringCmdAdvice } from "../../ring/errors.ts";
import { Kind } from "../../ring/kind.ts";
import { NvmeError } from "./status.ts";

/** The dwords of a command that are not about its memory. */
export interface Dwords {
  readonly cdw2: number;
  readonly cdw3: number;
  readonly cdw10: number;
  readonly cdw11: number;
  readonly cdw12: number;
  readonly cdw13: number;
  readonly cdw14: number;
  readonly cdw15: number;
  readonly timeoutMs: number;
}

/**
 * Returns the words of the SQE from byte 44 on: `file_index`, which is 0, and a
 * `struct nvme_uring_cmd`, whose addresses the ring sets.
 */
export function wordsOf(
  opcode: number,
  nsid: number,
  words: Dwords,
  dataLength: number,
  metadataLength: number,
): number[] {
  const { cdw2, cdw3, cdw10, cdw11, cdw12, cdw13, cdw14, cdw15 } = words;
  // deno-fmt-ignore
  return [
    0, opcode, nsid | 0, cdw2 | 0, cdw3 | 0,
    0, 0, 0, 0, // metadata, addr
    metadataLength | 0, dataLength | 0,
    cdw10 | 0, cdw11 | 0, cdw12 | 0, cdw13 | 0, cdw14 | 0, cdw15 | 0,
    words.timeoutMs | 0, 0, 0, 0,
  ];
}

/** Index in the SQE of `data_len` and dwords 10 to 12, which a maker varies. */
export const VARIED: number =
  (io_uring_sqe.cmd.offset + nvme_uring_cmd.data_len.offset) / 4;

/** Makes a kind of command. Without `decode`, its commands have a result each. */
export function nvmeKind<T>(
  name: string,
  decode: ((completion: Completion) => T) | null,
  metadataBytes = 0,
  varies = 0,
): Kind<T> {
  return new Kind({
    name: `URING_CMD NVME ${name}`,
    opcode: IORING_OP_URING_CMD,
    cqe32: true,
    // The driver passes a status of the drive on as a positive result.
    decode: (completion, { name, fd, success }) => {
      const { res, extra1 } = completion;
      if (res !== 0) throw new NvmeError(name, fd, res, extra1);
      return decode === null ? success as T : decode(completion);
    },
    advice: nvmeAdvice,
    // nvme_uring_cmd_end_io() gives back the request in the interrupt, since 6.1.
    // With metadata, the ring's thread does, before 6.8.
    independent: metadataBytes === 0,
    varies,
  });
}

const nvmeAdvice = adviceFrom({
  ENOTTY:
    "I/O commands go to the node of a namespace, such as /dev/ng0n1, and " +
    "admin commands to that of a controller, such as /dev/nvme0.",
  EOPNOTSUPP:
    "The file is no NVMe node, such as /dev/ng0n1 or /dev/nvme0, or an " +
    "admin command was sent through a ring that polls, which needs Linux 7.2.",
  EACCES: "The process needs CAP_SYS_ADMIN for this. Since Linux 6.2, other " +
    "users may identify, and may send I/O commands that the drive reports as " +
    "harmless: those that write need the node open for writing.",
  EINVAL: "The data is larger than the drive takes (max_hw_sectors_kb of its " +
    "block device) or in too many pieces (max_segments, one for each page of " +
    "each piece), the namespace takes no separate metadata, or nsid is not that " +
    "of the node.",
  EINTR:
    "The driver aborted the command: its time was up, or the drive was reset.",
}, uringCmdAdvice);
