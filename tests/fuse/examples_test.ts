/** The examples that mount, as far as no mount is needed. */

import { assert, assertEquals } from "@std/assert";
import { runDeno } from "../kit/run.ts";
import { examplesOf, writeExample } from "./examples.ts";

const FILES = ["README.md", "cmd/fuse/mod.ts", "cmd/fuse/mount.ts"];
const READY = ["cmd/fuse/zip.ts", "cmd/fuse/key_value.ts"];

Deno.test("the examples that mount have no errors of types", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const mains: string[] = [];
    for (const file of [...FILES, ...READY]) {
      const found = await examplesOf(file);
      assert(found.length > 0, file);
      for (const code of found) {
        const place = `${folder}/${mains.length}`;
        await Deno.mkdir(place);
        await writeExample(place, code, {});
        mains.push(`${place}/main.ts`);
      }
    }
    const { code, stderr } = await runDeno(["check", "--quiet", ...mains]);
    assertEquals(code, 0, stderr);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("README and module page have the same first example", async () => {
  const [readme, page] = await Promise.all(
    FILES.slice(0, 2).map((file) => examplesOf(file)),
  );
  assertEquals(readme[0].replace("jsr:", ""), page[0]);
});
