/** io_uring_register(2): what a ring is told outside its queues. */

import * as uapi from "../../sys/uapi/io_uring.ts";
import { syscall } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";
import { sizeof } from "../../sys/struct.ts";

function register(fd: number, op: number, arg: number, nr: number): number {
  return syscall("io_uring_register", fd, op, arg, nr);
}

/** Registers the ring with the calling thread: its index, or `-errno`. */
export function registerRingFd(fd: number): number {
  const { bytes, view, at } = scratch();
  const { io_uring_rsrc_update2: update } = uapi;
  bytes.fill(0, 0, sizeof(update));
  update.offset.set(view, 0, 0xffff_ffff); // Let the kernel choose.
  update.data.set(view, 0, fd);
  const rc = register(fd, uapi.IORING_REGISTER_RING_FDS, at, 1);
  return rc === 1 ? update.offset.get(view, 0) : rc;
}

/** Undoes {@linkcode registerRingFd}. */
export function unregisterRingFd(fd: number, index: number): void {
  const { bytes, view, at } = scratch();
  const { io_uring_rsrc_update2: update } = uapi;
  bytes.fill(0, 0, sizeof(update));
  update.offset.set(view, 0, index);
  register(fd, uapi.IORING_UNREGISTER_RING_FDS, at, 1);
}

/** Has an eventfd signalled when completions are posted. */
export function registerEventfd(fd: number, eventfd: number): number {
  const { view, at } = scratch();
  view.setInt32(0, eventfd, true);
  return register(fd, uapi.IORING_REGISTER_EVENTFD, at, 1);
}

/** Has no eventfd signalled any more. */
export function unregisterEventfd(fd: number): number {
  return register(fd, uapi.IORING_UNREGISTER_EVENTFD, 0, 0);
}

/** Bounds the workers for what ends by itself, as uring commands do. */
export function registerMaxWorkers(fd: number, bounded: number): number {
  const { view, at } = scratch();
  view.setUint32(0, bounded, true);
  view.setUint32(4, 0, true); // The others stay as many as they are.
  return register(fd, uapi.IORING_REGISTER_IOWQ_MAX_WORKERS, at, 2);
}

/** Gives the ring a table of files; -1 leaves a place empty. */
export function registerFiles(fd: number, fds: readonly number[]): number {
  const { view, at } = scratch();
  fds.forEach((file, i) => view.setInt32(i * 4, file, true));
  return register(fd, uapi.IORING_REGISTER_FILES, at, fds.length);
}

/** Takes the table of files away. */
export function unregisterFiles(fd: number): number {
  return register(fd, uapi.IORING_UNREGISTER_FILES, 0, 0);
}

/** Pins buffers for the ring, as `[address, byteLength]`. */
export function registerBuffers(
  fd: number,
  buffers: readonly (readonly [address: number, byteLength: number])[],
): number {
  const { view, at } = scratch();
  // struct iovec: a pointer and a size_t.
  buffers.forEach(([address, byteLength], i) => {
    view.setBigUint64(i * 16, BigInt(address), true);
    view.setBigUint64(i * 16 + 8, BigInt(byteLength), true);
  });
  return register(fd, uapi.IORING_REGISTER_BUFFERS, at, buffers.length);
}

/** Unpins them. */
export function unregisterBuffers(fd: number): number {
  return register(fd, uapi.IORING_UNREGISTER_BUFFERS, 0, 0);
}

/** Lets a ring made with IORING_SETUP_R_DISABLED take submissions. */
export function enableRings(fd: number): number {
  return register(fd, uapi.IORING_REGISTER_ENABLE_RINGS, 0, 0);
}

/**
 * What a ring of these `IORING_SETUP_` flags has to register in any case: that it
 * is no longer registered with the thread, which would keep all of it for ever,
 * and a deferred one its eventfd anew, see `Bell`.
 */
export function neededBy(flags: number): number[] {
  const ops = [uapi.IORING_UNREGISTER_RING_FDS];
  if (flags & uapi.IORING_SETUP_DEFER_TASKRUN) {
    ops.push(uapi.IORING_REGISTER_EVENTFD, uapi.IORING_UNREGISTER_EVENTFD);
  }
  return ops;
}

/** Restrictions as pairs of an `IORING_RESTRICTION_` number and its value. */
export function registerRestrictions(
  fd: number,
  restrictions: readonly (readonly [opcode: number, value: number])[],
): number {
  const { bytes, view, at } = scratch();
  const { io_uring_restriction: entry } = uapi;
  const size = sizeof(entry);
  bytes.fill(0, 0, restrictions.length * size);
  restrictions.forEach(([opcode, value], i) => {
    entry.opcode.set(view, i * size, opcode);
    entry.sqe_op.set(view, i * size, value);
  });
  const op = uapi.IORING_REGISTER_RESTRICTIONS;
  return register(fd, op, at, restrictions.length);
}

/** The opcodes the kernel has, as a set of numbers. */
export function probeOpcodes(fd: number): Set<number> {
  const { bytes, view, at } = scratch();
  const { io_uring_probe: probe, io_uring_probe_op: entry } = uapi;
  bytes.fill(0, 0, sizeof(probe) + 256 * sizeof(entry));
  const opcodes = new Set<number>();
  if (register(fd, uapi.IORING_REGISTER_PROBE, at, 256) < 0) return opcodes;
  for (let i = 0; i < probe.ops_len.get(view, 0); i++) {
    const base = sizeof(probe) + i * sizeof(entry);
    if (entry.flags.get(view, base) & uapi.IO_URING_OP_SUPPORTED) {
      opcodes.add(entry.op.get(view, base));
    }
  }
  return opcodes;
}
