/** The examples that serve a disk, as far as no disk is needed. */

import { assertEquals } from "@std/assert";
import { assertTypes, examplesOf } from "../fuse/examples.ts";

const SERVES = /\b(serve|serveInWorker)\(/;
const FILES = ["README.md", "cmd/ublk/mod.ts", "cmd/ublk/serve.ts"];

Deno.test("the examples that serve a disk have no errors of types", async () => {
  await assertTypes([...FILES, "cmd/ublk/remote.ts"], SERVES);
});

Deno.test("README and module page have the same first disk", async () => {
  const [readme, page] = await Promise.all(
    FILES.slice(0, 2).map((file) => examplesOf(file, SERVES)),
  );
  assertEquals(readme[0].replace("jsr:", ""), page[0]);
});
