/**
 * What the library is meant to reach, and whether it does.
 *
 * What is missed is said like what is met: nothing fails for being slow.
 */

import { ourKey, type Samples } from "../programs/samples.ts";
import type { Numbers, ScriptResults } from "../programs/scripts.ts";
import type { Point } from "../layers/workloads.ts";

/** One row: what was aimed at, and what became of it. */
export interface Target {
  readonly name: string;
  /** How the value is computed. */
  readonly how: string;
  readonly limit: string;
  readonly value: string;
  readonly met: boolean;
}

/** What every target is made of, with the value not yet written out. */
export interface Aim {
  readonly name: string;
  readonly how: string;
  readonly value: number;
  readonly limit: number;
  readonly unit: string;
}

export function atLeast(aim: Aim): Target {
  return row(aim, "≥", aim.value >= aim.limit);
}

export function atMost(aim: Aim): Target {
  return row(aim, "≤", aim.value <= aim.limit);
}

export function below(aim: Aim): Target {
  return row(aim, "<", aim.value < aim.limit);
}

function row(aim: Aim, sign: string, met: boolean): Target {
  const { name, how, value, limit, unit } = aim;
  const size = Math.abs(value);
  const digits = size < 1 ? 3 : size < 10 ? 2 : size < 100 ? 1 : 0;
  return {
    name,
    how,
    limit: `${sign} ${limit} ${unit}`,
    value: `${value.toFixed(digits)} ${unit}`,
    met,
  };
}

/** Every target but those of a guest. */
export function targets(samples: Samples, scripts: ScriptResults): Target[] {
  return [
    ...speed(samples),
    ...latency(samples, scripts),
    ...againstFfi(samples),
    ...allocation(scripts),
    ...flatness(scripts.flat, scripts.flatC),
    ...starting(scripts),
  ];
}

const NAMES = {
  nop: "NOP",
  cmd: "command on `/dev/null`",
  siocinq: "SIOCINQ",
};
const PROMISES = "cmd, Promise.all";

function point(workload: Point["workload"], depth: number): Point {
  return { workload, depth, file: "fd" };
}

function speed(samples: Samples): Target[] {
  const aim = (
    layer: string,
    workload: Point["workload"],
    depth: number,
    limit: number,
  ) =>
    atLeast({
      name: `${layer === PROMISES ? "`cmd`, awaited" : `\`${layer}\``}: ${
        NAMES[workload]
      }, depth ${depth}`,
      how: "C's time for a command over ours, each round by itself",
      value: samples.ratioToC(layer, point(workload, depth)),
      limit,
      unit: "of C",
    });
  return [
    aim("./raw", "cmd", 128, 0.95),
    aim("./raw", "cmd", 1024, 0.95),
    aim("./raw", "nop", 128, 0.85),
    aim("./raw", "nop", 1024, 0.85),
    aim("cmdAllSync", "cmd", 128, 0.85),
    aim(PROMISES, "cmd", 128, 0.6),
  ];
}

function latency(
  samples: Samples,
  { late, idle }: ScriptResults,
): Target[] {
  return [
    atMost({
      name: "`cmdSync`: time of one command on `/dev/null`",
      how: "our time over C's at depth 1, each round by itself",
      value: 1 / samples.ratioToC("cmdSync", point("cmd", 1)),
      limit: 1.15,
      unit: "times C's",
    }),
    atMost({
      name: "`cmd`: time until a late completion reaches its `await`",
      how:
        "medians of a command that a kernel worker runs, and of an awaited " +
        "getppid() by nonblocking FFI",
      value: late.ratio,
      limit: 1.2,
      unit: "times FFI's",
    }),
    below({
      name: "CPU time of a process while it awaits a command",
      how: "user and system, in 3 s",
      value: idle.cpuPercent,
      limit: 1,
      unit: "%",
    }),
  ];
}

function againstFfi(samples: Samples): Target[] {
  const aim = (
    workload: Point["workload"],
    call: string,
    key: string,
    limit: number,
  ) =>
    atLeast({
      name: `\`cmd\`, awaited: ${NAMES[workload]}, depth 128, against ${call}`,
      how: "ioctl(FIONREAD)'s time over ours, each round by itself",
      value: samples.ratio(ourKey(PROMISES, point(workload, 128)), key),
      limit,
      unit: "times as many",
    });
  const nonblocking = "ioctl by nonblocking FFI, one at a time";
  return [
    aim("cmd", "an ioctl by FFI each", "ioctl by FFI", 1.8),
    aim("siocinq", "an ioctl by FFI each", "ioctl by FFI", 1.8),
    aim("cmd", "an awaited ioctl each", nonblocking, 20),
  ];
}

function allocation({ encode, heap }: ScriptResults): Target[] {
  return [
    atMost({
      name: "Encoding a command into an SQE",
      how: "in a loop over 128 commands",
      value: encode.encodeNs,
      limit: 8,
      unit: "ns",
    }),
    below({
      name: "`./raw`: allocated for a command",
      how: "growth of V8's heap, over a million commands",
      value: heap.raw,
      limit: 0.1,
      unit: "bytes",
    }),
    below({
      name: "Encoding and reaping: allocated for a command",
      how: "the same, with queues that no kernel serves",
      value: heap.encodeAndReap,
      limit: 0.1,
      unit: "bytes",
    }),
    below({
      name: "`cmd`, awaited: allocated beyond a promise",
      how: "the same, less that of promises with no ring behind them; one " +
        "promise more would be 48 bytes",
      value: heap.cmd - heap.promises,
      limit: 48,
      unit: "bytes",
    }),
  ];
}

function flatness(flat: Numbers, flatC: Numbers): Target[] {
  const c = spread(flatC, "depth").toFixed(2);
  return ["cmd", "cmdAllSync"].flatMap((call) => [
    atMost({
      name: `\`${call}\`: slowest over fastest depth, 32 to 4096`,
      how: `time of a command; liburing's is ${c}`,
      value: spread(flat, `${call} depth`),
      limit: 1.1,
      unit: "times",
    }),
    atMost({
      name: `\`${call}\`: the same beside 1 to 10,000 pending commands`,
      how: "at depth 128",
      value: spread(flat, `${call} pending`),
      limit: 1.1,
      unit: "times",
    }),
  ]);
}

function spread(numbers: Numbers, prefix: string): number {
  const values = Object.entries(numbers)
    .filter(([name]) => name.startsWith(`${prefix} `))
    .map(([, value]) => value);
  return Math.max(...values) / Math.min(...values);
}

function starting({ start, import: imported }: ScriptResults): Target[] {
  return [
    below({
      name: "`Ring.open`, a command and `close`",
      how: "median of 50, after the first of the process",
      value: start.ms,
      limit: 1,
      unit: "ms",
    }),
    below({
      name: "Importing the library",
      how: "median, in processes that have done nothing yet",
      value: imported.ms,
      limit: 15,
      unit: "ms",
    }),
  ];
}
