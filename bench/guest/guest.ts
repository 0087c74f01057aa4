/**
 * Measures the library beside fio in a virtual machine of tests/lab/vm: on an
 * NVMe drive, which few machines have to spare, and on a disk that discards.
 *
 *     deno run -A bench/guest/guest.ts [--rounds N]
 *
 * QEMU emulates the drive and the processor, and its clock advances by one
 * nanosecond for each instruction, in the kernel and outside. So the figures do
 * not depend on the load of the host, and can be compared with each other. They
 * are not times of a real processor, which runs more instructions of a loop in a
 * nanosecond than of a system call.
 */

import { parseArgs } from "node:util";
import { figuresOf } from "./figures.ts";
import { NVME_QUEUE } from "./plan.ts";

/** The CPU time of a command in the guest. */
export interface GuestRow {
  /** One of the titles in plan.ts. */
  readonly workload: string;
  /** The number of operations in flight. */
  readonly depth: number;
  /** The way that the command took: a method of `Ring`, or fio. */
  readonly through: string;
  /** Nanoseconds: in this guest, instructions. */
  readonly cpuNs: number;
}

/** The figures of a guest. */
export interface Guest {
  readonly kernel: string;
  readonly rows: readonly GuestRow[];
}

/**
 * Debian sid, because discards need Linux 6.12. V8 optimizes after fewer calls
 * than by default, and the program waits meanwhile: on an emulated processor,
 * warming up would otherwise take minutes.
 */
const ARGUMENTS = [
  ...["run", "-A", "tests/lab/vm/main.ts", "sid", "--icount", "--with", "fio"],
  ...["--nvme-queue", String(NVME_QUEUE)],
  ...["--timeout", "1800"], // A busy host takes twenty minutes.
  ...["--", "run", "-A", "--no-check", "--cached-only"],
  "--v8-flags=--no-concurrent-recompilation," +
  "--invocation-count-for-maglev=100,--invocation-count-for-turbofan=200",
  "bench/guest/in_guest.ts",
];

/** The number of rounds that are measured. One more, the first, only warms up. */
const ROUNDS = 2;

/** Boots a guest, and returns its figures. */
export async function measureGuest(rounds = ROUNDS): Promise<Guest> {
  return await figuresOf([...ARGUMENTS, String(rounds)]);
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { rounds: { type: "string" } } });
  const { kernel, rows } = await measureGuest(Number(values.rounds ?? ROUNDS));
  console.log(`Linux ${kernel}`);
  console.table(rows);
}
