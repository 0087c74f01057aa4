/** Constructors that a program puts in the place of the built-in ones. */

import { arenaOf } from "../../sys/arena.ts";

/**
 * Replaces the global constructors of views, and those that `subarray` and `slice`
 * call, until it is disposed. `arenas` lists the bytes of each arena that one of
 * them was given.
 */
export function replaceConstructors(): Disposable & {
  readonly arenas: number[];
} {
  const arenas: number[] = [];
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
    WebAssembly,
    "Memory",
    class {
      constructor() {
        throw new Error("the program would have the memory");
      }
    },
  );
  const dispose = () => restore.reverse().forEach((each) => each());
  return { arenas, [Symbol.dispose]: dispose };
}
