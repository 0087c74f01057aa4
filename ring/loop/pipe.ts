/**
 * The pipe through which the waker reaches the event loop.
 *
 * @module
 */

import type * as net from "node:net";
import type process from "node:process";
import { O_CLOEXEC } from "../../sys/uapi/fcntl.ts";
import { E } from "../../sys/uapi/errno.ts";
import { close, inodeOf } from "../../sys/file.ts";
import { isOlder } from "../../sys/deno.ts";
import { syscall } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";
import { UringError } from "../errors.ts";
import { registerFiles } from "../bare/register.ts";
import { filled } from "../intrinsics.ts";

/** Places in a table of files: the pipe's, and one for each eventfd. */
const PLACES = 256;

/** The end of a pipe to read from. */
export class ReadEnd {
  readonly fd: number;
  /** Places in the table of the ring that writes the pipe. */
  readonly places: number;
  readonly #inode: bigint;

  constructor(fd: number, places: number) {
    this.fd = fd;
    this.places = places;
    this.#inode = inodeOf(fd);
  }

  /** `true` if somebody has closed it, and its number is another file's by now. */
  get isAnothers(): boolean {
    const now = inodeOf(this.fd);
    return now > 0n && now !== this.#inode;
  }
}

/**
 * Makes a pipe whose end to write to is the first file of a ring, in a table
 * with room for more. Returns the end to read from.
 */
export function pipeTo(ring: number): ReadEnd {
  const { view, at } = scratch();
  must("pipe2", syscall("pipe2", at, O_CLOEXEC));
  const readEnd = view.getInt32(0, true);
  const writeEnd = view.getInt32(4, true);
  // The kernel looks up the file of a linked command when the command starts. A
  // descriptor might be another file's by then, if this waker has closed.
  const files = [writeEnd, ...filled(PLACES - 1, -1)];
  let rc = registerFiles(ring, files);
  // A table may not be larger than RLIMIT_NOFILE.
  while (rc === -E.EMFILE && files.length > 2) {
    files.length >>= 1;
    rc = registerFiles(ring, files);
  }
  close(writeEnd);
  if (rc < 0) close(readEnd);
  must("io_uring_register", rc);
  return new ReadEnd(readEnd, files.length);
}

/**
 * Loads `node:net`, which takes 20 ms, more than all of this library: when it is
 * first needed, and not with an import(), for which every caller would wait. The
 * loading runs microtasks, and so code of the program.
 */
export function loadNet(): typeof net {
  const node = globalThis as unknown as { process: typeof process };
  return node.process.getBuiltinModule("node:net");
}

/** Makes the event loop watch the end of a pipe. */
export function watch(fd: number, wake: () => void): net.Socket {
  const net = loadNet();
  const options = { fd, writable: false };
  if (isOlder(Deno.version.deno, [2, 8, 0])) {
    // It refuses `onread` after it has taken the descriptor.
    return new net.Socket(options).on("data", wake);
  }
  // Reading into one byte of ours passes by the stream, which costs more than the
  // rest of Deno's part. With more room, Deno would look for more bytes.
  const callback = () => {
    wake();
    return true;
  };
  const onread = { buffer: new Uint8Array(1), callback };
  return new net.Socket({ ...options, onread });
}

/** Returns the result of a system call, and throws if the call has failed. */
export function must(call: string, rc: number): number {
  if (rc < 0) throw new UringError(call, -1, -rc);
  return rc;
}
