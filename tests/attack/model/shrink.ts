/** Makes a sequence smaller that blocks the process which runs it. */

import type { JobPlan } from "./jobs.ts";
import type { Sequence } from "./sequence.ts";
import type { Step } from "./steps.ts";

/** The smallest sequence found, until `over`, that still `fails`. */
export async function shrink(
  sequence: Sequence,
  fails: (smaller: Sequence) => Promise<boolean>,
  over: () => boolean,
): Promise<Sequence> {
  for (const smaller of smallerSequences(sequence)) {
    if (over()) break;
    if (await fails(smaller)) return shrink(smaller, fails, over);
  }
  return sequence;
}

function* smallerSequences(sequence: Sequence): Iterable<Sequence> {
  const { steps } = sequence;
  for (let size = steps.length >> 1; size > 0; size >>= 1) {
    for (let at = 0; at < steps.length; at += size) {
      yield { ...sequence, steps: steps.toSpliced(at, size) };
    }
  }
  for (const [i, step] of steps.entries()) {
    for (const smaller of smallerSteps(step)) {
      yield { ...sequence, steps: steps.with(i, smaller) };
    }
  }
}

function* smallerSteps(step: Step): Iterable<Step> {
  const { jobs, n } = step;
  if (n > 0) yield { ...step, n: 0 };
  for (const [i, job] of jobs.entries()) {
    yield { ...step, jobs: jobs.toSpliced(i, 1) };
    for (const smaller of smallerJobs(job)) {
      yield { ...step, jobs: jobs.with(i, smaller) };
    }
  }
}

function* smallerJobs(job: JobPlan): Iterable<JobPlan> {
  if (job.kind !== "nop") yield { ...job, kind: "nop" };
  if (job.throws) yield { ...job, throws: false };
  if (job.inside === null) return;
  yield { ...job, inside: null };
  for (const inside of smallerSteps(job.inside)) yield { ...job, inside };
}
