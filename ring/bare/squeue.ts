/** The submission queue of a ring. */

import {
  IORING_OP_NOP,
  IORING_OP_NOP128,
  IORING_OP_URING_CMD128,
  IORING_SQ_CQ_OVERFLOW,
  IORING_SQ_NEED_WAKEUP,
  IORING_SQ_TASKRUN,
  IOSQE_CQE_SKIP_SUCCESS,
  IOSQE_IO_HARDLINK,
  IOSQE_IO_LINK,
} from "../../sys/uapi/io_uring.ts";
import { append, clear, moveWords } from "../intrinsics.ts";
import { viewAt } from "../../sys/bytes.ts";

// As they are at load: a program may redefine them, and would get the queue.
const Doubles = Float64Array;
const { load, store } = Atomics;

/** The layout of a submission queue, in 32-bit words of its mappings. */
export interface SubmissionLayout {
  /** The mapping with the words that kernel and program share. */
  readonly ring: Int32Array;
  /** The SQEs. */
  readonly sqes: Int32Array;
  /** Index of the head, which the kernel moves. */
  readonly head: number;
  /** Index of the tail, which the program moves. */
  readonly tail: number;
  /** Index of the flags, which the kernel sets. */
  readonly flags: number;
  /** Index of the array of SQE numbers; -1 with IORING_SETUP_NO_SQARRAY. */
  readonly array: number;
  /** SQEs in the ring: a power of two. */
  readonly entries: number;
  /** Words in an SQE: 16, or 32 with IORING_SETUP_SQE128. */
  readonly sqeWords: 16 | 32;
  /** `true` if the ring may have SQEs of both sizes. */
  readonly mixed: boolean;
  /** `true` if the kernel may read an SQE again after io_uring_enter(). */
  readonly hold: boolean;
}

/** The flags that link the next SQE to an SQE, in its first word. */
const LINKED = (IOSQE_IO_LINK | IOSQE_IO_HARDLINK) << 8;

/** The first word of a no-op that posts no CQE. */
const NO_OP = IORING_OP_NOP | IOSQE_CQE_SKIP_SUCCESS << 8;

/**
 * The low half of a filler's `user_data`. A restricted ring may refuse the filler, and
 * the kernel posts a CQE for it then.
 */
export const FILLER = 0x7fff_ffff;
/** Index of the low half of `user_data` in an SQE, in words. */
const USER_DATA = 8;

/**
 * The submission queue: gives out SQEs, and publishes them to the kernel.
 *
 * The program owns the SQEs from the kernel's head to its own tail. Filling one
 * takes plain stores; only the tail that publishes them is atomic.
 */
export class SubmissionQueue {
  /** The SQEs as 32-bit words. */
  readonly words: Int32Array;
  /** The SQEs as bytes. */
  readonly view: DataView;
  /** The SQEs as doubles, to zero two words with one store. */
  readonly #doubles: Float64Array;
  /** SQEs in the ring: a power of two. */
  readonly entries: number = 0;
  /** Words in an SQE: 16 or 32. */
  readonly sqeWords: 16 | 32 = 16;
  /** `true` if an SQE may have either size. Never `true` with `hold`. */
  readonly mixed: boolean;
  /** `true` if an SQE stays in use until {@linkcode release}. */
  readonly hold: boolean;

  readonly #ring: Int32Array;
  readonly #head: number = 0;
  readonly #tail: number = 0;
  readonly #flags: number = 0;
  readonly #array: number = 0;
  readonly #mask: number = 0;
  /** Left shift that makes the number of an SQE the index of its first word. */
  readonly #shift: number = 4;
  /** The tail after the SQEs given out, ahead of the published tail. */
  #next = 0;
  /** The tail as published last. */
  #published = 0;
  /** The kernel's head as last known. It may have moved on since. */
  #seen = 0;
  /** The result of the last publish(); 0 once the kernel has taken it all. */
  #offered = -1;
  /** The tail at the first SQE of the chain that the next SQE may belong to. */
  #chain = 0;
  /** Word index of the last SQE given out; -1 if it was published. */
  #last = -1;
  /** With `hold`, the numbers of the free SQEs. The last is taken first. */
  readonly #free: number[] = [];
  /** Count of the free SQEs: those beyond it in the array are taken. */
  #freeCount = 0;

