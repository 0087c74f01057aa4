/**
 * The outcome of a SCSI command, and the error that is made of it.
 *
 * @module
 */

import {
  checkInteger,
  checkObject,
  checkString,
  checkU32,
  checkU8,
} from "../../ring/check.ts";
import { CommandError } from "../../ring/errors.ts";
import { fieldsOf } from "../json.ts";
import { hex, hostStatusName, statusName } from "./names.ts";
import {
  NO_SENSE,
  RECOVERED_ERROR,
  type ScsiSense,
  UNIT_ATTENTION,
} from "./sense.ts";

/** The SCSI statuses that this library treats differently. */
const GOOD = 0x00;
const CHECK_CONDITION = 0x02;
const CONDITION_MET = 0x04;
const BUSY = 0x08;
const RESERVATION_CONFLICT = 0x18;
const TASK_SET_FULL = 0x28;
/** Host statuses, under their names in the kernel. */
const DID_OK = 0;
const DID_NO_CONNECT = 1;
const DID_TIME_OUT = 3;

/** The outcome of a command, from the CQE and the sense buffer. */
export interface ScsiOutcome {
  /** The SCSI status of the device. */
  readonly status: number;
  /** The host status, of the kernel's driver for the host adapter. */
  readonly hostStatus: number;
  /** Bytes that were not transferred, of the length of the data. */
  readonly residual: number;
  /** Sense data, or `null` if the device returned none. */
  readonly sense: ScsiSense | null;
}

/** Returns `true` if the device has carried out the command. */
export function succeeded({ status, hostStatus, sense }: ScsiOutcome): boolean {
  if (hostStatus !== DID_OK) return false;
  if (status === GOOD || status === CONDITION_MET) return true;
  // With these two keys, the device has carried out the command, unless the sense
  // data is about an earlier command: then the device has not run this one.
  return status === CHECK_CONDITION && sense !== null && !sense.deferred &&
    (sense.key === NO_SENSE || sense.key === RECOVERED_ERROR);
}

/**
 * The error of a command that a SCSI device, or the connection to it, has failed.
 * An answer that is too short, or is not what was asked for, is one as well. The
 * error has the status of the device, and no errno. A command that the kernel refuses
 * throws a `UringError` instead.
 *
 * @example A block that cannot be read
 * ```ts ignore
 * import { read, ScsiError } from "@uring/cmd/scsi";
 *
 * try {
 *   await ring.cmd(read(fd, data, { lba: 4660, blockSize: 512 }));
 * } catch (error) {
 *   if (!(error instanceof ScsiError)) throw error;
 *   console.log(error.senseKeyName, error.text); // Medium Error Unrecovered ...
 *   console.log(error.sense?.information); // 4660n, the block that is bad
 * }
 * ```
 */
export class ScsiError extends CommandError {
  /** `"ScsiError"`. */
  override readonly name = "ScsiError";
  /** The SCSI status, such as 2; 0 if the command got none. */
  readonly status: number;
  /** The status by name, such as `"CHECK CONDITION"`. */
  readonly statusName: string;
  /** The host status, of the kernel's driver; 0 if it saw no error. */
  readonly hostStatus: number;
  /** The host status by name, such as `"DID_TIME_OUT"`. */
  readonly hostStatusName: string;
  /** The sense key, such as 3; `undefined` without sense data. */
  readonly senseKey: number | undefined;
  /** The key by name, such as `"Medium Error"`. */
  readonly senseKeyName: string | undefined;
  /** Additional sense code, such as 0x11. */
  readonly asc: number | undefined;
  /** The qualifier of `asc`. */
  readonly ascq: number | undefined;
  /**
   * The meaning of `asc` and `ascq`, such as `"Unrecovered read error"`; empty for
   * a pair that T10, the committee of the standard, has not assigned.
   */
  readonly text: string | undefined;
  /** Sense data, or `null` if the device returned none. */
  readonly sense: ScsiSense | null;
  /** Bytes that were not transferred, by the count of the driver. */
  readonly residual: number;

