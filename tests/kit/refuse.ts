/** Answers of the kernel that a test replaces, where the library calls libc. */

import { stub } from "@std/testing/mock";
import { E } from "../../sys/uapi/errno.ts";
import { libc } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";

const { EINVAL } = E;

/** The answer of libc for an errno. */
function fail(errno: number): -1 {
  libc().errno[0] = errno;
  return -1;
}

/** Answers system calls with an errno, those with `op` as second argument if given. */
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
      // Without the bit that says that the ring is named by its index.
      (op === undefined || Number(args[1]) % 2 ** 31 === op);
    return refused ? fail(errno) : real(number, ...args);
  });
}

/** Arguments of io_uring_enter() that tests look at. */
export interface EnterCall {
  readonly fd: number;
  readonly toSubmit: number;
}

/** Answers those calls of io_uring_enter() for which `errnoOf` has an errno. */
export function refuseEnter(
  errnoOf: (call: EnterCall) => number | undefined,
): Disposable {
  const { symbols } = libc();
  const real = symbols.enter;
  return stub(symbols, "enter", (nr, fd, toSubmit, ...rest) => {
    const errno = errnoOf({ fd, toSubmit });
    return errno === undefined ? real(nr, fd, toSubmit, ...rest) : fail(errno);
  });
}

/**
 * Refuses some `IORING_SETUP_` flags with EINVAL, as an older kernel does.
 * `asked` holds the flags of each call of io_uring_setup().
 */
export function refuseSetupFlags(
  flags: number,
): Disposable & { readonly asked: number[] } {
  const { symbols, nr } = libc();
  const real = symbols.call;
  const asked: number[] = [];
  const calls = stub(symbols, "call", (number, ...args) => {
    // Without parameters the library asks whether a filter answers.
    if (number === nr.io_uring_setup && args[1] !== 0n) {
      const params = Deno.UnsafePointer.create(args[1])!;
      asked.push(new Deno.UnsafePointerView(params).getUint32(8));
      if (asked.at(-1)! & flags) return fail(EINVAL);
    }
    return real(number, ...args);
  });
  return { asked, [Symbol.dispose]: () => calls.restore() };
}

/** Replaces the release that uname(2) answers, such as `"6.12.0"`. */
export function pretendRelease(release: string): Disposable {
  const { symbols, nr } = libc();
  const real = symbols.call;
  return stub(symbols, "call", (number, ...args) => {
    const rc = real(number, ...args);
    if (number === nr.uname) {
      const text = new TextEncoder().encode(`${release}\0`);
      scratch().bytes.set(text, 2 * 65); // After sysname and nodename.
    }
    return rc;
  });
}
