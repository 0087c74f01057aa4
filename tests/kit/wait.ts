/** Ways to wait: for the event loop, a condition, a wake-up, a garbage collection. */

import * as op from "../../cmd/op.ts";
import type { Ring } from "../../ring/ring.ts";

/** Forces a garbage collection, for which V8 needs --expose-gc. */
export function collect(): void {
  const { gc } = globalThis as unknown as { gc?: () => void };
  if (!gc) throw new Error("run this with --v8-flags=--expose-gc");
  gc();
}

/** Waits for one turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Waits for a time. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Returns `true` if a promise settles within ten seconds, or a given time. */
export async function settles(
  promise: Promise<unknown>,
  ms = 10_000,
): Promise<boolean> {
  const done = promise.then(() => true, () => true);
  const late = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => late.resolve(false), ms);
  try {
    return await Promise.race([done, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits until a condition holds. Throws after 30 seconds. */
export async function until(condition: () => boolean): Promise<void> {
  const start = performance.now();
  while (!condition()) {
    if (performance.now() - start > 30_000) {
      throw new Error("the condition did not hold within 30 s");
    }
    await sleep(1);
  }
}

/**
 * Runs timeouts on a ring until the waker or the clock has woken it for one. On a
 * slow machine a short timeout completes before the ring waits, so that each is
 * twice as long as the last.
 */
export async function wake(ring: Ring): Promise<void> {
  const { wakes } = ring.stats();
  for (let ms = 5; ring.stats().wakes === wakes; ms *= 2) {
    if (ms > 10_000) throw new Error("nothing wakes the ring");
    await ring.cmd(op.timeout(ms));
  }
}
