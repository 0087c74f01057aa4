/** The submission queue over plain arrays, in which the test plays the kernel. */

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { SubmissionQueue } from "../../ring/bare/squeue.ts";
import {
  IORING_OP_NOP,
  IORING_OP_NOP128,
  IORING_OP_URING_CMD,
  IORING_OP_URING_CMD128,
  IORING_SQ_CQ_OVERFLOW,
  IORING_SQ_NEED_WAKEUP,
  IORING_SQ_TASKRUN,
  IOSQE_ASYNC,
  IOSQE_CQE_SKIP_SUCCESS,
  IOSQE_IO_HARDLINK,
  IOSQE_IO_LINK,
} from "../../sys/uapi/io_uring.ts";
import { random } from "../kit/random.ts";

// Indices of the shared words. They differ from those of a real ring.
const HEAD = 3;
const TAIL = 5;
const FLAGS = 6;
const ARRAY = 9;

/** Head and tail as they start: at 0, and before the wraps at 2^31 and 2^32. */
const STARTS = [0, 0x7fff_fffe, 0xffff_fffe];

/** The content of words that were never written. */
const STALE = 0x5a5a_5a5a;

interface Shape {
  entries?: number;
  sqeWords?: 16 | 32;
  mixed?: boolean;
  hold?: boolean;
  array?: boolean;
  start?: number;
}

/** A queue, and the words that it shares with the kernel. */
class Kernel {
  readonly sq: SubmissionQueue;
  readonly ring: Int32Array;
  readonly sqes: Int32Array;
  readonly entries: number;

  constructor(shape: Shape = {}) {
    const { entries = 4, sqeWords = 16, start = 0 } = shape;
    const { mixed = false, hold = false, array = hold } = shape;
    this.entries = entries;
    // Neither array starts where its buffer does.
    const ring = new Int32Array(2 + ARRAY + entries + 1).fill(STALE);
    this.ring = ring.subarray(2);
    this.sqes = new Int32Array(4 + entries * sqeWords).fill(STALE).subarray(4);
    this.head = start;
    this.ring[TAIL] = start;
    this.flags = 0;
    this.sq = new SubmissionQueue({
      ring: this.ring,
      sqes: this.sqes,
      head: HEAD,
      tail: TAIL,
      flags: FLAGS,
      array: array ? ARRAY : -1,
      entries,
      sqeWords,
      mixed,
      hold,
    });
  }

  get head(): number {
    return this.ring[HEAD];
  }

  set head(value: number) {
    this.ring[HEAD] = value;
  }

  get tail(): number {
    return this.ring[TAIL];
  }

  set flags(value: number) {
    this.ring[FLAGS] = value;
  }

  /** Takes `count` places, as the kernel does. */
  take(count: number): void {
    this.head = this.head + count | 0;
  }
}

/** Takes SQEs from `next()` until the queue is full. */
function all(sq: SubmissionQueue, wide = false): number[] {
  const found: number[] = [];
  for (let at = sq.next(wide); at >= 0; at = sq.next(wide)) found.push(at);
  return found;
}

