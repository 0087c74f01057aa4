/**
 * Memory for what commands point at, in arenas.
 *
 * **Contract.** A block belongs to one slot from `take` to `give`, and is given
 * back only after the last CQE of the slot's command. Blocks are kept and used
 * again, so that a steady load allocates nothing. There is one pool in an isolate:
 * blocks outlive the rings they served.
 *
 * @module
 */

import { type Arena, arena, arenaOf, PAGE } from "../../sys/arena.ts";

/** A piece of an arena. */
export class Block {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly arena: Arena;
  readonly size: Size | null;
  /** The next free block of its size. */
  next: Block | null = null;
  readonly #offset: number = 0;

  constructor(
    size: Size | null,
    buffer: ArrayBuffer,
    byteOffset: number,
    byteLength: number,
  ) {
    this.size = size;
    this.#offset = byteOffset;
    this.bytes = new Uint8Array(buffer, byteOffset, byteLength);
    this.view = new DataView(buffer, byteOffset, byteLength);
    this.arena = arenaOf(buffer)!;
  }

  /** The address for the kernel, which holds for as long as the block is taken. */
  get address(): number {
    return this.arena.address + this.#offset;
  }
}

/** Blocks are of 64 bytes times a power of four, up to 1 MiB. */
const SMALLEST = 64;
const LARGEST = 1 << 20;

/** The blocks of one size. */
class Size {
  readonly byteLength: number;
  /** The free blocks, as a list: to add one takes no call that could throw. */
  free: Block | null = null;
  /** The arena that new blocks are cut from, and where its unused part begins. */
  #buffer: ArrayBuffer | null = null;
  #offset = 0;

  constructor(byteLength: number) {
    this.byteLength = byteLength;
  }

  cut(): Block {
    const { byteLength } = this;
    let buffer = this.#buffer;
    if (buffer === null || this.#offset + byteLength > buffer.byteLength) {
      buffer = this.#buffer = arena(Math.max(PAGE, byteLength), true);
      this.#offset = 0;
    }
    const made = new Block(this, buffer, this.#offset, byteLength);
    this.#offset += byteLength;
    return made;
  }
}

const sizes: Size[] = [];
for (let byteLength = SMALLEST; byteLength <= LARGEST; byteLength *= 4) {
  sizes.push(new Size(byteLength));
}

/** Takes a block of at least `byteLength` bytes, with an earlier user's content. */
export function take(byteLength: number): Block {
  for (const size of sizes) {
    if (byteLength > size.byteLength) continue;
    const block = size.free;
    if (block === null) return size.cut();
    size.free = block.next;
    return block;
  }
  return new Block(null, arena(byteLength), 0, byteLength);
}

/** Gives a block back. One that is larger than the pool keeps is collected. */
export function give(block: Block): void {
  const { size } = block;
  if (size === null) return;
  block.next = size.free;
  size.free = block;
}

/** Blocks that the kernel may still write to: their completion never came. */
const abandoned: Block[] = [];

/** Keeps a block and its address for good. */
export function abandon(block: Block): void {
  block.arena.held = true;
  abandoned.push(block);
}
