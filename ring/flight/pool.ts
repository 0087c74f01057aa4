/**
 * Memory for what commands point at, in arenas.
 *
 * **Contract.** A block belongs to one slot from `take` to `give`, and is given
 * back only after the last CQE of the slot's command. Blocks are kept for ever
 * and used again, so that a steady load allocates nothing. There is one pool in
 * an isolate: blocks outlive the rings they served.
 *
 * @module
 */

import { type Arena, arena, arenaOf, PAGE } from "../../sys/arena.ts";

/** A piece of an arena. */
export class Block {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly arena: Arena;
  readonly #offset: number = 0;

  constructor(buffer: ArrayBuffer, byteOffset: number, byteLength: number) {
    this.#offset = byteOffset;
    this.bytes = new Uint8Array(buffer, byteOffset, byteLength);
    this.view = new DataView(buffer, byteOffset, byteLength);
    this.arena = arenaOf(buffer)!;
  }

  /** What the kernel is given, for as long as the block is taken. */
  get address(): number {
    return this.arena.address + this.#offset;
  }
}

/** Blocks are of 64 bytes times a power of four, up to 1 MiB. */
const SMALLEST = 64;
const LARGEST = 1 << 20;

interface Size {
  readonly byteLength: number;
  readonly free: Block[];
  /** What is left of the arena that new blocks are cut from. */
  rest: { buffer: ArrayBuffer; offset: number } | null;
}

const sizes: Size[] = [];
for (let byteLength = SMALLEST; byteLength <= LARGEST; byteLength *= 4) {
  sizes.push({ byteLength, free: [], rest: null });
}

/** A block of at least `byteLength` bytes. What is in it is left over. */
export function take(byteLength: number): Block {
  for (const size of sizes) {
    if (byteLength <= size.byteLength) return size.free.pop() ?? cut(size);
  }
  return new Block(arena(byteLength), 0, byteLength);
}

/** Gives a block back. One larger than the pool keeps is left to be collected. */
export function give(block: Block): void {
  for (const size of sizes) {
    if (block.bytes.length === size.byteLength) {
      size.free.push(block);
      return;
    }
  }
}

/** What the kernel may use for ever: blocks whose completion never came. */
const abandoned: Block[] = [];

/** Keeps a block and its address for good. */
export function abandon(block: Block): void {
  block.arena.held = true;
  abandoned.push(block);
}

function cut(size: Size): Block {
  let rest = size.rest;
  if (rest === null || rest.offset + size.byteLength > rest.buffer.byteLength) {
    const buffer = arena(Math.max(PAGE, size.byteLength), true);
    rest = { buffer, offset: 0 };
    size.rest = rest;
  }
  const made = new Block(rest.buffer, rest.offset, size.byteLength);
  rest.offset += size.byteLength;
  return made;
}
