/** Messages where a limit is reached; everything else goes on. */

import {
  assertEquals,
  assertLess,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { refusal } from "../../../ring/bare/setup_advice.ts";
import { E } from "../../../sys/uapi/errno.ts";
import { ask } from "./ask.ts";

Deno.test("with no descriptor left, a ring and a command name the limit, and one is enough for a ring", async () => {
  const { refused, opened, after } = await ask<{
    refused: string[];
    opened: (string | number)[];
    after: number;
  }>(`
    import { close, open } from "@uring/sys/file.ts";
    import { socketFd } from "@uring/cmd/socket/mod.ts";
    const ring = Ring.open();
    const path = op.openat("/dev/null");
    const { refused, opened } = hostile.within("NOFILE", 256, () => {
      const held = [];
      for (let fd; (fd = open("/dev/null")) >= 0;) held.push(fd);
      const refused = [
        objection(() => Ring.open()),
        objection(() => Ring.open({ sqpoll: true })),
        objection(() => ring.cmdSync(path)),
        objection(() => socketFd({ addr: { transport: "tcp", hostname: "::", port: 1 } })),
        objection(() => op.connect(0, { hostname: "fe80::1%lo", port: 1 })),
      ];
      close(held.pop());
      const opened = [Ring.open().cmdSync(op.nop()), objection(() => Ring.open())];
      held.forEach(close);
      return { refused, opened };
    });
    tell({ refused, opened, after: Ring.open().cmdSync(op.nop()) });
  `);
  const advice =
    "EMFILE (24). The process has as many files open as RLIMIT_NOFILE " +
    "allows. Close some, or raise it with `ulimit -n`.";
  const open = `UringError: io_uring_setup: ${advice}`;
  const command = `UringError: OPENAT "/dev/null": ${advice}`;
  const folder = `UringError: openat "/proc/self/fd": ${advice}`;
  const socket = `UringError: socket: ${advice}`;
  assertEquals(refused, [open, open, command, folder, socket]);
  assertEquals([opened, after], [[0, open], 0]);
});

Deno.test("on a machine with no descriptor left, the error names the sysctl", () => {
  assertStringIncludes(refusal(E.ENFILE), "fs.file-max");
});

Deno.test("a limit of locked memory that registered buffers exceed is named, and smaller buffers work", async () => {
  const { large, bytes } = await ask<Record<string, string>>(`
    hostile.becomeNobody();
    const ring = Ring.open();
    const memory = ring.alloc(1 << 24);
    const large = hostile.within("MEMLOCK", 1 << 20, () =>
      objection(() => ring.registerBuffers([memory])));
    const [buffer] = ring.registerBuffers([memory.subarray(0, 4096)]);
    const { left, right } = pipe();
    writeSync(right, "data");
    await ring.cmd(op.read(left, memory.subarray(0, 4096), { buffer }));
    await ring.close();
    tell({ large, bytes: new TextDecoder().decode(memory.subarray(0, 4)) });
  `);
  assertEquals(bytes, "data");
  assertMatch(large, /^UringError: io_uring_register REGISTER_BUFFERS.*ENOMEM/);
  assertMatch(large, /RLIMIT_MEMLOCK .*`ulimit -l`/);
});

Deno.test("a limit of locked memory that a ring exceeds is named, where rings count", async () => {
  const [refused, after] = await ask<[string, number]>(`
    hostile.becomeNobody();
    const refused = hostile.within("MEMLOCK", 0, () =>
      objection(() => Ring.open()));
    tell([refused, Ring.open().cmdSync(op.nop())]);
  `);
  assertEquals(after, 0);
  if (refused === "none") return; // Kernels from 5.12 on did not count them.
  assertMatch(refused, /^UringError: io_uring_setup: ENOMEM/);
  assertMatch(refused, /RLIMIT_MEMLOCK .*`ulimit -l`, or .* fewer entries/);
});

Deno.test("a ring can be opened while the memory of closed rings still counts", async () => {
  const refused = await ask<string[]>(`
    import { setup } from "@uring/ring/raw.ts";
    hostile.becomeNobody();
    // There is room for two of them.
    tell(hostile.within("MEMLOCK", 1 << 20, () =>
      Array.from({ length: 8 }, () =>
        objection(() => setup({ entries: 4096 }).close()))));
  `);
  assertEquals(refused, new Array(8).fill("none"));
});

Deno.test("buffers can be registered while those of a closed ring still count", async () => {
  const refused = await ask<string[]>(`
    hostile.becomeNobody();
    const memory = Ring.open().alloc(1 << 20);
    const refused = [];
    for (let i = 0; i < 4; i++) {
      const ring = Ring.open();
      refused.push(hostile.within("MEMLOCK", 3 << 19, () =>
        objection(() => ring.registerBuffers([memory]))));
      await ring.close();
    }
    tell(refused);
  `);
  assertEquals(refused, new Array(4).fill("none"));
});

Deno.test("with no thread left, a ring with sqpoll and a command of a worker name the limit", async () => {
  const { polled, command, inline, after } = await ask<Record<string, unknown>>(
    `
    hostile.becomeNobody();
    const ring = Ring.open();
    // IOSQE_ASYNC: by a worker of the kernel.
    const nop = new Command({ name: "NOP", opcode: 0, flags: 1 << 4 });
    const [polled, command, inline] = hostile.within("NPROC", 0, () => [
      objection(() => Ring.open({ sqpoll: true })),
      objection(() => ring.cmdSync(nop)),
      ring.cmdSync(op.nop()),
    ]);
    tell({ polled, command, inline, after: ring.cmdSync(nop) });
  `,
  );
  assertMatch(`${polled}`, /io_uring_setup: EAGAIN.*RLIMIT_NPROC.*`ulimit -u`/);
  assertMatch(`${polled}`, /or open the ring without sqpoll/);
  assertMatch(`${command}`, /NOP: ECANCELED.*no thread.*RLIMIT_NPROC/);
  assertEquals([inline, after], [0, 0]);
});

Deno.test("with no address space left, an allocation, a ring and a copied array fail alone", async () => {
  const { messages, after, leaked, inFlight } = await ask<{
    messages: Record<string, string | string[]>;
    after: number[];
    leaked: number;
    inFlight: number;
  }>(`
    const ring = Ring.open();
    await hostile.woken(ring);
    const { left, right } = pipe();
    const reading = ring.cmd(op.read(left, new Uint8Array(8)));
    const large = new Uint8Array(1 << 26);
    const before = openDescriptors().length;
    // V8 itself does not survive without any.
    const least = (fn) => hostile.withSpace(1 << 22, fn);
    const late = async (fn) =>
      (await Promise.allSettled(least(fn))).map((it) => String(it.reason));
    const messages = {
      alloc: least(() => objection(() => ring.alloc(1 << 26))),
      open: least(() => Array.from({ length: 32 }, () => objection(() =>
        Ring.open({ entries: 32768, sqe128: true, cqe32: true }))))[0],
      sync: least(() => objection(() => ring.cmdSync(op.write(right, large)))),
      all: least(() => objection(() =>
        ring.cmdAllSync([op.nop(), op.write(right, large)]))),
      cmd: await late(() => [ring.cmd(op.write(right, large))]),
      many: await late(() => [ring.cmdAll([op.nop(), op.write(right, large)])]),
      link: await late(() => ring.link([op.nop(), op.write(right, large)])),
    };
    const leaked = openDescriptors().length - before;
    const { inFlight } = ring.stats();
    writeSync(right, "data");
    const after = [await reading, ring.alloc(1 << 26).length >> 26, await ring.cmd(op.nop())];
    await ring.close();
    tell({ messages, after, leaked, inFlight });
  `);
  for (const [what, message] of Object.entries(messages)) {
    for (const each of [message].flat()) {
      assertMatch(each, what === "open" ? /RLIMIT_AS/ : /memory/i, what);
    }
  }
  assertMatch(
    `${messages.open}`,
    /^UringError: .*ENOMEM.* cannot be mapped: .*/,
  );
  // The read is the only command that is left.
  assertEquals([after, inFlight], [[4, 1, 0], 1]);
  assertLess(leaked, 16);
});

Deno.test("a ring to attach to, or a processor to bind to, is named when it is not there", async () => {
  const [closed, none, processor] = await ask<string[]>(`
    tell([
      objection(() => Ring.open({ attach: { fd: 999_999 } })),
      objection(() => Ring.open({ attach: { fd: 0 } })),
      objection(() => Ring.open({ sqpoll: { cpu: 65535 } })),
    ]);
  `);
  assertMatch(closed, /ENXIO \(6\)\. The ring to attach to is not open/);
  assertMatch(none, /EINVAL .*ATTACH_WQ.*The descriptor .* must be a ring's/);
  assertMatch(processor, /EINVAL .*SQ_AFF.*The processor .* must exist/);
});
