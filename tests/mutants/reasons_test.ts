/** The list of mutants with a reason, which quotes the lines that it changes. */

import { assertGreater } from "@std/assert";
import { reasoned } from "./reasons.ts";

Deno.test("every mutant with a reason changes one place of its file", async () => {
  const textOf = (file: string) =>
    Deno.readTextFile(new URL(`../../${file}`, import.meta.url));
  assertGreater((await reasoned(textOf)).length, 0);
});
