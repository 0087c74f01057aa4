/**
 * Random SQEs for harmless files, with the kernel as judge of what they are.
 *
 * An address in one is 0, or lies in an arena with room for as much as the kernel
 * could write there. What lies around the arena has to stay as it is.
 */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { IORING_OP_NOP, prepRw, type RawSqe } from "../../../ring/raw.ts";
import { addressOf, alloc, enter, type RingHandle } from "../../../ring/raw.ts";
import { O_RDWR } from "../../../sys/uapi/fcntl.ts";
import { open } from "../../../sys/file.ts";
import * as uapi from "../../../sys/uapi/io_uring.ts";
import { AF_UNIX, SOCK_STREAM } from "../../../sys/uapi/socket.ts";
import { syscall } from "../../../sys/libc.ts";
import { devNull, Fd, pipe, unixPair } from "../../kit/fds.ts";
import { turn } from "../../kit/wait.ts";

/** Bytes that must not change, on both sides of those that may. */
const CANARY = 4096;
const ROOM = 8192;
const CANARY_BYTE = 0xc5;

const memory = alloc(CANARY + ROOM + CANARY);
const start = addressOf(memory) + CANARY;

/** Files that commands may open, read, write and poll without harm. */
export class Files implements Disposable {
  readonly #all: Disposable[] = [];
  readonly fds: number[] = [];

  constructor() {
    const path = Deno.makeTempFileSync();
    const file = this.#keep(new Fd(open(path, O_RDWR)));
    Deno.removeSync(path);
    const listener = this.#keep(
      new Fd(syscall("socket", AF_UNIX, SOCK_STREAM, 0)),
    );
    const ends = [pipe(), unixPair()].map((pair) => this.#keep(pair));
    const none = this.#keep(devNull());
    this.fds.push(none.fd, file.fd, listener.fd, 0x7fff_fff0);
    for (const { left, right } of ends) this.fds.push(left, right);
  }

  #keep<T extends Disposable>(file: T): T {
    this.#all.push(file);
    return file;
  }

  [Symbol.dispose](): void {
    for (const file of this.#all) file[Symbol.dispose]();
  }
}

/** Operations that open nothing, close nothing, and wait for what is cancelled. */
const OPCODES = [
  uapi.IORING_OP_NOP,
  uapi.IORING_OP_FSYNC,
  uapi.IORING_OP_POLL_ADD,
  uapi.IORING_OP_POLL_REMOVE,
  uapi.IORING_OP_TIMEOUT,
  uapi.IORING_OP_TIMEOUT_REMOVE,
  uapi.IORING_OP_ACCEPT,
  uapi.IORING_OP_ASYNC_CANCEL,
  uapi.IORING_OP_LINK_TIMEOUT,
  uapi.IORING_OP_READ,
  uapi.IORING_OP_WRITE,
  uapi.IORING_OP_READ_FIXED,
  uapi.IORING_OP_WRITE_FIXED,
  uapi.IORING_OP_FADVISE,
  uapi.IORING_OP_SEND,
  uapi.IORING_OP_RECV,
  uapi.IORING_OP_SHUTDOWN,
  uapi.IORING_OP_URING_CMD,
  uapi.IORING_OP_SEND_ZC,
  255,
];

/** A timeout that comes again and again, with no time between. */
const TIMEOUT_MULTISHOT = 1 << 6;
/** The largest of what the kernel writes without being told how much. */
const LARGEST = 128;

const word = fc.oneof(
  fc.constantFrom(0, 1, 2, 4, 0xffff_ffff),
  fc.nat({ max: 64 }),
  fc.nat({ max: 0xffff_ffff }),
);
const half = fc.oneof(fc.constantFrom(0, 0, 1), fc.nat({ max: 0xffff }));
/** An offset in the arena; negative for an address of 0. */
const place = fc.integer({ min: -500, max: ROOM - LARGEST });

/** A random SQE, whose file is the index of one of those there are. */
export const sqe = fc.record({
  opcode: fc.constantFrom(...OPCODES),
  flags: fc.constantFrom(
    0,
    0,
    0,
    uapi.IOSQE_IO_LINK,
    uapi.IOSQE_IO_HARDLINK,
    uapi.IOSQE_ASYNC,
    uapi.IOSQE_FIXED_FILE,
    uapi.IOSQE_IO_LINK | uapi.IOSQE_ASYNC,
  ),
  ioprio: half,
  file: fc.nat({ max: 31 }),
  off: fc.oneof(word, fc.maxSafeNat()),
  addr: place,
  len: word,
  opFlags: word,
  bufIndex: half,
  fileIndex: word,
  addr3: place,
});

