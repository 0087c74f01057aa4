/**
 * Views and copies of memory, by the constructors as they were at load.
 *
 * `subarray` and `slice` ask the array for its constructor (`Symbol.species`). A
 * program can redefine that, and the globals: what it puts there would get the
 * buffer, which is all of the pool, or a queue that the kernel reads.
 *
 * @module
 */

const Bytes = Uint8Array;
const Words = Int32Array;
const Shorts = Uint16Array;
const View = DataView;
const { set } = Uint8Array.prototype;

/** Returns the bytes at an offset of a buffer. */
export function bytesAt<B extends ArrayBufferLike>(
  buffer: B,
  byteOffset: number,
  byteLength: number,
): Uint8Array<B> {
  return new Bytes(buffer, byteOffset, byteLength);
}

/** Returns the words of a buffer, from its start. */
export function int32At(buffer: ArrayBufferLike, length?: number): Int32Array {
  return new Words(buffer, 0, length);
}

/** Returns the half words of a buffer, from its start. */
export function uint16At(buffer: ArrayBufferLike): Uint16Array {
  return new Shorts(buffer);
}

/** Returns a view at an offset of a buffer. */
export function viewAt(
  buffer: ArrayBufferLike,
  byteOffset: number,
  byteLength: number,
): DataView {
  return new View(buffer, byteOffset, byteLength);
}

/** Returns a copy of the bytes at an offset of a buffer. */
export function copyAt(
  buffer: ArrayBufferLike,
  byteOffset: number,
  byteLength: number,
): Uint8Array<ArrayBuffer> {
  const copy = new Bytes(byteLength);
  set.call(copy, new Bytes(buffer, byteOffset, byteLength));
  return copy;
}
