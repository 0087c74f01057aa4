/**
 * Paths and names in the form that the kernel takes: bytes with a zero at the
 * end.
 */

import { AT_FDCWD } from "../sys/uapi/fcntl.ts";
import { checkBytes, checkFd, checkText, shown } from "../ring/check.ts";
import { copyOf, isUint8Array } from "../ring/intrinsics.ts";
import { type Operand, operand } from "../ring/operand.ts";

/**
 * A path: a text, or the bytes of a path that may not be UTF-8. Bytes are
 * copied when the command is made. A path has no zero byte, and at most 4095
 * bytes.
 */
export type Path = string | Uint8Array;

/** Bytes of the longest path, with its zero: <linux/limits.h>. */
export const PATH_MAX = 4096;

/** A checked path. */
export class CPath {
  /**
   * The path in quotes, for messages. Bytes that are not UTF-8 show as U+FFFD.
   */
  readonly text: string;
  /** Bytes of the path, without the zero. */
  readonly byteLength: number;
  readonly #bytes: Uint8Array;

  constructor(name: string, path: Path) {
    const bytes = bytesOf(name, path);
    if (bytes.includes(0)) {
      throw new TypeError(
        `${name} has a zero byte in it. A path ends at a zero`,
      );
    }
    this.byteLength = bytes.length;
    this.#bytes = new Uint8Array(bytes.length + 1);
    this.#bytes.set(bytes);
    const text = typeof path === "string" ? path : decoder.decode(bytes);
    this.text = JSON.stringify(text);
  }

  /** Returns an operand that the kernel reads, with its address at byte `at`. */
  operand(at: number): Operand {
    return operand(at, { bytes: this.#bytes, kernel: "reads" });
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function bytesOf(name: string, path: Path): Uint8Array {
  // A copy first: other threads may write to the original.
  if (isUint8Array(path)) return copyOf(checkBytes(name, path));
  if (typeof path === "string") return encoder.encode(checkText(name, path));
  throw new TypeError(
    `${name} must be a string or a Uint8Array, not ${shown(path)}`,
  );
}

/** A directory that a relative path starts at. */
export class Directory {
  /** The SQE's word for it. */
  readonly word: number;
  /** The end of the command's name in messages: `" in fd 5"`, or nothing. */
  readonly text: string;

  constructor(name: string, dirFd: number | undefined) {
    this.word = dirFd === undefined ? AT_FDCWD : checkFd(dirFd, name);
    this.text = dirFd === undefined ? "" : ` in fd ${dirFd}`;
  }
}
