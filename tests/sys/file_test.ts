/** Small operations on files. */

import { assertEquals } from "@std/assert";
import { mayOpen, readText } from "../../sys/file.ts";
import { isRoot } from "../kit/process.ts";

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

Deno.test("the access to a file is that of its owner and its mode", () => {
  const path = Deno.makeTempFileSync();
  const all = { readable: true, writable: true };
  try {
    assertEquals(mayOpen(path), all);
    Deno.chmodSync(path, 0o400);
    // Root may write to it anyway.
    assertEquals(mayOpen(path), { readable: true, writable: isRoot });
    Deno.chmodSync(path, 0);
    assertEquals(mayOpen(path), { readable: isRoot, writable: isRoot });
  } finally {
    Deno.removeSync(path);
  }
  assertEquals(mayOpen(path), { readable: false, writable: false });
  assertEquals(mayOpen("/dev/null"), all);
});
