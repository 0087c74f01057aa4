/** The memory of the tags of a queue. */

import { bytesAt } from "../../sys/bytes.ts";
import type { Service } from "../../ring/service/service.ts";
import { BlockError } from "./errors.ts";

/** Memory of one tag. */
interface Memory {
  readonly bytes: Uint8Array;
  readonly address: number;
}

/**
 * Memory of the service for each tag, into which the driver copies a write, and from
 * which it copies a read. A handler that is answered for while it runs keeps its memory
 * until it has settled, and the tag gets other: the next request of the tag is safe
 * from a late handler.
 */
export class TagMemory {
  readonly #service: Service;
  readonly #byteLength: number;
  readonly #memory: Memory[] = [];
  /** For each tag, a view of its memory with the length of the last request. */
  readonly #views: Uint8Array[] = [];
  readonly #spare: Memory[] = [];

  constructor(service: Service, tags: number, byteLength: number) {
    this.#service = service;
    this.#byteLength = byteLength;
    const all = service.alloc(tags * byteLength);
    for (let tag = 0; tag < tags; tag++) {
      this.#give(
        tag,
        this.#of(bytesAt(all.buffer, tag * byteLength, byteLength)),
      );
    }
  }

  #of(bytes: Uint8Array): Memory {
    return { bytes, address: this.#service.keep(bytes) };
  }

  #give(tag: number, memory: Memory): void {
    this.#memory[tag] = memory;
    this.#views[tag] = memory.bytes;
  }

  /** Returns the address of a tag's memory, for the driver. */
  addressOf(tag: number): number {
    return this.#memory[tag].address;
  }

  /** Returns the memory of a tag, as long as its request. */
  view(tag: number, length: number): Uint8Array {
    const view = this.#views[tag];
    if (view.length === length) return view;
    const { bytes } = this.#memory[tag];
    if (length > bytes.length) throw new BlockError("EIO", `${length} bytes`);
    return this.#views[tag] = bytesAt(bytes.buffer, bytes.byteOffset, length);
  }

  /**
   * Gives a tag other memory until a promise has settled. It does not throw: where
   * there is no memory, the tag keeps its own.
   */
  exchange(tag: number, until: PromiseLike<unknown>): void {
    const memory = this.#memory[tag];
    try {
      const other = this.#spare.pop() ??
        this.#of(this.#service.alloc(this.#byteLength));
      this.#give(tag, other);
    } catch {
      return;
    }
    const giveBack = () => void this.#spare.push(memory);
    Promise.resolve(until).then(giveBack, giveBack);
  }
}
