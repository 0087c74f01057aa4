/**
 * Waits until /dev/fuse has a request, beside the event loop, and sends what the
 * serving thread must not send itself.
 */

import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { POLLIN, POLLPRI } from "../../sys/uapi/poll.ts";
import { arena, lastingAddressOf } from "../../sys/arena.ts";
import { viewAt } from "../../sys/bytes.ts";
import { close, open } from "../../sys/file.ts";
import { syscall } from "../../sys/libc.ts";
import { pooledSyscall } from "../../sys/pooled.ts";
import { Command } from "../../ring/command.ts";
import { UringError } from "../../ring/errors.ts";
import { operand } from "../../ring/operand.ts";
import { Ring } from "../../ring/ring.ts";
import { poll } from "../op.ts";
import { type Listener, LoopReader } from "./loop_reader.ts";

/** Waits for requests. */
export interface Waiter {
  /** The way of waiting, for people. */
  readonly how: string;
  /** Resolves when there may be something to read. */
  wait(): Promise<unknown>;
  /** Makes a reader that makes waits needless; `null` if there is none. */
  reader?(listener: Listener): LoopReader | null;
  /** Writes a message in another thread. Resolves to 0, or `-errno`. */
  send(message: Uint8Array): Promise<number>;
  /** Ends a wait, so that the descriptor can be closed. */
  stop(): Promise<void>;
  ref(): void;
  unref(): void;
}

/** Makes the best waiter that this process may have. */
export function waiterFor(fd: number): Waiter {
  try {
    return new RingWaiter(fd, Ring.open({ entries: 16 }));
  } catch (error) {
    // As under Docker's seccomp profile. Misuse is no reason.
    if (!(error instanceof UringError)) throw error;
    return new PoolWaiter(fd);
  }
}

const ADDR = uapi.io_uring_sqe.addr.offset;

/**
 * Milliseconds before each look after a change of the table of mounts. The kernel ends
 * the connection shortly after the change: cleanup_mnt().
 */
const LOOKS_MS = [0, 5, 50];

/** Polls with io_uring. */
export class RingWaiter implements Waiter {
  readonly #fd: number;
  readonly #ring: Ring;
  readonly #poll: Command<number>;
  readonly #stopped = new AbortController();
  #reader: LoopReader | null = null;

  constructor(fd: number, ring: Ring) {
    this.#fd = fd;
    this.#ring = ring;
    this.#poll = poll(fd, { events: POLLIN });
  }

  get how(): string {
    return this.#reader === null
      ? "by a poll with io_uring"
      : "in the event loop";
  }

  wait(): Promise<unknown> {
    return this.#ring.cmd(this.#poll, this.#stopped);
  }

  reader(listener: Listener): LoopReader | null {
    try {
      this.#reader = new LoopReader(this.#fd, listener);
    } catch {
      return null; // As before Deno 2.8.
    }
    void this.#watchMounts(listener);
    return this.#reader;
  }

  /** Has the reader look for the end when the table of mounts has changed. */
  async #watchMounts(listener: Listener): Promise<void> {
    const fd = open("/proc/self/mountinfo");
    const change = poll(fd, { events: POLLPRI });
    try {
      for (;;) {
        await this.#ring.cmd(change, this.#stopped);
        for (const ms of LOOKS_MS) {
          await new Promise((resolve) => setTimeout(resolve, ms));
          listener.look();
        }
      }
    } catch {
      // It was stopped. Or the file is not there: the timer is.
    } finally {
      if (fd >= 0) close(fd);
    }
  }

  async send(message: Uint8Array): Promise<number> {
    const command = new Command<number>({
      name: "WRITE of a notification",
      opcode: uapi.IORING_OP_WRITE,
      file: this.#fd,
      // The ring's own thread would wait in fuse_reverse_inval_entry().
      flags: uapi.IOSQE_ASYNC,
      len: message.length,
      operands: [operand(ADDR, { bytes: message, kernel: "reads" })],
    });
    try {
      await this.#ring.cmd(command);
      return 0;
    } catch (error) {
      return error instanceof UringError ? -error.errno : -E.ENOTCONN;
    }
  }

  stop(): Promise<void> {
    this.#stopped.abort();
    this.#reader?.close();
    return this.#ring.close();
  }

  ref(): void {
    this.#ring.ref();
    this.#reader?.ref();
  }

  unref(): void {
    this.#ring.unref();
    this.#reader?.unref();
  }
}

/** Bytes of a `struct pollfd`, of which there are two. */
const POLLFD = 8;

/**
 * Polls in a thread of Deno's pool, of which there are 32, where io_uring is refused.
 * The process stays alive while it waits, even after {@linkcode unref}.
 */
export class PoolWaiter implements Waiter {
  readonly how = "by ppoll(2) in a thread of Deno's pool";
  readonly #fd: number;
  readonly #memory: ArrayBuffer = arena(2 * POLLFD);
  readonly #address: number;
  /** The descriptor that ends a wait. */
  readonly #bell: number;
  #waiting: Promise<unknown> = Promise.resolve();

  constructor(fd: number) {
    this.#fd = fd;
    this.#bell = syscall("eventfd2", 0, 0o2000000);
    this.#address = lastingAddressOf(this.#memory)!;
    const view = viewAt(this.#memory, 0, 2 * POLLFD);
    view.setInt32(0, fd, true);
    view.setInt16(4, POLLIN, true);
    view.setInt32(POLLFD, this.#bell, true);
    view.setInt16(POLLFD + 4, POLLIN, true);
  }

  wait(): Promise<unknown> {
    return this.#waiting = pooledSyscall("ppoll", this.#address, 2, 0, 0, 0);
  }

  async send(message: Uint8Array): Promise<number> {
    const memory = arena(message.length);
    new Uint8Array(memory).set(message);
    const at = lastingAddressOf(memory)!;
    const rc = await pooledSyscall("write", this.#fd, at, message.length);
    // Nearly always: the kernel does not know the file.
    return rc < 0 ? -E.ENOENT : 0;
  }

  async stop(): Promise<void> {
    const one = arena(8);
    new Uint8Array(one)[0] = 1;
    syscall("write", this.#bell, lastingAddressOf(one)!, 8);
    await this.#waiting;
    close(this.#bell);
  }

  ref(): void {}

  unref(): void {}
}
