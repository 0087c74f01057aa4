/**
 * Measures how long a late completion takes to reach its `await`, beside the
 * round trip of a nonblocking FFI call in the same process.
 *
 * Both run on another thread: IOSQE_ASYNC hands the command to a kernel worker,
 * and Deno hands the call to one of its threads. The command and the call
 * themselves take next to no time there.
 */

import { Ring, uringCmd } from "../../mod.ts";
import { timeout } from "../../cmd/op.ts";
import { IOSQE_ASYNC } from "../../ring/raw.ts";
import { devices } from "../layers/devices.ts";
import { median, quantile } from "../stats.ts";

const { symbols: libc } = Deno.dlopen("libc.so.6", {
  getppid: { parameters: [], result: "i32", nonblocking: true },
  usleep: { parameters: ["u32"], result: "i32", nonblocking: true },
});
const ring = Ring.open();
const late = uringCmd({
  fd: devices.cmd.fd,
  cmd_op: 0,
  sqe_flags: IOSQE_ASYNC,
});
const sleep = timeout(1);

async function once(wait: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await wait();
  return performance.now() - start;
}

/** Appends the microseconds of `count` awaits, one after another. */
async function time(
  times: number[],
  count: number,
  wait: () => Promise<unknown>,
): Promise<void> {
  for (let i = 0; i < count; i++) {
    times.push(1e3 * await once(wait));
  }
}

/** Measures the two in turn, so that other load affects both alike. */
async function compare(
  rounds: number,
  count: number,
  ours: () => Promise<unknown>,
  ffi: () => Promise<unknown>,
): Promise<[ours: number[], ffi: number[]]> {
  const [a, b]: [number[], number[]] = [[], []];
  await time([], 10 * count, ours);
  await time([], 10 * count, ffi);
  for (let i = 0; i < rounds; i++) {
    await time(a, count, ours);
    await time(b, count, ffi);
  }
  return [a, b];
}

/** Extra milliseconds of the first one of a process: Deno loads `node:process`. */
const firstMs = await once(() => ring.cmd(sleep)) - 1;
const [ours, ffi] = await compare(
  60,
  50,
  () => ring.cmd(late),
  () => libc.getppid(),
);
const [timeouts, sleeps] = await compare(
  20,
  5,
  () => ring.cmd(sleep),
  () => libc.usleep(1000),
);
await ring.close();
console.log(JSON.stringify({
  firstMs,
  us: median(ours),
  p90Us: quantile(ours, 0.9),
  ffiUs: median(ffi),
  ffiP90Us: quantile(ffi, 0.9),
  ratio: median(ours) / median(ffi),
  // Microseconds beyond the millisecond that was asked for.
  timeoutUs: median(timeouts) - 1000,
  ffiSleepUs: median(sleeps) - 1000,
}));
