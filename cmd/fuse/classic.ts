/**
 * The transport of plain reads and writes of /dev/fuse.
 *
 * It reads until there is nothing left. Then the event loop reads the next request, or a
 * waiter says when there is one. A reply is written over its request. As long as handlers
 * answer at once, two buffers serve all.
 */

import { E } from "../../sys/uapi/errno.ts";
import { fuse_in_header, fuse_out_header } from "../../sys/uapi/fuse.ts";
import { POLLIN } from "../../sys/uapi/poll.ts";
import { arena, arenaOf, lastingAddressOf } from "../../sys/arena.ts";
import { bytesAt, viewAt } from "../../sys/bytes.ts";
import { errnoName } from "../../sys/errno_names.ts";
import { pollTwo, transfer } from "../../sys/libc.ts";
import { high, low, sizeof } from "../../sys/struct.ts";
import { immediate } from "../../ring/loop/immediate.ts";
import { lower } from "../../ring/service/stop.ts";
import type { Inbox } from "./inbox.ts";
import type { LoopReader } from "./loop_reader.ts";
import { FuseRequest } from "./request.ts";
import type { Receiver, Transport } from "./transport.ts";
import type { Waiter } from "./waiting.ts";

const IN_HEADER = sizeof(fuse_in_header);
const OUT_HEADER = sizeof(fuse_out_header);
const { len, error: errorField, unique } = fuse_out_header;
/** Bytes beside the data of a write: the headers, and some room. */
const HEADERS = 4096;
/** Bytes of a `struct pollfd`. */
const POLLFD = 8;
/** Requests after which timers and other tasks of the program get a turn. */
const MOST_AT_ONCE = 256;
/** Requests without another behind them, after which the next is assumed to have none. */
const ALONE = 4;
/** One request in so many tests that assumption. */
const LOOK_EACH = 16;

/** A descriptor of /dev/fuse, with O_NONBLOCK. */
export interface Device {
  readonly fd: number;
  /** Closes it, or has its owner do so, when nothing uses it any more. */
  readonly close: () => void;
  /** It is another thread's, which closes it when this one was ended by force. */
  readonly lent?: boolean;
}

/** A request, and the addresses of its memory. */
class Message {
  readonly view: DataView;
  readonly address: bigint;
  readonly size: bigint;
  readonly bytes: Uint8Array;
  readonly request: FuseRequest;

  constructor(byteLength: number) {
    const buffer = arena(byteLength);
    // Reads and writes are synchronous, so that the home is good.
    this.address = BigInt(arenaOf(buffer)!.home);
    this.size = BigInt(byteLength);
    this.view = viewAt(buffer, 0, byteLength);
    this.bytes = bytesAt(buffer, 0, byteLength);
    this.request = new FuseRequest({
      head: this.view,
      argument: IN_HEADER,
      input: this.bytes,
      joined: true,
      output: bytesAt(buffer, OUT_HEADER, byteLength - OUT_HEADER),
    });
  }
}

/** The memory with which a thread sleeps in the kernel. */
interface Sleep {
  readonly stopFd: number;
  readonly inbox: Inbox;
  /** Two `struct pollfd`, and their address. */
  readonly view: DataView;
  readonly address: bigint;
}

/** The classic transport of one mount. */
export class Classic implements Transport {
  readonly name = "classic";
  readonly #why: string;
  readonly #fd: number;
  readonly #close: () => void;
  readonly #lent: boolean;
  readonly #waiter: Waiter;
  readonly #byteLength: number;
  readonly #drain = () => this.#drainNow();
  /** The memory of requests, by request. */
  readonly #messages = new Map<FuseRequest, Message>();
  readonly #free: Message[] = [];
  #receiver: Receiver | null = null;
  #reader: LoopReader | null = null;
  /** The memory that the reader has. */
  #ahead: Message | null = null;
  #ended = false;
  /** Requests in a row that had no other behind them. */
  #alone = 0;
  /** `null` for a thread that does not sleep in the kernel. */
  #sleep: Sleep | null = null;
  /** Notifications on their way. */
  #sending = 0;
  /** There is no memory for another request until one is answered. */
  #starved = false;

  /** Serves a descriptor of /dev/fuse, and says in `why` why it does so. */
  constructor(
    { fd, close, lent = false }: Device,
    maxWrite: number,
    waiter: Waiter,
    why: string,
  ) {
    this.#why = why && `: ${why}`;
    this.#fd = fd;
    this.#close = close;
    this.#lent = lent;
    this.#waiter = waiter;
    this.#byteLength = maxWrite + HEADERS;
    this.#free.push(this.#newMessage());
  }

  get how(): string {
    const way = this.#sleep === null ? this.#waiter.how : "asleep in poll(2)";
    return `requests by read(2), waiting ${way}${this.#why}`;
  }

