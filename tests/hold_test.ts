/**
 * The protection for Linux 6.10 to 6.13, which read the SQE of a uring command
 * again after io_uring_enter(): here on whatever kernel runs, by watching the
 * SQE; the corruption itself shows on those kernels only.
 */

import { assert, assertEquals, assertGreater } from "@std/assert";
import { stub } from "@std/testing/mock";
import { Ring, uringCmd } from "../mod.ts";
import { probe } from "../cmd/probe.ts";
import { txTimestamps } from "../cmd/socket.ts";
import { Engine } from "../ring/engine.ts";
import * as op from "../ring/op.ts";
import type { Receiver, Slot } from "../ring/pending.ts";
import { setup } from "../ring/setup.ts";
import { IORING_SETUP_CQE32 } from "../sys/io_uring.ts";
import { libc } from "../sys/libc.ts";
import { scratch } from "../sys/memory.ts";
import { devNull, tcpPair, until } from "./kit.ts";

const found = probe().families["socket TX_TIMESTAMP"];
const missing = found?.available === "yes"
  ? ""
  : " (TX_TIMESTAMP, which stays in flight, needs Linux 6.17)";

Deno.test({
  name: "an SQE is not used again while its uring command is in flight" +
    missing,
  ignore: missing !== "",
  async fn() {
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
    const begin = (command: Parameters<Engine["slots"]["take"]>[0]) => {
      const slot = engine.slots.take(command);
      slot.receiver = counting;
      engine.enqueue(slot);
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
    assertEquals(engine.inFlight, 1);
    await engine.close();
    assertEquals(ended, total + 1);
  },
});

Deno.test("a kernel of those versions is recognised, and gets an SQ array", async () => {
  const real = libc().symbols.call;
  const { uname } = libc().nr;
  for (
    const [release, array] of [["6.9.12", false], [
      "6.12.107+deb13",
      true,
    ]] as const
  ) {
    using _uname = stub(libc().symbols, "call", (nr, ...args) => {
      const rc = real(nr, ...args);
      if (nr === uname) {
        const text = new TextEncoder().encode(`${release}\0`);
        scratch().bytes.set(text, 2 * 65);
      }
      return rc;
    });
    await using ring = Ring.open({ entries: 4 });
    assertEquals(ring.flags.includes("NO_SQARRAY"), !array);
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
