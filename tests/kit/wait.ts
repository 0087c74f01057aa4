/** Waiting for what a test needs to have happened. */

import * as op from "../../cmd/op.ts";
import type { Ring } from "../../ring/ring.ts";

/** Forces a garbage collection; the tests run with --expose-gc. */
export function collect(): void {
  const { gc } = globalThis as unknown as { gc?: () => void };
  if (!gc) throw new Error("run the tests with --v8-flags=--expose-gc");
  gc();
}

/** Lets the event loop turn once. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Waits until a condition holds, for at most thirty seconds. */
export async function until(condition: () => boolean): Promise<void> {
  const start = performance.now();
  while (!condition()) {
    if (performance.now() - start > 30_000) throw new Error("waited in vain");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/**
 * Has a ring wait for a completion until it is woken for one, by the waker or by
 * the clock. A slow machine finds what comes soon without that.
 */
export async function wake(ring: Ring): Promise<void> {
  const { wakes } = ring.stats();
  for (let ms = 5; ring.stats().wakes === wakes; ms *= 2) {
    if (ms > 10_000) throw new Error("nothing wakes the ring");
    await ring.cmd(op.timeout(ms));
  }
}
