/** The start and the end of a process with rings, and its messages when refused. */

import {
  assertEquals,
  assertGreater,
  assertLess,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { existsSync } from "node:fs";
import { ask } from "../attack/hostile/ask.ts";
import { isRoot } from "../kit/process.ts";
import { type Run, runDeno, runScript } from "../kit/run.ts";
import { testUnless } from "../kit/skip.ts";

const IMPORTS = `
import { Ring } from "@uring/mod.ts";
import * as op from "@uring/cmd/op.ts";
`;

Deno.test("a process runs while a command is in flight, then exits", async () => {
  const start = performance.now();
  const { code, stdout, stderr } = await runScript(`${IMPORTS}
    const ring = Ring.open();
    ring.cmd(op.timeout(300)).then(() => console.log("late"));
  `);
  assertEquals({ code, stderr, stdout }, {
    code: 0,
    stderr: "",
    stdout: "late\n",
  });
  assertGreater(performance.now() - start, 300);
});

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

Deno.test("an idle ring does not keep a process running", async () => {
  const { code, stdout } = await runScript(`${IMPORTS}
    const ring = Ring.open();
    await ring.cmd(op.timeout(1));
    await ring.cmd(op.nop());
    console.log("done");
  `);
  assertEquals([code, stdout], [0, "done\n"]);
});

for (const options of ["{}", "{ iopoll: true }", "{ deferTaskrun: true }"]) {
  Deno.test(`unref() lets a process exit that waits on a ring with ${options}`, async () => {
    const start = performance.now();
    const { code, stdout } = await runScript(`${IMPORTS}
      const ring = Ring.open(${options});
      ring.unref();
      const command = ${
      options.includes("iopoll") ? "op.nop()" : "op.timeout(60_000)"
    };
      ring.cmd(command).then(() => console.log("resolved"));
      setTimeout(() => console.log("bye"), 20);
    `);
    assertEquals(code, 0);
    assertStringIncludes(stdout, "bye");
    assertLess(performance.now() - start, 30_000);
  });
}

Deno.test("ref() keeps a process running again", async () => {
  const { stdout } = await runScript(`${IMPORTS}
    const ring = Ring.open();
    ring.unref();
    ring.cmd(op.timeout(100)).then(() => console.log("late"));
    setTimeout(() => ring.ref(), 10);
  `);
  assertEquals(stdout, "late\n");
});

/** A script with a ring over plain arrays, of which it plays the kernel. */
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
    engine.queues.abort(slot, "reason");
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

Deno.test("the kernel refuses a submission by another thread", async () => {
  const { stdout, stderr } = await runScript(
    `${IMPORTS}
    import { io_uring_enter } from "@uring/sys/libc.ts";
    const ring = Ring.open();
    await ring.cmd(op.nop());
    const source = \`
      import { io_uring_enter } from "@uring/sys/libc.ts";
      self.onmessage = ({ data }) => postMessage(io_uring_enter(data, 1, 0, 0));
    \`;
    const url = URL.createObjectURL(new Blob([source], { type: "text/typescript" }));
    const worker = new Worker(url, { type: "module" });
    worker.postMessage(ring.fd);
    const rc = await new Promise((resolve) => worker.onmessage = ({ data }) => resolve(data));
    worker.terminate();
    console.log(rc);
  `,
    ["-A"],
  );
  // EEXIST where the kernel has IORING_SETUP_SINGLE_ISSUER.
  assertMatch(stdout, /^(-17|0)\n$/, stderr);
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

function demo(prefix: readonly string[] = []): Promise<Run> {
  const main = new URL("../../mod.ts", import.meta.url).pathname;
  return runDeno(["run", "--no-prompt", "--allow-ffi", main], prefix);
}

Deno.test("the module run as a program shows the kernel, then real commands", async () => {
  const { code, stdout, stderr } = await demo();
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout, /^Linux \d+\.\d+.* on (x86_64|aarch64)$/m);
  assertMatch(stdout, /setup flags: \d+\n.*COOP_TASKRUN/);
  assertMatch(stdout, /opcodes: \d+\n/);
  assertStringIncludes(stdout, " URING_CMD");
  assertMatch(stdout, /whatever cmd_op +\d+ us +0$/m);
  for (const command of ["SIOCINQ", "SIOCOUTQ", "GETSOCKOPT", "SETSOCKOPT"]) {
    const available = stdout.includes(`socket ${command}`.padEnd(21) + "yes");
    const line = new RegExp(`socket ${command}.* us  (.*)`).exec(stdout)![1];
    if (available) assertMatch(line, /^\d+( bytes)?$/, command);
    else assertStringIncludes(line, "EOPNOTSUPP", command);
  }
  if (/socket SIOCINQ +yes/.test(stdout)) {
    assertMatch(stdout, /SIOCINQ .* us {2}42 bytes/);
  }
  assertMatch(stdout, /GETSOCKNAME.* us {2}(\{"hostname"|.*6\.19)/);
});

Deno.test("the module run as a program asks for the permission it needs", async () => {
  const main = new URL("../../mod.ts", import.meta.url).pathname;
  const { code, stdout, stderr } = await runDeno(["run", "--no-prompt", main]);
  assertEquals([code, stdout], [1, ""]);
  assertStringIncludes(stderr, "--allow-ffi");
});

// Deno makes a socket pair for signals late, and panics if that fails.
const DEMO = `
import { demo } from "@uring/cmd/cli/demo.ts";
import { Ring } from "@uring/mod.ts";
import * as op from "@uring/cmd/op.ts";
import { close, open } from "@uring/sys/file.ts";
import { __NR_aarch64, __NR_x86_64 } from "@uring/sys/uapi/unistd.ts";
import * as hostile from "@uring/tests/attack/hostile/surroundings.ts";
import { takeUpSignals } from "@uring/tests/kit/signals.ts";
await takeUpSignals();
const NR = Deno.build.arch === "x86_64" ? __NR_x86_64 : __NR_aarch64;
`;

Deno.test("the program runs without optional system calls, and names a required one", async () => {
  const { stdout, stderr } = await runScript(`${DEMO}
    const forbid = async (...names) => {
      for (const name of names) hostile.forbid(NR[name], 1);
      console.log("--- " + await demo().catch(String));
    };
    await forbid("socket"); // Not that of the ring.
    await forbid("socketpair");
    await forbid("getsockname");
    await forbid("listen");
    await forbid("io_uring_register");
    await forbid("io_uring_setup");
  `);
  const outputs = stdout.split(/^--- /m);
  assertEquals(outputs.length, 7, `${stdout}\n${stderr}`);
  const [socket, register] = [outputs[0], outputs[4]];
  assertMatch(
    socket,
    /socket SIOCINQ +unknown +there is no file to try: EPERM/,
  );
  assertMatch(socket, /10000 on \/dev\/null, 100 in flight/);
  // The kernel cannot be asked, so the result of trying each flag is shown.
  assertMatch(register, /setup flags: \d+\n +CLAMP COOP_TASKRUN /);
  assertMatch(register, /opcodes: none/);
  const ends = outputs.slice(1).map((text) => text.split("\n")[0]);
  assertEquals(ends[0], "0");
  assertMatch(ends[1], /^UringError: socketpair: EPERM/);
  assertMatch(ends[2], /^UringError: getsockname on fd \d+: EPERM/);
  assertMatch(ends[3], /^UringError: listen on fd \d+: EPERM/);
  assertMatch(ends[4], /^UringError: listen on fd \d+: EPERM/);
  assertEquals(ends[5], "1");
  assertMatch(stderr, /^io_uring is refused\. .*seccomp filter/m);
});

Deno.test("the program fails if a command of this kernel fails", async () => {
  const { stdout, stderr } = await runScript(`${DEMO}
    const { cmd } = Ring.prototype;
    const none = open("/dev/null");
    // Receives from a file that is not a socket.
    Ring.prototype.cmd = function (command) {
      const it = command.name === "RECV" ? op.recv(none, this.alloc(8)) : command;
      return cmd.call(this, it);
    };
    console.log("--- " + await demo());
    Ring.prototype.cmd = function (command) {
      return command.name === "RECV"
        ? cmd.call(this, "no command")
        : cmd.call(this, command);
    };
    console.log("--- " + await demo().catch(String));
    close(none);
  `);
  assertEquals(stderr, "");
  assertMatch(stdout, /RECV +\d+ us {2}RECV on fd \d+: ENOTSOCK/);
  const ends = stdout.match(/^--- .*$/gm);
  assertEquals(ends, ["--- 1", '--- TypeError: not a command: "no command"']);
});

// These change settings of the whole machine for a moment: only on a machine that
// nobody else works on, such as a guest.
const knob = "/proc/sys/kernel/io_uring_disabled"; // Since Linux 6.6.
const missing = !isRoot || !Deno.env.has("CI")
  ? "root, and CI=true: it disables io_uring"
  : existsSync(knob)
  ? ""
  : "Linux 6.6 or later";

testUnless(
  missing,
  "the program says which sysctl refuses io_uring, and how to lift it",
  async () => {
    const before = await Deno.readTextFile(knob);
    try {
      await Deno.writeTextFile(knob, "2");
      const two = await demo();
      assertEquals(two.code, 1);
      assertStringIncludes(two.stderr, "io_uring_disabled is 2");
      assertStringIncludes(two.stderr, "sysctl -w kernel.io_uring_disabled=0");
      await Deno.writeTextFile(knob, "1");
      // Root without CAP_SYS_ADMIN, which passes whatever the sysctl says.
      const one = await demo([
        "setpriv",
        "--bounding-set=-sys_admin",
        "--inh-caps=-sys_admin",
      ]);
      assertEquals(one.code, 1);
      assertStringIncludes(one.stderr, "io_uring_disabled is 1");
      assertStringIncludes(one.stderr, "io_uring_group");
    } finally {
      await Deno.writeTextFile(knob, before.trim());
    }
  },
);

testUnless(
  missing,
  "joining the group that io_uring is left to is a remedy, as the message says",
  async () => {
    const names = ["disabled", "group"]
      .map((name) => `/proc/sys/kernel/io_uring_${name}`);
    const before = names.map((name) => Deno.readTextFileSync(name).trim());
    // The user that this thread becomes stays in the group of root.
    const open = () =>
      ask<string>(`
        hostile.becomeNobody();
        tell(objection(() => Ring.open()));
      `);
    try {
      Deno.writeTextFileSync(names[0], "1");
      assertMatch(
        await open(),
        /EPERM.*io_uring_disabled is 1.*Join that group/,
      );
      Deno.writeTextFileSync(names[1], String(Deno.gid()));
      assertEquals(await open(), "none");
    } finally {
      names.forEach((name, i) => Deno.writeTextFileSync(name, before[i]));
    }
  },
);

/** A script that forbids io_uring_setup() with an errno, by a seccomp filter. */
const filtered = (errno: number) => `
  import { Ring } from "@uring/mod.ts";
  import { forbid } from "@uring/tests/attack/hostile/surroundings.ts";
  forbid(425, ${errno}); // io_uring_setup, on either machine
  try {
    Ring.open();
  } catch (error) {
    console.log(error.code, error.message);
  }
`;

for (const [name, errno] of [["EPERM", 1], ["ENOSYS", 38]] as const) {
  Deno.test(`a seccomp filter that answers ${name} is named as the cause`, async () => {
    const { stdout, stderr } = await runScript(filtered(errno));
    assertMatch(stdout, new RegExp(`^${name} .*seccomp filter`), stderr);
  });
}
