/** System calls in a thread of Deno's pool. */

import { assertEquals } from "@std/assert";
import { pooledSyscall } from "../../sys/pooled.ts";
import { scratch } from "../../sys/scratch.ts";
import { alloc } from "../../ring/alloc.ts";
import { addressOf } from "../../ring/raw.ts";
import { pipe, writeSync } from "../kit/fds.ts";
import { settles } from "../kit/wait.ts";

Deno.test("a system call that blocks in the pool lets this thread go on", async () => {
  using ends = pipe();
  const bytes = alloc(4);
  const read = pooledSyscall("read", ends.left, addressOf(bytes), 4);
  assertEquals(await settles(read, 20), false);
  writeSync(ends.right, "abc");
  assertEquals(await read, 3);
  assertEquals([...bytes], [97, 98, 99, 0]);
});

Deno.test("a system call that fails in the pool answers -1", async () => {
  assertEquals(await pooledSyscall("close", 1 << 29), -1);
  // Arguments are as wide as registers there as well.
  assertEquals(await pooledSyscall("read", -1, scratch().at, 1), -1);
});
