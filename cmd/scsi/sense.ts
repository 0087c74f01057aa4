/**
 * Sense data, the report of a SCSI device about a command, and the error that is
 * made of it.
 *
 * @module
 */

import {
  checkBytes,
  checkInteger,
  checkObject,
  checkString,
  checkU32,
  checkU8,
} from "../../ring/check.ts";
import { viewOf } from "../../ring/intrinsics.ts";
import { hex, hostStatusName, senseKeyName } from "./names.ts";
import { senseText, statusName } from "./names.ts";

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
/** Sense keys. */
const NO_SENSE = 0;
const RECOVERED_ERROR = 1;
const NOT_READY = 2;
const ILLEGAL_REQUEST = 5;
const UNIT_ATTENTION = 6;

/** The place of the field that a device refused with `Illegal Request`. */
export interface SenseField {
  /** The CDB, or the data that was sent with it. */
  readonly in: "cdb" | "data";
  /** The index of the first byte of the field. */
  readonly byte: number;
  /** The highest bit of the field, 7 to 0; `undefined` for the whole byte. */
  readonly bit: number | undefined;
}

/** Sense data: the report of a device about a command. */
export interface ScsiSense {
  /** The sense key, from 0 to 15: 3 is a medium error. */
  readonly key: number;
  /** The key by name, such as `"Medium Error"`. */
  readonly keyName: string;
  /** Additional sense code, such as 0x11. */
  readonly asc: number;
  /** The qualifier of `asc`. */
  readonly ascq: number;
  /**
   * The meaning of `asc` and `ascq`, such as `"Unrecovered read error"`; empty for
   * a pair that this library does not have.
   */
  readonly text: string;
  /** `true` if the device reports an earlier command, and has not run this one. */
  readonly deferred: boolean;
  /** A number that the command defines: for a medium error, the LBA. */
  readonly information: bigint | undefined;
  /** The field that the device refused, with the key `Illegal Request`. */
  readonly field: SenseField | undefined;
  /** The progress of the operation that keeps the device busy, from 0 to 1. */
  readonly progress: number | undefined;
  /** The bytes from the device. */
  readonly bytes: Uint8Array;
}

/**
 * Decodes sense data of either format, fixed or descriptors. Returns `null` for
 * other bytes. Use it for the answer to a REQUEST SENSE: a {@linkcode ScsiError}
 * has its sense data decoded.
 *
 * @example
 * ```ts
 * import { decodeSense } from "@uring/cmd/scsi";
 *
 * const bytes = new Uint8Array(18);
 * bytes.set([0x70, 0, 3, 0, 0, 0, 0, 10], 0); // Fixed format, sense key 3.
 * bytes.set([0x11, 0], 12);
 * console.log(decodeSense(bytes)?.text); // Unrecovered read error
 * ```
 */
export function decodeSense(bytes: Uint8Array): ScsiSense | null {
  bytes = viewOf(checkBytes("bytes", bytes));
  const code = bytes[0] & 0x7f;
  if (!(code >= 0x70 && code <= 0x73)) return null;
  // Byte 7 is the number of bytes after it. Fields that were cut off are zeros.
  const end = Math.min(bytes.length, 8 + (bytes[7] ?? 0));
  const whole = new Uint8Array(8 + 255);
  whole.set(bytes.subarray(0, end));
  const view = new DataView(whole.buffer);
  const parts = code >= 0x72 ? descriptors(view, end) : fixed(view);
  const { key, asc, ascq, information, specific } = parts;
  const [flags, high, low] = specific;
  const valid = (flags & 0x80) !== 0;
  const number = high << 8 | low;
  const place = flags & 0x40 ? "cdb" : "data";
  const bit = flags & 0x08 ? flags & 0x07 : undefined;
  const field = { in: place, byte: number, bit } as const;
  const hasProgress = valid && (key === NOT_READY || key === NO_SENSE);
  return {
    key,
    keyName: senseKeyName(key),
    asc,
    ascq,
    text: senseText(asc, ascq),
    deferred: (code & 1) === 1,
    information,
    field: valid && key === ILLEGAL_REQUEST ? field : undefined,
    progress: hasProgress ? number / 0x1_0000 : undefined,
    bytes,
  };
}

/** The fields of sense data that both formats have. */
interface Parts {
  readonly key: number;
  readonly asc: number;
  readonly ascq: number;
  information: bigint | undefined;
  /** Three bytes whose meaning depends on the key. */
  specific: readonly number[];
}

function fixed(view: DataView): Parts {
  const valid = view.getUint8(0) & 0x80;
  return {
    key: view.getUint8(2) & 0x0f,
    asc: view.getUint8(12),
    ascq: view.getUint8(13),
    information: valid ? BigInt(view.getUint32(3)) : undefined,
    specific: [view.getUint8(15), view.getUint8(16), view.getUint8(17)],
  };
}

function descriptors(view: DataView, end: number): Parts {
  const parts: Parts = {
    key: view.getUint8(1) & 0x0f,
    asc: view.getUint8(2),
    ascq: view.getUint8(3),
    information: undefined,
    specific: [0, 0, 0],
  };
  // A descriptor starts with its type, and the number of bytes that follow.
  for (let at = 8; at + 2 <= end; at += 2 + view.getUint8(at + 1)) {
    const type = view.getUint8(at);
    if (type === 0x00 && at + 12 <= end && view.getUint8(at + 2) & 0x80) {
      parts.information = view.getBigUint64(at + 4);
    } else if (type === 0x02 && at + 8 <= end) {
      parts.specific = [4, 5, 6].map((i) => view.getUint8(at + i));
    }
  }
  return parts;
}

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
 * It has the status of the device, and no errno. A command that the kernel refuses
 * throws a `UringError` instead.
 *
 * @example
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
export class ScsiError extends Error {
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
   * a pair that this library does not have.
   */
  readonly text: string | undefined;
  /** Sense data, or `null` if the device returned none. */
  readonly sense: ScsiSense | null;
  /** Bytes that were not transferred, by the count of the driver. */
  readonly residual: number;
  /** The name of the command, such as `"SCSI READ(10)"`. */
  readonly op: string;
  /** The descriptor of the command. */
  readonly fd: number;

  /** Makes the error of an outcome that is not a success. */
  constructor(op: string, fd: number, outcome: ScsiOutcome) {
    checkObject("outcome", outcome);
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
    super(`${op} on fd ${fd}: ${explain(told)}`);
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
    this.op = op;
    this.fd = fd;
  }
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
