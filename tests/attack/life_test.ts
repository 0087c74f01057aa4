/** Calls that open, restrict, hold, fail or close a ring, and are cut short. */

import { assertEquals } from "@std/assert";
import { runDeno } from "../kit/run.ts";
import { WAYS } from "../kit/wires.ts";

for (
  const [attack, promise] of [
    [
      "failure",
      "a ring that fails at the end of the stack tells every command",
    ],
    ["closeFailed", "close() of a failed ring can be cut short and made again"],
    ["close", "close() can be cut short and made again"],
    [
      "unload",
      "a ring closes after an unload event at the end of the stack, and leaves nothing",
    ],
    ["unref", "unref() can be cut short and made again"],
    [
      "refAgain",
      "ref() takes effect after an unref() that was cut short, at every depth",
    ],
    ["ref", "ref() can be cut short and made again"],
    ["open", "Ring.open() that node:vm cuts short leaves nothing"],
    ["restrict", "restrict() that node:vm cuts short can be made again"],
    ["loop", "a program that opens a ring for each command lets timers fire"],
  ]
) {
  for (const way of WAYS) {
    Deno.test(`${promise}, through ${way}`, async () => {
      const { pathname } = new URL("life_probe.ts", import.meta.url);
      const flags = ["-A", "--no-check", "--v8-flags=--expose-gc"];
      const args = ["run", ...flags, pathname, attack, way];
      const { stdout, stderr } = await runDeno(args);
      assertEquals(stdout + stderr, "");
    });
  }
}
