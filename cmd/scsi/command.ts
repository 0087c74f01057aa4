/**
 * SCSI commands as submissions to a bsg node, and their results from completions.
 *
 * @module
 */

import {
  BSG_PROTOCOL_SCSI,
  BSG_SUB_PROTOCOL_SCSI_CMD,
  bsg_uring_cmd,
} from "../../sys/uapi/bsg.ts";
import { deviceFolder, deviceName } from "../../sys/file.ts";
import { S_IFCHR } from "../../sys/uapi/fs.ts";
import {
  io_uring_sqe,
  IORING_OP_URING_CMD,
  IORING_URING_CMD_FIXED,
} from "../../sys/uapi/io_uring.ts";
import { high, low } from "../../sys/struct.ts";
import { byteLengthOf, copyOf } from "../../ring/intrinsics.ts";
import {
  checkBytes,
  checkFunction,
  checkInteger,
  checkObject,
  INT_MAX,
} from "../../ring/check.ts";
import { checkInside, type FixedBuffer } from "../../ring/registered.ts";
import { Command, type FileRef } from "../../ring/command.ts";
import { draftTo } from "../../ring/draft.ts";
import { Kind } from "../../ring/kind.ts";
import type { Completion } from "../../ring/completion.ts";
import { type Operand, operand, scratchOperand } from "../../ring/operand.ts";
import { adviceFrom, uringCmdAdvice } from "../../ring/errors.ts";
import { checkWritable, type CommandFile, factsOf } from "../writable.ts";
import { commandName, onlyReads } from "./names.ts";
import { scsiFolder } from "./node.ts";
import { ScsiError, type ScsiOutcome, succeeded } from "./error.ts";
import { decodeSense, type ScsiSense } from "./sense.ts";

/** Byte offsets in the SQE: of the payload, and of the addresses in it. */
const { offset: PAYLOAD } = io_uring_sqe.cmd;
const CDB_AT = PAYLOAD + bsg_uring_cmd.request.offset;
const SENSE_AT = PAYLOAD + bsg_uring_cmd.response.offset;
const DATA_OUT_AT = PAYLOAD + bsg_uring_cmd.dout_xferp.offset;
const DATA_IN_AT = PAYLOAD + bsg_uring_cmd.din_xferp.offset;

/** The index of each operand. A command without data has the first two. */
const [CDB, SENSE, DATA] = [0, 1, 2];

/** Bytes of sense data that the kernel keeps: its SCSI_SENSE_BUFFERSIZE. */
const SENSE_SIZE = 96;

/** Options of every SCSI command. */
export interface ScsiOptions {
  /**
   * Milliseconds until the kernel aborts the command, from 1 to 2^31 - 1. The
   * kernel checks about once a second. Default 60000.
   */
  timeoutMs?: number;
  /**
   * A function that gets the sense data of a command that has succeeded, such as
   * `Recovered Error` for a block that was hard to read. If it throws, the command
   * fails with that error. Default: such sense data is ignored.
   */
  onSense?: (sense: ScsiSense) => void;
}

/** The result of a command that a device has carried out. */
export interface ScsiResult {
  /** The SCSI status: 0 is GOOD, 4 is CONDITION MET, 2 comes with `sense`. */
  status: number;
  /** Bytes transferred: the length of the data minus the residual. */
  transferred: number;
  /**
   * Sense data of the device, such as `Recovered Error`, or the registers of an
   * ATA disk. `null` if the device returned none, which is usual.
   */
  sense: ScsiSense | null;
}

/** The parts of a command other than its CDB. */
export interface Parts extends ScsiOptions {
  /** The memory of the data. The data goes to the device if the kernel reads it. */
  data?: Operand;
  /** The registered buffer that has the data. */
  buffer?: FixedBuffer;
}

/** Returns the operand of the caller's memory for data to or from the device. */
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

/** Reads the options of a caller once, and returns them with the data. */
export function partsOf(options: ScsiOptions, data?: Operand): Parts {
  const { timeoutMs, onSense } = checkObject("options", options);
  return { timeoutMs, onSense, data };
}

/** A question to a device. */
export interface Query<T> {
  readonly cdb: Uint8Array;
  /** Bytes of memory for the answer. */
  readonly byteLength: number;
  /** Bytes that `decode` reads of every answer. */
  readonly least: number;
  /** Returns what is wrong with an answer of that many bytes; "" for nothing. */
  fault?(answer: DataView, transferred: number): string;
  /** Copies what it returns: the next command reuses the memory. */
  decode(answer: DataView): T;
}

/**
 * Makes a command that asks the device for an answer. It fails if the answer has
 * not the bytes that are decoded, or has zeros only: some drivers do not count
 * the bytes that did not come, and no answer consists of zeros.
 */
export function scsiQuery<T>(
  file: FileRef,
  { cdb, byteLength, least, fault, decode }: Query<T>,
  options: ScsiOptions,
): Command<T> {
  const parts = partsOf(options, scratchOperand(DATA_IN_AT, byteLength));
  const command = scsiCommand(file, cdb, parts, (result, completion) => {
    const { transferred, status, sense } = result;
    const bytes = completion.memory(DATA);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const wrong = transferred < least
      ? `the answer has ${transferred} bytes, and ${least} are needed`
      : !bytes.some((byte) => byte !== 0)
      ? "the answer has nothing but zeros"
      : fault?.(view, transferred);
    if (!wrong) return decode(view);
    const residual = byteLength - transferred;
    const outcome = { status, hostStatus: 0, residual, sense };
    const { name, fd } = command;
    throw new ScsiError(name, fd, outcome, `${wrong}. ${REMEDY}`);
  });
  return command;
}

