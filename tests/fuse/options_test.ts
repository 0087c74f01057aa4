/** Options of a mount that are refused before anything is mounted. */

import { assertEquals, assertRejects } from "@std/assert";
import { mount, type MountOptions } from "../../cmd/fuse/mod.ts";

const fs = { getattr: () => null };
const BAD: readonly [Record<string, unknown>, RegExp][] = [
  [{ name: 5 }, /^name must be a string/],
  [{ subtype: "\ud800" }, /^subtype must be well-formed/],
  [{ allowOther: "false" }, /^allowOther must be a boolean/],
  [{ readOnly: 0 }, /^readOnly must be a boolean/],
  [{ sleep: "no" }, /^sleep must be a boolean/],
  [{ entryTtlMs: NaN }, /^entryTtlMs must be a number from 0 on, not NaN/],
  [{ attrTtlMs: -1 }, /^attrTtlMs must be a number/],
  [{ negativeTtlMs: "5" }, /^negativeTtlMs must be a number/],
  [{ timeoutMs: Infinity }, /^timeoutMs must be an integer from 0 to/],
  [{ timeoutMs: 2 ** 31 }, /^timeoutMs must be an integer from 0 to/],
  [{ timeoutMs: "5" }, /^timeoutMs must be a number/],
  [{ maxWrite: 1 }, /^maxWrite must be an integer/],
  [{ queueDepth: 0 }, /^queueDepth must be an integer/],
  [{ transport: "tcp" }, /^transport must be one of auto, io_uring, classic/],
  [{ signal: {} }, /^signal must be of class AbortSignal/],
  [{ onError: "log" }, /^onError must be a function/],
];

for (const [options, reason] of BAD) {
  Deno.test(`an option is refused: ${reason.source}`, async () => {
    const { message } = await assertRejects(
      // An option that is not refused mounts nothing: there is no such directory.
      () => mount("/tmp/no such directory", fs, options as MountOptions),
      Error,
    );
    if (!reason.test(message)) throw new Error(message);
  });
}

Deno.test("options are read once, when mount is called", async () => {
  let reads = 0;
  const options = {
    get name() {
      return `${++reads}`;
    },
  };
  const nowhere = "/tmp/no such directory";
  await assertRejects(() => mount(nowhere, fs, options), Error, "ENOENT");
  assertEquals(reads, 1);
});
