/**
 * The protection against Linux 6.10 to 6.13, which read the SQE of a uring
 * command again after io_uring_enter(). These tests watch the SQE, on any kernel;
 * traps_test.ts shows the corruption, on those kernels only.
 */

import { assert, assertEquals, assertGreater } from "@std/assert";
import { Ring, uringCmd } from "../../mod.ts";
import { probe } from "../../cmd/probe.ts";
import {
  getsockoptSync,
  setsockopt,
  SO_SNDBUF,
  SOL_SOCKET,
  txTimestamps,
} from "../../cmd/socket/mod.ts";
import { Engine } from "../../ring/loop/engine.ts";
import type { Queues } from "../../ring/flight/queues.ts";
import * as op from "../../cmd/op.ts";
import type { Receiver, Slot } from "../../ring/flight/slot.ts";
import { setup } from "../../ring/bare/setup.ts";
import { IORING_SETUP_CQE32 } from "../../sys/uapi/io_uring.ts";
import { devNull, pipe, tcpPair, writeSync } from "../kit/fds.ts";
import { pretendRelease } from "../kit/refuse.ts";
import { lacksCommand, testUnless } from "../kit/skip.ts";
import { until } from "../kit/wait.ts";

testUnless(
  lacksCommand("socket TX_TIMESTAMP"), // It stays in flight.
  "an SQE is not reused while its uring command is in flight",
  async () => {
    const handle = setup({ entries: 4, flags: IORING_SETUP_CQE32, hold: true });
    const engine = new Engine(handle);
    using pair = tcpPair();
    using file = devNull();
    let ended = 0;
    const counting: Receiver = {
      value: (slot: Slot) => void (slot.command!.multishot || ended++),
      error: () => ended++,
      end: () => ended++,
    };
    const begin = (command: Parameters<Queues["slots"]["take"]>[0]) => {
      const slot = engine.queues.slots.take(command);
      slot.receiver = counting;
      engine.queues.enqueue(slot);
      engine.schedule();
      return slot;
    };

    const held = begin(txTimestamps(pair.left));
    const at = held.sqe;
    assert(at >= 0, "the command has an SQE of its own");
    const before = handle.sq.words.slice(at, at + 16);
    const total = 3000;
    for (let i = 0; i < total; i++) {
      begin(i % 2 ? uringCmd({ fd: file.fd, cmd_op: i }) : op.nop());
    }
    await until(() => ended === total);
    assertEquals(handle.sq.words.slice(at, at + 16), before);
    assertEquals(engine.queues.room.inFlight, 1);
    await engine.close();
    assertEquals(ended, total + 1);
  },
);

Deno.test("a ring on Linux 6.12 has an SQ array, and one on Linux 6.9 has none", async () => {
  const known = probe().setupFlags.includes("NO_SQARRAY");
  for (
    const [release, array] of [
      ["6.9.12", false],
      ["6.12.107+deb13", true],
    ] as const
  ) {
    using _release = pretendRelease(release);
    await using ring = Ring.open({ entries: 4 });
    assertEquals(ring.flags.includes("NO_SQARRAY"), known && !array);
    using file = devNull();
    const command = uringCmd({ fd: file.fd, cmd_op: 1 });
    const all = Array.from(
      { length: 500 },
      (_, i) => ring.cmd<unknown>(i % 3 === 0 ? op.timeout(i % 5) : command),
    );
    await Promise.all(all);
    assertEquals(ring.cmdAllSync(Array(50).fill(command)).length, 50);
    assertGreater(ring.stats().submitted, 500);
  }
});

testUnless(
  lacksCommand("socket SETSOCKOPT"),
  "a linked command runs as it was queued, however late it starts",
  async () => {
    // Linux 6.10 to 6.13 read the SQE again when the chain continues.
    await using ring = Ring.open({ entries: 8 });
    for (let round = 0; round < 20; round++) {
      using wait = pipe();
      using pair = tcpPair();
      const value = 100_000 + round;
      const chain = ring.link([
        op.read(wait.left, new Uint8Array(1)),
        setsockopt(pair.left, { level: SOL_SOCKET, optname: SO_SNDBUF, value }),
      ]);
      const others = Array.from({ length: 40 }, () => ring.cmd(op.nop()));
      await Promise.all(others);
      writeSync(wait.right, "x");
      assertEquals(await Promise.all(chain), [1, 0]);
      const query = { level: SOL_SOCKET, optname: SO_SNDBUF, length: 4 };
      const bytes = getsockoptSync(pair.left, query);
      // The kernel doubles the value, to leave room for its own overhead.
      assertEquals(new Int32Array(bytes.buffer)[0], 2 * value);
    }
  },
);