  /** Makes a queue of the layout that the kernel chose. */
  constructor(layout: SubmissionLayout) {
    this.words = layout.sqes;
    const { buffer, byteOffset, byteLength } = layout.sqes;
    this.view = viewAt(buffer, byteOffset, byteLength);
    this.#doubles = new Doubles(buffer, byteOffset, byteLength >> 3);
    this.entries = layout.entries;
    this.sqeWords = layout.sqeWords;
    this.mixed = layout.mixed && !layout.hold;
    this.hold = layout.hold;
    this.#ring = layout.ring;
    this.#head = layout.head;
    this.#tail = layout.tail;
    this.#flags = layout.flags;
    this.#array = layout.array;
    this.#mask = layout.entries - 1;
    this.#shift = layout.sqeWords === 32 ? 5 : 4;
    this.#next = layout.ring[layout.tail];
    this.#seen = layout.ring[layout.head];
    // The array maps places to SQEs, which only `hold` needs. Otherwise SQE i is
    // always at place i, and the array is filled once.
    for (let i = 0; i < layout.entries; i++) {
      if (layout.hold) append(this.#free, layout.entries - 1 - i);
      else if (layout.array >= 0) layout.ring[layout.array + i] = i;
    }
    this.#freeCount = this.#free.length;
  }

  /**
   * Returns the next free SQE as an index into {@linkcode words}, or -1 when the
   * queue is full. The SQE is not part of the queue before {@linkcode push}: an
   * exception between the two leaves no trace.
   */
  peek(): number {
    if ((this.#next - this.#seen | 0) >= this.entries && !this.has(1)) {
      return -1;
    }
    return this.hold ? this.at(0) : (this.#next & this.#mask) << this.#shift;
  }

  /**
   * Returns the free SQE at a place counted from the next one, as an index into
   * {@linkcode words}. The caller has asked {@linkcode has} for as many places.
   */
  at(offset: number): number {
    const place = this.#next + offset & this.#mask;
    if (!this.hold) return place << this.#shift;
    if (offset >= this.#freeCount) return -1;
    const sqe = this.#free[this.#freeCount - 1 - offset];
    this.#ring[this.#array + place] = sqe;
    return sqe << this.#shift;
  }

  /**
   * Adds the next places, which the caller has filled, to what
   * {@linkcode publish} shows the kernel. Nothing here can throw in the middle.
   */
  push(places = 1): void {
    if (this.hold) this.#freeCount -= places;
    this.#next = this.#next + places | 0;
  }

  /**
   * Adds an SQE by its number, in a queue with `hold`: for an owner that gives each
   * command an SQE of its own, and queues none twice. Nothing here can throw in the
   * middle.
   */
  pushOwn(sqe: number): void {
    this.#ring[this.#array + (this.#next & this.#mask)] = sqe;
    this.#next = this.#next + 1 | 0;
  }

  /** The tail after the SQEs that were pushed. */
  get pushed(): number {
    return this.#next;
  }

  /**
   * Takes back what was pushed after a tail. Returns `false` if the kernel has
   * taken some of it, or if its submission thread may have (`sqpoll`).
   */
  drop(tail: number, sqpoll: boolean): boolean {
    if (sqpoll && (this.#published - tail | 0) > 0) return false;
    if ((load(this.#ring, this.#head) - tail | 0) > 0) return false;
    store(this.#ring, this.#tail, tail);
    if (this.hold) this.#freeCount += this.#next - tail | 0;
    this.#next = tail;
    this.#published = tail;
    this.#offered = -1;
    return true;
  }

  /** Returns `true` if a 128-byte SQE at a place would straddle the end of the ring. */
  straddles(offset: number): boolean {
    return (this.#next + offset & this.#mask) === this.#mask;
  }

  /** Pushes a no-op that posts no CQE, for one place of a mixed ring. */
  fill(): void {
    this.#writeFiller(this.at(0));
    this.push();
  }

  /**
   * Returns the next free SQE as an index into {@linkcode words}, or -1 if the
   * queue is full. The SQE is not zeroed: the caller sets every word of it.
   *
   * `wide` asks for a 128-byte SQE in a mixed ring. It takes two places, which
   * must not straddle the end of the ring. Where they would, a filler takes the
   * last place: a no-op that posts no CQE. Between two SQEs of a chain a filler
   * would end the chain. It goes before the chain instead, whose SQEs since the
   * last {@linkcode publish} move up by one place.
   *
   * Matches io_uring_get_sqe() and io_uring_get_sqe128() in liburing.
   */
  next(wide = false): number {
    if (this.mixed) return this.#nextMixed(wide);
    const at = this.peek();
    if (at < 0) return -1;
    // Until the caller fills it, it is a no-op, and not an earlier command.
    this.words[at] = 0;
    this.push();
    return at;
  }

  /**
   * Zeroes the 64 bytes of an SQE, by its word index. Together with the few words
   * that a command sets then, it takes fewer stores than setting every word.
   */
  zero(word: number): void {
    const doubles = this.#doubles;
    const at = word >> 1;
    doubles[at] = 0;
    doubles[at + 1] = 0;
    doubles[at + 2] = 0;
    doubles[at + 3] = 0;
    doubles[at + 4] = 0;
    doubles[at + 5] = 0;
    doubles[at + 6] = 0;
    doubles[at + 7] = 0;
  }

  // A chain of A and a wide B in a mixed ring of 8 places. Place 6 is next:
  //
  //   6: A   7: B, which would straddle the end        not allowed
  //   6: A   7: filler   0, 1: B                       ends the chain after A
  //   6: filler   7: A   0, 1: B                       A moves up: as done here
  //
  #nextMixed(wide: boolean): number {
    const fill = wide && (this.#next & this.#mask) === this.#mask;
    const places = (wide ? 2 : 1) + (fill ? 1 : 0);
    if (!this.has(places)) return -1;
    const linked = this.#last >= 0 && (this.words[this.#last] & LINKED) !== 0;
    if (!linked) this.#chain = this.#next;
    if (fill) this.#pad((this.#chain & this.#mask) * 16);
    this.#next = this.#next + places | 0;
    this.#last = (this.#next - (wide ? 2 : 1) & this.#mask) * 16;
    this.words[this.#last] = 0; // Links nothing until the caller fills it.
    return this.#last;
  }

  /**
   * Returns `true` if `count` places are free. It reads the kernel's head only if
   * the head as last known leaves too few.
   */
  has(count: number): boolean {
    if (this.hold && this.#freeCount < count) return false;
    const { entries } = this;
    if ((this.#next - this.#seen | 0) + count <= entries) return true;
    this.#seen = load(this.#ring, this.#head);
    return (this.#next - this.#seen | 0) + count <= entries;
  }

  /** Frees an SQE of a queue with `hold`, by its word index. */
  release(word: number): void {
    this.#free[this.#freeCount++] = word >> this.#shift;
  }

  /** Inserts a filler at `word`. The SQEs from there to the last place move up. */
  #pad(word: number): void {
    moveWords(this.words, word + 16, word, this.#mask * 16);
    this.#writeFiller(word);
  }

  #writeFiller(word: number): void {
    clear(this.words, word, word + 16);
    this.words[word] = NO_OP;
    this.words[word + USER_DATA] = FILLER;
  }

  /**
   * The free places. An SQE takes one, and one of 128 bytes in a mixed ring two.
   *
   * Matches io_uring_sq_space_left() in liburing.
   */
  get space(): number {
    const used = this.#next - load(this.#ring, this.#head) | 0;
    const left = this.entries - used;
    return this.hold ? Math.min(left, this.#freeCount) : left;
  }

  /**
   * Publishes the SQEs given out. Returns the places that the kernel has not taken
   * yet, for io_uring_enter() to submit. It counts from the kernel's head, so that
   * after a short submit the rest is submitted once.
   *
   * Matches io_uring_flush_sq() in liburing.
   *
   * @throws {TypeError} if the memory of the SQEs was detached: stores since then
   * went nowhere, and the kernel would run the SQEs as they were before.
   */
  publish(): number {
    if (this.words.length === 0) {
      throw new TypeError("the memory of the SQEs was detached");
    }
    // First: what the kernel may have seen is never taken back.
    this.#published = this.#next;
    // A store with release order: the kernel sees the plain stores to the SQEs first.
    store(this.#ring, this.#tail, this.#next);
    this.#last = -1;
    if (this.#offered !== 0) this.#seen = load(this.#ring, this.#head);
    this.#offered = this.#next - this.#seen | 0;
    return this.#offered;
  }

  /**
   * Notes that io_uring_enter() took `count` SQEs. If that is all that was
   * published, the kernel's head is known without reading it.
   */
  taken(count: number): void {
    if (count !== this.#offered) return;
    this.#seen = this.#published;
    this.#offered = 0;
  }

  /**
   * Makes no-ops of the rest of a chain if a short submit took only its
   * beginning. The kernel ends a chain where a submission ends, so that the rest
   * would run as a chain of its own. Returns the indices of the first words of
   * these SQEs, whose `user_data` stays.
   */
  cutOff(): number[] {
    const { words } = this;
    const head = load(this.#ring, this.#head);
    const cut: number[] = [];
    let linked = false;
    let at = this.#published - this.#offered | 0;
    while (at !== this.#published) {
      const taken = (at - head | 0) < 0;
      if (!taken && !linked) break;
      const word = this.#wordOf(at);
      linked = (words[word] & LINKED) !== 0;
      const large = this.mixed &&
        (words[word] & 0xff) === IORING_OP_URING_CMD128;
      if (!taken) {
        const link = linked ? IOSQE_IO_LINK << 8 : 0;
        words[word] = (large ? IORING_OP_NOP128 : IORING_OP_NOP) | link;
        clear(words, word + 1, word + 8);
        clear(words, word + 10, word + 16);
        append(cut, word);
      }
      at = at + (large ? 2 : 1) | 0;
    }
    return cut;
  }

  /** Returns the index of the first word of the SQE at a place. */
  #wordOf(at: number): number {
    const place = at & this.#mask;
    const sqe = this.hold ? this.#ring[this.#array + place] : place;
    return sqe << this.#shift;
  }

  /** `true` if the kernel's submission thread sleeps and must be woken. */
  get needsWakeup(): boolean {
    return this.#hasFlag(IORING_SQ_NEED_WAKEUP);
  }

  /** `true` if completions wait for io_uring_enter() to post them. */
  get needsEnter(): boolean {
    return this.#hasFlag(IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN);
  }

  /** `true` if the kernel keeps completions that the CQ had no room for. */
  get overflowed(): boolean {
    return this.#hasFlag(IORING_SQ_CQ_OVERFLOW);
  }

  #hasFlag(flags: number): boolean {
    return (load(this.#ring, this.#flags) & flags) !== 0;
  }
}
