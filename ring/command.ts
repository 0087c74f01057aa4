/** The command: a submission queue entry as a value. */

import * as uapi from "../sys/uapi/io_uring.ts";
import type { Arena } from "../sys/arena.ts";
import { high, low } from "../sys/struct.ts";
import { checkPrototype, recognize } from "./check.ts";
import type { Completion } from "./completion.ts";
import { Draft, draftOf, NEEDS, type Place } from "./draft.ts";
import { traitsOf } from "./draft.ts";
import type { Advice } from "./errors.ts";
import { TRAITS } from "./kind.ts";
import type { Operand } from "./operand.ts";
import { BufferRing } from "./buffer_ring.ts";
import { FixedBuffer, type FixedFile } from "./registered.ts";
import type { CommandSpec } from "./spec.ts";
import type { SubmissionQueue } from "./bare/squeue.ts";

export type { CommandSpec, FileRef } from "./spec.ts";

/**
 * An operation for the kernel, as a value. Functions such as `siocinq(fd)` make
 * commands; a `Ring` runs them, each as often as you like.
 *
 * A command is a submission queue entry (SQE) together with the memory it points
 * at and the function that reads its result.
 *
 * @example
 * ```ts
 * import { Ring } from "@uring/cmd";
 * import { nop } from "@uring/cmd/op";
 *
 * await using ring = Ring.open();
 * const command = nop();
 * await ring.cmd(command);
 * await ring.cmd(command); // The same value again.
 * ```
 */
export class Command<T> {
  /** The descriptor, or the index in the table of files; -1 for no file. */
  readonly fd: number = -1;
  /** Bytes from the start of the first operand's memory to where it points. */
  readonly start: number = 0;
  /** The result if `res` is 0; -1 if `decode` makes it. */
  readonly success: number = 0;
  /** The bits that a ring looks at before it runs the command. */
  readonly traits: number = 0;

  /** The parts that all commands of a maker share, and that no longer change. */
  readonly #form: Draft<T>;

  // Words of the SQE that differ between commands of a maker. V8 reads and stores a
  // field without a conversion if it never held anything but an integer, not even
  // undefined: hence the zeros.
  readonly #offLow: number = 0;
  readonly #offHigh: number = 0;
  readonly #addrLow: number = 0;
  readonly #addrHigh: number = 0;
  readonly #len: number = 0;
  /** Words 11 to 15, or 11 to 31; `null` if all are 0. */
  readonly #more: readonly number[] | null;

  /**
   * Makes a command of its parts. Numbers are not checked, and the memory behind
   * an address given as a number is not kept: this constructor is for `./raw`.
   */
  constructor(spec: CommandSpec<T>) {
    const draft = checkedDraft(spec);
    this.fd = draft.fd;
    this.start = draft.start;
    this.success = draft.result;
    this.traits = draft.traits >= 0 ? draft.traits : traitsOf(draft);
    this.#form = draft;
    this.#offLow = draft.offLow;
    this.#offHigh = draft.offHigh;
    this.#addrLow = draft.addrLow;
    this.#addrHigh = draft.addrHigh;
    this.#len = draft.lenWord;
    this.#more = draft.more;
  }

  /** The file of a ring's table, whose index is `fd`; `null` for a descriptor. */
  get fixedFile(): FixedFile | null {
    return this.#form.fixedFile;
  }

  /** The registered buffer; `null` for none. */
  get fixedBuffer(): FixedBuffer | null {
    const { buffers } = this.#form;
    return FixedBuffer.is(buffers) ? buffers : null;
  }

  /** The provided buffers; `null` for none. */
  get bufferRing(): BufferRing | null {
    const { buffers } = this.#form;
    return BufferRing.is(buffers) ? buffers : null;
  }

  /** The addresses in the SQE, with the memory they point at. */
  get operands(): readonly Operand[] {
    return this.#form.operands;
  }

  /** Throws if the command cannot succeed. */
  get precheck(): (() => void) | null {
    return this.#form.precheck ?? null;
  }

  /** The name in messages, such as `"URING_CMD SIOCINQ"`. */
  get name(): string {
    return this.#form.kind.name;
  }

  /** `true` if the payload has more than 16 bytes, for an SQE of 128 bytes. */
  get sqe128(): boolean {
    return (this.traits & TRAITS.sqe128) !== 0;
  }

  /** `true` if the command needs a CQE of 32 bytes. */
  get cqe32(): boolean {
    return this.#form.kind.cqe32;
  }

  /** `true` if the command completes many times, until it is cancelled. */
  get multishot(): boolean {
    return this.#form.kind.multishot;
  }

  /** See {@linkcode Kind.untilZero}. */
  get untilZero(): boolean {
    return this.#form.kind.untilZero;
  }

  /** Most completions that one run posts. */
  get completions(): number {
    return this.#form.kind.completions;
  }

  /** Errnos that are results, not errors. */
  get expected(): readonly number[] {
    return this.#form.kind.expected;
  }