  start(receiver: Receiver): void {
    this.#receiver = receiver;
    if (!this.#lent) {
      // A thread that was ended by force would leave its descriptor open.
      const came = () => this.#came();
      const listener = { came, look: this.#drain };
      this.#reader = this.#waiter.reader?.(listener) ?? null;
    }
    this.#drainNow();
  }

  /** Takes what the reader has read, then all else there is. */
  #came(): void {
    const message = this.#ahead;
    if (message === null) return;
    const length = message.view.getUint32(len.offset, true);
    if (length === 0) {
      // The read has failed, as does one here if the mount has ended.
      immediate(() => this.#ended || this.#reader!.start());
      return this.#drainNow();
    }
    message.request.begin(length);
    if (this.#receiver!.receive(message.request)) {
      message.view.setUint32(len.offset, 0, true);
    } else this.#readAhead();
    // The reader itself comes back for another.
    if (this.#sleep !== null || !this.#isAlone()) this.#drainNow(1);
  }

  /** Gives the reader memory for a request; none, if it has to wait for some. */
  #readAhead(): void {
    const reader = this.#reader!;
    const message = this.#ahead = this.#free.pop() ?? this.#another();
    if (message === null) return reader.stop();
    message.view.setUint32(len.offset, 0, true);
    reader.into(message.bytes);
    reader.start();
  }

  reply(request: FuseRequest, errno: number, byteLength: number): boolean {
    if (this.#ended) return false;
    const { view, address } = this.#messages.get(request)!;
    const length = OUT_HEADER + (errno === 0 ? byteLength : 0);
    view.setUint32(len.offset, length, true);
    view.setInt32(errorField.offset, -errno, true);
    view.setUint32(unique.offset, low(request.unique), true);
    view.setUint32(unique.offset + 4, high(request.unique), true);
    const rc = transfer("write", this.#fd, address, BigInt(length));
    if (rc >= 0) return true;
    // The kernel refused the form of the reply, and its caller still waits.
    if (rc === -E.EINVAL && errno !== E.EIO) this.reply(request, E.EIO, 0);
    return false;
  }

  free(request: FuseRequest): void {
    this.#free.push(this.#messages.get(request)!);
    if (!this.#starved) return;
    this.#starved = false;
    immediate(this.#drain);
  }

  notify(message: Uint8Array): Promise<number> {
    if (this.#ended) return Promise.resolve(-E.ENOTCONN);
    this.#sending++;
    return this.#waiter.send(message).finally(() => this.#sending--);
  }

  sleep(stopFd: number, inbox: Inbox): Promise<void> {
    const memory = arena(2 * POLLFD);
    const view = viewAt(memory, 0, 2 * POLLFD);
    for (const [i, fd] of [this.#fd, stopFd].entries()) {
      view.setInt32(i * POLLFD, fd, true);
      view.setInt16(i * POLLFD + 4, POLLIN, true);
    }
    this.#sleep = {
      stopFd,
      inbox,
      view,
      address: BigInt(lastingAddressOf(memory)!),
    };
    return Promise.resolve();
  }

  /**
   * Sleeps until there may be a request. Returns `false` if the event loop has to wait,
   * for a message to this thread, a handler, or a notification.
   */
  #sleepNow(): boolean {
    if (this.#sleep === null || this.#sending > 0) return false;
    if (this.#sleep.inbox.expects) return false;
    const ahead = this.#ahead === null ? 0 : 1;
    if (this.#free.length + ahead < this.#messages.size) return false;
    const { stopFd, view, address } = this.#sleep;
    pollTwo(address);
    if (view.getInt16(POLLFD + 6, true) === 0) return true;
    lower(stopFd);
    return false;
  }

  agreed(): Promise<void> {
    return Promise.resolve();
  }

  abort(): void {
    this.end(E.ECONNABORTED);
  }

  ref(): void {
    this.#waiter.ref();
  }

  unref(): void {
    this.#waiter.unref();
  }

  /**
   * Reads and delivers requests until there are none, or many were; `found` were there
   * already.
   */
  #drainNow(found = 0): void {
    for (let count = 0; !this.#ended && count < MOST_AT_ONCE; count++) {
      if (found === 1 && this.#sleep !== null && this.#isAlone()) {
        if (!this.#sleepNow()) return this.#wait();
        found = 0;
      }
      const message = this.#free.pop() ?? this.#another();
      if (message === null) return;
      const { request, address, size } = message;
      const length = transfer("read", this.#fd, address, size);
      if (length < 0) {
        this.#free.push(message);
        switch (-length) {
          case E.EINTR:
          case E.ENOENT: // The request was interrupted before it was read.
            continue;
          case E.EAGAIN:
            if (found > 0) this.#alone = found === 1 ? this.#alone + 1 : 0;
            if (!this.#sleepNow()) return this.#wait();
            found = 0;
            continue;
          default:
            return this.end(-length);
        }
      }
      found++;
      request.begin(length);
      if (this.#receiver!.receive(request)) this.#free.push(message);
    }
    if (!this.#ended) immediate(this.#drain);
  }

  /** Guesses that there is no other request: a read that finds none is not free. */
  #isAlone(): boolean {
    return this.#alone >= ALONE && ++this.#alone % LOOK_EACH !== 0;
  }

  #wait(): void {
    if (this.#reader !== null) {
      if (this.#ahead === null) this.#readAhead();
      return;
    }
    this.#waiter.wait().then(this.#drain, (error) => {
      if (this.#ended) return;
      this.end(E.EIO);
      console.error("The wait for FUSE requests failed:", error);
    });
  }

  /** Makes memory for one more request; `null` if it has to wait for some. */
  #another(): Message | null {
    try {
      return this.#newMessage();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.#starved = true; // All others are in use, and are freed some time.
      return null;
    }
  }

  #newMessage(): Message {
    const message = new Message(this.#byteLength);
    this.#messages.set(message.request, message);
    return message;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Ends the connection, and tells the session. */
  end(errno: number): void {
    if (this.#ended) return;
    this.#ended = true;
    // A wait holds the file: only then does closing it abort the connection.
    this.#waiter.stop().then(this.#close, this.#close);
    this.#receiver?.ended(errno);
  }
}

/** Says what ended a connection, for people. */
export function endOf(errno: number): string {
  return errno === E.ENODEV
    ? "unmounted"
    : errno === E.ECONNABORTED
    ? "aborted"
    : `read of /dev/fuse: ${errnoName(errno)}`;
}
