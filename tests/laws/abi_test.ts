/**
 * Every number under `sys/` agrees with the kernel's headers.
 *
 * `LINUX_HEADERS` may name a folder with headers to use instead of the installed
 * ones, such as the `usr/include` of an unpacked linux-libc-dev.
 */

import {
  assertEquals,
  assertGreater,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  __NR_aarch64,
  __NR_x86_64,
  syscallNumbers,
} from "../../sys/uapi/unistd.ts";
import { FIELDS } from "../../cmd/socket/tcp_info.ts";
import { isStruct } from "../../sys/struct.ts";
import { compare, questions, VERSION } from "./abi/compare.ts";
import { ask } from "./abi/headers.ts";
import { readMirrors, readSources } from "./abi/mirror.ts";

for (const mirror of await readMirrors()) {
  const { arch = Deno.build.arch } = mirror;
  Deno.test({
    name: `${mirror.name} agrees with the headers`,
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

Deno.test("the facts of a TCP connection are where struct tcp_info has them", async () => {
  const fields = Object.values(FIELDS);
  const offsets = fields.map(([name]) =>
    `offsetof(struct tcp_info, tcpi_${name})`
  );
  const sizes = fields.map(([name]) =>
    `sizeof(((struct tcp_info *)0)->tcpi_${name})`
  );
  const includes = ["#include <linux/tcp.h>"];
  const answers = await ask(includes, [...offsets, ...sizes]);
  for (const [i, [name, offset, size]] of fields.entries()) {
    const there = [answers.get(offsets[i]), answers.get(sizes[i])];
    assertEquals(there, [BigInt(offset), BigInt(size)], name);
  }
});

/** Numbers of the library itself, which no header has. */
const OWN = ["PAGE", "SOCKADDR_MAX"];

Deno.test("only sys/uapi/ exports numbers and structs of a header", async () => {
  const sources = await readSources("");
  assertGreater(sources.length, 5);
  const found = sources.flatMap(({ name, exports }) =>
    Object.entries(exports)
      .filter(([, value]) => isStruct(value) || typeof value === "number")
      .filter(([key]) => !OWN.includes(key))
      .map(([key]) => `${key} in sys/${name}`)
  );
  assertEquals(found, []);
});

Deno.test("a machine gets the numbers of its own system calls, or an error", () => {
  assertStrictEquals(syscallNumbers("linux", "x86_64"), __NR_x86_64);
  assertStrictEquals(syscallNumbers("linux", "aarch64"), __NR_aarch64);
  assertThrows(() => syscallNumbers("linux", "riscv64"), Error, "riscv64");
  assertThrows(() => syscallNumbers("darwin", "aarch64"), Error, "darwin");
});
