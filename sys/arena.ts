/**
 * Memory with a known address.
 *
 * **Contract.** The kernel gets addresses of two kinds of memory only:
 * - an *arena*, the buffer of a `WebAssembly.Memory` of fixed size. JavaScript
 *   cannot detach, transfer or resize it, and it stays as long as a view of it
 *   is reachable. This module drops the `Memory` object, because its `grow` is
 *   the one operation that would detach the buffer;
 * - a *mapping* of a ring. Its buffer is detached before it is unmapped, so
 *   that a view of a closed ring has length 0 and never faults.
 *
 * V8 unmaps an arena when its isolate ends, which for a worker is at any time,
 * while the kernel may still write to it. So the pages of an arena are mapped
 * twice: at its *home*, where JavaScript sees them, and at an *alias*, which the
 * kernel gets. Only this module unmaps an alias: when the buffer was collected,
 * when the last ring was closed, when a service has ended, or when there are many, and never one that a
 * command in flight uses. The aliases of a terminated worker stay.
 *
 * @module
 */

import { bytesAt } from "./bytes.ts";
import { errnoName } from "./errno_names.ts";
import { libc, mmap, mremap, permitted, syscall } from "./libc.ts";
import { addressOf } from "./pointer.ts";
import * as mman from "./uapi/mman.ts";

/** Bytes that the size of an arena is a multiple of: a page of WebAssembly. */
export const PAGE = 65536;
/** Bytes of address space reserved around an alias, some on each side of it. */
const GUARDED = 2 * PAGE;
/** Bytes that have an alias before idle aliases are unmapped: 256 MiB. */
const LARGE = 256 << 20;

// As they are at load: what a program puts in their place would get the `Memory`.
const { Memory } = WebAssembly;
const { get: bufferOf } = Object.getOwnPropertyDescriptor(
  Memory.prototype,
  "buffer",
)!;

/** The two addresses of an arena's pages. It does not keep the buffer alive. */
export class Arena {
  /** The alias stays until the buffer is collected. */
  held = false;
  /** Services that have the address until they end. */
  services = 0;
  /**
   * The address of the alias in units of {@linkcode PAGE}, as an integer of 32 bits;
   * 0 for no alias. It changes only while no command in flight uses the arena.
   */
  page = 0;
  /** Start of the address space reserved around the alias. */
  #reserved = 0;

  /** The alias of a `pooled` arena stays while a ring is open. */
  constructor(
    readonly home: number,
    readonly byteLength: number,
    readonly pooled: boolean,
  ) {}

  /** The address of the first byte for the kernel, at the alias. */
  get address(): number {
    this.map();
    return this.page * PAGE;
  }

  /** Gives the arena an alias, unless it has one. */
  map(): void {
    if (this.page === 0) this.#map();
  }

  /**
   * Maps the pages a second time, as mremap() does for an old size of 0. The alias
   * is aligned like the home and has guard pages on both sides, so that the kernel
   * gets EFAULT where it would write beyond an end. A call that was cut short is
   * made again with the pages that it has reserved.
   */
  #map(): void {
    if (aliasedBytes >= large) unmapIdle();
    const size = this.byteLength + GUARDED;
    const empty = mman.MAP_PRIVATE | mman.MAP_ANONYMOUS;
    if (!aliased.has(this)) {
      aliased.add(this);
      aliasedBytes += this.byteLength;
    }
    if (this.#reserved === 0) {
      const rc = mmap(size, mman.PROT_NONE, empty, -1, 0);
      if (rc > 0) this.#reserved = rc;
      else throw cannotMap(size, -rc);
    }
    const reserved = this.#reserved;
    const alias = Math.ceil((reserved + 1) / PAGE) * PAGE;
    const flags = mman.MREMAP_MAYMOVE | mman.MREMAP_FIXED;
    const rc = mremap(this.home, 0, this.byteLength, flags, alias);
    if (rc < 0) {
      this.unmap();
      throw cannotMap(size, -rc);
    }
    this.page = alias / PAGE;
  }

  unmap(): void {
    if (!aliased.delete(this)) return;
    aliasedBytes -= this.byteLength;
    this.page = 0;
    const reserved = this.#reserved;
    if (reserved !== 0) syscall("munmap", reserved, this.byteLength + GUARDED);
    this.#reserved = 0;
  }
}

