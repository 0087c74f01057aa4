/**
 * A long mixed load: all that a program may do with rings, at the same time, for
 * as long as asked. It ends with what was lost, settled twice, wrong or leaked.
 *
 *     deno task soak --minutes 60 --seed 7
 *
 * The seed repeats what is chosen, though not which thread is faster.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { random } from "../../kit/random.ts";
import { type Act, Actor, openStage, SHAPES } from "./actor.ts";
import { injectFaults } from "./faults.ts";
import { garbage, LEFT_BY_WORKER, workers } from "./garbage.ts";
import { Ledger } from "./ledger.ts";
import {
  type Holdings,
  holdings,
  meanOfTenth,
  residentMb,
  settledHoldings,
} from "./process.ts";
import { links, quick, timeouts } from "./quick.ts";
import { closings, storm, streams } from "./storms.ts";
import { filed, registered, streamed } from "./transfers.ts";
import { watch } from "./watchdog.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
  },
});
const totalMs = Number(values.minutes) * 60_000;
const seed = Number(values.seed);
if (!(totalMs > 0) || !Number.isInteger(seed)) {
  throw new RangeError("--minutes is a positive number, --seed a whole one");
}

const acts: Readonly<Record<string, Act>> = {
  quick,
  links,
  timeouts,
  streamed,
  filed,
  registered,
  storm,
  streams,
  closings,
  garbage,
  workers: workers(totalMs),
};
/** Actors that change the tables of a ring, and so have one of their own. */
const ALONE = ["registered"];
/** All but the small one, where three commands wait forever for a fourth. */
const SHARED = Object.keys(SHAPES).filter((shape) => shape !== "small");

const start = performance.now();
const ledger = new Ledger();
let actors: Actor[] = [];
const resident: number[] = [];

function line(): string {
  const seconds = Math.round((performance.now() - start) / 1000);
  const { commands, aborts, faults } = ledger;
  const { descriptors, mappings } = holdings();
  return `${seconds} s: ${commands} commands, ${aborts} aborts, ${faults} ` +
    `faults injected, ${residentMb().toFixed()} MiB, ${descriptors} ` +
    `descriptors, ${mappings} mappings`;
}

/** Has all actors play, until time is up or something is wrong. */
async function play(ms: number): Promise<void> {
  const end = performance.now() + ms;
  const going = () => performance.now() < end;
  const shared = SHARED.map((shape) => openStage(shape, ledger));
  actors = Object.keys(acts).map((name, i) =>
    new Actor(name, ledger, seed + i, going)
  );
  await Promise.all(
    actors.map((actor) =>
      actor.play(acts[actor.name], ALONE.includes(actor.name) ? [] : shared)
        .catch((error) => actor.wrong(error))
    ),
  );
  actors = [];
  await Promise.all(shared.map(({ ring }) => ring.close()));
}

/**
 * Returns what the process holds after a run and did not hold before.
 *
 * Descriptors are counted exactly. Mappings come and go by the tens with V8's
 * heap, with what is allocated in large pieces, and with the pool of memory that
 * is kept; a ring that was not unmapped is two of them, and rings are opened by
 * the thousands. Memory goes up and down by some MiB for the same reasons.
 */
function leaks(before: Holdings, after: Holdings, workers: number): string[] {
  const found: string[] = [];
  const check = (what: string, was: number, is: number, most: number) => {
    const text = `${what}: ${was.toFixed()} before, ${is.toFixed()} after`;
    console.log(`${text}; up to ${most.toFixed()} allowed`);
    if (is > most) found.push(text);
  };
  const { descriptors, mappings } = before;
  const kept = descriptors + workers * LEFT_BY_WORKER.descriptors;
  check("descriptors", descriptors, after.descriptors, kept);
  if (after.descriptors < kept) found.push("descriptors of others were closed");
  const mapped = mappings + 64 + workers * LEFT_BY_WORKER.mappings;
  check("mappings", mappings, after.mappings, mapped);
  const early = meanOfTenth(resident, 1);
  const most = early * 1.1 + 8 + workers * LEFT_BY_WORKER.mb;
  check("MiB, second and last tenth", early, meanOfTenth(resident, 9), most);
  return found;
}

/** Says how it went, and exits. */
function finish(leaked: readonly string[] = []): never {
  const { commands, aborts, faults, rings, workers } = ledger;
  const { pending, doubles, wrongs } = ledger;
  const minutes = ((performance.now() - start) / 60_000).toFixed(1);
  const { descriptors } = LEFT_BY_WORKER;
  console.log(
    `seed ${seed}, ${minutes} minutes: ${commands} commands, ${aborts} aborts, ` +
      `${faults} faults injected, ${rings} rings opened, ${workers} workers ` +
      `terminated, which leave ${descriptors} descriptors each`,
  );
  console.log(
    `${pending} lost, ${doubles} double, ${wrongs.length} wrong, ` +
      `${leaked.length} leaked`,
  );
  for (const text of leaked) console.log(`LEAKED: ${text}`);
  const good = pending + wrongs.length + leaked.length === 0;
  Deno.exit(good ? 0 : 1);
}

console.log(`seed ${seed}`);
for (const type of ["error", "unhandledrejection"] as const) {
  addEventListener(type, (event) => {
    event.preventDefault();
    const cause = "error" in event ? event.error : event.reason;
    ledger.wrong(`an unexpected ${type}: ${cause?.stack ?? cause}`);
  });
}
using _doubles = ledger.countDoubles();
using _faults = injectFaults(ledger, random(seed - 1));
using _watch = watch(() => actors, (what) => {
  ledger.wrong(`no progress for a minute: ${what}`);
  setTimeout(finish, 5000); // Time for the other actors to end.
});
const report = setInterval(() => console.log(line()), 10_000);
const sample = setInterval(() => resident.push(residentMb()), 250);

// The first part makes what is made once and kept.
await play(Math.min(60_000, totalMs / 5));
const before = await settledHoldings();
const { workers: earlier } = ledger;
resident.length = 0;
await play(totalMs - Math.min(60_000, totalMs / 5));
clearInterval(report);
clearInterval(sample);
const after = await settledHoldings();
finish(leaks(before, after, ledger.workers - earlier));