for (const start of STARTS) {
  const from = `from 0x${start.toString(16)} on`;

  Deno.test(`SQEs are given out in order until the queue is full, ${from}`, () => {
    const { sq, entries } = new Kernel({ start });
    assertEquals(sq.space, entries);
    const first = (start & 3) * 16;
    assertEquals(
      all(sq),
      [first, (first + 16) % 64, (first + 32) % 64, (first + 48) % 64],
    );
    assertEquals([sq.next(), sq.next(true), sq.space], [-1, -1, 0]);
  });

  Deno.test(`an SQE that the kernel has taken is free again, ${from}`, () => {
    const kernel = new Kernel({ start });
    const { sq } = kernel;
    for (let round = 0; round < 8; round++) {
      const at = (start + round * 3 & 3) * 16;
      assertEquals(sq.next(), at);
      assertEquals(sq.next(), (at + 16) % 64);
      assertEquals(sq.next(), (at + 32) % 64);
      assertEquals([sq.space, sq.publish()], [1, 3]);
      kernel.take(3);
      assertEquals([sq.space, sq.publish()], [4, 0]);
    }
    assertEquals(kernel.tail, start + 24 | 0);
  });

  Deno.test(`SQEs of their own are queued by their numbers, ${from}`, () => {
    const kernel = new Kernel({ start, hold: true });
    const { sq, ring } = kernel;
    for (const round of [[2, 0, 3], [0], [1, 2, 3, 0]]) {
      const tail = kernel.tail;
      for (const sqe of round) sq.pushOwn(sqe);
      assertEquals(kernel.tail, tail);
      assertEquals(sq.publish(), round.length);
      const queued = round.map((_, i) => ring[ARRAY + (tail + i & 3)]);
      assertEquals(queued, round);
      sq.taken(round.length);
      kernel.take(round.length);
    }
    assertEquals(kernel.tail, start + 8 | 0);
  });

  Deno.test(`SQEs are published by publish() only, ${from}`, () => {
    const kernel = new Kernel({ start });
    kernel.sq.next();
    kernel.sq.next();
    assertEquals(kernel.tail, start | 0);
    assertEquals(kernel.sq.publish(), 2);
    assertEquals(kernel.tail, start + 2 | 0);
  });

  Deno.test(`after a short submit the rest is counted once, ${from}`, () => {
    const kernel = new Kernel({ start });
    const { sq } = kernel;
    all(sq);
    assertEquals(sq.publish(), 4);
    kernel.take(1);
    assertEquals([sq.publish(), sq.space], [3, 1]);
    assertEquals(sq.next(), (start & 3) * 16);
    assertEquals(sq.publish(), 4);
    kernel.take(4);
    assertEquals([sq.publish(), sq.space], [0, 4]);
  });

  Deno.test(`SQEs given out after publish() are not taken with the others, ${from}`, () => {
    const kernel = new Kernel({ start });
    const { sq } = kernel;
    sq.next();
    assertEquals(sq.publish(), 1);
    sq.next();
    kernel.take(1);
    sq.taken(1);
    assertEquals(sq.publish(), 1);
  });
}

Deno.test("a queue starts at the head and tail that it finds", () => {
  const kernel = new Kernel({ start: 6 });
  kernel.head = 5;
  const { sq } = kernel;
  assertEquals([sq.space, sq.publish()], [3, 1]);
  assertEquals(all(sq), [32, 48, 0]);
});

Deno.test("a queue of one entry is full after one", () => {
  const kernel = new Kernel({ entries: 1, start: 0xffff_ffff });
  for (let round = 0; round < 3; round++) {
    assertEquals([kernel.sq.next(), kernel.sq.next()], [0, -1]);
    assertEquals(kernel.sq.publish(), 1);
    kernel.take(1);
  }
});

Deno.test("the largest queue wraps at 2^32 like a small one", () => {
  const entries = 32768;
  const kernel = new Kernel({ entries, start: 0xffff_fffe });
  const given = all(kernel.sq);
  assertEquals(given.length, entries);
  assertEquals(new Set(given).size, entries);
  assertEquals(given.slice(0, 3), [(entries - 2) * 16, (entries - 1) * 16, 0]);
  assertEquals([kernel.sq.publish(), kernel.sq.space], [entries, 0]);
});

Deno.test("SQEs of 128 bytes are 32 words apart", () => {
  const { sq } = new Kernel({ sqeWords: 32 });
  assertEquals([sq.next(), sq.next(true)], [0, 32]); // One place each.
  assertEquals(all(sq, true), [64, 96]);
});

Deno.test("the words and the view are the same memory", () => {
  const { sq, sqes } = new Kernel();
  const at = (sq.next(), sq.next());
  sq.words[at] = 0x0403_0201;
  assertEquals(sq.view.getUint8(at * 4 + 1), 2);
  assertEquals(sq.view.byteLength, sqes.byteLength);
  sq.view.setUint32(at * 4, 7, true);
  assertEquals(sqes[at], 7);
});

