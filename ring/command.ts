/** The command: a submission queue entry as a value. */

import * as uapi from "../sys/uapi/io_uring.ts";
import { high, low } from "../sys/struct.ts";
import { checkFd, checkFunction, checkPrototype } from "./check.ts";
import { recognize, REFUSED_FLAGS } from "./check.ts";
import type { Completion } from "./completion.ts";
import { type Advice, generalAdvice } from "./errors.ts";
import { byteLengthOf, clear } from "./intrinsics.ts";
import type { Operand } from "./operand.ts";
import { type FixedBuffer, FixedFile } from "./registered.ts";
import type { SubmissionQueue } from "./bare/squeue.ts";

/** The file of a command: a descriptor, or a file of the ring's table. */
export type File = number | FixedFile;

/** The parts of a {@linkcode Command}: its SQE, and facts for the ring. */
export interface CommandSpec<T> {
  /** With `null`, no part is inherited from a polluted Object.prototype. */
  __proto__?: null;
  /** The name in messages, such as `"URING_CMD SIOCINQ"`. */
  name: string;
  /** `IORING_OP_` number. */
  opcode: number;
  /** The file. Without it, the operation has none. */
  file?: File;
  /** Byte 4 of the SQE, 32 bits, where it is not a file. */
  fdWord?: number;
  /** `IOSQE_` bits. */
  flags?: number;
  /** Byte 2 of the SQE, 16 bits. */
  ioprio?: number;
  /** Byte 8 of the SQE, 64 bits: `off`, or `cmd_op` in the low half. */
  off?: number | bigint;
  /** Byte 16 of the SQE, 64 bits. Put an address into `operands` instead. */
  addr?: number | bigint;
  /** Byte 24 of the SQE, 32 bits. */
  len?: number;
  /** Byte 28 of the SQE, 32 bits: `rw_flags`, `uring_cmd_flags`, ... */
  opFlags?: number;
  /** Byte 40 of the SQE, 16 bits. */
  bufIndex?: number;
  /** The registered buffer, which sets `buf_index`. The ring checks it. */
  buffer?: FixedBuffer;
  /** Byte 42 of the SQE, 16 bits. */
  personality?: number;
  /** Byte 44 of the SQE, 32 bits: `file_index`, `optlen`, ... */
  fileIndex?: number;
  /** Byte 48 of the SQE, 64 bits. */
  addr3?: number | bigint;
  /** Byte 48 of the SQE and on: up to 16 bytes, or 80 with a 128-byte SQE. */
  payload?: Uint8Array;
  /** The addresses in the SQE, with the memory they point at. */
  operands?: readonly Operand[];
  /** The command needs a CQE of 32 bytes. */
  cqe32?: boolean;
  /** The command completes many times, and is for `Ring.stream`. */
  multishot?: boolean;
  /** Most completions that one run posts. Default 1. */
  completions?: number;
  /** Makes the result from a completion. Default: the result is `res`. */
  decode?: (completion: Completion) => T;
  /** Errnos that are results: `decode` gets each as a negative `res`. */
  expected?: readonly number[];
  /** Throws if the command cannot succeed. The ring calls it at each run. */
  precheck?: () => void;
  /** Explains an errno. Default: the general advice. */
  advice?: Advice;
}

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
  /** The name in messages, such as `"URING_CMD SIOCINQ"`. */
  readonly name: string;
  /** The descriptor, or the index in the table of files; -1 for no file. */
  readonly fd: number;
  /** The file of a ring's table, whose index is `fd`; `null` for a descriptor. */
  readonly fixedFile: FixedFile | null;
  /** The registered buffer; `null` for none. */
  readonly fixedBuffer: FixedBuffer | null;
  /** The addresses in the SQE, with the memory they point at. */
  readonly operands: readonly Operand[];
  /** `true` if the payload has more than 16 bytes, for an SQE of 128 bytes. */
  readonly sqe128: boolean;
  /** `true` if the command needs a CQE of 32 bytes. */
  readonly cqe32: boolean;
  /** `true` if the command completes many times, until it is cancelled. */
  readonly multishot: boolean;
  /** Most completions that one run posts. */
  readonly completions: number;
  /** Makes the result from a completion; `null` if the result is `res`. */
  readonly decode: ((completion: Completion) => T) | null;
  /** Errnos that are results, not errors. */
  readonly expected: readonly number[];
  /** Throws if the command cannot succeed. */
  readonly precheck: (() => void) | null;
  /** Explains an errno. */
  readonly advice: Advice;
  /**
   * `true` if the command points at no memory and completes once: its CQE alone
   * settles it, with nothing to copy and no other completion to wait for.
   */
  readonly plain: boolean;
  /**
   * `true` if a `plain` command has no decoder: its result is `res` itself, and a
   * synchronous batch runs it without a slot.
   */
  readonly numeric: boolean;
  /**
   * `true` if every open ring can run the command: the ring skips its checks of
   * tables, of the sizes of SQE and CQE, of `precheck` and of `sqeFlags`.
   */
  readonly runsOnAnyRing: boolean;

  // The SQE, as its 32-bit words. V8 reads and stores a field without a conversion
  // if it never held anything but an integer, not even undefined: hence the zeros.
  readonly #head: number = 0;
  readonly #fd: number = 0;
  readonly #offLow: number = 0;
  readonly #offHigh: number = 0;
  readonly #addrLow: number = 0;
  readonly #addrHigh: number = 0;
  readonly #len: number = 0;
  readonly #opFlags: number = 0;
  readonly #buffer: number = 0;
  readonly #fileIndex: number = 0;
  readonly #cmd0: number = 0;
  readonly #cmd1: number = 0;
  readonly #cmd2: number = 0;
  readonly #cmd3: number = 0;
  /** `true` if all but `opcode`, `flags`, `ioprio`, `fd` and `cmd_op` is 0. */
  readonly #short: boolean;
  /** The words of the payload from its 17th byte on; `null` if it is shorter. */
  readonly #rest: readonly number[] | null = null;

  /**
   * Makes a command of its parts. Numbers are not checked, and the memory behind
   * an address given as a number is not kept: this constructor is for `./raw`.
   */
  constructor(spec: CommandSpec<T>) {
    checkPrototype(spec);
    const { file, payload, buffer = null } = spec;
    const { decode, precheck, advice } = spec;
    let flags = spec.flags ?? 0;
    if (FixedFile.is(file)) {
      this.fixedFile = file;
      this.fd = file.index;
      flags |= uapi.IOSQE_FIXED_FILE;
    } else {
      this.fixedFile = null;
      // `file: undefined` is a mistake of the caller, and does not mean "none".
      this.fd = "file" in spec ? checkFd(file as number) : -1;
    }
    this.name = spec.name;
    this.fixedBuffer = buffer;
    this.operands = spec.operands ?? NO_OPERANDS;
    this.cqe32 = Boolean(spec.cqe32);
    this.multishot = Boolean(spec.multishot);
    this.completions = spec.completions ?? 1;
    this.decode = checkFunction("decode", decode) ?? null;
    this.expected = spec.expected ?? NO_ERRNOS;
    this.precheck = checkFunction("precheck", precheck) ?? null;
    this.advice = checkFunction("advice", advice) ?? generalAdvice;

    const { off = 0, addr = 0, addr3 = 0 } = spec;
    const bufIndex = buffer?.index ?? spec.bufIndex ?? 0;
    this.#head = spec.opcode | flags << 8 | (spec.ioprio ?? 0) << 16;
    this.#fd = (spec.fdWord ?? this.fd) | 0;
    this.#offLow = low(off) | 0;
    this.#offHigh = high(off) | 0;
    this.#addrLow = low(addr) | 0;
    this.#addrHigh = high(addr) | 0;
    this.#len = (spec.len ?? 0) | 0;
    this.#opFlags = (spec.opFlags ?? 0) | 0;
    this.#buffer = bufIndex | (spec.personality ?? 0) << 16;
    this.#fileIndex = (spec.fileIndex ?? 0) | 0;
    this.#cmd0 = low(addr3) | 0;
    this.#cmd1 = high(addr3) | 0;
    if (payload !== undefined) {
      payloadBytes.fill(0);
      payloadBytes.set(payload);
      this.#cmd0 = payloadWords[0];
      this.#cmd1 = payloadWords[1];
      this.#cmd2 = payloadWords[2];
      this.#cmd3 = payloadWords[3];
      if (byteLengthOf(payload) > 16) {
        this.#rest = restOf(payloadWords);
      }
    }
    this.sqe128 = this.#rest !== null;
    const others = this.#offHigh | this.#addrLow | this.#addrHigh | this.#len |
      this.#opFlags | this.#buffer | this.#fileIndex | this.#cmd0 |
      this.#cmd1 | this.#cmd2 | this.#cmd3;
    this.#short = !this.sqe128 && others === 0;
    this.plain = this.operands.length === 0 && !this.multishot &&
      this.completions === 1;
    this.numeric = this.plain && this.decode === null;
    this.runsOnAnyRing = this.fixedFile === null && buffer === null &&
      !this.sqe128 && !this.cqe32 && !this.multishot &&
      this.precheck === null && !(flags & REFUSED_FLAGS);
  }

  /** Returns `true` for a command: as `instanceof`, but much faster. */
  static is(value: unknown): value is Command<unknown> {
    return typeof value === "object" && value !== null && #head in value;
  }

  /** `IORING_OP_` number. */
  get opcode(): number {
    return this.#head & 0xff;
  }

  /** `IOSQE_` bits. */
  get sqeFlags(): number {
    return this.#head >>> 8 & 0xff;
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
    words[at + 1] = this.#fd;
    words[at + 2] = this.#offLow; // off; cmd_op
    words[at + 3] = this.#offHigh; // __pad1
    words[at + 4] = this.#addrLow; // addr; level
    words[at + 5] = this.#addrHigh; // optname
    words[at + 6] = this.#len;
    words[at + 7] = this.#opFlags; // rw_flags; uring_cmd_flags
    words[at + 8] = userDataLow;
    words[at + 9] = userDataHigh;
    words[at + 10] = this.#buffer; // buf_index, personality
    words[at + 11] = this.#fileIndex; // optlen
    words[at + 12] = this.#cmd0; // addr3; optval; cmd[0..7]
    words[at + 13] = this.#cmd1;
    words[at + 14] = this.#cmd2; // __pad2; cmd[8..15]
    words[at + 15] = this.#cmd3;
    const rest = this.#rest;
    if (wide && rest === null) clear(words, at + 16, at + 32);
    else if (wide) {
      for (let i = 0; i < 16; i++) {
        words[at + 16 + i] = rest![i];
      }
    }
    // The last store, because next() gives out an SQE that is a no-op.
    words[at] = this.#head | flags << 8; // opcode, flags, ioprio
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
    if (this.#short && !wide) {
      // Zeroing two words at a time takes fewer stores than encode().
      sq.zero(at);
      words[at] = this.#head | flags << 8;
      words[at + 1] = this.#fd;
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

  /** Writes the address of operand `index` into the SQE at `at`. */
  encodeAddress(
    words: Int32Array,
    at: number,
    index: number,
    address: number,
  ): void {
    const operand = this.operands[index];
    if (operand.inside >= 0) return;
    const word = at + (operand.at >> 2);
    words[word] = low(address) | 0;
    words[word + 1] = high(address) | 0;
  }

  /** `true` for a uring command: Linux 6.10 to 6.13 may read its SQE again. */
  get isUringCmd(): boolean {
    return this.opcode === uapi.IORING_OP_URING_CMD;
  }
}

recognize(Command);

// Shared, to read a payload as words: a typed array for each command would take a
// microsecond to make.
const payloadWords = new Int32Array(20);
const payloadBytes = new Uint8Array(payloadWords.buffer);

function restOf(words: Int32Array): number[] {
  const rest: number[] = [];
  for (let i = 4; i < words.length; i++) rest.push(words[i]);
  return rest;
}

const NO_OPERANDS: readonly Operand[] = [];
const NO_ERRNOS: readonly number[] = [];
