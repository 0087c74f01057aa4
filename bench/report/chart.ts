/**
 * Draws the chart: nanoseconds of a command against depth.
 *
 * Vega-Lite's own program draws it, in a process of its own and without the
 * lock file: Deno downloads every locked package before the tests, and they
 * need none of Vega-Lite's.
 */

import { run } from "../../tests/kit/run.ts";
import type { Machine } from "./machine.ts";
import { alternative, type Results } from "./results.ts";
import { DEPTHS, type Workload } from "../layers/workloads.ts";

const PROGRAM = "npm:vega-lite@6.5.0/vl2svg";

const TITLES: Record<Workload, string> = {
  nop: "NOP",
  cmd: "uring command on /dev/null",
  siocinq: "SIOCINQ on a TCP socket",
};

/** The lines in the order of the legend, with their colours. */
const LINES: readonly (readonly [name: string, colour: string])[] = [
  ["C, liburing", "#000000"],
  ["./raw", "#0072b2"],
  ["cmdAllSync", "#009e73"],
  ["cmdAll", "#56b4e9"],
  ["cmd, Promise.all", "#d55e00"],
  ["cmd, loops", "#cc79a7"],
  ["ioctl by FFI", "#8a8a8a"],
];

interface Value {
  readonly layer: string;
  readonly workload: string;
  readonly depth: number;
  readonly ns: number;
}

function values(results: Results): Value[] {
  const c = results.c.map((each) => ({ ...each, layer: "C, liburing" }));
  const lines: Value[] = [...c, ...results.figures]
    .filter(({ file, layer }) => file === "fd" && layer !== "cmdSync")
    .map(({ layer, workload, depth, ns }) => ({
      layer,
      workload: TITLES[workload],
      depth,
      ns,
    }));
  // It asks a socket the same as SIOCINQ, one call at a time at any depth.
  const name = "ioctl by FFI";
  const ns = alternative(results, name);
  for (const depth of DEPTHS) {
    const workload = TITLES.siocinq;
    lines.push({ layer: name, workload, depth, ns });
  }
  return lines;
}

function title({ cpu, cores, kernel, deno, date }: Machine) {
  return {
    text: "Nanoseconds per command",
    subtitle: `${cpu}, ${cores} cores; Linux ${kernel}; Deno ${deno}; ${date}`,
    anchor: "start",
  };
}

function specification(results: Results) {
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    background: "white", // A page may be dark.
    padding: 16,
    title: title(results.machine),
    data: { values: values(results) },
    facet: {
      column: {
        field: "workload",
        sort: Object.values(TITLES),
        title: null,
        header: { labelFontSize: 12, labelFontWeight: "bold" },
      },
    },
    spec: {
      width: 220,
      height: 260,
      mark: { type: "line", point: true, strokeWidth: 2 },
      encoding: {
        x: {
          field: "depth",
          type: "quantitative",
          scale: { type: "log", base: 2 },
          axis: {
            values: DEPTHS,
            title: "depth",
            format: "d",
            grid: false,
            labelFlush: false,
          },
        },
        y: {
          field: "ns",
          type: "quantitative",
          scale: { type: "log", domainMin: 50, nice: false },
          axis: {
            values: [50, 100, 200, 400, 800, 1600, 3200],
            title: "ns per command",
          },
        },
        color: {
          field: "layer",
          type: "nominal",
          scale: {
            domain: LINES.map(([layer]) => layer),
            range: LINES.map(([, colour]) => colour),
          },
          legend: { title: null, orient: "bottom", columns: LINES.length },
        },
      },
    },
  };
}

/** Returns the chart as SVG. */
export async function chart(results: Results): Promise<string> {
  const args = ["run", "-A", "--no-lock", "--quiet", PROGRAM];
  const input = JSON.stringify(specification(results));
  const { success, stdout, stderr } = await run(Deno.execPath(), args, {
    input,
  });
  if (!success || !stdout.startsWith("<svg")) {
    throw new Error(`${PROGRAM} failed:\n${stderr}`);
  }
  return stdout;
}
