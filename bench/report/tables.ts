/** The tables of a report, each made of a part of the results. */

import { type FuseGuest, type FuseRow, ratioToLibfuse } from "../fuse/fuse.ts";
import { LIBFUSE, type Workload as FuseWorkload } from "../fuse/plan.ts";
import { WORKLOADS as FUSE_WORKLOADS } from "../fuse/plan.ts";
import type { Guest, GuestRow } from "../guest/guest.ts";
import { LAYER_NAMES } from "../layers/layers.ts";
import { DEPTHS, type Workload } from "../layers/workloads.ts";
import type { CFigure, Figure, Results } from "./results.ts";
import { number, table } from "./table.ts";

/** Tabulates a workload: the layers against the depths. */
export function layersTable(
  { c, figures }: Results,
  workload: Workload,
  title: string,
): string {
  const row = (name: string, of: readonly (CFigure | Figure)[]) => [
    name,
    ...DEPTHS.map((depth) =>
      cell(
        of.find((it) =>
          it.workload === workload && it.depth === depth && it.file === "fd"
        ),
      )
    ),
  ];
  return table([
    [title, ...DEPTHS.map(String)],
    row("C, liburing", c),
    ...LAYER_NAMES.map((layer) =>
      row(code(layer), figures.filter((it) => it.layer === layer))
    ),
  ]);
}

/** Tabulates the commands on a registered file. */
export function fixedTable({ c, figures }: Results): string {
  const ofC = c.filter(({ file }) => file === "fixed");
  const ours = figures.filter(({ file }) => file === "fixed");
  return table([
    ["`/dev/null`, registered", ...ofC.map(({ depth }) => `${depth}`)],
    ["C, liburing", ...ofC.map(cell)],
    ["`./raw`", ...ours.map(cell)],
  ]);
}

/** Formats nanoseconds, and for a layer its ratio to C. */
function cell(found: CFigure | Figure | undefined): string {
  if (found === undefined) return "";
  const ns = number(found.ns);
  return "ratio" in found ? `${ns} (${found.ratio.toFixed(2)})` : ns;
}

/** Formats a layer's name: what comes before a comma is code. */
function code(layer: string): string {
  return layer.replace(/^[^,]+/, (name) => `\`${name}\``);
}

export function alternativesTable({ alternatives }: Results): string {
  return table([
    ["alternative", "ns"],
    ...alternatives.map(({ name, ns }) => [name, number(ns)]),
  ]);
}

export function programsTable({ programs }: Results): string {
  return table(
    [
      ["program", "figure", "value"],
      ...Object.entries(programs).flatMap(([program, numbers]) =>
        Object.entries(numbers).map(([name, value]) => [
          program,
          name,
          number(value),
        ])
      ),
    ],
    2,
  );
}

/** Tabulates a guest: the workloads against the ways through the kernel. */
export function guestTable({ kernel, rows }: Guest): string {
  const throughs = [...new Set(rows.map(({ through }) => through))];
  const named = (row: GuestRow) => `${row.workload}, depth ${row.depth}`;
  const names = [...new Set(rows.map(named))];
  return table([
    [`instructions per command, Linux ${kernel}`, ...throughs],
    ...names.map((name) => [
      name,
      ...throughs.map((through) => {
        const found = rows.find((it) =>
          named(it) === name && it.through === through
        );
        return found ? number(found.cpuNs) : "";
      }),
    ]),
  ]);
}

/** Tabulates what an operation on a mount takes: the servers against the workloads. */
export function fuseTable(
  fuse: FuseGuest,
  clients: number,
  figure: "ns" | "serverNs",
): string {
  const servers = [...new Set(fuse.rows.map(({ server }) => server))];
  const workloads = Object.keys(FUSE_WORKLOADS) as FuseWorkload[];
  const cell = (row: FuseRow) => {
    const thousands = number(row[figure] / 1000);
    if (row.server === LIBFUSE) return thousands;
    return `${thousands} (${ratioToLibfuse(fuse, row, figure).toFixed(2)})`;
  };
  const title = figure === "ns"
    ? `${clients} ${clients === 1 ? "client" : "clients"}`
    : `the server alone, ${clients} ${clients === 1 ? "client" : "clients"}`;
  return table([
    [title, ...Object.values(FUSE_WORKLOADS)],
    ...servers.map((server) => [
      server,
      ...workloads.map((workload) =>
        cell(
          fuse.rows.find((row) =>
            row.server === server && row.workload === workload &&
            row.clients === clients
          )!,
        )
      ),
    ]),
  ]);
}

export function targetsTable({ targets }: Results): string {
  return table(
    [
      ["target", "how the value is computed", "limit", "value", "result"],
      ...targets.map(({ name, how, limit, value, met }) => [
        name,
        how,
        limit,
        value,
        met ? "met" : "missed",
      ]),
    ],
    2,
  );
}
