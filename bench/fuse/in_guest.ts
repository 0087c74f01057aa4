/**
 * Runs in the virtual machine that fuse.ts boots, and prints its figures as one line of
 * JSON. Its argument is the number of rounds.
 */

import { lacksGuest } from "../../tests/kit/skip.ts";
import { output } from "../../tests/kit/run.ts";
import { median } from "../stats.ts";
import type { FuseRow } from "./fuse.ts";
import { CLIENTS, LIBFUSE, PROGRAMS, SERVERS, type Workload } from "./plan.ts";

const [ROUNDS, ...ONLY] = Deno.args;
/** Operations of a client in each workload, and the size of its large file in MiB. */
const SIZE = ["500", "8"];
/** As in ../guest/guest.ts: V8 optimizes early. */
const V8 = "--v8-flags=--no-concurrent-recompilation," +
  "--invocation-count-for-maglev=100,--invocation-count-for-turbofan=200";

// A mount whose server hangs can be ended by nothing but the end of the machine.
if (lacksGuest() !== "") {
  throw new Error("This mounts only in a guest. Run bench/fuse/fuse.ts.");
}
Deno.writeTextFileSync("/sys/module/fuse/parameters/enable_uring", "Y");

/** A server, and what it was measured with. */
interface Running {
  readonly name: string;
  readonly dir: string;
  readonly pid: number;
  readonly child: Deno.ChildProcess;
  /** By workload and clients. */
  readonly samples: Map<string, { ns: number[]; serverNs: number[] }>;
}

/** Starts a server, and waits until it serves. */
async function start(name: string, args: readonly string[]): Promise<Running> {
  const dir = Deno.makeTempDirSync({ prefix: "fuse-" });
  const words = args.map((word) => word === "DIRECTORY" ? dir : word);
  const child = new Deno.Command(words[0], {
    args: words.slice(1),
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  const { value = new Uint8Array() } = await reader.read();
  const text = new TextDecoder().decode(value).trim();
  if (!text.startsWith("mounted")) throw new Error(`${name}: ${text}`);
  console.log(`${name} ${text}`);
  return { name, dir, pid: child.pid, child, samples: new Map() };
}

/** Runs the client once, with all workloads. */
async function measure(
  { name, dir, pid, samples }: Running,
  clients: number,
  keep: boolean,
): Promise<void> {
  const args = [dir, `${pid}`, `${clients}`, ...SIZE];
  const text = await output(PROGRAMS.client, args);
  for (const line of text.trim().split("\n")) {
    const [workload, ns, serverNs] = line.split(" ");
    const key = `${workload} ${clients}`;
    const all = samples.get(key) ?? { ns: [], serverNs: [] };
    samples.set(key, all);
    if (!keep) continue;
    all.ns.push(Number(ns));
    all.serverNs.push(Number(serverNs));
  }
  console.log(`${name}, ${clients}: ${text.trim().replaceAll("\n", "; ")}`);
}

const running = [await start(LIBFUSE, [PROGRAMS.server, "DIRECTORY"])];
for (const server of SERVERS) {
  if (ONLY.length > 0 && !ONLY.includes(server.name)) continue;
  const args = ["run", "-A", "--no-check", "--cached-only", V8];
  const program = ["bench/fuse/serve.ts", "DIRECTORY", JSON.stringify(server)];
  running.push(
    await start(server.name, [Deno.execPath(), ...args, ...program]),
  );
}
const rounds = Number(ROUNDS);
// The first round only warms up.
for (let round = 0; round <= rounds; round++) {
  for (const clients of CLIENTS) {
    for (const each of running) await measure(each, clients, round > 0);
  }
}
const rows: FuseRow[] = running.flatMap(({ name, samples }) =>
  [...samples].map(([key, { ns, serverNs }]) => {
    const [workload, clients] = key.split(" ");
    return {
      server: name,
      workload: workload as Workload,
      clients: Number(clients),
      ns: median(ns),
      bestNs: Math.min(...ns),
      serverNs: median(serverNs),
    };
  })
);
console.log(JSON.stringify({ kernel: Deno.osRelease(), rounds, rows }));
// The servers go with the guest.
Deno.exit(0);
