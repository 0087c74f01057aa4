/** A sequence of steps on a ring of its own, from the opening to the end. */

import type { RingOptions } from "../../../mod.ts";
import { turn } from "../../kit/wait.ts";
import { leave, type Step, take } from "./steps.ts";
import { Aborted, World } from "./world.ts";

/** Shapes of rings that sequences run on, by name. */
export const shapes: Record<string, RingOptions> = {
  plain: {},
  one: { entries: 1, cqEntries: 4 },
  two: { entries: 2, cqEntries: 4 },
  deferred: { deferTaskrun: true },
  deferredOne: { entries: 1, cqEntries: 4, deferTaskrun: true },
  sqpoll: { sqpoll: { idleMs: 1 } },
  sqpollTwo: { entries: 2, cqEntries: 4, sqpoll: { idleMs: 1 } },
  sqe128: { sqe128: true, entries: 4 },
  cqe32: { cqe32: true, entries: 4 },
  mixed: { mixed: true, entries: 4 },
};

/** Ways to end the commands that are in flight after the last step. */
export const endings = ["give", "abort", "close"] as const;

/** A ring, the steps on it, and the way it ends. */
export interface Sequence {
  readonly shape: string;
  readonly steps: readonly Step[];
  readonly ending: typeof endings[number];
}

/** Files that all sequences share. */
export interface Ground {
  readonly fifo: string;
  readonly null: number;
  /** Errors that were reported to the global scope. */
  readonly reported: unknown[];
}

/** Turns between two looks at the clock. */
const LOOKS = 250;
const LOOK_MS = 50;

/** Runs a sequence, and returns what went wrong. */
export async function runSequence(
  { shape, steps, ending }: Sequence,
  ground: Ground,
): Promise<string[]> {
  const slow = steps.some(mayBeSlow);
  const world = new World(shapes[shape], slow, ground.fifo, ground.null);
  ground.reported.length = 0;
  for (const step of steps) await take(world, step);
  await end(world, ending);
  const { ring } = world;
  const closing = ring.close();
  world.closing = closing;
  world.watch(closing, "close", () => ["undefined"]);
  await settled(world, () => true);
  await turn(); // What is reported, is reported by now.
  const { inFlight, waiting } = ring.stats();
  if (inFlight + waiting > 0) {
    world.complain(`${inFlight} in flight and ${waiting} waiting in the end`);
  }
  for (const error of ground.reported) {
    const text = error instanceof Error ? error.stack : error;
    world.complain(`reported: ${text}`);
  }
  const verdict = world.verdict();
  if (world.unsettled.length > 0) await rescue(world);
  world.dispose();
  return verdict;
}

/** Has all come to an end that can, while the ring is still open. */
async function end(world: World, ending: Sequence["ending"]): Promise<void> {
  if (ending === "close" || world.closed) return;
  world.ring.ref();
  await settled(world, () => {
    // Decoders may start commands meanwhile, which have to end as well.
    for (const { job, abort } of world.unsettled) {
      if (ending === "abort" && abort !== null) abort.abort(new Aborted());
      else if (job !== null) world.give(job);
    }
    for (const reader of world.readers) leave(world, reader);
    return !world.closed;
  });
}

/** Ends what has failed to end, so that it does not fail what comes after it. */
async function rescue(world: World): Promise<void> {
  world.openFifo();
  for (const job of world.jobs) world.give(job);
  await settled(world, () => true);
}

/**
 * Returns `true` if a step may leave a command in a worker that does not end by
 * itself. In a chain, a worker runs the commands after its own as well.
 */
function mayBeSlow({ act, jobs }: Step): boolean {
  return jobs.some(({ kind, inside }) =>
    kind === "slow" || kind === "worker" && act === "link" ||
    inside !== null && mayBeSlow(inside)
  );
}

/** Waits until all has settled, for a while, or as long as it is `wanted`. */
async function settled(world: World, wanted: () => boolean): Promise<void> {
  // Counted in turns of the loop: a machine that stood still has not looked.
  for (let look = 0; look < LOOKS; look++) {
    if (world.unsettled.length === 0 || !wanted()) return;
    if (look < 20) await turn();
    else {await new Promise((done) =>
        setTimeout(done, look < 200 ? 1 : LOOK_MS)
      );}
  }
  for (const { name } of world.unsettled) {
    world.complain(`${name} does not settle`);
  }
}
