/** What is printed, and what of it the README shows. */

import type { CFigure, Figure, Guest, Results } from "./results.ts";
import { LAYERS } from "./results.ts";
import type { Numbers, ScriptResults } from "../programs/scripts.ts";
import { number, table } from "./table.ts";
import { DEPTHS, type Point, type Workload } from "../layers/workloads.ts";

/** All that was found, for the terminal. */
export function fullReport(results: Results): string {
  const { scripts, guest } = results;
  return [
    origin(results),
    "ns per command; times liburing's operations per second:",
    speed(results, "nop", "NOP"),
    speed(results, "cmd", "uring command on /dev/null"),
    speed(results, "siocinq", "SIOCINQ on a TCP socket"),
    fixed(results),
    table([
      ["beside", "ns"],
      ...results.beside.map(({ name, ns }) => [name, number(ns)]),
    ]),
    ...Object.keys(scripts).map((name) =>
      numbersTable(name, scripts[name as keyof ScriptResults])
    ),
    ...guest ? [guestTable(guest)] : [],
    targetsTable(results),
  ].join("\n\n");
}

/** The part of it that stands in the README. */
export function readmeReport(results: Results): string {
  const { guest } = results;
  return [
    origin(results),
    "![Nanoseconds per command against depth](bench/results.svg)",
    readmeTable(results),
    firsts(results),
    ...guest ? [guestTable(guest), GUEST_NOTE] : [],
    targetsTable(results),
    bounds(results),
  ].join("\n\n");
}

const GUEST_NOTE =
  "These are NVMe reads of 4 KiB and discards in an emulated " +
  "machine, 16 in flight, with fio's `io_uring_cmd` and `io_uring` engines " +
  "beside: CPU time of the whole process, in a machine whose clock counts " +
  "instructions.";

/** What no library could do better on this machine. */
function bounds({ beside, c, scripts }: Results): string {
  const of = (name: string) => beside.find((it) => it.name === name)!.ns;
  const at128 = (workload: Workload) =>
    c.find((it) => same(it, { workload, depth: 128, file: "fd" }))!.ns;
  const promise = of("promises alone, 128 at a time");
  const best = at128("cmd") / (at128("cmd") + promise);
  const depths = Object.values(scripts.flatC);
  const spread = Math.max(...depths) / Math.min(...depths);
  const ioctls = of("ioctl by FFI") / at128("siocinq");
  return `Bounds: a promise with nothing behind it, made, resolved and awaited ` +
    `in the same way, takes ${
      number(promise)
    } ns, so that with no other cost ` +
    `\`cmd\` would be at ${best.toFixed(2)} of C. liburing itself is ` +
    `${
      spread.toFixed(2)
    } times as slow at its slowest depth from 32 to 4096 as ` +
    `at its fastest, and does ${
      ioctls.toFixed(2)
    } SIOCINQ for each ioctl by FFI.`;
}

function numbersTable(name: string, numbers: Numbers): string {
  const rows = Object.entries(numbers)
    .map(([key, value]) => [key, number(value)]);
  return table([[name, ""], ...rows]);
}

/** What is slower the first time. */
function firsts({ scripts: { start, late } }: Results): string {
  return `The first ring of a process, with one command, took ` +
    `${number(start.firstMs)} ms, in which libc is opened and nothing is ` +
    `compiled yet; later ones took ${number(start.ms)} ms. The first command ` +
    `that completed later took ${number(late.firstMs)} ms longer than it ` +
    `would have by itself: Deno loads \`node:net\` for it.`;
}

function origin({ machine, rounds }: Results): string {
  const { cpu, cores, kernel, deno, liburing, date } = machine;
  return `${cpu}, ${cores} cores; Linux ${kernel}; Deno ${deno}; ` +
    `liburing ${liburing}; ${date}; ${rounds} rounds.`;
}

function same(a: Point, b: Point): boolean {
  return a.workload === b.workload && a.depth === b.depth && a.file === b.file;
}

function cell(found: Figure | undefined): string {
  if (found === undefined) return "";
  return `${number(found.ns)} (${found.ratio.toFixed(2)})`;
}

/** One workload: the layers against the depths. */
function speed(results: Results, workload: Workload, title: string): string {
  const points = DEPTHS.map((depth): Point => ({
    workload,
    depth,
    file: "fd",
  }));
  const c = points.map((point) => results.c.find((it) => same(it, point))!);
  return table([
    [title, ...DEPTHS.map(String)],
    ["C, liburing", ...c.map(({ ns }) => number(ns))],
    ...LAYERS.map((layer) => [
      layer,
      ...points.map((point) =>
        cell(
          results.figures.find((it) => it.layer === layer && same(it, point)),
        )
      ),
    ]),
  ]);
}

/** Registered files. */
function fixed(results: Results): string {
  const isFixed = ({ file }: Point) => file === "fixed";
  const c = results.c.filter(isFixed);
  const raw = results.figures.filter(isFixed);
  return table([
    ["/dev/null, registered", ...c.map(({ depth }) => `${depth}`)],
    ["C, liburing", ...c.map(({ ns }) => number(ns))],
    ["./raw", ...raw.map(cell)],
  ]);
}

/** Uring commands on /dev/null, with the ratio at the depth of 128 only. */
function readmeTable({ c, figures }: Results): string {
  const points = DEPTHS.map((depth): Point => ({
    workload: "cmd",
    depth,
    file: "fd",
  }));
  const row = (name: string, of: readonly (CFigure | Figure)[]) => {
    const found = points.map((point) => of.find((it) => same(it, point)));
    const at128 = found[DEPTHS.indexOf(128)];
    const ratio = at128 !== undefined && "ratio" in at128
      ? at128.ratio.toFixed(2)
      : "";
    return [name, ...found.map((it) => it ? number(it.ns) : ""), ratio];
  };
  return table([
    ["ns per command on `/dev/null`", ...DEPTHS.map(String), "of C at 128"],
    row("C, liburing", c),
    ...LAYERS.map((layer) =>
      row(
        layer.replace(/^[^,]+/, (name) => `\`${name}\``),
        figures.filter((it) => it.layer === layer),
      )
    ),
  ]);
}

/** CPU time in a guest: the workloads against what they go through. */
function guestTable({ kernel, rows }: Guest): string {
  const throughs = [...new Set(rows.map(({ through }) => through))];
  const workloads = [...new Set(rows.map(({ workload }) => workload))];
  const find = (workload: string, through: string) =>
    rows.find((it) => it.workload === workload && it.through === through);
  return table([
    [`instructions per command, Linux ${kernel}`, ...throughs],
    ...workloads.map((workload) => [
      workload,
      ...throughs.map((through) => {
        const found = find(workload, through);
        return found ? number(found.cpuNs) : "";
      }),
    ]),
  ]);
}

function targetsTable({ targets }: Results): string {
  const rows = targets.map(({ name, limit, value, met }) => [
    name,
    limit,
    value,
    met ? "met" : "missed",
  ]);
  return table([["target", "limit", "value", ""], ...rows]);
}
