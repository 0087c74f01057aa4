/** Commands, while the process has children, and is another user's. */

import { assertEquals, assertGreater, assertMatch } from "@std/assert";
import { Ring } from "../../../mod.ts";
import * as op from "../../../cmd/op.ts";
import { isRoot } from "../../kit/process.ts";
import { pipe, tcpPair, unixPair, writeSync } from "../../kit/fds.ts";
import { testUnless } from "../../kit/skip.ts";
import { until } from "../../kit/wait.ts";
import { take, WAYS } from "../../kit/wires.ts";
import { ask } from "./ask.ts";
import { woken } from "./surroundings.ts";

/** The files of a process, by descriptor. */
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

for (const way of WAYS) {
  Deno.test(`a child inherits no descriptor of a ring that ${way} wakes`, async () => {
    using _way = take(way);
    const before = descriptors("self");
    await using ring = Ring.open();
    await woken(ring);
    const made = [...descriptors("self")].flatMap(([number, to]) =>
      before.get(number) === to ? [] : [to]
    );
    const [rings, pipes] = ["anon_inode:[io_uring]", "pipe:"].map((start) =>
      made.filter((to) => to.startsWith(start))
    );
    assertGreater(rings.length, 0);
    assertEquals(pipes.length > 0, way === "the waker");
    await using child = await fork();
    const theirs = [...descriptors(child.pid).values()];
    assertGreater(theirs.length, 2);
    const ours = [...rings, ...pipes, "anon_inode:[eventfd]"];
    assertEquals(theirs.filter((to) => ours.includes(to)), []);
  });
}

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

Deno.test("the kernel still uses the memory of registered buffers after a fork", async () => {
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
      assertMatch(
        `${plain}`,
        /^UringError: OPENAT .*EACCES \(13\)\. The user may not open/,
      );
      assertEquals(plainLate, plain);
    } finally {
      await Deno.remove(secret);
    }
  },
);
