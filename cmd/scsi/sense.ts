/**
 * Sense data, the report of a SCSI device about a command.
 *
 * @module
 */

import { checkBytes } from "../../ring/check.ts";
import { partOf, viewOf } from "../../ring/intrinsics.ts";
import { jsonable } from "../json.ts";
import { senseKeyName, senseText } from "./names.ts";

/** Sense keys. */
export const NO_SENSE = 0;
export const RECOVERED_ERROR = 1;
const NOT_READY = 2;
const ILLEGAL_REQUEST = 5;
export const UNIT_ATTENTION = 6;

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
   * a pair that T10 has not assigned.
   */
  readonly text: string;
  /** `true` if the device reports an earlier command, and has not run this one. */
  readonly deferred: boolean;
  /**
   * A number that the command defines: for a medium error, the LBA. With
   * `filemark`, `endOfMedium` or `incorrectLength`, the length of the request
   * minus the actual one: negative if a block is longer than the request.
   */
  readonly information: bigint | undefined;
  /** `true` if a tape is at a filemark or a setmark. */
  readonly filemark: boolean;
  /** `true` if a tape is at the end, or the beginning, of a partition (EOM). */
  readonly endOfMedium: boolean;
  /** `true` if a block does not have the length of the request (ILI). */
  readonly incorrectLength: boolean;
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
 * @example Sense data of a medium error
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
  whole.set(partOf(bytes, 0, end));
  const view = new DataView(whole.buffer);
  const parts = code >= 0x72 ? descriptors(view, end) : fixed(view, end);
  const { key, asc, ascq, information, marks, specific } = parts;
  const [flags, high, low] = specific;
  const valid = (flags & 0x80) !== 0;
  const number = high << 8 | low;
  const place = flags & 0x40 ? "cdb" : "data";
  const bit = flags & 0x08 ? flags & 0x07 : undefined;
  const field = { in: place, byte: number, bit } as const;
  const hasProgress = valid && (key === NOT_READY || key === NO_SENSE);
  const incorrectLength = (marks & ILI) !== 0;
  return jsonable({
    key,
    keyName: senseKeyName(key),
    asc,
    ascq,
    text: senseText(asc, ascq),
    deferred: (code & 1) === 1,
    information: information && incorrectLength
      ? BigInt.asIntN(parts.informationBits, information)
      : information,
    filemark: (marks & FILEMARK) !== 0,
    endOfMedium: (marks & EOM) !== 0,
    incorrectLength,
    field: valid && key === ILLEGAL_REQUEST ? field : undefined,
    progress: hasProgress ? number / 0x1_0000 : undefined,
    bytes,
  });
}

/** Bits of the byte that has the sense key in the fixed format. */
const FILEMARK = 0x80;
const EOM = 0x40;
const ILI = 0x20;

/** The fields of sense data that both formats have. */
interface Parts {
  readonly key: number;
  readonly asc: number;
  readonly ascq: number;
  information: bigint | undefined;
  readonly informationBits: 32 | 64;
  /** FILEMARK, EOM and ILI. */
  marks: number;
  /** Three bytes whose meaning depends on the key. */
  specific: readonly number[];
}

/** No bytes that depend on the key: the first has the bit SKSV if they are valid. */
const NOT_SPECIFIC = [0, 0, 0];

function fixed(view: DataView, end: number): Parts {
  const valid = end >= 7 && view.getUint8(0) & 0x80;
  return {
    key: view.getUint8(2) & 0x0f,
    asc: view.getUint8(12),
    ascq: view.getUint8(13),
    information: valid ? BigInt(view.getUint32(3)) : undefined,
    informationBits: 32,
    marks: view.getUint8(2),
    specific: end >= 18 ? specificAt(view, 15) : NOT_SPECIFIC,
  };
}

function descriptors(view: DataView, end: number): Parts {
  const parts: Parts = {
    key: view.getUint8(1) & 0x0f,
    asc: view.getUint8(2),
    ascq: view.getUint8(3),
    information: undefined,
    informationBits: 64,
    marks: 0,
    specific: NOT_SPECIFIC,
  };
  // A descriptor starts with its type, and the number of bytes that follow.
  for (let at = 8, next; at + 2 <= end; at = next) {
    next = at + 2 + view.getUint8(at + 1);
    const length = Math.min(next, end) - at;
    const informationAt = (offset: number) => {
      if (length < offset + 8 || !(view.getUint8(at + 2) & 0x80)) return;
      parts.information = view.getBigUint64(at + offset);
    };
    switch (view.getUint8(at)) {
      case 0x00: // Information.
        informationAt(4);
        break;
      case 0x02: // Specific to the sense key.
        if (length >= 8) parts.specific = specificAt(view, at + 4);
        break;
      case 0x04: // Stream commands.
        if (length >= 4) parts.marks |= view.getUint8(at + 3);
        break;
      case 0x05: // Block commands.
        if (length >= 4) parts.marks |= view.getUint8(at + 3) & ILI;
        break;
      case 0x0d: // Direct-access block device, with fields of the others.
        if (length >= 8) parts.specific = specificAt(view, at + 4);
        if (length >= 3) parts.marks |= view.getUint8(at + 2) & ILI;
        informationAt(8);
    }
  }
  return parts;
}

function specificAt(view: DataView, at: number): number[] {
  return [view.getUint8(at), view.getUint8(at + 1), view.getUint8(at + 2)];
}
