/** The content of a file of a zip, which can be read at any place. */

import type { Awaitable } from "./awaitable.ts";
import { bad } from "./zip_tree.ts";

/** Bytes that are read of the zip at once. */
const PIECE = 2 ** 17;
/** Bytes that are inflated at once, to at most 8 MiB: deflate makes 1 byte of 1032. */
const MORSEL = 2 ** 13;
/** Bytes that are kept from before the last read: more than the kernel reads ahead. */
const KEPT = 2 ** 22;

/** Returns bytes as the zip has them. */
type Part = (from: number, to: number) => Awaitable<Uint8Array>;

/** An open file. */
export interface Content {
  /** Fills memory with bytes from an offset on, and returns their number. */
  read(into: Uint8Array, offset: number): Awaitable<number | Uint8Array>;
  close(): Awaitable<void>;
}

/** A file that is not compressed. */
export class Stored implements Content {
  constructor(readonly part: Part, readonly size: number) {}

  async read(into: Uint8Array, offset: number): Promise<number | Uint8Array> {
    const length = Math.min(into.length, this.size - offset);
    if (length <= 0) return 0;
    const bytes = await this.part(offset, offset + length);
    if (bytes.length < length) throw bad("a file ends early");
    return bytes;
  }

  close(): void {}
}

/**
 * A compressed file. A read goes on where the last one has ended, or is answered from
 * what is kept. A read from before that inflates from the start again.
 */
export class Inflation implements Content {
  #reader: ReadableStreamDefaultReader<Uint8Array> | null = null;
  /** The bytes that were inflated last, up to byte `#end`. */
  #kept: { readonly at: number; readonly bytes: Uint8Array }[] = [];
  #end = 0;
  #turn: Promise<unknown> = Promise.resolve();

  /** @param packed Bytes in the zip. */
  constructor(
    readonly part: Part,
    readonly packed: number,
    readonly size: number,
  ) {}

  /** Reads take turns. */
  read(into: Uint8Array, offset: number): Promise<number> {
    const length = Math.min(into.length, this.size - offset);
    if (length <= 0) return Promise.resolve(0);
    const read = () => this.#read(into.subarray(0, length), offset);
    const done = this.#turn.then(read);
    this.#turn = done.catch(() => this.close());
    return done;
  }

  /** Frees the memory. A later read starts again. */
  async close(): Promise<void> {
    const reader = this.#reader;
    this.#reader = null;
    this.#kept = [];
    this.#end = 0;
    await reader?.cancel().catch(() => {});
  }

  async #read(into: Uint8Array, offset: number): Promise<number> {
    if (offset < (this.#kept[0]?.at ?? 0)) await this.close();
    const end = offset + into.length;
    this.#reader ??= this.#open();
    while (this.#end < end) {
      const { value: bytes } = await this.#reader.read();
      if (bytes === undefined) throw bad("a file ends early");
      this.#kept.push({ at: this.#end, bytes });
      this.#end += bytes.length;
      const needed = Math.min(offset, this.#end - KEPT);
      const first = this.#kept.findIndex(({ at, bytes }) =>
        at + bytes.length > needed
      );
      this.#kept.splice(0, first < 0 ? this.#kept.length - 1 : first);
    }
    for (const { at, bytes } of this.#kept) {
      const from = Math.max(offset - at, 0);
      if (from >= bytes.length || at >= end) continue;
      into.set(bytes.subarray(from, end - at), at + from - offset);
    }
    return into.length;
  }

  #open(): ReadableStreamDefaultReader<Uint8Array> {
    const morsels = ReadableStream.from(this.#morsels());
    return morsels.pipeThrough(new DecompressionStream("deflate-raw"))
      .getReader();
  }

  async *#morsels(): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    for (let at = 0; at < this.packed; at += PIECE) {
      const piece = await this.part(at, at + PIECE) as Uint8Array<ArrayBuffer>;
      for (let from = 0; from < piece.length; from += MORSEL) {
        yield piece.subarray(from, from + MORSEL);
      }
    }
  }
}
