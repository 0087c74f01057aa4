/** The pace of a ring, by a clock of the test's own. */

import { assertEquals, assertLess } from "@std/assert";
import { stub } from "@std/testing/mock";
import { Pace } from "../../ring/loop/pace.ts";

/** Asks after each of many turns of `ms` if the next one is the event loop's. */
function turns(pace: Pace, ms: number) {
  let now = 1000;
  let looks = 0;
  let longest = 0;
  using _clock = stub(performance, "now", () => {
    looks++;
    return now;
  });
  for (let i = 0, since = now; i < 1000; i++) {
    if (pace.loopIsDue(0)) since = now;
    now += ms;
    // At first the ring has to find out how long its turns take.
    if (i > 200) longest = Math.max(longest, now - since);
  }
  return { looks, longest };
}

Deno.test("the slower the commands are, the more often the clock is looked at", () => {
  const pace = new Pace(false);
  assertLess(turns(pace, 0.001).looks, 300);
  // The event loop waits for no more than the milliseconds that it is promised.
  assertLess(turns(pace, 0.5).longest, 2);
  assertLess(turns(pace, 0.001).looks, 300);
});

Deno.test("a program that computes between its commands keeps the event loop waiting for a few turns", () => {
  const pace = new Pace(false);
  turns(pace, 0.001); // It was fast before.
  let now = 1e6;
  using _clock = stub(performance, "now", () => now);
  const waits = Array.from({ length: 5 }, () => {
    pace.loopCame(0);
    for (let count = 1;; count++) {
      now += 50;
      if (pace.loopIsDue(0)) return count;
    }
  });
  assertLess(waits[0], 10);
  assertEquals(waits.slice(1), [2, 2, 2, 2]);
});

Deno.test("a ring that has given the event loop sixteen turns is expected to go on", () => {
  const pace = new Pace(false);
  const before = Array.from({ length: 16 }, () => {
    const { goesOn } = pace;
    pace.loopHad(0.01);
    return goesOn;
  });
  assertEquals(before, Array(16).fill(false));
  assertEquals(pace.goesOn, true);
});

Deno.test("a ring spins in a wait after one that was brief, and only where it is allowed", () => {
  for (const [spin, ms] of [[true, 0.1], [true, 1], [false, 0.1]] as const) {
    let now = 1000;
    using _clock = stub(performance, "now", () => now);
    const pace = new Pace(spin);
    assertEquals(pace.shouldSpin(), false);
    now += ms;
    pace.completionsCame();
    assertEquals(pace.shouldSpin(), spin && ms < 0.2);
  }
});
