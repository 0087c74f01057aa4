/**
 * Values that a program may pass by mistake, or to break something. Each run makes
 * its own, because it may detach, resize or use them up.
 */

import { Buffer } from "node:buffer";
import fc from "fast-check";
import { alloc } from "../../../ring/raw.ts";
import { FixedBuffer, FixedFile, uringCmd } from "../../../mod.ts";
import { nop } from "../../../cmd/op.ts";

/** An error of the caller's own code, which the library passes on. */
export class Own extends Error {}

/** A function that makes a value, with a label for failures. */
export class Recipe {
  readonly label: string;
  readonly make: () => unknown;

  constructor(label: string, make: () => unknown) {
    this.label = label;
    this.make = make;
  }

  [fc.toStringMethod](): string {
    return this.label;
  }
}

export type Recipes = fc.Arbitrary<Recipe>;

/** A value that may be used again. */
const plain = (value: unknown, label = String(value)) =>
  new Recipe(label, () => value);

/** One of the values. */
export const oneOf = (...values: unknown[]): Recipes =>
  fc.constantFrom(
    ...values.map((value) =>
      plain(value, typeof value === "bigint" ? `${value}n` : `${value}`)
    ),
  );

export const text: Recipes = fc.string({ maxLength: 120, unit: "binary" })
  .map((value) => plain(value, JSON.stringify(value)));
export const flag = oneOf(true, false, undefined);

/** Whole numbers up to a bound, its surroundings more often. */
export const upTo = (max: number): Recipes =>
  fc.oneof(
    { weight: 4, arbitrary: fc.nat({ max: Math.min(max, 8) }) },
    { weight: 2, arbitrary: fc.maxSafeNat().map((n) => n % (max + 1)) },
    fc.constantFrom(max, max - 1),
  ).map((n) => plain(n));

/** Addresses of blocks and offsets, as numbers and as bigints. */
export const wide: Recipes = fc.oneof(
  upTo(2 ** 32),
  upTo(Number.MAX_SAFE_INTEGER),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((n) => plain(n, `${n}n`)),
);

class Grown extends Uint8Array {
  override get length(): number {
    return 1 << 20;
  }
  override get byteLength(): number {
    return 1 << 20;
  }
}

class Moved extends Uint8Array {
  override get byteOffset(): number {
    return 4096;
  }
  override get buffer(): ArrayBuffer {
    return alloc(1 << 16).buffer as ArrayBuffer;
  }
}

class Wild extends Uint8Array {
  static get [Symbol.species](): Uint8ArrayConstructor {
    throw new Own("species");
  }
  override slice(): Uint8Array<ArrayBuffer> {
    throw new Own("slice");
  }
  override subarray(): Uint8Array<ArrayBuffer> {
    throw new Own("subarray");
  }
  override set(): void {
    throw new Own("set");
  }
}

/** Makes a view of resizable memory, with a length of its own or without. */
function resizable(byteLength: number, length?: number): Uint8Array {
  const buffer = new ArrayBuffer(byteLength, { maxByteLength: 4096 });
  return new Uint8Array(buffer, 0, length);
}

function outOfBounds(): Uint8Array {
  const view = resizable(512, 512);
  (view.buffer as ArrayBuffer).resize(16);
  return view;
}

function detached(): Uint8Array {
  const view = new Uint8Array(512);
  structuredClone(view, { transfer: [view.buffer] });
  return view;
}

/** An array with properties of its own before those of its class. */
function spoofed(): Uint8Array {
  return Object.defineProperties(new Uint8Array(512), {
    byteLength: { value: 1 << 20 },
    length: { value: 1 << 20 },
    byteOffset: { value: 64 },
    buffer: { value: alloc(1 << 16).buffer },
  });
}

/** Arrays of `byteLength` bytes as they may well be passed. */
export const bytesOf = (byteLength: number): Recipes =>
  fc.constantFrom(
    new Recipe("array", () => new Uint8Array(byteLength)),
    new Recipe("alloc", () => alloc(byteLength || 1).subarray(0, byteLength)),
    new Recipe("part", () => new Uint8Array(byteLength + 9).subarray(9)),
    new Recipe("Buffer", () => Buffer.alloc(byteLength)),
    new Recipe("tracking", () => resizable(byteLength)),
    new Recipe(
      "shared",
      () => new Uint8Array(new SharedArrayBuffer(byteLength)),
    ),
    new Recipe("Wild", () => new Wild(byteLength)),
  );

function refuse(): never {
  throw new Own("a trap");
}

/** An instance of a class that was never made: what it should have, it lacks. */
function heirOf(prototype: object): object {
  const accessor = { get: refuse };
  const names =
    "length byteLength byteOffset buffer index owner bytes join opcode name " +
    "decode expected advice cqe32 multishot completions";
  const own = names.split(" ").map((name) => [name, accessor] as const);
  return Object.create(prototype, Object.fromEntries(own));
}

/** Objects that look like an array of bytes. */
const oddBytes = [
  new Recipe("Grown", () => new Grown(512)),
  new Recipe("Moved", () => new Moved(512)),
  new Recipe("spoofed", spoofed),
  new Recipe("outOfBounds", outOfBounds),
  new Recipe("detached", detached),
  new Recipe("proxy of an array", () => {
    // Passed as options, it has nothing to say of itself but that it is none.
    return new Proxy(new Uint8Array(512), { get: refuse });
  }),
  new Recipe("heir of an array", () => heirOf(Uint8Array.prototype)),
  new Recipe("clamped", () => new Uint8ClampedArray(512)),
  new Recipe("words", () => new Int32Array(128)),
  new Recipe("DataView", () => new DataView(new ArrayBuffer(512))),
  new Recipe("ArrayBuffer", () => new ArrayBuffer(512)),
];

