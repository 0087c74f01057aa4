/** The completion queue over plain arrays, in which the test plays the kernel. */

import { assert, assertEquals } from "@std/assert";
import { CompletionQueue } from "../../ring/bare/cqueue.ts";
import {
  IORING_CQ_EVENTFD_DISABLED,
  IORING_CQE_F_32,
  IORING_CQE_F_BUFFER,
  IORING_CQE_F_MORE,
  IORING_CQE_F_NOTIF,
  IORING_CQE_F_SKIP,
} from "../../sys/uapi/io_uring.ts";
import { random } from "../kit/random.ts";

// Indices of the shared words. They differ from those of a real ring.
const HEAD = 2;
const TAIL = 5;
const FLAGS = 3;
const OVERFLOW = 7;
const CQES = 10; // An even number: a CQE starts at a multiple of 8 bytes.

/** Head and tail as they start: at 0, and before the wraps at 2^31 and 2^32. */
const STARTS = [0, 0x7fff_fffe, 0xffff_fffe];

/** The content of words that were never written. */
const STALE = 0x5a5a_5a5a;

interface Shape {
  entries?: number;
  cqeWords?: 4 | 8;
  start?: number;
}

/** A completion for the kernel to post. */
interface Cqe {
  readonly low?: number;
  readonly high?: number;
  readonly res?: number;
  readonly flags?: number;
  /** The other four words of a 32-byte CQE. */
  readonly extra?: readonly number[];
}

/** A queue, and the words that it shares with the kernel. */
class Kernel {
  readonly cq: CompletionQueue;
  readonly ring: Int32Array;
  readonly entries: number;
  readonly #cqeWords: number;

  constructor({ entries = 4, cqeWords = 4, start = 0 }: Shape = {}) {
    this.entries = entries;
    this.#cqeWords = cqeWords;
    // The array does not start where its buffer does.
    this.ring = new Int32Array(2 + CQES + entries * cqeWords).fill(STALE)
      .subarray(2);
    this.ring[HEAD] = start;
    this.ring[TAIL] = start;
    this.ring[FLAGS] = 0;
    this.ring[OVERFLOW] = 0;
    this.cq = new CompletionQueue({
      ring: this.ring,
      head: HEAD,
      tail: TAIL,
      flags: FLAGS,
      overflow: OVERFLOW,
      cqes: CQES,
      entries,
      cqeWords,
    });
  }

  get head(): number {
    return this.ring[HEAD];
  }

  get tail(): number {
    return this.ring[TAIL];
  }

  /** Free places for completions. */
  get room(): number {
    return this.entries - (this.tail - this.head | 0);
  }

  /** Posts a completion of one place: of 16 bytes, or 32 with `cqeWords` 8. */
  post({ low = 0, high = 0, res = 0, flags = 0, extra = [] }: Cqe): void {
    const at = this.#place();
    this.ring.set([low, high, res, flags, ...extra], at);
    this.ring[TAIL]++;
  }

  /** Posts a completion of 32 bytes in a mixed ring, as io_fill_nop_cqe() does. */
  postWide(cqe: Cqe): void {
    const last = (this.tail & this.entries - 1) === this.entries - 1;
    if (last) this.post({ flags: IORING_CQE_F_SKIP });
    const { low = 0, high = 0, res = 0, flags = 0, extra = [] } = cqe;
    const words = [low, high, res, flags | IORING_CQE_F_32, ...extra];
    this.ring.set(words, this.#place());
    this.ring[TAIL] += 2;
  }

  #place(): number {
    return CQES + (this.tail & this.entries - 1) * this.#cqeWords;
  }
}

/** Returns the fields of the completion that the cursor is on. */
function seen(cq: CompletionQueue): number[] {
  return [cq.userDataLow, cq.userDataHigh, cq.res, cq.flags];
}

/** Steps over all completions, and returns their results. */
function results(cq: CompletionQueue): number[] {
  const found: number[] = [];
  while (cq.next()) found.push(cq.res);
  return found;
}

