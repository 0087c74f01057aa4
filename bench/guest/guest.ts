/**
 * Measures the library beside fio, in a guest of the laboratory: on an NVMe
 * drive, which few machines have to spare, and on a disk that discards.
 *
 *     deno run -A bench/guest/guest.ts
 *
 * The drive and the processor are made of software, and the time of the guest
 * is the number of its instructions: a nanosecond is one of them, in the kernel
 * as outside. So the figures hold on a busy machine too, and can be held
 * against each other. They are not the time that a real processor takes, which
 * does more instructions of a loop in a nanosecond than of a system call.
 */

import { run } from "../../tests/kit/run.ts";
import type { Guest } from "../report/results.ts";

const ROOT = new URL("../../", import.meta.url);

/**
 * Linux 7.x, since discards need 6.12. V8 optimizes after fewer calls than it
 * would by itself, and the program waits for it meanwhile: to warm it up takes
 * minutes otherwise, in a processor of software.
 */
const ARGUMENTS = [
  ...["run", "-A", "tests/lab/vm/main.ts", "sid", "--icount", "--with", "fio"],
  ...["--", "run", "-A", "--no-check", "--cached-only"],
  "--v8-flags=--no-concurrent-recompilation," +
  "--invocation-count-for-maglev=100,--invocation-count-for-turbofan=200",
  "bench/guest/in_guest.ts",
];

/** Boots a guest, and returns what it has measured, and on which kernel. */
export async function guest(): Promise<Guest> {
  const { success, stdout, stderr } = await run(Deno.execPath(), ARGUMENTS, {
    cwd: ROOT,
  });
  const line = stdout.split("\n").find((each) => each.startsWith('{"kernel":'));
  if (!success || line === undefined) {
    throw new Error(`the guest measured nothing: ${stderr}${stdout}`);
  }
  return JSON.parse(line);
}

if (import.meta.main) {
  const { kernel, rows } = await guest();
  console.log(`Linux ${kernel}`);
  console.table(rows);
}
