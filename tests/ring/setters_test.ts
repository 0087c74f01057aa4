/**
 * Setters and getters of numbers on Array.prototype: a store beyond the end of an
 * array calls them. They get nothing of the library's, and answer for nothing.
 */

import { assertEquals, assertThrows } from "@std/assert";
import { defineCommand, pointer, Ring, u32, UringError } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import { measure, operandsOf } from "../../cmd/nvme/data.ts";
import { Command } from "../../ring/command.ts";
import { append, filled, listOf } from "../../ring/intrinsics.ts";
import type { Operand } from "../../ring/operand.ts";
import {
  IORING_OP_NOP,
  IORING_OP_POLL_ADD,
  IORING_POLL_ADD_MULTI,
} from "../../sys/uapi/io_uring.ts";
import { pipe, writeSync } from "../kit/fds.ts";
import { turn } from "../kit/wait.ts";

/** Places on Array.prototype that stores beyond the end of arrays may meet. */
const PLACES = 24;

/** Puts setters, which keep what they get, and getters on Array.prototype. */
function trapped(answer?: () => unknown) {
  const stolen: unknown[] = [];
  const { defineProperty } = Reflect;
  for (let place = 0; place < PLACES; place++) {
    defineProperty(Array.prototype, place, {
      configurable: true,
      get: () => answer?.(),
      set(this: unknown[], value) {
        const descriptor = { configurable: true, enumerable: true };
        const own = { ...descriptor, value, writable: true };
        defineProperty(stolen, stolen.length, own);
        // An element of its own, unless the getter is to answer for it.
        if (answer === undefined) defineProperty(this, place, own);
      },
    });
  }
  return {
    stolen,
    [Symbol.dispose]() {
      for (let place = 0; place < PLACES; place++) {
        Reflect.deleteProperty(Array.prototype, place);
      }
    },
  };
}

/** Names what a setter got, unless it is a number, a text or a list of such. */
const nameOf = (value: unknown) =>
  typeof value === "object" && value !== null
    ? value.constructor?.name ?? "none"
    : "";

/** Objects of the library that nobody else may have. */
const INTERNAL = ["Slot", "Block", "Batch", "Operand", "Cancellation", "Relay"];

Deno.test("a setter on Array.prototype gets nothing of a ring's", async () => {
  await using ring = Ring.open();
  using ends = pipe();
  const define = defineCommand({
    name: "TEST",
    cmd_op: 1,
    inline: { a: u32(0), b: pointer(8) },
    indirect: { c: u32(0) },
  });
  const bytes = () => new Uint8Array(8);
  let results: Promise<unknown>[];
  let stolen: unknown[];
  {
    using trap = trapped();
    const reads = [1, 2, 3].map(() => op.read(ends.left, bytes()));
    const b = { bytes: bytes(), kernel: "reads" } as const;
    results = [
      ...reads.map((read) => ring.cmd(read)),
      ring.cmdAll([op.read(ends.left, bytes()), op.nop()]),
      ...ring.link([op.nop(), op.read(ends.left, bytes())]),
      ring.cmd(define(ends.left, { a: 1, b, c: 2 })),
    ];
    ring.cmdAllSync([op.write(ends.right, bytes()), op.nop()]);
    stolen = trap.stolen;
  }
  const settled = Promise.allSettled(results); // A pipe refuses the last.
  await turn();
  for (let i = 0; i < 6; i++) writeSync(ends.right, "12345678");
  await settled;
  const names = stolen.map(nameOf);
  assertEquals(names.filter((name) => INTERNAL.includes(name)), []);
});

Deno.test("a getter on Array.prototype cannot answer for a command of a list", async () => {
  await using ring = Ring.open();
  const fake = { name: "FAKE" } as unknown as Command<number>;
  const list = [op.nop(), op.nop()];
  const hole = new Array<Command<number>>(2);
  let turns = 0;
  // The first answer is a command, and later ones are not.
  const answer = () => turns++ === 0 ? list[0] : fake;
  let count: number;
  let late: Promise<unknown>;
  let refusal: unknown;
  {
    using _trap = trapped(answer);
    count = ring.cmdAllSync(list).length;
    late = ring.cmdAll(list);
  }
  assertEquals([count, await late, turns], [2, [0, 0], 0]);
  {
    using _trap = trapped(answer);
    try {
      ring.cmdAllSync(hole);
    } catch (error) {
      refusal = error;
    }
  }
  const thrown = () => {
    throw refusal;
  };
  assertThrows(thrown, TypeError, "not a command");
});

Deno.test("a setter gets nothing of a new ring, a stream that fails, many batches or a restriction", async () => {
  using ends = pipe();
  const failing = new Command<number>({
    name: "POLL_ADD multishot",
    opcode: IORING_OP_POLL_ADD,
    file: ends.left,
    len: IORING_POLL_ADD_MULTI,
    opFlags: op.POLLIN,
    multishot: true,
    decode: () => {
      throw new Error("decoder");
    },
  });
  const waiting = () => op.poll(ends.left, { events: op.POLLIN });
  let rings: Ring[];
  let stolen: unknown[];
  let batches: Promise<unknown>[];
  let error: unknown;
  {
    using trap = trapped();
    rings = [Ring.open(), Ring.open(), Ring.open({ disabled: true })];
    // More batches than the table has places for at first.
    batches = Array.from({ length: 20 }, () => rings[0].cmdAll([waiting()]));
    rings[2].restrict({ ops: [IORING_OP_NOP] });
    const stream = rings[1].stream(failing);
    writeSync(ends.right, "x");
    error = await stream.next().catch((error) => error);
    await turn();
    stolen = trap.stolen;
  }
  assertEquals((error as Error).message, "decoder");
  assertEquals(await Promise.all(batches), Array(20).fill([1]));
  assertEquals(rings[2].cmdSync(op.nop()), 0);
  assertThrows(() => rings[2].cmdSync(op.openat("/")), UringError, "EACCES");
  for (const ring of rings) await ring.close();
  const names = stolen.map(nameOf);
  assertEquals(names.filter((name) => INTERNAL.includes(name)), []);
  const notes = stolen.filter((each) => Object.hasOwn(each ?? {}, "target"));
  assertEquals(notes.filter((each) => Object.hasOwn(each!, "generation")), []);
  const pairs = stolen.filter((each) => String(each) === "1,0"); // SQE_OP, NOP
  assertEquals(pairs, []);
});

