/** The commands that one signal can abort. */

import { assertEquals, assertStrictEquals } from "@std/assert";
import { Slot } from "../../ring/flight/slot.ts";
import { Watches } from "../../ring/flight/watch.ts";
import { turn } from "../kit/wait.ts";

Deno.test("a signal aborts all its commands through one listener, and those of a later use", async () => {
  const aborted: [number, unknown][] = [];
  const watches = new Watches((slot, reason) =>
    aborted.push([(slot as Slot).index, reason])
  );
  const abort = new AbortController();
  const [a, b, c, d] = [0, 1, 2, 3].map((index) => new Slot(index));
  watches.add(a, abort.signal);
  watches.add(b, abort.signal);
  assertStrictEquals(a.watch, b.watch);
  a.watch!.remove(a);
  b.watch!.remove(b); // The last one: the listener goes.
  watches.add(c, abort.signal);
  watches.add(d, abort.signal);
  abort.abort("reason");
  await turn();
  assertEquals(aborted, [[2, "reason"], [3, "reason"]]);
});

Deno.test("an abort event of a signal that is not aborted aborts nothing", async () => {
  const aborted: number[] = [];
  const watches = new Watches((slot) => aborted.push((slot as Slot).index));
  const { signal } = new AbortController();
  watches.add(new Slot(0), signal);
  signal.dispatchEvent(new Event("abort"));
  await turn();
  assertEquals(aborted, []);
});

Deno.test("what an abort of another has settled is not aborted", async () => {
  const aborted: number[] = [];
  const slots = [0, 1, 2].map((index) => new Slot(index));
  const watches = new Watches((slot) => {
    aborted.push((slot as Slot).index);
    slots[1].watch?.remove(slots[1]);
  });
  const abort = new AbortController();
  for (const slot of slots) watches.add(slot, abort.signal);
  abort.abort();
  await turn();
  assertEquals(aborted, [0, 2]);
});
