/** Errors of handlers, as the numbers that the kernel gets. */

import { E } from "../../sys/uapi/errno.ts";
import { errnoName } from "../../sys/errno_names.ts";

/**
 * The error that a program gets from its system call. Throw it in a handler.
 *
 * @example A file that is not there
 * ```ts
 * import { FuseError } from "@uring/cmd/fuse";
 *
 * const error = new FuseError("ENOENT");
 * console.log(error.code, error.errno); // ENOENT 2
 * ```
 */
export class FuseError extends Error {
  /** `"FuseError"`. */
  override readonly name = "FuseError";
  /** The errno by name, such as `"ENOENT"`. */
  readonly code: string;
  /** The errno as a positive number, such as 2. */
  readonly errno: number;

  /**
   * Makes the error of an errno, by its name or as a positive number.
   *
   * @throws {RangeError} for a name or a number that is no errno.
   */
  constructor(code: string | number, message?: string) {
    const errno = typeof code === "number" ? code : numberOf(code);
    if (!isErrno(errno)) {
      throw new RangeError(
        `${code} is no errno. Give a name, such as "ENOENT", or its number`,
      );
    }
    const name = errnoName(errno);
    super(message === undefined ? name : `${name}: ${message}`);
    this.code = name;
    this.errno = errno;
  }
}

const NUMBERS = new Map<string, number>(Object.entries(E));

/** Returns the errno of a name; 0 for no errno. */
function numberOf(code: string): number {
  return NUMBERS.get(code) ?? 0;
}

/** Returns `true` for what fuse_dev_do_write() takes as an error (Linux 6.12). */
function isErrno(errno: number): boolean {
  return Number.isInteger(errno) && errno > 0 && errno < 512;
}

/** The errnos of the classes of `Deno.errors`, for errors without a `code`. */
const CLASSES: readonly (readonly [abstract new () => Error, number])[] = [
  [Deno.errors.NotFound, E.ENOENT],
  [Deno.errors.PermissionDenied, E.EACCES],
  [Deno.errors.NotCapable, E.EACCES],
  [Deno.errors.AlreadyExists, E.EEXIST],
  [Deno.errors.NotADirectory, E.ENOTDIR],
  [Deno.errors.IsADirectory, E.EISDIR],
  [Deno.errors.FilesystemLoop, E.ELOOP],
  [Deno.errors.NotSupported, E.EOPNOTSUPP],
  [Deno.errors.BadResource, E.EBADF],
  [Deno.errors.Busy, E.EBUSY],
  [Deno.errors.Interrupted, E.EINTR],
  [Deno.errors.TimedOut, E.ETIMEDOUT],
  [Deno.errors.WouldBlock, E.EAGAIN],
  [Deno.errors.BrokenPipe, E.EPIPE],
  [Deno.errors.ConnectionRefused, E.ECONNREFUSED],
  [Deno.errors.ConnectionReset, E.ECONNRESET],
  [Deno.errors.ConnectionAborted, E.ECONNABORTED],
  [Deno.errors.NotConnected, E.ENOTCONN],
];

/** A function that is told what a handler threw, in which operation, and on which file. */
export type OnError = (
  error: unknown,
  op: string,
  path: string | null,
) => unknown;

/**
 * Returns a function that tells the program. What that throws, now or later, is dropped:
 * nobody is left to tell.
 */
export function teller(onError: OnError = print): OnError {
  return async (error, op, path) => {
    try {
      await onError(error, op, path);
    } catch {
      // As it says above.
    }
  };
}

function print(error: unknown, op: string, path: string | null): void {
  console.error(`FUSE ${op} ${path ?? ""} failed with EIO:`, error);
}

/**
 * Returns the errno that an error stands for: that of its `code`, or of its class;
 * 0 if it stands for none. It does not throw, whatever was thrown.
 *
 * @param interrupted The request's signal was aborted, so that an `AbortError` is
 * EINTR.
 */
export function errnoOf(error: unknown, interrupted = false): number {
  try {
    if (typeof error !== "object" || error === null) return 0;
    if (error instanceof FuseError) return error.errno;
    const { code, name } = error as { code?: unknown; name?: unknown };
    if (typeof code === "string" && NUMBERS.has(code)) return numberOf(code);
    if (name === "AbortError" && interrupted) return E.EINTR;
    return CLASSES.find(([Class]) => error instanceof Class)?.[1] ?? 0;
  } catch {
    return 0; // A getter of the error threw.
  }
}
