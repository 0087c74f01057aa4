/**
 * Benchmarks of the alternatives to this library, and of its lower bound.
 *
 * - `ioctl(FIONREAD)` through Deno's FFI asks a socket what `siocinq` asks it.
 * - A read by `Deno.FsFile` shows the cost of a turn of the event loop.
 * - Promises without a ring show the least that `await` can add to C.
 */

import { devices } from "./devices.ts";
import type { Alternative } from "./layers.ts";
import { type Case, measure } from "./measure.ts";
import { batchesPerCall } from "./workloads.ts";

const FIONREAD = 0x541bn;
const ioctl = {
  name: "ioctl",
  parameters: ["i32", "usize", "buffer"],
  result: "i32",
} as const;
const { symbols: libc } = Deno.dlopen("libc.so.6", {
  ioctl,
  ioctlAsync: { ...ioctl, nonblocking: true },
});
const { fd, expected } = devices.siocinq;
const bytes = new Uint8Array(4);
const answer = new Int32Array(bytes.buffer);

function check(rc: number): void {
  if (rc < 0) throw new Error(`ioctl: ${rc}`);
  if (answer[0] !== expected) throw new Error(`FIONREAD: ${answer[0]}`);
}

function readers(count: number): { file: Deno.FsFile; into: Uint8Array }[] {
  return Array.from({ length: count }, () => ({
    file: Deno.openSync("/dev/zero"),
    into: new Uint8Array(16),
  }));
}

/** Returns a benchmark of calls that are awaited `depth` at a time. */
function awaited(
  layer: Alternative,
  depth: number,
  call: (place: number) => Promise<unknown>,
): Case {
  // A call takes a hundred times as long as a command: 32 are enough to time.
  const batches = Math.max(1, 32 / depth);
  const places = Array.from({ length: depth }, (_, i) => i);
  return {
    layer,
    name: `${depth * batches}`,
    run: async () => {
      for (let i = 0; i < batches; i++) await Promise.all(places.map(call));
    },
  };
}

/** Returns a benchmark of promises that are resolved together, as `cmd` does. */
function promises(depth: number): Case {
  const places = Array.from({ length: depth }, (_, i) => i);
  const resolves = new Array<(value: number) => void>(depth);
  const bare = (place: number) =>
    new Promise<number>((resolve) => resolves[place] = resolve);
  return {
    layer: "promises alone, 128 at a time",
    name: `${batchesPerCall(depth) * depth}`,
    run: async () => {
      for (let i = 0; i < batchesPerCall(depth); i++) {
        const all = Promise.all(places.map(bare));
        for (const resolve of resolves) resolve(0);
        await all;
      }
    },
  };
}

const files = readers(128);
await measure([
  promises(128),
  {
    layer: "ioctl by FFI",
    name: `${batchesPerCall(1)}`,
    run: () => {
      for (let i = 0; i < batchesPerCall(1); i++) {
        check(libc.ioctl(fd, FIONREAD, bytes));
      }
    },
  },
  awaited("ioctl by nonblocking FFI, one at a time", 1, async () => {
    check(await libc.ioctlAsync(fd, FIONREAD, bytes));
  }),
  awaited("ioctl by nonblocking FFI, 128 at a time", 128, async () => {
    check(await libc.ioctlAsync(fd, FIONREAD, bytes));
  }),
  awaited(
    "FsFile.read, one at a time",
    1,
    () => files[0].file.read(files[0].into),
  ),
  awaited(
    "FsFile.read, 128 at a time",
    128,
    (i) => files[i].file.read(files[i].into),
  ),
]);
