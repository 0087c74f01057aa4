/** The wrappers stand in for the real packages: typed, and all there. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertThrows,
} from "@std/assert";
import { concat } from "@std/bytes";
import { assertSpyCalls, type Spy, spy, stub } from "@std/testing/mock";
import { createAssertSnapshot } from "@std/testing/snapshot";

Deno.test("every declared name is there when it runs", async () => {
  const names = /^export declare (?:function|class) (\w+)/gm;
  for (
    const [file, module] of [
      ["assert/mod", import("@std/assert")],
      ["bytes/mod", import("@std/bytes")],
      ["testing/mock", import("@std/testing/mock")],
      ["testing/snapshot", import("@std/testing/snapshot")],
    ] as const
  ) {
    const url = new URL(`${file}.d.ts`, import.meta.url);
    const declared = [...(await Deno.readTextFile(url)).matchAll(names)];
    assert(declared.length > 0, file);
    const there: Record<string, unknown> = { ...await module };
    for (const [, name] of declared) {
      assertEquals(typeof there[name], "function", name);
    }
  }
});

Deno.test("an assertion of two types does not compile", () => {
  // @ts-expect-error A number is never equal to a string.
  assertThrows(() => assertEquals<number>(1, "1"));
  // @ts-expect-error The wrappers are not `any`.
  const number: number = assertEquals;
  assertInstanceOf(number, Function);
});

Deno.test("an assertion narrows what it asserts", () => {
  const value: unknown = new RangeError("narrowed");
  assertInstanceOf(value, RangeError);
  assertEquals(value.message, "narrowed");
  const error = assertThrows(
    () => {
      throw value;
    },
    RangeError,
    "narrow",
  );
  assertEquals(error.name, "RangeError");
});

Deno.test("a stub takes the types of what it replaces", () => {
  const target = { twice: (n: number): number => 2 * n };
  {
    using twice = stub(target, "twice", () => 7);
    const any: Spy = twice;
    assertEquals(target.twice(1), 7);
    assertEquals(twice.calls[0].args, [1]);
    assertSpyCalls(any, 1);
    // @ts-expect-error The replacement returns what the method returns.
    spy(() => stub(target, "twice", () => "7"));
  }
  assertEquals(target.twice(1), 2);
});

Deno.test("bytes and snapshots work", async (t) => {
  assertEquals(concat([Uint8Array.of(1), Uint8Array.of(2)]).length, 2);
  const path = await Deno.makeTempFile({ suffix: ".snap" });
  const saved = 'export const snapshot = { "stored 1": `1` };';
  await Deno.writeTextFile(path, saved);
  const options = { path, name: "stored", serializer: String };
  await createAssertSnapshot<number>(options)(t, 1);
  await Deno.remove(path);
});
