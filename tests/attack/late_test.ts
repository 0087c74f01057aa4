/**
 * The kernel writes late: what a program may do meanwhile to the memory it writes
 * to. The bytes arrive where they were asked for, if that is there still; each
 * command completes once; and nothing else is written to.
 */

import {
  assert,
  assertEquals,
  assertGreater,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { stub } from "@std/testing/mock";
import { Ring, UringError } from "../../mod.ts";
import { nop } from "../../cmd/op.ts";
import { give, take } from "../../ring/flight/pool.ts";
import { E } from "../../sys/uapi/errno.ts";
import { open } from "../../sys/file.ts";
import { IORING_OP_READ, IOSQE_ASYNC } from "../../sys/uapi/io_uring.ts";
import { libc } from "../../sys/libc.ts";
import { arenaOf } from "../../sys/arena.ts";
import { collect } from "../kit/wait.ts";
import { Fd } from "../kit/fds.ts";
import { reportedErrors, runDeno, runScript } from "../kit/process.ts";
import { testUnless } from "../kit/skip.ts";
import { turn, until } from "../kit/wait.ts";
import { AccessGate, missing as missingGate } from "./late/access_gate.ts";
import { type Attack, ATTACKS, type Home, Victim } from "./late/attacks.ts";
import { Canaries, CANARY } from "./late/canaries.ts";
import type { Report } from "./late/terminate.ts";
import { LATE, type LateWriter, LENGTH, type Way } from "./late/writers.ts";
import { filling } from "./late/filling.ts";
import { WAYS } from "./late/writers.ts";
import { memoryAt, Page, pageOf } from "./late/pages.ts";

const { EOWNERDEAD } = E;

/** A command in flight, and the memory it is about. */
interface Flight {
  readonly outcome: Promise<number>;
  /** The second of three parts is the command's. */
  whole: Uint8Array<ArrayBuffer> | null;
}

function begin(
  writer: LateWriter,
  { abort }: Victim,
  canaries: Canaries,
  own: boolean,
): Flight {
  const byteLength = 3 * LENGTH;
  canaries.surround(byteLength);
  const whole = own
    ? writer.ring.alloc(byteLength) as Uint8Array<ArrayBuffer>
    : new Uint8Array(
      new ArrayBuffer(byteLength, { maxByteLength: byteLength }),
    );
  canaries.surround(byteLength);
  if (own) canaries.fence(whole.buffer);
  new Uint8Array(whole.buffer).fill(CANARY);
  const bytes = whole.subarray(LENGTH, 2 * LENGTH);
  const outcome = writer.ring.cmd(writer.fill(bytes), abort);
  outcome.catch(() => {}); // It is looked at later.
  return { outcome, whole };
}

/** Attacks the memory, and lets go of it. */
function strike(
  flight: Flight,
  victim: Victim,
  attack: Attack,
  refused: boolean,
) {
  const { buffer } = flight.whole!;
  flight.whole = null;
  if (!refused) return attack.on(buffer, victim);
  assertThrows(() => attack.on(buffer, victim));
  return () => buffer;
}

/** Makes others want the memory of whatever is not used any more. */
async function pressure(): Promise<void> {
  for (let round = 0; round < 2; round++) {
    collect();
    for (let i = 0; i < 200; i++) new Uint8Array(3 * LENGTH).fill(0x11);
    await turn();
  }
}

/** What becomes of the command and its memory. */
async function expectations(
  { outcome }: Flight,
  home: Home,
  expected: Attack["plain"],
): Promise<void> {
  switch (expected) {
    case "arrives":
      assertEquals(await outcome, LENGTH);
      break;
    case "fails":
      await assertRejects(() => outcome, TypeError, "detached or made smaller");
      break;
    case "ends":
      await assertRejects(() => outcome, DOMException);
  }
  const buffer = await home();
  if (buffer === null) return;
  const is = new Uint8Array(buffer);
  const middle = expected === "arrives" ? LATE : CANARY;
  const right = is.every((byte, at) =>
    byte === (at >= LENGTH && at < 2 * LENGTH ? middle : CANARY)
  );
  assert(right, "the memory has other bytes than it should");
}

async function assault(way: Way, attack: Attack): Promise<void> {
  using reported = reportedErrors();
  using canaries = new Canaries(LENGTH);
  await using writer = await way.make();
  const { ring } = writer;
  using victim = new Victim(ring);
  const owns = [true, false];
  const flights = owns.map((own) => begin(writer, victim, canaries, own));
  // What was queued before this has been started when this has completed. A
  // drive could be done by then: its commands start after the attack.
  if (way.patient) await ring.cmd(nop());
  const homes = flights.map((flight, i) =>
    strike(flight, victim, attack, owns[i] && attack.refused === true)
  );
  await pressure();
  const ends = attack.plain === "ends" && way.cancellable;
  if (ends) await Promise.allSettled(flights.map(({ outcome }) => outcome));
  if (way.patient && !ends) assertEquals(ring.stats().inFlight, flights.length);
  await writer.fire();
  await Promise.allSettled(flights.map(({ outcome }) => outcome));
  for (const [i, flight] of flights.entries()) {
    const arrives = attack.plain === "ends" ? !ends : owns[i] && attack.refused;
    const expected = arrives ? "arrives" : attack.plain;
    await expectations(flight, homes[i], expected);
  }
  await ring.close();
  canaries.check();
  const { submitted, completions, inFlight } = ring.stats();
  assertEquals([completions, inFlight], [submitted, 0]);
  assertEquals(reported.errors, []);
}

for (const way of WAYS) {
  for (const attack of ATTACKS) {
    testUnless(
      way.missing,
      `${way.name} writes after ${attack.name}`,
      () => assault(way, attack),
    );
  }
}

// ---- Rings that end ------------------------------------------------------------

testUnless(
  missingGate,
  "the kernel writes after its ring has failed, and nobody refers to it",
  async () => {
    const path = await Deno.makeTempFile();
    await Deno.writeFile(path, new Uint8Array(2 * LENGTH).fill(LATE));
    using gate = new AccessGate(path);
    using file = new Fd(open(path));
    const places = await abandoned(file.fd, gate);
    for (let i = 0; i < 5; i++) await pressure();
    // Memory of others would be there now, and nothing is to begin with.
    assertEquals(places.map((at) => Page.at(pageOf(at))), [null, null]);
    const filled = (at: number) =>
      memoryAt(at, LENGTH).every((byte) => byte === LATE);
    assertEquals(places.map(filled), [false, false]);
    await gate.allow(2);
    await until(() => places.every(filled));
    await Deno.remove(path);
  },
);

/** Where a ring has memory that it cannot give back any more. */
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
  // While they are in use: they might be other addresses afterwards.
  const places = [arenaOf(own.buffer)!.address, block.address];
  {
    using _enter = stub(libc().symbols, "enter", () => {
      libc().errno[0] = EOWNERDEAD;
      return -1;
    });
    await assertRejects(() => ring.cmd(nop()), UringError, "EOWNERDEAD");
  }
  for (const outcome of outcomes) await assertRejects(() => outcome);
  await ring.close();
  return places;
}

