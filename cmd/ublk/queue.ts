/**
 * One queue of a disk, in the thread that serves it.
 *
 * A request is a tag: FETCH_REQ gives it to the driver, which writes a descriptor into
 * memory that it shares, and completes the tag. COMMIT_AND_FETCH_REQ is the answer, and
 * fetches the next. Between the two, five words of the SQE change.
 *
 * **Contract.** The descriptors stay mapped while the service has completions to tell.
 * The device ends only when they are unmapped, and the node is closed.
 */

import { E } from "../../sys/uapi/errno.ts";
import { io_uring_sqe } from "../../sys/uapi/io_uring.ts";
import * as uapi from "../../sys/uapi/ublk.ts";
import { int32At } from "../../sys/bytes.ts";
import { Mapping, mapReadOnly, unmap } from "../../sys/mapping.ts";
import { pageSize } from "../../sys/page_size.ts";
import { high, low, sizeof } from "../../sys/struct.ts";
import { UringError } from "../../ring/errors.ts";
import { closed, opened } from "../../ring/loop/unload.ts";
import { Service } from "../../ring/service/service.ts";
import type { RunEnd } from "../../ring/service/turns.ts";
import { type Protocol, Serving } from "../serve.ts";
import { uringCmd } from "../uring_cmd.ts";
import { BlockError, errnoOf } from "./errors.ts";
import { bytesDone, DiskRequest } from "./request.ts";
import { SECTOR } from "./geometry.ts";
import { TagMemory } from "./tag_memory.ts";
import type { BlockRequest, Target } from "./target.ts";

// Words of the SQE that change.
const CMD_OP = io_uring_sqe.cmd_op.offset / 4;
const RESULT = (io_uring_sqe.cmd.offset + uapi.ublksrv_io_cmd.result.offset) /
  4;
const ADDR = (io_uring_sqe.cmd.offset + uapi.ublksrv_io_cmd.addr.offset) / 4;
/** Words of a descriptor. */
const DESC = sizeof(uapi.ublksrv_io_desc) / 4;

/** The parts that a queue needs. */
export interface QueueSetup {
  /** The descriptor of /dev/ublkcN, which is the caller's. */
  readonly fd: number;
  readonly queue: number;
  readonly depth: number;
  readonly maxTransfer: number;
  readonly blockSize: number;
  readonly timeoutMs: number;
  /** The thread sleeps in the kernel between requests. */
  readonly sleeps: boolean;
}

/** The owner of a queue. */
export interface QueueHost {
  /** Is told what a handler threw that is no block error. */
  told(error: unknown, request: BlockRequest & { readonly name: string }): void;
  /** Is told that the ring, the driver or the Worker has failed. */
  failed(error: Error): void;
}

/** Counts of one queue, or of all. */
export interface QueueStats {
  /** Requests that came. */
  readonly requests: number;
  /** Calls of io_uring_enter(). */
  readonly enters: number;
  /** Handlers that have returned a promise, and are not done. */
  readonly pending: number;
}

/** A queue in this thread. */
export class Queue implements Protocol<DiskRequest, unknown> {
  /** Resolves when the driver has given back all tags, as after STOP_DEV. */
  readonly ended: Promise<void>;
  readonly #setup: QueueSetup;
  readonly #target: Target;
  readonly #host: QueueHost;
  readonly #service: Service;
  readonly #serving: Serving<DiskRequest, unknown>;
  readonly #mapping = new Mapping();
  readonly #descriptors: Int32Array;
  readonly #words: Int32Array[] = [];
  readonly #memory: TagMemory;
  readonly #over = Promise.withResolvers<void>();
  #returned = 0;
  #requests = 0;

