/**
 * Measures `./ublk` beside a server in C, in a virtual machine of tests/lab/vm.
 *
 *     deno run -A bench/ublk/ublk.ts [--rounds N] [--no-icount]
 *
 * As in ../guest/guest.ts, the clock of the machine advances by one nanosecond for each
 * instruction, and it has one processor.
 */

import { parseArgs } from "node:util";
import { compile } from "../c/compile.ts";
import { figuresOf } from "../guest/figures.ts";
import { type Kind, PROGRAM } from "./plan.ts";

/** Reads of 4 KiB from a disk. */
export interface UblkRow {
  /** The name of a server in plan.ts. */
  readonly server: string;
  readonly kind: Kind;
  /** Requests in flight. */
  readonly depth: number;
  /** Instructions for a request: of the client, the kernel and the server. */
  readonly ns: number;
  /** Instructions of the server for a request, with its part of the kernel. */
  readonly serverNs: number;
}

/** The figures of a guest. */
export interface UblkGuest {
  readonly kernel: string;
  readonly rounds: number;
  readonly rows: readonly UblkRow[];
}

/** Boots a guest, and returns its figures. */
export async function measureUblk(
  rounds = 3,
  icount = true,
): Promise<UblkGuest> {
  const flags = ["-static", "-pthread", "-luring"];
  const packages = "gcc libc6-dev liburing-dev linux-libc-dev";
  await compile("ublk_server.c", PROGRAM, flags, packages);
  return await figuresOf([
    ...["run", "-A", "tests/lab/vm/main.ts", "sid", "--with", "fio"],
    ...icount ? ["--icount"] : [],
    ...["--file", PROGRAM, "--timeout", "1800"],
    ...["--", "run", "-A", "--no-check", "--cached-only"],
    ...["bench/ublk/in_guest.ts", `${rounds}`],
  ]);
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "3" },
      icount: { type: "boolean", default: true },
    },
    allowNegative: true,
  });
  const found = await measureUblk(Number(values.rounds), values.icount);
  console.log(JSON.stringify(found));
}
