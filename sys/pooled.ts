/**
 * System calls that a thread of Deno's pool makes, for those that wait.
 *
 * The first call opens libc once more: a function of Deno's either blocks or returns a
 * promise. It cannot say why a call failed, since errno is the pool thread's.
 *
 * @module
 */

import { libc, permitted } from "./libc.ts";
import type { SyscallNumbers } from "./uapi/unistd.ts";

const SYMBOLS = {
  call: {
    name: "syscall",
    parameters: ["i32", "usize", "usize", "usize", "usize", "usize", "usize"],
    result: "i32",
    nonblocking: true,
  },
} as const;

let opened: Deno.DynamicLibrary<typeof SYMBOLS> | undefined;

/**
 * Makes a system call in a thread of the pool. Resolves to its result, or -1. Memory
 * at an address has to stay until then.
 */
export async function pooledSyscall(
  name: keyof SyscallNumbers,
  ...args: (number | bigint)[]
): Promise<number> {
  const { nr } = libc();
  const { symbols } = opened ??= permitted(
    "libc cannot be opened",
    () => Deno.dlopen("libc.so.6", SYMBOLS),
  );
  const arg = (i: number) => BigInt.asUintN(64, BigInt(args[i] ?? 0));
  return await symbols.call(
    ...[nr[name], arg(0), arg(1), arg(2), arg(3), arg(4), arg(5)] as const,
  );
}
