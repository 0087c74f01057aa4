/** The examples that serve a disk, as far as no disk is needed. */

import { assert, assertEquals } from "@std/assert";
import { examplesOf, writeExample } from "../fuse/examples.ts";
import { runDeno } from "../kit/run.ts";

const SERVES = /\b(serve|serveInWorker)\(/;
const FILES = ["README.md", "cmd/ublk/mod.ts", "cmd/ublk/serve.ts"];

Deno.test("the examples that serve a disk have no errors of types", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const mains: string[] = [];
    for (const file of [...FILES, "cmd/ublk/remote.ts"]) {
      const found = await examplesOf(file, SERVES);
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

Deno.test("README and module page have the same first disk", async () => {
  const [readme, page] = await Promise.all(
    FILES.slice(0, 2).map((file) => examplesOf(file, SERVES)),
  );
  assertEquals(readme[0].replace("jsr:", ""), page[0]);
});
