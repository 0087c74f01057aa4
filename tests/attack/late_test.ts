/**
 * The kernel writes late, and the program does something to the memory meanwhile.
 * The bytes arrive where the command asked for them, if that memory is still there.
 * Each command completes once, and no other memory changes.
 */

import {
  assertEquals,
  assertGreater,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { stub } from "@std/testing/mock";
import { Ring, UringError } from "../../mod.ts";
import { nop, write } from "../../cmd/op.ts";
import { give, take } from "../../ring/flight/pool.ts";
import { E } from "../../sys/uapi/errno.ts";
import { open } from "../../sys/file.ts";
import { IORING_OP_READ, IOSQE_ASYNC } from "../../sys/uapi/io_uring.ts";
import { libc } from "../../sys/libc.ts";
import { arenaOf } from "../../sys/arena.ts";
import { devNull, Fd } from "../kit/fds.ts";
import { runDeno, runScript } from "../kit/run.ts";
import { testUnless } from "../kit/skip.ts";
import { turn, until } from "../kit/wait.ts";
import { AccessGate, missing as missingGate } from "./late/access_gate.ts";
import type { Report } from "./late/terminate.ts";
import { LATE, LENGTH, WAYS } from "./late/writers.ts";
import { filling } from "./late/filling.ts";
import { pressure, testAttacks } from "./late/assault.ts";
import { memoryAt, Page, pageOf } from "./late/pages.ts";

WAYS.forEach(testAttacks);

// ---- Rings that end ------------------------------------------------------------

testUnless(
  missingGate,
  "the kernel writes after its ring has failed and has become unreachable",
  async () => {
    const path = await Deno.makeTempFile();
    await Deno.writeFile(path, new Uint8Array(2 * LENGTH).fill(LATE));
    using gate = new AccessGate(path);
    using file = new Fd(open(path));
    await assertWrittenLate(await abandoned(file.fd, gate), gate);
    await Deno.remove(path);
  },
);

testUnless(
  missingGate,
  "the kernel writes after its ring has failed in a batch",
  async () => {
    const path = await Deno.makeTempFile();
    await Deno.writeFile(path, new Uint8Array(2 * LENGTH).fill(LATE));
    using gate = new AccessGate(path);
    using file = new Fd(open(path));
    for (const slots of [false, true]) {
      for (const blocks of [false, true]) {
        const places = await failedBatch(file.fd, gate, { slots, blocks });
        await assertWrittenLate(places, gate);
      }
    }
    await Deno.remove(path);
  },
);

/** Lets two reads go on, and asserts that the kernel writes their memory, not others'. */
async function assertWrittenLate(
  places: readonly number[],
  gate: AccessGate,
): Promise<void> {
  for (let i = 0; i < 5; i++) await pressure();
  // Other memory would be mapped there now, and the bytes have not arrived yet.
  assertEquals(places.map((at) => Page.at(pageOf(at))), [null, null]);
  const filled = (at: number) =>
    memoryAt(at, LENGTH).every((byte) => byte === LATE);
  assertEquals(places.map(filled), [false, false]);
  await gate.allow(2);
  await until(() => places.every(filled));
}

/**
 * Returns the addresses of memory of a batch whose ring fails while it waits. Where
 * that `blocks` the thread, V8 was seen to keep the memory even if the ring does not.
 */
async function failedBatch(
  fd: number,
  gate: AccessGate,
  { slots, blocks }: { slots: boolean; blocks: boolean },
): Promise<number[]> {
  const ring = Ring.open();
  const memory = [ring.alloc(LENGTH), ring.alloc(LENGTH)];
  const commands = memory.map((bytes) =>
    filling(IORING_OP_READ, fd, bytes, IOSQE_ASYNC)
  );
  // A command whose memory is copied has a slot, and so has its batch.
  using none = devNull();
  if (slots) commands.push(write(none.fd, new Uint8Array(1)));
  const { symbols, errno } = libc();
  const { enter } = symbols;
  let calls = 0;
  const failing = (...args: Parameters<typeof enter>) => {
    if (calls++ === 0) return enter(...args);
    errno[0] = E.EBADF;
    return -1;
  };
  {
    using _enter = stub(symbols, "enter", failing);
    if (blocks) {
      assertThrows(() => ring.cmdAllSync(commands), UringError, "EBADF");
    } else {
      const outcome = ring.cmdAll(commands);
      await turn();
      for (const each of [outcome, ring.cmd(nop())]) {
        await assertRejects(() => each, UringError, "EBADF");
      }
    }
  }
  const places = memory.map(({ buffer }) => arenaOf(buffer)!.address);
  await gate.hold(2);
  await ring.close();
  return places;
}

/** Returns the addresses of memory that a failed ring has to keep. */
async function abandoned(fd: number, gate: AccessGate): Promise<number[]> {
  const ring = Ring.open();
  const own = ring.alloc(LENGTH);
  // The largest blocks lie in an arena alone: no other keeps it.
  const plain = new Uint8Array(1 << 20);
  const block = take(plain.length);
  give(block);
  const outcomes = [own, plain].map((bytes) =>
    ring.cmd(filling(IORING_OP_READ, fd, bytes, IOSQE_ASYNC))
  );
  outcomes.forEach((outcome) => outcome.catch(() => {}));
  await ring.cmd(nop());
  await gate.hold(2);
  // The addresses may change once no command uses them.
  const places = [arenaOf(own.buffer)!.address, block.address];
  {
    using _enter = stub(libc().symbols, "enter", () => {
      libc().errno[0] = E.EOWNERDEAD;
      return -1;
    });
    await assertRejects(() => ring.cmd(nop()), UringError, "EOWNERDEAD");
  }
  for (const outcome of outcomes) await assertRejects(() => outcome);
  await ring.close();
  return places;
}

Deno.test("a command completes on an unreachable ring", async () => {
  const { stdout, stderr } = await runScript(
    `
    import { Ring } from "@uring/mod.ts";
    import { poll, POLLIN, read } from "@uring/cmd/op.ts";
    import { pipe, writeSync } from "@uring/tests/kit/fds.ts";
    import { descriptors } from "@uring/tests/kit/process.ts";
    import { collect, turn, until } from "@uring/tests/kit/wait.ts";
    const pair = pipe();
    const bytes = new Uint8Array(5);
    const read5 = (() => Ring.open().cmd(read(pair.left, bytes)))();
    const other = pipe();
    const ready = poll(other.left, { events: POLLIN });
    const batch = (() => Ring.open().cmdAll([ready, ready]))();
    for (let i = 0; i < 10; i++) {
      await turn();
      collect();
    }
    writeSync(pair.right, "there");
    console.log(await read5, new TextDecoder().decode(bytes));
    writeSync(other.right, "there");
    console.log(await batch);
    // Then the ring is closed.
    await until(() => descriptors("io_uring").length === 0);
  `,
    ["-A", "--v8-flags=--expose-gc"],
  );
  assertEquals([stdout, stderr], ["5 there\n[ 1, 1 ]\n", ""]);
});

for (
  const [who, order] of [
    ["the thread of a worker", { sqpoll: false, flags: 0 }],
    ["a worker of the kernel", { sqpoll: false, flags: IOSQE_ASYNC }],
    ["a submission thread", { sqpoll: true, flags: 0 }],
    ["a worker of a submission thread", { sqpoll: true, flags: IOSQE_ASYNC }],
  ] as const
) {
  Deno.test(`${who} writes after the worker was terminated, and changes no other memory`, async () => {
    const script = new URL("./late/terminate.ts", import.meta.url).pathname;
    const argument = JSON.stringify({ ...order, rounds: 5 });
    const { stdout, stderr } = await runDeno(["run", "-A", script, argument]);
    assertEquals(stderr, "");
    const report: Report = JSON.parse(stdout);
    // V8 has released the memory, and other memory took its place.
    assertGreater(report.taken, 0);
    assertEquals(report.broken, 0);
    if (order.sqpoll) {
      // The kernel has written late, to the address that it was given.
      assertGreater(report.late, 0);
      assertEquals(report.arrived, report.late);
    }
  });
}
