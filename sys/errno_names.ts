import { E } from "./uapi/errno.ts";

const NAMES = new Map<number, string>(
  Object.entries(E).map(([name, value]) => [value, name]),
);

/** Returns the name of a positive errno: 95 is `EOPNOTSUPP`. */
export function errnoName(number: number): string {
  // A driver may leak one of the kernel's internal numbers, such as 512.
  return NAMES.get(number) ?? `E${number}`;
}
