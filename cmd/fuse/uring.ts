/**
 * The transport of io_uring: Linux 6.14, with `fuse.enable_uring=1`.
 *
 * Each CPU has a queue of entries, and one ring serves all. An entry is a tag of a
 * {@linkcode Service}: REGISTER gives it to the kernel, which completes it with a
 * request. COMMIT_AND_FETCH is the reply, and fetches the next. Between the two, three
 * words of the SQE change. All replies of a turn go in one io_uring_enter().
 *
 * **One loop.** `Session` is the loop of both transports, so that `cmd/serve.ts` is for
 * other servers: a FORGET has no reply, an INTERRUPT is about another request, and the
 * classic transport has no tags.
 *
 * **The side reader.** FORGET and INTERRUPT are read from /dev/fuse, by a
 * {@linkcode Classic} that waits with a tag of the same service. It can serve
 * everything: INIT, which comes before the ring is used, and all requests if the kernel
 * refuses REGISTER, and goes back to /dev/fuse by itself (fuse_uring_cmd(), 6.14).
 *
 * **Contract.** The thread that serves must never wait for the mount: the kernel hands
 * out requests in its task work, and neither a signal nor an abort ends that wait.
 */

import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/fuse.ts";
import { io_uring_sqe } from "../../sys/uapi/io_uring.ts";
import { iovec } from "../../sys/uapi/uio.ts";
import { bytesAt, viewAt } from "../../sys/bytes.ts";
import { errnoName } from "../../sys/errno_names.ts";
import { sizeof } from "../../sys/struct.ts";
import { immediate } from "../../ring/loop/immediate.ts";
import { Service } from "../../ring/service/service.ts";
import { uringCmd } from "../uring_cmd.ts";
import { Classic, type Device } from "./classic.ts";
import { Entry, HEADER } from "./entry.ts";
import type { Inbox } from "./inbox.ts";
import type { Agreement } from "./init.ts";
import type { FuseRequest } from "./request.ts";
import { ServiceWaiter } from "./service_waiter.ts";
import type { Receiver, Transport, TransportName } from "./transport.ts";

// Words of the SQE that change.
const CMD_OP = io_uring_sqe.cmd_op.offset / 4;
const PAYLOAD = 48;
const { commit_id, qid } = uapi.fuse_uring_cmd_req;
const COMMIT_ID = (PAYLOAD + commit_id.offset) / 4;
const IOVEC = sizeof(iovec);
/** Turns of the event loop after a sleep. */
const TURNS = 3;
/** Bytes of an entry beside its payload. */
const HEAD = HEADER + 2 * IOVEC;

/** The size of the transport. */
export interface UringSize {
  /** The CPUs that the machine may have: each has a queue. */
  readonly queues: number;
  /** Entries of a queue. */
  readonly depth: number;
  /** Bytes of the largest payload. */
  readonly payload: number;
  /** Handlers get a copy of each request: see {@linkcode Entry}. */
  readonly apart: boolean;
  /** {@linkcode Uring.sleep} is to come. */
  readonly sleeps?: boolean;
}

/** The io_uring transport of one mount. */
export class Uring implements Transport {
  readonly #service: Service;
  readonly #classic: Classic;
  readonly #entries: Entry[] = [];
  readonly #words: Int32Array[] = [];
  readonly #size: UringSize;
  #receiver: Receiver | null = null;
  /** Requests whose handlers have returned a promise, and are not done. */
  #pending = 0;
  /** Is called when there is none. */
  #quiet: (() => void) | null = null;
  /** It sleeps in the kernel between requests. */
  #sleeps = false;
  /** The reason why requests come by read(2) after all. */
  #refusal = "";
  /** The errno of the first refusal: after it, the kernel answers EOPNOTSUPP. */
  #errno = 0;
  /** Entries that the kernel has refused, by queue. */
  readonly #refused: number[];

