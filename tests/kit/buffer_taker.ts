/** A stand-in for the kernel, which takes provided buffers from their ring. */

import { type BufferRing, memoryOf } from "../../ring/buffer_ring.ts";
import { bufferAt } from "../../sys/pointer.ts";

/** A kernel that takes buffers from a ring in memory, as io_ring_buffer_select(). */
export class Taker {
  head = 0;
  readonly ring: BufferRing;
  readonly #view: DataView;
  readonly #entries: number;

  constructor(ring: BufferRing) {
    this.ring = ring;
    const { address, entries } = memoryOf(ring);
    const buffer = bufferAt(
      Deno.UnsafePointer.create(BigInt(address))!,
      16 * entries,
    );
    this.#view = new DataView(buffer);
    this.#entries = entries;
  }

  get left(): number {
    return this.#view.getUint16(14, true) - this.head & 0xffff;
  }

  take(): { id: number; address: number; byteLength: number } | null {
    if (this.left === 0) return null;
    const at = (this.head & this.#entries - 1) * 16;
    this.head = this.head + 1 & 0xffff;
    return {
      id: this.#view.getUint16(at + 12, true),
      address: Number(this.#view.getBigUint64(at, true)),
      byteLength: this.#view.getUint32(at + 8, true),
    };
  }
}
