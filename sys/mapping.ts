/** Mappings of memory that the kernel shares: of a ring, or of a driver. */

import { mmap, permitted, syscall } from "./libc.ts";
import { bufferAt } from "./pointer.ts";
import * as mman from "./uapi/mman.ts";

// A program that redefines these would get the queues.
const { prototype } = ArrayBuffer;
const { transfer } = prototype;
const { get: detached } = Object.getOwnPropertyDescriptor(
  prototype,
  "detached",
)!;

/** Memory of the kernel that is mapped, or about to be. */
export class Mapping {
  /** 0 before it is mapped, and after. */
  address = 0;
  byteLength = 0;
  /** The mapped bytes; empty before and after. */
  buffer: ArrayBuffer = new ArrayBuffer(0);
}

/**
 * Maps `byteLength` bytes of a ring into `mapping`. Returns 0, or `-errno`. From the
 * system call on, {@linkcode unmap} finds what to undo, even if this call is cut
 * short.
 */
export function map(
  mapping: Mapping,
  fd: number,
  byteLength: number,
  offset: number,
): number {
  const prot = mman.PROT_READ | mman.PROT_WRITE;
  return mapAs(prot, mapping, fd, byteLength, offset);
}

/**
 * Maps memory that a driver lets this process only read. A store into the buffer ends
 * the process with SIGSEGV, so that no caller hands it on.
 */
export function mapReadOnly(
  mapping: Mapping,
  fd: number,
  byteLength: number,
  offset: number,
): number {
  return mapAs(mman.PROT_READ, mapping, fd, byteLength, offset);
}

function mapAs(
  prot: number,
  mapping: Mapping,
  fd: number,
  byteLength: number,
  offset: number,
): number {
  const flags = mman.MAP_SHARED | mman.MAP_POPULATE;
  mapping.byteLength = byteLength;
  const address = mmap(byteLength, prot, flags, fd, offset);
  if (address < 0) return address;
  mapping.address = address;
  mapping.buffer = permitted(
    "memory of the kernel cannot be mapped",
    () => bufferAt(address, byteLength),
  );
  return 0;
}

/**
 * Detaches every view of a mapping, then unmaps it. It leaves a mapping whose
 * buffer the program has transferred: views of that memory cannot be found.
 */
export function unmap(mapping: Mapping): void {
  const { address, byteLength, buffer } = mapping;
  if (address === 0 || detached!.call(buffer)) return;
  // The new buffer is empty; the memory itself is not JavaScript's to free.
  mapping.buffer = transfer.call(buffer, 0);
  syscall("munmap", address, byteLength);
  mapping.address = 0; // Next to the call: somebody else may be mapped there now.
}
