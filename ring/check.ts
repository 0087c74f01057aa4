/** Checks of arguments: bad input throws before anything is queued. */

import * as uapi from "../sys/uapi/io_uring.ts";
import {
  append,
  bufferOf,
  byteLengthOf,
  isDetached,
  isThere,
  isUint8Array,
  listOf,
} from "./intrinsics.ts";

/** A class whose instances have a mark of their own. */
interface Marked {
  readonly name: string;
  /** Reads only the mark, which runs none of the caller's code. */
  is(value: unknown): boolean;
}

/** The marked classes of all copies of this package in the program. */
const everywhere: Marked[] =
  Reflect.get(globalThis, Symbol.for("@uring/cmd")) ??
    [];
Reflect.set(globalThis, Symbol.for("@uring/cmd"), everywhere);
const ours = new Set<Marked>();

/** Lets other copies of this package recognize the instances of a class. */
export function recognize(Class: Marked): void {
  append(everywhere, Class);
  ours.add(Class);
}

/** Describes an instance that another copy of this package has made. */
function foreign(value: unknown): string | undefined {
  const found = everywhere.find((each) => !ours.has(each) && each.is(value));
  return found &&
    `a ${found.name} of another copy of @uring/cmd. Use one version of it`;
}

/**
 * Returns a value in the form that messages show. It runs none of the caller's
 * code, which could throw: no `toString`, and no trap of a proxy.
 */
export function shown(value: unknown): string {
  switch (typeof value) {
    case "string": {
      const text = JSON.stringify(value.slice(0, 64));
      return value.length > 64 ? `${text}...` : text;
    }
    case "bigint":
      return `${value}n`;
    case "function":
      return "a function";
    case "object":
      return value === null ? "null" : foreign(value) ?? "{...}";
    default:
      return String(value);
  }
}

const inherited = Object.prototype;

/**
 * Throws if a value inherits an enumerable property of Object.prototype, as after
 * a careless merge of JSON: each part that it leaves out would be read from there.
 */
export function checkPrototype(value: object): void {
  // 1.4 ns, where the same loop over an empty object takes 3.
  for (const name in inherited) {
    if (Object.getPrototypeOf(value) === null) return;
    throw new TypeError(
      `Object.prototype has the property ${
        shown(name)
      }, which all options and ` +
        "commands would inherit. Delete it",
    );
  }
}

/** Checks that a value is an object, and that all its parts are its own. */
export function checkObject<T extends object>(name: string, value: T): T {
  if (typeof value === "object" && value !== null) {
    checkPrototype(value);
    return value;
  }
  throw new TypeError(`${name} must be an object, not ${shown(value)}`);
}

/** Checks that a value is an instance of a class. */
export function checkInstance<T>(
  name: string,
  value: T,
  Class: abstract new (...args: never[]) => T,
): T {
  if (typeof value === "object" && value instanceof Class) return value;
  const { name: kind } = Class;
  throw new TypeError(`${name} must be of class ${kind}, not ${shown(value)}`);
}

/** Checks that a value is a function, or `undefined`. */
export function checkFunction<T>(name: string, value: T): T {
  if (value === undefined || typeof value === "function") return value;
  throw new TypeError(`${name} must be a function, not ${shown(value)}`);
}

/** Checks that a value is a boolean: a text such as `"false"` would count as true. */
export function checkBoolean(name: string, value: boolean): boolean {
  if (typeof value === "boolean") return value;
  throw new TypeError(`${name} must be a boolean, not ${shown(value)}`);
}

/** Checks that a value is a string. */
export function checkString(name: string, value: string): string {
  if (typeof value === "string") return value;
  throw new TypeError(`${name} must be a string, not ${shown(value)}`);
}

/**
 * Checks a string that becomes a path or a name for the kernel. Half of a surrogate
 * pair has no bytes: U+FFFD would stand for it, in the name of another file.
 */
export function checkText(name: string, value: string): string {
  if (checkString(name, value).isWellFormed()) return value;
  throw new TypeError(
    `${name} must be well-formed Unicode, and ${shown(value)} has half of a ` +
      "surrogate pair",
  );
}

/** Longest list that is copied at once: a longer one is rarely real. */
const USUAL = 65536;

/**
 * Copies an array, so that what was checked cannot change later. A longer one than
 * usual is looked at first: it throws at the first hole, so that a sparse array of
 * any length takes no memory.
 */
export function checkList<T>(name: string, value: readonly T[]): T[] {
  if (!isArray(value)) {
    throw new TypeError(`${name} must be an array, not ${shown(value)}`);
  }
  // The length of a proxy could be anything.
  const length = checkU32(`length of ${name}`, value.length);
  if (length > USUAL) checkHoles(name, value, length);
  const items = listOf(value);
  checkHoles(name, items, items.length);
  return items;
}

function checkHoles(name: string, list: readonly unknown[], length: number) {
  for (let i = 0; i < length; i++) {
    if (list[i] === undefined) throw new TypeError(`${name}[${i}] is missing`);
  }
}

function isArray(value: unknown): boolean {
  try {
    return Array.isArray(value);
  } catch {
    return false; // A revoked proxy.
  }
}

/** Checks that a value is an integer within bounds. */
export function checkInteger(
  name: string,
  value: number,
  min: number,
  max: number,
): number {
  return typeof value === "number" && value >= min && value <= max &&
      floor(value) === value
    ? value
    : refuseInteger(name, value, min, max);
}

const { floor } = Math;

