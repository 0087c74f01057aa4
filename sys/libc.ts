/**
 * The one symbol table.
 *
 * The first system call opens libc, not the import, and once in an isolate: a
 * call site that meets two function objects loses the fast path. Every call
 * returns its result, or `-errno`.
 *
 * Each parameter of a fast call is declared as the kernel reads it. An `i32`
 * leaves the upper half of its register undefined, which the kernel cuts off
 * itself for an `int`; a `size_t` or an address is a `usize`.
 *
 * @module
 */

import { int32At } from "./bytes.ts";
import { checkDeno } from "./deno.ts";
import { bufferAt } from "./pointer.ts";
import { type SyscallNumbers, syscallNumbers } from "./uapi/unistd.ts";

const SYMBOLS = {
  /**
   * The number, then `int io_uring_enter(int fd, unsigned to_submit,
   *   unsigned min_complete, unsigned flags, const void *arg, size_t argsz)`:
   * the only hot call.
   */
  enter: {
    name: "syscall",
    parameters: ["i32", "i32", "u32", "u32", "u32", "usize", "usize"],
    result: "i32",
  },
  /** `long syscall(long number, ...)`: six arguments, as wide as registers. */
  call: {
    name: "syscall",
    parameters: ["i32", "usize", "usize", "usize", "usize", "usize", "usize"],
    result: "i32",
  },
  /** The number, then the arguments of read(2) or write(2), for a server's loop. */
  transfer: {
    name: "syscall",
    parameters: ["i32", "i32", "usize", "usize"],
    result: "i32",
  },
  /**
   * The number, then `unsigned long mremap(unsigned long addr, unsigned long old_len,
   *   unsigned long new_len, unsigned long flags, unsigned long new_addr)`, as
   * the kernel has it. The result is an address, for which `call` is too narrow.
   */
  mremap: {
    name: "syscall",
    parameters: ["i32", "usize", "usize", "usize", "usize", "usize"],
    result: "usize",
  },
  /**
   * `void *mmap(void *addr, size_t length, int prot, int flags, int fd,
   *   off_t offset)`
   */
  mmap: {
    parameters: ["usize", "usize", "i32", "i32", "i32", "i64"],
    result: "usize",
  },
  /**
   * The number, then `off_t lseek(unsigned fd, off_t offset, unsigned whence)`. The
   * result is an offset, for which `call` is too narrow.
   */
  lseek: {
    name: "syscall",
    parameters: ["i32", "i32", "i64", "i32"],
    result: "i64",
  },
  /** `int *__errno_location(void)`: the errno of the calling thread. */
  __errno_location: { parameters: [], result: "pointer" },
} as const;

type Symbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** The open libc. */
interface Libc {
  readonly symbols: Symbols;
  readonly errno: Int32Array;
  readonly nr: SyscallNumbers;
  /** `nr.io_uring_enter`, for the hot call. */
  readonly enter: number;
}

let opened: Libc | undefined;

const { NotCapable } = Deno.errors;

/** Returns libc, which the first call opens. */
export function libc(): Libc {
  return opened ??= open();
}

function open(): Libc {
  checkDeno(Deno.version.deno);
  const nr = syscallNumbers(Deno.build.os, Deno.build.arch);
  // It asks the user, if nothing has decided. dlopen() would ask for one path.
  const { state } = Deno.permissions.requestSync({ name: "ffi" });
  return permitted("libc cannot be opened", () => {
    if (state !== "granted") throw new NotCapable("Requires ffi access");
    // musl's loader answers to this name too.
    const { symbols } = Deno.dlopen("libc.so.6", SYMBOLS);
    const location = symbols.__errno_location();
    if (location === null) throw new Error("libc has no errno");
    const errno = int32At(bufferAt(location, 4));
    return { symbols, errno, nr, enter: nr.io_uring_enter };
  });
}

/**
 * Calls what Deno wants the permission for. It may have been revoked since libc
 * was opened.
 *
 * @throws {Error} saying what failed, with the cause and the remedy.
 */
export function permitted<T>(failure: string, call: () => T): T {
  try {
    return call();
  } catch (cause) {
    throw explain(failure, cause);
  }
}