Deno.test("a setter that swallows what it gets makes no hole in the table of batches", async () => {
  await using ring = Ring.open();
  using ends = pipe();
  const waiting = () => op.poll(ends.left, { events: op.POLLIN });
  let batches: Promise<unknown>[] = [];
  const first = await ring.cmdAll([op.nop()]);
  {
    // The getters answer, so the setters put nothing into an array.
    using _trap = trapped(() => undefined);
    // More batches than the table has places for at first.
    batches = Array.from({ length: 20 }, () => ring.cmdAll([waiting()]));
  }
  writeSync(ends.right, "x");
  assertEquals(await Promise.all(batches), Array(20).fill([1]));
  assertEquals(first, [0]);
});

Deno.test("a setter cannot exchange the memory of a command with several pieces", () => {
  const pieces = [new Uint8Array(8), new Uint8Array(16)];
  let operands: Operand[];
  let stolen: unknown[];
  {
    using trap = trapped();
    operands = operandsOf(measure(pieces), 2);
    stolen = trap.stolen;
  }
  assertEquals(operands.map(({ byteLength }) => byteLength), [32, 8, 16]);
  assertEquals(stolen, []);
});

/** Makes a poll that is told each time. */
const polls = (file: number) =>
  new Command({
    name: "POLL",
    opcode: IORING_OP_POLL_ADD,
    file,
    opFlags: op.POLLIN,
    len: IORING_POLL_ADD_MULTI,
    multishot: true,
  });

Deno.test("an element of Array.prototype is no part of a chain, and waits for no stream", async () => {
  await using ring = Ring.open();
  using ends = pipe();
  const stream = ring.stream(polls(ends.left));
  let resolved = 0;
  const polluted = Array.prototype as unknown as Record<number, unknown>;
  polluted[0] = { resolve: () => resolved++, reject: () => resolved++ };
  polluted[2] = { linked: null, command: op.nop(), index: 77, generation: 5 };
  try {
    assertEquals(await Promise.all(ring.link([op.nop(), op.nop()])), [0, 0]);
    await stream.return!();
  } finally {
    delete polluted[0];
    delete polluted[2];
  }
  assertEquals(resolved, 0);
});

Deno.test("a getter that a settled stream calls finds the ring in order", async () => {
  await using ring = Ring.open({ entries: 4, cqEntries: 16 });
  const controller = new AbortController();
  const { signal } = controller;
  // No room is left, so that the stream waits.
  const sleeps = Array.from(
    { length: 12 },
    () => ring.cmd(op.timeout(60_000), { signal }).catch(() => {}),
  );
  await turn();
  using ends = pipe();
  const stream = ring.stream(polls(ends.left));
  const next = stream.next();
  assertEquals(ring.stats().waiting, 1);
  let asked: unknown;
  Object.defineProperty(Object.prototype, "then", {
    configurable: true,
    get() {
      if (asked !== undefined) return undefined;
      asked = "";
      try {
        ring.cmdSync(op.nop());
      } catch (error) {
        asked = error;
      }
      return undefined;
    },
  });
  let left;
  try {
    left = stream.return!();
  } finally {
    Reflect.deleteProperty(Object.prototype, "then");
  }
  assertEquals(
    (asked as Error).message.startsWith("a decoder cannot wait"),
    true,
  );
  assertEquals([(await next).done, (await left).done], [true, true]);
  assertEquals(ring.stats().waiting, 0);
  controller.abort();
  await Promise.all(sleeps);
});

Deno.test("a Promise that a program defines is not called in the middle of a command", async () => {
  await using ring = Ring.open();
  const Own = Promise;
  let made = 0;
  let commands: Promise<unknown>[] = [];
  globalThis.Promise = class<T> extends Own<T> {
    constructor(...args: ConstructorParameters<typeof Own<T>>) {
      super(...args);
      made++;
    }
  } as PromiseConstructor;
  try {
    commands = [
      ring.cmd(op.nop()),
      ring.cmdAll([op.nop()]),
      ...ring.link([op.nop()]),
    ];
  } finally {
    globalThis.Promise = Own;
  }
  assertEquals(made, 0);
  assertEquals(await Promise.all(commands), [0, [0], 0]);
});

Deno.test("an element that is appended or copied is the array's own", () => {
  using trap = trapped();
  const list: number[] = [];
  for (let i = 0; i < 3; i++) append(list, i);
  const copy = listOf(list);
  const same = filled(3, 7);
  assertEquals([same.length, same.join()], [3, "7,7,7"]);
  for (const each of [list, copy]) {
    assertEquals([0, 1, 2].map((i) => Object.hasOwn(each, i)), [
      ...[true, true, true],
    ]);
    assertEquals(each.join(), "0,1,2");
  }
  assertEquals(trap.stolen.includes(list), false);
});
