/** Many rings, many workers, many files: side by side, and when some of them end. */

import { assertEquals } from "@std/assert";
import { Ring } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import "../kit/no_watchdogs.ts";
import { isRoot, openFdCount } from "../kit/process.ts";
import { runScript } from "../kit/run.ts";
import { pipe, writeSync } from "../kit/fds.ts";
import { testUnless } from "../kit/skip.ts";
import { wake } from "../kit/wait.ts";
import { take, WAYS } from "../kit/wires.ts";
import { LoopDevice, missing as loopMissing } from "../lab/loop_device.ts";

// ---- Rings -----------------------------------------------------------------------

Deno.test("64 rings in one isolate receive all their later completions", async () => {
  await using first = Ring.open();
  await wake(first); // Its eventfd is there.
  const before = openFdCount();
  const rings = Array.from({ length: 64 }, () => Ring.open({ entries: 4 }));
  await Promise.all(rings.map(async (ring, i) => {
    for (let round = 0; round < 10; round++) {
      const delays = [1, 2, 3].map((n) => (i * 7 + round * 5 + n) % 11);
      await Promise.all(delays.map((delay) => ring.cmd(op.timeout(delay))));
    }
    assertEquals(ring.stats().completions, 30);
  }));
  await Promise.all(rings.map((ring) => ring.close()));
  assertEquals(openFdCount(), before);
});

for (const way of WAYS) {
  Deno.test(`${way} wakes 300 rings for one event, more than the waker has room for`, async () => {
    using _way = take(way);
    const rings = Array.from({ length: 300 }, () => Ring.open({ entries: 1 }));
    using ends = pipe();
    const { POLLIN } = op;
    for (let round = 0; round < 3; round++) {
      const all = rings.map((ring) =>
        ring.cmd(op.poll(ends.left, { events: POLLIN }))
      );
      await wake(rings[0]); // They wait, by now, for an event.
      writeSync(ends.right, "x");
      for (const events of await Promise.all(all)) {
        assertEquals(events & POLLIN, POLLIN);
      }
      assertEquals(rings[0].cmdSync(op.read(ends.left, new Uint8Array(1))), 1);
    }
    // Closing cancels the waiting commands: as many completions again.
    const all = rings.map((ring) =>
      ring.cmd(op.poll(ends.left, { events: POLLIN })).catch(({ name }) => name)
    );
    await wake(rings[0]);
    await Promise.all(rings.map((ring) => ring.close()));
    assertEquals(await Promise.all(all), Array(300).fill("AbortError"));
  });
}

Deno.test("rings that are closed when they are woken leave the others awake", async () => {
  const rings = Array.from({ length: 32 }, () => Ring.open({ entries: 4 }));
  using ends = pipe();
  const closed: Promise<void>[] = [];
  const ended = rings.map(async (ring, i) => {
    const poll = ring.cmd(op.poll(ends.left, { events: op.POLLIN }));
    const settled = await Promise.allSettled([poll]);
    // Each closes its neighbour, which was woken as well, or is about to be.
    closed.push(rings[(i + 1) % 32].close());
    return settled[0].status;
  });
  await wake(rings[0]);
  writeSync(ends.right, "x");
  assertEquals((await Promise.all(ended)).length, 32);
  await Promise.all(closed);
  assertEquals(closed.length, 32);
});

// ---- Workers ------------------------------------------------------------------------

/** Begins a script that has workers, and each of them. */
const IMPORTS = `
  import { Ring, uringCmd } from "@uring/mod.ts";
  import * as op from "@uring/cmd/op.ts";
  import { syscall } from "@uring/sys/libc.ts";
  import { scratch } from "@uring/sys/scratch.ts";
  const pipe = () => {
    const { view, at } = scratch();
    syscall("pipe2", at, 0);
    return [view.getInt32(0, true), view.getInt32(4, true)];
  };
  const write = (fd) => syscall("write", fd, scratch().at, 1);
`;

/** A script that can `start()` workers of a source, which are named by numbers. */
const script = (worker: string, main: string) =>
  runScript(
    `${IMPORTS}
    const source = ${JSON.stringify(IMPORTS + worker)};
    const url = URL.createObjectURL(new Blob([source], { type: "text/typescript" }));
    const start = (_ = 0, index = 0) => {
      const worker = new Worker(url, { type: "module", name: String(index) });
      const said = () => new Promise((resolve) =>
        worker.addEventListener("message", ({ data }) => resolve(data), { once: true }));
      return { worker, said };
    };
    ${main}`,
    ["-A"],
  );

