/** The tables of a ring: registered files, buffers and credentials. */

import { lastingAddressOf } from "../sys/arena.ts";
import { fileFacts } from "../sys/file.ts";
import { E } from "../sys/uapi/errno.ts";
import * as register from "./bare/register.ts";
import { patiently } from "./bare/release.ts";
import type { RingHandle } from "./bare/setup.ts";
import { checkBytes, checkFd, checkInteger, checkList } from "./check.ts";
import type { Command } from "./command.ts";
import { BufferRing, memoryOf } from "./buffer_ring.ts";
import { bufferRingAdvice, registerAdvice, UringError } from "./errors.ts";
import { append, bufferOf, byteLengthOf, byteOffsetOf } from "./intrinsics.ts";
import {
  FixedBuffer,
  FixedFile,
  Personality,
  recordFacts,
} from "./registered.ts";

/** Throws the error of an io_uring_register() that failed. */
export function checkRegistered(
  op: string,
  fd: number,
  rc: number,
  advice = registerAdvice,
): void {
  if (rc >= 0) return;
  throw new UringError(`io_uring_register ${op}`, fd, -rc, advice(-rc));
}

/**
 * The tables of one ring.
 *
 * **Contract.** What stands here at a place is what the kernel has there, or `null`:
 * a call that is cut short leaves no file or buffer at the place of another.
 */
export class Tables {
  readonly #handle: RingHandle;
  #files: (FixedFile | null)[] = [];
  #buffers: (FixedBuffer | null)[] = [];
  /** By group. A group is taken before the kernel is asked for it. */
  readonly #bufferRings: (BufferRing | null)[] = [];
  readonly #personalities = new Set<Personality>();

  constructor(handle: RingHandle) {
    this.#handle = handle;
  }

  // ---- Files -----------------------------------------------------------------