  /**
   * Makes the ring and all memory, of which the kernel gets nothing yet.
   *
   * @throws {UringError} if the kernel refuses a ring.
   * @throws {RangeError} if there is not enough memory.
   */
  constructor(device: Device, size: UringSize) {
    const { queues, depth, payload } = this.#size = size;
    const count = queues * depth;
    this.#refused = new Array<number>(queues).fill(0);
    this.#service = Service.open({
      tags: count + ServiceWaiter.TAGS,
      sqe128: true,
      deferTaskrun: size.sleeps,
      failed: ({ errno, message }) => {
        console.error("FUSE over io_uring has failed:", message);
        this.#classic.end(errno);
      },
    });
    try {
      const waiter = new ServiceWaiter(device.fd, this.#service, count);
      this.#classic = new Classic(device, payload, waiter, "");
      const heads = this.#service.alloc(count * HEAD);
      for (let tag = 0; tag < count; tag++) {
        const head = bytesAt(heads.buffer, tag * HEAD, HEAD);
        this.#prepare(device.fd, tag, head);
      }
    } catch (error) {
      void this.#service.close();
      throw error;
    }
  }

  get name(): TransportName {
    return this.#refusal === "" ? "io_uring" : "classic";
  }

  get how(): string {
    const { queues, depth } = this.#size;
    return this.#refusal === ""
      ? `requests by io_uring, ${queues} queues of ${depth}` +
        (this.#sleeps ? ", asleep in between" : "")
      : `${this.#classic.how}: ${this.#refusal}`;
  }

  #prepare(fd: number, tag: number, head: Uint8Array): void {
    const service = this.#service;
    const { queues, payload, apart } = this.#size;
    const header = head.subarray(0, HEADER);
    const memory = service.alloc(payload);
    const vectors = head.subarray(HEADER);
    const view = viewAt(vectors.buffer, vectors.byteOffset, 2 * IOVEC);
    for (const [i, bytes] of [header, memory].entries()) {
      iovec.iov_base.set(view, i * IOVEC, service.keep(bytes));
      iovec.iov_len.set(view, i * IOVEC, bytes.length);
    }
    const fields = new Uint8Array(sizeof(uapi.fuse_uring_cmd_req));
    qid.set(viewAt(fields.buffer, 0, fields.length), 0, tag % queues);
    const command = uringCmd({
      name: "FUSE_IO_URING_CMD_REGISTER",
      fd,
      cmd_op: uapi.FUSE_IO_URING_CMD_REGISTER,
      addr: { bytes: vectors, kernel: "reads" },
      len: 2,
      payload: fields,
    });
    const receive = (tag: number, res: number) => this.#receive(tag, res);
    this.#words[tag] = service.prepare(tag, command, receive);
    this.#entries[tag] = new Entry(tag, header, memory, apart);
  }

  start(receiver: Receiver): void {
    this.#receiver = receiver;
    this.#classic.start(receiver);
  }

  async agreed({ flags }: Agreement): Promise<void> {
    if (!flags.includes("OVER_IO_URING")) {
      this.#refusal = "the kernel does not offer FUSE over io_uring";
      return;
    }
    const service = this.#service;
    const { enters } = service.stats();
    // Until each queue has an entry, every request waits: all go in one call.
    for (const { tag } of this.#entries) service.submit(tag);
    // A refusal comes at once.
    while (service.isOpen && service.stats().enters === enters) {
      await new Promise<void>((resolve) => immediate(resolve));
    }
  }

  #receive(tag: number, res: number): void {
    if (res !== 0) return this.#returned(tag, -res);
    const entry = this.#entries[tag];
    const words = this.#words[tag];
    // A receiver is called again only if `node:vm` has ended it.
    if (entry.open) return void this.reply(entry.request, E.EIO, 0);
    words[CMD_OP] = uapi.FUSE_IO_URING_CMD_COMMIT_AND_FETCH;
    words[COMMIT_ID] = entry.commitLow;
    words[COMMIT_ID + 1] = entry.commitHigh;
    if (this.#receiver!.receive(entry.begin())) {
      entry.held = false;
      return;
    }
    this.#pending++;
    this.#service.stop(); // A thread that sleeps in the kernel runs no promise.
  }

  /** Handles an entry that comes back without a request. */
  #returned(tag: number, errno: number): void {
    switch (errno) {
      case E.ENOTCONN:
      case E.ECONNABORTED:
      case E.ECANCELED:
        return; // The connection has ended, as the side reader is told, too.
    }
    if (this.#classic.ended) return;
    const words = this.#words[tag];
    const registers = words[CMD_OP] === uapi.FUSE_IO_URING_CMD_REGISTER;
    if (registers && errno !== E.EAGAIN) return this.#refuse(tag, errno);
    // After a reply that the kernel did not take, the queue needs an entry again.
    words[CMD_OP] = uapi.FUSE_IO_URING_CMD_REGISTER;
    words[COMMIT_ID] = words[COMMIT_ID + 1] = 0;
    this.#service.submit(tag);
  }

  /** With a queue that has no entry, the kernel uses /dev/fuse for all requests. */
  #refuse(tag: number, errno: number): void {
    const { queues, depth } = this.#size;
    this.#errno ||= errno;
    if (++this.#refused[tag % queues] < depth) return;
    this.#refusal ||= `the kernel refused io_uring with ${
      errnoName(this.#errno)
    }`;
  }

  reply(request: FuseRequest, errno: number, byteLength: number): boolean {
    const { tag } = request;
    if (tag < 0) return this.#classic.reply(request, errno, byteLength);
    const entry = this.#entries[tag];
    const stale = !entry.open || entry.request !== request;
    if (stale || !this.#service.isOpen) return false;
    entry.write(errno, byteLength);
    this.#service.submit(tag);
    entry.open = false;
    return true;
  }

  free(request: FuseRequest): void {
    if (request.tag < 0) return this.#classic.free(request);
    const entry = this.#entries[request.tag];
    if (entry.request === request) entry.held = false;
    if (--this.#pending === 0) this.#quiet?.();
  }

  async sleep(stopFd: number, inbox: Inbox): Promise<void> {
    if (this.#refusal !== "") return await this.#classic.sleep(stopFd, inbox);
    this.#sleeps = true;
    for (;;) {
      await inbox.settle();
      // What ended the sleep has its turn: a promise, or what a message has begun.
      for (let i = 0; i < TURNS; i++) {
        await new Promise<void>((resolve) => immediate(resolve));
      }
      while (this.#pending > 0) {
        await new Promise<void>((resolve) => this.#quiet = resolve);
        this.#quiet = null;
      }
      if (!this.#service.isOpen || this.#classic.ended) return;
      this.#service.run({ stopFd });
    }
  }

  notify(message: Uint8Array): Promise<number> {
    return this.#classic.notify(message);
  }

  abort(): void {
    // The entries hold the file, and closing it does nothing before they are gone.
    this.#service.abandon();
    this.#classic.abort();
  }

  ref(): void {
    this.#classic.ref();
  }

  unref(): void {
    this.#classic.unref();
  }
}
