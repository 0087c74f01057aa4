/**
 * Runs in the virtual machine that ublk.ts boots, and prints its figures as one line of
 * JSON. Its argument is the number of rounds.
 */

import { lacksGuest } from "../../tests/kit/skip.ts";
import { output } from "../../tests/kit/run.ts";
import { median } from "../stats.ts";
import { DEPTHS, KINDS, PROGRAM, type Server, SERVERS } from "./plan.ts";
import type { Kind } from "./plan.ts";
import type { UblkRow } from "./ublk.ts";

const rounds = Number(Deno.args[0]);
/** As in ../guest/guest.ts: V8 optimizes early. */
const V8 = "--v8-flags=--no-concurrent-recompilation," +
  "--invocation-count-for-maglev=100,--invocation-count-for-turbofan=200";
/** Requests that warm up, and those of a short and of a long run. */
const WARM = 8000;
const SHORT = 500;
const LONG = SHORT + 4000;

if (lacksGuest() !== "") {
  throw new Error("This serves only in a guest. Run bench/ublk/ublk.ts.");
}

/** A server, and its process. */
interface Running {
  readonly path: string;
  readonly child: Deno.ChildProcess;
}

async function start(kind: Kind, how: Server["how"]): Promise<Running> {
  const deno = [Deno.execPath(), "run", "-A", "--no-check", "--cached-only"];
  const words = how === "c"
    ? [PROGRAM, kind]
    : [...deno, V8, "bench/ublk/serve.ts", kind, how];
  const child = new Deno.Command(words[0], {
    args: words.slice(1),
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const { value = new Uint8Array() } = await child.stdout.getReader().read();
  const text = new TextDecoder().decode(value).trim();
  if (!text.startsWith("served")) throw new Error(`${how}: ${text}`);
  return { path: text.split(" ")[1], child };
}

/** Returns the nanoseconds that all threads of a process have run. */
function runtimeNs(pid: number): number {
  let sum = 0;
  for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
    const stat = Deno.readTextFileSync(`/proc/${pid}/task/${name}/schedstat`);
    sum += Number(stat.split(" ")[0]);
  }
  return sum;
}

/** Reads so many blocks, and returns the nanoseconds: of all, and of the server. */
async function run(
  { path, child }: Running,
  depth: number,
  count: number,
): Promise<{ ns: number; serverNs: number }> {
  const before = runtimeNs(child.pid);
  const began = performance.now();
  await output("fio", [
    ...["--name=t", "--ioengine=io_uring", "--direct=1", "--rw=randread"],
    ...["--bs=4k", `--filename=${path}`, `--iodepth=${depth}`],
    ...[`--number_ios=${count}`, "--gtod_reduce=1", "--norandommap=1"],
    ...["--thread=1", "--disk_util=0", "--eta=never", "--size=200M"],
  ]);
  const ns = (performance.now() - began) * 1e6;
  return { ns, serverNs: runtimeNs(child.pid) - before };
}

const rows: UblkRow[] = [];
for (const kind of KINDS) {
  for (const { name, how } of SERVERS) {
    const running = await start(kind, how);
    for (const depth of DEPTHS) {
      await run(running, depth, WARM);
      const ns: number[] = [];
      const serverNs: number[] = [];
      for (let round = 0; round < rounds; round++) {
        const short = await run(running, depth, SHORT);
        const long = await run(running, depth, LONG);
        ns.push((long.ns - short.ns) / (LONG - SHORT));
        serverNs.push((long.serverNs - short.serverNs) / (LONG - SHORT));
      }
      const row = { server: name, kind, depth };
      rows.push({ ...row, ns: median(ns), serverNs: median(serverNs) });
      console.log(JSON.stringify(rows.at(-1)));
    }
    running.child.kill("SIGKILL");
    await running.child.status;
  }
}
console.log(JSON.stringify({ kernel: Deno.osRelease(), rounds, rows }));
// The dead devices go with the guest.
Deno.exit(0);
