/** Errors of handlers, as the numbers that programs get. */

import { E } from "../../sys/uapi/errno.ts";

/**
 * The errnos that a block device has a status for. Any other becomes EIO:
 * blk_status_to_errno(), Linux 6.12.
 */
const CODES = [
  "EIO",
  "ENOSPC",
  "EOPNOTSUPP",
  "ETIMEDOUT",
  "ENODATA",
  "EREMOTEIO",
  "EILSEQ",
  "ENOLINK",
  "ENOMEM",
  "EAGAIN",
] as const;

/** The name of an errno that a block device has. */
export type BlockErrorCode = typeof CODES[number];

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

  /** @throws {TypeError} for a name that block devices do not have. */
  constructor(code: BlockErrorCode, message?: string) {
    if (!CODES.includes(code)) {
      throw new TypeError(`code must be one of ${CODES.join(", ")}`);
    }
    super(message === undefined ? code : `${code}: ${message}`);
    this.code = code;
    this.errno = E[code];
  }
}

/** What an error of a class of `Deno.errors` means, where it has no `code`. */
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
    const known = CODES.find((each) => each === code);
    if (known !== undefined) return E[known];
    return CLASSES.find(([Class]) => error instanceof Class)?.[1] ?? 0;
  } catch {
    return 0; // A getter of the error threw.
  }
}
