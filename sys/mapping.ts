/** Mappings of a ring's memory. */

import { mmap, permitted, syscall } from "./libc.ts";
import * as mman from "./uapi/mman.ts";

/** A mapped part of a ring. */
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
  const prot = mman.PROT_READ | mman.PROT_WRITE;
  const flags = mman.MAP_SHARED | mman.MAP_POPULATE;
  const address = mmap(byteLength, prot, flags, fd, offset);
  if (address < 0) return address;
  try {
    const buffer = permitted("a ring cannot be mapped", () => {
      const pointer = Deno.UnsafePointer.create(BigInt(address))!;
      return Deno.UnsafePointerView.getArrayBuffer(pointer, byteLength);
    });
    return { address, buffer };
  } catch (error) {
    syscall("munmap", address, byteLength);
    throw error;
  }
}

/**
 * Detaches every view of a mapping, then unmaps it. It leaves a mapping whose
 * buffer the program has transferred: views of that memory cannot be found.
 */
export function unmap({ address, buffer }: Mapping): void {
  if (buffer.detached) return;
  const { byteLength } = buffer;
  // The new buffer is empty; the memory itself is not JavaScript's to free.
  buffer.transfer(0);
  syscall("munmap", address, byteLength);
}