Deno.test("the array of SQE numbers is filled once, and nothing beside it", () => {
  const { ring, sq } = new Kernel({ array: true });
  const head = [STALE, STALE, STALE, 0, STALE, 0, 0, STALE, STALE];
  assertEquals([...ring], [...head, 0, 1, 2, 3, STALE]);
  all(sq);
  sq.publish();
  assertEquals([...ring.subarray(ARRAY)], [0, 1, 2, 3, STALE]);
});

Deno.test("a queue without the array writes none", () => {
  const { ring, sq } = new Kernel({ array: false });
  all(sq);
  sq.publish();
  assertEquals([...ring.subarray(ARRAY)], new Array(5).fill(STALE));
});

Deno.test("an SQE that was given out is a no-op until it is filled, and no earlier command", () => {
  for (const shape of [{}, { sqeWords: 32 }, { hold: true }] as const) {
    const { sq, sqes } = new Kernel(shape);
    const given = all(sq);
    assertEquals(given.map((at) => sqes[at]), given.map(() => 0));
    assertEquals(sqes.filter((word) => word !== STALE).length, given.length);
  }
});

Deno.test("an SQE that was looked at is no part of the queue before it is pushed", () => {
  for (const shape of [{}, { sqeWords: 32 }, { hold: true }] as const) {
    const { sq } = new Kernel(shape);
    const at = sq.peek();
    assertEquals([sq.peek(), sq.at(0), sq.publish()], [at, at, 0]);
    assertNotEquals(sq.at(1), at);
    sq.push();
    assertEquals(sq.publish(), 1);
    assertNotEquals(sq.peek(), at);
  }
});

Deno.test("the flags of the kernel are distinguished", () => {
  const kernel = new Kernel();
  const { sq } = kernel;
  const told = () => [sq.needsWakeup, sq.needsEnter, sq.overflowed];
  for (
    const [flags, expected] of [
      [0, [false, false, false]],
      [IORING_SQ_NEED_WAKEUP, [true, false, false]],
      [IORING_SQ_CQ_OVERFLOW, [false, true, true]],
      [IORING_SQ_TASKRUN, [false, true, false]],
      [IORING_SQ_CQ_OVERFLOW | IORING_SQ_NEED_WAKEUP, [true, true, true]],
      [IORING_SQ_TASKRUN | IORING_SQ_NEED_WAKEUP, [true, true, false]],
      [7, [true, true, true]],
      [~7, [false, false, false]], // Bits of kernels to come.
    ] as const
  ) {
    kernel.flags = flags;
    assertEquals(told(), [...expected], `flags ${flags}`);
  }
});

// ---- SQEs of both sizes ------------------------------------------------------

/** Fills every word of an SQE with a number, as a command would. */
function fill(
  sq: SubmissionQueue,
  at: number,
  wide: boolean,
  number: number,
  flags = 0,
): void {
  const opcode = wide && sq.mixed ? IORING_OP_URING_CMD128 : IORING_OP_NOP + 1;
  const words = wide ? 32 : sq.sqeWords;
  for (let i = 0; i < words; i++) sq.words[at + i] = number;
  sq.words[at] = opcode | flags << 8;
}

/** The words of a filler: a no-op that posts no CQE when it succeeds. */
const FILLER = [
  IORING_OP_NOP | IOSQE_CQE_SKIP_SUCCESS << 8, // opcode, flags, ioprio
  ...new Array(7).fill(0), // fd, off, addr, len, ...
  0x7fff_ffff, // user_data: that of no command
  ...new Array(7).fill(0),
];

/** Returns the 16 words of the SQE at a place. */
const sqe = ({ sqes }: Kernel, place: number) => [
  ...sqes.subarray(place * 16, place * 16 + 16),
];

Deno.test("in a mixed queue a large SQE takes two places", () => {
  const kernel = new Kernel({ mixed: true, entries: 8 });
  const { sq } = kernel;
  assertEquals([sq.next(true), sq.next(), sq.next(true)], [0, 32, 48]);
  assertEquals([sq.space, sq.publish()], [3, 5]);
  assertEquals([sq.next(true), sq.next(true), sq.next()], [80, -1, 112]);
  assertEquals([sq.next(), sq.space, sq.publish()], [-1, 0, 8]);
});

