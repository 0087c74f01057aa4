/**
 * Deno processes with rings: modules, permissions, workers, copies of the package,
 * reloads. What a kernel does plays no part, so guests do not run this file.
 */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { runDeno, runScript } from "../kit/run.ts";

const IMPORTS = `
import { Ring } from "@uring/mod.ts";
import * as op from "@uring/cmd/op.ts";
`;

Deno.test("a module that loads during the first wait does not start a second turn", async () => {
  // Loading node:net runs microtasks, in a turn that is the event loop's own.
  const { stdout, code } = await runScript(
    `
    import { Ring } from "@uring/mod.ts";
    import * as op from "@uring/cmd/op.ts";
    import { take } from "@uring/tests/kit/wires.ts";
    take("the waker"); // It loads the module.
    const ring = Ring.open({ spin: false });
    for (let i = 0; i < 15; i++) await ring.cmd(op.nop());
    const [nop, late] = ring.link([op.nop(), op.timeout(50)]);
    const next = nop.then(() => ring.cmd(op.timeout(10)));
    await Promise.all([late, next]);
    await ring.close();
    console.log("closed");
  `,
    undefined,
    ["timeout", "60"],
  );
  assertEquals([stdout, code], ["closed\n", 0]);
});

const FAKE = `
import { FakeKernel, numbered } from "@uring/tests/fake/fake.ts";
import { turn } from "@uring/tests/kit/wait.ts";
import { E } from "@uring/sys/uapi/errno.ts";
const { EAGAIN, EALREADY } = E;
const kernel = new FakeKernel();
const { engine } = kernel;
`;

for (const on of [true, false]) {
  Deno.test(`${on ? "ref() keeps" : "unref() does not keep"} a process running whose ring is polled`, async () => {
    const { stdout, stderr } = await runScript(
      `${FAKE}
      let calls = 0; // There is more to submit for as long as it is refused.
      kernel.answer = () => calls++ < 1000 ? -EAGAIN : undefined;
      engine.referenced = ${!on};
      kernel.start(numbered(1), {
        value: () => console.log("told"),
        error: (_, { code }) => console.log(code), // When the page is unloaded.
        end() {},
      });
      for (let i = 0; i < 3; i++) await turn();
      engine.referenced = ${on};
    `,
      ["-A"],
      ["timeout", "60"],
    );
    assertEquals([stdout, stderr], [on ? "told\n" : "ESHUTDOWN\n", ""]);
  });
}

Deno.test("a command that cannot be cancelled keeps no process running after unref()", async () => {
  const { code, stdout, stderr } = await runScript(
    `${FAKE}
    const real = setTimeout; // It would try again, but not for a long time.
    globalThis.setTimeout = (again, ms) => real(again, ms + 100_000);
    let cancelled = 0;
    kernel.react = (sqe) => {
      if (sqe.fd !== 1 && ++cancelled) kernel.post(sqe, -EALREADY);
    };
    engine.referenced = false;
    const slot = kernel.start(numbered(1));
    await turn();
    engine.queues.aborts.abort(slot, "reason");
    await turn();
    await turn();
    console.log(cancelled);
  `,
    ["-A"],
    ["timeout", "60"],
  );
  assertEquals([code, stdout, stderr], [0, "1\n", ""]);
});

Deno.test("a worker opens a ring of its own", async () => {
  const { code, stdout, stderr } = await runScript(
    `${IMPORTS}
    const source = \`
      import { Ring } from "@uring/mod.ts";
      import * as op from "@uring/cmd/op.ts";
      const ring = Ring.open();
      await ring.cmd(op.timeout(5));
      postMessage(await ring.cmd(op.nop()));
      await ring.close();
    \`;
    const url = URL.createObjectURL(new Blob([source], { type: "text/typescript" }));
    const workers = Array.from({ length: 4 }, () => new Worker(url, { type: "module" }));
    const ring = Ring.open();
    const answers = await Promise.all(workers.map((worker) =>
      new Promise((resolve) => worker.onmessage = ({ data }) => resolve(data))));
    await ring.cmd(op.timeout(5));
    workers.forEach((worker) => worker.terminate());
    console.log(answers.join());
  `,
    ["-A"],
  );
  assertEquals([code, stdout, stderr], [0, "0,0,0,0\n", ""]);
});

Deno.test("without --allow-ffi the error names the flag", async () => {
  for (const flags of [[], ["--allow-ffi=libc.so.6"]]) {
    const { code, stderr } = await runScript(
      `import { Ring } from "@uring/mod.ts"; Ring.open();`,
      flags,
    );
    assertEquals(code, 1);
    assertStringIncludes(stderr, "Run with --allow-ffi, without a path");
  }
});