for (const start of STARTS) {
  const from = `from 0x${start.toString(16)} on`;

  Deno.test(`the cursor steps over completions in order, ${from}`, () => {
    const kernel = new Kernel({ start });
    const { cq } = kernel;
    assertEquals([cq.ready, cq.next(), cq.ready], [0, false, 0]);
    for (let round = 0; round < 6; round++) {
      for (let i = 0; i < 3; i++) kernel.post({ res: round * 3 + i });
      assertEquals(cq.ready, 3);
      const first = round * 3;
      assertEquals(results(cq), [first, first + 1, first + 2]);
      assertEquals([cq.ready, cq.next()], [0, false]);
      cq.commit();
      assertEquals(kernel.head, start + first + 3 | 0);
    }
  });

  Deno.test(`places are given back by commit() only, ${from}`, () => {
    const kernel = new Kernel({ start });
    const { cq } = kernel;
    for (let res = 0; res < 4; res++) kernel.post({ res });
    assertEquals([cq.next(), cq.next()], [true, true]);
    assertEquals([kernel.head, kernel.room, cq.ready], [start | 0, 0, 2]);
    cq.commit();
    assertEquals([kernel.room, cq.ready], [2, 2]);
    // The kernel may overwrite the first two now. The others are still there.
    kernel.post({ res: 4 });
    kernel.post({ res: 5 });
    assertEquals(results(cq), [2, 3, 4, 5]);
    cq.commit();
    cq.commit(); // A second commit changes nothing.
    assertEquals(kernel.head, start + 6 | 0);
  });

  Deno.test(`completions of 32 bytes wrap as well, ${from}`, () => {
    const kernel = new Kernel({ cqeWords: 8, start });
    const { cq } = kernel;
    for (let i = 0; i < 10; i++) {
      kernel.post({ res: i, extra: [i, 0, 0, i] });
      assertEquals([cq.next(), cq.res, cq.wide], [true, i, true]);
      assertEquals(cq.extra(0), BigInt(i));
      assertEquals(cq.extra(1), BigInt(i) << 32n);
      cq.commit();
    }
    assertEquals(kernel.head, start + 10 | 0);
  });

  Deno.test(`a filler takes the last place of a mixed ring, ${from}`, () => {
    // One place is left before the end of the ring.
    const ready = start + (3 - (start & 3)) | 0;
    const kernel = new Kernel({ start: ready });
    const { cq } = kernel;
    kernel.postWide({ low: 7, high: 8, res: 9, extra: [1, 2, 3, 4] });
    assertEquals(cq.ready, 3); // Places: the filler's, and two.
    assertEquals(cq.next(), true);
    assertEquals(seen(cq), [7, 8, 9, IORING_CQE_F_32]);
    assertEquals(cq.extra(0), 0x2_0000_0001n);
    assertEquals(cq.extra(1), 0x4_0000_0003n);
    assertEquals([cq.ready, cq.next()], [0, false]);
    cq.commit();
    assertEquals(kernel.head, ready + 3 | 0);
  });
}

Deno.test("completions posted before the queue was made are there", () => {
  const kernel = new Kernel({ start: 6 });
  kernel.post({ res: 1 });
  const later = new CompletionQueue({
    ring: kernel.ring,
    head: HEAD,
    tail: TAIL,
    flags: FLAGS,
    overflow: OVERFLOW,
    cqes: CQES,
    entries: 4,
    cqeWords: 4,
  });
  assertEquals([later.ready, ...results(later)], [1, 1]);
});

Deno.test("the fields of a completion read as signed numbers", () => {
  const kernel = new Kernel();
  const { cq } = kernel;
  const flags = IORING_CQE_F_MORE | IORING_CQE_F_BUFFER | 5 << 16;
  kernel.post({ low: 1, high: -2, res: -95, flags });
  kernel.post({ low: -1, high: 2, res: 0x7fff_ffff, flags: 1 << 31 });
  assertEquals([cq.next(), ...seen(cq)], [true, 1, -2, -95, flags]);
  assertEquals(
    [cq.next(), ...seen(cq)],
    [true, -1, 2, 0x7fff_ffff, -0x8000_0000],
  );
  assertEquals(cq.wide, false);
});