for (const start of STARTS) {
  const from = `from 0x${start.toString(16)} on`;

  Deno.test(`a filler takes the last place where a large SQE would not fit, ${from}`, () => {
    // One place is left before the end of the ring.
    const ready = start + (3 - (start & 3)) | 0;
    const kernel = new Kernel({ mixed: true, start: ready });
    const { sq } = kernel;
    assertEquals(sq.next(true), 0);
    assertEquals(sqe(kernel, 3), FILLER);
    assertEquals([sq.publish(), sq.space], [3, 1]);
    assertEquals(kernel.tail, ready + 3 | 0);
    // The SQE itself is given out with its old content, except for its first word.
    assertEquals([...kernel.sqes.subarray(1, 48)], new Array(47).fill(STALE));
    assertEquals([sq.next(true), sq.next()], [-1, 32]);
  });
}

Deno.test("a small SQE takes the last place without a filler", () => {
  const kernel = new Kernel({ mixed: true, start: 3 });
  assertEquals([kernel.sq.next(), kernel.sq.next(true)], [48, 0]);
  assertEquals(kernel.sqes[48], 0); // Links nothing yet.
  assertEquals(kernel.sqes[49], STALE);
  assertEquals(kernel.sq.publish(), 3);
});

Deno.test("without room for both, neither the filler nor the SQE is written", () => {
  const kernel = new Kernel({ mixed: true, start: 1 });
  const { sq } = kernel;
  assertEquals([sq.next(), sq.next()], [16, 32]);
  const before = [...kernel.sqes];
  assertEquals([sq.space, sq.next(true), sq.space], [2, -1, 2]);
  assertEquals([...kernel.sqes], before);
  assertEquals([sq.next(), sq.next(true), sq.next()], [48, -1, 0]);
});

for (const flag of [IOSQE_IO_LINK, IOSQE_IO_HARDLINK]) {
  const kind = flag === IOSQE_IO_LINK ? "linked" : "hard-linked";

  Deno.test(`a filler goes before a ${kind} chain, not into it`, () => {
    const kernel = new Kernel({ mixed: true, entries: 8, start: 3 });
    const { sq } = kernel;
    fill(sq, sq.next(), false, 1);
    fill(sq, sq.next(true), true, 2, flag); // The chain: places 4 and 5,
    fill(sq, sq.next(), false, 3, flag | IOSQE_ASYNC); // 6,
    assertEquals(sq.next(true), 0); // and 7, where this one does not fit.
    fill(sq, 0, true, 4);
    const seen = [3, 4, 5, 7, 0].map((place) => sqe(kernel, place)[8]);
    assertEquals(seen, [1, FILLER[8], 2, 3, 4]);
    assertEquals(sqe(kernel, 4), FILLER);
    const large = IORING_OP_URING_CMD128 | flag << 8;
    assertEquals(sqe(kernel, 5), [large, ...new Array(15).fill(2)]);
    assertEquals(sqe(kernel, 6), new Array(16).fill(2));
    const small = IORING_OP_NOP + 1 | (flag | IOSQE_ASYNC) << 8;
    assertEquals(sqe(kernel, 7), [small, ...new Array(15).fill(3)]);
    assertEquals([sq.publish(), sq.space], [7, 1]);
  });
}

Deno.test("a chain that was published stays where it is", () => {
  const kernel = new Kernel({ mixed: true, entries: 8, start: 6 });
  const { sq } = kernel;
  fill(sq, sq.next(), false, 1, IOSQE_IO_LINK);
  sq.publish(); // Here the kernel may have read it.
  assertEquals(sq.next(true), 0);
  assertEquals([sqe(kernel, 6)[8], sqe(kernel, 7)], [1, FILLER]);
});

Deno.test("only the last chain moves, not the chain before it", () => {
  const kernel = new Kernel({ mixed: true, entries: 8, start: 4 });
  const { sq } = kernel;
  fill(sq, sq.next(), false, 1, IOSQE_IO_LINK);
  fill(sq, sq.next(), false, 2); // The end of a chain.
  fill(sq, sq.next(), false, 3, IOSQE_IO_LINK);
  assertEquals(sq.next(true), 0);
  const seen = [4, 5, 6, 7].map((place) => sqe(kernel, place)[8]);
  assertEquals(seen, [1, 2, FILLER[8], 3]);
});

