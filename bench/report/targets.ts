/**
 * The speed that the library aims at, compared with the measurements.
 *
 * A missed target is reported and fails nothing.
 */

import type { Alternative, Layer } from "../layers/layers.ts";
import type { Samples } from "../layers/samples.ts";
import type { Point } from "../layers/workloads.ts";
import { type FuseGuest, ratioToLibfuse } from "../fuse/fuse.ts";
import { nameOf, type Workload as FuseWorkload } from "../fuse/plan.ts";
import { WORKLOADS as FUSE_WORKLOADS } from "../fuse/plan.ts";
import type { Guest } from "../guest/guest.ts";
import {
  type Depth,
  DEPTHS,
  TITLES,
  type Workload as GuestWorkload,
} from "../guest/plan.ts";
import type { Numbers, ProgramResults } from "../programs/programs.ts";

/** A target as the report shows it. */
export interface Target {
  readonly name: string;
  /** The way in which the value is computed. */
  readonly how: string;
  readonly limit: string;
  readonly value: string;
  readonly met: boolean;
}

/** A target as numbers. */
interface Aim {
  readonly name: string;
  readonly how: string;
  readonly value: number;
  readonly limit: number;
  readonly unit: string;
}

function atLeast(aim: Aim): Target {
  return row(aim, "≥", aim.value >= aim.limit);
}

function atMost(aim: Aim): Target {
  return row(aim, "≤", aim.value <= aim.limit);
}

