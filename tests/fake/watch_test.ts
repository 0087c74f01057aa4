/** The commands that one signal can abort. */

import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { Slot } from "../../ring/flight/slot.ts";
import { Watches, type WatchHost } from "../../ring/flight/watch.ts";
import { turn } from "../kit/wait.ts";

function watchesOf(abort: WatchHost["abort"]): Watches {
  return new Watches({ abort, comeBack() {} });
}

Deno.test("a signal aborts all its commands through one listener, and those of a later use", async () => {
  const aborted: [number, unknown][] = [];
  const watches = watchesOf((slot, reason) => {
    aborted.push([(slot as Slot).index, reason]);
  });
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
  const watches = watchesOf((slot) => {
    aborted.push((slot as Slot).index);
  });
  const { signal } = new AbortController();
  watches.add(new Slot(0), signal);
  signal.dispatchEvent(new Event("abort"));
  await turn();
  assertEquals(aborted, []);
});

Deno.test("what an abort of another has settled is not aborted", async () => {
  const aborted: number[] = [];
  const slots = [0, 1, 2].map((index) => new Slot(index));
  const watches = watchesOf((slot) => {
    aborted.push((slot as Slot).index);
    slots[1].watch?.remove(slots[1]);
  });
  const abort = new AbortController();
  for (const slot of slots) watches.add(slot, abort.signal);
  abort.abort();
  await turn();
  assertEquals(aborted, [0, 2]);
});

Deno.test("an abort that was cut short goes on with the rest, and with later signals", async () => {
  const aborted: number[] = [];
  let cut = true;
  const slots = [0, 1, 2, 3].map((index) => new Slot(index));
  const watches = watchesOf((slot) => {
    const { index } = slot as Slot;
    if (index === 1 && cut) throw new RangeError("cut short");
    aborted.push(index);
    slot.watch!.remove(slot); // As settling it does.
  });
  const [first, second] = [new AbortController(), new AbortController()];
  for (const slot of slots.slice(0, 3)) watches.add(slot, first.signal);
  watches.add(slots[3], second.signal);
  first.abort();
  assertThrows(() => watches.act(), RangeError, "cut short");
  assertEquals(aborted, [0]);
  cut = false;
  second.abort();
  await turn();
  assertEquals(aborted, [0, 3, 1, 2]);
});

Deno.test("an abort asks for a turn of the event loop, which does its work if the microtask is lost", () => {
  const aborted: number[] = [];
  let asked = 0;
  const watches = new Watches({
    abort: (slot) => void aborted.push((slot as Slot).index),
    comeBack: () => asked++,
  });
  const abort = new AbortController();
  watches.add(new Slot(7), abort.signal);
  abort.abort();
  assertEquals([asked, aborted], [1, []]);
  watches.act(); // As the turn does, before any microtask.
  assertEquals(aborted, [7]);
});