for (const start of STARTS) {
  Deno.test(`the rest of a chain after a short submit becomes no-ops, from 0x${start.toString(16)} on`, () => {
    const kernel = new Kernel({ mixed: true, entries: 16, start });
    const { sq, sqes } = kernel;
    const put = (wide: boolean, link: boolean) => {
      const at = sq.next(wide);
      sqes.fill(-1, at, at + (wide ? 32 : 16));
      const opcode = wide ? IORING_OP_URING_CMD128 : IORING_OP_URING_CMD;
      sqes[at] = opcode | (link ? IOSQE_IO_LINK << 8 : 0);
      return at;
    };
    const alone = put(false, false);
    const [first, second, third] = [
      put(true, true),
      put(true, true),
      put(false, false),
    ];
    const after = put(false, false);
    sq.publish();
    const [head, length] = [kernel.head, sq.publish()];
    // A submission that ends at either end of the chain cuts nothing, nor does one
    // that takes nothing.
    for (const taken of [0, 1, length - 1, length]) {
      kernel.head = head + taken | 0;
      assertEquals(sq.cutOff(), []);
    }
    kernel.head = head + ((first + 32 - alone) / 16 & 15) | 0;
    assertEquals(sq.cutOff(), [second, third]);
    const link = IOSQE_IO_LINK << 8;
    const rest = (at: number) => [...sqes.subarray(at + 1, at + 16)];
    const blank = [...Array(7).fill(0), -1, -1, ...Array(6).fill(0)];
    assertEquals([sqes[second], rest(second)], [
      IORING_OP_NOP128 | link,
      blank,
    ]);
    assertEquals([sqes[third], rest(third)], [IORING_OP_NOP, blank]);
    assertEquals(sqes[after], IORING_OP_URING_CMD);
  });
}

Deno.test("flags of an earlier SQE link nothing", () => {
  const kernel = new Kernel({ mixed: true, start: 2 });
  const { sq, sqes } = kernel;
  sqes.fill(IOSQE_IO_LINK << 8); // What was in the ring before.
  const first = sq.next();
  const second = sq.next(true);
  fill(sq, first, false, 1); // Both are filled when both were asked for.
  fill(sq, second, true, 2);
  assertEquals([first, second], [32, 0]);
  assertEquals([sqe(kernel, 2)[8], sqe(kernel, 3)], [1, FILLER]);
});

// ---- SQEs that are held --------------------------------------------------------

Deno.test("a held SQE is not given out again until it was released", () => {
  const kernel = new Kernel({ hold: true });
  const { sq } = kernel;
  assertEquals(all(sq), [0, 16, 32, 48]);
  assertEquals(sq.publish(), 4);
  kernel.take(4);
  assertEquals([sq.space, sq.next(), sq.publish()], [0, -1, 0]);
  sq.release(32);
  assertEquals([sq.space, sq.next(), sq.next()], [1, 32, -1]);
  assertEquals(kernel.ring[ARRAY + 0], 2); // The fifth SQE is number 2.
});

Deno.test("held SQEs are released in any order, and the array maps places to them", () => {
  const kernel = new Kernel({ hold: true, start: 0xffff_fffe });
  const { sq, ring } = kernel;
  const array = () => [...ring.subarray(ARRAY, ARRAY + 4)];
  assertEquals(all(sq), [0, 16, 32, 48]);
  // The places follow the tail, which is at 2, 3, 0, 1; the SQEs do not.
  assertEquals(array(), [2, 3, 0, 1]);
  sq.publish();
  kernel.take(4);
  for (const word of [48, 0, 32]) sq.release(word);
  assertEquals(sq.space, 3);
  assertEquals([sq.next(), sq.next(), sq.next()], [32, 0, 48]);
  assertEquals(array(), [3, 3, 2, 0]);
  assertEquals(sq.publish(), 3);
  sq.release(16);
  assertEquals([sq.space, sq.next(), sq.space], [1, 16, 0]);
  assertEquals(array(), [3, 1, 2, 0]);
});

