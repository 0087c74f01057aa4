/** Messages where Deno, the system or a permission is not enough. */

import {
  assertEquals,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { checkDeno } from "../../../sys/libc.ts";
import {
  __NR_aarch64,
  __NR_x86_64,
  syscallNumbers,
} from "../../../sys/uapi/unistd.ts";
import { runScript } from "../../kit/run.ts";
import { ask } from "./ask.ts";

Deno.test("a Deno that is too old is refused, with the least version", () => {
  for (const old of ["2.7.11", "2.6.99", "1.46.3", "0.0.0", "2.7.11+abc"]) {
    const { message } = assertThrows(() => checkDeno(old), Error);
    assertEquals(
      message,
      `Deno ${old} is too old: 2.7.12 or later is needed. \`deno upgrade\` ` +
        "brings the latest.",
    );
  }
  for (
    const fine of [
      "2.7.12",
      "2.7.12-rc.1",
      "2.8.0",
      "2.10.0",
      "3.0.0",
      "10.0.1",
    ]
  ) checkDeno(fine);
  checkDeno(Deno.version.deno);
});

Deno.test("Ring.open checks the version of this Deno, and the system", async () => {
  const [old, other] = await ask<string[]>(`
    const as = (name, value) => Object.defineProperty(Deno, name, { value });
    const { version, build } = Deno;
    as("version", { ...version, deno: "2.7.11" });
    const old = objection(() => Ring.open());
    as("version", version);
    as("build", { ...build, os: "freebsd" });
    tell([old, objection(() => Ring.open())]);
  `);
  assertMatch(old, /^Error: Deno 2\.7\.11 is too old: .*`deno upgrade`/);
  assertMatch(other, /^Error: io_uring is a Linux interface, and this is free/);
});

Deno.test("on a system with other system call numbers, the library makes none", () => {
  for (const os of ["darwin", "windows", "freebsd", "android"]) {
    assertThrows(
      () => syscallNumbers(os, "x86_64"),
      Error,
      `io_uring is a Linux interface, and this is ${os}. Run it on Linux 5.19`,
    );
  }
  for (const arch of ["riscv64", "x86", "arm", ""]) {
    assertThrows(
      () => syscallNumbers("linux", arch),
      Error,
      `of ${arch} are not known here. Run it on x86_64 or aarch64.`,
    );
  }
  assertEquals(syscallNumbers("linux", "x86_64"), __NR_x86_64);
  assertEquals(syscallNumbers("linux", "aarch64"), __NR_aarch64);
});

Deno.test("without --allow-ffi for libc, the error names the flag to run with", async () => {
  for (
    const flags of [
      ["--allow-ffi=/usr/lib/elsewhere"],
      ["--deny-ffi"],
      ["--allow-ffi", "--deny-ffi=libc.so.6"],
    ]
  ) {
    const { code, stderr } = await runScript(
      `import { Ring } from "@uring/mod.ts"; Ring.open();`,
      flags,
    );
    assertEquals(code, 1);
    assertMatch(stderr, /NotCapable: libc cannot be opened: .*ffi access/);
    assertStringIncludes(stderr, "Run with --allow-ffi, without a path");
  }
});

Deno.test("a scope of --allow-ffi around libc opens it, and the error still names the flag", async () => {
  const maps = await Deno.readTextFile("/proc/self/maps");
  const folder = /(\/\S+)\/libc\.so\.6$/m.exec(maps)![1];
  const { code, stderr } = await runScript(
    `import { Ring } from "@uring/mod.ts"; Ring.open();`,
    [`--allow-ffi=${folder}`],
    ["sh", "-c", 'cd "$0" && exec "$@"', folder],
  );
  assertEquals(code, 1);
  assertMatch(stderr, /NotCapable: .*Run with --allow-ffi, without a path/);
});

Deno.test("a libc that is not found is not reported as a permission", async () => {
  const message = await ask<string>(`
    const { dlopen } = Deno;
    Deno.dlopen = (name, symbols) => dlopen(name + ".none", symbols);
    tell(objection(() => Ring.open()));
  `);
  assertMatch(
    message,
    /cannot be opened: .* It has to be found as libc\.so\.6/,
  );
});

Deno.test("a ring whose permission is revoked goes on, and no other ring opens", async () => {
  const [read, late, again] = await ask<string[]>(`
    const ring = Ring.open();
    await hostile.woken(ring);
    const { left, right } = pipe();
    const bytes = new Uint8Array(4);
    const reading = ring.cmd(op.read(left, bytes));
    await Deno.permissions.revoke({ name: "ffi" });
    const again = objection(() => ring.alloc(1));
    writeSync(right, "data");
    await reading;
    await ring.cmd(op.timeout(1));
    await ring.close();
    tell([new TextDecoder().decode(bytes), "late", again]);
  `);
  assertEquals([read, late], ["data", "late"]);
  assertMatch(again, /NotCapable: .*--allow-ffi/);
});
