/** Tests in some of the ways to serve. */

import { assertEquals, assertMatch } from "@std/assert";
import { testUnless } from "../kit/skip.ts";
import { sleep, until } from "../kit/wait.ts";
import { isMounted, ok, sh } from "./guest.ts";
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

/** Tests that a mount goes away by itself when its server is killed. */
export function killedServersOn(ways: readonly WayName[]): void {
  onWays(
    ways,
    "the mount of a killed server goes away by itself",
    "memory",
    async ({ dir, kill }) => {
      await ok(`echo text >${dir}/file`);
      const reading = sh(`cd ${dir} && sleep 3; cat file`, 20);
      await sleep(500);
      kill("SIGKILL");
      await until(() => !isMounted(dir));
      const { stderr } = await reading;
      assertMatch(stderr, /not connected|No such file|abort/i);
      assertEquals((await sh(`ls -A ${dir}`)).stdout, "");
      await ok("sync", 20);
    },
  );
}