Deno.test("a released SQE waits for a free place", () => {
  const kernel = new Kernel({ hold: true });
  const { sq } = kernel;
  all(sq);
  sq.release(0); // Released, but its place in the array is not free.
  assertEquals([sq.space, sq.next()], [0, -1]);
  kernel.take(1);
  assertEquals([sq.space, sq.next()], [1, 0]);
});

Deno.test("held SQEs of 128 bytes are released by their word index", () => {
  const kernel = new Kernel({ hold: true, sqeWords: 32 });
  assertEquals(all(kernel.sq), [0, 32, 64, 96]);
  kernel.take(4);
  kernel.sq.release(64);
  assertEquals(kernel.sq.next(), 64);
  assertEquals(kernel.ring[ARRAY], 2);
});

Deno.test("SQEs are taken back unless the kernel can have read them", () => {
  for (const start of STARTS) {
    for (const hold of [false, true]) {
      const kernel = new Kernel({ hold, start });
      const { sq, ring } = kernel;
      const tail = sq.pushed;
      const at = sq.next();
      sq.next();
      assertEquals(sq.publish(), 2);
      assertEquals(sq.drop(tail, true), false); // Its thread may have read them.
      assertEquals(sq.drop(tail, false), true);
      assertEquals([ring[TAIL], sq.space], [tail, 4]);
      assertEquals(sq.next(), at);
      for (let i = 0; i < 3; i++) sq.next();
      assertEquals([sq.next(), sq.publish()], [-1, 4]);
      kernel.head = tail + 1 | 0;
      assertEquals(sq.drop(tail, false), false);
    }
  }
});

Deno.test("a queue that holds SQEs is never mixed", () => {
  const kernel = new Kernel({ hold: true, mixed: true });
  assertEquals(kernel.sq.mixed, false);
  assertEquals(all(kernel.sq, true), [0, 16, 32, 48]);
});

// ---- Against a model -----------------------------------------------------------

/** An SQE that the test queued. */
interface Queued {
  readonly number: number;
  readonly wide: boolean;
  readonly linked: boolean;
  readonly at: number;
}

/** Queues, publishes, takes and releases at random, and compares with a model. */
function compare(shape: Shape, steps: number, seed: number): number {
  const kernel = new Kernel({ ...shape, array: shape.hold });
  const { sq, sqes, ring, entries } = kernel;
  const mask = entries - 1;
  const { sqeWords, mixed, hold } = sq;
  const below = random(seed);
  /** SQEs that the kernel has not taken, and SQEs that it may read again. */
  const queued: Queued[] = [];
  const held: Queued[] = [];
  let count = 0;
  let published = 0; // Places that the kernel may take.
  let filled = 0; // Places that it may not take yet.

  /** Checks all words of an SQE. */
  const intact = (at: number, { number, wide, linked }: Queued) => {
    const length = mixed && !wide ? 16 : wide ? 32 : sqeWords;
    for (let i = 1; i < length; i++) assertEquals(sqes[at + i], number);
    const flags = linked ? IOSQE_IO_LINK : 0;
    const opcode = wide && mixed ? IORING_OP_URING_CMD128 : IORING_OP_NOP + 1;
    assertEquals(sqes[at], opcode | flags << 8);
  };

  /** Takes one SQE as the kernel does. Returns the places that it had. */
  const takeOne = (): number => {
    const place = kernel.head & mask;
    const at = (hold ? ring[ARRAY + place] : place) * sqeWords;
    if (mixed && (sqes[at] & 0xff) === IORING_OP_NOP) {
      assertEquals([...sqes.subarray(at, at + 16)], FILLER);
      // The filler is before the SQE, or the chain, for which it makes room.
      const number = sqes[8 + (place + 1 & mask) * 16];
      assert(number === queued[0].number, "a filler that nothing needs");
      kernel.take(1);
      return 1;
    }
    const expected = queued.shift()!;
    intact(at, expected);
    const places = mixed && expected.wide ? 2 : 1;
    assert(place + places <= entries, "an SQE beyond the end of the ring");
    kernel.take(places);
    if (hold) held.push({ ...expected, at });
    return places;
  };

  for (let step = 0; step < steps; step++) {
    const free = entries - published - filled;
    const loose = entries - held.length - queued.length;
    assertEquals(sq.space, hold ? Math.min(free, loose) : free);
    switch (below(8)) {
      case 0:
        assertEquals(sq.publish(), published + filled);
        published += filled;
        filled = 0;
        break;
      case 1:
      case 2: {
        // The kernel takes some SQEs, not always all.
        for (let some = below(entries + 1); some > 0 && published > 0;) {
          const places = takeOne();
          published -= places;
          some -= places;
        }
        break;
      }
      case 3:
        for (let some = below(entries + 1); some > 0 && held.length > 0;) {
          some--;
          const [one] = held.splice(below(held.length), 1);
          intact(one.at, one); // The kernel has read it again.
          sq.release(one.at);
        }
        break;
      default: {
        const wide = sqeWords === 32 || mixed && below(2) === 0;
        const before = sq.space;
        const at = sq.next(mixed && wide);
        if (at < 0) {
          assert(before < (mixed && wide ? 3 : 1), "full too early");
          assertEquals(sq.space, before);
          break;
        }
        const linked = below(3) === 0;
        fill(sq, at, wide, ++count, linked ? IOSQE_IO_LINK : 0);
        queued.push({ number: count, wide, linked, at });
        filled += before - sq.space;
      }
    }
  }
  return count;
}

