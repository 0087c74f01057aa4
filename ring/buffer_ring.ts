/**
 * Rings of provided buffers: the kernel takes one of them when it has data, and not
 * when the command starts.
 *
 * **Contract.** A buffer is in one place at a time. It is the kernel's from the store
 * of the tail that provides it to the completion that names it, then it is lent, until
 * {@linkcode LentBuffer.release}. A completion that is delivered again, because the
 * delivery was cut short, finds the loan that the first delivery made.
 *
 * **Memory.** The entries hold addresses, so they are in an arena of their own, which
 * no view leaves. The bytes are in another one. Both have addresses that stay.
 * Commands in flight keep them, and so does each loan.
 *
 * @module
 */

import { arena, lastingAddressOf, PAGE } from "../sys/arena.ts";
import { bytesAt, int32At, uint16At } from "../sys/bytes.ts";
import { high, low, sizeof } from "../sys/struct.ts";
import { io_uring_buf } from "../sys/uapi/io_uring.ts";
import { checkInteger, recognize, shown } from "./check.ts";
import { filled } from "./intrinsics.ts";

// As it is at load: a program may redefine it.
const { store } = Atomics;

/** Words and half words of an entry. */
const WORDS = sizeof(io_uring_buf) / 4;
const SHORTS = sizeof(io_uring_buf) / 2;
/** Half word of the tail, which is `resv` of the first entry. */
const TAIL = io_uring_buf.resv.offset / 2;

/** Most entries of a ring: with more, a full one would look empty. */
const MOST = 32768;

let lend: (
  ring: BufferRing,
  id: number,
  byteLength: number,
) => LentBuffer | null;
let give: (ring: BufferRing, loan: LentBuffer, id: number) => void;
let described: (ring: BufferRing) => BufferRingMemory;
let hasOne: (ring: BufferRing) => boolean;
let isConsumed: (ring: BufferRing, id: number, head: number) => boolean;
let holds: (ring: BufferRing, loan: LentBuffer, id: number) => boolean;

/** The entries of a ring, as the kernel registers them. */
export interface BufferRingMemory {
  readonly address: number;
  /** A power of two. */
  readonly entries: number;
}

/** A group of buffers for the kernel to choose from: see `Ring.registerBufferRing`. */
export class BufferRing {
  readonly #id: number;
  readonly #count: number;
  readonly #byteLength: number;
  readonly #memory: ArrayBuffer;
  readonly #address: number;
  readonly #words: Int32Array;
  readonly #shorts: Uint16Array;
  readonly #mask: number;
  /** The tail, 16 bits: its low bits are the entry that takes the next buffer. */
  #tail = 0;
  /** By buffer: where it was provided last. */
  readonly #places: number[];
  /** By buffer: its loan; `null` for one that is the kernel's. */
  readonly #loans: (LentBuffer | null)[];
  #lent = 0;

  static {
    lend = (ring, id, byteLength) => ring.#lend(id, byteLength);
    give = (ring, loan, id) => ring.#give(loan, id);
    holds = (ring, loan, id) => ring.#loans[id] === loan;
    described = (ring) => ring.#described();
    hasOne = (ring) => ring.#lent < ring.#count;
    isConsumed = (ring, id, head) => ring.#isConsumed(id, head);
  }

  /** Used by a ring only. */
  constructor(id: number, count: number, byteLength: number) {
    checkInteger("count", count, 1, MOST);
    checkInteger("byteLength", byteLength, 1, 2 ** 30);
    checkInteger("bytes of all buffers", count * byteLength, 1, 2 ** 32 - PAGE);
    this.#id = id;
    this.#count = count;
    this.#byteLength = byteLength;
    this.#memory = arena(count * byteLength);
    this.#address = lastingAddressOf(this.#memory)!;
    const entries = 2 ** Math.ceil(Math.log2(count));
    this.#mask = entries - 1;
    const buffer = arena(entries * sizeof(io_uring_buf));
    this.#words = int32At(buffer);
    this.#shorts = uint16At(buffer);
    this.#places = filled(count, 0);
    this.#loans = filled(count, null);
    for (let id = 0; id < count; id++) this.#provide(id);
  }

  /** The number of the group: `buf_group` of a command. */
  get id(): number {
    return this.#id;
  }

  /** The number of buffers. */
  get count(): number {
    return this.#count;
  }

  /** Bytes of each buffer. */
  get byteLength(): number {
    return this.#byteLength;
  }

  /** Buffers that the program holds, or that wait in a stream for the program. */
  get lent(): number {
    return this.#lent;
  }

  /** Returns `true` for such a ring, not for an object that looks like one. */
  static is(value: unknown): value is BufferRing {
    return typeof value === "object" && value !== null && #id in value;
  }

