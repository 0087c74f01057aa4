/** Decoded values in JSON: what becomes of integers, bytes and the rest. */

import { assertEquals } from "@std/assert";
import { fieldsOf, hex, jsonable } from "../../cmd/json.ts";

const parsed = (value: unknown) => JSON.parse(JSON.stringify(value));

Deno.test("an integer becomes a number that holds it exactly, or a string", () => {
  const most = 2n ** 53n - 1n;
  const values = { a: 0n, b: most, c: -most, d: most + 1n, e: -most - 1n };
  assertEquals(parsed(jsonable(values)), {
    ...{ a: 0, b: 2 ** 53 - 1, c: -(2 ** 53 - 1) },
    ...{ d: "9007199254740992", e: "-9007199254740992" },
  });
});

Deno.test("bytes become hexadecimal digits, wherever they are", () => {
  const bytes = Uint8Array.of(0, 1, 0x10, 0xff);
  assertEquals(hex(bytes), "000110ff");
  const value = { bytes, list: [bytes, { bytes }] };
  assertEquals(parsed(jsonable(value)), {
    bytes: "000110ff",
    list: ["000110ff", { bytes: "000110ff" }],
  });
  assertEquals(parsed(jsonable({ ...value, list: [] }, "bytes")), { list: [] });
});

Deno.test("other values become what JSON makes of them", () => {
  const value = {
    ...{ a: null, b: true, c: "text", d: 1.5, e: Infinity, f: undefined },
    g: [1n, [2n], { h: 3n }],
  };
  assertEquals(parsed(jsonable(value)), {
    ...{ a: null, b: true, c: "text", d: 1.5, e: null, g: [1, [2], { h: 3 }] },
  });
});

Deno.test("a value inside another keeps its own form", () => {
  const inner = jsonable({ bytes: Uint8Array.of(1), n: 1n }, "bytes");
  assertEquals(parsed(jsonable({ inner, list: [inner] })), {
    inner: { n: 1 },
    list: [{ n: 1 }],
  });
  assertEquals(parsed([inner, { inner }]), [{ n: 1 }, { inner: { n: 1 } }]);
  assertEquals(fieldsOf({ n: 2n, bytes: 1 }, "bytes"), { n: 2 });
});

Deno.test("the method that makes JSON is no field of a value", () => {
  const value = { a: 1n };
  const same = jsonable(value);
  assertEquals(same === value, true);
  assertEquals(Object.keys(same), ["a"]);
  assertEquals(same, { a: 1n });
  assertEquals(structuredClone(same), { a: 1n });
});
