/** Synchronous batches, whose commands are known by a slot or by their index. */

import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { Ring, uringCmd, UringError } from "../../mod.ts";
import { Command } from "../../ring/command.ts";
import * as op from "../../cmd/op.ts";
import { IORING_OP_NOP } from "../../sys/uapi/io_uring.ts";
import { devNull } from "../kit/fds.ts";
import { message } from "../kit/commands.ts";
import { reportedErrors } from "../kit/reported_errors.ts";
import { until } from "../kit/wait.ts";

/** Makes a NOP whose decoder runs a function of the test. */
function interrupted<T>(decode: () => T): Command<T> {
  return new Command({ name: "NOP", opcode: IORING_OP_NOP, decode });
}

Deno.test("results have the order of the commands, with slots or without", () => {
  using file = devNull();
  const ring = Ring.open({ entries: 4, cqEntries: 8 });
  const plain = op.nop();
  const commands = Array.from(
    { length: 100 },
    (_, i) => i % 3 === 0 ? interrupted(() => i) : plain,
  );
  const results = ring.cmdAllSync<number>(commands);
  assertEquals(results, commands.map((_, i) => i % 3 === 0 ? i : 0));
  const null_ = uringCmd({ fd: file.fd, cmd_op: 0 });
  assertEquals(ring.cmdAllSync([null_, plain, null_]), [0, 0, 0]);
  assertEquals(ring.cmdAllSync([]), []);
  assertEquals(ring.stats().inFlight, 0);
  assertEquals(ring.stats().submitted, 103);
});

Deno.test("a batch throws its first error once all commands have completed", () => {
  const ring = Ring.open();
  const bad = (fd: number) => uringCmd({ fd, cmd_op: 0 });
  const commands = [op.nop(), bad(9998), interrupted(() => 1), bad(9999)];
  const error = assertThrows(() => ring.cmdAllSync(commands), UringError);
  assertStringIncludes(error.message, "fd 9998");
  assertEquals(ring.stats().completions, 4);
  assertEquals(ring.cmdSync(op.nop()), 0); // Without that error.
  assertThrows(() => ring.cmdSync(bad(9997)), UringError, "fd 9997");
  assertEquals(ring.cmdSync(op.nop()), 0);
});

Deno.test("a decoder cannot wait for the ring that runs it, and leaves the batch whole", () => {
  const ring = Ring.open({ entries: 2 });
  const other = Ring.open();
  const plain = op.nop();
  const waits = interrupted(() => {
    for (
      const wait of [() => ring.cmdSync(plain), () => ring.cmdAllSync([plain])]
    ) {
      assertThrows(wait, TypeError, "a decoder cannot wait");
    }
    return other.cmdSync(plain) + 5; // Another ring is none of its business.
  });
  const commands = [plain, waits, plain, waits, plain];
  assertEquals(ring.cmdAllSync(commands), [0, 5, 0, 5, 0]);
  assertEquals(ring.stats().inFlight, 0);
});

Deno.test("what a decoder queues in a synchronous call runs in the next turn", async () => {
  await using ring = Ring.open();
  let later: Promise<number> | undefined;
  const queues = interrupted(() => void (later = ring.cmd(op.nop())));
  ring.cmdSync(queues);
  assertEquals(await later, 0);
});

Deno.test("a decoder that closes the ring lets the batch complete first", async () => {
  const ring = Ring.open();
  let closed: Promise<void> | undefined;
  const closing = interrupted(() => {
    closed = ring.close();
    return 1;
  });
  const plain = op.nop();
  assertEquals(ring.cmdAllSync([plain, closing, plain]), [0, 1, 0]);
  assertThrows(() => ring.cmdSync(plain), TypeError, "closed");
  await closed;
});

Deno.test("a completion for a finished batch is reported, and settles nothing", async () => {
  await using ring = Ring.open();
  await using sender = Ring.open();
  using reported = reportedErrors();
  ring.cmdSync(op.nop()); // Batch 0.
  for (const userData of [1n << 31n, 9n << 32n | 1n << 31n]) {
    await sender.cmd(message(ring, userData, 7));
  }
  assertEquals(ring.cmdAllSync([op.nop(), op.nop()]), [0, 0]);
  await until(() => reported.errors.length === 2);
  assertStringIncludes(String(reported.errors[0]), "res 7 for no command");
  assertEquals(ring.stats().inFlight, 0);
});

Deno.test("files cannot be unregistered within a batch that uses them", async () => {
  await using ring = Ring.open();
  using file = devNull();
  const [fixed] = ring.registerFiles([file.fd]);
  const command = uringCmd({ fd: fixed, cmd_op: 0 });
  const nosy = interrupted(() => ring.unregisterFiles());
  assertThrows(
    () => ring.cmdAllSync<unknown>([nosy, command]),
    TypeError,
    "is in flight",
  );
  ring.unregisterFiles();
});