function explain(failure: string, cause: unknown): unknown {
  if (!(cause instanceof Error)) return cause;
  const denied = cause instanceof NotCapable;
  const advice = opened !== undefined
    ? "The permission was revoked after the first ring was opened. Keep it: " +
      "rings that are open go on, but nothing can be given memory."
    : denied
    ? "Run with --allow-ffi, without a path after it."
    : "It has to be found as libc.so.6, which is glibc's name, and which " +
      "musl's loader accepts.";
  const message = `${failure}: ${cause.message}. ${advice}`;
  if (!denied) return new Error(message, { cause });
  const error = new NotCapable(message);
  // V8 keeps ten lines of the stack. Without these, the caller's is among them.
  Error.captureStackTrace(error, opened === undefined ? libc : permitted);
  return error;
}

/** Calls io_uring_enter(2) without an argument. */
export function io_uring_enter(
  fd: number,
  toSubmit: number,
  minComplete: number,
  flags: number,
): number {
  const { symbols, errno, enter } = libc();
  const rc = symbols.enter(enter, fd, toSubmit, minComplete, flags, 0n, 0n);
  // Nothing may allocate between the call and this read: V8 and Deno's operations
  // make system calls that overwrite errno.
  return rc >= 0 ? rc : -errno[0];
}

/** Makes a system call by its name. Negative arguments are sign-extended. */
export function syscall(
  name: keyof SyscallNumbers,
  ...args: (number | bigint)[]
): number {
  const { symbols, errno, nr } = libc();
  const arg = (i: number) =>
    BigInt.asUintN(64, BigInt(i < args.length ? args[i] : 0));
  const [a, b, c, d, e, f] = [arg(0), arg(1), arg(2), arg(3), arg(4), arg(5)];
  const rc = symbols.call(nr[name], a, b, c, d, e, f);
  return rc >= 0 ? rc : -errno[0];
}

/**
 * Calls read(2) or write(2) with memory at an address. Returns the number of bytes, or
 * `-errno`. It costs a third of {@linkcode syscall}.
 */
export function transfer(
  name: "read" | "write",
  fd: number,
  address: bigint,
  byteLength: bigint,
): number {
  const { symbols, errno, nr } = libc();
  const rc = symbols.transfer(nr[name], fd, address, byteLength);
  return rc >= 0 ? rc : -errno[0];
}

/** Calls ppoll(2) for two descriptors, without a timeout. */
export function pollTwo(address: bigint): number {
  const { symbols, errno, nr } = libc();
  const rc = symbols.call(nr.ppoll, address, 2n, 0n, 0n, 0n, 0n);
  return rc >= 0 ? rc : -errno[0];
}

/** Calls mmap(2): returns the address, or `-errno`. */
export function mmap(
  byteLength: number,
  prot: number,
  flags: number,
  fd: number,
  offset: number,
  address = 0,
): number {
  const { symbols, errno } = libc();
  const length = BigInt(byteLength);
  const at = BigInt(offset);
  const home = BigInt(address);
  result[0] = symbols.mmap(home, length, prot, flags, fd, at);
  return halves[1] === FAILED ? -errno[0] : halves[1] * 2 ** 32 + halves[0];
}

/** Calls lseek(2): returns the offset, or `-errno`. */
export function lseek(fd: number, offset: number, whence: number): number {
  const { symbols, errno, nr } = libc();
  const found = symbols.lseek(nr.lseek, fd, BigInt(offset), whence);
  return found >= 0n ? Number(found) : -errno[0];
}

/** Calls mremap(2) for an address that the caller names. Returns 0, or `-errno`. */
export function mremap(
  address: number,
  oldLength: number,
  byteLength: number,
  flags: number,
  newAddress: number,
): number {
  const { symbols, errno, nr } = libc();
  const at = BigInt(address);
  const old = BigInt(oldLength);
  const length = BigInt(byteLength);
  const to = BigInt(newAddress);
  const wide = BigInt(flags);
  result[0] = symbols.mremap(nr.mremap, at, old, length, wide, to);
  return halves[1] === FAILED ? -errno[0] : 0;
}

/**
 * The address of the last mapping. The timeout of `node:vm` often comes while the
 * kernel maps pages, and ends the program at the next call of a function such as
 * `Number`: the address would be lost.
 */
const result = new BigUint64Array(1);
const halves = new Uint32Array(result.buffer);
/** The high half of MAP_FAILED. */
const FAILED = 0xffff_ffff;
