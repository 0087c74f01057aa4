/** The start and the end of a process with rings, and its messages when refused. */

import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { ask } from "../attack/hostile/ask.ts";
import { exists } from "../kit/exists.ts";
import { isRoot } from "../kit/process.ts";
import { type Run, runDeno, runScript, scriptValue } from "../kit/run.ts";
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

Deno.test("a ring that does not keep the process runs its commands as fast, while others do", async () => {
  const { stdout, stderr } = await runScript(`
    import { Ring } from "@uring/mod.ts";
    import { nop } from "@uring/cmd/op.ts";
    const ring = Ring.open();
    ring.unref();
    const other = setInterval(() => console.log("the batch stands still"), 5000);
    // More than a turn takes: the ring comes back for the rest.
    const batch = new Array(30_000).fill(nop());
    console.log((await ring.cmdAll(batch)).length);
    clearInterval(other);
    await ring.close();
  `);
  assertEquals([stdout, stderr], ["30000\n", ""]);
});

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

function demo(prefix: readonly string[] = []): Promise<Run> {
  const main = new URL("../../mod.ts", import.meta.url).pathname;
  return runDeno(["run", "--no-prompt", "--allow-ffi", main], prefix);
}

Deno.test("the module run as a program shows the kernel, then real commands", async () => {
  const start = performance.now();
  const { code, stdout, stderr } = await demo();
  const passed = performance.now() - start;
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout, /^Linux \d+\.\d+.* on (x86_64|aarch64)$/m);
  assertMatch(stdout, /setup flags: \d+\n.*COOP_TASKRUN/);
  // It has no permission to mount.
  const mounts = /^FUSE:\n {2}mount +(\w+)/m.exec(stdout)![1] === "yes";
  assertEquals(stdout.includes("add --allow-run=sh,umount,fus"), mounts);
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
  const best = Number(/, 100 in flight: (\d+) ns each/.exec(stdout)![1]);
  assertGreater(best, 0);
  // Ten rounds, each of 10,000 commands, were part of what has passed.
  assertLess(best * 10 * 10_000 / 1e6, passed);
});

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
  : exists(knob)
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

Deno.test("workers whose services have ended leave none of their memory mapped", async () => {
  const worker = `
    import { Service } from "@uring/ring/service/service.ts";
    const service = Service.open({ tags: 4 });
    for (let i = 0; i < 20; i++) service.alloc(65536)[0] = 1;
    onmessage = async ({ data }) => {
      if (data === "close") await service.close();
      else service.abandon();
      postMessage("ended");
    };
    postMessage("open");
  `.replaceAll("@uring/", new URL("../..", import.meta.url).href);
  const mappings = await scriptValue<number[]>(
    `
    import { mappingCount } from "@uring/tests/kit/process.ts";
    const source = ${JSON.stringify(worker)};
    const url = URL.createObjectURL(new Blob([source], { type: "text/typescript" }));
    const counts = [];
    for (const how of ["close", "abandon", "close", "abandon", "close"]) {
      const worker = new Worker(url, { type: "module" });
      const told = () => new Promise((resolve) => worker.onmessage = resolve);
      await told();
      worker.postMessage(how);
      await told();
      worker.terminate();
      await new Promise((resolve) => setTimeout(resolve, 200));
      counts.push(mappingCount());
    }
    console.log(JSON.stringify(counts));
  `,
    ["--allow-all"],
  );
  // The first workers leave mappings of V8 itself. Memory would leave 60 of each.
  assert(mappings.at(-1)! - mappings[1] < 90, mappings.join());
});