/** Reads chains back whole, to check that no filler cuts one. */
function chains(steps: number, seed: number): number {
  const below = random(seed);
  let fillers = 0;
  const start = [0xffff_fff0, 0x7fff_fff0, 0][below(3)];
  const kernel = new Kernel({ mixed: true, entries: 16, start });
  const { sq, sqes } = kernel;
  for (let step = 0; step < steps; step++) {
    const sizes = Array.from({ length: 1 + below(5) }, () => below(2) === 0);
    sizes.forEach((wide, i) => {
      const flags = i < sizes.length - 1 ? IOSQE_IO_LINK : 0;
      fill(sq, sq.next(wide), wide, i + 1, flags);
    });
    const places = sq.publish();
    const found: number[] = [];
    for (let i = 0; i < places;) {
      const at = (kernel.head + i & 15) * 16;
      const filler = (sqes[at] & 0xff) === IORING_OP_NOP;
      const wide = (sqes[at] & 0xff) === IORING_OP_URING_CMD128;
      assert(!wide || at < 240, "an SQE beyond the end of the ring");
      found.push(filler ? 0 : sqes[at + (wide ? 31 : 15)]);
      fillers += filler ? 1 : 0;
      i += wide ? 2 : 1;
    }
    const chain = sizes.map((_, i) => i + 1);
    assertEquals(found[0] === 0 ? found.slice(1) : found, chain);
    kernel.take(places);
  }
  return fillers;
}

/** Runs with a random seed, which the error names. */
function seeded(run: (seed: number) => void): void {
  const [seed] = crypto.getRandomValues(new Int32Array(1));
  try {
    run(seed);
  } catch (cause) {
    throw new Error(`with the seed ${seed}: ${cause}`, { cause });
  }
}

for (
  const [name, shape] of [
    ["64 bytes", {}],
    ["128 bytes", { sqeWords: 32 }],
    ["both sizes", { mixed: true, entries: 8 }],
    ["64 bytes that are held", { hold: true, entries: 8 }],
    ["128 bytes that are held", { hold: true, sqeWords: 32 }],
  ] as const
) {
  Deno.test(`a queue of SQEs of ${name} agrees with a model at random`, () => {
    for (const start of STARTS) {
      seeded((seed) => {
        const count = compare({ ...shape, start }, 34_000, seed);
        assert(count > 2000, `only ${count} were queued`);
      });
    }
  });
}

Deno.test("a chain of SQEs of both sizes is never cut at random", () => {
  seeded((seed) => {
    const fillers = chains(10_000, seed);
    assert(fillers > 500, `only ${fillers} fillers were needed`);
  });
});