/** Objects that look like a list, and lists that change. */
const oddLists = [
  plain([], "[]"),
  plain([1, undefined, null], "[1, undefined, null]"),
  new Recipe("sparse", () => new Array(2 ** 32 - 1)),
  new Recipe("hole", () => [nop(), , nop()]),
  new Recipe("array-like", () => ({ length: 2 ** 31, 0: nop() })),
  new Recipe("set", () => new Set([nop()])),
  new Recipe("list that shrinks", () => {
    const list: unknown[] = [1, 2, 3, 4];
    const get = () => (list.length = 1, nop());
    return Object.defineProperty(list, 0, { get });
  }),
  new Recipe("list that is another each time", () => {
    let turn = 0;
    const get = () => turn++ % 2 ? null : nop();
    return Object.defineProperty([nop(), nop()], 1, { get });
  }),
  new Recipe(
    "proxy of a list, of any length",
    () =>
      new Proxy([nop()], {
        get: (list, key) => key === "length" ? 2 ** 53 : Reflect.get(list, key),
      }),
  ),
];

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable([], {});
  revoke();
  return proxy;
}

/** Objects that only look like those of the library. */
const lookAlikes = [
  new Recipe("{ index, owner }", () => ({ index: 0, owner: {} })),
  new Recipe("FixedFile of no ring", () => new FixedFile(0)),
  new Recipe("FixedFile -1", () => new FixedFile(-1)),
  new Recipe(
    "FixedBuffer of no ring",
    () => new FixedBuffer(0, new Uint8Array(512)),
  ),
  new Recipe("heir of FixedFile", () => heirOf(FixedFile.prototype)),
  new Recipe("heir of FixedBuffer", () => heirOf(FixedBuffer.prototype)),
  new Recipe("heir of a command", () => heirOf(nop())),
  new Recipe("{ ...command }", () => ({ ...uringCmd({ fd: 0, cmd_op: 0 }) })),
  new Recipe("proxy of a command", () => new Proxy(nop(), { get: refuse })),
  new Recipe("command", () => nop()),
];

/** Values of every wrong kind. */
const odd = fc.constantFrom(
  ...oddBytes,
  ...oddLists,
  ...lookAlikes,
  ...[undefined, null, true, false, "", "x", "\0", "5", NaN, -1, -0, 0.5]
    .map((value) => plain(value, `${JSON.stringify(value)}`)),
  ...[Infinity, -Infinity, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 31), 1e300]
    .map((value) => plain(value)),
  ...[0n, -1n, 2n ** 64n].map((value) => plain(value, `${value}n`)),
  new Recipe("symbol", () => Symbol("fuzz")),
  new Recipe("function", () => () => 0),
  new Recipe("function that throws", () => refuse),
  new Recipe("{}", () => ({})),
  new Recipe("Object.create(null)", () => Object.create(null)),
  new Recipe("throwing toString", () => ({ toString: refuse })),
  new Recipe("throwing valueOf", () => ({ valueOf: refuse })),
  new Recipe("throwing proxy", () => new Proxy({}, { get: refuse })),
  new Recipe("revoked proxy", revoked),
  new Recipe("new Number(5)", () => new Number(5)),
  new Recipe("new String(x)", () => new String("x")),
  new Recipe("Date", () => new Date(0)),
  new Recipe("pending promise", () => new Promise(() => {})),
);

/** Gives good values, and now and then an odd one. */
export const most = (good: Recipes, weight = 7): Recipes =>
  fc.oneof({ weight, arbitrary: good }, { weight: 1, arbitrary: odd });

export const anything: Recipes = odd;
export const lookAlike: Recipes = fc.constantFrom(...lookAlikes);

type Shape = "plain" | "getters" | "frozen" | "flipping";
const shapes = fc.constantFrom<Shape[]>(
  "plain",
  "plain",
  "getters",
  "frozen",
  "flipping",
);

/**
 * Gives objects with some of the fields. With getters that flip, a field is good at
 * its first read, and odd from then on.
 */
export function object(fields: Record<string, Recipes>): Recipes {
  const values = Object.fromEntries(
    Object.entries(fields).map((
      [name, good],
    ) => [name, fc.tuple(most(good, 24), odd)]),
  );
  const some = fc.record(values, { requiredKeys: [] });
  const all = fc.record(values);
  return fc.tuple(shapes, fc.oneof({ weight: 3, arbitrary: all }, some)).map(
    ([shape, chosen]) => {
      const entries = Object.entries(
        chosen as Record<string, [Recipe, Recipe]>,
      );
      const inside = entries.map(([name, [first, then]]) =>
        `${name}: ${first.label}${
          shape === "flipping" ? `, then ${then.label}` : ""
        }`
      );
      return new Recipe(`${shape} { ${inside.join(", ")} }`, () => {
        const made = {};
        for (const [name, [first, then]] of entries) {
          const value = first.make();
          if (shape === "plain" || shape === "frozen") {
            Object.assign(made, { [name]: value });
            continue;
          }
          let times = 0;
          const flips = shape === "flipping";
          const get = () => flips && times++ > 0 ? then.make() : value;
          Object.defineProperty(made, name, { get, enumerable: true });
        }
        return shape === "frozen" ? Object.freeze(made) : made;
      });
    },
  );
}

/** Gives lists of up to `maxLength` items. */
export const list = (item: Recipes, maxLength = 5): Recipes =>
  fc.array(most(item, 24), { maxLength }).map((items) =>
    new Recipe(
      `[${items.map(({ label }) => label).join(", ")}]`,
      () => items.map((item) => item.make()),
    )
  );