const REMEDY = "The device or an adapter before it does not follow the " +
  "standard, or lost bytes. scsi() returns the answer as it is.";

/** Makes the command of a CDB. The caller must not change the CDB afterwards. */
export function scsiCommand<T>(
  file: FileRef,
  cdb: Uint8Array,
  { data, buffer, timeoutMs, onSense }: Parts,
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
  checkFunction("onSense", onSense);
  const name = `SCSI ${commandName(cdb)}`;
  const changes = data?.reads || !onlyReads(cdb);
  const length = data?.byteLength ?? 0;
  const kind = new Kind<T>({
    name,
    opcode: IORING_OP_URING_CMD,
    cqe32: true,
    decode(completion, { name, fd }) {
      const outcome = outcomeOf(completion);
      if (!succeeded(outcome)) throw new ScsiError(name, fd, outcome);
      const { status, residual, sense } = outcome;
      if (sense !== null) onSense?.(sense);
      const transferred = Math.max(0, length - residual);
      return decode({ status, transferred, sense }, completion);
    },
    advice,
  });
  const draft = draftTo(kind, file);
  if (buffer !== undefined) {
    draft.flagsWord = IORING_URING_CMD_FIXED;
    draft.setBuffer(buffer);
  }
  draft.more = wordsOf(cdb, data, timeoutMs);
  draft.setOperands(operands);
  draft.precheck = () => checkNode(file, name, changes);
  return new Command<T>(draft);
}

/**
 * Returns the words of the SQE from byte 44 on: `file_index`, which is 0, and a
 * `struct bsg_uring_cmd`, whose addresses the ring sets.
 */
function wordsOf(
  cdb: Uint8Array,
  data: Operand | undefined,
  timeoutMs: number | undefined,
): number[] {
  // 0 means the default, and from 2^31 on msecs_to_jiffies() means no timeout.
  const timeout = timeoutMs === undefined
    ? 0
    : checkInteger("timeoutMs", timeoutMs, 1, INT_MAX);
  const out = data !== undefined && data.reads ? data.byteLength : 0;
  const into = data !== undefined && !data.reads ? data.byteLength : 0;
  // deno-fmt-ignore
  return [
    0,
    0, 0, cdb.length, BSG_PROTOCOL_SCSI, // request, protocol
    BSG_SUB_PROTOCOL_SCSI_CMD, SENSE_SIZE, 0, 0, // response
    0, 0, out, 0, // dout_xferp, dout_iovec_count
    0, 0, into, 0, // din_xferp, din_iovec_count
    timeout, 0, 0, 0,
  ];
}

/**
 * Decodes the second result of the CQE. The first is 0 for every status. Matches
 * bsg_scsi_res2_build() of <linux/bsg.h>, Linux 7.2.
 */
function outcomeOf(completion: Completion): ScsiOutcome {
  const packed = low(completion.extra1);
  const senseLength = packed >>> 24;
  return {
    status: packed & 0xff,
    hostStatus: packed >>> 16 & 0xff,
    residual: high(completion.extra1),
    // A copy, because the next command reuses the memory.
    sense: decodeSense(copyOf(completion.memory(SENSE), 0, senseLength)),
  };
}

/** The major number of bsg nodes, which never changes; -1 before one was seen. */
let bsgMajor = -1;

/**
 * Throws for a file that is not a bsg node, and for a command that may change the
 * device through a file that is open for reading only. The kernel does not refuse the latter:
 * scsi_cmd_allowed() in Linux 7.2 allows root every command, and allows everybody
 * UNMAP and SANITIZE, which have the numbers of two commands of CD drives.
 */
function checkNode(file: FileRef, name: string, changes: boolean): void {
  const facts = factsOf(file);
  if (facts === undefined) return;
  if (facts.type !== S_IFCHR || facts.device[0] !== bsgMajor) findNode(facts);
  if (!changes) return;
  checkWritable(
    facts,
    `${facts.name} is open for reading only, and ${name} may change the ` +
      "device. Open the node with O_RDWR",
  );
}

/** Looks up the device in /sys, and throws unless it is a bsg node. */
function findNode(facts: CommandFile): void {
  const no = `${facts.name} is not the bsg node of a SCSI device`;
  const folder = deviceFolder(facts);
  if (folder === undefined) {
    throw new TypeError(`${no}, such as /dev/bsg/0:0:0:0`);
  }
  const name = deviceName(folder);
  if (name === undefined) return; // There is no /sys.
  if (name.startsWith("bsg/")) {
    bsgMajor = facts.device[0];
    return;
  }
  const scsi = scsiFolder(folder);
  throw new TypeError(
    `${no} but /dev/${name}. ` +
      (scsi === undefined
        ? "Open one such as /dev/bsg/0:0:0:0"
        : `Open /dev/bsg/ and the name that \`ls ${scsi}/bsg\` prints, which ` +
          "bsgNode() returns"),
  );
}

const GONE = "The device is gone, or the connection to it. Open its node " +
  "again when it is back.";

const advice = adviceFrom({
  EOPNOTSUPP: "The kernel is older than 7.1, which brought SCSI commands to " +
    "io_uring, or the node is not that of a device but of a host or a port.",
  EPERM:
    "Without CAP_SYS_RAWIO, the kernel passes on only the commands of its " +
    "own list. Those that write need a node that is open for writing.",
  EINVAL: "The data is more than the device takes at once: max_hw_sectors_kb " +
    "and max_segments of its queue in /sys say how much.",
  ENODEV: GONE,
  ENXIO: GONE,
  EIO: GONE,
  ENOMEM: "The kernel had no memory for the data. Send the command again.",
}, uringCmdAdvice);
