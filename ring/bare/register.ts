/**
 * io_uring_register(2): the operations on a ring outside its queues. A `ring` is a
 * descriptor, or what `RingHandle.target()` returns.
 *
 * @module
 */

import * as uapi from "../../sys/uapi/io_uring.ts";
import { syscall } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";
import { sizeof } from "../../sys/struct.ts";

/** Added to the index of a registered ring, and to the operation then. */
export const BY_INDEX = uapi.IORING_REGISTER_USE_REGISTERED_RING;

function register(ring: number, op: number, arg: number, nr: number): number {
  const add = ring >= BY_INDEX ? BY_INDEX : 0;
  return syscall("io_uring_register", ring - add, op + add, arg, nr);
}

const { io_uring_rsrc_update2: update } = uapi;

/** Passes one `struct io_uring_rsrc_update2`, which stays in the scratch memory. */
function updateRingFd(op: number, ring: number, index: number, data: number) {
  const { bytes, view, at } = scratch();
  bytes.fill(0, 0, sizeof(update));
  update.offset.set(view, 0, index);
  update.data.set(view, 0, data);
  return register(ring, op, at, 1);
}

/** Registers the ring with the calling thread. Returns its index, or `-errno`. */
export function registerRingFd(fd: number): number {
  const next = 0xffff_ffff; // The kernel chooses the index.
  const rc = updateRingFd(uapi.IORING_REGISTER_RING_FDS, fd, next, fd);
  return rc === 1 ? update.offset.get(scratch().view, 0) : rc;
}

/** Undoes {@linkcode registerRingFd}. */
export function unregisterRingFd(ring: number, index: number): void {
  updateRingFd(uapi.IORING_UNREGISTER_RING_FDS, ring, index, 0);
}

/** Makes the ring signal an eventfd when it posts completions. */
export function registerEventfd(ring: number, eventfd: number): number {
  const { view, at } = scratch();
  view.setInt32(0, eventfd, true);
  return register(ring, uapi.IORING_REGISTER_EVENTFD, at, 1);
}

/** Undoes {@linkcode registerEventfd}. */
export function unregisterEventfd(ring: number): number {
  return register(ring, uapi.IORING_UNREGISTER_EVENTFD, 0, 0);
}

/** Limits the workers for bounded work, which includes uring commands. */
export function registerMaxWorkers(ring: number, bounded: number): number {
  const { view, at } = scratch();
  view.setUint32(0, bounded, true);
  view.setUint32(4, 0, true); // Leaves the limit for unbounded work.
  return register(ring, uapi.IORING_REGISTER_IOWQ_MAX_WORKERS, at, 2);
}

/** Gives the ring a table of files. A descriptor of -1 leaves a place empty. */
export function registerFiles(ring: number, fds: readonly number[]): number {
  const { view, at } = scratch();
  fds.forEach((file, i) => view.setInt32(i * 4, file, true));
  return register(ring, uapi.IORING_REGISTER_FILES, at, fds.length);
}

/** Puts a file into a place of the table, or none with a descriptor of -1. */
export function updateFile(ring: number, place: number, file: number): number {
  const { bytes, view, at } = scratch();
  // struct io_uring_files_update is the first half of this one.
  const size = sizeof(update);
  bytes.fill(0, 0, size);
  update.offset.set(view, 0, place);
  update.data.set(view, 0, at + size);
  view.setInt32(size, file, true);
  return register(ring, uapi.IORING_REGISTER_FILES_UPDATE, at, 1);
}

/** Removes the table of files. */
export function unregisterFiles(ring: number): number {
  return register(ring, uapi.IORING_UNREGISTER_FILES, 0, 0);
}

/** Pins buffers for the ring, as `[address, byteLength]`: zeros leave a place empty. */
export function registerBuffers(
  ring: number,
  buffers: readonly (readonly [address: number, byteLength: number])[],
): number {
  const { at } = scratch();
  buffers.forEach((buffer, i) => setIovec(i * IOVEC, buffer));
  return register(ring, uapi.IORING_REGISTER_BUFFERS, at, buffers.length);
}

/** Bytes of a struct iovec: a pointer and a size_t. */
const IOVEC = 16;

function setIovec(
  at: number,
  [address, byteLength]: readonly [address: number, byteLength: number],
): void {
  const { view } = scratch();
  view.setBigUint64(at, BigInt(address), true);
  view.setBigUint64(at + 8, BigInt(byteLength), true);
}