function below(aim: Aim): Target {
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

/** Returns all targets; without a guest, those of the guest are missing. */
export function targets(
  samples: Samples,
  programs: ProgramResults,
  guest: Guest | undefined,
  fuse: FuseGuest | undefined,
): Target[] {
  return [
    ...speed(samples),
    ...reading(programs),
    ...latency(samples, programs),
    ...againstFfi(samples),
    ...allocation(programs),
    ...flatness(programs.flat, programs.flatC),
    ...starting(programs),
    ...(guest === undefined ? [] : guestTargets(guest)),
    ...(fuse === undefined ? [] : fuseTargets(fuse)),
  ];
}

const NAMES = {
  nop: "NOP",
  cmd: "command on `/dev/null`",
  siocinq: "SIOCINQ",
};
const PROMISES: Layer = "cmd, Promise.all";

/** Returns the name of a layer as the targets have it. */
function called(layer: Layer): string {
  return layer === PROMISES ? "`cmd`, awaited" : `\`${layer}\``;
}

function point(workload: Point["workload"], depth: number): Point {
  return { workload, depth, file: "fd" };
}

function speed(samples: Samples): Target[] {
  const aim = (
    layer: Layer,
    workload: Point["workload"],
    depth: number,
    limit: number,
  ) =>
    atLeast({
      name: `${called(layer)}: ${NAMES[workload]}, depth ${depth}`,
      how: "C's time for a command over ours: the median of the rounds",
      value: samples.ratioToC(layer, point(workload, depth)),
      limit,
      unit: "of C",
    });
  return [
    aim("./raw", "cmd", 128, 0.95),
    aim("./raw", "cmd", 1024, 0.95),
    aim("./raw", "nop", 128, 0.85),
    aim("./raw", "nop", 1024, 0.85),
    aim("cmdAllSync", "cmd", 128, 0.87),
    aim("cmdAll", "cmd", 128, 0.8),
    aim("cmdAll", "cmd", 1024, 0.8),
    aim("cmdAll", "siocinq", 128, 0.8),
    aim("cmdAll", "siocinq", 1024, 0.8),
    aim(PROMISES, "cmd", 128, 0.56),
  ];
}

/** A read of the page cache, whose command was made before or is made for it. */
function reading({ reads, readsC }: ProgramResults): Target[] {
  const aim = (made: string, ns: number, limit: number) =>
    atMost({
      name: `\`cmdAllSync\`: cached read of 4 KiB, ${made}, depth 16`,
      how: "our time over C's: the ratio of the medians",
      value: ns / readsC.ns,
      limit,
      unit: "times C's",
    });
  return [
    aim("made before", reads.madeNs, 1.06),
    aim("by a maker", reads.makerNs, 1.15),
    aim("by a function", reads.functionNs, 1.3),
  ];
}

function latency(
  samples: Samples,
  { late, wake, idle }: ProgramResults,
): Target[] {
  return [
    atMost({
      name: "`cmdSync`: time of one command on `/dev/null`",
      how: "our time over C's at depth 1: the median of the rounds",
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
    atMost({
      name: "`cmd`, `spin: false`: CPU time of a late completion",
      how: "of the process, through a pipe of Deno over through the waker, " +
        "the way before; a call that blocks takes " +
        `${(wake.blockedCpuUs / wake.wakerCpuUs).toFixed(2)} of it`,
      value: wake.cpuToWaker,
      limit: 0.65,
      unit: "times the waker's",
    }),
    atMost({
      name: "`cmd`, `spin: false`: time until a late completion reaches its " +
        "`await`",
      how: "the same; a call that blocks takes " +
        `${(wake.blockedUs / wake.wakerUs).toFixed(2)} of it`,
      value: wake.toWaker,
      limit: 0.6,
      unit: "times the waker's",
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
    layer: Layer,
    workload: Point["workload"],
    call: string,
    other: Alternative,
    limit: number,
  ) =>
    atLeast({
      name: `${called(layer)}: ${NAMES[workload]}, depth 128, against ${call}`,
      how: "ioctl(FIONREAD)'s time over ours: the median of the rounds",
      value: samples.ratioTo(layer, point(workload, 128), other),
      limit,
      unit: "times as many",
    });
  const blocking = "ioctl by FFI";
  const nonblocking = "ioctl by nonblocking FFI, one at a time";
  return [
    aim("cmdAll", "siocinq", "an ioctl by FFI each", blocking, 1.7),
    aim(PROMISES, "cmd", "an ioctl by FFI each", blocking, 1.8),
    aim(PROMISES, "siocinq", "an ioctl by FFI each", blocking, 1.8),
    aim(PROMISES, "cmd", "an awaited ioctl each", nonblocking, 20),
  ];
}

function allocation({ encode, heap }: ProgramResults): Target[] {
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
      how: "the same, on queues without a kernel",
      value: heap.encodeAndReap,
      limit: 0.1,
      unit: "bytes",
    }),
    below({
      name: "`cmd`, awaited: allocated beyond a promise",
      how: "the same, less that of promises without a ring; one more promise " +
        "would be 48 bytes",
      value: heap.cmd - heap.promises,
      limit: 48,
      unit: "bytes",
    }),
  ];
}

function flatness(flat: Numbers, flatC: Numbers): Target[] {
  const c = spread(flatC, "depth").toFixed(2);
  return ["cmd", "cmdAll", "cmdAllSync"].flatMap((call) => [
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

function starting({ start, import: imported }: ProgramResults): Target[] {
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
      how: "median, in new processes",
      value: imported.ms,
      limit: 15,
      unit: "ms",
    }),
  ];
}

/** Commands with memory, beside fio, by instructions of the whole process. */
export function guestTargets({ rows }: Guest): Target[] {
  const aim = (
    workload: GuestWorkload,
    depth: Depth,
    through: string,
    fio: string,
    limit: number,
  ) => {
    const of = (way: string) =>
      rows.find((row) =>
        row.workload === TITLES[workload] && row.depth === depth &&
        row.through === way
      )!.cpuNs;
    return atMost({
      name: `${TITLES[workload]}: \`${through}\`, depth ${depth}`,
      how: `instructions in the guest over those of ${fio}`,
      value: of(through) / of(fio),
      limit,
      unit: "times fio's",
    });
  };
  const drives: GuestWorkload[] = ["ng", "block"];
  return DEPTHS.flatMap((depth) => [
    ...drives.flatMap((drive) => [
      aim(drive, depth, "cmdAllSync, maker", "fio in batches", 1.05),
      aim(drive, depth, "cmdAllSync, function", "fio in batches", 1.4),
      aim(drive, depth, "cmd, maker", "fio", 1.15),
    ]),
    aim("discard", depth, "cmdAllSync, maker", "fio in batches", 1.2),
  ]);
}

/** The share of libfuse's rate that one client of a mount should get. */
const FUSE_LIMITS: Readonly<Record<FuseWorkload, number>> = {
  statfs: 0.75,
  stat: 0.75,
  direct: 0.75,
  create: 0.6,
  unlink: 0.6,
  write: 0.75,
  read: 0.9,
  list: 0.7,
};

/** Operations on a mount, beside libfuse, by instructions of the whole guest. */
export function fuseTargets(fuse: FuseGuest): Target[] {
  const how = "libfuse's instructions in the guest over ours";
  const rowsOf = (server: string, clients: number) =>
    fuse.rows.filter((row) => row.server === server && row.clients === clients);
  const loop = nameOf("memory", "classic", "main");
  const one = rowsOf(loop, 1).map((row) =>
    atLeast({
      name: `\`./fuse\`, in the event loop: ${FUSE_WORKLOADS[row.workload]}`,
      how,
      value: ratioToLibfuse(fuse, row),
      limit: FUSE_LIMITS[row.workload],
      unit: "of libfuse",
    })
  );
  const least = (
    name: string,
    server: string,
    clients: number,
    limit: number,
  ) =>
    rowsOf(server, clients)
      .map((row) => ({ row, value: ratioToLibfuse(fuse, row) }))
      .toSorted((a, b) => a.value - b.value)
      .slice(0, 1)
      .map(({ row, value }) =>
        atLeast({
          name: `\`./fuse\`, ${name}: the lowest of all`,
          how: `the same; it is ${FUSE_WORKLOADS[row.workload]}`,
          value,
          limit,
          unit: "of libfuse",
        })
      );
  const asleep = (["classic", "io_uring"] as const).flatMap((transport) =>
    least(
      `in a Worker that sleeps, ${transport}`,
      nameOf("memory", transport, "asleep"),
      1,
      0.85,
    )
  );
  return [
    ...one,
    ...least("in the event loop, 4 clients", loop, 4, 1),
    ...asleep,
  ];
}
