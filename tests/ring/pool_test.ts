/** The pool of memory for what commands point at. */

import { assert, assertEquals, assertNotStrictEquals } from "@std/assert";
import { stub } from "@std/testing/mock";
import { give, lookIfCrowded, take } from "../../ring/flight/pool.ts";
import { Ring } from "../../ring/ring.ts";
import { collect, turn } from "../kit/wait.ts";

const MIB = 1 << 20;

/** Takes so many blocks of 1 MiB, and gives them back. */
function burst(count: number): WeakRef<ArrayBufferLike>[] {
  const blocks = Array.from({ length: count }, () => take(MIB));
  blocks.forEach(give);
  lookIfCrowded(); // As a turn does.
  return blocks.map(({ bytes }) => new WeakRef(bytes.buffer));
}

async function collected(refs: WeakRef<ArrayBufferLike>[]): Promise<number> {
  for (let i = 0; i < 3; i++) {
    await turn();
    collect();
  }
  return refs.filter((ref) => ref.deref() === undefined).length;
}

Deno.test("the blocks of a burst are collected when the last ring was closed", async () => {
  const ring = Ring.open();
  const refs = burst(64);
  assertEquals(await collected(refs), 0); // A steady load uses them again.
  await ring.close();
  assertEquals(await collected(refs), 64);
});

Deno.test("blocks that stay idle are collected while a ring is open", async () => {
  await using _ring = Ring.open();
  const refs = burst(64);
  await new Promise((resolve) => setTimeout(resolve, 5000)); // Two looks.
  assertEquals(await collected(refs), 64);
});

/** Calls `load` with a function that makes the pool look for idle blocks now. */
async function withLooks(load: (look: () => void) => void): Promise<void> {
  await using _ring = Ring.open();
  const looks: (() => void)[] = [];
  const real = setTimeout;
  using _timers = stub(globalThis, "setTimeout", (look: () => void) => {
    looks.push(look);
    return real(() => {}, 0); // For what the pool does with a timer.
  });
  load(() => looks.splice(0).forEach((look) => look()));
}

/** Returns how many blocks of a burst are those of an earlier one. */
function kept(count: number, earlier: WeakRef<ArrayBufferLike>[]): number {
  const buffers = new Set(earlier.map((ref) => ref.deref()));
  return burst(count).filter((ref) => buffers.has(ref.deref())).length;
}

Deno.test("a steady load has the same blocks, however often the pool looks", async () => {
  await withLooks((look) => {
    const refs = burst(20);
    for (let i = 0; i < 5; i++) {
      look();
      assertEquals(kept(20, refs), 20);
    }
  });
});

Deno.test("of the blocks of a burst, a load keeps twice as many as it needs", async () => {
  for (const [load, expected] of [[22, 43], [21, 0]]) {
    await withLooks((look) => {
      const refs = burst(43);
      look();
      assertEquals(kept(load, refs), load);
      look();
      assertEquals(kept(43, refs), expected);
    });
  }
});

Deno.test("a block is one taker's until it is given back", () => {
  const [first, second] = [take(100), take(100)];
  assertNotStrictEquals(first, second);
  assert(first.bytes.length >= 100);
  give(first);
  assertEquals(take(100), first);
  for (const block of [first, second]) give(block);
});
