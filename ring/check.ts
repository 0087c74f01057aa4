/** Checks of what a caller passes: bad input is refused before it is queued. */

function shown(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

/** An integer within bounds. */
export function checkInteger(
  name: string,
  value: number,
  min: number,
  max: number,
): number {
  if (typeof value !== "number") {
    throw new TypeError(`${name} must be a number, not ${typeof value}`);
  }
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(
      `${name} must be an integer from ${min} to ${max}, not ${shown(value)}`,
    );
  }
  return value;
}

/** A file descriptor. */
export function checkFd(value: number, name = "fd"): number {
  return checkInteger(name, value, 0, 0x7fff_ffff);
}

/** A field of 8 bits. */
export function checkU8(name: string, value: number): number {
  return checkInteger(name, value, 0, 0xff);
}

/** A field of 16 bits. */
export function checkU16(name: string, value: number): number {
  return checkInteger(name, value, 0, 0xffff);
}

/** A field of 32 bits. */
export function checkU32(name: string, value: number): number {
  return checkInteger(name, value, 0, 0xffff_ffff);
}

/** A field of 64 bits: a safe integer, or a `bigint` of up to 64 bits. */
export function checkU64(
  name: string,
  value: number | bigint,
): number | bigint {
  if (typeof value !== "bigint") {
    return checkInteger(name, value, 0, Number.MAX_SAFE_INTEGER);
  }
  if (value < 0n || value > 0xffff_ffff_ffff_ffffn) {
    throw new RangeError(`${name} must fit 64 bits unsigned, not ${value}n`);
  }
  return value;
}

/** One of the names in a table. */
export function checkName(
  name: string,
  value: string,
  table: Readonly<Record<string, unknown>>,
): void {
  if (Object.hasOwn(table, value)) return;
  throw new TypeError(
    `${name} must be one of ${Object.keys(table).join(", ")}, not ${value}`,
  );
}

/** An array whose bytes are there: not detached, not shrunk away. */
export function checkBytes(name: string, value: Uint8Array): Uint8Array {
  if (!(value instanceof Uint8Array)) {
    throw new TypeError(`${name} must be a Uint8Array, not ${shown(value)}`);
  }
  const { buffer } = value;
  if (buffer instanceof ArrayBuffer && buffer.detached) {
    throw new TypeError(
      `${name} is detached: its memory was transferred elsewhere`,
    );
  }
  return value;
}
