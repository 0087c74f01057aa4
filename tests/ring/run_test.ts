/** One run of a command on a kernel worker, and chains that go on after a failure. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Command, Ring, uringCmd } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import { Command as Made } from "../../ring/raw.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { devNull, pipe, writeSync } from "../kit/fds.ts";
import { outcome, outcomes } from "../kit/outcome.ts";
import { workers } from "../kit/process.ts";
import { lacksFlag, testUnless } from "../kit/skip.ts";
import { turn, until } from "../kit/wait.ts";

// ---- On a worker -----------------------------------------------------------------

Deno.test("a command with `async` runs on a worker, and one without does not", async () => {
  await using ring = Ring.open();
  using ends = pipe();
  const before = workers();
  const added = () => [...workers().keys()].filter((id) => !before.has(id));
  const read = op.read(ends.left, ring.alloc(8));
  const plain = ring.cmd(read);
  await turn();
  assertEquals(added(), []);
  const onWorker = ring.cmd(op.fsync(ends.left), { async: true });
  assertEquals(await outcome(onWorker), "EINVAL");
  // It may be one that an earlier ring of this thread has left.
  assert(workers().size > 0);
  writeSync(ends.right, "x");
  assertEquals(await plain, 1);
});

for (const options of [{}, { deferTaskrun: true }, { sqpoll: true }]) {
  const missing = "deferTaskrun" in options
    ? lacksFlag("DEFER_TASKRUN")
    : "sqpoll" in options
    ? lacksFlag("SQPOLL")
    : "";
  const shape = JSON.stringify(options);
  testUnless(
    missing,
    `commands with \`async\` have their results, on a ring opened with ${shape}`,
    async () => {
      await using ring = Ring.open(options);
      using ends = pipe();
      using node = devNull();
      const async = true;
      const into = ring.alloc(8);
      const own = new Uint8Array(8);
      assertEquals(await ring.cmd(op.nop(), { async }), 0);
      const command = uringCmd({ fd: node.fd, cmd_op: 3 });
      assertEquals(await ring.cmd(command, { async }), 0);
      for (const bytes of [into, own]) {
        const read = ring.cmd(op.read(ends.left, bytes), { async });
        writeSync(ends.right, "worker");
        assertEquals([await read, bytes[5]], [6, 0x72]);
      }
      const nops = Array.from({ length: 200 }, () => op.nop());
      const all = await ring.cmdAll(nops, { async });
      assertEquals(all, new Array(200).fill(0));
    },
  );
}

Deno.test("a command on a worker that waits is canceled by its signal", async () => {
  await using ring = Ring.open();
  using ends = pipe();
  const abort = new AbortController();
  const { signal } = abort;
  const read = op.read(ends.left, ring.alloc(8));
  const one = ring.cmd(read, { async: true, signal });
  const all = ring.cmdAll([read, op.nop()], { async: true, signal });
  const reason = new Error("enough");
  setTimeout(() => abort.abort(reason), 20);
  assertEquals(await one.catch((error) => error), reason);
  assertEquals(await all.catch((error) => error), reason);
});

Deno.test("`async` allows commands on a ring whose restrictions require it", async () => {
  const ring = Ring.open({ disabled: true });
  ring.restrict({ ops: [0], sqeFlagsRequired: uapi.IOSQE_ASYNC });
  assertEquals(await outcome(ring.cmd(op.nop())), "EACCES");
  assertEquals(await ring.cmd(op.nop(), { async: true }), 0);
  await ring.close();
});

Deno.test("options of the wrong kind are refused before anything is queued", async () => {
  await using ring = Ring.open();
  for (
    const options of [
      { async: 1 },
      { async: "false" },
      { async: null },
      { hard: 1 },
      { hard: null },
      { signal: {} },
      AbortSignal.abort(),
      7,
      null,
    ]
  ) {
    // deno-lint-ignore no-explicit-any
    const bad = options as any;
    await assertRejects(() => ring.cmd(op.nop(), bad), TypeError);
    await assertRejects(() => ring.cmdAll([op.nop()], bad), TypeError);
    for (const each of ring.link([op.nop(), op.nop()], bad)) {
      await assertRejects(() => each, TypeError);
    }
  }
  assertEquals(ring.stats().submitted, 0);
});

// ---- Chains ----------------------------------------------------------------------

const FAILS = op.read(2 ** 31 - 1, new Uint8Array(1));

Deno.test("a hard chain goes on after a failure, and another one does not", async () => {
  await using ring = Ring.open();
  const chain = [op.nop(), FAILS, op.nop(), FAILS, op.nop()];
  const soft = await outcomes(ring.link(chain));
  assertEquals(soft, [0, "EBADF", "ECANCELED", "ECANCELED", "ECANCELED"]);
  for (const hard of [false, undefined]) {
    assertEquals(await outcomes(ring.link(chain, { hard })), soft);
  }
  const all = await outcomes(ring.link(chain, { hard: true }));
  assertEquals(all, [0, "EBADF", 0, "EBADF", 0]);
});

Deno.test("a hard chain goes on after a short read, in order", async () => {
  await using ring = Ring.open();
  using first = pipe();
  using second = pipe();
  writeSync(first.right, "one");
  const into = ring.alloc(64);
  const chain = ring.link([
    op.read(first.left, into.subarray(0, 8)),
    op.write(second.right, into.subarray(0, 3)), // Only the read fills it.
    op.read(second.left, into.subarray(32, 40)),
  ], { hard: true });
  assertEquals(await Promise.all(chain), [3, 3, 3]);
  assertEquals([...into.subarray(32, 35)], [0x6f, 0x6e, 0x65]);
});

Deno.test("an SQE that the kernel refuses at once cancels a hard chain, and the error says so", async () => {
  await using ring = Ring.open();
  const unknown: Command<number> = new Made({ name: "UNKNOWN", opcode: 200 });
  const chain = ring.link([op.nop(), unknown, op.nop()], { hard: true });
  const results = await Promise.allSettled(chain);
  assertEquals(await outcomes(chain), ["ECANCELED", "EINVAL", "ECANCELED"]);
  const [{ reason }] = results as PromiseRejectedResult[];
  assert(reason.message.includes("refused a command of its chain"), reason);
});

Deno.test("a hard chain bounds the time of a command, and goes on", async () => {
  await using ring = Ring.open();
  using ends = pipe();
  const read = op.read(ends.left, ring.alloc(8));
  const chain = [read, op.linkTimeout(10), op.nop()] as const;
  const results = await outcomes(ring.link(chain, { hard: true }));
  assertEquals(results, ["ECANCELED", true, 0]);
});

Deno.test("an abort ends a hard chain, whose commands start all the same", async () => {
  await using ring = Ring.open();
  using ends = pipe();
  const abort = new AbortController();
  const reason = new Error("enough");
  const read = op.read(ends.left, ring.alloc(8));
  const chain = ring.link([read, op.read(ends.left, ring.alloc(8))], {
    hard: true,
    signal: abort.signal,
  });
  await turn();
  abort.abort(reason);
  const results = await Promise.allSettled(chain);
  for (const each of results) {
    assertEquals((each as PromiseRejectedResult).reason, reason);
  }
  await until(() => ring.stats().inFlight === 0);
});

Deno.test("a restricted ring needs IOSQE_IO_HARDLINK for a hard chain", async () => {
  for (const sqeFlagsAllowed of [0, uapi.IOSQE_IO_HARDLINK]) {
    const ring = Ring.open({ disabled: true });
    ring.restrict({ ops: [0], sqeFlagsAllowed });
    const chain = ring.link([op.nop(), op.nop()], { hard: true });
    const [first] = await outcomes(chain);
    assertEquals(first, sqeFlagsAllowed === 0 ? "EACCES" : 0);
    await ring.close();
  }
});
