/** The pool of memory for what commands point at. */

import { assert, assertEquals, assertNotStrictEquals } from "@std/assert";
import { give, take } from "../../ring/flight/pool.ts";
import { Ring } from "../../ring/ring.ts";
import { collect, turn } from "../kit/wait.ts";

const MIB = 1 << 20;

/** Takes so many blocks of 1 MiB, and gives them back. */
function burst(count: number): WeakRef<ArrayBufferLike>[] {
  const blocks = Array.from({ length: count }, () => take(MIB));
  blocks.forEach(give);
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

Deno.test("a block is one taker's until it is given back", () => {
  const [first, second] = [take(100), take(100)];
  assertNotStrictEquals(first, second);
  assert(first.bytes.length >= 100);
  give(first);
  assertEquals(take(100), first);
  for (const block of [first, second]) give(block);
});