/** Refuses a value, in a function of its own so that V8 inlines the check. */
function refuseInteger(
  name: string,
  value: number,
  min: number,
  max: number,
): never {
  if (typeof value !== "number") {
    const kind = foreign(value) ?? typeof value;
    throw new TypeError(`${name} must be a number, not ${kind}`);
  }
  throw new RangeError(
    `${name} must be an integer from ${min} to ${max}, not ${shown(value)}`,
  );
}

/** The largest `int` of C: also the most bytes of one transfer or socket option. */
export const INT_MAX = 0x7fff_ffff;

/** Checks that a value is a file descriptor: a number from 0 to 2^31 - 1. */
export function checkFd(value: number, name = "fd"): number {
  return typeof value === "number"
    ? checkInteger(name, value, 0, INT_MAX)
    : refuseFd(name, value);
}

/** Refuses what is no descriptor, and names the function that gives one. */
function refuseFd(name: string, value: unknown): never {
  const kind = foreign(value) ?? typeof value;
  throw new TypeError(
    `${name} must be a number, not ${kind}${remedyOf(value)}`,
  );
}

/** Returns how the caller comes from a value to a descriptor. */
function remedyOf(value: unknown): string {
  if (typeof value === "string") return ". open(path).fd opens a path";
  try {
    if (typeof value !== "object" || value === null) return "";
    if (value instanceof Deno.FsFile) {
      return ". Deno keeps its descriptor: open(path).fd opens one for commands";
    }
    if ("fd" in value) return ". Pass its fd";
    if ("then" in value) return ". Await the promise";
    // Sockets of Deno, and of node:net.
    if ("localAddr" in value || "addr" in value || "localAddress" in value) {
      return '. socketFd(conn) of "@uring/cmd/socket" finds that of a socket';
    }
  } catch {
    // A proxy has refused.
  }
  return "";
}

/** Checks that a value fits 8 bits unsigned. */
export function checkU8(name: string, value: number): number {
  return checkInteger(name, value, 0, 0xff);
}

/** Checks that a value fits 16 bits unsigned. */
export function checkU16(name: string, value: number): number {
  return checkInteger(name, value, 0, 0xffff);
}

/** Checks that a value fits 32 bits unsigned. */
export function checkU32(name: string, value: number): number {
  return checkInteger(name, value, 0, 0xffff_ffff);
}

/** Checks that a safe integer or a `bigint` fits 64 bits unsigned. */
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

/**
 * Checks an offset in a file, or a size. The kernel's are signed, and -1 is the
 * file's own position, which 2^64 - 1 would be taken for.
 */
export function checkOffset(
  value: number | bigint,
  name = "offset",
): number | bigint {
  checkU64(name, value);
  if (typeof value !== "bigint" || value <= MAX_OFFSET) return value;
  throw new RangeError(
    `${name} must be below 2^63, as all of the kernel's are, not ${value}n`,
  );
}

const MAX_OFFSET = 2n ** 63n - 1n;

/** Checks that a value is a key of a table. */
export function checkName(
  name: string,
  value: string,
  table: Readonly<Record<string, unknown>>,
): void {
  if (typeof value === "string" && Object.hasOwn(table, value)) return;
  const names = Object.keys(table).join(", ");
  throw new TypeError(`${name} must be one of ${names}, not ${shown(value)}`);
}

/** Checks that a value is a Uint8Array that is not detached or out of bounds. */
export function checkBytes(name: string, value: Uint8Array): Uint8Array {
  if (!isUint8Array(value)) {
    throw new TypeError(`${name} must be a Uint8Array, not ${shown(value)}`);
  }
  // An empty array, a detached one and one out of bounds all have the length 0.
  if (byteLengthOf(value) > 0 || isThere(value)) return value;
  throw new TypeError(
    isDetached(bufferOf(value))
      ? `${name} is detached: its memory was transferred elsewhere`
      : `${name} is out of bounds: its buffer was made smaller`,
  );
}

/** The reasons why no ring runs a command with an `IOSQE_` flag, by the flag's name. */
const REFUSED = {
  IOSQE_IO_DRAIN: "holds back every later command of the ring, its " +
    "cancellations too. Await the commands before this one instead",
  IOSQE_IO_LINK: "links whatever is queued next. Use ring.link(commands)",
  IOSQE_IO_HARDLINK: "links whatever is queued next. Use " +
    "ring.link(commands, { hard: true })",
  IOSQE_BUFFER_SELECT:
    "lets the kernel write to memory that the command does " +
    "not name. Give the command memory of its own, or a bufferRing",
  IOSQE_CQE_SKIP_SUCCESS: "suppresses the completion that settles the " +
    "command. Leave it out",
} as const;

/** The `IOSQE_` flags that {@linkcode checkRingFlags} refuses. */
export const REFUSED_FLAGS = Object.keys(REFUSED)
  .reduce((flags, name) => flags | uapi[name as keyof typeof REFUSED], 0);

/**
 * Throws if a command has `IOSQE_` flags with which it would reach other commands
 * of its ring, or never settle.
 */
export function checkRingFlags(
  command: { name: string; sqeFlags: number; bufferRing?: unknown },
): void {
  const { name, sqeFlags, bufferRing = null } = command;
  const own = bufferRing === null ? 0 : uapi.IOSQE_BUFFER_SELECT;
  const flags = sqeFlags & ~own;
  if (!(flags & REFUSED_FLAGS)) return;
  for (const [flag, reason] of Object.entries(REFUSED)) {
    if (!(flags & uapi[flag as keyof typeof REFUSED])) continue;
    throw new TypeError(`${name} has ${flag}, which ${reason}`);
  }
}
