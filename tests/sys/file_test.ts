/** Small operations on files. */

import { assertEquals } from "@std/assert";
import { readText } from "../../sys/file.ts";

Deno.test("a file that is empty has a text, and one that cannot be read has none", () => {
  const path = Deno.makeTempFileSync();
  try {
    assertEquals(readText(path), "");
    Deno.writeTextFileSync(path, "\n text of a file \n\n");
    assertEquals(readText(path), "text of a file");
  } finally {
    Deno.removeSync(path);
  }
  assertEquals(readText(path), undefined);
  // It can be opened: only the read fails.
  assertEquals(readText("/proc/self"), undefined);
});
