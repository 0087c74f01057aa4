/** The two texts about a run: the full report, and the figures of the README. */

import {
  alternativesTable,
  fixedTable,
  fuseTable,
  guestTable,
  layersTable,
  programsTable,
  targetsTable,
} from "./tables.ts";
import type { FuseGuest } from "../fuse/fuse.ts";
import { CLIENTS } from "../fuse/plan.ts";
import { alternative, cAt, layerAt, type Results } from "./results.ts";
import { number, table } from "./table.ts";

/** Returns the full report, for the terminal and for bench/README.md. */
export function fullReport(results: Results): string {
  const { guest, fuse } = results;
  return [
    `${origin(results)} ${results.rounds} rounds.`,
    "### Targets",
    score(results),
    targetsTable(results),
    bounds(results),
    "### Layers",
    "Nanoseconds per command, by depth. In brackets: the operations per second " +
    "as a part of C's.",
    layersTable(results, "nop", "NOP"),
    layersTable(results, "cmd", "command on `/dev/null`"),
    layersTable(results, "siocinq", "SIOCINQ on a TCP socket"),
    fixedTable(results),
    "### Alternatives",
    alternativesTable(results),
    "### Programs",
    firsts(results),
    programsTable(results),
    ...guest ? ["### Guest", guestTable(guest)] : [],
    ...fuse ? fuseReport(fuse) : [],
  ].join("\n\n");
}

/** Returns the part about filesystems. */
function fuseReport(fuse: FuseGuest): string[] {
  return [
    "### Filesystems",
    "Thousands of instructions per operation, in a guest with one processor and " +
    `Linux ${fuse.kernel}. They are no times. In brackets: libfuse's as a part of ` +
    `ours. Medians of ${fuse.rounds} rounds.`,
    ...CLIENTS.map((clients) => fuseTable(fuse, clients, "ns")),
    "The part of the server, with what the kernel does for it:",
    ...CLIENTS.map((clients) => fuseTable(fuse, clients, "serverNs")),
  ];
}

/** Returns the part of README.md: the chart and five figures. */
export function readmeReport(results: Results): string {
  const { programs: { late, start } } = results;
  const ns = (value: number) => `${number(value)} ns`;
  const us = (value: number) => `${number(value)} µs`;
  const ms = (value: number) => `${number(value)} ms`;
  const ffi = alternative(results, "ioctl by nonblocking FFI, 128 at a time");
  const figures = table([
    ["time of", "`@uring/cmd`", "compared with"],
    [
      "a command in a batch of 128, `cmdAllSync`",
      ns(layerAt(results, "cmdAllSync", 128)),
      `C: ${ns(cAt(results, "cmd", 128))}`,
    ],
    [
      "a command among 128 awaited together, `cmd`",
      ns(layerAt(results, "cmd, Promise.all", 128)),
      `C: ${ns(cAt(results, "cmd", 128))}; awaited FFI: ${ns(ffi)}`,
    ],
    [
      "a command alone, `cmdSync`",
      ns(layerAt(results, "cmdSync", 1)),
      `C: ${ns(cAt(results, "cmd", 1))}`,
    ],
    [
      "a late completion until its `await`",
      us(late.us),
      `awaited FFI: ${us(late.ffiUs)}`,
    ],
    [
      "`Ring.open`, a command and `close`",
      ms(start.ms),
      `the first of a process: ${ms(start.firstMs)}`,
    ],
  ]);
  return [
    "![Nanoseconds per command against depth](bench/results.svg)",
    figures,
    `${origin(results)} ${score(results)}`,
  ].join("\n\n");
}

function origin({ machine }: Results): string {
  const { cpu, cores, kernel, deno, liburing, date } = machine;
  return `${cpu}, ${cores} cores; Linux ${kernel}; Deno ${deno}; ` +
    `liburing ${liburing}; ${date}.`;
}

function score({ targets }: Results): string {
  const met = targets.filter((target) => target.met).length;
  return `${met} of ${targets.length} targets are met.`;
}

/** States what no library could do better on this machine. */
function bounds(results: Results): string {
  const promise = alternative(results, "promises alone, 128 at a time");
  const c = cAt(results, "cmd", 128);
  const best = c / (c + promise);
  const depths = Object.values(results.programs.flatC);
  const spread = Math.max(...depths) / Math.min(...depths);
  const ioctl = alternative(results, "ioctl by FFI");
  const ioctls = ioctl / cAt(results, "siocinq", 128);
  return [
    `Bounds: a promise without a ring, made, resolved and awaited in the same`,
    `way, takes ${number(promise)} ns. With no other cost, \`cmd\` would be at`,
    `${best.toFixed(2)} of C. liburing itself takes ${spread.toFixed(2)} times`,
    `as long for a command at its slowest depth from 32 to 4096 as at its`,
    `fastest, and does ${ioctls.toFixed(2)} SIOCINQ in the time of one ioctl`,
    `by FFI.`,
  ].join(" ");
}

/** States what is slower the first time. */
function firsts({ programs: { start, late } }: Results): string {
  return [
    `The first ring of a process, with one command, took`,
    `${number(start.firstMs)} ms, because libc is opened and nothing is`,
    `compiled yet; later ones took ${number(start.ms)} ms. The first command`,
    `that completed late took ${number(late.firstMs)} ms longer than it would`,
    `have by itself, because Deno loads its \`node:process\` for it.`,
  ].join(" ");
}