Deno.test("a command completes on a ring that nobody refers to", async () => {
  const { stdout, stderr } = await runScript(
    `
    import { Ring } from "@uring/mod.ts";
    import { read } from "@uring/cmd/op.ts";
    import { pipe, writeSync } from "@uring/tests/kit/fds.ts";
    import { descriptors } from "@uring/tests/kit/process.ts";
    import { collect, turn, until } from "@uring/tests/kit/wait.ts";
    const pair = pipe();
    const bytes = new Uint8Array(5);
    const read5 = (() => Ring.open().cmd(read(pair.left, bytes)))();
    for (let i = 0; i < 10; i++) {
      await turn();
      collect();
    }
    writeSync(pair.right, "there");
    console.log(await read5, new TextDecoder().decode(bytes));
    // Then it is closed, and the waker's, too.
    await until(() => descriptors("io_uring").length === 0);
  `,
    ["-A", "--v8-flags=--expose-gc"],
  );
  assertEquals([stdout, stderr], ["5 there\n", ""]);
});

for (
  const [who, order] of [
    ["the thread of a worker", { sqpoll: false, flags: 0 }],
    ["a worker of the kernel", { sqpoll: false, flags: IOSQE_ASYNC }],
    ["a submission thread", { sqpoll: true, flags: 0 }],
    ["a worker of a submission thread", { sqpoll: true, flags: IOSQE_ASYNC }],
  ] as const
) {
  Deno.test(`${who} writes after the worker was terminated, but to no memory of others`, async () => {
    const script = new URL("./late/terminate.ts", import.meta.url).pathname;
    const argument = JSON.stringify({ ...order, rounds: 5 });
    const { stdout, stderr } = await runDeno(["run", "-A", script, argument]);
    assertEquals(stderr, "");
    const report: Report = JSON.parse(stdout);
    // V8 has let go of the memory, and other memory was there.
    assertGreater(report.taken, 0);
    assertEquals(report.broken, 0);
    if (order.sqpoll) {
      // The kernel did write late, to where it was told to.
      assertGreater(report.late, 0);
      assertEquals(report.arrived, report.late);
    }
  });
}
