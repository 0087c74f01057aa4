/** Functions that a program puts in the place of the built-in ones. */

import { arenaOf } from "../../sys/arena.ts";

/** Functions that have to do with memory, and the objects that they are in. */
const FUNCTIONS: readonly (readonly [object, string])[] = [
  [Atomics, "load"],
  [Atomics, "store"],
  [ArrayBuffer.prototype, "transfer"],
  [DataView.prototype, "getBigUint64"],
  [Deno.UnsafePointer, "of"],
  [Deno.UnsafePointerView, "getArrayBuffer"],
  [FinalizationRegistry.prototype, "register"],
  [WeakMap.prototype, "get"],
  [WeakMap.prototype, "set"],
];

/**
 * Replaces the global constructors of views, those that `subarray` and `slice` call,
 * and other functions, until it is disposed. `arenas` lists the bytes of each arena
 * that a constructor was given. `functions` lists the other functions that were given
 * a buffer, or a view.
 */
export function replaceConstructors(): Disposable & {
  readonly arenas: number[];
  readonly functions: string[];
} {
  const arenas: number[] = [];
  const functions: string[] = [];
  const restore: (() => void)[] = [];
  const replace = (of: object, name: string | symbol, value: unknown) => {
    const old = Object.getOwnPropertyDescriptor(of, name);
    Object.defineProperty(of, name, { configurable: true, value });
    restore.push(() => {
      if (old === undefined) Reflect.deleteProperty(of, name);
      else Object.defineProperty(of, name, old);
    });
  };
  const views = { Uint8Array, Uint32Array, Float64Array, DataView };
  for (const [name, View] of Object.entries(views)) {
    const Spy = new Proxy(View, {
      construct(target, args, newTarget) {
        const [buffer] = args;
        const isBuffer = buffer instanceof ArrayBuffer;
        if (isBuffer && arenaOf(buffer)) arenas.push(buffer.byteLength);
        return Reflect.construct(target, args, newTarget);
      },
    });
    replace(View, Symbol.species, Spy);
    replace(globalThis, name, Spy);
  }
  replace(
    globalThis,
    "Int32Array",
    new Proxy(Int32Array, {
      construct(target, args, newTarget) {
        functions.push("Int32Array");
        return Reflect.construct(target, args, newTarget);
      },
    }),
  );
  for (const [of, name] of FUNCTIONS) {
    const real: (...args: unknown[]) => unknown = Reflect.get(of, name);
    replace(of, name, function (this: unknown, ...args: unknown[]) {
      const given = [this, ...args].some((it) =>
        it instanceof ArrayBuffer || ArrayBuffer.isView(it)
      );
      if (given || name === "getArrayBuffer") functions.push(name);
      return real.apply(this, args);
    });
  }
  replace(
    WebAssembly,
    "Memory",
    class {
      constructor() {
        throw new Error("the program would have the memory");
      }
    },
  );
  const dispose = () => restore.reverse().forEach((each) => each());
  return { arenas, functions, [Symbol.dispose]: dispose };
}
