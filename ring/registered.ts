/** Files and buffers that a ring has registered, as values. */

import { shown } from "./check.ts";
import { bufferOf, byteLengthOf, byteOffsetOf } from "./intrinsics.ts";

/** A file in the table of a ring: what `Ring.registerFiles` returns. */
export class FixedFile {
  readonly #index: number;
  readonly #owner: object;

  /** Made by a ring only. */
  constructor(owner: object, index: number) {
    this.#owner = owner;
    this.#index = index;
  }

  /** The place in the ring's table. */
  get index(): number {
    return this.#index;
  }

  /** The ring whose table it is. */
  get owner(): object {
    return this.#owner;
  }

  /** `true` for such a file, and not for what only looks like one. */
  static is(value: unknown): value is FixedFile {
    return typeof value === "object" && value !== null && #index in value;
  }
}

/** A pinned buffer of a ring: what `Ring.registerBuffers` returns. */
export class FixedBuffer {
  readonly #index: number;
  readonly #owner: object;
  readonly #bytes: Uint8Array;

  /** Made by a ring only. */
  constructor(owner: object, index: number, bytes: Uint8Array) {
    this.#owner = owner;
    this.#index = index;
    this.#bytes = bytes;
  }

  /** The place in the ring's table: `buf_index` of a command. */
  get index(): number {
    return this.#index;
  }

  /** The ring whose table it is. */
  get owner(): object {
    return this.#owner;
  }

  /** The memory: use it, or any `subarray` of it. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** `true` for such a buffer, and not for what only looks like one. */
  static is(value: unknown): value is FixedBuffer {
    return typeof value === "object" && value !== null && #index in value;
  }
}

/** A buffer that a ring has registered, or one of another table. */
export function checkBuffer(name: string, value: FixedBuffer): FixedBuffer {
  if (FixedBuffer.is(value)) return value;
  throw new TypeError(
    `${name} must be what ring.registerBuffers() returned, not ${shown(value)}`,
  );
}

/** Refuses bytes that do not lie in the registered buffer they are said to. */
export function checkInside(bytes: Uint8Array, buffer: FixedBuffer): void {
  const all = checkBuffer("buffer", buffer).bytes;
  const start = byteOffsetOf(bytes);
  const first = byteOffsetOf(all);
  const inside = bufferOf(bytes) === bufferOf(all) && start >= first &&
    start + byteLengthOf(bytes) <= first + byteLengthOf(all);
  if (inside) return;
  throw new RangeError("the bytes do not lie inside the registered buffer");
}
