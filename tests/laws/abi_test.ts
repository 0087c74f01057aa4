/**
 * Every number under `sys/` is what the kernel's headers say.
 *
 * `LINUX_HEADERS` may name a folder with other headers than the installed ones,
 * such as the `usr/include` of an unpacked linux-libc-dev.
 */

import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import {
  __NR_aarch64,
  __NR_x86_64,
  syscallNumbers,
} from "../../sys/uapi/unistd.ts";
import { isStruct } from "../../sys/struct.ts";
import { compare, questions, VERSION } from "./abi/compare.ts";
import { ask } from "./abi/headers.ts";
import { isMirror, readMirrors, readSources } from "./abi/mirror.ts";

for (const mirror of await readMirrors()) {
  const { arch = Deno.build.arch } = mirror;
  Deno.test({
    name: `${mirror.name} is what the headers say`,
    ignore: arch !== Deno.build.arch,
    async fn(t) {
      const answers = await ask(mirror.includes, questions(mirror));
      const { wrong, absent } = compare(mirror, answers);
      assertEquals(wrong, []);
      if (absent.length === 0) return;
      const code = Number(answers.get(VERSION));
      const headers = `${code >> 16}.${code >> 8 & 255}`;
      await t.step({
        name: `skipped, not in these headers (${headers}): ${
          absent.join(", ")
        }`,
        ignore: true,
        fn() {},
      });
    },
  });
}

/** Numbers which are this library's own, in files that mirror no header. */
const OWN = ["PAGE", "SOCKADDR_MAX"];

Deno.test("a file that names no header has nothing of one", async () => {
  const sources = (await readSources()).filter((it) => !isMirror(it));
  const found = sources.flatMap(({ name, exports }) =>
    Object.entries(exports)
      .filter(([, value]) => isStruct(value) || typeof value === "number")
      .filter(([key]) => !OWN.includes(key))
      .map(([key]) => `${key} in sys/${name}`)
  );
  assertEquals(found, []);
});

Deno.test("a machine gets its own system calls or none", () => {
  assertStrictEquals(syscallNumbers("linux", "x86_64"), __NR_x86_64);
  assertStrictEquals(syscallNumbers("linux", "aarch64"), __NR_aarch64);
  assertThrows(() => syscallNumbers("linux", "riscv64"), Error, "riscv64");
  assertThrows(() => syscallNumbers("darwin", "aarch64"), Error, "darwin");
});
