/** Explanations of a ring that cannot be made. */

import { assertEquals } from "@std/assert";
import { exists } from "../kit/exists.ts";
import { scriptValue, withMounts } from "../kit/run.ts";
import { lacksMounts, testUnless } from "../kit/skip.ts";

const KNOB = "/proc/sys/kernel/io_uring_disabled"; // Since Linux 6.6.

testUnless(
  lacksMounts() || (exists(KNOB) ? "" : "Linux 6.6 or later"),
  "a refusal names the sysctl if that forbids io_uring, and a filter if not",
  async () => {
    const path = await Deno.makeTempFile();
    const named: unknown[] = [];
    for (const value of ["0", "1", "2"]) {
      await Deno.writeTextFile(path, `${value}\n`);
      const refusals = await scriptValue<string[]>(
        `
        import { refusal } from "@uring/ring/bare/setup_advice.ts";
        import { E } from "@uring/sys/uapi/errno.ts";
        console.log(JSON.stringify([E.EPERM, E.EACCES].map((it) => refusal(it))));
      `,
        ["--allow-ffi"],
        withMounts(`mount --bind ${path} ${KNOB}`),
      );
      const cause = /io_uring_disabled is \d|A seccomp filter/;
      named.push(...refusals.map((text) => cause.exec(text)?.[0]));
    }
    const [filter, one, two] = [
      "A seccomp filter",
      "io_uring_disabled is 1",
      "io_uring_disabled is 2",
    ];
    assertEquals(named, [filter, filter, one, one, two, two]);
    await Deno.remove(path);
  },
);
