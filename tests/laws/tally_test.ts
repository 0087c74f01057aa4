import { assertEquals } from "@std/assert";
import { tally } from "./tally.ts";

Deno.test("tally adds up the counts of every run", () => {
  const log = `
running 3 tests from ./tests/a_test.ts
ok | 3 passed | 0 failed (15ms)

\x1b[0m\x1b[32mok\x1b[0m | 13 passed (2 steps) | 0 failed | 1 ignored (5 steps) (1s)
`;
  assertEquals(tally(log, 2), { passed: 18, failed: 0, skipped: 6 });
});

Deno.test("tally counts the failures of a failed run", () => {
  const log = "FAILED | 2 passed (1 step) | 6 failed (5 steps) (1s)\n";
  assertEquals(tally(log, 1), { passed: 3, failed: 11, skipped: 0 });
});

Deno.test("tally counts a missing run as a failure, and an extra one", () => {
  assertEquals(tally("", 1), { passed: 0, failed: 1, skipped: 0 });
  const log = "ok | 1 passed | 0 failed (1s)\n";
  assertEquals(tally(log, 2), { passed: 1, failed: 1, skipped: 0 });
  assertEquals(tally(log + log, 1), { passed: 2, failed: 1, skipped: 0 });
});

Deno.test("tally ignores lines that only resemble counts", () => {
  const log = "it said: ok | 1 passed | 0 failed\n0 passed, 0 failed\n";
  assertEquals(tally(log, 0), { passed: 0, failed: 0, skipped: 0 });
});
