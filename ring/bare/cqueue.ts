import {
  IORING_CQ_EVENTFD_DISABLED,
  IORING_CQE_F_32,
  IORING_CQE_F_SKIP,
} from "../../sys/uapi/io_uring.ts";

/** Where a completion queue is, in 32-bit words of its mapping. */
export interface CompletionLayout {
  /** The mapping with the words that kernel and program share. */
  readonly ring: Int32Array;
  /** Index of the head, which the program moves. */
  readonly head: number;
  /** Index of the tail, which the kernel moves. */
  readonly tail: number;
  /** Index of the flags, which the program sets. */
  readonly flags: number;
  /** Index of the count of completions that were lost. */
  readonly overflow: number;
  /** Index of the first CQE. */
  readonly cqes: number;
  /** CQEs in the ring, of 16 bytes in a mixed one: a power of two. */
  readonly entries: number;
  /** 4 words in a CQE, or 8 with IORING_SETUP_CQE32. */
  readonly cqeWords: 4 | 8;
  /** `false` where no CQE takes another number of places than one. */
  readonly mixed?: boolean;
}

/**
 * The completion queue: a cursor over what the kernel has posted.
 *
 * `next()` steps to a completion, whose fields then read as properties;
 * `commit()` gives the ones stepped over back to the kernel.
 */
export class CompletionQueue {
  /** CQEs in the ring. */
  readonly entries: number = 0;
  /** Words in a CQE: 4 or 8. */
  readonly cqeWords: 4 | 8 = 4;

  readonly #ring: Int32Array;
  readonly #view: DataView;
  readonly #headIndex: number = 0;
  readonly #tailIndex: number = 0;
  readonly #flags: number = 0;
  readonly #overflow: number = 0;
  readonly #cqes: number = 0;
  readonly #mask: number = 0;
  /** How far the number of a CQE is shifted to be the index of its words. */
  readonly #shift: number = 2;
  /** Whether to look how many places a CQE takes. */
  readonly #mixed: boolean;
  /** How far the cursor is, ahead of the head that the kernel sees. */
  #head = 0;
  /** The kernel's tail when it was last read. */
  #tail = 0;
  /** Index of the completion the cursor is on. */
  #at = 0;
  /** Where the cursor goes from there. */
  #after = 0;

  /** Takes over a queue that the kernel has laid out. */
  constructor(layout: CompletionLayout) {
    this.entries = layout.entries;
    this.cqeWords = layout.cqeWords;
    this.#ring = layout.ring;
    const { buffer, byteOffset, byteLength } = layout.ring;
    this.#view = new DataView(buffer, byteOffset, byteLength);
    this.#headIndex = layout.head;
    this.#tailIndex = layout.tail;
    this.#flags = layout.flags;
    this.#overflow = layout.overflow;
    this.#cqes = layout.cqes;
    this.#mask = layout.entries - 1;
    this.#shift = layout.cqeWords === 8 ? 3 : 2;
    this.#mixed = layout.mixed ?? true;
    this.#head = layout.ring[layout.head];
    this.#tail = this.#head;
  }

  /**
   * Steps to the next completion; `false` when there is none. It reads the
   * kernel's tail only when what it knew of is used up.
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

  /** Whether the cursor is on a completion, of which a large one has two places. */
  #peekMixed(flags: number): boolean {
    // A filler stands in the last place of a mixed ring when a completion of 32
    // bytes would not have fitted there.
    if (flags & IORING_CQE_F_SKIP) {
      this.#head = this.#after;
      return this.peek();
    }
    const large = (flags & IORING_CQE_F_32) !== 0 && this.cqeWords === 4;
    if (large) this.#after = this.#after + 1 | 0;
    return true;
  }

  /**
   * Gives what the cursor stepped over back to the kernel.
   *
   * Matches io_uring_cq_advance() in liburing.
   */
  commit(): void {
    Atomics.store(this.#ring, this.#headIndex, this.#head);
  }

  /**
   * How many completions the kernel has posted beyond the cursor: in a mixed
   * ring the places they take, which are two for a large one.
   */
  get ready(): number {
    this.#tail = Atomics.load(this.#ring, this.#tailIndex);
    return this.#tail - this.#head | 0;
  }

  /**
   * The same as of the last time the kernel's tail was read, which is what
   * {@linkcode ready} does, and {@linkcode next} when it knows of no more.
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

  /** The result: what the operation defines, or `-errno`. */
  get res(): number {
    return this.#ring[this.#at + 2];
  }

  /** The `IORING_CQE_F_` bits, as a signed number. */
  get flags(): number {
    return this.#ring[this.#at + 3];
  }

  /** `true` when the completion is one of 32 bytes. */
  get wide(): boolean {
    return this.cqeWords === 8 || (this.flags & IORING_CQE_F_32) !== 0;
  }

  /** One of the two 64-bit words of a 32-byte completion. */
  extra(index: 0 | 1): bigint {
    if (!this.wide) return 0n;
    return this.#view.getBigUint64((this.#at + 4) * 4 + index * 8, true);
  }

  /** Whether the registered eventfd is signalled for each completion. */
  set eventfd(on: boolean) {
    const flags = on ? 0 : IORING_CQ_EVENTFD_DISABLED;
    Atomics.store(this.#ring, this.#flags, flags);
  }

  /** Completions that the kernel lost for want of memory. */
  get lost(): number {
    return Atomics.load(this.#ring, this.#overflow) >>> 0;
  }
}
