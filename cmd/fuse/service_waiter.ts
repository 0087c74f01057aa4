/** Waits for /dev/fuse with two tags of the service that has the requests. */

import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { POLLIN } from "../../sys/uapi/poll.ts";
import { Command } from "../../ring/command.ts";
import { UringError } from "../../ring/errors.ts";
import { operand } from "../../ring/operand.ts";
import type { Service } from "../../ring/service/service.ts";
import { poll } from "../op.ts";
import type { Waiter } from "./waiting.ts";

const ADDR = uapi.io_uring_sqe.addr.offset;

/** Waits and sends with the tags `first` and `first + 1`. */
export class ServiceWaiter implements Waiter {
  /** The tags that it needs. */
  static readonly TAGS = 2;
  readonly how = "by a poll with io_uring";
  readonly #fd: number;
  readonly #service: Service;
  readonly #first: number;
  #wait: PromiseWithResolvers<void> | null = null;
  #memory: Uint8Array;
  /** The end of the last message in the queue: one is sent at a time. */
  #last: Promise<unknown> = Promise.resolve();
  #sent: ((result: number) => void) | null = null;
  #stopped = false;

  constructor(fd: number, service: Service, first: number) {
    this.#fd = fd;
    this.#service = service;
    this.#first = first;
    this.#memory = service.alloc(65536);
    const command = poll(fd, { events: POLLIN });
    service.prepare(first, command, (_, res) => this.#came(res));
  }

  wait(): Promise<void> {
    const wait = this.#wait = Promise.withResolvers<void>();
    this.#service.submit(this.#first);
    return wait.promise;
  }

  #came(res: number): void {
    this.#service.stop(); // A thread that sleeps in the kernel runs no promise.
    if (res >= 0) this.#wait?.resolve();
    else this.#wait?.reject(new UringError("POLL_ADD", this.#fd, -res));
  }

  send(message: Uint8Array): Promise<number> {
    const sent = this.#last.then(() => this.#write(message));
    this.#last = sent.catch(() => {}); // For want of memory: a smaller one may go.
    return sent;
  }

  #write(message: Uint8Array): Promise<number> {
    if (this.#stopped) return Promise.resolve(-E.ENOTCONN);
    const service = this.#service;
    const { length } = message;
    // Memory of a service stays until its end, so that it grows in large steps.
    if (length > this.#memory.length) this.#memory = service.alloc(2 * length);
    const bytes = this.#memory.subarray(0, length);
    bytes.set(message);
    const command = new Command<number>({
      name: "WRITE of a notification",
      opcode: uapi.IORING_OP_WRITE,
      file: this.#fd,
      // The ring's own thread would wait in fuse_reverse_inval_entry().
      flags: uapi.IOSQE_ASYNC,
      len: length,
      operands: [operand(ADDR, { bytes, kernel: "reads" })],
    });
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#sent = resolve;
    const tag = this.#first + 1;
    service.prepare(tag, command, (_, res) => {
      service.stop();
      resolve(Math.min(res, 0));
    });
    service.submit(tag);
    return promise;
  }

  stop(): Promise<void> {
    this.#stopped = true;
    this.#sent?.(-E.ENOTCONN); // An abandoned service does not say so.
    // The kernel completes all tags of a connection that has ended.
    this.#service.unref();
    return this.#service.close();
  }

  ref(): void {
    this.#service.ref();
  }

  unref(): void {
    this.#service.unref();
  }
}