Deno.test("a ring that is opened after --allow-ffi was revoked leaves no descriptor and no mapping", async () => {
  const { stdout, stderr } = await runScript(
    `
    import { setup } from "@uring/ring/raw.ts";
    import { close, open, openDescriptors } from "@uring/sys/file.ts";
    import { syscall } from "@uring/sys/libc.ts";
    import { scratch } from "@uring/sys/scratch.ts";
    // Deno itself may not read /proc after a revocation.
    function held() {
      const descriptors = openDescriptors().length;
      const fd = open("/proc/self/maps");
      const { bytes, at } = scratch();
      let maps = "";
      for (let n; (n = syscall("read", fd, at, bytes.length)) > 0;) {
        maps += new TextDecoder().decode(bytes.slice(0, n));
      }
      close(fd);
      return descriptors + "," + (maps.match(/io_uring/g)?.length ?? 0);
    }
    setup({ entries: 1 }).close(); // Opens libc.
    const before = held();
    Deno.permissions.revokeSync({ name: "ffi" });
    try {
      setup({ entries: 1 });
    } catch (error) {
      console.log(error.name, before === held(), /^[1-9]\\d*,0$/.test(before));
    }
  `,
    ["-A"],
  );
  assertEquals([stdout, stderr], ["NotCapable true true\n", ""]);
});

Deno.test("a ring that the stack has no room to open leaves no descriptor", async () => {
  const { stdout, stderr } = await runScript(`${IMPORTS}
    import { openDescriptors } from "@uring/sys/file.ts";
    await Ring.open().close();
    const before = openDescriptors().length;
    let tries = 0;
    for (let round = 0; round < 10; round++) {
      let ring;
      // From the deepest call on, each tries until one succeeds.
      (function deep() {
        try {
          deep();
        } catch {
          tries++;
          ring = Ring.open();
        }
      })();
      await ring.close();
    }
    console.log(openDescriptors().length - before, tries > 100);
  `);
  assertEquals([stdout, stderr], ["0 true\n", ""]);
});

Deno.test("a command, file or buffer of another copy of the package is named as one", async () => {
  // The same files under another name are another copy.
  const copy = await Deno.makeTempDir();
  const root = new URL("../../", import.meta.url).pathname;
  for (const name of ["mod.ts", "sys", "ring", "cmd", "deno.json"]) {
    await new Deno.Command("cp", { args: ["-r", root + name, copy] }).output();
  }
  try {
    const { stdout, stderr } = await runScript(
      `${IMPORTS}
      const other = await import("file://${copy}/mod.ts");
      const ops = await import("file://${copy}/cmd/op.ts");
      const ring = Ring.open();
      const theirs = other.Ring.open();
      const memory = theirs.alloc(64);
      const [file] = theirs.registerFiles([0]);
      const [buffer] = theirs.registerBuffers([memory]);
      const tries = [
        () => ring.cmd(ops.nop()),
        () => ring.link([ops.nop()])[0],
        async () => ring.cmdSync(ops.nop()),
        async () => ring.cmdAllSync([ops.nop()]),
        async () => op.read(file, memory),
        async () => op.read(0, memory, { buffer }),
      ];
      for (const each of tries) {
        console.log((await each().catch((error) => error)).message);
      }
      await ring.close();
      await theirs.close();
    `,
      ["-A"],
    );
    const of = "of another copy of @uring/cmd. Use one version of it";
    assertEquals([stdout, stderr], [
      `not a command: a Command ${of}\n`.repeat(4) +
      `fd must be a number, not a FixedFile ${of}\n` +
      `buffer must be what ring.registerBuffers() returned, not a FixedBuffer ${of}\n`,
      "",
    ]);
  } finally {
    await Deno.remove(copy, { recursive: true });
  }
});

