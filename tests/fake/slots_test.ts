/** A slot keeps its command, and nothing of an earlier one. */

import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { Command } from "../../ring/command.ts";
import { operand, scratchOperand } from "../../ring/operand.ts";
import * as op from "../../cmd/op.ts";
import { Slots } from "../../ring/flight/slot.ts";
import { Ring } from "../../ring/ring.ts";
import { ADDR } from "../kit/commands.ts";
import { pipe, writeSync } from "../kit/fds.ts";
import { turn } from "../kit/wait.ts";

/** A command with one address for bytes. */
const of = (
  bytes: Uint8Array,
  kernel: "reads" | "writes" | "both",
  counted = false,
) =>
  new Command<number>({
    name: "TEST",
    opcode: 0,
    operands: [operand(ADDR, { bytes, kernel }, { counted })],
  });

Deno.test("a released slot releases its block, which the next command gets", () => {
  const slots = new Slots();
  const first = slots.take(of(new Uint8Array(100), "writes"));
  const [block] = first.lease.blocks;
  slots.give(first);
  const second = slots.take(of(new Uint8Array(100), "writes"));
  assertStrictEquals(second.lease.blocks[0], block);
  slots.give(second);
});

Deno.test("a released slot is as new, whatever was set", () => {
  const slots = new Slots();
  const slot = slots.take(op.nop());
  const other = slots.take(op.nop());
  Object.assign(slot, {
    aborted: true,
    abortReason: "why",
    phase: "queued",
    chain: { first: other, phase: "queued" },
    decoding: true,
    cut: true,
    sqe: 64,
    linked: other,
    early: true,
  });
  slots.give(slot);
  const again = slots.take(op.nop());
  assertStrictEquals(again, slot);
  const { aborted, abortReason, phase, sqe, linked, early } = again;
  const { chain, decoding, cut } = again;
  assertEquals(
    { aborted, abortReason, phase, sqe, linked, early, chain, decoding, cut },
    {
      aborted: false,
      abortReason: undefined,
      phase: "taken",
      sqe: -1,
      linked: null,
      early: false,
      chain: null,
      decoding: false,
      cut: false,
    },
  );
});

Deno.test("a command that is refused its memory leaves its slot to the next", () => {
  const slots = new Slots();
  const bytes = new Uint8Array(8);
  const command = of(bytes, "reads");
  bytes.buffer.transfer();
  assertThrows(() => slots.take(command), TypeError, "detached");
  assertEquals([...slots.busy()], []);
  assertEquals(slots.take(op.nop()).index, 0);
});

Deno.test("memory of a command's own is zeroed for it", () => {
  const slots = new Slots();
  const command = new Command<number>({
    name: "TEST",
    opcode: 0,
    operands: [scratchOperand(ADDR, 100)],
  });
  const slot = slots.take(command);
  slot.lease.blocks[0]!.bytes.fill(7);
  slots.give(slot);
  const [memory] = slots.take(command).lease.memories(command);
  assertEquals([...memory], new Array(100).fill(0));
});

for (
  const [what, res, kept] of [
    ["an error", -5, 0],
    ["nothing", 0, 0],
    ["a part", 3, 3],
    ["all", 8, 8],
    ["more than there is", 20, 8],
  ] as const
) {
  Deno.test(`of a completion with ${what} that much is copied out, and no more`, () => {
    const slots = new Slots();
    const bytes = new Uint8Array(8).fill(1);
    const slot = slots.take(of(bytes, "writes", true));
    slot.lease.blocks[0]!.bytes.fill(9);
    slot.lease.copyOut(slot.command!, res);
    assertEquals(bytes, bytes.map((_, i) => i < kept ? 9 : 1));
    slots.give(slot);
  });
}

Deno.test("what the kernel only reads is never written back", () => {
  const slots = new Slots();
  const bytes = new Uint8Array(8).fill(1);
  const slot = slots.take(of(bytes, "reads"));
  bytes.fill(2); // The caller may use it again at once.
  slot.lease.copyOut(slot.command!, 8);
  assertEquals([...bytes], new Array(8).fill(2));
  slots.give(slot);
});

Deno.test("the blocks of commands under way count as in use", () => {
  const slots = new Slots();
  const slot = slots.take(of(new Uint8Array(8), "reads"));
  assertEquals([...slots.arenas()], [slot.lease.blocks[0]!.arena]);
  slots.give(slot);
  assertEquals([...slots.arenas()], []);
});

Deno.test("a signal that outlives its command aborts none that has its slot", async () => {
  await using ring = Ring.open();
  using pair = pipe();
  const controller = new AbortController();
  await ring.cmd(op.nop(), { signal: controller.signal });
  const bytes = new Uint8Array(8);
  const read = ring.cmd(op.read(pair.left, bytes));
  await turn();
  controller.abort();
  await turn();
  writeSync(pair.right, "it lives");
  assertEquals(await read, 8);
});

Deno.test("a decoder's memory is a copy, through which no other command is reached", () => {
  const slots = new Slots();
  const slot = slots.take(of(Uint8Array.of(1, 2, 3), "reads"));
  const [memory] = slot.lease.memories(slot.command!);
  assertEquals([...memory], [1, 2, 3]);
  assertEquals(memory.buffer.byteLength, 3);
  slots.give(slot);
});
