/** Reads of typed arrays that no subclass and no property can falsify. */

// What a typed array says of itself, it may say differently the next time: a
// subclass or a property of its own can stand before each of these. What the
// kernel is told is asked for in the way that reads the array itself.
const { prototype } = Uint8Array;
const typed: object = Object.getPrototypeOf(prototype);
const tag = getter<string | undefined>(typed, Symbol.toStringTag);
const byteLength = getter<number>(typed, "byteLength");
const byteOffset = getter<number>(typed, "byteOffset");
const buffer = getter<ArrayBufferLike>(typed, "buffer");
const detached = getter<boolean>(ArrayBuffer.prototype, "detached");
const { at, set } = prototype;

function getter<T>(of: object, name: string | symbol): (this: unknown) => T {
  return Object.getOwnPropertyDescriptor(of, name)!.get!;
}

/** How many bytes an array really has; 0 when they are gone. */
export function byteLengthOf(bytes: Uint8Array): number {
  return byteLength.call(bytes);
}

/** Where in its buffer an array really starts. */
export function byteOffsetOf(bytes: Uint8Array): number {
  return byteOffset.call(bytes);
}

/** The buffer that an array really lies in. */
export function bufferOf(bytes: Uint8Array): ArrayBufferLike {
  return buffer.call(bytes);
}

/** Copies bytes into an array, whatever its own `set` would do. */
export function setBytes(into: Uint8Array, from: Uint8Array): void {
  set.call(into, from);
}

/** A view of all that an array really has, without what its class adds. */
export function viewOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(
    bufferOf(bytes),
    byteOffsetOf(bytes),
    byteLengthOf(bytes),
  );
}

/** `true` for a Uint8Array of this or another realm, whatever it says of itself. */
export function isUint8Array(value: unknown): value is Uint8Array {
  return tag.call(value) === "Uint8Array"; // No object can pretend to have it.
}

/** `true` unless the bytes are gone: detached, or beyond the end of a buffer. */
export function isThere(bytes: Uint8Array): boolean {
  try {
    at.call(bytes, 0);
    return true;
  } catch {
    return false;
  }
}

/** `true` for a buffer whose memory was transferred elsewhere. */
export function isDetached(buffer: ArrayBufferLike): boolean {
  return buffer instanceof ArrayBuffer && detached.call(buffer);
}
