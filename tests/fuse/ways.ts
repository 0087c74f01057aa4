/** Tests in some of the ways to serve. */

import { testUnless } from "../kit/skip.ts";
import { serve, type Served, type Way, type WayName, WAYS } from "./guest.ts";

/**
 * Tests with a server of a kind, in some ways to serve: a guest takes seconds for each,
 * and all together meet each with each. `--all-ways` after a second `--` takes all.
 */
export function onWays(
  ways: readonly WayName[],
  name: string,
  kind: string,
  use: (served: Served, way: Way) => Promise<void>,
  options: Record<string, unknown> = {},
): void {
  for (const way of WAYS) {
    if (!ALL && !ways.includes(way.name)) continue;
    const all = { options: { ...way.options, ...options } };
    testUnless(
      way.missing,
      `${name}: ${way.name}`,
      () => serve(kind, (served) => use(served, way), all),
    );
  }
}

const ALL = Deno.args.includes("--all-ways");
/** Every way to serve. */
export const EACH: readonly WayName[] = WAYS.map(({ name }) => name);
