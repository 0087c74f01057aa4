/** Options that are booleans. */

import { assertThrows } from "@std/assert";

/** Values that are no booleans, with what messages show of them. */
const NOT_BOOLEANS: readonly (readonly [unknown, string])[] = [
  ["false", '"false"'],
  ["no", '"no"'],
  ["", '""'],
  [0, "0"],
  [1, "1"],
  [0n, "0n"],
  [{}, "{...}"],
  [[], "{...}"],
  [new Boolean(false), "{...}"],
  [() => false, "a function"],
  [null, "null"],
];

/** Expects an option to be refused by its name, unless it is a boolean. */
export function assertBoolean(
  name: string,
  make: (value: boolean) => unknown,
): void {
  for (const [value, shown] of NOT_BOOLEANS) {
    const message = `${name} must be a boolean, not ${shown}`;
    assertThrows(() => make(value as boolean), TypeError, message);
  }
  for (const value of [true, false]) make(value);
}
