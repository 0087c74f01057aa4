/** Giving a ring back, and waiting for the kernel to take it apart. */

import { assertEquals } from "@std/assert";
import { patiently } from "../../ring/bare/release.ts";
import { setup } from "../../ring/bare/setup.ts";
import { E } from "../../sys/uapi/errno.ts";
import { scriptValue } from "../kit/run.ts";
import { sleep } from "../kit/wait.ts";

Deno.test("a call that finds no memory is made again only after a ring was closed", async () => {
  const answer = (answers: number[]) => patiently(() => answers.shift()!);
  setup({ entries: 1 }).close();
  assertEquals(answer([-E.ENOMEM, -E.ENOMEM, 7]), 7);
  assertEquals(answer([-E.EINVAL, 7]), -E.EINVAL);
  await sleep(300); // The kernel has taken the ring apart.
  assertEquals(answer([-E.ENOMEM, 7]), -E.ENOMEM);
});

Deno.test("a ring gives its index back, even if it is the first one of its thread", async () => {
  // A process of its own, where no other ring has an index.
  const next = await scriptValue<number>(`
    import { registerRingFd } from "@uring/ring/bare/register.ts";
    import { setup } from "@uring/ring/bare/setup.ts";
    for (let i = 0; i < 3; i++) setup({ entries: 1 }).close();
    console.log(registerRingFd(setup({ entries: 1 }).fd));
  `);
  assertEquals(next, 1);
});