Deno.test("a completion stays readable until the next one", () => {
  const kernel = new Kernel({ entries: 1 });
  const { cq } = kernel;
  kernel.post({ res: 1 });
  assertEquals([cq.next(), cq.next(), cq.res], [true, false, 1]);
});

Deno.test("a queue of one entry wraps at every completion", () => {
  const kernel = new Kernel({ entries: 1, start: 0xffff_ffff });
  for (let i = 0; i < 3; i++) {
    kernel.post({ res: i });
    assertEquals([kernel.room, ...results(kernel.cq)], [0, i]);
    kernel.cq.commit();
  }
  assertEquals(kernel.head, 2);
});

Deno.test("the tail is read again only after its last known value was reached", () => {
  const kernel = new Kernel();
  const { cq } = kernel;
  kernel.post({ res: 1 });
  kernel.post({ res: 2 });
  assertEquals(cq.next(), true);
  const tail = kernel.tail;
  kernel.ring[TAIL] = tail - 1; // No kernel does this. It shows a read.
  assertEquals([cq.next(), cq.res], [true, 2]);
  kernel.ring[TAIL] = tail;
  assertEquals(cq.next(), false);
});

Deno.test("a mixed ring has completions of both sizes", () => {
  const kernel = new Kernel({ entries: 8 });
  const { cq } = kernel;
  kernel.post({ res: 1 });
  kernel.postWide({ res: 2, flags: IORING_CQE_F_MORE, extra: [5, 0, 6, 0] });
  kernel.post({ res: 3, flags: IORING_CQE_F_NOTIF });
  kernel.postWide({ res: 4, extra: [-1, -1, 0, -1] });
  assertEquals(cq.ready, 6);
  const found: unknown[] = [];
  while (cq.next()) found.push([cq.res, cq.wide, cq.extra(0), cq.extra(1)]);
  assertEquals(found, [
    [1, false, 0n, 0n],
    [2, true, 5n, 6n],
    [3, false, 0n, 0n],
    [4, true, 2n ** 64n - 1n, 0xffff_ffffn << 32n],
  ]);
  cq.commit();
  assertEquals(kernel.head, 6);
});

Deno.test("a filler without a completion after it is no completion", () => {
  const kernel = new Kernel({ start: 3 });
  const { cq } = kernel;
  kernel.post({ flags: IORING_CQE_F_SKIP });
  assertEquals([cq.next(), cq.next(), cq.ready], [false, false, 0]);
  kernel.postWide({ res: 5, extra: [6, 0, 7, 0] });
  assertEquals([cq.next(), cq.res, cq.extra(0)], [true, 5, 6n]);
  cq.commit();
  assertEquals(kernel.head, 6);
});

Deno.test("a filler is given back with the completion that follows", () => {
  const kernel = new Kernel({ start: 2 });
  const { cq } = kernel;
  kernel.post({ res: 1 });
  kernel.postWide({ res: 2 });
  assertEquals([kernel.room, ...results(cq)], [0, 1, 2]);
  cq.commit();
  assertEquals(kernel.room, 4);
});

Deno.test("only a 32-byte completion has extra words", () => {
  const kernel = new Kernel();
  kernel.post({ res: 1 });
  kernel.post({ low: 2, res: 2 }); // What the extra words would be read from.
  assertEquals([kernel.cq.next(), kernel.cq.wide], [true, false]);
  assertEquals([kernel.cq.extra(0), kernel.cq.extra(1)], [0n, 0n]);
});

Deno.test("in a ring of 32-byte completions IORING_CQE_F_32 takes no second place", () => {
  const kernel = new Kernel({ cqeWords: 8 });
  kernel.post({ res: 1, flags: IORING_CQE_F_32 });
  kernel.post({ res: 2 });
  assertEquals([kernel.cq.ready, ...results(kernel.cq)], [2, 1, 2]);
});

