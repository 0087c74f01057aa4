/**
 * How a SCSI command is put into a submission, and its result is taken out of a
 * completion.
 *
 * @module
 */

import {
  BSG_PROTOCOL_SCSI,
  BSG_SUB_PROTOCOL_SCSI_CMD,
  bsg_uring_cmd,
} from "../../sys/uapi/bsg.ts";
import * as E from "../../sys/uapi/errno.ts";
import { O_RDONLY } from "../../sys/uapi/fcntl.ts";
import { deviceFolder, deviceName, fileFacts } from "../../sys/file.ts";
import { type FileFacts, readText } from "../../sys/file.ts";
import { S_IFCHR } from "../../sys/uapi/fs.ts";
import {
  io_uring_sqe,
  IORING_OP_URING_CMD,
  IORING_URING_CMD_FIXED,
} from "../../sys/uapi/io_uring.ts";
import { high, low, sizeof } from "../../sys/struct.ts";
import { byteLengthOf } from "../../ring/intrinsics.ts";
import {
  checkBytes,
  checkInteger,
  checkObject,
  INT_MAX,
} from "../../ring/check.ts";
import { checkInside, type FixedBuffer } from "../../ring/registered.ts";
import { Command, type File } from "../../ring/command.ts";
import type { Completion } from "../../ring/completion.ts";
import { type Operand, operand, scratchOperand } from "../../ring/operand.ts";
import { uringCmdAdvice } from "../../ring/errors.ts";
import { commandName, onlyReads } from "./names.ts";
import {
  decodeSense,
  ScsiError,
  type ScsiOutcome,
  type ScsiSense,
  succeeded,
} from "./sense.ts";

/** Where the payload starts in the SQE, and the addresses in it. */
const { offset: PAYLOAD } = io_uring_sqe.cmd;
const CDB_AT = PAYLOAD + bsg_uring_cmd.request.offset;
const SENSE_AT = PAYLOAD + bsg_uring_cmd.response.offset;
const DATA_OUT_AT = PAYLOAD + bsg_uring_cmd.dout_xferp.offset;
const DATA_IN_AT = PAYLOAD + bsg_uring_cmd.din_xferp.offset;

/** Index of each operand; a command without data has two. */
const [CDB, SENSE, DATA] = [0, 1, 2];

/** Bytes of sense data that the kernel keeps: its SCSI_SENSE_BUFFERSIZE. */
const SENSE_SIZE = 96;

/** How long a device has. */
export interface ScsiOptions {
  /**
   * Milliseconds until the kernel aborts the command, which it looks to about
   * once a second. Default: 60 000.
   */
  timeoutMs?: number;
}

/** What came of a command that a device has done. */
export interface ScsiResult {
  /** SCSI status: 0 is GOOD, 4 is CONDITION MET, 2 comes with `sense`. */
  status: number;
  /** Bytes that were transferred: the length less the residual. */
  transferred: number;
  /**
   * What the device told besides, such as `Recovered Error`, or the registers of
   * an ATA disk. `null`, most often: it told nothing.
   */
  sense: ScsiSense | null;
}

/** What goes along with a CDB. */
export interface Parts extends ScsiOptions {
  /** Memory for the data; they go to the device when the kernel reads it. */
  data?: Operand;
  /** The registered buffer that the data lie in. */
  buffer?: FixedBuffer;
}

/** Memory of the caller's, to or from the device. */
export function dataOperand(
  name: "dataIn" | "dataOut",
  bytes: Uint8Array,
): Operand {
  const length = byteLengthOf(checkBytes(name, bytes));
  checkInteger(`length of ${name}`, length, 1, INT_MAX);
  return name === "dataIn"
    ? operand(DATA_IN_AT, { bytes, kernel: "writes" })
    : operand(DATA_OUT_AT, { bytes, kernel: "reads" });
}

/** Memory of the command's own, which {@linkcode answerOf} shows its decoder. */
export function answer(byteLength: number): Operand {
  return scratchOperand(DATA_IN_AT, byteLength);
}

/** Options of the caller's, each read once, and the memory that goes with them. */
export function partsOf(options: ScsiOptions, data?: Operand): Parts {
  const { timeoutMs } = checkObject("options", options);
  return { timeoutMs, data };
}

/** What a device answered, in memory that is used again after `decode`. */
export function answerOf(completion: Completion): DataView {
  const { buffer, byteOffset, byteLength } = completion.memory(DATA);
  return new DataView(buffer, byteOffset, byteLength);
}

/** Makes the command of a CDB, which must not change any more. */
export function make<T>(
  file: File,
  cdb: Uint8Array,
  { data, buffer, timeoutMs }: Parts,
  decode: (result: ScsiResult, completion: Completion) => T,
): Command<T> {
  const operands: Operand[] = [];
  operands[CDB] = operand(CDB_AT, { bytes: cdb, kernel: "reads" });
  operands[SENSE] = scratchOperand(SENSE_AT, SENSE_SIZE);
  if (data !== undefined) operands[DATA] = data;
  if (buffer !== undefined) {
    if (!data?.bytes) throw new TypeError("buffer needs dataIn or dataOut");
    checkInside(data.bytes, buffer);
  }
  const name = `SCSI ${commandName(cdb)}`;
  const changes = data?.reads || !onlyReads(cdb);
  const length = data?.byteLength ?? 0;
  const command: Command<T> = new Command({
    name,
    opcode: IORING_OP_URING_CMD,
    file,
    opFlags: buffer === undefined ? 0 : IORING_URING_CMD_FIXED,
    buffer,
    payload: payloadOf(cdb, data, timeoutMs),
    operands,
    cqe32: true,
    precheck: () => checkNode(file, name, changes),
    decode(completion) {
      const outcome = outcomeOf(completion);
      if (!succeeded(outcome)) throw new ScsiError(name, command.fd, outcome);
      const { status, residual, sense } = outcome;
      const transferred = Math.max(0, length - residual);
      return decode({ status, transferred, sense }, completion);
    },
    advice,
  });
  return command;
}