  /**
   * Makes the ring and all memory, of which the driver gets nothing yet.
   *
   * @throws {UringError} if the kernel refuses the ring or the descriptors.
   * @throws {RangeError} if there is not enough memory.
   */
  constructor(setup: QueueSetup, target: Target, host: QueueHost) {
    const { fd, depth, maxTransfer, timeoutMs, sleeps } = this.#setup = setup;
    this.#target = target;
    this.#host = host;
    this.ended = this.#over.promise;
    this.#descriptors = this.#map();
    try {
      this.#service = Service.open({
        tags: depth,
        deferTaskrun: sleeps,
        failed: (error) => this.#fail(error),
      });
    } catch (error) {
      unmap(this.#mapping);
      throw error;
    }
    try {
      this.#serving = new Serving(this.#service, depth, this, { timeoutMs });
      this.#memory = new TagMemory(this.#service, depth, maxTransfer);
      for (let tag = 0; tag < depth; tag++) this.#prepare(fd, tag);
    } catch (error) {
      this.abandon();
      throw error;
    }
    opened(this);
  }

  /** Maps the descriptors of this queue: ublk_ch_mmap(), Linux 6.12. */
  #map(): Int32Array {
    const { fd, queue, depth } = this.#setup;
    const page = pageSize();
    const pages = (bytes: number) => Math.ceil(bytes / page) * page;
    const size = pages(depth * DESC * 4);
    const at = uapi.UBLK_MAX_QUEUE_DEPTH * DESC * 4;
    const rc = mapReadOnly(this.#mapping, fd, size, queue * pages(at));
    if (rc < 0) throw new UringError("mmap of the ublk requests", fd, -rc);
    return int32At(this.#mapping.buffer);
  }

  #prepare(fd: number, tag: number): void {
    const { queue } = this.#setup;
    const { ublksrv_io_cmd: cmd } = uapi;
    const payload = new Uint8Array(sizeof(cmd));
    const view = new DataView(payload.buffer);
    cmd.q_id.set(view, 0, queue);
    cmd.tag.set(view, 0, tag);
    cmd.addr.set(view, 0, this.#memory.addressOf(tag));
    const command = uringCmd({
      name: "UBLK_IO_FETCH_REQ",
      fd,
      cmd_op: uapi.UBLK_U_IO_FETCH_REQ,
      payload,
    });
    const { receive } = this.#serving;
    this.#words[tag] = this.#service.prepare(tag, command, receive);
  }

  /** Gives all tags to the driver. */
  start(): void {
    const { depth } = this.#setup;
    for (let tag = 0; tag < depth; tag++) this.#service.submit(tag);
  }

  // ---- Requests ---------------------------------------------------------------

  read(tag: number, res: number): DiskRequest | null {
    if (res !== 0) {
      this.#ended(tag, -res);
      return null;
    }
    const words = this.#words[tag];
    words[CMD_OP] = uapi.UBLK_U_IO_COMMIT_AND_FETCH_REQ;
    const at = tag * DESC;
    const opFlags = this.#descriptors[at];
    const sectors = this.#descriptors[at + 1] >>> 0;
    const first = (this.#descriptors[at + 2] >>> 0) +
      (this.#descriptors[at + 3] >>> 0) * 2 ** 32;
    this.#requests++;
    // A flush is at sector 2^64 - 1.
    const offset = sectors === 0 ? 0 : first * SECTOR;
    return new DiskRequest(opFlags, offset, sectors * SECTOR);
  }

  handle(request: DiskRequest, tag: number): unknown {
    const value = this.#call(request, tag);
    if (typeof value === "object" && value !== null) {
      request.pending = value as PromiseLike<unknown>;
    }
    return value;
  }

  #call(request: DiskRequest, tag: number): unknown {
    const target = this.#target;
    switch (request.op) {
      case uapi.UBLK_IO_OP_READ:
        return target.read(request, this.#memory.view(tag, request.length));
      case uapi.UBLK_IO_OP_WRITE:
        return target.write!(request, this.#memory.view(tag, request.length));
      case uapi.UBLK_IO_OP_FLUSH:
        return target.flush!(request);
      case uapi.UBLK_IO_OP_DISCARD:
        return target.discard!(request);
      case uapi.UBLK_IO_OP_WRITE_ZEROES:
        return target.writeZeroes!(request);
      default:
        throw new BlockError("EOPNOTSUPP", request.name);
    }
  }

  reply(tag: number, request: DiskRequest, value: unknown): void {
    // More bytes than were asked for would be a fault in the kernel.
    this.#words[tag][RESULT] = request.transfers
      ? bytesDone(value, request.length, this.#setup.blockSize)
      : 0;
  }

  refuse(tag: number, request: DiskRequest, errno: number): void {
    const words = this.#words[tag];
    words[RESULT] = -errno;
    if (request.pending === null || !request.transfers) return;
    // The handler may still use the memory of the tag.
    this.#memory.exchange(tag, request.pending);
    const address = this.#memory.addressOf(tag);
    words[ADDR] = low(address) | 0;
    words[ADDR + 1] = high(address) | 0;
  }

  errnoOf(error: unknown, request: DiskRequest): number {
    const errno = errnoOf(error);
    if (errno !== 0) return errno;
    this.#host.told(error, request);
    return E.EIO;
  }

  abort(request: DiskRequest, errno: number): void {
    const [name, why] = errno === E.ETIMEDOUT
      ? ["TimeoutError", "the request took too long"]
      : ["AbortError", "the disk stops"];
    request.abort(new DOMException(why, name));
  }

  // ---- The end ----------------------------------------------------------------

  /** Handles a tag that comes back without a request. */
  #ended(tag: number, errno: number): void {
    if (errno !== E.ENODEV && errno !== E.ECANCELED) {
      const { fd } = this.#setup;
      const fetches =
        this.#words[tag][CMD_OP] === (uapi.UBLK_U_IO_FETCH_REQ | 0);
      const name = fetches ? "FETCH_REQ" : "COMMIT_AND_FETCH_REQ";
      this.#host.failed(new UringError(`ublk ${name}`, fd, errno));
    }
    if (++this.#returned === this.#setup.depth) this.#over.resolve();
  }

  #fail(error: UringError): void {
    this.#unmap();
    this.#host.failed(error);
  }

  /** Answers EIO to all requests that are open, and to each that still comes. */
  refuseAll(): void {
    this.#serving.shutDown(E.EIO);
  }

  /** Gives up the ring and the descriptors, after the driver gave back all tags. */
  async release(): Promise<void> {
    this.refuseAll(); // Late handlers answer nobody.
    await this.#service.close();
    this.#unmap();
  }

  /**
   * Gives them up at once. The driver fails all requests, when the node is closed, too.
   */
  abandon(): void {
    this.#service.abandon();
    this.#unmap();
    this.#over.resolve();
  }

  /** Gives them up with the page. */
  tearDown(): void {
    this.abandon();
  }

  #unmap(): void {
    unmap(this.#mapping);
    closed(this);
  }

  /** Serves, and sleeps in the kernel in between. */
  run(stopFd: number): Promise<RunEnd> {
    return this.#serving.run({ stopFd });
  }

  stats(): QueueStats {
    const { enters } = this.#service.stats();
    const { pending } = this.#serving;
    return { requests: this.#requests, enters, pending };
  }

  ref(): void {
    this.#service.ref();
  }

  unref(): void {
    this.#service.unref();
  }
}
