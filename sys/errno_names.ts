import * as errno from "./uapi/errno.ts";

const NAMES = new Map<number, string>(
  Object.entries(errno).map(([name, value]) => [value, name]),
);

/** The name of a positive errno: 95 is `EOPNOTSUPP`. */
export function errnoName(number: number): string {
  // A driver may leak a number of the kernel's own, above any of the header.
  return NAMES.get(number) ?? `E${number}`;
}
