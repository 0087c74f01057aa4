/**
 * Measures `./fuse` beside libfuse in a virtual machine of tests/lab/vm.
 *
 *     deno run -A bench/fuse/fuse.ts [--rounds N]
 *
 * As in ../guest/guest.ts, the clock of the machine advances by one nanosecond for each
 * instruction, and it has one processor: a figure is the number of instructions that
 * the client, the kernel and the server run for an operation, and what each waits for
 * the other is not in it.
 */

import { parseArgs } from "node:util";
import { compile } from "../c/compile.ts";
import { figuresOf } from "../guest/figures.ts";
import { LIBFUSE, PROGRAMS, type Workload } from "./plan.ts";

/** A workload on the mount of a server. */
export interface FuseRow {
  /** The name of a server in plan.ts. */
  readonly server: string;
  readonly workload: Workload;
  /** The processes that use the mount at a time. */
  readonly clients: number;
  /** Instructions for an operation: of the client, the kernel and the server. */
  readonly ns: number;
  /** The same in the best round. */
  readonly bestNs: number;
  /** Instructions of the server for an operation, with its part of the kernel. */
  readonly serverNs: number;
}

/** The figures of a guest. */
export interface FuseGuest {
  readonly kernel: string;
  /** The number of rounds. Each figure is their median. */
  readonly rounds: number;
  readonly rows: readonly FuseRow[];
}

/** Returns the time of libfuse over that of a row. */
export function ratioToLibfuse(
  { rows }: FuseGuest,
  row: FuseRow,
  figure: "ns" | "serverNs" = "ns",
): number {
  const base = rows.find(({ server, workload, clients }) =>
    server === LIBFUSE && workload === row.workload && clients === row.clients
  )!;
  return base[figure] / row[figure];
}

/** Rounds that are measured. One more, the first, only warms up. */
const ROUNDS = 3;

/** Compiles the programs in C, with all they need, as the guest has no libraries. */
async function build(): Promise<void> {
  const packages = "gcc libc6-dev libfuse3-dev";
  const server = ["-static", "-I/usr/include/fuse3", "-lfuse3"];
  await compile("fuse_server.c", PROGRAMS.server, server, packages);
  await compile("fuse_client.c", PROGRAMS.client, ["-static"], packages);
}

/** Boots a guest, and returns its figures. */
export async function measureFuse(
  rounds = ROUNDS,
  { icount = true, only = [] as string[], show = false } = {},
): Promise<FuseGuest> {
  await build();
  const args = [
    ...["run", "-A", "tests/lab/vm/main.ts", "sid"],
    ...icount ? ["--icount"] : [],
    ...show ? ["--show"] : [],
    ...["--file", PROGRAMS.server, "--file", PROGRAMS.client],
    ...["--timeout", "1800"],
    ...["--", "run", "-A", "--no-check", "--cached-only"],
    ...["bench/fuse/in_guest.ts", `${rounds}`, ...only],
  ];
  return await figuresOf(args);
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: "string", default: `${ROUNDS}` },
      icount: { type: "boolean", default: true },
    },
    allowNegative: true,
  });
  const found = await measureFuse(Number(values.rounds), {
    icount: values.icount,
    only: positionals,
  });
  console.log(JSON.stringify(found));
}
