/** Decoded values that `JSON.stringify` takes, though it refuses a `bigint`. */

const { defineProperty } = Object;

/**
 * Gives an object that was decoded a method `toJSON`, which no loop over its fields
 * sees. An integer becomes a number if a number holds it exactly, and a decimal
 * string otherwise; bytes become hexadecimal digits. The field `leftOut`, which has
 * the bytes that the others were decoded from, is left out.
 */
export function jsonable<T extends object>(
  value: T,
  leftOut?: keyof T & string,
): T {
  return defineProperty(
    value,
    "toJSON",
    leftOut === undefined ? ALL : methodWithout(leftOut),
  );
}

/** Describes the method, which needs to be made once where nothing is left out. */
function methodWithout(leftOut?: string): PropertyDescriptor {
  return {
    __proto__: null,
    value(this: object) {
      return fieldsOf(this, leftOut);
    },
  } as PropertyDescriptor;
}

const ALL = methodWithout();

/** Returns the fields of an object as JSON has them. */
export function fieldsOf(value: object, leftOut?: string): object {
  const entries = Object.entries(value).filter(([name]) => name !== leftOut);
  return Object.fromEntries(entries.map(([name, it]) => [name, plain(it)]));
}

function plain(value: unknown): unknown {
  if (typeof value === "bigint") return integer(value);
  if (typeof value !== "object" || value === null) return value;
  if ("toJSON" in value) return value; // JSON.stringify() calls it.
  if (value instanceof Uint8Array) return hex(value);
  return Array.isArray(value) ? value.map(plain) : fieldsOf(value);
}

function integer(value: bigint): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}

/** Returns two hexadecimal digits for each byte. */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}
