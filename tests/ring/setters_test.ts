/**
 * Setters and getters of numbers on Array.prototype: a store beyond the end of an
 * array calls them. They get nothing of the library's, and answer for nothing.
 */

import { assertEquals, assertThrows } from "@std/assert";
import { defineCommand, pointer, Ring, u32 } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import type { Command } from "../../ring/command.ts";
import { append, listOf } from "../../ring/intrinsics.ts";
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
    cmdOp: 1,
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

Deno.test("an element that is appended or copied is the array's own", () => {
  using trap = trapped();
  const list: number[] = [];
  for (let i = 0; i < 3; i++) append(list, i);
  const copy = listOf(list);
  for (const each of [list, copy]) {
    assertEquals([0, 1, 2].map((i) => Object.hasOwn(each, i)), [
      ...[true, true, true],
    ]);
    assertEquals(each.join(), "0,1,2");
  }
  assertEquals(trap.stolen.includes(list), false);
});
