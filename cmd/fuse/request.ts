/**
 * One request in memory: what the kernel asks, and where the reply goes.
 *
 * A transport fills it. In the classic transport the arguments and the data are one
 * message, and the reply is written over it. In the io_uring transport the first
 * argument is in a header of its own, and the payload holds the rest. A handler reads
 * the arguments before it writes the reply.
 */

import { E } from "../../sys/uapi/errno.ts";
import { fuse_in_header } from "../../sys/uapi/fuse.ts";
import { bytesAt, viewAt } from "../../sys/bytes.ts";
import type { Field } from "../../sys/struct.ts";
import { checkBytes } from "../../ring/check.ts";
import { byteLengthOf, partOf, setBytes } from "../../ring/intrinsics.ts";
import { FuseError } from "./errors.ts";
import { decodeName } from "./names.ts";
import { put } from "./stat.ts";

const { opcode, unique, nodeid, uid, gid, pid } = fuse_in_header;

const encoder = new TextEncoder();
/** Names up to this length are decoded here, which is faster than a decoder. */
const SHORT = 24;

/** The places of the parts of a request. */
export interface RequestMemory {
  /** The view with the header, and with the first argument at byte `argument`. */
  readonly head: DataView;
  readonly argument: number;
  /** The bytes with the data of the request. */
  readonly input: Uint8Array;
  /** `true` if the data follows the first argument; otherwise it starts at 0. */
  readonly joined: boolean;
  /** The bytes for the payload of the reply. */
  readonly output: Uint8Array;
  /** See {@linkcode FuseRequest.tag}. */
  readonly tag?: number;
}

/** A request of the kernel. Its memory is used again after the reply. */
export class FuseRequest {
  /** The tag of the service that it comes from; -1 in the classic transport. */
  readonly tag: number;
  opcode = 0;
  /** The number that the reply names: a `bigint` from 2^53 on. */
  unique: number | bigint = 0;
  nodeid = 0;
  uid = 0;
  gid = 0;
  pid = 0;
  readonly #head: DataView;
  readonly #argument: number;
  readonly #input: Uint8Array;
  readonly #joined: boolean;
  /** The payload of the reply. */
  readonly out: Uint8Array;
  readonly outView: DataView;
  /** The next byte of the data, and the end of it. */
  #at = 0;
  #end = 0;

  constructor(
    { head, argument, input, joined, output, tag = -1 }: RequestMemory,
  ) {
    this.tag = tag;
    this.#head = head;
    this.#argument = argument;
    this.#input = input;
    this.#joined = joined;
    this.out = output;
    const { buffer, byteOffset, length } = output;
    this.outView = viewAt(buffer, byteOffset, length);
  }

  /** Reads the header of a request whose data ends at byte `end` of the input. */
  begin(end: number): void {
    const head = this.#head;
    this.opcode = head.getUint32(opcode.offset, true);
    this.unique = numberAt(head, unique.offset);
    this.nodeid = head.getUint32(nodeid.offset, true) +
      head.getUint32(nodeid.offset + 4, true) * 0x1_0000_0000;
    this.uid = head.getUint32(uid.offset, true);
    this.gid = head.getUint32(gid.offset, true);
    this.pid = head.getUint32(pid.offset, true);
    this.#end = end;
    this.#at = this.#joined ? this.#argument : 0;
  }

