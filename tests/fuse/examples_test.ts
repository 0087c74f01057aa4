/** The examples that mount, as far as no mount is needed. */

import { assertEquals } from "@std/assert";
import { assertTypes, examplesOf } from "./examples.ts";

const FILES = ["README.md", "cmd/fuse/mod.ts", "cmd/fuse/mount.ts"];
const READY = ["cmd/fuse/zip.ts", "cmd/fuse/key_value.ts"];

Deno.test("the examples that mount have no errors of types", async () => {
  await assertTypes([...FILES, ...READY]);
});

Deno.test("README and module page have the same first example", async () => {
  const [readme, page] = await Promise.all(
    FILES.slice(0, 2).map((file) => examplesOf(file)),
  );
  assertEquals(readme[0].replace("jsr:", ""), page[0]);
});
