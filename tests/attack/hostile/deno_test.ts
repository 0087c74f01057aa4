/** Messages where Deno, the system or a permission is not enough. */

import {
  assertEquals,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { checkDeno } from "../../../sys/deno.ts";
import {
  __NR_aarch64,
  __NR_x86_64,
  syscallNumbers,
} from "../../../sys/uapi/unistd.ts";
import { exists } from "../../kit/exists.ts";
import { runScript } from "../../kit/run.ts";
import { testUnless } from "../../kit/skip.ts";
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

Deno.test("on another host than Deno, each import says what it needs", async () => {
  const entries = ["mod", "cmd/op", "cmd/socket/mod", "cmd/block", "ring/raw"];
  const { stdout, stderr } = await runScript(`
    const { log } = console;
    delete globalThis.Deno;
    ${
    entries.map((entry) =>
      `await import("@uring/${entry}.ts").catch(({ message }) => log(message));`
    ).join("\n")
  }
  `);
  const needs = "@uring/cmd needs Deno 2.7.12 or later, with which it calls " +
    "libc. Node and Bun cannot run it: use `deno run --allow-ffi`.\n";
  assertEquals([stdout, stderr], [needs.repeat(entries.length), ""]);
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
    // The caller's line is among those of the stack, which is shown once.
    assertMatch(stderr, /at file:\S+\.ts:1:/);
    assertEquals(stderr.includes("Caused by"), false);
  }
});

const script = ["/usr/bin/script"].find(exists);

/** Runs a program on a terminal, where `answer` is given to each question. */
async function onTerminal(flags: string, answer: string): Promise<string> {
  const path = await Deno.makeTempFile({ suffix: ".ts" });
  const root = new URL("../../..", import.meta.url).href;
  await Deno.writeTextFile(
    path,
    `import { Ring } from "${root}mod.ts";
    import { nop } from "${root}cmd/op.ts";
    console.log("result", await Ring.open().cmd(nop()));`,
  );
  const run = `${Deno.execPath()} run --no-check ${flags} ${path}`;
  const child = new Deno.Command(script!, {
    args: ["-qec", run, "/dev/null"],
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  let output = "";
  let asked = 0;
  const writer = child.stdin.getWriter();
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    output += text;
    const questions = output.split("Allow?").length - 1;
    if (questions === asked) continue;
    asked = questions;
    // Deno throws away what was typed before it reads.
    setTimeout(() => writer.write(new TextEncoder().encode(answer)), 500);
  }
  await writer.close();
  await child.status;
  await Deno.remove(path);
  return `${asked} asked: ${output}`;
}

for (const flags of ["", "--allow-ffi=libc.so.6"]) {
  testUnless(
    script ? "" : "the program script",
    `the question for the permission is asked once, of a program run with "${flags}"`,
    async () => {
      for (const yes of ["y\n", "A\n"]) {
        const output = await onTerminal(flags, yes);
        assertMatch(output, /^1 asked: [^]*result 0/);
      }
      const denied = await onTerminal(flags, "n\n");
      assertMatch(denied, /^1 asked: [^]*Run with --allow-ffi, without a path/);
    },
  );
}

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
  const [read, late, leaked, again] = await ask<
    [string, string, number, string[]]
  >(`
    const ring = Ring.open();
    await hostile.woken(ring);
    const { left, right } = pipe();
    const bytes = new Uint8Array(4);
    const reading = ring.cmd(op.read(left, bytes));
    const descriptors = openDescriptors().length;
    await Deno.permissions.revoke({ name: "ffi" });
    const again = [
      objection(() => ring.alloc(1)),
      objection(() => Ring.open()),
      objection(() => ring.cmdSync(op.write(right, new Uint8Array(2 << 20)))),
      await ring.cmd(op.write(right, new Uint8Array(2 << 20))).catch(String),
    ];
    const leaked = openDescriptors().length - descriptors;
    writeSync(right, "data");
    await reading;
    await ring.cmd(op.timeout(1));
    await ring.close();
    tell([new TextDecoder().decode(bytes), "late", leaked, again]);
  `);
  assertEquals([read, late, leaked], ["data", "late", 0]);
  assertEquals(again.length, 4);
  for (const message of again) {
    assertMatch(
      message,
      /NotCapable: .* cannot be .*--allow-ffi .*\. The perm/,
    );
    assertMatch(message, /permission was revoked after .*\. Keep it/);
  }
});
