/** What a person is told where a filter, a sysctl or a module forbids io_uring. */

import { assertEquals, assertMatch } from "@std/assert";
import { existsSync } from "node:fs";
import { E } from "../../../sys/uapi/errno.ts";
import { isRoot } from "../../kit/process.ts";
import { testUnless } from "../../kit/skip.ts";
import { ask } from "./ask.ts";

for (const errno of ["EPERM", "ENOSYS"] as const) {
  Deno.test(`a filter that comes to answer io_uring_enter() with ${errno} fails every command, with the cause, and lets go of the process`, async () => {
    const [sync, pending, next] = await ask<string[]>(`
      const ring = Ring.open();
      await ring.cmd(op.timeout(1));
      const pending = ring.cmd(op.read(pipe().left, new Uint8Array(8)));
      await ring.cmd(op.timeout(1));
      hostile.forbid(NR.io_uring_enter, ${E[errno]});
      const sync = objection(() => ring.cmdSync(op.nop()));
      const why = (promise) => promise.then(() => "none", String);
      const answers = [sync, await why(pending), await why(ring.cmd(op.nop()))];
      await ring.close(); // The kernel has the read still, and cannot be asked.
      tell(answers);
    `);
    assertMatch(sync, new RegExp(`^UringError: io_uring_enter on .*${errno}`));
    assertMatch(sync, /seccomp filter .*io_uring_enter\(\).*\. Allow it/);
    assertEquals([pending, next], [sync, sync]);
  });
}

for (const call of ["io_uring_setup", "io_uring_register"]) {
  Deno.test(`a filter that comes to forbid ${call}() loses no command`, async () => {
    const [read, late] = await ask<[number, string]>(`
      const ring = Ring.open();
      hostile.forbid(NR.${call}, 1);
      const { left, right } = pipe();
      setTimeout(() => writeSync(right, "data"), 5);
      const read = await ring.cmd(op.read(left, new Uint8Array(8)));
      await ring.cmd(op.timeout(5));
      await ring.close();
      tell([read, "late"]);
    `);
    assertEquals([read, late], [4, "late"]);
  });
}

Deno.test("a filter that forbids io_uring_register() is named by what cannot do without it", async () => {
  const [plain, limited, files] = await ask<string[]>(`
    hostile.forbid(NR.io_uring_register, ${E.EPERM});
    tell([
      objection(() => Ring.open()),
      objection(() => Ring.open({ maxWorkers: 1 })),
      objection(() => Ring.open().registerFiles([0])),
    ]);
  `);
  assertEquals(plain, "none");
  assertMatch(limited, /EPERM.*maxWorkers.* seccomp .*io_uring_register\(\)/);
  assertMatch(files, /REGISTER_FILES.*EPERM.* seccomp .*io_uring_register\(\)/);
});

Deno.test("a filter is named as a cause even where /proc cannot be read", async () => {
  const message = await ask<string>(`
    hostile.forbid(NR.io_uring_setup, ${E.ENOSYS});
    objection(() => Ring.open());
    tell(hostile.within("NOFILE", 3, () => objection(() => Ring.open())));
  `);
  assertMatch(message, /ENOSYS.*CONFIG_IO_URING.* Or: A seccomp filter/);
});

Deno.test("a security module is named whichever errno it answers", async () => {
  const message = await ask<string>(`
    hostile.forbid(NR.io_uring_setup, ${E.EACCES});
    tell(objection(() => Ring.open()));
  `);
  assertMatch(message, /EACCES.* a security module forbids io_uring/);
});

// It changes settings of the whole machine for a moment, which is for machines
// that nobody else works on.
const sysctl = (name: string) => `/proc/sys/kernel/io_uring_${name}`;
testUnless(
  !isRoot || !Deno.env.has("CI")
    ? "root, or CI=true: it disables io_uring"
    : existsSync(sysctl("disabled"))
    ? ""
    : "such sysctl before Linux 6.6",
  "to join the group that io_uring is left to is a remedy, as the message says",
  async () => {
    const names = ["disabled", "group"].map(sysctl);
    const before = names.map((name) => Deno.readTextFileSync(name).trim());
    // This user is of the group of root still.
    const open = () =>
      ask<string>(`
        hostile.becomeNobody();
        tell(objection(() => Ring.open()));
      `);
    try {
      Deno.writeTextFileSync(sysctl("disabled"), "1");
      assertMatch(
        await open(),
        /EPERM.*io_uring_disabled is 1.*join that group/,
      );
      Deno.writeTextFileSync(sysctl("group"), String(Deno.gid()));
      assertEquals(await open(), "none");
    } finally {
      names.forEach((name, i) => Deno.writeTextFileSync(name, before[i]));
    }
  },
);
