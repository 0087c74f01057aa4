/**
 * Measures the time of a command in batches of different depths, and in a batch
 * beside different numbers of pending commands. The variants take turns, so that
 * a drift of the machine affects all alike.
 */

import { Ring } from "../../mod.ts";
import { poll, POLLIN } from "../../cmd/op.ts";
import { pipe } from "../../tests/kit/fds.ts";
import { devices } from "../layers/devices.ts";
import { FLAT_DEPTHS } from "../layers/workloads.ts";
import { median } from "../stats.ts";

const TURNS = 25;
/** Commands in a turn: a whole number of batches of each depth. */
const COMMANDS = 16384;

interface Variant {
  readonly name: string;
  readonly depth: number;
  /** Runs a batch. */
  readonly run: (batch: readonly Command[]) => unknown;
  readonly times: number[];
}

const { command } = devices.cmd;
type Command = typeof command;

const variants: Variant[] = [];

function add(name: string, ring: Ring, depth: number): void {
  variants.push({
    name: `cmd ${name}`,
    depth,
    run: (batch) => Promise.all(batch.map((each) => ring.cmd(each))),
    times: [],
  }, {
    name: `cmdAll ${name}`,
    depth,
    run: (batch) => ring.cmdAll(batch),
    times: [],
  }, {
    name: `cmdAllSync ${name}`,
    depth,
    run: (batch) => ring.cmdAllSync(batch),
    times: [],
  });
}

for (const depth of FLAT_DEPTHS) {
  add(`depth ${depth}`, Ring.open({ entries: depth }), depth);
}
const { left: empty } = pipe();
const slow = poll(empty, { events: POLLIN });
for (const pending of [1, 100, 1000, 10_000]) {
  const ring = Ring.open({ entries: 128, cqEntries: 16384 });
  for (let i = 0; i < pending; i++) ring.cmd(slow).catch(() => {});
  await new Promise((resolve) => setImmediate(resolve));
  if (ring.stats().inFlight !== pending) throw new Error("not all are pending");
  add(`pending ${pending}`, ring, 128);
}

for (let turn = -2; turn < TURNS; turn++) {
  for (const { depth, run, times } of variants) {
    const batch = new Array<Command>(depth).fill(command);
    const start = performance.now();
    for (let i = 0; i < COMMANDS; i += depth) await run(batch);
    const ns = (performance.now() - start) * 1e6 / COMMANDS;
    if (turn >= 0) times.push(ns);
  }
}
console.log(JSON.stringify(
  Object.fromEntries(variants.map(({ name, times }) => [name, median(times)])),
));
Deno.exit(0); // Closing the rings would wait for the pending commands.
