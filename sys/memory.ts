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
 * @module
 */

import { libc, mmap, syscall } from "./libc.ts";
import { MAP_POPULATE, MAP_SHARED, PROT_READ, PROT_WRITE } from "./mman.ts";

/** Arenas are rounded up to this many bytes. */
export const PAGE = 65536;

const addresses = new WeakMap<ArrayBufferLike, number>();

/** Makes an arena of at least `byteLength` bytes, zeroed and 64 KiB aligned. */
export function arena(byteLength: number): ArrayBuffer {
  const pages = Math.max(1, Math.ceil(byteLength / PAGE));
  libc(); // So that a missing permission is named before memory is taken.
  // A maximum equal to the size keeps V8 from reserving gigabytes around it.
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const buffer = memory.buffer as ArrayBuffer; // It is not `shared`.
  const pointer = Deno.UnsafePointer.of(new Uint8Array(buffer));
  // User space ends at 2^47 on these machines, far below 2^53.
  addresses.set(buffer, Number(Deno.UnsafePointer.value(pointer)));
  return buffer;
}

/** The address of the first byte of an arena; `undefined` for other buffers. */
export function addressOf(buffer: ArrayBufferLike): number | undefined {
  return addresses.get(buffer);
}

/** A part of a ring, mapped. */
export interface Mapping {
  readonly address: number;
  readonly buffer: ArrayBuffer;
}

/** Maps `byteLength` bytes of a ring; a negative number is `-errno`. */
export function map(
  fd: number,
  byteLength: number,
  offset: number,
): Mapping | number {
  const address = mmap(
    byteLength,
    PROT_READ | PROT_WRITE,
    MAP_SHARED | MAP_POPULATE,
    fd,
    offset,
  );
  if (address < 0) return address;
  const pointer = Deno.UnsafePointer.create(BigInt(address));
  const buffer = Deno.UnsafePointerView.getArrayBuffer(pointer!, byteLength);
  return { address, buffer };
}

/** Detaches every view of a mapping, then unmaps it. */
export function unmap({ address, buffer }: Mapping): void {
  const { byteLength } = buffer;
  // The new buffer is empty; the memory itself is not JavaScript's to free.
  buffer.transfer(0);
  syscall("munmap", address, byteLength);
}

let scratchArena: ArrayBuffer | undefined;

/**
 * Memory for the arguments of one synchronous system call. The next caller
 * overwrites it, so it is never given to anything that outlives the call.
 */
export function scratch(): { view: DataView; bytes: Uint8Array; at: number } {
  scratchArena ??= arena(PAGE);
  return {
    view: new DataView(scratchArena),
    bytes: new Uint8Array(scratchArena),
    at: addresses.get(scratchArena)!,
  };
}
