/**
 * The parts of a ring, how they are given back, and the time the kernel takes for it.
 *
 * @module
 */

import { E } from "../../sys/uapi/errno.ts";
import { close, inodeOf } from "../../sys/file.ts";
import { Mapping, unmap } from "../../sys/mapping.ts";
import * as register from "./register.ts";

/** The parts that a ring has to give back. */
export class Parts {
  /** The descriptor of the ring; negative for none. */
  fd = -1;
  /** Its inode, which no other ring has; 0n if it is not known. */
  inode = 0n;
  readonly rings = new Mapping();
  readonly sqes = new Mapping();
  /** The index of the registered descriptor; negative for none. */
  index = -1;
  /** `true` if io_uring_register() takes the index (Linux 6.3). */
  takesIndex = false;
}

/**
 * Gives back the parts of a ring, each once. Nothing that can be cut short stands
 * between a system call and the note that it was made.
 */
export function releaseParts(parts: Parts): void {
  const { fd, index } = parts;
  if (index >= 0) register.unregisterRingFd(targetOf(parts), index);
  parts.index = -1;
  unmap(parts.sqes);
  unmap(parts.rings);
  if (fd < 0) return;
  if (isStill(fd, parts.inode)) close(fd);
  parts.fd = -1;
  lastClosed = performance.now();
}

/**
 * Returns what io_uring_register() finds a ring by: its index, or the descriptor,
 * which may be another ring's by now.
 */
export function targetOf({ fd, index, takesIndex }: Parts): number {
  return index >= 0 && takesIndex ? register.BY_INDEX + index : fd;
}

/**
 * Returns `false` if the descriptor is another file's: somebody has closed the ring
 * by its number, and the kernel has given the number out again.
 */
export function isStill(fd: number, inode: bigint): boolean {
  if (inode === 0n) return true;
  const now = inodeOf(fd);
  return now === inode || now === 0n;
}

/** Milliseconds in which the kernel takes a closed ring apart: 30 are usual. */
const GRACE_MS = 250;
const pause = new Int32Array(new SharedArrayBuffer(4));
let lastClosed = -Infinity;

/**
 * Makes a call, and retries it every 5 ms if it answers ENOMEM within
 * {@linkcode GRACE_MS} after a ring was closed.
 *
 * The memory of a ring, and of the buffers registered with it, counts against
 * RLIMIT_MEMLOCK until the kernel has taken the ring apart
 * (io_ring_exit_work(), Linux 6.18). Without the retry, a program that closes
 * one ring and opens the next would be refused.
 */
export function patiently(call: () => number): number {
  for (;;) {
    const rc = call();
    const passed = performance.now() - lastClosed > GRACE_MS;
    if (rc !== -E.ENOMEM || passed) return rc;
    Atomics.wait(pause, 0, 0, 5);
  }
}