/** `struct bsg_uring_cmd` but for its addresses, which are operands. */
function payloadOf(
  cdb: Uint8Array,
  data: Operand | undefined,
  timeoutMs: number | undefined,
): Uint8Array {
  const payload = new Uint8Array(sizeof(bsg_uring_cmd));
  const view = new DataView(payload.buffer);
  const { dout_xfer_len, din_xfer_len } = bsg_uring_cmd;
  bsg_uring_cmd.request_len.set(view, 0, cdb.length);
  bsg_uring_cmd.protocol.set(view, 0, BSG_PROTOCOL_SCSI);
  bsg_uring_cmd.subprotocol.set(view, 0, BSG_SUB_PROTOCOL_SCSI_CMD);
  bsg_uring_cmd.max_response_len.set(view, 0, SENSE_SIZE);
  if (data !== undefined) {
    const length = data.reads ? dout_xfer_len : din_xfer_len;
    length.set(view, 0, data.byteLength);
  }
  if (timeoutMs !== undefined) {
    // 0 would be the default, and from 2^31 on msecs_to_jiffies() says for ever.
    checkInteger("timeoutMs", timeoutMs, 1, INT_MAX);
    bsg_uring_cmd.timeout_ms.set(view, 0, timeoutMs);
  }
  return payload;
}

/**
 * Takes apart the second result of the CQE: the first is 0 whatever the device
 * said. Matches bsg_scsi_res2_build() of <linux/bsg.h>, Linux 7.2.
 */
function outcomeOf(completion: Completion): ScsiOutcome {
  const packed = low(completion.extra1);
  const senseLength = packed >>> 24;
  return {
    status: packed & 0xff,
    hostStatus: packed >>> 16 & 0xff,
    residual: high(completion.extra1),
    // A copy, since the memory is the next command's after this one is decoded.
    sense: decodeSense(completion.memory(SENSE).slice(0, senseLength)),
  };
}

/** The major number of bsg nodes, once one was seen: it stays as it is. */
let bsgMajor = -1;

/**
 * Refuses what is no bsg node, and what may change a device through a descriptor
 * for reading. scsi_cmd_allowed() in Linux 7.2 does not: it lets root do anything,
 * and everybody UNMAP and SANITIZE, since it takes their numbers for those of two
 * commands of CD drives.
 */
function checkNode(file: File, name: string, changes: boolean): void {
  if (typeof file !== "number") return; // A registered file has no descriptor.
  const facts = fileFacts(file);
  if (typeof facts === "number") return; // The kernel says it well enough.
  if (facts.type !== S_IFCHR || facts.device[0] !== bsgMajor) {
    findNode(file, facts);
  }
  if (changes && facts.access === O_RDONLY) {
    throw new TypeError(
      `fd ${file} is open for reading only, and ${name} may change the ` +
        "device: open the node with O_RDWR",
    );
  }
}

/** Looks in /sys for what kind of device it is, and refuses all but bsg nodes. */
function findNode(fd: number, facts: FileFacts): void {
  const no = `fd ${fd} is not the bsg node of a SCSI device`;
  const folder = deviceFolder(facts);
  if (folder === undefined) {
    throw new TypeError(`${no}, such as /dev/bsg/0:0:0:0`);
  }
  const name = deviceName(folder);
  if (name === undefined) return; // There is no /sys to ask.
  if (name.startsWith("bsg/")) {
    bsgMajor = facts.device[0];
    return;
  }
  // That of a partition is the device of the whole disk.
  const scsi = [`${folder}/device`, `${folder}/../device`].find((device) =>
    readText(`${device}/scsi_level`) !== undefined
  );
  throw new TypeError(
    `${no} but /dev/${name}: ` +
      (scsi === undefined
        ? "open one such as /dev/bsg/0:0:0:0"
        : `open /dev/bsg/ and the name that \`ls ${scsi}/bsg\` prints`),
  );
}

function advice(errno: number): string | undefined {
  switch (errno) {
    case E.EOPNOTSUPP:
      return "The kernel is older than 7.1, which brought SCSI commands to " +
        "io_uring, or the node is not that of a device but of what it is " +
        "behind, such as a host or a port.";
    case E.EPERM:
      return "Without CAP_SYS_RAWIO the kernel passes on only the commands of " +
        "its own list, and of those the ones that write only to a node that " +
        "is open for writing.";
    case E.EINVAL:
      return "The data are more than the device takes at once: " +
        "max_hw_sectors_kb and max_segments of its queue in /sys say how much.";
    case E.ENODEV:
    case E.ENXIO:
      return "The device is gone.";
    case E.ENOMEM:
      return "The kernel had no memory at hand for the data: send it again.";
    default:
      return uringCmdAdvice(errno);
  }
}
