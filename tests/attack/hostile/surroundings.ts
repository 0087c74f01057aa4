/**
 * Limits, users and filters that a script puts on its own process, at a moment that
 * it chooses, and not while Deno starts.
 *
 * @module
 */

import { timeout } from "../../../cmd/op.ts";
import type { Ring } from "../../../ring/ring.ts";
import { errnoName } from "../../../sys/errno_names.ts";
import { readText } from "../../../sys/file.ts";
import { libc } from "../../../sys/libc.ts";
import { scratch } from "../../../sys/scratch.ts";

/** System calls that the library itself never makes. */
const NR = Deno.build.arch === "x86_64"
  ? { prctl: 157, setresuid: 117, prlimit64: 302 }
  : { prctl: 167, setresuid: 147, prlimit64: 261 };

function call(name: keyof typeof NR, ...args: number[]): void {
  const { symbols, errno } = libc();
  const arg = (i: number) => BigInt.asUintN(64, BigInt(args[i] ?? 0));
  const rc = symbols.call(NR[name], arg(0), arg(1), arg(2), arg(3), arg(4), 0n);
  if (rc < 0) throw new Error(`${name}: ${errnoName(errno[0])}`);
}

/** `RLIMIT_` numbers of <asm-generic/resource.h>. */
const RLIMIT = { NPROC: 6, NOFILE: 7, MEMLOCK: 8, AS: 9 } as const;

/** Calls a function with a lower limit of a resource. */
export function within<T>(
  resource: keyof typeof RLIMIT,
  most: number,
  fn: () => T,
): T {
  const { view, at } = scratch();
  call("prlimit64", 0, RLIMIT[resource], 0, at); // struct rlimit64
  const soft = view.getBigUint64(0, true);
  const hard = view.getBigUint64(8, true);
  const set = (value: bigint) => {
    view.setBigUint64(0, value, true);
    view.setBigUint64(8, hard, true); // So that it can be raised again.
    call("prlimit64", 0, RLIMIT[resource], at, 0);
  };
  set(BigInt(most));
  try {
    return fn();
  } finally {
    set(soft);
  }
}

/** Calls a function with so many bytes of address space left. */
export function withSpace<T>(byteLength: number, fn: () => T): T {
  const pages = Number(readText("/proc/self/statm")!.split(" ")[0]);
  return within("AS", pages * 4096 + byteLength, fn);
}

/** Turns this thread, if it is root's, into another user's without capabilities. */
export function becomeNobody(): void {
  const status = readText("/proc/thread-self/status")!;
  if (!/^Uid:\s+0\b/m.test(status)) return;
  // The system call is of one thread; libc's function would be of all of them.
  call("setresuid", 65534, 65534, 65534);
}

/** Installs a seccomp filter that answers a system call with an errno. */
export function forbid(nr: number, errno: number): void {
  call("prctl", 38, 1); // PR_SET_NO_NEW_PRIVS
  const { view, at } = scratch();
  // struct sock_filter: u16 code, u8 jt, u8 jf, u32 k
  const program = [
    [0x20, 0, 0, 0], // Load the number of the system call.
    [0x15, 0, 1, nr], // If it is this one,
    [0x06, 0, 0, 0x0005_0000 | errno], // answer the errno,
    [0x06, 0, 0, 0x7fff_0000], // else allow it.
  ];
  program.forEach(([code, jt, jf, k], i) => {
    view.setUint16(64 + i * 8, code, true);
    view.setUint8(64 + i * 8 + 2, jt);
    view.setUint8(64 + i * 8 + 3, jf);
    view.setUint32(64 + i * 8 + 4, k, true);
  });
  view.setUint16(0, program.length, true); // struct sock_fprog
  view.setBigUint64(8, BigInt(at + 64), true);
  call("prctl", 22, 2, at); // PR_SET_SECCOMP, SECCOMP_MODE_FILTER
}

/** Runs late commands until the ring has been woken once. */
export async function woken(ring: Ring): Promise<void> {
  for (let delay = 1; ring.stats().wakes === 0; delay *= 2) {
    await ring.cmd(timeout(delay));
  }
}

/** Returns the error that a function throws, as text; `"none"` without one. */
export function objection(fn: () => unknown): string {
  try {
    fn();
  } catch (error) {
    return String(error);
  }
  return "none";
}
