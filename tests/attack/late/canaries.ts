/** Memory around that of a command, which must not change. */

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { type Block, give, take } from "../../../ring/flight/pool.ts";
import { arenaOf, PAGE } from "../../../sys/arena.ts";
import { Page, PAGE_SIZE } from "./pages.ts";

/** The byte that the memory is filled with. */
export const CANARY = 0x5c;

export class Canaries implements Disposable {
  readonly #arrays: Uint8Array[] = [];
  readonly #fences: Page[] = [];
  readonly #blocks: Block[];
  /** The block that the next command gets whose memory is copied. */
  readonly #used: Block;

  /** For commands of `byteLength` bytes, in the pool's memory. */
  constructor(byteLength: number) {
    const blocks = Array.from({ length: 9 }, () => take(byteLength));
    blocks.sort((a, b) => a.address - b.address);
    [this.#used] = blocks.splice(4, 1);
    this.#blocks = blocks;
    this.#arrays.push(...blocks.map(({ bytes }) => bytes.fill(CANARY)));
    give(this.#used);
  }

  /** Arrays of some size, which lie where arrays lie. */
  surround(byteLength: number): void {
    for (let i = 0; i < 16; i++) {
      this.#arrays.push(new Uint8Array(byteLength).fill(CANARY));
    }
  }

  /** Maps a page before an arena and one after it, where nothing is mapped. */
  fence(arena: ArrayBufferLike): void {
    const at = arenaOf(arena)!.address;
    const end = at + Math.ceil(arena.byteLength / PAGE) * PAGE;
    for (const place of [at - PAGE_SIZE, end]) {
      const page = Page.at(place, CANARY);
      if (page !== null) this.#fences.push(page);
    }
  }

  /** Checks that no byte has changed, and that the block was released once. */
  check(): void {
    for (const bytes of this.#arrays) {
      assert(bytes.every((byte) => byte === CANARY), "a canary is dead");
    }
    assert(this.#fences.every((page) => page.intact), "a fence is broken");
    const [first, second] = [0, 1].map(() => take(this.#used.bytes.length));
    assertStrictEquals(first, this.#used);
    assertEquals(first === second, false);
    give(second);
    give(first);
  }

  [Symbol.dispose](): void {
    for (const block of this.#blocks) give(block);
    for (const page of this.#fences) page[Symbol.dispose]();
  }
}