/** Pins a buffer in a place of the table, or none with zeros. */
export function updateBuffer(
  ring: number,
  place: number,
  buffer: readonly [address: number, byteLength: number],
): number {
  const { bytes, view, at } = scratch();
  const size = sizeof(update);
  bytes.fill(0, 0, size);
  update.offset.set(view, 0, place);
  update.data.set(view, 0, at + size);
  update.nr.set(view, 0, 1);
  setIovec(size, buffer);
  // The count of arguments is the size of the struct: io_register_rsrc_update().
  return register(ring, uapi.IORING_REGISTER_BUFFERS_UPDATE, at, size);
}

/** Removes the table of buffers and unpins them. */
export function unregisterBuffers(ring: number): number {
  return register(ring, uapi.IORING_UNREGISTER_BUFFERS, 0, 0);
}

const { io_uring_buf_reg: reg, io_uring_buf_status: status } = uapi;

/** Registers a ring of provided buffers, whose entries are at an address. */
export function registerBufferRing(
  ring: number,
  group: number,
  { address, entries }: {
    readonly address: number;
    readonly entries: number;
  },
): number {
  const { bytes, view, at } = scratch();
  bytes.fill(0, 0, sizeof(reg));
  reg.ring_addr.set(view, 0, address);
  reg.ring_entries.set(view, 0, entries);
  reg.bgid.set(view, 0, group);
  return register(ring, uapi.IORING_REGISTER_PBUF_RING, at, 1);
}

/** Undoes {@linkcode registerBufferRing}. */
export function unregisterBufferRing(ring: number, group: number): number {
  const { bytes, view, at } = scratch();
  bytes.fill(0, 0, sizeof(reg));
  reg.bgid.set(view, 0, group);
  return register(ring, uapi.IORING_UNREGISTER_PBUF_RING, at, 1);
}

/** Returns the kernel's head of a ring of provided buffers, or `-errno`. Linux 6.8. */
export function bufferRingHead(ring: number, group: number): number {
  const { bytes, view, at } = scratch();
  bytes.fill(0, 0, sizeof(status));
  status.buf_group.set(view, 0, group);
  const rc = register(ring, uapi.IORING_REGISTER_PBUF_STATUS, at, 1);
  return rc < 0 ? rc : status.head.get(view, 0);
}

/** Registers the credentials of the calling thread. Returns their number. */
export function registerPersonality(ring: number): number {
  return register(ring, uapi.IORING_REGISTER_PERSONALITY, 0, 0);
}

/** Undoes {@linkcode registerPersonality}. */
export function unregisterPersonality(ring: number, id: number): number {
  return register(ring, uapi.IORING_UNREGISTER_PERSONALITY, 0, id);
}

/** Lets a ring made with IORING_SETUP_R_DISABLED take submissions. */
export function enableRings(ring: number): number {
  return register(ring, uapi.IORING_REGISTER_ENABLE_RINGS, 0, 0);
}

/**
 * Returns the register operations that a ring with these `IORING_SETUP_` flags
 * always needs. Each must be unregistered from its thread, which would keep the
 * whole ring until the thread ends. One with DEFER_TASKRUN renews its eventfd, see
 * `Bell`.
 */
export function neededBy(flags: number): number[] {
  const always = uapi.IORING_UNREGISTER_RING_FDS;
  const { IORING_REGISTER_EVENTFD, IORING_UNREGISTER_EVENTFD } = uapi;
  return flags & uapi.IORING_SETUP_DEFER_TASKRUN
    ? [always, IORING_REGISTER_EVENTFD, IORING_UNREGISTER_EVENTFD]
    : [always];
}

/** Sets restrictions: pairs of an `IORING_RESTRICTION_` number and its value. */
export function registerRestrictions(
  ring: number,
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
  return register(ring, op, at, restrictions.length);
}

/** Returns the opcodes that the kernel has. */
export function probeOpcodes(ring: number): Set<number> {
  const { bytes, view, at } = scratch();
  const { io_uring_probe: probe, io_uring_probe_op: entry } = uapi;
  bytes.fill(0, 0, sizeof(probe) + 256 * sizeof(entry));
  const opcodes = new Set<number>();
  if (register(ring, uapi.IORING_REGISTER_PROBE, at, 256) < 0) return opcodes;
  for (let i = 0; i < probe.ops_len.get(view, 0); i++) {
    const base = sizeof(probe) + i * sizeof(entry);
    if (entry.flags.get(view, base) & uapi.IO_URING_OP_SUPPORTED) {
      opcodes.add(entry.op.get(view, base));
    }
  }
  return opcodes;
}