  registerFiles(fds: readonly (number | null)[]): (FixedFile | null)[] {
    const list = fds.map((fd) => fd ?? -1);
    const rc = register.registerFiles(this.#handle.target(), list);
    this.#check("REGISTER_FILES", rc);
    const files = fds.map((fd, i) => fd === null ? null : fixedFile(i, fd));
    this.#files = files;
    return files.slice();
  }

  updateFile(
    place: number,
    fd: number | null,
    inFlight: Iterable<Command<unknown>>,
  ): FixedFile | null {
    const before = placeOf("files", this.#files, place);
    for (const { name, fixedFile } of inFlight) {
      if (fixedFile !== null && fixedFile === before) {
        throw inUse(name, "table of files");
      }
    }
    const file = fd === null ? null : fixedFile(place, fd);
    this.#files[place] = null; // If this call is cut short, no command finds it.
    const rc = register.updateFile(this.#handle.target(), place, fd ?? -1);
    // Of these errnos, the old file is gone: __io_sqe_files_update(), Linux 6.18.
    if (rc < 0 && rc !== -E.EBADF && rc !== -E.ENOMEM) {
      this.#files[place] = before;
    }
    this.#check("REGISTER_FILES_UPDATE", rc);
    this.#files[place] = file;
    return file;
  }

  unregisterFiles(inFlight: Iterable<Command<unknown>>): void {
    for (const { name, fixedFile } of inFlight) {
      if (fixedFile !== null) throw inUse(name, "table of files");
    }
    const rc = register.unregisterFiles(this.#handle.target());
    this.#check("UNREGISTER_FILES", rc);
    this.#files = [];
  }

  // ---- Buffers ---------------------------------------------------------------

  registerBuffers(
    buffers: readonly (Uint8Array | null)[],
  ): (FixedBuffer | null)[] {
    const ranges = buffers.map(rangeOf);
    const rc = patiently(() =>
      register.registerBuffers(this.#handle.target(), ranges)
    );
    this.#check("REGISTER_BUFFERS", rc);
    const made = buffers.map((bytes, i) =>
      bytes === null ? null : new FixedBuffer(i, bytes)
    );
    this.#buffers = made;
    return made.slice();
  }

  updateBuffer(
    place: number,
    bytes: Uint8Array | null,
    inFlight: Iterable<Command<unknown>>,
  ): FixedBuffer | null {
    const before = placeOf("buffers", this.#buffers, place);
    for (const { name, fixedBuffer } of inFlight) {
      if (fixedBuffer !== null && fixedBuffer === before) {
        throw inUse(name, "table of buffers");
      }
    }
    const range = rangeOf(bytes);
    const buffer = bytes === null ? null : new FixedBuffer(place, bytes);
    this.#buffers[place] = null; // If this call is cut short, no command finds it.
    const rc = patiently(() =>
      register.updateBuffer(this.#handle.target(), place, range)
    );
    if (rc < 0) this.#buffers[place] = before;
    this.#check("REGISTER_BUFFERS_UPDATE", rc);
    this.#buffers[place] = buffer;
    return buffer;
  }

  unregisterBuffers(inFlight: Iterable<Command<unknown>>): void {
    for (const { name, fixedBuffer } of inFlight) {
      if (fixedBuffer !== null) throw inUse(name, "table of buffers");
    }
    const rc = register.unregisterBuffers(this.#handle.target());
    this.#check("UNREGISTER_BUFFERS", rc);
    this.#buffers = [];
  }

  // ---- Provided buffers ------------------------------------------------------

  registerBufferRing(count: number, byteLength: number): BufferRing {
    const rings = this.#bufferRings;
    const free = rings.indexOf(null);
    const group = checkInteger(
      "number of buffer rings",
      free < 0 ? rings.length : free,
      0,
      0xffff,
    );
    const ring = new BufferRing(group, count, byteLength);
    if (free < 0) append(rings, ring);
    else rings[group] = ring;
    const rc = patiently(() =>
      register.registerBufferRing(this.#handle.target(), group, memoryOf(ring))
    );
    if (rc < 0) rings[group] = null;
    this.#check("REGISTER_PBUF_RING", rc, bufferRingAdvice);
    return ring;
  }

  unregisterBufferRing(
    ring: BufferRing,
    inFlight: Iterable<Command<unknown>>,
  ): void {
    if (this.#bufferRings[ring.id] !== ring) throw notOfThisRing("bufferRing");
    for (const { name, bufferRing } of inFlight) {
      if (bufferRing === ring) throw inUse(name, "provided buffers");
    }
    const target = this.#handle.target();
    const rc = register.unregisterBufferRing(target, ring.id);
    // ENOENT, or EINVAL in Linux 6.1: a call that was cut short has done it.
    if (rc !== -E.ENOENT && rc !== -E.EINVAL) {
      this.#check("UNREGISTER_PBUF_RING", rc);
    }
    this.#bufferRings[ring.id] = null;
  }

  // ---- Credentials -----------------------------------------------------------

  registerPersonality(): Personality {
    const rc = register.registerPersonality(this.#handle.target());
    this.#check("REGISTER_PERSONALITY", rc);
    const personality = new Personality(rc);
    this.#personalities.add(personality);
    return personality;
  }

  unregisterPersonality(personality: Personality, isUsed: boolean): void {
    this.checkPersonality(personality);
    if (isUsed) {
      throw new TypeError(
        "a command in flight has these credentials: wait for it first",
      );
    }
    this.#personalities.delete(personality);
    const { id } = personality;
    const rc = register.unregisterPersonality(this.#handle.target(), id);
    if (rc < 0) this.#personalities.add(personality);
    this.#check("UNREGISTER_PERSONALITY", rc);
  }

  /** Refuses credentials that this ring does not have. */
  checkPersonality(personality: Personality): void {
    if (this.#personalities.has(personality)) return;
    throw notOfThisRing("personality");
  }

  // ---- Commands --------------------------------------------------------------

  /** Refuses a command that names a file or a buffer of another table. */
  check(command: Command<unknown>): void {
    const { name, fixedFile, fixedBuffer, bufferRing } = command;
    if (fixedFile !== null && this.#files[fixedFile.index] !== fixedFile) {
      throw new TypeError(
        `${name} names a file that is not in this ring's table of files`,
      );
    }
    if (
      fixedBuffer !== null && this.#buffers[fixedBuffer.index] !== fixedBuffer
    ) {
      throw new TypeError(
        `${name} names a buffer that is not in this ring's table of buffers`,
      );
    }
    if (
      bufferRing !== null && this.#bufferRings[bufferRing.id] !== bufferRing
    ) {
      throw new TypeError(
        `${name} names provided buffers that are not registered with this ring`,
      );
    }
  }

  #check(op: string, rc: number, advice = registerAdvice): void {
    checkRegistered(op, this.#handle.fd, rc, advice);
  }
}

/** Reads the descriptors for a table of files. */
export function checkFiles(
  fds: readonly (number | null)[],
): (number | null)[] {
  const list = checkList("fds", fds);
  checkInteger("number of files", list.length, 1, 16384);
  list.forEach((fd) => fd === null || checkFd(fd));
  return list;
}

/** Reads the arrays for a table of buffers. */
export function checkBuffers(
  buffers: readonly (Uint8Array | null)[],
): (Uint8Array | null)[] {
  const list = checkList("buffers", buffers);
  checkInteger("number of buffers", list.length, 1, 4096);
  list.forEach((bytes) => bytes === null || checkRegistrable(bytes));
  return list;
}

/** Checks an array for a table of buffers: io_buffer_validate(), Linux 6.18. */
export function checkRegistrable(bytes: Uint8Array): Uint8Array {
  const byteLength = byteLengthOf(checkBytes("buffer", bytes));
  checkInteger("byteLength of a registered buffer", byteLength, 1, 2 ** 30);
  return bytes;
}

/** Makes the file for a place of the table. */
function fixedFile(place: number, fd: number): FixedFile {
  const file = new FixedFile(place);
  // Commands are checked against the file, as they are for a descriptor.
  const facts = fileFacts(fd);
  if (typeof facts !== "number") recordFacts(file, facts);
  return file;
}

/** Returns the address and the length of a buffer to pin; zeros for none. */
function rangeOf(
  bytes: Uint8Array | null,
): readonly [address: number, byteLength: number] {
  if (bytes === null) return [0, 0];
  const base = lastingAddressOf(bufferOf(bytes));
  if (base !== undefined) {
    return [base + byteOffsetOf(bytes), byteLengthOf(bytes)];
  }
  throw new TypeError(
    "a registered buffer must be memory of ring.alloc(): the kernel " +
      "keeps its address, and JavaScript can take other memory away",
  );
}

/** Returns what stands at a place of a table. */
function placeOf<T>(
  name: "files" | "buffers",
  table: readonly T[],
  place: number,
): T {
  if (table.length === 0) {
    const call = name === "files" ? "registerFiles" : "registerBuffers";
    throw new TypeError(
      `the ring has no table of ${name}: call ring.${call}() first`,
    );
  }
  return table[checkInteger("place", place, 0, table.length - 1)];
}

function notOfThisRing(name: string): TypeError {
  return new TypeError(`${name} is not registered with this ring`);
}

function inUse(name: string, what: string): TypeError {
  return new TypeError(
    `${name} is in flight and uses the ${what}: wait for it first`,
  );
}
