/** A request, as its handler sees it. */

import * as uapi from "../../sys/uapi/ublk.ts";
import type { BlockRequest } from "./target.ts";

/** The names of operations, in messages. */
const NAMES: Readonly<Record<number, string>> = {
  [uapi.UBLK_IO_OP_READ]: "read",
  [uapi.UBLK_IO_OP_WRITE]: "write",
  [uapi.UBLK_IO_OP_FLUSH]: "flush",
  [uapi.UBLK_IO_OP_DISCARD]: "discard",
  [uapi.UBLK_IO_OP_WRITE_ZEROES]: "writeZeroes",
};

/**
 * A request to a disk. Each is an object of its own: the tag has the next one while a
 * handler may still look at the last.
 */
export class DiskRequest implements BlockRequest {
  readonly offset: number;
  readonly length: number;
  readonly fua: boolean;
  readonly mayUnmap: boolean;
  /** One of `UBLK_IO_OP_`. */
  readonly op: number;
  /** The promise that the handler has returned, if it was one. */
  pending: PromiseLike<unknown> | null = null;
  #abort: AbortController | null = null;

  /** `op_flags` of the descriptor, and bytes. */
  constructor(opFlags: number, offset: number, length: number) {
    this.op = opFlags & 0xff;
    this.offset = offset;
    this.length = length;
    this.fua = (opFlags & uapi.UBLK_IO_F_FUA) !== 0;
    this.mayUnmap = (opFlags & uapi.UBLK_IO_F_NOUNMAP) === 0;
  }

  get signal(): AbortSignal {
    return (this.#abort ??= new AbortController()).signal;
  }

  /** `true` if the request has data. */
  get transfers(): boolean {
    return this.op === uapi.UBLK_IO_OP_READ ||
      this.op === uapi.UBLK_IO_OP_WRITE;
  }

  /** The operation by name. */
  get name(): string {
    return NAMES[this.op] ?? `operation ${this.op}`;
  }

  /** Aborts the signal, if the handler has asked for it. */
  abort(reason: unknown): void {
    this.#abort?.abort(reason);
  }
}

/** The error of an answer that makes no sense. */
export class AnswerError extends Error {}

/**
 * Returns the bytes that an answer says were done, as the driver may be told: no more
 * than were asked for, and whole blocks.
 *
 * @throws {AnswerError} if that is none.
 */
export function bytesDone(
  value: unknown,
  length: number,
  blockSize: number,
): number {
  if (value === undefined) return length;
  const done = typeof value === "number" ? Math.min(value, length) : NaN;
  const whole = done - done % blockSize;
  if (whole > 0) return whole;
  const kind = typeof value === "number" ? String(value) : typeof value;
  throw new AnswerError(
    `a handler must return nothing, or how many of ${length} bytes it has done ` +
      `in blocks of ${blockSize}, not ${kind}`,
  );
}
