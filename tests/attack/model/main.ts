/**
 * Runs sequences of steps, in a process of its own: one may block it for good.
 * The sequence that runs is always in the file that is named first.
 */

import fc from "fast-check";
import { probe } from "../../../cmd/probe.ts";
import { O_RDWR } from "../../../sys/uapi/fcntl.ts";
import { open } from "../../../sys/file.ts";
import { openFdCount } from "../../kit/process.ts";
import { brief, type JobPlan, kinds } from "./jobs.ts";
import { known } from "./known.ts";
import { endings, type Ground, runSequence, shapes } from "./sequence.ts";
import type { Sequence } from "./sequence.ts";
import { acts, type Step, withJobs } from "./steps.ts";

/** Weights of the steps; default 1. */
const OFTEN: Partial<Record<Step["act"], number>> = {
  cmd: 6,
  batch: 4,
  link: 4,
  all: 2,
  sync: 2,
  stream: 2,
  abort: 4,
  give: 4,
  hop: 2,
  turn: 3,
};

/** Sequences of all kinds of steps, on rings that this kernel has. */
function sequences(): fc.Arbitrary<Sequence> {
  const act = fc.constantFrom(
    ...(Object.keys(acts) as Step["act"][]).flatMap((act) =>
      Array<Step["act"]>(OFTEN[act] ?? 1).fill(act)
    ),
  );
  const kind = fc.constantFrom(
    ...Object.keys(kinds) as JobPlan["kind"][],
    ...brief,
  );
  const n = fc.nat(63);
  const { step } = fc.letrec<{ step: Step; job: JobPlan }>((tie) => ({
    job: fc.record({
      kind,
      inside: fc.option(tie("step"), { freq: 2, maxDepth: 2 }),
      throws: fc.nat(9).map((n) => n === 9),
    }),
    step: act.chain((act) =>
      fc.record({
        act: fc.constant(act),
        jobs: withJobs.includes(act)
          ? fc.array(tie("job"), { maxLength: 4, depthIdentifier: "jobs" })
          : fc.constant([]),
        n,
      })
    ),
  }));
  return fc.record({
    shape: fc.constantFrom(...available()),
    steps: fc.array(step, { maxLength: 16, size: "max" }),
    ending: fc.constantFrom(...endings),
  });
}

function available(): string[] {
  const { setupFlags } = probe();
  const has = (flag: string) => setupFlags.includes(flag);
  return Object.keys(shapes).filter((name) => {
    const { deferTaskrun, sqpoll, mixed } = shapes[name];
    return (!deferTaskrun || has("DEFER_TASKRUN")) &&
      (!sqpoll || has("SQPOLL")) && (!mixed || has("CQE_MIXED"));
  });
}

const [path, fifo, setting] = Deno.args;
const { sequence, runs, limitMs, seed } = JSON.parse(setting);
const ground: Ground = { fifo, null: open("/dev/null", O_RDWR), reported: [] };
addEventListener("error", (event) => {
  event.preventDefault();
  ground.reported.push(event.error);
});
addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  ground.reported.push(event.reason);
});

let done = 0;
async function check(sequence: Sequence): Promise<void> {
  Deno.writeTextFileSync(path, JSON.stringify(sequence));
  const wrong = await runSequence(sequence, ground);
  if (wrong.length > 0) throw new Error(wrong.join("\n"));
  done++;
}

async function checkMany(): Promise<void> {
  // The runtime opens its own descriptors once: they are open from now on.
  await check({ shape: "plain", steps: [], ending: "close" });
  const before = openFdCount();
  const start = performance.now();
  const examples = known.filter(({ shape }) => available().includes(shape))
    .map((sequence): [Sequence] => [sequence]);
  const property = fc.asyncProperty(sequences(), check);
  const details = await fc.check(property, {
    numRuns: runs,
    interruptAfterTimeLimit: limitMs,
    examples,
    ...(seed === undefined ? {} : { seed }),
  });
  if (details.failed) {
    const { seed, counterexamplePath, counterexample, errorInstance } = details;
    const text = JSON.stringify(counterexample?.[0]);
    console.error(`seed ${seed}, path ${counterexamplePath}: ${text}`);
    console.error(String(errorInstance));
    Deno.exit(1); // What has not ended may keep the process alive.
  }
  const ms = Math.round(performance.now() - start);
  const leaked = () => openFdCount() - before;
  // The sockets of wakers close a little later.
  for (let i = 0; i < 100 && leaked() > 0; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  console.log(JSON.stringify({ done, ms, leaked: leaked() }));
}

if (sequence) await check(sequence);
else await checkMany();