Deno.test("eight workers and the main thread use a ring each", async () => {
  const { code, stdout, stderr } = await script(
    `
    const ring = Ring.open();
    const [left, right] = pipe();
    let bytes = 0;
    for (let i = 0; i < 100; i++) {
      const read = ring.cmd(op.read(left, new Uint8Array(8)));
      await Promise.all([ring.cmd(op.timeout(i % 3)), ring.cmd(op.nop())]);
      write(right);
      bytes += await read;
    }
    await ring.close();
    postMessage(bytes);
    self.close();
  `,
    `
    const workers = Array.from({ length: 8 }, start);
    const answers = Promise.all(workers.map(({ said }) => said()));
    const ring = Ring.open();
    let rounds = 0;
    let over = false;
    answers.then(() => over = true);
    while (!over) {
      await Promise.all([ring.cmd(op.timeout(1)), ring.cmd(op.nop())]);
      rounds++;
    }
    console.log((await answers).join(), rounds > 5);
    await ring.close();
  `,
  );
  assertEquals([code, stdout], [0, `${Array(8).fill(100)} true\n`], stderr);
});

for (
  const [how, end] of [
    ["is terminated", "worker.terminate()"],
    ["closes itself", "worker.postMessage('close')"],
    ["throws", "worker.postMessage('throw')"],
  ] as const
) {
  Deno.test(`a worker that ${how} with commands in flight harms nobody`, async () => {
    const { code, stdout, stderr } = await script(
      `
      const ring = Ring.open();
      const other = Ring.open({ sqe128: true });
      const [left, right] = pipe();
      self.onmessage = ({ data }) => {
        if (data === "close") self.close();
        else throw new Error("on purpose");
      };
      for (let i = 0; i < 20; i++) {
        ring.cmd(op.read(left, new Uint8Array(1)));
        other.cmd(op.read(left, other.alloc(1)));
        ring.cmd(op.timeout(i));
        ring.cmd(op.timeout(60_000));
      }
      await ring.cmd(op.timeout(2));
      postMessage(right);
    `,
      `
      const ring = Ring.open();
      let ended = 0;
      for (let round = 0; round < 8; round++) {
        const { worker, said } = start();
        worker.addEventListener("error", (event) => event.preventDefault());
        const right = await said();
        // Some reads complete before the worker's end, in the midst of it, after it.
        for (let i = 0; i < 5; i++) write(right);
        ${end};
        for (let i = 0; i < 10; i++) {
          write(right);
          await ring.cmd(op.timeout(1));
        }
        // Memory that the worker had may be somebody else's.
        const mine = Array.from({ length: 8 }, () => ring.alloc(65536).fill(7));
        for (let i = 0; i < 25; i++) write(right);
        await ring.cmd(op.timeout(5));
        if (mine.every((bytes) => bytes.every((byte) => byte === 7))) ended++;
      }
      await ring.close();
      console.log(ended);
    `,
    );
    assertEquals([code, stdout], [0, "8\n"], stderr);
  });
}

/** Has two workers run commands on one file, and says what they found. */
async function twoWorkers(commands: string): Promise<string> {
  const { code, stdout, stderr } = await script(
    `
    ${commands}
    postMessage(found);
    await ring.close();
    self.close();
  `,
    `
    const workers = Array.from({ length: 2 }, start);
    console.log((await Promise.all(workers.map(({ said }) => said()))).join());
  `,
  );
  assertEquals(code, 0, stderr);
  return stdout;
}

Deno.test("two workers command one device, /dev/null, at the same time", async () => {
  const found = await twoWorkers(`
    const ring = Ring.open();
    const fd = await ring.cmd(op.openat("/dev/null", { flags: op.O_RDWR }));
    const command = uringCmd({ fd, cmd_op: 1 });
    let found = 0;
    for (let i = 0; i < 200; i++) {
      const all = Array.from({ length: 50 }, () => ring.cmd(command));
      found += (await Promise.all(all)).filter((res) => res === 0).length;
      if (i % 20 === 0) await ring.cmd(op.timeout(1));
    }
    await ring.cmd(op.close(fd));
  `);
  assertEquals(found, "10000,10000\n");
});