export type RandomSqe = typeof sqe extends fc.Arbitrary<infer T> ? T : never;

/** The SQE with addresses in the arena, and lengths that end in it. */
function tamed(random: RandomSqe, fds: readonly number[]): RawSqe {
  const { opcode, addr, addr3, file, ...rest } = random;
  const made: RawSqe = { ...rest, opcode, fd: fds[file % fds.length] };
  const room = ROOM - Math.max(addr, 0);
  const address = (at: number) => at < 0 ? 0 : start + at;
  made.addr = address(addr);
  made.len = random.len % (room + 1);
  made.addr3 = address(addr3);
  switch (opcode) {
    case uapi.IORING_OP_ACCEPT: // Where the length of the address is.
      made.off = address(addr3);
      break;
    case uapi.IORING_OP_TIMEOUT:
    case uapi.IORING_OP_LINK_TIMEOUT:
      made.opFlags = random.opFlags & ~TIMEOUT_MULTISHOT;
      break;
    case uapi.IORING_OP_POLL_REMOVE: // Not another user_data for a poll.
      made.len = random.len & 1;
      break;
    case uapi.IORING_OP_SEND:
    case uapi.IORING_OP_SEND_ZC: // Where an address to send to is.
      made.off = address(addr3);
      break;
    case uapi.IORING_OP_URING_CMD: // The length of an option, at `addr3`.
      made.off = random.off % 8;
      made.fileIndex = random.fileIndex % (ROOM - Math.max(addr3, 0) + 1);
      break;
  }
  return made;
}

const CANCEL = 0x7fff_ffff;

/** Submits them all, and waits until each has had its last completion. */
export async function judgeSqes(
  ring: RingHandle,
  randoms: readonly RandomSqe[],
  fds: readonly number[],
): Promise<void> {
  memory.fill(CANARY_BYTE);
  memory.subarray(CANARY, CANARY + ROOM).forEach((_, i, room) =>
    room[i] = i & 0x1f
  );
  const pending = new Set<number>();
  for (const [i, random] of randoms.entries()) {
    const made = { ...tamed(random, fds), userData: i };
    assert(prepRw(ring.sq, made), "the queue is full");
    pending.add(i);
  }
  /** Those of cancellations, which may be many. */
  let cancels = 0;
  const flags = uapi.IORING_ENTER_GETEVENTS;
  const reap = () => {
    const toSubmit = ring.sq.publish();
    const rc = enter(ring, { toSubmit, flags });
    assert(rc >= 0, `io_uring_enter: ${rc}`);
    while (ring.cq.next()) {
      const { userDataLow: id, flags, res } = ring.cq;
      if (flags & uapi.IORING_CQE_F_MORE) continue;
      if (id === CANCEL) cancels--;
      // A zero-copy send that its chain cancels posts a notification as well.
      else if (flags & uapi.IORING_CQE_F_NOTIF) pending.delete(id);
      else assert(pending.delete(id), `one too many for ${id}: ${res}`);
    }
    ring.cq.commit();
  };
  for (let i = 0; ring.sq.publish() > 0; i++) {
    assert(i <= randoms.length, "the kernel takes no more");
    reap();
  }
  reap();
  const since = performance.now();
  while (pending.size + cancels > 0) {
    assert(performance.now() - since < 5000, `no CQE for ${[...pending]}`);
    if (cancels === 0) {
      cancels++;
      prepRw(ring.sq, {
        opcode: uapi.IORING_OP_ASYNC_CANCEL,
        opFlags: uapi.IORING_ASYNC_CANCEL_ALL | uapi.IORING_ASYNC_CANCEL_ANY,
        userData: CANCEL,
      });
    }
    reap();
    await turn();
  }
  const edges = [memory.subarray(0, CANARY), memory.subarray(CANARY + ROOM)];
  for (const edge of edges) {
    assert(
      edge.every((byte) => byte === CANARY_BYTE),
      "the kernel wrote there",
    );
  }
  assert(prepRw(ring.sq, { opcode: IORING_OP_NOP, userData: CANCEL }));
  enter(ring, { toSubmit: ring.sq.publish(), minComplete: 1 });
  assert(ring.cq.next());
  assertEquals(ring.cq.userDataLow, CANCEL);
  ring.cq.commit();
}
