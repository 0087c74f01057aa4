/** Sequences that failed once: they run before all others. */

import type { JobPlan } from "./jobs.ts";
import type { Sequence } from "./sequence.ts";
import type { Step } from "./steps.ts";

const job = (kind: JobPlan["kind"], inside: Step | null = null): JobPlan => ({
  kind,
  inside,
  throws: false,
});
const step = (act: Step["act"], jobs: JobPlan[] = [], n = 0): Step => ({
  act,
  jobs,
  n,
});

/** Their rings, steps and endings, each with what went wrong. */
export const known: readonly Sequence[] = [
  // The kernel does not find a later command of a chain, to cancel it.
  ...["plain", "deferred"].map((shape) => ({
    shape,
    steps: [step("link", [job("nop"), job("read")])],
    ending: "close" as const,
  })),
  ...["plain", "deferred"].map((shape) => ({
    shape,
    steps: [
      step("link", [job("timeout"), job("nop"), job("slow")], 1),
      step("pause"),
    ],
    ending: "abort" as const,
  })),
  // A stream whose decoder has more values come had a turn that never ended.
  {
    shape: "deferred",
    steps: [
      step("stream", [job("nop", step("give"))], 48),
      step("turn"),
      step("give"),
      step("pause"),
    ],
    ending: "give",
  },
  // A decoder that tries to block is refused; once it reaped its own stream.
  {
    shape: "plain",
    steps: [
      step("stream", [job("nop", step("sync", [job("timeout")]))]),
      step("turn"),
      step("give"),
      step("cmd", [job("timeout"), job("timeout")]),
      step("leave"),
    ],
    ending: "give",
  },
  // So is one that tries while more of its values come, each time.
  ...["plain", "sqpoll"].map((shape) => ({
    shape,
    steps: [
      step("stream", [
        job("nop", step("sync", [job("nop", step("give")), job("nop")])),
      ]),
      step("give"),
      step("pause"),
    ],
    ending: "give" as const,
  })),
];
