/**
 * Memory with a known address.
 *
 * **Contract.** The kernel is given addresses of two kinds of memory only:
 * - an *arena*, the buffer of a `WebAssembly.Memory` of fixed size. JavaScript
 *   cannot detach, transfer or resize it, and it stays as long as a view of it
 *   is reachable. The `Memory` object is dropped here, so that nobody can
 *   `grow` it, which is the one operation that would detach the buffer;
 * - a *mapping* of a ring. Its buffer is detached before it is unmapped, so
 *   that a view of a closed ring has length 0 and never faults.
 *
 * V8 unmaps an arena when its isolate ends, as that of a worker does at any
 * time, while the kernel may still write to it. So the pages of an arena are
 * mapped twice: at its *home*, where JavaScript sees them, and at an *alias*,
 * which is what the kernel is given, and which nobody unmaps but this module:
 * when the buffer was collected, when the last ring was closed, or when there are
 * many, and always those only that no command under way uses. Those of a worker
 * that was terminated stay.
 *
 * @module
 */

import { errnoName } from "./errno_names.ts";
import { libc, mmap, mremap, syscall } from "./libc.ts";
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from "./uapi/mman.ts";

/** Arenas are rounded up to this many bytes. */
export const PAGE = 65536;
/** Addresses that are reserved around an alias, some on each side of it. */
const GUARDED = 2 * PAGE;
/** Bytes behind aliases, before those that are idle are unmapped. */
const LARGE = 256 << 20;

/** The two places of an arena's pages. It does not keep the buffer alive. */
export class Arena {
  readonly home: number;
  readonly byteLength: number;
  /** Keeps its alias until the buffer is collected. */
  held = false;
  /** Keeps its alias while there is a ring. */
  readonly pooled: boolean;
  #alias = 0;
  /** Where the addresses begin that were reserved for the alias. */
  #reserved = 0;

  constructor(home: number, byteLength: number, pooled: boolean) {
    this.home = home;
    this.byteLength = byteLength;
    this.pooled = pooled;
  }

  /** What the kernel is given for the first byte. */
  get address(): number {
    return this.#alias !== 0 ? this.#alias : this.#map();
  }

  /**
   * Maps the pages once more, as mremap() does for an old size of 0: aligned like
   * the home, and between addresses that stay without memory, so that nothing lies
   * where the kernel would write beyond an end.
   */
  #map(): number {
    if (aliasedBytes >= large) unmapIdle();
    const size = this.byteLength + GUARDED;
    const reserved = mmap(size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (reserved < 0) throw cannotMap(size, -reserved);
    const alias = Math.ceil((reserved + 1) / PAGE) * PAGE;
    const flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    const rc = mremap(this.home, 0, this.byteLength, flags, alias);
    if (rc < 0) {
      syscall("munmap", reserved, size);
      throw cannotMap(size, -rc);
    }
    aliased.add(this);
    aliasedBytes += this.byteLength;
    this.#reserved = reserved;
    return this.#alias = alias;
  }

  unmap(): void {
    if (!aliased.delete(this)) return;
    aliasedBytes -= this.byteLength;
    syscall("munmap", this.#reserved, this.byteLength + GUARDED);
    this.#alias = 0;
  }
}

const arenas = new WeakMap<ArrayBufferLike, Arena>();
const collected = new FinalizationRegistry<Arena>((arena) => arena.unmap());

/** The arenas that have an alias, and how many bytes there are in them. */
const aliased = new Set<Arena>();
let aliasedBytes = 0;
let large = LARGE;

/** What commands under way use, of each ring. */
const rings = new Set<() => Iterable<Arena>>();

/** A ring was opened, which can tell what arenas it uses. */
export function enterUse(used: () => Iterable<Arena>): void {
  rings.add(used);
}

/** That ring was closed, and the kernel has let go of all that it used. */
export function leaveUse(used: () => Iterable<Arena>): void {
  rings.delete(used);
  if (rings.size === 0) unmapIdle();
}

function unmapIdle(): void {
  const used = new Set<Arena>();
  for (const arenasOf of rings) for (const each of arenasOf()) used.add(each);
  for (const each of aliased) {
    const needed = each.held || used.has(each) || each.pooled && rings.size > 0;
    if (!needed) each.unmap();
  }
  // Where most are in use, it is not soon looked for idle ones again.
  large = Math.max(LARGE, 2 * aliasedBytes);
}

/**
 * Makes an arena of at least `byteLength` bytes, zeroed and 64 KiB aligned. One
 * that is `pooled` may be in use outside of commands, too.
 */
export function arena(byteLength: number, pooled = false): ArrayBuffer {
  const pages = Math.max(1, Math.ceil(byteLength / PAGE));
  libc(); // So that a missing permission is named before memory is taken.
  // A maximum equal to the size keeps V8 from reserving gigabytes around it.
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const buffer = memory.buffer as ArrayBuffer; // It is not `shared`.
  const pointer = Deno.UnsafePointer.of(new Uint8Array(buffer));
  // User space ends at 2^47 on these machines, far below 2^53.
  const home = Number(Deno.UnsafePointer.value(pointer));
  const size = pages * PAGE;
  // Pages of V8's own could not be mapped twice. Those that are never touched
  // need not be there.
  const flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
  const rc = mmap(size, PROT_READ | PROT_WRITE, flags, -1, 0, home);
  if (rc < 0) throw cannotMap(size, -rc);
  const made = new Arena(home, size, pooled);
  arenas.set(buffer, made);
  collected.register(buffer, made);
  return buffer;
}

function cannotMap(byteLength: number, errno: number): RangeError {
  return new RangeError(
    `${byteLength} bytes of memory cannot be mapped: ${
      errnoName(errno)
    }. The ` +
      "process has reached a limit: memory, `ulimit -v`, or mappings, of which " +
      "the sysctl vm.max_map_count says how many there can be: each memory of " +
      "alloc() takes some.",
  );
}

/** The arena of a buffer; `undefined` for other buffers. */
export function arenaOf(buffer: ArrayBufferLike): Arena | undefined {
  return arenas.get(buffer);
}

/**
 * The address of the first byte of an arena, which stays while a command under
 * way uses the arena; `undefined` for other buffers.
 */
export function addressOf(buffer: ArrayBufferLike): number | undefined {
  return arenas.get(buffer)?.address;
}

/** The same, where the address stays as long as the buffer. */
export function lastingAddressOf(buffer: ArrayBufferLike): number | undefined {
  const found = arenas.get(buffer);
  if (found !== undefined) found.held = true;
  return found?.address;
}
