/**
 * Operations that transfer bytes between a file and memory, and makers of them.
 *
 * @module
 */

import * as uapi from "../sys/uapi/io_uring.ts";
import { checkBytes, checkInteger, checkObject } from "../ring/check.ts";
import { checkOffset, INT_MAX } from "../ring/check.ts";
import { type BufferRing, filledBy } from "../ring/buffer_ring.ts";
import type { LentBuffer } from "../ring/buffer_ring.ts";
import { Command, type FileRef } from "../ring/command.ts";
import { type Draft, draftTo } from "../ring/draft.ts";
import { byteLengthOf } from "../ring/intrinsics.ts";
import { Kind } from "../ring/kind.ts";
import { operand } from "../ring/operand.ts";
import { checkInside, type FixedBuffer } from "../ring/registered.ts";
import { messageAdvice, transferAdvice } from "./op_advice.ts";
import { readLentAdvice, recvLentAdvice } from "./op_advice.ts";

/** An operation: its kind, and the name of the parameter with the bytes. */
export interface Transfer {
  readonly kind: Kind<number>;
  readonly parameter: "into" | "data";
}

function transfer(
  name: "READ" | "READ_FIXED" | "WRITE" | "WRITE_FIXED" | "SEND" | "RECV",
  parameter: "into" | "data",
  advice = transferAdvice,
): Transfer {
  const opcode = uapi[`IORING_OP_${name}`];
  return { kind: new Kind({ name, opcode, advice }), parameter };
}

const READ = transfer("READ", "into");
const READ_FIXED = transfer("READ_FIXED", "into");
const WRITE = transfer("WRITE", "data");
const WRITE_FIXED = transfer("WRITE_FIXED", "data");
export const SEND = transfer("SEND", "data", messageAdvice);
export const RECV = transfer("RECV", "into", messageAdvice);

/** Operations whose bytes go to provided buffers. */
const lentKinds = {
  READ: lentKind("READ", uapi.IORING_OP_READ),
  READ_MULTISHOT: lentKind("READ_MULTISHOT", uapi.IORING_OP_READ_MULTISHOT),
  RECV: lentKind("RECV", uapi.IORING_OP_RECV),
  RECV_MULTISHOT: lentKind("RECV_MULTISHOT", uapi.IORING_OP_RECV),
};

function lentKind(name: string, opcode: number): Kind<LentBuffer> {
  const multishot = name.endsWith("_MULTISHOT");
  return new Kind({
    name,
    opcode,
    multishot,
    untilZero: multishot,
    decode: ({ res, lent }) => filledBy(res, lent),
    advice: name.startsWith("READ") ? readLentAdvice : recvLentAdvice,
  });
}

/** Drafts a transfer from a file to provided buffers. */
export function draftLent(
  name: keyof typeof lentKinds,
  file: FileRef,
  from: BufferRing,
): Draft<LentBuffer> {
  const draft = draftTo(lentKinds[name], file);
  draft.setBufferRing(from);
  // A multishot command takes none, and fills each buffer.
  if (!draft.kind.multishot) draft.lenWord = from.byteLength;
  return draft;
}

/** Returns a read, which needs another opcode for a registered buffer. */
export function readOf(buffer: FixedBuffer | undefined): Transfer {
  return buffer === undefined ? READ : READ_FIXED;
}

/** Returns a write. */
export function writeOf(buffer: FixedBuffer | undefined): Transfer {
  return buffer === undefined ? WRITE : WRITE_FIXED;
}

/** Drafts a transfer between a file and an array. The length is not set. */
export function draftTransfer(
  { kind, parameter }: Transfer,
  file: FileRef,
  bytes: Uint8Array,
  buffer?: FixedBuffer,
  counted = true,
): Draft<number> {
  checkBytes(parameter, bytes);
  const draft = draftTo(kind, file);
  if (buffer !== undefined) {
    checkInside(bytes, buffer);
    draft.setBuffer(buffer);
  }
  const kernel = parameter === "into" ? "writes" : "reads";
  const { offset: at } = uapi.io_uring_sqe.addr;
  draft.setOperands([operand(at, { bytes, kernel }, { counted })]);
  return draft;
}

/** Returns the length of an array if one operation can transfer it. */
export function lengthOf(name: string, bytes: Uint8Array): number {
  const length = byteLengthOf(checkBytes(name, bytes));
  return length <= INT_MAX
    ? length
    : checkInteger(`length of ${name}`, length, 0, INT_MAX);
}

/** Makes the reads or the writes of one file with parts of one memory. */
export interface Transfers {
  /**
   * Makes a command that transfers `length` bytes between the file, from byte
   * `offset` on, and the memory, from byte `start` on. Default: all of the memory,
   * or the rest of it from `start` on.
   *
   * @throws {RangeError} if the part does not lie inside the memory.
   */
  at(offset: number | bigint, start?: number, length?: number): Command<number>;
}

/**
 * Returns a maker of {@linkcode read} commands that read one file into parts of one
 * memory of `ring.alloc()`. The file and the memory are checked once, and not at
 * each command. Making a command takes a quarter of the time, and needs no
 * `subarray`. Each command is a value of its own.
 *
 * @example A file in parts of 64 KiB, 8 of them in a system call
 * ```ts
 * import { Ring } from "@uring/cmd";
 * import { close, openat, readsOf } from "@uring/cmd/op";
 *
 * await using ring = Ring.open();
 * const fd = await ring.cmd(openat(Deno.execPath()));
 * const part = 65536;
 * const reads = readsOf(fd, ring.alloc(8 * part));
 * const batch = [];
 * for (let i = 0; i < 8; i++) batch.push(reads.at(i * part, i * part, part));
 * console.log(ring.cmdAllSync(batch)); // The bytes of each.
 * await ring.cmd(close(fd));
 * ```
 */
export function readsOf(
  file: FileRef,
  into: Uint8Array,
  options: { buffer?: FixedBuffer } = {},
): Transfers {
  const { buffer } = checkObject("options", options);
  return new Maker(readOf(buffer), file, into, buffer);
}

/**
 * Returns a maker of {@linkcode write} commands that write parts of one memory of
 * `ring.alloc()` to one file, as {@linkcode readsOf} does for reads. The memory is
 * read when a command runs, not when it is made.
 */
export function writesOf(
  file: FileRef,
  data: Uint8Array,
  options: { buffer?: FixedBuffer } = {},
): Transfers {
  const { buffer } = checkObject("options", options);
  return new Maker(writeOf(buffer), file, data, buffer);
}

class Maker implements Transfers {
  readonly #draft: Draft<number>;
  readonly #byteLength: number;

  constructor(
    transfer: Transfer,
    file: FileRef,
    bytes: Uint8Array,
    buffer: FixedBuffer | undefined,
  ) {
    this.#draft = draftTransfer(transfer, file, bytes, buffer);
    this.#draft.checkInPlace(transfer.parameter);
    this.#draft.keep();
    this.#byteLength = this.#draft.operands[0].byteLength;
  }

  at(
    offset: number | bigint,
    start = 0,
    length?: number,
  ): Command<number> {
    const draft = this.#draft;
    const byteLength = this.#byteLength;
    draft.setOff(checkOffset(offset));
    draft.start = checkInteger("start", start, 0, byteLength);
    const rest = byteLength - start;
    const most = Math.min(rest, INT_MAX);
    if (length === undefined) length = rest;
    draft.lenWord = checkInteger("length", length, 0, most);
    return new Command<number>(draft);
  }
}
