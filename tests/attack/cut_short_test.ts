/**
 * Calls that an exception cuts short at any place: no earlier command runs again, no
 * memory changes that a call has thrown for, and the ring goes on.
 */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Ring } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import { Command } from "../../ring/command.ts";
import { IORING_OP_NOP } from "../../sys/uapi/io_uring.ts";
import { runDeno } from "../kit/run.ts";
import { lacksFlag, testUnless } from "../kit/skip.ts";

/** Without the optimizer, calls have other frames, and more places to end at. */
const UNOPTIMIZED = "--v8-flags=--no-opt,--no-maglev,--no-sparkplug";

/** Runs a probe, and returns the problems that it prints. */
async function problems(probe: string, ...args: string[]): Promise<string> {
  const { pathname } = new URL(`${probe}_probe.ts`, import.meta.url);
  const flags = args.filter((arg) => arg.startsWith("--"));
  const others = args.filter((arg) => !arg.startsWith("--"));
  const { stdout, stderr } = await runDeno(
    ["run", "-A", "--no-check", ...flags, pathname, ...others],
  );
  return stdout + stderr;
}

const KINDS: Readonly<Record<string, string>> = {
  default: "",
  full: "",
  sqe128: "",
  mixed: lacksFlag("SQE_MIXED"),
  sqpoll: "",
  deferTaskrun: lacksFlag("DEFER_TASKRUN"),
  held: "",
};

const CALLS = [
  "cmd",
  "cmdAll",
  "cmdSync",
  "cmdAllSync",
  "link",
  "stream",
  "abort",
];

for (const [kind, missing] of Object.entries(KINDS)) {
  for (const call of CALLS) {
    testUnless(
      missing,
      `${call} at every depth of the stack leaves no trace or is accounted for (${kind})`,
      async () => assertEquals(await problems("depth", kind, call), ""),
    );
  }
}

for (const call of CALLS) {
  Deno.test(`${call} at every depth leaves no trace without the optimizer`, async () => {
    assertEquals(await problems("depth", "full", call, UNOPTIMIZED), "");
  });
}

for (
  const loop of [
    "cmdSync",
    "cmdAllSync",
    "cmd",
    "cmdAll",
    "link",
    "decoder",
    "ownDecoder",
  ]
) {
  for (const flags of [[], [UNOPTIMIZED]]) {
    const how = flags.length > 0 ? " without the optimizer" : "";
    Deno.test(`the timeout of node:vm cuts ${loop} short${how}, and the ring goes on`, async () => {
      assertEquals(await problems("timeout", loop, ...flags), "");
    });
  }
}

const made = (decode: () => unknown) =>
  new Command({ name: "NOP", opcode: IORING_OP_NOP, decode });

Deno.test("a decoder that runs its own command costs the ring nothing", async () => {
  await using ring = Ring.open();
  const command: Command<unknown> = made(() => ring.cmdSync(command));
  await assertRejects(() => ring.cmd(command), TypeError, "decoder");
  assertThrows(() => ring.cmdSync(command), TypeError, "decoder");
  assertEquals(await ring.cmd(op.nop()), 0);
});

Deno.test("a decoder that recurses without an end costs the ring nothing", async () => {
  await using ring = Ring.open();
  const recurse = (): unknown => [recurse()];
  await assertRejects(() => ring.cmd(made(recurse)), RangeError);
  assertThrows(() => ring.cmdSync(made(recurse)), RangeError);
  const others = Array.from(
    { length: 8 },
    (_, i) => ring.cmd(made(i % 2 ? recurse : () => i)),
  );
  const settled = await Promise.allSettled(others);
  const results = settled.map((it) =>
    it.status === "fulfilled" ? it.value : it.status
  );
  assertEquals(results, [
    0,
    "rejected",
    2,
    "rejected",
    4,
    "rejected",
    6,
    "rejected",
  ]);
});

Deno.test("a result whose then throws rejects its own command only", async () => {
  await using ring = Ring.open();
  const thrown = new Error("then");
  const result = Object.defineProperty({}, "then", {
    get() {
      throw thrown;
    },
  });
  const [first, second] = await Promise.allSettled([
    ring.cmd(made(() => result)),
    ring.cmd(op.nop()),
  ]);
  assertEquals(first, { status: "rejected", reason: thrown });
  assertEquals(second, { status: "fulfilled", value: 0 });
});