  /** Explains an errno. */
  get advice(): Advice {
    return this.#form.kind.advice;
  }

  /** Makes the result from a completion; `null` if the result is `res`. */
  get decode(): ((completion: Completion) => T) | null {
    return this.decodes ? (completion) => this.decoded(completion) : null;
  }

  /** `true` if the command has a decoder. */
  get decodes(): boolean {
    return this.#form.kind.decode !== null;
  }

  /** Makes the result from a completion: see {@linkcode decode}. */
  decoded(completion: Completion): T {
    return this.#form.kind.decode!(completion, this);
  }

  /**
   * Returns the result of a `numeric` command if `res` alone decides it; otherwise a
   * negative number, for `decode` or an error.
   */
  resultOf(res: number): number {
    return this.success < 0 ? res : res === 0 ? this.success : -1;
  }

  /**
   * `true` if a run needs memory of the pool. Otherwise all memory is of `alloc`,
   * and {@linkcode aim} gives it an address.
   */
  get leases(): boolean {
    return (this.traits & TRAITS.leases) !== 0;
  }

  /**
   * `true` if the command needs no memory of the pool and completes once: its CQE
   * alone settles it, with nothing to copy and no other completion to wait for.
   */
  get plain(): boolean {
    return (this.traits & TRAITS.plain) !== 0;
  }

  /**
   * `true` if the result of a `plain` command is `res` itself, or `success`: a
   * batch runs it without a slot.
   */
  get numeric(): boolean {
    return (this.traits & TRAITS.numeric) !== 0;
  }

  /**
   * `true` if every open ring can run the command: the ring skips its checks of
   * tables, of the sizes of SQE and CQE, of `precheck` and of `sqeFlags`.
   */
  get runsOnAnyRing(): boolean {
    return (this.traits & NEEDS) === 0;
  }

  /**
   * `true` if no command needs the ring's thread to handle the completion of this
   * one, so that a deferred ring may wait for all of a batch.
   */
  get independent(): boolean {
    return this.#form.kind.independent;
  }

  /** Returns `true` for a command: as `instanceof`, but much faster. */
  static is(value: unknown): value is Command<unknown> {
    return typeof value === "object" && value !== null && #form in value;
  }

  /** `IORING_OP_` number. */
  get opcode(): number {
    return this.#form.head & 0xff;
  }

  /** `IOSQE_` bits. */
  get sqeFlags(): number {
    return this.#form.head >>> 8 & 0xff;
  }

  /**
   * Writes the SQE into `words` from index `at` on: 16 words, or 32 if `wide`.
   * It sets every word, so that nothing of an earlier command is left. Addresses
   * are 0: the ring writes them with {@linkcode encodeAddress}.
   */
  encode(
    words: Int32Array,
    at: number,
    wide: boolean,
    userDataLow: number,
    userDataHigh: number,
    flags = 0,
  ): void {
    const form = this.#form;
    words[at + 1] = form.fdWord;
    words[at + 2] = this.#offLow; // off; cmd_op
    words[at + 3] = this.#offHigh; // __pad1
    words[at + 4] = this.#addrLow; // addr; level
    words[at + 5] = this.#addrHigh; // optname
    words[at + 6] = this.#len;
    words[at + 7] = form.flagsWord; // rw_flags; uring_cmd_flags
    words[at + 8] = userDataLow;
    words[at + 9] = userDataHigh;
    words[at + 10] = form.bufferWord; // buf_index, personality
    const more = this.#more;
    if (more === null) {
      words[at + 11] = 0;
      words[at + 12] = 0;
      words[at + 13] = 0;
      words[at + 14] = 0;
      words[at + 15] = 0;
    } else {
      words[at + 11] = more[0]; // file_index; optlen
      words[at + 12] = more[1]; // addr3; optval; cmd[0..7]
      words[at + 13] = more[2];
      words[at + 14] = more[3]; // __pad2; cmd[8..15]
      words[at + 15] = more[4];
    }
    if (wide) this.#encodeSecondHalf(words, at + 16);
    if ((this.traits & TRAITS.varies) !== 0) this.#encodeVaried(words, at);
    // The last store, because next() gives out an SQE that is a no-op.
    words[at] = form.head | flags << 8; // opcode, flags, ioprio
  }

