/** A command in the making. */

import * as uapi from "../sys/uapi/io_uring.ts";
import { type Arena, arenaOf } from "../sys/arena.ts";
import { high, low } from "../sys/struct.ts";
import {
  checkFd,
  checkFunction,
  checkInteger,
  checkPrototype,
} from "./check.ts";
import { REFUSED_FLAGS } from "./check.ts";
import { bufferOf, byteLengthOf, byteOffsetOf } from "./intrinsics.ts";
import { Kind, TRAITS } from "./kind.ts";
import type { Operand } from "./operand.ts";
import { BufferRing, checkBufferRing } from "./buffer_ring.ts";
import { type FixedBuffer, FixedFile } from "./registered.ts";
import type { CommandSpec, FileRef } from "./spec.ts";

/** The traits that some ring may not offer. */
export const NEEDS = TRAITS.sqe128 | TRAITS.cqe32 | TRAITS.checked;

/** The target of a command's address, in memory of `alloc`. */
export interface Place {
  readonly arena: Arena;
  /** Bytes from the start of the arena, as a signed integer of 32 bits. */
  readonly offset: number;
  /** Index of the word of the SQE that has the low half of the address. */
  readonly word: number;
}

/**
 * The checked parts of a command, for `new Command` in place of a `CommandSpec`. V8
 * has one hidden class for all drafts, where each literal has its own, and the
 * numbers are the words of the SQE as they are. A command keeps its draft, and
 * copies only what differs between the commands of a maker: after the first one, a
 * maker changes only `start`, `result`, `more` and the words of `off`, `addr` and
 * `len`.
 */
export class Draft<T> implements CommandSpec<T> {
  readonly kind: Kind<T>;
  fd = -1;
  fixedFile: FixedFile | null = null;
  /**
   * The owner of the number in `buf_index` or `buf_group`: one field, since both are
   * rare.
   */
  buffers: FixedBuffer | BufferRing | null = null;
  precheck: (() => void) | undefined = undefined;
  /** {@linkcode TRAITS}, if a maker knows them; -1 if they are worked out. */
  traits = -1;
  /** The result if `res` is 0; -1 if `decode` makes it. */
  result = -1;

  // Words of the SQE, as signed integers.
  head = 0;
  fdWord = -1;
  offLow = 0;
  offHigh = 0;
  addrLow = 0;
  addrHigh = 0;
  lenWord = 0;
  flagsWord = 0;
  bufferWord = 0;
  /**
   * Words 11 to 15, or 11 to 31; `null` if all are 0. The command keeps the list:
   * give each command its own.
   */
  more: readonly number[] | null = null;

  operands: readonly Operand[] = NO_OPERANDS;
  /** `true` if a run needs memory of the pool, or an address in other memory. */
  leases = false;
  /** The place of the first operand; `null` if it `leases`, or there is none. */
  place: Place | null = null;
  /** The places of the other operands. */
  others: readonly Place[] | null = null;
  /** Bytes from `place` to where its address points. */
  start = 0;

  constructor(kind: Kind<T>) {
    this.kind = kind;
    this.head = kind.opcode;
  }

  get name(): string {
    return this.kind.name;
  }

  get opcode(): number {
    return this.kind.opcode;
  }

  /** Sets the file, which is checked. */
  setFile(file: FileRef): void {
    if (typeof file !== "number" && FixedFile.is(file)) {
      this.fixedFile = file;
      this.fd = file.index;
      this.head |= uapi.IOSQE_FIXED_FILE << 8;
    } else {
      this.fixedFile = null;
      this.fd = checkFd(file);
    }
    this.fdWord = this.fd;
  }

  setBuffer(buffer: FixedBuffer): void {
    this.buffers = buffer;
    this.bufferWord |= buffer.index;
  }

  setBufferRing(ring: BufferRing): void {
    this.buffers = ring;
    this.bufferWord |= ring.id;
    this.head |= uapi.IOSQE_BUFFER_SELECT << 8;
  }

  setOff(off: number | bigint): void {
    this.offLow = low(off) | 0;
    this.offHigh = high(off) | 0;
  }

  /** Sets the words of `Kind.varies`. */
  vary(first: number, second: number, third: number, fourth: number): void {
    this.offHigh = first | 0;
    this.addrLow = second | 0;
    this.addrHigh = third | 0;
    this.lenWord = fourth | 0;
  }

  /** Sets words 11 to 13. */
  setMore(fileIndex: number, addr3: number | bigint): void {
    const all = [fileIndex | 0, low(addr3) | 0, high(addr3) | 0, 0, 0];
    this.more = (all[0] | all[1] | all[2]) === 0 ? null : all;
  }

  /** Sets the words from 12 on to the bytes of a payload, of at most 80 bytes. */
  setPayload(payload: Uint8Array, fileIndex = 0): void {
    payloadBytes.fill(0);
    payloadBytes.set(payload);
    const wide = byteLengthOf(payload) > 16;
    this.setPayloadWords(payloadWords, wide, fileIndex);
  }