Deno.test("the eventfd is switched on and off in the flags of the queue", () => {
  const { cq, ring } = new Kernel();
  const untouched = [...ring];
  cq.eventfd = false;
  assertEquals(ring[FLAGS], IORING_CQ_EVENTFD_DISABLED);
  cq.eventfd = true;
  assertEquals(ring[FLAGS], 0);
  assertEquals([...ring], untouched);
});

Deno.test("the count of lost completions is unsigned", () => {
  const { cq, ring } = new Kernel();
  for (const count of [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
    ring[OVERFLOW] = count;
    assertEquals(cq.lost, count);
  }
});

// ---- Against a model -----------------------------------------------------------

interface Posted {
  readonly cqe: Required<Cqe>;
  readonly wide: boolean;
}

/**
 * Posts, steps and commits at random, and compares with a model. Returns the
 * number of completions.
 */
function compare(shape: Shape, mixed: boolean, steps: number, seed: number) {
  const kernel = new Kernel(shape);
  const { cq, entries } = kernel;
  const below = random(seed);
  const word = () => below(2 ** 32) | 0;
  /** Random flags, without those that the queue itself reads. */
  const bits = () => word() & ~(IORING_CQE_F_32 | IORING_CQE_F_SKIP);
  const posted: Posted[] = [];
  let came = 0;
  for (let step = 0; step < steps; step++) {
    switch (below(3)) {
      case 0: {
        const cqe = {
          low: word(),
          high: word(),
          res: word(),
          flags: bits(),
          extra: [word(), word(), word(), word()],
        };
        const last = (kernel.tail & entries - 1) === entries - 1;
        if (mixed && below(2) === 0) {
          if (kernel.room < (last ? 3 : 2)) break;
          kernel.postWide(cqe);
          posted.push({ cqe, wide: true });
        } else if (kernel.room > 0) {
          kernel.post(
            mixed || shape.cqeWords === 4 ? { ...cqe, extra: [] } : cqe,
          );
          posted.push({ cqe, wide: shape.cqeWords === 8 });
        }
        break;
      }
      case 1: {
        const expected = posted.shift();
        assertEquals(cq.next(), expected !== undefined);
        if (expected === undefined) break;
        came++;
        const { cqe: { low, high, res, flags, extra }, wide } = expected;
        const large = mixed && wide ? IORING_CQE_F_32 : 0;
        assertEquals(seen(cq), [low, high, res, flags | large]);
        const [a, b, c, d] = wide ? Uint32Array.from(extra) : [0, 0, 0, 0];
        assertEquals(cq.wide, wide);
        assertEquals(cq.extra(0), BigInt(b) << 32n | BigInt(a));
        assertEquals(cq.extra(1), BigInt(d) << 32n | BigInt(c));
        break;
      }
      default:
        if (below(2) === 0) cq.commit();
        assertEquals(cq.ready > 0, posted.length > 0);
        assert(cq.ready >= posted.length);
    }
  }
  while (cq.next()) posted.shift();
  cq.commit();
  assertEquals([posted.length, kernel.room], [0, entries]);
  return came;
}

for (
  const [name, mixed, shape] of [
    ["16 bytes", false, { cqeWords: 4 }],
    ["32 bytes", false, { cqeWords: 8 }],
    ["both sizes", true, { cqeWords: 4, entries: 8 }],
  ] as const
) {
  Deno.test(`a queue of CQEs of ${name} agrees with a model at random`, () => {
    for (const start of STARTS) {
      const [seed] = crypto.getRandomValues(new Int32Array(1));
      try {
        const came = compare({ ...shape, start }, mixed, 34_000, seed);
        assert(came > 5000, `only ${came} came`);
      } catch (cause) {
        throw new Error(`with the seed ${seed}: ${cause}`, { cause });
      }
    }
  });
}
