/** Errors of handlers, as the numbers that programs get. */

import { E } from "../../sys/uapi/errno.ts";
import { checkName } from "../../ring/check.ts";

/** The name of an errno that a block device has. */
export type BlockErrorCode =
  | "EIO"
  | "ENOSPC"
  | "EOPNOTSUPP"
  | "ETIMEDOUT"
  | "ENODATA"
  | "EREMOTEIO"
  | "EILSEQ"
  | "ENOLINK"
  | "ENOMEM"
  | "EAGAIN";

/**
 * The errnos that a block device has a status for. Any other becomes EIO:
 * blk_status_to_errno(), Linux 6.12.
 */
const NUMBERS: Readonly<Record<BlockErrorCode, number>> = {
  EIO: E.EIO,
  ENOSPC: E.ENOSPC,
  EOPNOTSUPP: E.EOPNOTSUPP,
  ETIMEDOUT: E.ETIMEDOUT,
  ENODATA: E.ENODATA,
  EREMOTEIO: E.EREMOTEIO,
  EILSEQ: E.EILSEQ,
  ENOLINK: E.ENOLINK,
  ENOMEM: E.ENOMEM,
  EAGAIN: E.EAGAIN,
};
const CODES = new Map<unknown, number>(Object.entries(NUMBERS));

/**
 * The error that a program gets from its read(2), write(2) or fsync(2). Throw it in a
 * handler. A program that writes without fsync(2) does not hear of it.
 *
 * @example A disk that is full
 * ```ts
 * import { BlockError } from "@uring/cmd/ublk";
 *
 * const error = new BlockError("ENOSPC");
 * console.log(error.code, error.errno); // ENOSPC 28
 * ```
 */
export class BlockError extends Error {
  /** `"BlockError"`. */
  override readonly name = "BlockError";
  /** The errno by name. */
  readonly code: BlockErrorCode;
  /** The errno as a positive number. */
  readonly errno: number;

  /**
   * Makes the error of an errno, by its name.
   *
   * @throws {TypeError} for a name that block devices do not have.
   */
  constructor(code: BlockErrorCode, message?: string) {
    checkName("code", code, NUMBERS);
    super(message === undefined ? code : `${code}: ${message}`);
    this.code = code;
    this.errno = NUMBERS[code];
  }
}

/** The errnos of the classes of `Deno.errors`, for errors without a `code`. */
const CLASSES: readonly (readonly [abstract new () => Error, number])[] = [
  [Deno.errors.NotSupported, E.EOPNOTSUPP],
  [Deno.errors.TimedOut, E.ETIMEDOUT],
  [Deno.errors.WouldBlock, E.EAGAIN],
];

/**
 * Returns the errno that an error stands for, by its `code` or its class; 0 if it
 * stands for none that a block device has. It does not throw, whatever was thrown.
 */
export function errnoOf(error: unknown): number {
  try {
    if (typeof error !== "object" || error === null) return 0;
    const { code } = error as { code?: unknown };
    const known = CODES.get(code);
    if (known !== undefined) return known;
    return CLASSES.find(([Class]) => error instanceof Class)?.[1] ?? 0;
  } catch {
    return 0; // A getter of the error threw.
  }
}
