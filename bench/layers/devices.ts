/** The files that commands are sent to. They stay open until the process ends. */

import { type Command, uringCmd } from "../../mod.ts";
import { siocinq } from "../../cmd/socket/mod.ts";
import { nop } from "../../cmd/op.ts";
import { IORING_OP_NOP, IORING_OP_URING_CMD } from "../../ring/raw.ts";
import { devNull, tcpPair, writeSync } from "../../tests/kit/fds.ts";
import type { Workload } from "./workloads.ts";

/** One workload, as the fields of an SQE and as a command. */
export interface Device {
  readonly opcode: number;
  readonly fd: number;
  /** The result that each command must have. */
  readonly expected: number;
  readonly command: Command<number>;
}

const { fd: nullFd } = devNull();
const socket = tcpPair();
writeSync(socket.left, "hello");

/** The device of each workload, as in ../c/liburing.c. */
export const devices: Readonly<Record<Workload, Device>> = {
  nop: { opcode: IORING_OP_NOP, fd: -1, expected: 0, command: nop() },
  cmd: {
    opcode: IORING_OP_URING_CMD,
    fd: nullFd,
    expected: 0,
    command: uringCmd({ fd: nullFd, cmd_op: 0 }),
  },
  siocinq: {
    opcode: IORING_OP_URING_CMD,
    fd: socket.right,
    expected: 5,
    command: siocinq(socket.right),
  },
};