testUnless(
  loopMissing,
  "two workers read and write one loop device at the same time, each its own part",
  async () => {
    const byteLength = 4 << 20;
    await using device = await LoopDevice.make({ byteLength, byte: 0x5a });
    const found = await twoWorkers(`
      const ring = Ring.open();
      const flags = op.O_RDWR | op.O_DIRECT;
      const fd = await ring.cmd(op.openat("${device.path}", { flags }));
      const base = Number(self.name) * ${byteLength / 2};
      const mark = 1 + Number(self.name);
      let found = 0;
      await Promise.all(Array.from({ length: 256 }, async (_, i) => {
        const bytes = ring.alloc(4096);
        const where = { offset: base + i * 8192 };
        await ring.cmd(op.read(fd, bytes, where));
        const before = bytes.every((byte) => byte === 0x5a);
        await ring.cmd(op.write(fd, bytes.fill(mark), where));
        await ring.cmd(op.read(fd, bytes.fill(0), where));
        if (before && bytes.every((byte) => byte === mark)) found++;
      }));
      await ring.cmd(op.close(fd));
    `);
    assertEquals(found, "256,256\n");
    const disk = await Deno.readFile(device.path);
    for (let at = 0; at < byteLength; at += 4096) {
      const written = at % 8192 === 0;
      const byte = !written ? 0x5a : at < byteLength / 2 ? 1 : 2;
      assertEquals([at, disk[at], disk[at + 4095]], [at, byte, byte]);
    }
  },
);

// ---- Files -----------------------------------------------------------------------------

const SOCKETS = 10_000;
/** The prefix that lets a process open so many files, if there is one. */
const limit = filesFor(SOCKETS + 500);

function filesFor(count: number): string | undefined {
  const limits = Deno.readTextFileSync("/proc/self/limits");
  const hard = /^Max open files +\S+ +(\S+)/m.exec(limits)![1];
  if (hard === "unlimited" || Number(hard) >= count) {
    return `--nofile=${count}:`;
  }
  return isRoot ? `--nofile=${count}:${count}` : undefined;
}

testUnless(
  limit === undefined ? `limit of ${SOCKETS} files` : "",
  "ten thousand sockets are commanded at once, and each gets its own answer",
  async () => {
    const { code, stdout, stderr } = await runScript(
      `
      import { probe, Ring } from "@uring/mod.ts";
      import { getsockopt, SO_TYPE, SOL_SOCKET } from "@uring/cmd/socket/mod.ts";
      import * as op from "@uring/cmd/op.ts";
      import { syscall } from "@uring/sys/libc.ts";
      import { scratch } from "@uring/sys/scratch.ts";
      import { AF_UNIX, SOCK_STREAM } from "@uring/sys/uapi/socket.ts";
      const fds = [];
      for (let i = 0; i < ${SOCKETS / 2}; i++) {
        const { view, at } = scratch();
        const rc = syscall("socketpair", AF_UNIX, SOCK_STREAM, 0, at);
        if (rc < 0) throw new Error("socketpair: errno " + -rc);
        fds.push(view.getInt32(0, true), view.getInt32(4, true));
      }
      const ring = Ring.open({ entries: 1024, cqEntries: 32768 });
      const got = ring.alloc(fds.length);
      const received = fds.map((fd, i) => ring.cmd(op.recv(fd, got.subarray(i, i + 1))));
      await new Promise((resolve) => setImmediate(resolve));
      console.log(ring.stats().inFlight);
      const sent = ring.alloc(fds.length);
      for (let i = 0; i < fds.length; i++) sent[i] = i % 251;
      // Each end gets what is sent by its pair: 1, 0, 3, 2, ...
      const sending = fds.map((fd, i) => ring.cmd(op.send(fd, sent.subarray(i, i + 1))));
      const sum = (results) => results.reduce((sum, each) => sum + each, 0);
      console.log(sum(await Promise.all(sending)), sum(await Promise.all(received)));
      console.log(got.every((byte, i) => byte === (i ^ 1) % 251));
      const has = probe().families["socket GETSOCKOPT"]?.available === "yes";
      const types = has
        ? fds.map((fd) => getsockopt(fd, { level: SOL_SOCKET, optname: SO_TYPE, length: 4 }))
        : [];
      const typed = [
        ...await Promise.all(types.map((each) => ring.cmd(each))),
        ...ring.cmdAllSync(types),
      ];
      console.log(typed.every((bytes) => bytes[0] === SOCK_STREAM), ring.stats().inFlight);
      await ring.close();
    `,
      ["-A"],
      ["prlimit", limit!],
    );
    const expected = `${SOCKETS}\n${SOCKETS} ${SOCKETS}\ntrue\ntrue 0\n`;
    assertEquals([code, stdout], [0, expected], stderr);
  },
);