  #described(): BufferRingMemory {
    const address = lastingAddressOf(this.#words.buffer)!;
    return { address, entries: this.#mask + 1 };
  }

  #lend(id: number, byteLength: number): LentBuffer | null {
    if (id >= this.#count) return null;
    const known = this.#loans[id];
    if (known !== null) return known;
    const length = Math.max(0, Math.min(byteLength, this.#byteLength));
    const bytes = bytesAt(this.#memory, id * this.#byteLength, length);
    const loan = new LentBuffer(bytes, this, id);
    this.#loans[id] = loan;
    this.#lent++;
    return loan;
  }

  #give(loan: LentBuffer, id: number): void {
    if (this.#loans[id] !== loan) return;
    this.#provide(id);
    // Plain stores: if a call was cut short, it was before the tail moved.
    this.#loans[id] = null;
    this.#lent--;
  }

  /** Shows the kernel a buffer. Its last call is the store that does it. */
  #provide(id: number): void {
    const tail = this.#tail;
    const address = this.#address + id * this.#byteLength;
    const entry = tail & this.#mask;
    const words = this.#words;
    const shorts = this.#shorts;
    words[entry * WORDS] = low(address);
    words[entry * WORDS + 1] = high(address);
    words[entry * WORDS + 2] = this.#byteLength;
    shorts[entry * SHORTS + 6] = id; // Not the word: its upper half may be the tail.
    this.#places[id] = tail;
    // A store with release order: the kernel sees the plain stores to the entry first.
    // Matches io_uring_buf_ring_advance() in liburing.
    store(shorts, TAIL, tail + 1 & 0xffff);
    this.#tail = tail + 1 & 0xffff;
  }

  /** Returns `true` if the kernel, whose head is `head`, has taken a buffer. */
  #isConsumed(id: number, head: number): boolean {
    const left = this.#places[id] - head & 0xffff;
    return left > this.#mask;
  }
}

/**
 * A buffer that the kernel has filled. It is the program's until `release`, or to the
 * end of the block of `using`. Then the kernel may fill it again.
 */
export class LentBuffer implements Disposable {
  readonly #bytes: Uint8Array;
  readonly #ring: BufferRing | null;
  readonly #id: number;
  /** `true` for an empty buffer, which is of no ring, that was released. */
  #released = false;

  /** Used by a ring only. */
  constructor(bytes: Uint8Array, ring: BufferRing | null = null, id = -1) {
    this.#bytes = bytes;
    this.#ring = ring;
    this.#id = id;
  }

  /**
   * The bytes, in memory of the ring: commands use them in place. Do not use them
   * after `release`, because the kernel may write to them at any time.
   *
   * @throws {TypeError} after `release`.
   */
  get bytes(): Uint8Array {
    const ring = this.#ring;
    const mine = ring === null ? !this.#released : holds(ring, this, this.#id);
    if (mine) return this.#bytes;
    throw new TypeError(
      "the buffer was released, and the kernel may fill it again: copy what you " +
        "keep, for example with bytes.slice()",
    );
  }

  /** Gives the buffer back. Further calls do nothing. */
  release(): void {
    if (this.#ring !== null) give(this.#ring, this, this.#id);
    else this.#released = true;
  }

  /** {@linkcode LentBuffer.release}. */
  [Symbol.dispose](): void {
    this.release();
  }

  /** Returns `true` for such a buffer, not for an object that looks like one. */
  static is(value: unknown): value is LentBuffer {
    return typeof value === "object" && value !== null && #bytes in value;
  }
}

recognize(BufferRing);
recognize(LentBuffer);

/**
 * Returns the loan of the buffer that a completion names, which has `byteLength` bytes;
 * `null` if the ring has no such buffer.
 */
export function lendBuffer(
  ring: BufferRing,
  id: number,
  byteLength: number,
): LentBuffer | null {
  return lend(ring, id, byteLength);
}

/** Returns what the kernel is to register. */
export function memoryOf(ring: BufferRing): BufferRingMemory {
  return described(ring);
}

/** Returns `true` if the kernel has a buffer to take. */
export function hasBuffer(ring: BufferRing): boolean {
  return hasOne(ring);
}

/** Returns `true` if a buffer is not in the ring of a kernel whose head is `head`. */
export function wasConsumed(
  ring: BufferRing,
  id: number,
  head: number,
): boolean {
  return isConsumed(ring, id, head);
}

/** Checks that a value is a ring of buffers, of whatever ring. */
export function checkBufferRing(name: string, value: BufferRing): BufferRing {
  if (BufferRing.is(value)) return value;
  throw new TypeError(
    `${name} must be what ring.registerBufferRing() returned, not ${
      shown(value)
    }`,
  );
}

/**
 * Returns the buffer that a transfer of `res` bytes has filled. The end of a file takes
 * no buffer, and has an empty one.
 */
export function filledBy(res: number, lent: LentBuffer | null): LentBuffer {
  if (res === 0) return new LentBuffer(new Uint8Array(0));
  if (lent !== null) return lent;
  throw new Error(
    `the kernel has filled ${res} bytes, but no buffer of the ring`,
  );
}
