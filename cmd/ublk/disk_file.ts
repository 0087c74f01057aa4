/** The disk as a file of the program that serves it. */

import { IORING_OP_CLOSE, IORING_OP_OPENAT } from "../../sys/uapi/io_uring.ts";
import { io_uring_sqe, IOSQE_ASYNC } from "../../sys/uapi/io_uring.ts";
import { AT_FDCWD, O_CLOEXEC, O_RDWR } from "../../sys/uapi/fcntl.ts";
import { Command } from "../../ring/command.ts";
import { operand } from "../../ring/operand.ts";
import { Ring } from "../../ring/ring.ts";
import { fsync, read, write } from "../op.ts";
import { closeAdvice, openAdvice } from "../op_advice.ts";

/**
 * Opens a block device in a worker of the kernel. To open it may read it: the thread
 * that serves it must not wait for that.
 */
export function openApart(path: string, flags: number): Command<number> {
  const bytes = new TextEncoder().encode(`${path}\0`);
  return new Command<number>({
    name: `OPENAT ${path}`,
    opcode: IORING_OP_OPENAT,
    fdWord: AT_FDCWD,
    flags: IOSQE_ASYNC,
    opFlags: flags | O_CLOEXEC,
    operands: [operand(io_uring_sqe.addr.offset, { bytes, kernel: "reads" })],
    advice: openAdvice,
  });
}

/** Closes it there: the last one to close it writes back what is dirty. */
export function closeApart(fd: number): Command<number> {
  return new Command<number>({
    name: "CLOSE",
    opcode: IORING_OP_CLOSE,
    file: fd,
    flags: IOSQE_ASYNC,
    advice: closeAdvice,
  });
}

/**
 * A disk that its own server has open. All methods are asynchronous: the thread has to
 * serve the disk meanwhile.
 */
export class DiskFile implements AsyncDisposable {
  readonly #ring: Ring;
  readonly #fd: number;
  #closed: Promise<void> | null = null;

  private constructor(ring: Ring, fd: number) {
    this.#ring = ring;
    this.#fd = fd;
  }

  /** Opens a block device for reading, and for writing unless it is read-only. */
  static async open(path: string, flags = O_RDWR): Promise<DiskFile> {
    const ring = Ring.open();
    try {
      return new DiskFile(ring, await ring.cmd(openApart(path, flags)));
    } catch (error) {
      await ring.close();
      throw error;
    }
  }

  /** Reads at an offset in bytes. Resolves to the bytes read, 0 at the end. */
  read(into: Uint8Array, offset: number): Promise<number> {
    return this.#ring.cmd(read(this.#fd, into, { offset }));
  }

  /** Writes at an offset in bytes. Resolves to the bytes written. */
  write(data: Uint8Array, offset: number): Promise<number> {
    return this.#ring.cmd(write(this.#fd, data, { offset }));
  }

  /** Makes durable what was written. */
  async sync(): Promise<void> {
    await this.#ring.cmd(fsync(this.#fd));
  }

  /** Closes it, after a {@linkcode sync}, whose error it throws. */
  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  async #close(): Promise<void> {
    try {
      await this.sync();
    } finally {
      await this.#ring.cmd(closeApart(this.#fd));
      await this.#ring.close();
    }
  }

  /** Is {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
