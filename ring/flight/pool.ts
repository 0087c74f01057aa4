/**
 * Memory for what commands point at, in arenas.
 *
 * **Contract.** A block belongs to one slot from `take` to `give`, and is given
 * back only after the last CQE of the slot's command. Blocks are kept and used
 * again, so that a steady load allocates nothing; after a burst, blocks that stay
 * idle are left to the garbage collector. There is one pool in an isolate: blocks
 * outlive the rings they served.
 *
 * @module
 */

import { type Arena, arena, arenaOf, PAGE } from "../../sys/arena.ts";
import { bytesAt, viewAt } from "../../sys/bytes.ts";
import { append, partOf } from "../intrinsics.ts";

/** A piece of an arena. */
export class Block {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly arena: Arena;
  readonly size: Size | null;
  /** The next free block of its size. */
  next: Block | null = null;
  readonly #offset: number = 0;
  /** The last result of {@linkcode first}. */
  #first: Uint8Array;

  constructor(
    size: Size | null,
    buffer: ArrayBuffer,
    byteOffset: number,
    byteLength: number,
  ) {
    this.size = size;
    this.#offset = byteOffset;
    this.bytes = bytesAt(buffer, byteOffset, byteLength);
    this.#first = this.bytes;
    this.view = viewAt(buffer, byteOffset, byteLength);
    this.arena = arenaOf(buffer)!;
  }

  /**
   * Returns the first bytes. The view is kept: most uses of a block have one length,
   * and to make a view takes as long as to copy some KiB.
   */
  first(byteLength: number): Uint8Array {
    if (this.#first.length !== byteLength) {
      this.#first = partOf(this.bytes, 0, byteLength);
    }
    return this.#first;
  }

  /** The address for the kernel, which holds for as long as the block is taken. */
  get address(): number {
    return this.arena.address + this.#offset;
  }
}

/** Blocks are of 64 bytes times a power of four, up to 1 MiB. */
const SMALLEST = 64;
const LARGEST = 1 << 20;

/** Free bytes of one size above which the pool looks for idle blocks. */
const LARGE = 16 << 20;
/** Milliseconds until it does. */
const LOOK_MS = 2000;

/** The blocks of one size. */
class Size {
  readonly byteLength: number;
  /** The free blocks, as a list: to add one takes no call that could throw. */
  free: Block | null = null;
  freeCount = 0;
  /** Blocks that are taken, and most at a time since the last look. */
  taken = 0;
  peak = 0;
  /** The arena that new blocks are cut from, and where its unused part begins. */
  #buffer: ArrayBuffer | null = null;
  #offset = 0;

  constructor(byteLength: number) {
    this.byteLength = byteLength;
  }

  take(): Block {
    const block = this.free ?? this.#cut();
    if (block === this.free) {
      this.free = block.next;
      this.freeCount--;
    }
    this.taken++;
    if (this.taken > this.peak) this.peak = this.taken;
    return block;
  }

  give(block: Block): void {
    block.next = this.free;
    this.free = block;
    this.freeCount++;
    this.taken--;
  }

  /** Leaves the free blocks to be collected, if most were idle. */
  trim(): void {
    if (this.freeCount > 2 * this.peak) {
      this.free = null;
      this.freeCount = 0;
      this.#buffer = null;
    }
    this.peak = this.taken;
  }

  #cut(): Block {
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
  append(sizes, new Size(byteLength));
}

/** Takes a block of at least `byteLength` bytes, with an earlier user's content. */
export function take(byteLength: number): Block {
  for (const size of sizes) {
    if (byteLength <= size.byteLength) return size.take();
  }
  return new Block(null, arena(byteLength), 0, byteLength);
}

/** Some size has more free blocks than are kept without a look. */
let crowded = false;

/**
 * Gives a block back. One that is larger than the pool keeps is collected. It only
 * stores, because its callers are half-way: see {@linkcode lookIfCrowded}.
 */
export function give(block: Block): void {
  const { size } = block;
  if (size === null) return;
  size.give(block);
  if (size.freeCount * size.byteLength > LARGE) crowded = true;
}

/** Returns `true` if blocks were given back that are worth a look. */
export function isCrowded(): boolean {
  return crowded;
}

/**
 * Has idle blocks looked for some time after many were given back. Call it where the
 * queues are in order: a hook of `node:async_hooks` runs inside `setTimeout`.
 */
export function lookIfCrowded(): void {
  if (!crowded) return;
  crowded = false;
  lookLater();
}

/** Rings that are open, and the timer of the next look while there are some. */
let rings = 0;
let timer: ReturnType<typeof setTimeout> | undefined;

function lookLater(): void {
  if (timer !== undefined || rings === 0) return;
  timer = setTimeout(look, LOOK_MS);
  Deno.unrefTimer(timer);
}

function look(): void {
  timer = undefined;
  for (const size of sizes) {
    size.trim();
    if (size.freeCount * size.byteLength > LARGE) lookLater();
  }
}

/** Tells the pool that a ring was opened. */
export function enterPool(): void {
  rings++;
}

/** Tells the pool that a ring was closed. With the last one, idle memory goes. */
export function leavePool(): void {
  if (--rings > 0) return;
  clearTimeout(timer);
  timer = undefined;
  for (const size of sizes) {
    size.peak = size.freeCount * size.byteLength > PAGE ? 0 : size.freeCount;
    size.trim();
  }
}

/** Blocks that the kernel may still write to: their completion never came. */
const abandoned: Block[] = [];

/** Keeps a block and its address for good. */
export function abandon(block: Block): void {
  block.arena.held = true;
  append(abandoned, block);
}
