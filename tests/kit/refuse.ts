/** System calls that are refused, for the time of a test. */

import { stub } from "@std/testing/mock";
import { libc } from "../../sys/libc.ts";

/** Answers some system calls with an errno. */
export function refuse(
  names: readonly (keyof ReturnType<typeof libc>["nr"])[],
  errno: number,
  op?: number,
): Disposable {
  const { symbols, nr } = libc();
  const real = symbols.call;
  const numbers = names.map((name) => nr[name]);
  return stub(symbols, "call", (number, ...args) => {
    const refused = numbers.includes(number) &&
      (op === undefined || Number(args[1]) === op);
    if (!refused) return real(number, ...args);
    libc().errno[0] = errno;
    return -1;
  });
}