  /**
   * Makes the error of an outcome that is not a success. `fault` is a sentence
   * about what is wrong with an answer of status GOOD.
   */
  constructor(op: string, fd: number, outcome: ScsiOutcome, fault = "") {
    checkObject("outcome", outcome);
    checkString("fault", fault);
    const { status, hostStatus, sense, residual } = outcome;
    checkString("op", op);
    checkInteger("fd", fd, -0x8000_0000, 0x7fff_ffff);
    checkU8("status", status);
    checkU8("hostStatus", hostStatus);
    checkU32("residual", residual);
    if (sense !== null) {
      checkU8("sense.key", checkObject("sense", sense).key);
      checkU8("sense.asc", sense.asc);
      checkU8("sense.ascq", sense.ascq);
    }
    const told = { status, hostStatus, sense, residual };
    const code = fault ? "Bad Answer" : codeOf(told);
    super(op, fd, code, `${op} on fd ${fd}: ${fault || explain(told)}`);
    this.status = status;
    this.statusName = statusName(status);
    this.hostStatus = hostStatus;
    this.hostStatusName = hostStatusName(hostStatus);
    this.senseKey = sense?.key;
    this.senseKeyName = sense?.keyName;
    this.asc = sense?.asc;
    this.ascq = sense?.ascq;
    this.text = sense?.text;
    this.sense = sense;
    this.residual = residual;
  }

  /** Returns the fields and the message in the form that JSON has. */
  toJSON(): object {
    return fieldsOf({ ...this, message: this.message });
  }
}

/** Returns the name of what went wrong, of the layer that knows most about it. */
function codeOf({ status, hostStatus, sense }: ScsiOutcome): string {
  if (hostStatus !== DID_OK) return hostStatusName(hostStatus);
  return sense?.keyName ?? statusName(status);
}

function explain({ status, hostStatus, sense }: ScsiOutcome): string {
  const said: string[] = [];
  if (hostStatus !== DID_OK) said.push(hostStatusName(hostStatus));
  if (status !== GOOD) said.push(statusName(status));
  if (sense !== null) said.push(...senseWords(sense));
  else if (status === CHECK_CONDITION) said.push("but no sense data");
  const advice = HOST_ADVICE[hostStatus] ?? STATUS_ADVICE[status] ??
    KEY_ADVICE[sense?.key ?? NO_SENSE];
  return said.join(", ") + (advice ? `. ${advice}` : "");
}

/** Returns the parts of the sentence that describes sense data. */
function senseWords(sense: ScsiSense): string[] {
  const { key, keyName, asc, ascq, text, information, field, progress } = sense;
  const words = [`${keyName} (${key})`];
  if (sense.deferred) words[0] += " of an earlier command";
  words.push(`${text || "additional sense"} (${hex(asc)}/${hex(ascq)})`);
  if (sense.filemark) words.push("filemark");
  if (sense.endOfMedium) words.push("end of medium");
  if (sense.incorrectLength) words.push("incorrect length");
  if (information !== undefined) words.push(`information ${information}`);
  if (field !== undefined) {
    const bit = field.bit === undefined ? "" : ` bit ${field.bit} of`;
    const place = field.in === "cdb" ? "the CDB" : "the data";
    words.push(`at${bit} byte ${field.byte} of ${place}`);
  }
  if (progress !== undefined) {
    words.push(`${Math.floor(progress * 100)} % done`);
  }
  return words;
}

const HOST_ADVICE: Readonly<Record<number, string>> = {
  [DID_NO_CONNECT]: "The device is gone, or was set offline.",
  [DID_TIME_OUT]: "The device did not answer in time, and the kernel aborted " +
    "the command. A larger timeoutMs gives the device more time.",
};

const STATUS_ADVICE: Readonly<Record<number, string>> = {
  [BUSY]: "The device cannot take the command now. Send it again later.",
  [TASK_SET_FULL]: "The queue of the device is full. Send the command later.",
  [RESERVATION_CONFLICT]: "Another host has reserved the device.",
};

const KEY_ADVICE: Readonly<Record<number, string>> = {
  [UNIT_ATTENTION]: "The device reports this once, and has not run the " +
    "command. Send it again.",
};
