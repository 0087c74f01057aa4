/** Services that an exception cuts short at any place: see cut_short_test.ts. */

import { assertEquals } from "@std/assert";
import { runDeno } from "../kit/run.ts";

/** Without the optimizer, calls have other frames, and more places to end at. */
const UNOPTIMIZED = "--v8-flags=--no-opt,--no-maglev,--no-sparkplug";

for (const what of ["submit", "run", "abandon", "timeout"]) {
  for (const flags of [[], [UNOPTIMIZED]]) {
    const how = flags.length > 0 ? " without the optimizer" : "";
    Deno.test(`a service goes on after calls that were cut short: ${what}${how}`, async () => {
      const { pathname } = new URL("service_probe.ts", import.meta.url);
      const args = ["run", "-A", "--no-check", ...flags, pathname, what];
      const { stdout, stderr } = await runDeno(args);
      assertEquals(stdout + stderr, "");
    });
  }
}
