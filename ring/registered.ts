/** Registered files and buffers of a ring, as values. */

import type { FileFacts } from "../sys/file.ts";
import { recognize, shown } from "./check.ts";
import { bufferOf, byteLengthOf, byteOffsetOf } from "./intrinsics.ts";

let record: (file: FixedFile, facts: FileFacts) => void;
let recorded: (file: FixedFile) => FileFacts | undefined;

/** A file in the table of a ring, returned by `Ring.registerFiles`. */
export class FixedFile {
  readonly #index: number;
  #facts: FileFacts | undefined;

  static {
    record = (file, facts) => void (file.#facts = facts);
    recorded = (file) => file.#facts;
  }

  /** Used by a ring only. */
  constructor(index: number) {
    this.#index = index;
  }

  /** The index in the ring's table. */
  get index(): number {
    return this.#index;
  }

  /** Returns `true` for such a file, not for an object that looks like one. */
  static is(value: unknown): value is FixedFile {
    return typeof value === "object" && value !== null && #index in value;
  }
}

/**
 * Keeps facts about a file that is being registered. Afterwards no descriptor is
 * left to ask: the caller may close it, and its number may be another file's.
 */
export function recordFacts(file: FixedFile, facts: FileFacts): void {
  record(file, facts);
}

/** Returns the facts of {@linkcode recordFacts}; `undefined` if there are none. */
export function recordedFacts(file: FixedFile): FileFacts | undefined {
  return recorded(file);
}

/** A pinned buffer of a ring, returned by `Ring.registerBuffers`. */
export class FixedBuffer {
  readonly #index: number;
  readonly #bytes: Uint8Array;

  /** Used by a ring only. */
  constructor(index: number, bytes: Uint8Array) {
    this.#index = index;
    this.#bytes = bytes;
  }

  /** The index in the ring's table: `buf_index` of a command. */
  get index(): number {
    return this.#index;
  }

  /** The memory. Commands may use it, or any `subarray` of it. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** Returns `true` for such a buffer, not for an object that looks like one. */
  static is(value: unknown): value is FixedBuffer {
    return typeof value === "object" && value !== null && #index in value;
  }
}

/** Credentials of a ring, returned by `Ring.registerPersonality`. */
export class Personality {
  readonly #id: number;

  /** Used by a ring only. */
  constructor(id: number) {
    this.#id = id;
  }

  /** The kernel's number for them, from 1 on: `personality` of an SQE. */
  get id(): number {
    return this.#id;
  }

  /** Returns `true` for such credentials, not for an object that looks like them. */
  static is(value: unknown): value is Personality {
    return typeof value === "object" && value !== null && #id in value;
  }
}

recognize(FixedFile);
recognize(FixedBuffer);
recognize(Personality);

/** Checks that a value is a registered buffer, of whatever ring. */
export function checkBuffer(name: string, value: FixedBuffer): FixedBuffer {
  if (FixedBuffer.is(value)) return value;
  throw new TypeError(
    `${name} must be what ring.registerBuffers() returned, not ${shown(value)}`,
  );
}

/** Checks that a value is registered credentials, of whatever ring. */
export function checkPersonality(value: Personality): Personality {
  if (Personality.is(value)) return value;
  throw new TypeError(
    "personality must be what ring.registerPersonality() returned, not " +
      shown(value),
  );
}

/** Refuses bytes that do not lie inside the registered buffer. */
export function checkInside(bytes: Uint8Array, buffer: FixedBuffer): void {
  const all = checkBuffer("buffer", buffer).bytes;
  const start = byteOffsetOf(bytes);
  const first = byteOffsetOf(all);
  const inside = bufferOf(bytes) === bufferOf(all) && start >= first &&
    start + byteLengthOf(bytes) <= first + byteLengthOf(all);
  if (inside) return;
  throw new RangeError("the bytes do not lie inside the registered buffer");
}
