/** Parts of a ring, mapped. */

import { mmap, syscall } from "./libc.ts";
import {
  MAP_POPULATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "./uapi/mman.ts";

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

/**
 * Detaches every view of a mapping, then unmaps it. One whose buffer somebody has
 * transferred stays: there are views of it that cannot be found.
 */
export function unmap({ address, buffer }: Mapping): void {
  if (buffer.detached) return;
  const { byteLength } = buffer;
  // The new buffer is empty; the memory itself is not JavaScript's to free.
  buffer.transfer(0);
  syscall("munmap", address, byteLength);
}
