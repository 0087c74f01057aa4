/**
 * Traps of the kernel's ABI. Each test shows the trap on the bare ring of a kernel
 * that has it, and that the library avoids it.
 */

import {
  assert,
  assertEquals,
  assertGreater,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { probe, Ring, uringCmd, UringError } from "../../mod.ts";
import {
  getsockoptSync,
  setsockopt,
  SO_SNDBUF,
  SOL_SOCKET,
} from "../../cmd/socket/mod.ts";
import { Engine } from "../../ring/loop/engine.ts";
import type { Queues } from "../../ring/flight/queues.ts";
import * as op from "../../cmd/op.ts";
import { link, type Receiver } from "../../ring/flight/slot.ts";
import * as raw from "../../ring/raw.ts";
import { E } from "../../sys/uapi/errno.ts";
import { version } from "../../sys/uname.ts";
import { devNull, pipe, tcpPair, writeSync } from "../kit/fds.ts";
import { lacksCommand, lacksFlag, testUnless } from "../kit/skip.ts";
import { until } from "../kit/wait.ts";

const { EINVAL } = E;

const kernel = probe();
const release = `Linux ${kernel.kernel}`;

// ---- Flags that a kernel is too old for --------------------------------------

/** The first kernel with each setup flag, as `version()` returns it. */
const SINCE: Readonly<Record<string, number>> = {
  CQE32: 5019,
  SINGLE_ISSUER: 6000,
  DEFER_TASKRUN: 6001,
  NO_SQARRAY: 6006,
  HYBRID_IOPOLL: 6013,
  CQE_MIXED: 6018,
  SQE_MIXED: 6019,
};

Deno.test(`${release} accepts the setup flags of its version`, () => {
  for (const [flag, since] of Object.entries(SINCE)) {
    // An older kernel may accept more: distributions backport flags.
    if (version() < since) continue;
    assert(kernel.setupFlags.includes(flag), flag);
  }
});

Deno.test(`a ring opens without the flags that ${release} lacks, and works`, async () => {
  for (const options of [{}, { mixed: true }, { sqe128: true, cqe32: true }]) {
    await using ring = Ring.open(options);
    for (const flag of ring.flags) {
      assert(kernel.setupFlags.includes(flag), flag);
    }
    assertEquals(await ring.cmd(op.nop()), 0);
  }
});

testUnless(
  version() < 6013 ? "" : "a kernel before 6.13",
  "the error of Ring.open() names a required flag that the kernel lacks",
  () => {
    const open = () => Ring.open({ iopoll: "hybrid" });
    const { code, message } = assertThrows(open, UringError);
    assertEquals(code, "EINVAL");
    assertStringIncludes(message, "does not make a ring like this");
    assertStringIncludes(message, "HYBRID_IOPOLL");
  },
);

// ---- SQEs that are read again: 6.10 to 6.13 ----------------------------------

/**
 * Links a socket option to a read in flight, lets other commands reuse their
 * SQEs, and then lets the read end. Returns in how many of 20 rounds the option
 * has another value than the command asked for.
 */
async function corrupted(hold: boolean): Promise<number> {
  const engine = new Engine(raw.setup({ entries: 8, hold }));
  let wrong = 0;
  for (let round = 0; round < 20; round++) {
    using wait = pipe();
    using pair = tcpPair();
    let ended = 0;
    const receiver: Receiver = {
      value: () => ended++,
      error: () => ended++,
      end() {},
    };
    const begin = (command: Parameters<Queues["slots"]["take"]>[0]) => {
      const slot = engine.queues.slots.take(command);
      slot.receiver = receiver;
      return slot;
    };
    const value = 100_000 + round;
    const first = begin(op.read(wait.left, new Uint8Array(1)));
    const second = begin(
      setsockopt(pair.left, { level: SOL_SOCKET, optname: SO_SNDBUF, value }),
    );
    link([first, second]);
    engine.queues.enqueue(first);
    for (let i = 0; i < 40; i++) engine.queues.enqueue(begin(op.nop()));
    engine.schedule();
    await until(() => ended === 40);
    writeSync(wait.right, "x");
    await until(() => ended === 42);
    const query = { level: SOL_SOCKET, optname: SO_SNDBUF, length: 4 };
    const bytes = getsockoptSync(pair.left, query);
    // The kernel doubles the value, to leave room for its own overhead.
    if (new Int32Array(bytes.buffer)[0] !== 2 * value) wrong++;
  }
  await engine.close();
  return wrong;
}

testUnless(
  raw.rereadsSqes() ? "" : "a kernel that reads SQEs again: 6.10 to 6.13",
  "a linked command turns into another one without the protection, and never with it",
  async () => {
    assertGreater(await corrupted(false), 0);
    assertEquals(await corrupted(true), 0);
  },
);

testUnless(
  raw.rereadsSqes()
    ? "a kernel that copies the SQE before io_uring_enter() returns"
    : lacksCommand("socket SETSOCKOPT"),
  "a linked command needs no protection where the kernel copies its SQE",
  async () => {
    assertEquals(await corrupted(false), 0);
  },
);

// ---- Rings that poll ----------------------------------------------------------

Deno.test("before Linux 7.2, a file that cannot poll refuses the commands of an iopoll ring", async () => {
  await using ring = Ring.open({ iopoll: true });
  using file = devNull();
  const command = uringCmd({ fd: file.fd, cmd_op: 1 });
  if (version() >= 7002) {
    assertEquals(await ring.cmd(command), 0);
    return;
  }
  const error = await assertRejects(() => ring.cmd(command), UringError);
  assertEquals(error.code, "EOPNOTSUPP");
  assertStringIncludes(error.message, "iopoll");
});

// ---- Mixed rings: SQEs since 6.19 ---------------------------------------------

testUnless(
  lacksFlag("SQE_MIXED"),
  "the kernel refuses a large SQE that begins in the last place of a mixed ring",
  () => {
    const flags = raw.IORING_SETUP_SQE_MIXED | raw.IORING_SETUP_NO_SQARRAY;
    const ring = raw.setup({ entries: 4, flags });
    try {
      const run = () => {
        const toSubmit = ring.sq.publish();
        raw.enter(ring, { toSubmit, minComplete: 1 });
        const results: number[] = [];
        while (ring.cq.next()) results.push(ring.cq.res);
        ring.cq.commit();
        return results;
      };
      const nop = { opcode: raw.IORING_OP_NOP };
      for (let i = 0; i < 3; i++) assert(raw.prepRw(ring.sq, nop));
      assertEquals(run(), [0, 0, 0]);
      using file = devNull();
      // prepRw() takes it for a small SQE, and so puts no filler before it.
      const large = { opcode: raw.IORING_OP_URING_CMD128, fd: file.fd };
      assert(raw.prepRw(ring.sq, large));
      assertEquals(run(), [-EINVAL]);
    } finally {
      ring.close();
    }
  },
);

testUnless(
  lacksFlag("SQE_MIXED"),
  "large and small commands share a mixed ring, wherever its end falls",
  async () => {
    using file = devNull();
    const small = uringCmd({ fd: file.fd, cmd_op: 1 });
    const payload = new Uint8Array(80).fill(0xee);
    const large = uringCmd({ fd: file.fd, cmd_op: 2, payload });
    for (const entries of [4, 8, 16]) {
      await using ring = Ring.open({ mixed: true, entries });
      for (let round = 0; round < 50; round++) {
        const commands = Array.from(
          { length: 1 + round % 13 },
          (_, i) => (i * 5 + round) % 3 === 0 ? large : small,
        );
        const results = await Promise.all(commands.map((it) => ring.cmd(it)));
        assertEquals(results, commands.map(() => 0));
        assertEquals(ring.cmdAllSync(commands), results);
      }
      assertEquals(ring.stats().inFlight, 0);
    }
  },
);