Deno.test("the line of the README lets every test of a file pass the resource sanitizer", async () => {
  const path = await Deno.makeTempFile({ suffix: "_test.ts" });
  const root = new URL("../..", import.meta.url).href;
  const text = `${IMPORTS}
    await Ring.open().close();
    for (const name of ["first", "second"]) {
      Deno.test({ name, sanitizeResources: true, sanitizeOps: true, async fn() {
        await using ring = Ring.open();
        await ring.cmd(op.timeout(5));
      } });
    }
  `;
  try {
    await Deno.writeTextFile(path, text.replaceAll("@uring/", root));
    const run = () => runDeno(["test", "-A", "--no-check", path]);
    const { code, stdout } = await run();
    assertEquals(code, 0, stdout);
    // Without the line, the sanitizer is there to object.
    const bare = text.replace("await Ring.open().close();", "");
    await Deno.writeTextFile(path, bare.replaceAll("@uring/", root));
    assertMatch((await run()).stdout, /dynamic library was loaded/);
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("an unload event closes all rings at once, and settles their commands", async () => {
  const { stdout, stderr } = await runScript(
    `${IMPORTS}
    import { openDescriptors } from "@uring/sys/file.ts";
    import { pipe, writeSync } from "@uring/tests/kit/fds.ts";
    import { until } from "@uring/tests/kit/wait.ts";
    import { woken } from "@uring/tests/attack/hostile/surroundings.ts";
    const { left, right } = pipe();
    const first = Ring.open(); // Has Deno open what it keeps.
    await woken(first);
    await first.close();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const before = openDescriptors().length;
    const rings = [
      {}, {}, { sqpoll: true }, { deferTaskrun: true }, { sqe128: true },
    ].map((options) => Ring.open(options));
    for (const ring of rings) await woken(ring);
    const memory = rings[0].alloc(8);
    const reads = rings.map((ring) => ring.cmd(op.read(left, memory)));
    await new Promise((resolve) => setTimeout(resolve, 20));
    const closing = rings[3].close();
    dispatchEvent(new Event("unload"));
    const settled = await Promise.allSettled([...reads, rings[0].cmd(op.nop())]);
    console.log(settled.map(({ reason }) => reason.code ?? reason.message).join());
    await closing;
    for (const ring of rings) await ring.close();
    await until(() => openDescriptors().length === before);
    // The kernel takes the rings apart in the background.
    await new Promise((resolve) => setTimeout(resolve, 300));
    writeSync(right, "data");
    const next = Ring.open(); // And another page may open one.
    const into = new Uint8Array(8);
    console.log(await next.cmd(op.read(left, into)), memory.join(""));
    await next.close();
  `,
    ["-A"],
    ["timeout", "60"],
  );
  assertEquals([stdout, stderr], [
    `${"ESHUTDOWN,".repeat(5)}the ring is closed\n4 00000000\n`,
    "",
  ]);
});

Deno.test("deno run --watch begins each run without a descriptor or a command of the last", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/watched.ts`;
  const root = new URL("../..", import.meta.url).href;
  const text = `${IMPORTS}
    import { descriptors } from "@uring/tests/kit/process.ts";
    const before = descriptors("io_uring").length + descriptors("eventfd").length;
    const ring = Ring.open();
    await ring.cmd(op.timeout(5));
    ring.cmd(op.timeout(100_000)).catch(() => {});
    await ring.cmd(op.timeout(5));
    console.log("run", before);
    setInterval(() => {}, 1000);
  `.replaceAll("@uring/", root);
  await Deno.writeTextFile(path, text);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--watch", path],
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const seen: number[] = [];
  let output = "";
  for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
    output += part;
    const runs = [...output.matchAll(/^run (\d+)$/gm)];
    if (runs.length === seen.length) continue;
    seen.push(Number(runs.at(-1)![1]));
    if (seen.length === 5) break;
    await Deno.writeTextFile(path, `${text}// ${seen.length}`);
  }
  child.kill("SIGKILL");
  await child.status;
  await Deno.remove(folder, { recursive: true });
  // Deno has an eventfd of its own.
  assertEquals(seen, new Array(5).fill(seen[0]));
});

Deno.test("importing needs no permission and opens nothing", async () => {
  const { code, stdout, stderr } = await runScript(
    `
    import * as m from "@uring/mod.ts";
    import * as s from "@uring/cmd/socket/mod.ts";
    import * as b from "@uring/cmd/block.ts";
    import * as o from "@uring/cmd/op.ts";
    import * as r from "@uring/ring/raw.ts";
    console.log([m, s, b, o, r].every((each) => Object.keys(each).length > 0));
  `,
    [],
  );
  assertEquals([code, stdout, stderr], [0, "true\n", ""]);
});

// ---- The main job ------------------------------------------------------------------

Deno.test("the module run as a program asks for the permission it needs", async () => {
  const main = new URL("../../mod.ts", import.meta.url).pathname;
  const { code, stdout, stderr } = await runDeno(["run", "--no-prompt", main]);
  assertEquals([code, stdout], [1, ""]);
  assertStringIncludes(stderr, "--allow-ffi");
});

// Deno makes a socket pair for signals late, and panics if that fails.