  /** Moves to the data, after a first argument of `byteLength` bytes. */
  skip(byteLength: number): void {
    if (this.#joined) this.#at += byteLength;
  }

  /** Reads 32 bits of the first argument. */
  u32(field: Field): number {
    return this.#head.getUint32(this.#argument + field.offset, true);
  }

  /**
   * Reads 64 bits of the first argument as a number.
   *
   * @throws {FuseError} EOVERFLOW from 2^53 on, where numbers have gaps.
   */
  u64(field: Field): number {
    const at = this.#argument + field.offset;
    const upper = this.#head.getUint32(at + 4, true);
    if (upper > 0x1f_ffff) throw new TooLarge(this.big(field));
    return this.#head.getUint32(at, true) + upper * 0x1_0000_0000;
  }

  /** Reads the number of another request. */
  id(field: Field): number | bigint {
    return numberAt(this.#head, this.#argument + field.offset);
  }

  /** Reads 64 bits of the first argument as they are. */
  big(field: Field): bigint {
    return this.#head.getBigUint64(this.#argument + field.offset, true);
  }

  /**
   * Takes the next text, which ends with a zero byte.
   *
   * @throws {FuseError} EILSEQ for bytes that are no UTF-8. Another text would stand
   * for them, which may be the name of another file.
   */
  name(): string {
    const start = this.#at;
    const input = this.#input;
    const short = Math.min(this.#end, start + SHORT);
    let hash = 0;
    for (let at = start; at < short; at++) {
      const byte = input[at];
      if (byte === 0) {
        this.#at = at + 1;
        return asciiAt(input, start, at, hash);
      }
      if (byte > 0x7f) break;
      hash = Math.imul(hash, 31) + byte | 0;
    }
    return this.#longName(start);
  }

  #longName(start: number): string {
    const zero = this.#input.indexOf(0, start);
    const end = zero < 0 || zero > this.#end ? this.#end : zero;
    this.#at = end + 1;
    return decodeName(this.#input.subarray(start, end));
  }

  /** Takes the next `byteLength` bytes, in place: a view, valid until the reply. */
  data(byteLength: number): Uint8Array {
    const start = this.#at;
    const end = Math.min(start + byteLength, this.#end);
    this.#at = end;
    const { buffer, byteOffset } = this.#input;
    return bytesAt(buffer, byteOffset + start, end - start);
  }

  /** Takes the next `count` pairs of 64 bits, as of `struct fuse_forget_one`. */
  pairs(count: number, then: (first: number, second: number) => void): void {
    const { buffer, byteOffset } = this.#input;
    const view = viewAt(buffer, byteOffset, this.#end);
    for (let i = 0; i < count && this.#at + 16 <= this.#end; i++) {
      const first = Number(view.getBigUint64(this.#at, true));
      const second = Number(view.getBigUint64(this.#at + 8, true));
      this.#at += 16;
      then(first, second);
    }
  }

  /** Returns the first `byteLength` bytes of the reply's payload. */
  into(byteLength: number): Uint8Array {
    const { buffer, byteOffset } = this.out;
    return bytesAt(buffer, byteOffset, Math.min(byteLength, this.out.length));
  }

  /**
   * Writes bytes of a handler into the payload of the reply, at most `most`. Returns
   * their number, which is never that of bytes which were there before.
   *
   * @throws {TypeError} for what is no Uint8Array, or was transferred elsewhere.
   */
  put(bytes: Uint8Array, most = Infinity, at = 0): number {
    const part = partOf(checkBytes("the answer", bytes), 0, most);
    setBytes(at === 0 ? this.out : partOf(this.out, at), part);
    return byteLengthOf(part);
  }

  /** Writes a text into the payload of the reply. Returns its bytes. */
  putText(text: string): number {
    return encoder.encodeInto(text, this.out).written;
  }

  /** Zeroes the first bytes of the reply's payload. */
  clear(byteLength: number): void {
    const { outView } = this;
    for (let at = 0; at < byteLength; at += 4) outView.setUint32(at, 0, true);
  }

  /** Writes 64 bits into the payload of the reply. */
  putU64(at: number, value: number | bigint): void {
    put(this.outView, at, value);
  }
}

/** Recent names, by their hash. Most names come repeatedly. */
const NAMES: string[] = new Array(1024).fill("");

/** Returns the text of ASCII bytes. */
function asciiAt(
  input: Uint8Array,
  start: number,
  end: number,
  hash: number,
): string {
  const place = (hash ^ hash >>> 10) & NAMES.length - 1;
  const name = NAMES[place];
  const length = end - start;
  let same = 0;
  if (name.length === length) {
    while (same < length && name.charCodeAt(same) === input[start + same]) {
      same++;
    }
    if (same === length) return name;
  }
  let text = "";
  for (let at = start; at < end; at++) {
    text += String.fromCharCode(input[at]);
  }
  return NAMES[place] = text;
}

/** Reads 64 bits: as a number if it is exact. */
function numberAt(view: DataView, at: number): number | bigint {
  const upper = view.getUint32(at + 4, true);
  if (upper > 0x1f_ffff) return view.getBigUint64(at, true);
  return view.getUint32(at, true) + upper * 0x1_0000_0000;
}

/** An offset or a length that no JavaScript number has. The program is told. */
export class TooLarge extends FuseError {
  constructor(value: bigint) {
    super(
      E.EOVERFLOW,
      `${value} is beyond 2^53, up to which a JavaScript number is exact`,
    );
  }
}
