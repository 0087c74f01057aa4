// The signatures of @std/bytes 1, by hand: the npm package has none.

export declare function concat(
  buffers: readonly Uint8Array[],
): Uint8Array<ArrayBuffer>;
export declare function copy(
  src: Uint8Array,
  dst: Uint8Array,
  offset?: number,
): number;
export declare function repeat(
  source: Uint8Array,
  count: number,
): Uint8Array<ArrayBuffer>;

export declare function equals(a: Uint8Array, b: Uint8Array): boolean;
export declare function startsWith(
  source: Uint8Array,
  prefix: Uint8Array,
): boolean;
export declare function endsWith(
  source: Uint8Array,
  suffix: Uint8Array,
): boolean;
export declare function includesNeedle(
  source: Uint8Array,
  needle: Uint8Array,
  start?: number,
): boolean;
export declare function indexOfNeedle(
  source: Uint8Array,
  needle: Uint8Array,
  start?: number,
): number;
export declare function lastIndexOfNeedle(
  source: Uint8Array,
  needle: Uint8Array,
  start?: number,
): number;
