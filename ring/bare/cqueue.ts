/** The completion queue of a ring. */

import {
  IORING_CQ_EVENTFD_DISABLED,
  IORING_CQE_F_32,
  IORING_CQE_F_SKIP,
} from "../../sys/uapi/io_uring.ts";
import { viewAt } from "../../sys/bytes.ts";

// A program that redefines these would get the queues.
const { load, store } = Atomics;
const { getBigUint64 } = DataView.prototype;

/** The layout of a completion queue, in 32-bit words of its mapping. */
export interface CompletionLayout {
  /** The mapping with the words that kernel and program share. */
  readonly ring: Int32Array;
  /** Index of the head, which the program moves. */
  readonly head: number;
  /** Index of the tail, which the kernel moves. */
  readonly tail: number;
  /** Index of the flags, which the program sets. */
  readonly flags: number;
  /** Index of the count of lost completions. */
  readonly overflow: number;
  /** Index of the first CQE. */
  readonly cqes: number;
  /** CQEs in the ring, a power of two; in a mixed ring CQEs of 16 bytes. */
  readonly entries: number;
  /** Words in a CQE: 4, or 8 with IORING_SETUP_CQE32. */
  readonly cqeWords: 4 | 8;
  /** `false` if every CQE takes one place. Default `true`. */
  readonly mixed?: boolean;
  /** `true` if completions are found by polling. Default `false`. */
  readonly polled?: boolean;
}

/**
 * The completion queue: a cursor over the completions that the kernel has posted.
 *
 * `next()` steps to a completion, whose fields are the properties then; `commit()`
 * gives the places of all completions stepped over back to the kernel.
 */
export class CompletionQueue {
  /** CQEs in the ring: a power of two. */
  readonly entries: number = 0;
  /** Words in a CQE: 4 or 8. */
  readonly cqeWords: 4 | 8 = 4;
  /** `true` if completions are found by polling: IORING_SETUP_IOPOLL. */
  readonly polled: boolean = false;

  readonly #ring: Int32Array;
  readonly #view: DataView;
  readonly #headIndex: number = 0;
  readonly #tailIndex: number = 0;
  readonly #flags: number = 0;
  readonly #overflow: number = 0;
  readonly #cqes: number = 0;
  readonly #mask: number = 0;
  /** Left shift that makes the number of a CQE the index of its first word. */
  readonly #shift: number = 2;
  /** `true` if a CQE may take more places than one, or be a filler. */
  readonly #mixed: boolean;
  /** The cursor, ahead of the head that the kernel sees. */
  #head = 0;
  /** The kernel's tail when it was last read. */
  #tail = 0;
  /** Word index of the completion that the cursor is on. */
  #at = 0;
  /** The place to which the cursor goes from there. */
  #after = 0;

  /** Makes a queue of the layout that the kernel chose. */
  constructor(layout: CompletionLayout) {
    this.entries = layout.entries;
    this.cqeWords = layout.cqeWords;
    this.#ring = layout.ring;
    const { buffer, byteOffset, byteLength } = layout.ring;
    this.#view = viewAt(buffer, byteOffset, byteLength);
    this.#headIndex = layout.head;
    this.#tailIndex = layout.tail;
    this.#flags = layout.flags;
    this.#overflow = layout.overflow;
    this.#cqes = layout.cqes;
    this.#mask = layout.entries - 1;
    this.#shift = layout.cqeWords === 8 ? 3 : 2;
    this.#mixed = layout.mixed ?? true;
    this.polled = layout.polled ?? false;
    this.#head = layout.ring[layout.head];
    this.#tail = this.#head;
  }

  /**
   * Steps to the next completion. Returns `false` if there is none. It reads the
   * kernel's tail only after all completions before the last known tail.
   *
   * Matches io_uring_for_each_cqe() in liburing.
   */
  next(): boolean {
    if (!this.peek()) return false;
    this.#head = this.#after;
    return true;
  }

  /**
   * Moves the cursor to the next completion, which stays in the queue until
   * {@linkcode step}: if handling it throws, the next `peek` finds it again.
   */
  peek(): boolean {
    const head = this.#head;
    if (head === this.#tail && this.ready === 0) return false;
    this.#at = this.#cqes + ((head & this.#mask) << this.#shift);
    this.#after = head + 1 | 0;
    return !this.#mixed || this.#peekMixed(this.#ring[this.#at + 3]);
  }

  /** Steps over the completion that the cursor is on. */
  step(): void {
    this.#head = this.#after;
  }

  /** Skips a filler, and counts the second place of a 32-byte CQE. */
  #peekMixed(flags: number): boolean {
    // The kernel puts a filler into the last place of a mixed ring if a CQE of 32
    // bytes does not fit there.
    if (flags & IORING_CQE_F_SKIP) {
      this.#head = this.#after;
      return this.peek();
    }
    const large = (flags & IORING_CQE_F_32) !== 0 && this.cqeWords === 4;
    if (large) this.#after = this.#after + 1 | 0;
    return true;
  }

  /**
   * Gives the places that the cursor stepped over back to the kernel.
   *
   * Matches io_uring_cq_advance() in liburing.
   */
  commit(): void {
    store(this.#ring, this.#headIndex, this.#head);
  }

  /**
   * Places of the completions beyond the cursor, from the kernel's tail read anew.
   * A completion takes one place, and one of 32 bytes in a mixed ring takes two.
   */
  get ready(): number {
    this.#tail = load(this.#ring, this.#tailIndex);
    return this.#tail - this.#head | 0;
  }

  /**
   * The same, from the tail as {@linkcode ready} or {@linkcode next} read it last.
   */
  get known(): number {
    return this.#tail - this.#head | 0;
  }

  /** The low 32 bits of `user_data`, as a signed number. */
  get userDataLow(): number {
    return this.#ring[this.#at];
  }

  /** The high 32 bits of `user_data`, as a signed number. */
  get userDataHigh(): number {
    return this.#ring[this.#at + 1];
  }

  /** The result, as the operation defines it, or `-errno`. */
  get res(): number {
    return this.#ring[this.#at + 2];
  }

  /** The `IORING_CQE_F_` bits, as a signed number. */
  get flags(): number {
    return this.#ring[this.#at + 3];
  }

  /** `true` if the completion has 32 bytes. */
  get wide(): boolean {
    return this.cqeWords === 8 || (this.flags & IORING_CQE_F_32) !== 0;
  }

  /** Returns one of the two extra 64-bit words; 0 in a completion of 16 bytes. */
  extra(index: 0 | 1): bigint {
    if (!this.wide) return 0n;
    return getBigUint64.call(this.#view, (this.#at + 4) * 4 + index * 8, true);
  }

  /** Enables or disables the signal to the registered eventfd. */
  set eventfd(on: boolean) {
    const flags = on ? 0 : IORING_CQ_EVENTFD_DISABLED;
    store(this.#ring, this.#flags, flags);
  }

  /** Completions that the kernel lost because it had no memory for them. */
  get lost(): number {
    return load(this.#ring, this.#overflow) >>> 0;
  }
}