  /** Sets the words from 12 on: 20 of them if `wide`, else 4. */
  setPayloadWords(w: Int32Array, wide: boolean, fileIndex = 0): void {
    const index = fileIndex | 0;
    if (wide) {
      // deno-fmt-ignore
      this.more = [
        index, w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9],
        w[10], w[11], w[12], w[13], w[14], w[15], w[16], w[17], w[18], w[19],
      ];
    } else if ((index | w[0] | w[1] | w[2] | w[3]) === 0) this.more = null;
    else this.more = [index, w[0], w[1], w[2], w[3]];
  }

  setAddr(addr: number | bigint): void {
    this.addrLow = low(addr) | 0;
    this.addrHigh = high(addr) | 0;
  }

  /**
   * Prepares the draft for many commands, and checks once what `new Command` checks
   * for each other draft. From here on `more` may change only for a
   * list of the same length.
   */
  keep(): void {
    checkPrototype(this);
    this.traits = traitsOf(this) & ~TRAITS.short;
  }

  /** Throws unless all memory is of `alloc`, so that commands can use parts of it. */
  checkInPlace(name: string): void {
    if (!this.leases) return;
    throw new TypeError(
      `${name} must be memory of ring.alloc(), of which each command uses a part ` +
        "in place. Other memory would be copied whole for each",
    );
  }

  /**
   * Sets the memory. If all of it is of `alloc`, its addresses are known as long as
   * a command in flight uses it.
   */
  setOperands(operands: readonly Operand[]): void {
    this.operands = operands;
    for (let i = 0; i < operands.length; i++) {
      const place = placeOf(operands[i]);
      if (place === null) {
        this.leases = true;
        this.place = this.others = null;
        return;
      }
      if (i === 0) this.place = place;
      else this.others = [...this.others ?? [], place];
    }
  }
}

/** Works out the traits of a command: those of its kind, and its own. */
export function traitsOf<T>(draft: Draft<T>): number {
  const { kind, more, leases } = draft;
  let { traits } = kind;
  if (leases) traits = traits & ~SETTLED | TRAITS.leases;
  else if ((traits & TRAITS.plain) !== 0 && draft.result >= 0) {
    traits |= TRAITS.numeric;
  }
  if (
    draft.fixedFile !== null || draft.buffers !== null ||
    draft.precheck !== undefined || (draft.head >> 8 & REFUSED_FLAGS) !== 0
  ) traits |= TRAITS.checked;
  // Its completion names a buffer, which a slot takes.
  if (BufferRing.is(draft.buffers)) traits &= ~SETTLED;
  if (more !== null) return more.length > 5 ? traits | TRAITS.sqe128 : traits;
  const words = draft.offHigh | draft.addrLow | draft.addrHigh | draft.lenWord |
    draft.flagsWord | draft.bufferWord;
  return words === 0 && !leases && draft.place === null
    ? traits | TRAITS.short
    : traits;
}

/** The traits of a command that its CQE alone settles. */
const SETTLED = TRAITS.plain | TRAITS.numeric;

/** Returns the place of an operand, if that is all that its address depends on. */
function placeOf({ at, bytes, inside }: Operand): Place | null {
  if (bytes === null || inside >= 0) return null;
  const arena = arenaOf(bufferOf(bytes));
  if (arena === undefined) return null;
  return { arena, offset: byteOffsetOf(bytes) | 0, word: at >> 2 };
}

/** Drafts a command to a file. */
export function draftTo<T>(kind: Kind<T>, file: FileRef): Draft<T> {
  const draft = new Draft(kind);
  draft.setFile(file);
  return draft;
}

/** Checks the parts of a command, as far as they are not just numbers. */
export function draftOf<T>(spec: CommandSpec<T>): Draft<T> {
  const { name, opcode, cqe32, multishot, untilZero, completions } = spec;
  const { decode, precheck, advice, success, buffer, operands } = spec;
  const { expected, bufferRing } = spec;
  checkFunction("decode", decode);
  checkFunction("precheck", precheck);
  checkFunction("advice", advice);
  const { off = 0, addr = 0 } = spec;
  const draft = new Draft<T>(
    new Kind({
      name,
      opcode,
      cqe32: Boolean(cqe32),
      multishot: Boolean(multishot),
      untilZero: Boolean(untilZero),
      completions,
      decode,
      expected,
      advice,
      independent: false,
      varies: 0,
    }),
  );
  // `file: undefined` is a mistake of the caller, and does not mean "none".
  if ("file" in spec) draft.setFile(spec.file!);
  draft.precheck = precheck;
  if (success !== undefined) {
    draft.result = checkInteger("success", success, 0, Number.MAX_SAFE_INTEGER);
  }
  draft.head |= (spec.flags ?? 0) << 8 | (spec.ioprio ?? 0) << 16;
  if (spec.fdWord !== undefined) draft.fdWord = spec.fdWord | 0;
  draft.setOff(off);
  draft.setAddr(addr);
  draft.lenWord = (spec.len ?? 0) | 0;
  draft.flagsWord = (spec.opFlags ?? 0) | 0;
  const named = buffer ?? bufferRing;
  const bufIndex = named === undefined ? spec.bufIndex ?? 0 : 0;
  draft.bufferWord = bufIndex | (spec.personality ?? 0) << 16;
  if (buffer !== undefined) draft.setBuffer(buffer);
  else if (bufferRing !== undefined) {
    draft.setBufferRing(checkBufferRing("bufferRing", bufferRing));
  }
  const { fileIndex = 0, addr3 = 0, payload } = spec;
  if (payload === undefined) draft.setMore(fileIndex, addr3);
  else draft.setPayload(payload, fileIndex);
  if (operands !== undefined) draft.setOperands(operands);
  return draft;
}

// Shared, to read a payload as words: a typed array for each command would take a
// microsecond to make.
const payloadWords = new Int32Array(20);
const payloadBytes = new Uint8Array(payloadWords.buffer);

const NO_OPERANDS: readonly Operand[] = [];
