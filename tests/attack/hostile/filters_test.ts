/** Messages where a filter or a security module forbids io_uring. */

import { assertEquals, assertMatch } from "@std/assert";
import { unmappable } from "../../../ring/bare/setup_advice.ts";
import { E } from "../../../sys/uapi/errno.ts";
import { ask } from "./ask.ts";

// A filter may answer with any errno, also with those that a closed descriptor gives.
const ERRNOS = ["EPERM", "ENOSYS", "EOPNOTSUPP", "EBADF", "EINVAL"] as const;

for (const errno of ERRNOS) {
  Deno.test(`a later filter that answers io_uring_enter() with ${errno} fails every command with the cause, and lets the process end`, async () => {
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
  Deno.test(`a later filter that forbids ${call}() loses no command`, async () => {
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

Deno.test("a filter that forbids io_uring_register() is named by the options that need the call", async () => {
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

for (const errno of ["EOPNOTSUPP", "EINVAL", "EMFILE", "EFAULT"] as const) {
  Deno.test(`a filter that answers io_uring_setup() with ${errno} is named as a cause`, async () => {
    const message = await ask<string>(`
      hostile.forbid(NR.io_uring_setup, ${E[errno]});
      tell(objection(() => Ring.open()));
    `);
    assertMatch(message, new RegExp(`${errno}.* A seccomp filter .* forbids`));
  });
}

for (const errno of ["EACCES", "EINVAL", "EBADF", "EBUSY"] as const) {
  Deno.test(`a filter that answers io_uring_register() with ${errno} is named as a cause`, async () => {
    const message = await ask<string>(`
      const ring = Ring.open();
      hostile.forbid(NR.io_uring_register, ${E[errno]});
      tell(objection(() => ring.registerFiles([0])));
    `);
    assertMatch(message, new RegExp(`${errno}.* A seccomp filter .*register`));
  });
}

Deno.test("without a filter, the kernel's own refusals keep their causes", async () => {
  const [shape, processor, files, closed] = await ask<string[]>(`
    import { close } from "@uring/sys/file.ts";
    const ring = Ring.open();
    ring.registerFiles([0]);
    const lost = Ring.open();
    await lost.cmd(op.nop());
    const answers = [
      objection(() => Ring.open({ attach: { fd: 0 } })),
      objection(() => Ring.open({ sqpoll: { cpu: 9999 } })),
      objection(() => ring.registerFiles([0])),
    ];
    const others = Array.from({ length: 20 }, () => Ring.open());
    const last = others.at(-1); // Its descriptor is not registered.
    close(last.fd);
    tell([...answers, objection(() => last.cmdSync(op.nop()))]);
  `);
  assertMatch(shape, /attach/);
  assertMatch(processor, /processor to bind to must exist/);
  assertMatch(files, /EBUSY.*has such a table already/);
  assertMatch(closed, /EBADF.*closed behind its back/);
});

// V8 itself does not survive a filter of mmap() with these errnos.
Deno.test("a refusal to map a ring is reported as a limit only where it is one", () => {
  assertMatch(unmappable(E.ENOMEM, 64), /limit of its address space/);
  assertMatch(unmappable(E.EACCES, 64), /64 bytes .*: a seccomp filter or/);
});

Deno.test("a security module is named whichever errno it answers", async () => {
  const message = await ask<string>(`
    hostile.forbid(NR.io_uring_setup, ${E.EACCES});
    tell(objection(() => Ring.open()));
  `);
  assertMatch(message, /EACCES.* a security module forbids io_uring/);
});
