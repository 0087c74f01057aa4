/** Rings on the real kernel, through the public API. */

import {
  assert,
  assertEquals,
  assertGreater,
  assertInstanceOf,
  assertLess,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { stub } from "@std/testing/mock";
import { Ring, type RingOptions, uringCmd, UringError } from "../../mod.ts";
import { Command, type CommandSpec, type FileRef } from "../../ring/command.ts";
import * as op from "../../cmd/op.ts";
import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { libc } from "../../sys/libc.ts";
import { Queues } from "../../ring/flight/queues.ts";
import { rereadsSqes, setup } from "../../ring/bare/setup.ts";
import { textOf, utf8 } from "../kit/bytes.ts";
import { message } from "../kit/commands.ts";
import { devNull, pipe, tcpPair, unixPair, writeSync } from "../kit/fds.ts";
import { assertRefused, outcomes, refusal } from "../kit/outcome.ts";
import { descriptors, openFdCount } from "../kit/process.ts";
import { reportedErrors } from "../kit/reported_errors.ts";
import { runScript } from "../kit/run.ts";
import { refuseEnter, refuseSetupFlags } from "../kit/refuse.ts";
import { lacksFlag, testUnless } from "../kit/skip.ts";
import { collect, turn, until } from "../kit/wait.ts";
import { take, WAYS } from "../kit/wires.ts";

const { EAGAIN, EBADR, EBUSY, EINTR } = E;

const has = (flag: string) => lacksFlag(flag) === "";

Deno.test("a ring opened without options has the flags for an event loop", async () => {
  await using ring = Ring.open();
  for (const flag of ["SINGLE_ISSUER", "COOP_TASKRUN", "SUBMIT_ALL"]) {
    assertEquals(ring.flags.includes(flag), has(flag), flag);
  }
  assertEquals(ring.flags.includes("DEFER_TASKRUN"), false);
});

const shapes: [flag: string, options: RingOptions][] = [
  ["SQE128", { sqe128: true }],
  ["CQE32", { cqe32: true }],
  ["SQE128", { sqe128: true, cqe32: true }],
  ["CQE_MIXED", { mixed: true }],
  ["SQPOLL", { sqpoll: true }],
  ["SQ_AFF", { sqpoll: { idleMs: 1, cpu: 0 } }],
  ["DEFER_TASKRUN", { deferTaskrun: true }],
  ["IOPOLL", { iopoll: true }],
];
for (const [flag, options] of shapes) {
  const shape = JSON.stringify(options);
  testUnless(
    lacksFlag(flag),
    `a ring with ${shape} runs commands in every way`,
    async () => {
      await using ring = Ring.open({ ...options, entries: 8 });
      assert(ring.flags.includes(flag), ring.flags.join());
      assertEquals(await ring.cmd(op.nop()), 0);
      assertEquals(ring.cmdSync(op.nop()), 0);
      assertEquals(
        ring.cmdAllSync(Array(20).fill(op.nop())),
        Array(20).fill(0),
      );
      const many = Array.from({ length: 500 }, () => ring.cmd(op.nop()));
      assertEquals(await Promise.all(many), Array(500).fill(0));
      assertEquals(ring.stats().inFlight, 0);
    },
  );

  if (options.iopoll) continue; // It refuses commands that complete later.
  const later = `a later completion wakes a ring with ${shape}`;
  testUnless(lacksFlag(flag), later, async () => {
    await using ring = Ring.open({ ...options, entries: 8 });
    using pair = pipe();
    const buffer = new Uint8Array(8);
    const read = ring.cmd(op.read(pair.left, buffer));
    await turn();
    assertEquals(ring.stats().inFlight, 1);
    writeSync(pair.right, "later");
    assertEquals(await read, 5);
    assertEquals(textOf(buffer.subarray(0, 5)), "later");
  });
}

Deno.test("options that exclude each other are refused before the kernel is asked", () => {
  assertThrows(() => Ring.open({ mixed: true, sqe128: true }), TypeError);
  assertThrows(
    () => Ring.open({ sqpoll: true, deferTaskrun: true }),
    TypeError,
  );
  for (const entries of [0, -1, 1.5, NaN, 32769]) {
    assertThrows(() => Ring.open({ entries }), RangeError, "entries");
  }
  assertThrows(() => Ring.open({ entries: 64, cqEntries: 32 }), RangeError);
  assertThrows(() => Ring.open({ cqEntries: 65537 }), RangeError);
  for (const maxWorkers of [-1, 1.5, 65536]) {
    assertThrows(() => Ring.open({ maxWorkers }), RangeError, "maxWorkers");
  }
});

for (
  const [options, most] of [
    [{}, 4],
    [{ sqe128: true }, Deno.build.arch === "x86_64" ? 1 : 4],
    [{ sqe128: true, maxWorkers: 3 }, 3],
    [{ maxWorkers: 2 }, 2],
  ] as const
) {
  const shape = JSON.stringify(options);
  testUnless(
    lacksFlag("DEFER_TASKRUN"),
    `a ring with ${shape} has ${most} workers for four commands that block`,
    async () => {
      // Opening one end of a FIFO waits for the other. The kernel gives an
      // openat() with O_CREAT to a worker at once (io_openat_force_async()).
      const { stdout, stderr } = await runScript(
        `
      import { Ring } from "@uring/mod.ts";
      import { nop, O_CREAT, openat } from "@uring/cmd/op.ts";
      import { workerStates } from "@uring/tests/kit/process.ts";
      import { until } from "@uring/tests/kit/wait.ts";
      const folder = Deno.makeTempDirSync();
      const path = folder + "/pipe";
      new Deno.Command("mkfifo", { args: [path] }).outputSync();
      const ring = Ring.open(${shape});
      const opening = Array.from({ length: 4 }, () => ring.cmd(openat(path, { flags: O_CREAT })));
      const blocked = () => workerStates().every((state) => state === "S");
      await until(() => workerStates().length >= ${most} && blocked());
      // A worker that blocks asks this thread for the next one, which the thread
      // starts when it enters the kernel (io_wq_worker_sleeping(), Linux 6.18).
      ring.cmdSync(nop());
      await until(blocked);
      console.log(workerStates().length);
      await Promise.all([ring.close(), Promise.allSettled(opening)]);
      Deno.removeSync(folder, { recursive: true });
    `,
        ["-A"],
      );
      assertEquals(stdout, `${most}\n`, stderr);
    },
  );
}

Deno.test("setup flags that a kernel does not know are left out one by one", async () => {
  using refused = refuseSetupFlags(
    uapi.IORING_SETUP_NO_SQARRAY | uapi.IORING_SETUP_SINGLE_ISSUER,
  );
  await using ring = Ring.open();
  assertEquals(ring.flags.includes("NO_SQARRAY"), false);
  assertEquals(ring.flags.includes("SINGLE_ISSUER"), false);
  assertEquals(ring.flags.includes("COOP_TASKRUN"), has("COOP_TASKRUN"));
  assertEquals(ring.flags.includes("SUBMIT_ALL"), has("SUBMIT_ALL"));
  // Each flag left out takes another call. A ring that holds SQEs does not ask
  // for NO_SQARRAY.
  assertEquals(refused.asked.length, rereadsSqes() ? 2 : 3);
  // The ring works with an SQ array.
  const many = Array.from({ length: 300 }, () => ring.cmd(op.nop()));
  assertEquals((await Promise.all(many)).length, 300);
});

Deno.test("a required flag that the kernel refuses is named in the error", () => {
  using _refused = refuseSetupFlags(uapi.IORING_SETUP_SQE128);
  const error = assertThrows(() => Ring.open({ sqe128: true }), UringError);
  assertEquals(error.code, "EINVAL");
  assertStringIncludes(error.message, "SQE128");
});

Deno.test("commands queued in one turn share one system call", async () => {
  await using ring = Ring.open({ entries: 128 });
  using file = devNull();
  const command = uringCmd({ fd: file.fd, cmd_op: 0 });
  await Promise.all(Array.from({ length: 100 }, () => ring.cmd(command)));
  assertEquals(ring.stats(), {
    enters: 1,
    submitted: 100,
    completions: 100,
    wakes: 0,
    overflows: 0,
    inFlight: 0,
    waiting: 0,
  });
});

Deno.test("concurrent loops share their system calls", async () => {
  await using ring = Ring.open({ entries: 128 });
  let left = 6400;
  await Promise.all(Array.from({ length: 64 }, async () => {
    while (left-- > 0) await ring.cmd(op.nop());
  }));
  assertLess(ring.stats().enters, 6400 / 64 * 1.5);
});

Deno.test("a ring takes more commands in one turn than it has SQEs", async () => {
  await using ring = Ring.open({ entries: 4 });
  const many = Array.from({ length: 1000 }, () => ring.cmd(op.nop()));
  assertEquals(await Promise.all(many), Array(1000).fill(0));
});

Deno.test("commands that complete at once do not starve the event loop", async () => {
  await using ring = Ring.open();
  let timers = 0;
  const timer = setInterval(() => timers++, 1);
  const start = performance.now();
  while (timers <= 5) {
    assertLess(performance.now() - start, 30_000);
    await ring.cmd(op.nop());
  }
  clearInterval(timer);
});

Deno.test("more commands than the CQ holds wait in order", async () => {
  await using ring = Ring.open({ entries: 4, cqEntries: 8 });
  const order: number[] = [];
  const all = Array.from(
    { length: 50 },
    (_, i) => ring.cmd(op.timeout(1)).then(() => order.push(i)),
  );
  assertGreater(ring.stats().waiting, 30);
  assertLess(ring.stats().inFlight, 9);
  await Promise.all(all);
  // Timers that end together complete in any order, but at most 8 are in flight,
  // so that none can overtake more than those.
  order.forEach((command, place) => assertLess(command, place + 8));
  assertEquals(order.toSorted((a, b) => a - b), all.map((_, i) => i));
  assertEquals(ring.stats().waiting, 0);
});

Deno.test("cmdAllSync runs more commands than the ring holds", async () => {
  await using ring = Ring.open({ entries: 4, cqEntries: 8 });
  assertEquals(ring.cmdAllSync(Array(1000).fill(op.nop())).length, 1000);
  assertEquals(ring.cmdAllSync([]), []);
});

Deno.test("cmdAllSync throws the first error once all commands have completed", async () => {
  await using ring = Ring.open();
  using pair = pipe();
  using file = devNull();
  const fine = uringCmd({ fd: file.fd, cmd_op: 0 });
  const bad = uringCmd({ fd: pair.left, cmd_op: 0, name: "FIRST" });
  const closed = op.fsync(2 ** 31 - 1);
  const error = assertThrows(
    () => ring.cmdAllSync([fine, bad, closed, fine]),
    UringError,
  );
  assertEquals(error.op, "URING_CMD FIRST");
  assertEquals(error.code, "EOPNOTSUPP");
  assertEquals(ring.stats().completions, 4);
  assertEquals(ring.stats().inFlight, 0);
});

Deno.test("cmdSync waits for its command, and settles others that complete meanwhile", async () => {
  await using ring = Ring.open();
  const order: string[] = [];
  const first = ring.cmd(op.timeout(5)).then(() => order.push("awaited"));
  const start = performance.now();
  ring.cmdSync(op.timeout(20));
  order.push("sync");
  assertGreater(performance.now() - start, 18);
  await first;
  assertEquals(order, ["sync", "awaited"]);
  assertEquals(ring.stats().inFlight, 0);
});

testUnless(
  lacksFlag("SQPOLL"),
  "a submission thread gets every command that waited for room",
  async () => {
    for (let round = 0; round < 20; round++) {
      await using ring = Ring.open({ entries: 8, sqpoll: { idleMs: 1 } });
      assertEquals(await ring.cmd(op.nop()), 0);
      for (let i = 0; i < 10; i++) {
        assertEquals(ring.cmdAllSync(Array(20).fill(op.nop())).length, 20);
      }
      const many = Array.from({ length: 500 }, () => ring.cmd(op.nop()));
      assertEquals((await Promise.all(many)).length, 500);
    }
  },
);

Deno.test("a receive completes with data that arrives after 50 ms", async () => {
  await using ring = Ring.open();
  using pair = tcpPair();
  const buffer = ring.alloc(64);
  const start = performance.now();
  setTimeout(() => writeSync(pair.left, "fifty"), 50);
  assertEquals(await ring.cmd(op.recv(pair.right, buffer)), 5);
  assertGreater(performance.now() - start, 45);
  assertEquals(textOf(buffer.subarray(0, 5)), "fifty");
  assertGreater(ring.stats().wakes, 0);
});

for (
  const [what, spin, msPerLook, wakes] of [
    ["the ring spins during a brief wait", true, 0, 1],
    ["the ring sleeps during a longer wait", true, 1, 5],
    ["a ring without `spin` sleeps during each wait", false, 0, 5],
  ] as const
) {
  Deno.test(`after a first wait, ${what}`, async () => {
    await using ring = Ring.open({ spin });
    using ends = pipe();
    let now = 1;
    using _clock = stub(performance, "now", () => now += msPerLook);
    for (let i = 0; i < 5; i++) {
      const readable = ring.cmd(op.poll(ends.left, { events: op.POLLIN }));
      await turn();
      writeSync(ends.right, "x");
      await readable;
      assertEquals(ring.cmdSync(op.read(ends.left, new Uint8Array(1))), 1);
    }
    assertEquals(ring.stats().wakes, wakes);
  });
}

Deno.test("thousands of later completions all arrive", async () => {
  await using ring = Ring.open({ entries: 32, cqEntries: 64 });
  const delays = Array.from({ length: 3000 }, (_, i) => i % 7);
  await Promise.all(delays.map((delay) => ring.cmd(op.timeout(delay))));
  assertEquals(ring.stats().inFlight, 0);
});

Deno.test("a completion that overflowed the CQ is flushed and delivered", async () => {
  await using ring = Ring.open({ entries: 2, cqEntries: 4 });
  await using sender = Ring.open();
  using strays = reportedErrors();
  using pair = pipe();
  const reads = [1, 2, 3].map(() =>
    ring.cmd(op.read(pair.left, ring.alloc(1)))
  );
  await turn();
  // These fill the CQ while this thread does not reap it, so that the kernel has
  // to keep the completions of the reads in its overflow list.
  sender.cmdAllSync([1, 2, 3, 4].map((i) => message(ring, 0, i)));
  for (let i = 0; i < 3; i++) writeSync(pair.right, "x");
  assertEquals(await Promise.all(reads), [1, 1, 1]);
  assertGreater(ring.stats().overflows, 0);
  await until(() => strays.errors.length === 4);
});

// ---- Abort -------------------------------------------------------------------

Deno.test("a signal in the place of the options is refused", async () => {
  await using ring = Ring.open();
  const { signal } = new AbortController();
  const wrong = signal as unknown as { signal: AbortSignal };
  const told = "options is an AbortSignal: pass { signal }";
  await assertRejects(() => ring.cmd(op.nop(), wrong), TypeError, told);
});

Deno.test("a command whose signal was already aborted never reaches the kernel", async () => {
  await using ring = Ring.open();
  const reason = new Error("not today");
  const signal = AbortSignal.abort(reason);
  const error = await assertRejects(() => ring.cmd(op.nop(), { signal }));
  assertEquals(error, reason);
  assertThrows(
    () =>
      ring.stream(
        new Command<number>({ name: "x", opcode: 6, multishot: true }),
        { signal },
      ),
    Error,
    "not today",
  );
  for (const promise of ring.link([op.nop(), op.nop()], { signal })) {
    assertEquals(await assertRejects(() => promise), reason);
  }
  assertEquals(ring.stats().submitted, 0);
});

Deno.test("aborting a command in flight cancels it in the kernel", async () => {
  await using ring = Ring.open();
  using pair = pipe();
  const abort = new AbortController();
  const read = ring.cmd(op.read(pair.left, new Uint8Array(4)), abort);
  const other = ring.cmd(op.timeout(30));
  await turn();
  abort.abort();
  const error = await assertRejects(() => read, DOMException);
  assertEquals(error.name, "AbortError");
  await other;
  assertEquals(ring.stats().inFlight, 0);
});

Deno.test("aborting a command in the turn that queued it cancels it", async () => {
  await using ring = Ring.open();
  using pair = pipe();
  const abort = new AbortController();
  const read = ring.cmd(op.read(pair.left, new Uint8Array(4)), abort);
  abort.abort(new Error("at once"));
  await assertRejects(() => read, Error, "at once");
});

Deno.test("a command aborted while it waits for room never reaches the kernel", async () => {
  await using ring = Ring.open({ entries: 1, cqEntries: 2 });
  const first = Array.from({ length: 4 }, () => ring.cmd(op.timeout(10)));
  const abort = new AbortController();
  const waiting = ring.cmd(op.timeout(60_000), abort);
  const last = ring.cmd(op.timeout(1));
  assertGreater(ring.stats().waiting, 1);
  abort.abort(new Error("left the queue"));
  await assertRejects(() => waiting, Error, "left the queue");
  await Promise.all([...first, last]);
  assertEquals(ring.stats().submitted, 5);
});

Deno.test("a command that was faster than its abort keeps its result", async () => {
  await using ring = Ring.open();
  const abort = new AbortController();
  const nop = ring.cmd(op.nop(), abort);
  abort.abort();
  assertEquals(await nop, 0);
  const done = ring.cmd(op.nop(), { signal: new AbortController().signal });
  assertEquals(await done, 0);
});

Deno.test("aborting a completed command leaves the next command in its slot alone", async () => {
  await using ring = Ring.open();
  const abort = new AbortController();
  await ring.cmd(op.nop(), abort);
  const next = ring.cmd(op.timeout(10));
  abort.abort();
  await next;
  assertEquals(ring.stats().submitted, 2);
});

Deno.test("a storm of aborts settles each command once", async () => {
  await using ring = Ring.open({ entries: 64, cqEntries: 128 });
  using pair = pipe();
  const buffer = ring.alloc(16);
  let settled = 0;
  const all = Array.from({ length: 5000 }, (_, i) => {
    const abort = new AbortController();
    const kind = i % 3;
    const command = kind === 0
      ? op.read(pair.left, buffer)
      : kind === 1
      ? op.timeout(i % 11)
      : op.nop();
    const run = ring.cmd<unknown>(command, abort).then(
      () => settled++,
      (error) => {
        assertEquals(error.name, "AbortError");
        settled++;
      },
    );
    if (kind === 0 || i % 2) setTimeout(() => abort.abort(), i % 13);
    return run;
  });
  await Promise.all(all);
  assertEquals(settled, 5000);
  assertEquals(ring.stats().inFlight, 0);
  assertEquals(ring.stats().waiting, 0);
});

// ---- Links -------------------------------------------------------------------

Deno.test("linked commands run one after another", async () => {
  await using ring = Ring.open();
  using pair = pipe();
  const buffer = ring.alloc(8);
  const [wrote, read] = ring.link([
    op.write(pair.right, utf8("chain")),
    op.read(pair.left, buffer),
  ]);
  assertEquals(await Promise.all([wrote, read]), [5, 5]);
  assertEquals(textOf(buffer.subarray(0, 5)), "chain");
});

Deno.test("a failure in a chain cancels what follows it", async () => {
  await using ring = Ring.open();
  using pair = pipe();
  const chain = ring.link([
    op.nop(),
    uringCmd({ fd: pair.left, cmd_op: 1 }),
    op.nop(),
    op.nop(),
  ]);
  assertEquals(await outcomes([...chain]), [
    0,
    "EOPNOTSUPP",
    "ECANCELED",
    "ECANCELED",
  ]);
  const because = "A command before it in its chain failed";
  await assertRefused(chain[3], "ECANCELED", because);
});

Deno.test("the program's own explanation of a cancelled command stays", async () => {
  await using ring = Ring.open();
  const advice = () => "the program's own";
  const [first, second] = ring.link([
    op.openat("/nope/file"),
    new Command({ name: "NOP", opcode: 0, advice }),
  ]);
  await assertRefused(first, "ENOENT");
  await assertRefused(second, "ECANCELED", "the program's own");
});

Deno.test("a link timeout bounds the command before it", async () => {
  await using ring = Ring.open();
  using pair = pipe();
  const read = op.read(pair.left, ring.alloc(8));
  const [first, ranOut] = await Promise.allSettled(
    ring.link([read, op.linkTimeout(10)]),
  );
  assertEquals(first.status, "rejected");
  assertEquals(ranOut, { status: "fulfilled", value: true });
});

Deno.test("a chain that waits for room reaches the kernel in one piece", async () => {
  await using ring = Ring.open({ entries: 4, cqEntries: 8 });
  const busy = Array.from({ length: 20 }, () => ring.cmd(op.timeout(2)));
  const chains = Array.from(
    { length: 10 },
    () => Promise.all(ring.link([op.nop(), op.nop(), op.nop(), op.nop()])),
  );
  await Promise.all([...busy, ...chains]);
  assertEquals(await Promise.all(ring.link([])), []);
});

Deno.test("a chain longer than the ring is refused, and none of it runs", async () => {
  await using ring = Ring.open({ entries: 4, cqEntries: 4 });
  const promises = ring.link([1, 2, 3, 4, 5].map(() => op.nop()));
  assertEquals(promises.length, 5);
  for (const promise of promises) {
    await assertRejects(() => promise, RangeError, "5 commands");
  }
  assertEquals(ring.stats().submitted, 0);
});

Deno.test("a waiting chain that is aborted never runs", async () => {
  await using ring = Ring.open({ entries: 2, cqEntries: 2 });
  const busy = [1, 2, 3, 4].map(() => ring.cmd(op.timeout(10)));
  const abort = new AbortController();
  const chain = ring.link([op.nop(), op.timeout(1)], abort);
  abort.abort();
  for (const promise of chain) await assertRejects(() => promise, DOMException);
  await Promise.all(busy);
  assertEquals(ring.stats().submitted, 4);
});

// ---- Streams -----------------------------------------------------------------

/** Makes a multishot poll, which completes each time that data arrives. */
function pollMany(file: number, rest: Partial<CommandSpec<number>> = {}) {
  return new Command<number>({
    name: "POLL_ADD multishot",
    opcode: uapi.IORING_OP_POLL_ADD,
    file,
    len: uapi.IORING_POLL_ADD_MULTI,
    opFlags: op.POLLIN,
    multishot: true,
    ...rest,
  });
}

Deno.test("leaving a stream cancels its command, and waits until the kernel has completed it", async () => {
  await using ring = Ring.open();
  using pair = unixPair();
  const command = pollMany(pair.right);
  writeSync(pair.left, "x");
  for await (const events of ring.stream(command)) {
    assert(events & op.POLLIN);
    break;
  }
  assertEquals(ring.stats().inFlight, 0);

  const abort = new AbortController();
  const stream = ring.stream(command, abort);
  assertEquals((await stream.next()).done, false);
  abort.abort(new Error("enough"));
  await assertRejects(() => stream.next(), Error, "enough");
  assertEquals(await stream.next(), { done: true, value: undefined });
});

Deno.test("a decoder that throws ends its stream only", async () => {
  await using ring = Ring.open();
  using pair = unixPair();
  const command = pollMany(pair.right, {
    decode: () => {
      throw new Error("cannot decode");
    },
  });
  const stream = ring.stream(command);
  writeSync(pair.left, "x");
  await assertRejects(() => stream.next(), Error, "cannot decode");
  writeSync(pair.left, "x");
  assertEquals(await ring.cmd(op.nop()), 0);
  await until(() => ring.stats().inFlight === 0);
});

Deno.test("cmd() refuses multishot commands, and stream() all others", async () => {
  await using ring = Ring.open();
  assertThrows(() => ring.stream(op.nop()), TypeError, "ring.cmd()");
  const many = new Command({ name: "MANY", opcode: 6, multishot: true });
  await assertRejects(() => ring.cmd(many), TypeError, "ring.stream()");
  assertThrows(() => ring.cmdSync(many), TypeError, "ring.stream()");
});

// ---- Tables ---------------------------------------------------------------------

Deno.test("a registered file outlives its descriptor, and is gone when unregistered", async () => {
  await using ring = Ring.open();
  const file = devNull();
  const [fixed] = ring.registerFiles([file.fd]);
  file.close();
  assertEquals(await ring.cmd(uringCmd({ fd: fixed, cmd_op: 3 })), 0);
  ring.unregisterFiles();
  const command = uringCmd({ fd: fixed, cmd_op: 3 });
  await assertRejects(() => ring.cmd(command), TypeError, "table of files");
  await using other = Ring.open();
  other.registerFiles([0]);
  await assertRejects(() => other.cmd(command), TypeError, "table of files");
});

Deno.test("a table cannot be unregistered while queued or running commands use it", async () => {
  await using ring = Ring.open();
  using pair = pipe();
  const [file] = ring.registerFiles([pair.left]);
  const bytes = ring.alloc(8);
  const [buffer] = ring.registerBuffers([bytes]);
  const read = ring.cmd(op.read(file, bytes, { buffer }));
  // The command is only queued: the kernel would look it up in the next table.
  assertThrows(() => ring.unregisterFiles(), TypeError, "READ_FIXED");
  await turn();
  assertThrows(() => ring.unregisterBuffers(), TypeError, "READ_FIXED");
  writeSync(pair.right, "x");
  assertEquals(await read, 1);
  ring.unregisterFiles();
  ring.unregisterBuffers();
});

Deno.test("the error for a second table of files says to unregister the first", async () => {
  await using ring = Ring.open();
  ring.registerFiles([0]);
  const error = assertThrows(() => ring.registerFiles([0]), UringError);
  assertEquals(error.code, "EBUSY");
  assertStringIncludes(error.message, "Unregister it first");
  assertThrows(() => ring.registerFiles([NaN]), RangeError);
  assertThrows(() => ring.registerFiles([]), RangeError);
});

Deno.test("only memory of ring.alloc() can be registered", async () => {
  await using ring = Ring.open();
  const own = new Uint8Array(4096);
  assertThrows(() => ring.registerBuffers([own]), TypeError, "ring.alloc()");
  const bytes = ring.alloc(4096);
  const [buffer] = ring.registerBuffers([bytes]);
  using pair = pipe();
  writeSync(pair.right, "fixed");
  assertEquals(await ring.cmd(op.read(pair.left, bytes, { buffer })), 5);
  ring.unregisterBuffers();
  const read = op.read(pair.left, bytes, { buffer });
  await assertRejects(() => ring.cmd(read), TypeError, "table of buffers");
});

Deno.test("a subarray is registered from its own first byte", async () => {
  await using ring = Ring.open();
  using pair = pipe();
  const bytes = ring.alloc(65536).subarray(100, 200);
  const [buffer] = ring.registerBuffers([bytes]);
  writeSync(pair.right, "x".repeat(100));
  assertEquals(await ring.cmd(op.read(pair.left, bytes, { buffer })), 100);
  assertEquals([bytes[0], bytes[99]], [0x78, 0x78]);
});

// ---- Bad input -------------------------------------------------------------------

Deno.test("a value that is no command is refused", async () => {
  await using ring = Ring.open();
  // deno-lint-ignore no-explicit-any
  for (const bad of [undefined, null, 7, "nop", {}, () => {}] as any[]) {
    await assertRejects(() => ring.cmd(bad), TypeError, "not a command");
    assertThrows(() => ring.cmdSync(bad), TypeError, "not a command");
  }
  assertEquals(ring.stats().submitted, 0);
});

Deno.test("a batch with one bad command queues none", async () => {
  await using ring = Ring.open();
  const gone = new Uint8Array(8);
  const write = op.write(1, gone);
  gone.buffer.transfer();
  assertThrows(() => ring.cmdAllSync([op.nop(), write]), TypeError, "detached");
  await Promise.allSettled(ring.link([op.nop(), write]));
  assertEquals(ring.stats().submitted, 0);
  // The other command of the batch no longer counts as a user of the file.
  const [file] = ring.registerFiles([0]);
  const read = op.read(file, new Uint8Array(1));
  assertThrows(() => ring.cmdAllSync([read, write]), TypeError, "detached");
  ring.unregisterFiles();
  assertEquals(await ring.cmd(op.nop()), 0);
});

Deno.test("a command runs on no file that a precheck has put in the place of its own", async () => {
  await using ring = Ring.open();
  using first = pipe();
  using second = pipe();
  writeSync(first.right, "1");
  writeSync(second.right, "2");
  const memory = ring.alloc(8);
  const precheck = () => {
    ring.unregisterFiles();
    ring.registerFiles([second.left]);
  };
  const swap = new Command<number>({
    name: "SWAP",
    opcode: uapi.IORING_OP_NOP,
    precheck,
  });
  for (
    const run of [
      (read) => ring.cmdAll([read, swap]),
      (read) => Promise.all(ring.link([read, swap])),
      // deno-lint-ignore require-await
      async (read) => ring.cmdAllSync([read, swap]),
      // Its own precheck does it.
      (_, file) =>
        ring.cmd(
          new Command({
            name: "READ",
            opcode: uapi.IORING_OP_READ,
            file,
            precheck,
          }),
        ),
    ] as ((read: Command<number>, file: FileRef) => Promise<unknown>)[]
  ) {
    const [file] = ring.registerFiles([first.left]);
    const read = op.read(file, memory);
    await assertRejects(() => run(read, file), TypeError, "names a file");
    ring.unregisterFiles();
  }
  assertEquals([memory[0], ring.stats().submitted], [0, 0]);
});

Deno.test("a descriptor that is not open is EBADF", async () => {
  await using ring = Ring.open();
  const error = await assertRejects(
    () => ring.cmd(uringCmd({ fd: 2 ** 31 - 1, cmd_op: 0 })),
    UringError,
  );
  assertEquals(error.code, "EBADF");
  assertEquals(error.errno, 9);
  assertEquals(error.fd, 2 ** 31 - 1);
  assertInstanceOf(error, Error);
});

Deno.test("posting a ring to a worker throws an error that says to open one there", async () => {
  await using ring = Ring.open();
  const source = "self.onmessage = () => {}";
  const url = URL.createObjectURL(new Blob([source]));
  const worker = new Worker(url, { type: "module" });
  try {
    assertThrows(() => worker.postMessage(ring), TypeError, "opens its own");
    assertThrows(() => structuredClone({ ring }), Error, "opens its own");
  } finally {
    worker.terminate();
  }
});

// ---- Closing ---------------------------------------------------------------------

Deno.test("a closed ring refuses commands, and closes once", async () => {
  const ring = Ring.open();
  const closing = ring.close();
  assertEquals(ring.close(), closing);
  await closing;
  await assertRejects(() => ring.cmd(op.nop()), TypeError, "closed");
  assertThrows(() => ring.cmdSync(op.nop()), TypeError, "closed");
  assertThrows(() => ring.registerFiles([0]), TypeError, "closed");
  await ring.close();
});

Deno.test("closing cancels the commands in flight, and waits for them", async () => {
  const ring = Ring.open({ entries: 2, cqEntries: 4 });
  using pair = pipe();
  const reads = Array.from({ length: 10 }, () => {
    const read = ring.cmd(op.read(pair.left, new Uint8Array(8)));
    return assertRejects(() => read, DOMException, "closed");
  });
  await turn();
  await ring.close();
  await Promise.all(reads);
});

Deno.test("a decoder may close the ring it runs on", async () => {
  const ring = Ring.open();
  let closing: Promise<void> | undefined;
  const command = new Command({
    name: "NOP",
    opcode: 0,
    decode: ({ res }) => {
      closing = ring.close();
      return res;
    },
  });
  assertEquals(await ring.cmd(command), 0);
  await closing;
});

for (const way of WAYS) {
  Deno.test(`rings that ${way} wakes leave no descriptor and no mapping once closed`, async () => {
    using _way = take(way);
    const rings = () =>
      Deno.readTextFileSync("/proc/self/maps").split("io_uring").length;
    async function cycle(): Promise<void> {
      await using ring = Ring.open({ sqe128: true });
      await ring.cmd(op.timeout(0));
    }
    await cycle();
    const [fds, maps] = [openFdCount(), rings()];
    for (let i = 0; i < 50; i++) await cycle();
    // node:net closes the waker's socket in a later turn of the event loop.
    await until(() => openFdCount() <= fds && rings() <= maps);
  });
}

Deno.test("64 rings on one thread do not disturb each other", async () => {
  const rings = Array.from({ length: 64 }, () => Ring.open({ entries: 4 }));
  const results = rings.map((ring, i) => ring.cmd(op.timeout(i % 8)));
  await Promise.all(results);
  assertEquals(rings.map((ring) => ring.cmdSync(op.nop())), Array(64).fill(0));
  await Promise.all(rings.map((ring) => ring.close()));
});

// ---- Failing system calls ----------------------------------

for (const [name, errno] of Object.entries({ EINTR, EAGAIN, EBUSY })) {
  Deno.test(`a ring retries io_uring_enter() after ${name}`, async () => {
    await using ring = Ring.open({ entries: 4 });
    let calls = 0;
    using _refused = refuseEnter(() => calls++ % 3 === 2 ? undefined : errno);
    const many = Array.from({ length: 50 }, () => ring.cmd(op.nop()));
    assertEquals(await Promise.all(many), Array(50).fill(0));
    assertEquals(ring.cmdSync(op.nop()), 0);
  });
}

Deno.test("a short submit is resumed, and no command runs twice", async () => {
  await using ring = Ring.open({ entries: 16 });
  const real = libc().symbols.enter;
  using _short = stub(
    libc().symbols,
    "enter",
    (nr, fd, toSubmit, ...rest) => real(nr, fd, Math.min(toSubmit, 3), ...rest),
  );
  using pair = pipe();
  const byte = new Uint8Array(1);
  const writes = Array.from(
    { length: 40 },
    () => ring.cmd(op.write(pair.right, byte)),
  );
  assertEquals(await Promise.all(writes), Array(40).fill(1));
  assertEquals(ring.cmdSync(op.read(pair.left, new Uint8Array(100))), 40);
});

Deno.test("a bad SQE fails alone, even where the kernel stops submitting at it", async () => {
  using _refused = refuseSetupFlags(uapi.IORING_SETUP_SUBMIT_ALL);
  await using ring = Ring.open();
  assertEquals(ring.flags.includes("SUBMIT_ALL"), false);
  const bad = new Command<number>({ name: "BAD", opcode: 255 });
  const results = await outcomes(
    [op.nop(), bad, op.nop(), bad, op.nop()].map((each) => ring.cmd(each)),
  );
  assertEquals(results, [0, "EINVAL", 0, "EINVAL", 0]);
});

Deno.test("a lost completion fails the ring and every command with EBADR", async () => {
  const ring = Ring.open();
  using pair = pipe();
  const reads = [1, 2, 3].map(() =>
    ring.cmd(op.read(pair.left, new Uint8Array(8)))
  );
  await turn();
  {
    using _lost = refuseEnter(() => EBADR);
    const nop = ring.cmd(op.nop());
    for (const promise of [...reads, nop]) {
      const error = await refusal(promise);
      assertEquals(error.code, "EBADR");
      assertStringIncludes(error.message, "lost");
    }
  }
  await assertRejects(() => ring.cmd(op.nop()), UringError, "EBADR");
  await ring.close();
});

Deno.test("a completion that belongs to no command is reported", async () => {
  await using ring = Ring.open();
  await using sender = Ring.open();
  using reported = reportedErrors();
  assertEquals(await sender.cmd(message(ring, 77n << 32n | 3n, 5)), 0);
  assertEquals(await ring.cmd(op.nop()), 0);
  await until(() => reported.errors.length > 0);
  assertStringIncludes(String(reported.errors[0]), "res 5 for no command");
});

Deno.test("a late completion does not reach the next command in its slot", async () => {
  await using ring = Ring.open();
  await using sender = Ring.open();
  using reported = reportedErrors();
  await ring.cmd(op.nop()); // In slot 0, generation 1.
  const abort = new AbortController();
  const pending = ring.cmd(op.timeout(600_000), abort); // In slot 0, generation 2.
  await turn();
  await sender.cmd(message(ring, 1n << 32n, 99));
  await until(() => reported.errors.length > 0);
  abort.abort();
  await assertRejects(() => pending, DOMException);
  assertEquals(reported.errors.length, 1);
});

Deno.test("what holds a ring can be written as JSON and shown, also once it is closed", async () => {
  const ring = Ring.open();
  const { fd } = ring;
  const check = (fd: number) => {
    const json = JSON.parse(JSON.stringify({ ring }));
    assertEquals(json.ring, { fd, flags: [...ring.flags], ...ring.stats() });
    assertStringIncludes(
      Deno.inspect({ ring }),
      `ring: Ring {\n    fd: ${fd},`,
    );
  };
  check(fd);
  await ring.close();
  check(-1);
});

testUnless(
  lacksFlag("SQPOLL"),
  "rings that share a submission thread link no commands",
  async () => {
    await using alone = Ring.open({ sqpoll: true });
    assertEquals(await Promise.all(alone.link([op.nop(), op.nop()])), [0, 0]);
    await using attached = Ring.open({ sqpoll: true, attach: alone });
    for (const ring of [alone, attached]) {
      for (const link of ring.link([op.nop(), op.nop()])) {
        await assertRejects(() => link, TypeError, "share a submission thread");
      }
      assertEquals(await ring.cmd(op.nop()), 0);
    }
    // Rings that share workers only may.
    await using other = Ring.open();
    await using workers = Ring.open({ attach: other });
    assertEquals(await Promise.all(workers.link([op.nop(), op.nop()])), [0, 0]);
  },
);

testUnless(
  lacksFlag("SQPOLL"),
  "a ring that was dropped is no longer known by its number",
  async () => {
    const dropped = (() => {
      const { fd } = Ring.open({ sqpoll: true });
      return fd;
    })();
    await until(() => {
      collect();
      return !descriptors("io_uring").includes(dropped);
    });
    const bare = setup({ entries: 4, flags: uapi.IORING_SETUP_SQPOLL });
    try {
      // Not by the queues of the ring that had the number.
      assertEquals(bare.fd, dropped);
      const attached = Ring.open({ sqpoll: true, attach: bare });
      assertEquals(await attached.cmd(op.nop()), 0);
      await attached.close();
    } finally {
      bare.close();
    }
  },
);

testUnless(
  lacksFlag("SQPOLL"),
  "a ring does not attach to a submission thread in the middle of a chain",
  async () => {
    await using alone = Ring.open({ sqpoll: true, entries: 8 });
    using ends = pipe();
    const poll = op.poll(ends.left, { events: op.POLLIN });
    // More than there is room for: the last chain waits.
    const chains = Array.from(
      { length: 3 },
      () => alone.link([poll, op.nop(), op.nop()]),
    );
    const attach = () => Ring.open({ sqpoll: true, attach: alone });
    assertThrows(
      attach,
      TypeError,
      "has not taken all commands of ring.link()",
    );
    assertEquals(await alone.cmd(op.nop()), 0);
    writeSync(ends.right, "x");
    for (const chain of chains) {
      assertEquals(await Promise.all(chain), [op.POLLIN, 0, 0]);
    }
    await attach().close();
  },
);

Deno.test("a command that is cut short before it is queued lets go of its file", async () => {
  await using ring = Ring.open();
  using node = devNull();
  const [file] = ring.registerFiles([node.fd]);
  {
    using _cut = stub(Queues.prototype, "enqueue", () => {
      throw new RangeError("cut short");
    });
    const command = ring.cmd(op.read(file, new Uint8Array(8)));
    await assertRejects(() => command, RangeError, "cut short");
  }
  await ring.cmd(op.nop());
  ring.unregisterFiles();
});

Deno.test("a table of files that are none, or of buffers of a wrong size, is refused with the cause", async () => {
  await using ring = Ring.open();
  await using other = Ring.open();
  for (const fd of [other.fd, 1_000_000]) {
    const message = "not open, or is that of a ring";
    assertThrows(() => ring.registerFiles([fd]), UringError, message);
  }
  const large = ring.alloc(2 ** 30 + 65536);
  for (const bytes of [large, large.subarray(0, 0)]) {
    const message =
      "a registered buffer must be an integer from 1 to 1073741824";
    assertThrows(() => ring.registerBuffers([bytes]), RangeError, message);
  }
});

Deno.test("a ring that polls says what it runs, if it refuses an operation", async () => {
  await using ring = Ring.open({ iopoll: true });
  const message = "A ring with iopoll runs only what can be polled";
  await assertRejects(() => ring.cmd(op.timeout(1)), UringError, message);
  await assertRejects(() => ring.cmdAll([op.fsync(0)]), UringError, message);
  // A read may have been refused for another reason.
  using none = devNull();
  const read = op.read(none.fd, new Uint8Array(8));
  const { message: said } = await refusal(ring.cmd(read));
  assertEquals(said.includes("can be polled"), false);
});

Deno.test("a table of more buffers than the kernel takes is refused by their number", async () => {
  await using ring = Ring.open();
  const buffers = Array(4097).fill(ring.alloc(8));
  const message = "number of buffers must be an integer from 1 to 4096";
  assertThrows(() => ring.registerBuffers(buffers), RangeError, message);
});

Deno.test("a closed ring has no descriptor, and none attaches to it", async () => {
  const closed = Ring.open({ sqpoll: true });
  const number = closed.fd;
  await closed.close();
  assertEquals(closed.fd, -1);
  await using other = Ring.open({ sqpoll: true });
  assertEquals(other.fd, number); // The number is another ring's by now.
  const message = "the ring to attach to is closed";
  for (
    const options of [{ sqpoll: true, attach: closed }, { attach: closed }]
  ) {
    assertThrows(() => Ring.open(options), TypeError, message);
  }
  // Which nothing was attached to.
  assertEquals(await Promise.all(other.link([op.nop(), op.nop()])), [0, 0]);
});

Deno.test("the longest chain of a ring runs, and one more is refused by that number", async () => {
  for (const [entries, cqEntries] of [[4, 4], [64, 64], [64, 128]]) {
    await using ring = Ring.open({ entries, cqEntries });
    const chain = await Promise.allSettled(
      ring.link(new Array(1000).fill(op.nop())),
    );
    const { reason } = chain[0] as PromiseRejectedResult;
    const longest = Number(/the longest has (\d+)/.exec(reason.message)![1]);
    const nops = new Array(longest).fill(op.nop());
    await Promise.all(ring.link(nops));
    const more = await Promise.allSettled(ring.link([...nops, op.nop()]));
    assertEquals(
      new Set(more.map(({ status }) => status)),
      new Set(["rejected"]),
    );
  }
});
