/**
 * What a person is told where the surroundings are hostile: a limit is reached,
 * a filter forbids, Deno is too old, the process forks or is another user's. Each
 * is real, and in a process of its own where it would harm this one.
 */

import {
  assertEquals,
  assertGreater,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { existsSync } from "node:fs";
import { Ring } from "../mod.ts";
import * as op from "../ring/op.ts";
import { refusal } from "../ring/setup.ts";
import * as E from "../sys/errno.ts";
import { checkDeno } from "../sys/libc.ts";
import { __NR_aarch64, __NR_x86_64, syscallNumbers } from "../sys/unistd.ts";
import {
  isRoot,
  pipe,
  runScript,
  tcpPair,
  testUnless,
  unixPair,
  until,
  writeSync,
} from "./kit.ts";

const IMPORTS = `
import { Ring } from "@uring/mod.ts";
import * as op from "@uring/ring/op.ts";
import { openDescriptors } from "@uring/sys/file.ts";
import { __NR_x86_64 as NR } from "@uring/sys/unistd.ts"; // io_uring's are everywhere the same.
import { custom, pipe, writeSync } from "@uring/tests/kit.ts";
import * as hostile from "@uring/tests/hostile/surroundings.ts";
const { objection } = hostile;
const tell = (answers) => console.log(JSON.stringify(answers));
`;

/** Runs a script to its end, which has to be a good one: what it has told. */
async function ask<T>(script: string): Promise<T> {
  // What the tests share looks at who runs them.
  const flags = ["--allow-ffi", "--allow-sys=uid"];
  const { code, stdout, stderr } = await runScript(IMPORTS + script, flags);
  assertEquals([code, stderr], [0, ""]);
  return JSON.parse(stdout);
}

// ---- What it runs on ---------------------------------------------------------

Deno.test("a Deno that is too old is refused, with the version that is needed", () => {
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

Deno.test("it is the version of this Deno, and the system, that Ring.open looks at", async () => {
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

Deno.test("where system calls have other numbers, none is made", () => {
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

// ---- Permissions of Deno -----------------------------------------------------

Deno.test("a scope of --allow-ffi that is elsewhere, or a denial, says what to run with", async () => {
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

Deno.test("a scope that libc lies in lets it be opened, and still names what to run with", async () => {
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

Deno.test("a libc that is not found is no matter of permissions", async () => {
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

Deno.test("a ring whose permission is revoked runs to its end, and there is no other", async () => {
  const [read, late, again] = await ask<string[]>(`
    const ring = Ring.open();
    await ring.cmd(op.timeout(1));
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

// ---- Limits --------------------------------------------------------------------

Deno.test("with no descriptor left, a ring and a command say so, and nothing leaks", async () => {
  const { open, polled, command, leaked, after } = await ask<
    Record<string, unknown>
  >(`
    const ring = Ring.open();
    const path = op.openat("/dev/null");
    const before = openDescriptors().length;
    const [open, polled, command] = hostile.within("NOFILE", 3, () => [
      objection(() => Ring.open()),
      objection(() => Ring.open({ sqpoll: true })),
      objection(() => ring.cmdSync(path)),
    ]);
    const leaked = openDescriptors().length - before;
    const other = Ring.open();
    const after = await other.cmd(op.nop());
    await Promise.all([ring.close(), other.close()]);
    tell({ open, polled, command, leaked, after });
  `);
  const advice =
    "EMFILE (24). The process has as many files open as RLIMIT_NOFILE " +
    "lets it: close some, or raise it with `ulimit -n`.";
  assertEquals(open, `UringError: io_uring_setup: ${advice}`);
  assertEquals(polled, open);
  assertEquals(command, `UringError: OPENAT "/dev/null": ${advice}`);
  assertEquals([leaked, after], [0, 0]);
});

Deno.test("a machine with no descriptor left says which sysctl it is", () => {
  assertStringIncludes(refusal(E.ENFILE), "fs.file-max");
});

Deno.test("locked memory that is too small for registered buffers is named, and what fits works", async () => {
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

Deno.test("locked memory that is too small for a ring is named, where rings count", async () => {
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

Deno.test("with no thread left, a ring with sqpoll and a worker's command say so", async () => {
  const { polled, command, inline, after } = await ask<Record<string, unknown>>(
    `
    hostile.becomeNobody();
    const ring = Ring.open();
    // IOSQE_ASYNC: by a worker of the kernel.
    const nop = custom({ name: "NOP", opcode: 0, flags: 1 << 4 });
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
    await ring.cmd(op.timeout(1));
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
      open: least(() => objection(() =>
        Ring.open({ entries: 32768, sqe128: true, cqe32: true }))),
      sync: least(() => objection(() => ring.cmdSync(op.write(right, large)))),
      all: least(() => objection(() =>
        ring.cmdAllSync([op.nop(), op.write(right, large)]))),
      cmd: await late(() => [ring.cmd(op.write(right, large))]),
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
  assertEquals([after, leaked, inFlight], [[4, 1, 0], 0, 1]);
});

Deno.test("what a ring is to share threads with, or be bound to, is named when it is not there", async () => {
  const [closed, none, processor] = await ask<string[]>(`
    tell([
      objection(() => Ring.open({ attach: { fd: 999_999 } })),
      objection(() => Ring.open({ attach: { fd: 0 } })),
      objection(() => Ring.open({ sqpoll: { cpu: 65535 } })),
    ]);
  `);
  assertMatch(closed, /ENXIO \(6\)\. The ring to attach to is not open/);
  assertMatch(none, /EINVAL .*ATTACH_WQ.*The descriptor .* has to be a ring's/);
  assertMatch(processor, /EINVAL .*SQ_AFF.*The processor .* has to be there/);
});

// ---- Filters that come later ---------------------------------------------------

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
    assertMatch(sync, /seccomp filter .*io_uring_enter\(\).*: allow it/);
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

// ---- Other processes, other users ----------------------------------------------

/** Where the descriptors of a process lead to, by their numbers. */
function descriptors(pid: number | "self"): Map<string, string> {
  const leadTo = new Map<string, string>();
  for (const { name } of Deno.readDirSync(`/proc/${pid}/fd`)) {
    try {
      leadTo.set(name, Deno.readLinkSync(`/proc/${pid}/fd/${name}`));
    } catch {
      continue; // The descriptor of the directory, closed by now.
    }
  }
  return leadTo;
}

/** A child that has been started, and stays until it is let go. */
async function fork() {
  const child = new Deno.Command("cat", { stdin: "piped", stdout: "piped" })
    .spawn();
  const name = `/proc/${child.pid}/comm`;
  await until(() => Deno.readTextFileSync(name) === "cat\n");
  return {
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      await child.stdin.close();
      assertEquals((await child.output()).code, 0);
    },
  };
}

Deno.test("a child inherits no descriptor of a ring nor of what wakes it", async () => {
  const before = descriptors("self");
  await using ring = Ring.open();
  await ring.cmd(op.timeout(1));
  const made = [...descriptors("self")].flatMap(([number, to]) =>
    before.get(number) === to ? [] : [to]
  );
  const [rings, pipes] = ["anon_inode:[io_uring]", "pipe:"].map((start) =>
    made.filter((to) => to.startsWith(start))
  );
  assertGreater(rings.length, 0);
  assertGreater(pipes.length, 0);
  await using child = await fork();
  const theirs = [...descriptors(child.pid).values()];
  assertGreater(theirs.length, 2);
  const ours = [...rings, ...pipes, "anon_inode:[eventfd]"];
  assertEquals(theirs.filter((to) => ours.includes(to)), []);
});

Deno.test("commands in flight complete with their data while a child lives, and after it", async () => {
  await using ring = Ring.open();
  using bytes = pipe();
  using local = unixPair();
  using remote = tcpPair();
  const ends = [bytes, local, remote];
  const round = () =>
    ends.map(({ left }, i) => {
      const into = i === 0 ? ring.alloc(8) : new Uint8Array(8);
      const command = i === 0 ? op.read(left, into) : op.recv(left, into);
      return ring.cmd(command).then((length) =>
        new TextDecoder().decode(into.slice(0, length))
      );
    });
  const write = (text: string) =>
    ends.forEach(({ right }, i) => writeSync(right, `${text}${i}`));
  const first = round();
  await ring.cmd(op.timeout(1)); // They are in the kernel.
  let second: Promise<string>[];
  {
    await using _child = await fork();
    write("one");
    assertEquals(await Promise.all(first), ["one0", "one1", "one2"]);
    second = round();
    await ring.cmd(op.timeout(1));
  }
  write("two");
  assertEquals(await Promise.all(second), ["two0", "two1", "two2"]);
});

Deno.test("registered buffers are the same memory to the kernel after a fork", async () => {
  await using ring = Ring.open();
  using ends = pipe();
  const memory = ring.alloc(4096);
  const [buffer] = ring.registerBuffers([memory]);
  memory.fill(1);
  await using _child = await fork();
  // A page that was shared with the child would be copied now, for us alone.
  memory.fill(2);
  assertEquals(await ring.cmd(op.write(ends.right, memory, { buffer })), 4096);
  const seen = new Uint8Array(4096);
  assertEquals(await ring.cmd(op.read(ends.left, seen)), 4096);
  assertEquals(seen, new Uint8Array(4096).fill(2));
  memory.fill(0);
  writeSync(ends.right, seen.fill(3));
  assertEquals(await ring.cmd(op.read(ends.left, memory, { buffer })), 4096);
  assertEquals(memory, seen);
});

testUnless(
  isRoot ? "" : "root",
  "a command has the credentials of who submits it, and with sqpoll of who opened the ring",
  async () => {
    const secret = await Deno.makeTempFile(); // Its owner's alone: mode 0600.
    try {
      const [before, plain, plainLate, polled, polledLate] = await ask<
        (string | number)[]
      >(`
      const plain = Ring.open();
      const polled = Ring.open({ sqpoll: true });
      const secret = op.openat(${JSON.stringify(secret)});
      const why = (promise) => promise.then(() => "none", String);
      const before = objection(() => plain.cmdSync(secret));
      hostile.becomeNobody();
      const answers = [
        before,
        objection(() => plain.cmdSync(secret)),
        await why(plain.cmd(secret)),
        objection(() => polled.cmdSync(secret)),
        await why(polled.cmd(secret)),
      ];
      await plain.close();
      await polled.close();
      tell(answers);
    `);
      assertEquals([before, polled, polledLate], ["none", "none", "none"]);
      assertMatch(`${plain}`, /^UringError: OPENAT .*EACCES \(13\)\. The pro/);
      assertEquals(plainLate, plain);
    } finally {
      await Deno.remove(secret);
    }
  },
);