// A program that redefines these would get the memory of other commands.
const { get, set } = WeakMap.prototype;
const { register } = FinalizationRegistry.prototype;
const arenas = new WeakMap<ArrayBufferLike, Arena>();
const collected = new FinalizationRegistry<Arena>((arena) => arena.unmap());

/** The arenas that have an alias, and how many bytes there are in them. */
const aliased = new Set<Arena>();
let aliasedBytes = 0;
let large = LARGE;

/** For each open ring, the arenas that its commands in flight use. */
const rings = new Set<() => Iterable<Arena>>();

/** Registers an open ring: `used` returns the arenas it uses. */
export function enterUse(used: () => Iterable<Arena>): void {
  rings.add(used);
}

/** Removes a closed ring. The kernel has released all that it used. */
export function leaveUse(used: () => Iterable<Arena>): void {
  rings.delete(used);
  if (rings.size === 0) unmapIdle();
}

function unmapIdle(): void {
  const used = new Set<Arena>();
  for (const arenasOf of rings) for (const each of arenasOf()) used.add(each);
  for (const each of aliased) {
    const needed = each.held || each.services > 0 ||
      used.has(each) || each.pooled && rings.size > 0;
    if (!needed) each.unmap();
  }
  // If most aliases are in use, the next scan comes later.
  large = Math.max(LARGE, 2 * aliasedBytes);
}

/**
 * Makes an arena of at least `byteLength` bytes, zeroed and 64 KiB aligned.
 * A `pooled` arena may be in use outside of commands, too.
 */
export function arena(byteLength: number, pooled = false): ArrayBuffer {
  const pages = Math.max(1, Math.ceil(byteLength / PAGE));
  libc(); // Names a missing permission before memory is taken.
  const size = pages * PAGE;
  // A maximum equal to the size keeps V8 from reserving gigabytes around it.
  const memory = new Memory({ initial: pages, maximum: pages });
  const buffer = bufferOf!.call(memory) as ArrayBuffer; // It is not `shared`.
  // User space ends at 2^47 on these machines, far below 2^53.
  const home = permitted(`${byteLength} bytes cannot be allocated`, () => {
    return addressOf(bytesAt(buffer, 0, size));
  });
  // Private pages, as V8 maps them, cannot be mapped twice. Pages that are never
  // touched take no memory.
  const flags = mman.MAP_SHARED | mman.MAP_ANONYMOUS | mman.MAP_FIXED |
    mman.MAP_NORESERVE;
  const rc = mmap(size, mman.PROT_READ | mman.PROT_WRITE, flags, -1, 0, home);
  if (rc < 0) throw cannotMap(size, -rc);
  const made = new Arena(home, size, pooled);
  set.call(arenas, buffer, made);
  register.call(collected, buffer, made);
  return buffer;
}

function cannotMap(byteLength: number, errno: number): RangeError {
  return new RangeError(
    `${byteLength} bytes of memory cannot be mapped: ${errnoName(errno)}. ` +
      "The process has reached a limit: of memory, of address space " +
      "(`ulimit -v`), or of mappings (the sysctl vm.max_map_count), of which " +
      "each alloc() takes some.",
  );
}

/**
 * Returns the arena of a buffer; `undefined` for other buffers. Its address stays
 * while a command in flight uses the arena.
 */
export function arenaOf(buffer: ArrayBufferLike): Arena | undefined {
  return get.call(arenas, buffer) as Arena | undefined;
}

/** Removes a service that has ended from arenas that it had the addresses of. */
export function leaveService(served: Iterable<Arena>): void {
  for (const each of served) each.services--;
  unmapIdle();
}

/**
 * Returns the address of the first byte of an arena, which stays as long as the
 * buffer; `undefined` for other buffers.
 */
export function lastingAddressOf(buffer: ArrayBufferLike): number | undefined {
  const found = arenaOf(buffer);
  if (found !== undefined) found.held = true;
  return found?.address;
}
