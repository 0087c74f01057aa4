/** Pages of the process at a chosen address, filled so that a stray write shows. */

import { libc } from "../../../sys/libc.ts";
import { unmap } from "../../../sys/mapping.ts";
import { PROT_READ, PROT_WRITE } from "../../../sys/uapi/mman.ts";

const MAP_PRIVATE = 0x02;
const MAP_ANONYMOUS = 0x20;
/** Fails where something is mapped already. Linux 4.17. */
const MAP_FIXED_NOREPLACE = 0x10_0000;

/** Bytes of a page, where this library runs at least a divisor of its own. */
export const PAGE_SIZE = 4096;

/** The start of the page that an address lies in. */
export function pageOf(address: number): number {
  return address - address % PAGE_SIZE;
}

/** A page of memory that only the test uses. */
export class Page implements Disposable {
  readonly address: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #byte: number;

  private constructor(address: number, byte: number) {
    this.address = address;
    this.bytes = memoryAt(address, PAGE_SIZE).fill(byte);
    this.#byte = byte;
  }

  /** The page at an address; `null` where there is memory already. */
  static at(address: number, byte = 0x5c): Page | null {
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    const prot = PROT_READ | PROT_WRITE;
    const length = BigInt(PAGE_SIZE);
    const hint = BigInt(address);
    const at = libc().symbols.mmap(hint, length, prot, flags, -1, 0n);
    return at === hint ? new Page(address, byte) : null;
  }

  /** `true` while no byte of the page has changed. */
  get intact(): boolean {
    return this.bytes.every((byte) => byte === this.#byte);
  }

  [Symbol.dispose](): void {
    const { buffer, byteLength } = this.bytes;
    unmap({ address: this.address, byteLength, buffer });
  }
}

/** Returns a view of mapped memory at any address. */
export function memoryAt(
  address: number,
  byteLength: number,
): Uint8Array<ArrayBuffer> {
  const pointer = Deno.UnsafePointer.create(BigInt(address))!;
  const view = Deno.UnsafePointerView.getArrayBuffer(pointer, byteLength);
  return new Uint8Array(view);
}

/** Returns the address that JavaScript uses, which may differ from the kernel's. */
export function placeOf(bytes: Uint8Array<ArrayBuffer>): number {
  return Number(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes)));
}
