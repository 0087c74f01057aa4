/** Invariants of every command, whatever arguments made it. */

import { assert, assertEquals } from "@std/assert";
import { Command } from "../../../ring/raw.ts";
import * as uapi from "../../../sys/uapi/io_uring.ts";
import { bsg_uring_cmd } from "../../../sys/uapi/bsg.ts";
import {
  nvme_uring_cmd,
  NVME_URING_CMD_ADMIN_VEC,
  NVME_URING_CMD_IO,
  NVME_URING_CMD_IO_VEC,
} from "../../../sys/uapi/nvme_ioctl.ts";
import { SO_GET_FILTER, SOL_SOCKET } from "../../../sys/uapi/socket.ts";
import { sqeBytes } from "../../kit/commands.ts";

const { prototype } = Uint8Array;
const { get: lengthOf } = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(prototype),
  "byteLength",
)!;

/** Returns the real length of an array, whatever its properties claim. */
export function trueLength(bytes: Uint8Array): number {
  return Reflect.apply(lengthOf!, bytes, []);
}

/** Opcodes whose `len` is the length of the memory they point at. */
const MEASURED: readonly number[] = [
  uapi.IORING_OP_READ,
  uapi.IORING_OP_WRITE,
  uapi.IORING_OP_READ_FIXED,
  uapi.IORING_OP_WRITE_FIXED,
  uapi.IORING_OP_SEND,
  uapi.IORING_OP_RECV,
  uapi.IORING_OP_SEND_ZC,
];

/** Commands that give the kernel the length of an option. */
const OPTIONS = ["URING_CMD SETSOCKOPT", "URING_CMD GETSOCKOPT"];

/**
 * Checks that a command gives the kernel no more memory than there is. That of a
 * maker uses a `part` of it.
 */
export function checkCommand(command: Command<unknown>, part = false): void {
  assert(Command.is(command));
  for (const { bytes, byteLength, at, inside } of command.operands) {
    if (bytes !== null) assertEquals(trueLength(bytes), byteLength);
    assert(Number.isSafeInteger(byteLength) && byteLength >= 0);
    const room = inside < 0 ? 128 : command.operands[inside].byteLength;
    assert(Number.isSafeInteger(at) && at >= 0 && at + 8 <= room);
  }
  const sqe = sqeBytes(command, true);
  const view = new DataView(sqe.buffer);
  const { opcode, operands, name } = command;
  const first = operands[0]?.byteLength;
  assert(part || command.start === 0);
  const { bufferRing, sqeFlags } = command;
  const selects = (sqeFlags & uapi.IOSQE_BUFFER_SELECT) !== 0;
  assertEquals(selects, bufferRing !== null);
  if (bufferRing !== null) {
    assert(operands.every(({ at }) => at !== addr.offset));
    assertEquals(buf_group.get(view, 0), bufferRing.id);
    if (MEASURED.includes(opcode)) {
      assert(len.get(view, 0) <= bufferRing.byteLength);
    }
  } else if (MEASURED.includes(opcode)) {
    const end = command.start + len.get(view, 0);
    if (part) assert(command.start >= 0 && end <= first);
    else assertEquals(end, first);
  }
  if (OPTIONS.includes(name)) {
    const counted = name.includes(" GET") &&
      level.get(view, 0) === SOL_SOCKET &&
      optname.get(view, 0) === SO_GET_FILTER;
    const length = optlen.get(view, 0) * (counted ? 8 : 1);
    assert(length <= operands[0].byteLength);
  }
  if (name.startsWith("URING_CMD NVME ")) checkNvme(command, view, part);
  if (name.startsWith("SCSI ")) {
    const { dout_xfer_len, din_xfer_len, request_len } = bsg_uring_cmd;
    const out = dout_xfer_len.get(view, CMD);
    assertEquals(
      out + din_xfer_len.get(view, CMD),
      operands[2]?.byteLength ?? 0,
    );
    assertEquals(request_len.get(view, CMD), operands[0].byteLength);
  }
}

const { len, level, optname, optlen, cmd_op, cmd } = uapi.io_uring_sqe;
const { addr, buf_group } = uapi.io_uring_sqe;
const CMD = cmd.offset;

/** Opcodes of namespaces that transfer as many blocks as dword 12 says. */
const BLOCKS: readonly number[] = [0x01, 0x02, 0x05, 0x7d];

function checkNvme(
  command: Command<unknown>,
  view: DataView,
  part: boolean,
): void {
  const op = cmd_op.get(view, 0);
  const io = op === NVME_URING_CMD_IO || op === NVME_URING_CMD_IO_VEC;
  const vectored = op === NVME_URING_CMD_IO_VEC ||
    op === NVME_URING_CMD_ADMIN_VEC;
  const { addr, data_len, opcode, cdw12 } = nvme_uring_cmd;
  const pieces = command.operands.filter(({ inside, at }) =>
    vectored ? inside === 0 : at === CMD + addr.offset
  );
  const bytes = pieces.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const length = vectored ? pieces.length : bytes;
  const said = data_len.get(view, CMD);
  if (part) assert(command.start >= 0 && command.start + said <= length);
  else assertEquals(said, length);
  if (io && BLOCKS.includes(opcode.get(view, CMD))) {
    const blocks = (cdw12.get(view, CMD) & 0xffff) + 1;
    const room = part ? said : bytes;
    assert(blocks * 512 <= room, "a drive transfers more than there is");
  }
}
