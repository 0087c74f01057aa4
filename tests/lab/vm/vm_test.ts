/** The parts of the laboratory of kernels that run on the host. */

import { assertEquals, assertMatch } from "@std/assert";
import { utf8 } from "../../kit/bytes.ts";
import { Archive } from "./cpio.ts";
import { judge } from "./guest.ts";
import { dependencies } from "./modules.ts";

/** Returns the output of a console with these lines. */
function guest(...lines: string[]): string {
  return ["[    0.000000] Linux", ...lines, ""].join("\n");
}

const GOOD = [
  "@@ release 6.12.1",
  "@@ begin",
  "ok | 7 passed (2 steps) | 0 failed | 3 ignored (1s)",
  "@@ end 0",
];

Deno.test("a guest that ran its tests and powered off has their counts", () => {
  const { release, passed, failed, skipped, trouble } = judge(
    guest(...GOOD, "@@ off"),
    true,
  );
  assertEquals([passed, failed, skipped], [9, 0, 3]);
  assertEquals([release, trouble], ["6.12.1", ""]);
});

Deno.test("the trouble of a guest holds failed tests, without those that passed", () => {
  const { failed, trouble } = judge(
    guest(
      "@@ begin",
      "a test ... FAILED (1ms)",
      " ERRORS ",
      "the reason",
      "FAILED | 1 passed | 2 failed (1s)",
      ...["@@ end 1", "@@ off"],
    ),
    true,
  );
  assertEquals(failed, 2);
  assertMatch(trouble, /^ERRORS \nthe reason\n/);
});

Deno.test("a guest that hangs has failed, and its trouble is its last lines", () => {
  for (const lines of [[], ["@@ begin", "a test ..."], GOOD]) {
    const { failed, trouble } = judge(guest(...lines, "@@ killed"), true);
    assertEquals(failed, 1);
    assertMatch(trouble, /@@ killed$/);
  }
});

Deno.test("a kernel that reports a fault has failed, even if its tests passed", () => {
  for (
    const complaint of [
      "WARNING: CPU: 0 PID: 1 at io_uring/rw.c:1",
      "BUG: kernel NULL pointer dereference",
      "INFO: task deno:1 blocked for more than 120 seconds.",
    ]
  ) {
    const said = guest(...GOOD, `[    9.000000] ${complaint}`, "@@ off");
    const { failed, trouble } = judge(said, true);
    assertEquals(failed, 1);
    assertEquals(trouble, `[    9.000000] ${complaint}\n@@ off`);
  }
});

Deno.test("a test may print the words of a kernel's fault", () => {
  const said = guest("WARNING: a test's own", ...GOOD, "@@ off");
  assertEquals(judge(said, true).failed, 0);
});

Deno.test("dependencies() reads the names from the module", () => {
  const found = dependencies(utf8("\x7fELF\0depends=a-b,c\0name=d\0"));
  assertEquals(found, ["a_b", "c"]);
  assertEquals(dependencies(utf8("\x7fELF\0depends=\0name=d\0")), []);
});

Deno.test("an archive has each folder once, before its files", async () => {
  const path = await Deno.makeTempFile();
  try {
    {
      using archive = new Archive(path);
      archive.file("a/b/c", "three", 0o755);
      archive.link("a/d", "b/c");
    }
    const text = await Deno.readTextFile(path);
    const entry = (mode: string, size: string, name: string) =>
      new RegExp(
        `070701\\w{8}${mode}\\w{32}${size.padStart(8, "0")}\\w{48}${name}\0`,
      );
    assertMatch(text, entry("000041ed", "0", "a"));
    assertMatch(text, entry("000081ed", "5", "a/b/c"));
    assertMatch(text, entry("0000a1ff", "3", "a/d"));
    const names = [...text.matchAll(/070701\w{104}([^\0]+)/g)];
    assertEquals(names.map(([, name]) => name), [
      ...["a", "a/b", "a/b/c", "a/d", "TRAILER!!!"],
    ]);
    assertEquals(text.length % 4, 0);
  } finally {
    await Deno.remove(path);
  }
});
