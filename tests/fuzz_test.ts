/**
 * Whatever a caller passes, and whatever a kernel answers: an error that was
 * meant, or a result. A property that fails prints its seed; `FUZZ_SEED` has it
 * again, and `FUZZ_FACTOR` has more of all of them.
 */

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { Command } from "../ring/raw.ts";
import { checkCommand } from "./fuzz/invariants.ts";
import { attempt, runs } from "./fuzz/judge.ts";
import { makers, missing } from "./fuzz/makers.ts";
import { most } from "./fuzz/values.ts";

Deno.test("every function that is exported is tried", () => {
  // The last takes nothing, and rings have properties of their own below.
  assertEquals(missing(), [
    "root.Field",
    "root.Ring",
    "root.UringError",
    "root.probe",
  ]);
});

for (const { name, make, parameters } of makers) {
  Deno.test(`${name} takes what it should, and refuses the rest by name`, () => {
    const passed = fc.tuple(...parameters.map((good) => most(good)));
    fc.assert(
      fc.property(passed, fc.nat({ max: 6 }), (recipes, left) => {
        const args = recipes.map((recipe) => recipe.make());
        if (left < 1) args.pop();
        const result = attempt(() => Reflect.apply(make, undefined, args));
        if (Command.is(result)) checkCommand(result);
      }),
      runs(150),
    );
  });
}
