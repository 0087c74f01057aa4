/** Tables of names by number. */

import { assertEquals } from "@std/assert";
import { codeNames } from "../../cmd/code_names.ts";

Deno.test("a table of names has one entry up to each semicolon or line break", () => {
  const name = codeNames(`
    00 GOOD; 1f CHECK, a CONDITION
    9e10 READ CAPACITY(16)`);
  assertEquals([0, 0x1f, 0x9e10, 0x9e, 1].map(name), [
    "GOOD",
    "CHECK, a CONDITION",
    "READ CAPACITY(16)",
    undefined,
    undefined,
  ]);
});