  /** Writes the second half of an SQE of 128 bytes. */
  #encodeSecondHalf(words: Int32Array, at: number): void {
    const more = this.#more;
    if (more === null || more.length < 21) {
      for (let i = 0; i < 16; i++) words[at + i] = 0;
      return;
    }
    // A loop takes three times as many instructions.
    words[at] = more[5];
    words[at + 1] = more[6];
    words[at + 2] = more[7];
    words[at + 3] = more[8];
    words[at + 4] = more[9];
    words[at + 5] = more[10];
    words[at + 6] = more[11];
    words[at + 7] = more[12];
    words[at + 8] = more[13];
    words[at + 9] = more[14];
    words[at + 10] = more[15];
    words[at + 11] = more[16];
    words[at + 12] = more[17];
    words[at + 13] = more[18];
    words[at + 14] = more[19];
    words[at + 15] = more[20];
  }

  /** Writes the words that vary to where they belong: see {@linkcode Kind.varies}. */
  #encodeVaried(words: Int32Array, at: number): void {
    const first = at + this.#form.kind.varies;
    words[first] = this.#offHigh;
    words[first + 1] = this.#addrLow;
    words[first + 2] = this.#addrHigh;
    words[first + 3] = this.#len;
    words[at + 3] = 0;
    words[at + 4] = 0;
    words[at + 5] = 0;
    words[at + 6] = 0;
  }

  /**
   * Writes the command into the next SQE of a queue. Returns the index of the
   * SQE's first word, or -1 if the queue is full.
   */
  submit(
    sq: SubmissionQueue,
    userDataLow: number,
    userDataHigh: number,
    flags = 0,
  ): number {
    const at = sq.mixed ? sq.next(this.sqe128) : sq.peek();
    if (at < 0) return -1;
    this.fill(sq, at, userDataLow, userDataHigh, flags);
    if (!sq.mixed) sq.push();
    return at;
  }

  /** Writes the command into the SQE of a queue that begins at word `at`. */
  fill(
    sq: SubmissionQueue,
    at: number,
    userDataLow: number,
    userDataHigh: number,
    flags: number,
  ): void {
    const { words } = sq;
    const wide = sq.sqeWords === 32 || sq.mixed && this.sqe128;
    if ((this.traits & TRAITS.short) !== 0) {
      // Zeroing two words at a time takes fewer stores than encode().
      sq.zero(at);
      if (wide) sq.zero(at + 16);
      const form = this.#form;
      words[at] = form.head | flags << 8;
      words[at + 1] = form.fdWord;
      words[at + 2] = this.#offLow;
      words[at + 8] = userDataLow;
      words[at + 9] = userDataHigh;
      return;
    }
    this.encode(words, at, wide, userDataLow, userDataHigh, flags);
    // In a mixed ring the opcode gives the size of the SQE.
    if (wide && sq.mixed) {
      words[at] = words[at] & ~0xff | uapi.IORING_OP_URING_CMD128;
    }
  }

  /**
   * Writes the address of operand `index` into the SQE at `at`. `address` is that
   * of the operand's memory.
   */
  encodeAddress(
    words: Int32Array,
    at: number,
    index: number,
    address: number,
  ): void {
    const operand = this.operands[index];
    if (operand.inside >= 0) return;
    if (index === 0) address += this.start;
    const word = at + (operand.at >> 2);
    words[word] = low(address) | 0;
    words[word + 1] = high(address) | 0;
  }

  /**
   * Gives the memory an address, if it has none. The address stays while the ring
   * counts the command among those that use memory: it does so before this call.
   */
  aim(): void {
    const { place, others } = this.#form;
    if (place === null) return;
    if (place.arena.page === 0 || others !== null) this.#aimAll(place);
  }

  #aimAll({ arena }: Place): void {
    arena.map();
    for (const { arena } of this.#form.others ?? []) arena.map();
  }

  /** Aims commands, most of which may have their memory in the same place. */
  static aim(commands: readonly unknown[]): void {
    let last: Arena | null = null;
    for (let i = 0; i < commands.length; i++) {
      const command = commands[i] as Command<unknown>;
      const { place, others } = command.#form;
      if (place === null) continue;
      if (place.arena !== last || others !== null) command.aim();
      last = place.arena;
    }
  }

  /** Writes the addresses of a command that was aimed into the SQE at `at`. */
  encodeAddresses(words: Int32Array, at: number): void {
    const { place, others } = this.#form;
    if (place === null) return;
    encodePlace(words, at, place, this.start);
    if (others !== null) this.#encodeOthers(words, at);
  }

  #encodeOthers(words: Int32Array, at: number): void {
    for (const place of this.#form.others!) encodePlace(words, at, place, 0);
  }

  /** `true` for a uring command: Linux 6.10 to 6.13 may read its SQE again. */
  get isUringCmd(): boolean {
    return this.opcode === uapi.IORING_OP_URING_CMD;
  }
}

recognize(Command);

/** Checks a spec, and returns its draft. A draft that a maker keeps was checked. */
function checkedDraft<T>(spec: CommandSpec<T>): Draft<T> {
  const isDraft = spec instanceof Draft;
  if (!isDraft || spec.traits < 0) checkPrototype(spec);
  return isDraft ? spec : draftOf(spec);
}

/** Writes the address of a place, whose arena has one. */
function encodePlace(
  words: Int32Array,
  at: number,
  { arena, offset, word }: Place,
  start: number,
): void {
  const byte = offset + start;
  // In units of 64 KiB, so that all is done with integers of 32 bits.
  const page = arena.page + (byte >>> 16);
  words[at + word] = page << 16 | byte & 0xffff;
  words[at + word + 1] = page >>> 16;
}
