/** The tables of files and buffers that a ring has registered. */

import { lastingAddressOf } from "../sys/arena.ts";
import { fileFacts } from "../sys/file.ts";
import * as register from "./bare/register.ts";
import { patiently } from "./bare/release.ts";
import type { RingHandle } from "./bare/setup.ts";
import { checkBytes, checkFd, checkInteger, checkList } from "./check.ts";
import type { Command } from "./command.ts";
import { registerAdvice, UringError } from "./errors.ts";
import { bufferOf, byteLengthOf, byteOffsetOf } from "./intrinsics.ts";
import { FixedBuffer, FixedFile, recordFacts } from "./registered.ts";

/** Throws the error of an io_uring_register() that failed. */
export function checkRegistered(op: string, fd: number, rc: number): void {
  if (rc >= 0) return;
  const advice = registerAdvice(-rc);
  throw new UringError(`io_uring_register ${op}`, fd, -rc, advice);
}

/** The two tables of one ring. */
export class Tables {
  readonly #handle: RingHandle;
  #files: readonly FixedFile[] = [];
  #buffers: readonly FixedBuffer[] = [];

  constructor(handle: RingHandle) {
    this.#handle = handle;
  }

  registerFiles(fds: readonly number[]): FixedFile[] {
    const rc = register.registerFiles(this.#handle.target(), fds);
    this.#check("REGISTER_FILES", rc);
    const files = fds.map((fd, i) => {
      const file = new FixedFile(i);
      // Commands are checked against the file, as they are for a descriptor.
      const facts = fileFacts(fd);
      if (typeof facts !== "number") recordFacts(file, facts);
      return file;
    });
    this.#files = files;
    return files.slice();
  }

  unregisterFiles(inFlight: Iterable<Command<unknown>>): void {
    for (const { name, fixedFile } of inFlight) {
      if (fixedFile !== null) throw inUse(name, "files");
    }
    const rc = register.unregisterFiles(this.#handle.target());
    this.#check("UNREGISTER_FILES", rc);
    this.#files = [];
  }

  registerBuffers(buffers: readonly Uint8Array[]): FixedBuffer[] {
    const ranges = buffers.map((bytes) => {
      const base = lastingAddressOf(bufferOf(bytes));
      if (base !== undefined) {
        return [base + byteOffsetOf(bytes), byteLengthOf(bytes)] as const;
      }
      throw new TypeError(
        "a registered buffer must be memory of ring.alloc(): the kernel " +
          "keeps its address, and JavaScript can take other memory away",
      );
    });
    const rc = patiently(() =>
      register.registerBuffers(this.#handle.target(), ranges)
    );
    this.#check("REGISTER_BUFFERS", rc);
    const made = buffers.map((bytes, i) => new FixedBuffer(i, bytes));
    this.#buffers = made;
    return made.slice();
  }

  unregisterBuffers(inFlight: Iterable<Command<unknown>>): void {
    for (const { name, fixedBuffer } of inFlight) {
      if (fixedBuffer !== null) throw inUse(name, "buffers");
    }
    const rc = register.unregisterBuffers(this.#handle.target());
    this.#check("UNREGISTER_BUFFERS", rc);
    this.#buffers = [];
  }

  /** Refuses a command that names a file or a buffer of another table. */
  check({ name, fixedFile, fixedBuffer }: Command<unknown>): void {
    if (fixedFile !== null && this.#files[fixedFile.index] !== fixedFile) {
      throw new TypeError(
        `${name} names a file that is not in this ring's table of files`,
      );
    }
    if (
      fixedBuffer !== null && this.#buffers[fixedBuffer.index] !== fixedBuffer
    ) {
      throw new TypeError(
        `${name} names a buffer that is not in this ring's table of buffers`,
      );
    }
  }

  #check(op: string, rc: number): void {
    checkRegistered(op, this.#handle.fd, rc);
  }
}

/** Reads the descriptors for a table of files. */
export function checkFiles(fds: readonly number[]): number[] {
  const list = checkList("fds", fds);
  checkInteger("number of files", list.length, 1, 16384);
  list.forEach((fd) => checkFd(fd));
  return list;
}

/** Reads the arrays for a table of buffers. */
export function checkBuffers(buffers: readonly Uint8Array[]): Uint8Array[] {
  const list = checkList("buffers", buffers);
  checkInteger("number of buffers", list.length, 1, 4096);
  // io_buffer_validate(), Linux 6.18.
  list.forEach((bytes) => {
    const byteLength = byteLengthOf(checkBytes("buffer", bytes));
    checkInteger("byteLength of a registered buffer", byteLength, 1, 2 ** 30);
  });
  return list;
}

function inUse(name: string, table: string): TypeError {
  return new TypeError(
    `${name} is in flight and uses the table of ${table}: wait for it first`,
  );
}
