/** The steps that sequences are made of: what each does, and what it allows. */

import { Command } from "../../../ring/command.ts";
import { linkTimeout } from "../../../cmd/op.ts";
import {
  IORING_OP_POLL_ADD,
  IORING_POLL_ADD_MULTI,
} from "../../../sys/uapi/io_uring.ts";
import { POLLIN } from "../../../sys/uapi/poll.ts";
import { collect, turn } from "../../kit/wait.ts";
import { brief, type JobPlan, make } from "./jobs.ts";
import { Aborted, allOutcomes, failure, provide, Thrown } from "./world.ts";
import type { Allows, Job, Reader, World } from "./world.ts";

/** One step: `n` says which of many, or how. */
export interface Step {
  readonly act: keyof typeof acts;
  readonly jobs: readonly JobPlan[];
  readonly n: number;
}

type Act = (world: World, step: Step) => void | Promise<void>;

/** Every kind of step. */
export const acts = {
  /** Runs commands side by side, some with a signal. */
  cmd(world, { jobs, n }) {
    for (const plan of jobs) {
      const job = make(world, plan, (step) => inside(world, step));
      const abort = signalOf(world, n);
      const { closed } = world;
      const early = abort?.signal.aborted ?? false;
      const natural = job.allows({ given: true, aborted: false, closed });
      const promise = world.ring.cmd(job.command, abort ?? undefined);
      const allows: Allows = closed
        ? () => ["!refused"]
        : early
        ? () => natural.filter(isRefusal).concat("!aborted")
        : ({ given }) => job.allows({ given, aborted: false, closed });
      world.watch(promise, `cmd ${job.name}`, allows, { job, abort });
    }
  },

  /** Runs commands as a batch, some with a signal of its own. */
  batch(world, { jobs, n }) {
    const made = jobs.map((plan) =>
      make(world, plan, (step) => inside(world, step))
    );
    // What a shared reason tells, it tells of the last batch.
    const abort = signalOf(world, n === 14 ? n : n & 1);
    const { closed } = world;
    const early = abort?.signal.aborted ?? false;
    const refusals = made.flatMap((job) =>
      job.allows({ given: true, aborted: false, closed }).filter(isRefusal)
    );
    const commands = made.map(({ command }) => command);
    const all = outcomesOf(
      world.ring.cmdAll(commands, abort ?? undefined),
      made.length,
    );
    made.forEach((job, i) => {
      const allows: Allows = closed
        ? () => ["!refused"]
        : refusals.length > 0
        ? () => refusals
        : early
        ? () => ["!aborted"]
        : ({ given }) => job.allows({ given, aborted: false, closed });
      const one = all.then((outcomes) => {
        const outcome = outcomes[i];
        if (outcome.status === "rejected") throw outcome.reason;
        return outcome.value;
      });
      world.watch(one, `batch ${job.name}`, allows, { job, abort });
    });
  },

  /** Runs commands one by one, and blocks. */
  sync(world, { jobs }) {
    for (const plan of jobs) {
      block(world, [plan], (job) => [
        world.ring.cmdSync(job[0].command),
      ]);
    }
  },

  /** Runs commands together, and blocks. */
  all(world, { jobs }) {
    block(
      world,
      jobs,
      (made) => world.ring.cmdAllSync(made.map(({ command }) => command)),
    );
  },

  /** Runs commands one after the other, some for a limited time. */
  link(world, { jobs, n }) {
    const chain = jobs.map((plan) =>
      make(world, plan, (step) => inside(world, step))
    );
    const commands = chain.map(({ command }) => command);
    const limited = (n & 4) !== 0 && commands.length > 0;
    if (limited) commands.splice(1, 0, linkTimeout(1));
    const abort = signalOf(world, n);
    const { closed } = world;
    const early = abort?.signal.aborted ?? false;
    const { entries = 64 } = world.options;
    const promises = world.ring.link(commands, abort ?? undefined);
    const refusals = chain.flatMap((job) =>
      job.allows({ given: true, aborted: false, closed }).filter(isRefusal)
    );
    if (commands.length > Math.min(entries, 2)) refusals.push("!long");
    if (early) refusals.push("!aborted");
    const broken = limited ? ["!ECANCELED", "!EINTR", "!512"] : [];
    let before: { outcome: string | null } | null = null;
    if (limited) {
      const [timed] = promises.splice(1, 1);
      const ends = closed ? ["!refused"] : ["true", "false", ...refusals];
      world.watch(timed, "link limit", () => ends, { abort, dependent: true });
    }
    chain.forEach((job, i) => {
      const previous = before;
      const kind = jobs[i].kind;
      const allows: Allows = (facts) => {
        if (closed) return ["!refused"];
        if (early || refusals.some((text) => text !== "!long")) return refusals;
        const natural = [...job.allows(facts), ...refusals];
        if (i === 0) return [...natural, ...broken];
        const { outcome } = previous!;
        // That a decoder throws, the kernel does not know.
        if (outcome === "!thrown") return [...natural, "!ECANCELED"];
        const severed = outcome!.startsWith("!") ||
          jobs[i - 1].kind === "timeout";
        return severed ? ["!ECANCELED", ...refusals] : natural;
      };
      before = world.watch(promises[i], `link ${kind}`, allows, {
        job,
        abort,
        dependent: true,
      });
    });
  },

  /** Reads a stream: for so many values, or until it ends. */
  stream(world, { jobs, n }) {
    const { left, right } = world.pipe();
    const plan = jobs[0];
    let values = 0;
    const command = new Command<number>({
      name: "stream",
      opcode: IORING_OP_POLL_ADD,
      file: left,
      len: IORING_POLL_ADD_MULTI,
      opFlags: POLLIN,
      multishot: true,
      decode() {
        const value = values++;
        if (plan?.inside) inside(world, plan.inside);
        if (plan?.throws) throw new Thrown();
        return value;
      },
    });
    let written = 0;
    const job: Job = {
      name: "stream",
      command,
      allows: () => [],
      give() {
        // Only a turn without end has time for so many, and a pipe has not room.
        if (++written === 10_000) world.complain("a turn without end");
        if (written < 10_000) provide(right, 1);
        job.given = false; // It can be given any number of times.
      },
      uses: null,
      decoded: 0,
      given: false,
    };
    const abort = signalOf(world, n);
    const early = abort?.signal.aborted ?? false;
    let stream: AsyncIterableIterator<number>;
    try {
      stream = world.ring.stream(command, abort ?? undefined);
      if (world.closed && world.depth === 0) {
        world.complain("stream: not refused");
      }
    } catch (error) {
      const allowed = world.closed ? ["!refused"] : early ? ["!aborted"] : [];
      expect(world, "stream", failure(error), allowed);
      return;
    }
    const most = n & 8 ? 1 + (n >> 4) : Infinity;
    const reader = { stream, left: false };
    world.readers.push(reader);
    const read = async () => {
      let next = 0;
      for await (const value of stream) {
        if (value !== next++) {
          world.complain(`stream: value ${value} at ${next - 1}`);
        }
        if (next >= most) break;
      }
      return "over";
    };
    const allows: Allows = () => {
      const ends = reader.left || written > 0 ? ["over"] : [];
      return written > 0 && plan?.throws ? [...ends, "!thrown"] : ends;
    };
    world.watch(read(), "stream", allows, { job, abort });
  },

  /** Leaves a stream: its reader ends. */
  leave(world, { n }) {
    const reader = world.readers[n % (world.readers.length || 1)];
    if (reader !== undefined) leave(world, reader);
  },

  /** Aborts a command in flight, which may be aborted already. */
  abort(world, { n }) {
    const some = world.unsettled.filter(({ abort }) => abort !== null);
    some[n % (some.length || 1)]?.abort?.abort(new Aborted());
  },

  /** Provides what one of the commands waits for. */
  give(world, { n }) {
    const some = world.unsettled.filter(({ job }) => job && !job.given);
    const job = some[n % (some.length || 1)]?.job;
    if (job) world.give(job);
  },

  /** Lets the event loop turn. */
  async turn(world, { n }) {
    if (world.depth > 0) return;
    for (let i = 0; i <= n % 3; i++) await turn();
  },

  /** Lets microtasks run, and no more. */
  async hop(world, { n }) {
    if (world.depth > 0) return;
    for (let i = 0; i <= n % 8; i++) await Promise.resolve();
  },

  /** Waits for about as long as timeouts take. */
  async pause(world) {
    if (world.depth > 0) return;
    await new Promise((resolve) => setTimeout(resolve, 1));
  },

  /** Collects garbage, which is slow. */
  gc(_, { n }) {
    if (n === 7) collect();
  },

  registerFiles(world) {
    const ends = Array.from({ length: 3 }, () => world.pipe());
    const allowed = world.closed
      ? ["!refused"]
      : [world.filesRegistered ? "!EBUSY" : "done"];
    call(world, "registerFiles", allowed, () => {
      const files = world.ring.registerFiles(ends.map(({ left }) => left));
      world.filesRegistered = true;
      world.files = files.map((file, i) => ({
        file,
        right: ends[i].right,
        used: false,
        registered: true,
      }));
    });
  },

  unregisterFiles(world) {
    call(world, "unregisterFiles", outcomes(world, "files"), () => {
      world.ring.unregisterFiles();
      world.filesRegistered = false;
      for (const place of world.files) place.registered = false;
    });
  },

  registerBuffers(world) {
    const allowed = world.closed
      ? ["!refused"]
      : [world.buffersRegistered ? "!EBUSY" : "done"];
    call(world, "registerBuffers", allowed, () => {
      const [buffer] = world.ring.registerBuffers([world.ring.alloc(65536)]);
      world.buffersRegistered = true;
      world.buffer = buffer;
    });
  },

  unregisterBuffers(world) {
    call(world, "unregisterBuffers", outcomes(world, "buffers"), () => {
      world.ring.unregisterBuffers();
      world.buffersRegistered = false;
    });
  },

  /** Lets the process end, or keeps it alive. */
  ref(world, { n }) {
    if (n & 1) world.ring.unref();
    else world.ring.ref();
  },

  /** Closes the ring, with commands in flight or without. */
  close(world) {
    const closing = world.ring.close();
    if (world.closing !== null && closing !== world.closing) {
      world.complain("close: another promise");
    }
    world.closing = closing;
    world.watch(closing, "close", () => ["undefined"]);
  },
} satisfies Record<string, Act>;

/** Returns what each command of a batch came to, once all have. */
async function outcomesOf(
  batch: Promise<unknown[]>,
  length: number,
): Promise<PromiseSettledResult<unknown>[]> {
  try {
    return (await batch).map((value) => ({ status: "fulfilled", value }));
  } catch (error) {
    const { results } = error as { results?: PromiseSettledResult<unknown>[] };
    return results ?? Array(length).fill({ status: "rejected", reason: error });
  }
}

/** Leaves a stream, once. */
export function leave(world: World, reader: Reader): void {
  if (reader.left) return;
  reader.left = true;
  const done = reader.stream.return!().then(({ done }) => done);
  world.watch(done, "leave", () => ["true"]);
}

/** Steps that have commands. */
export const withJobs: readonly Step["act"][] = [
  "cmd",
  "batch",
  "sync",
  "all",
  "link",
  "stream",
];

/** Takes a step; in a decoder it does not wait for anything. */
export function take(world: World, step: Step): void | Promise<void> {
  const act: Act = acts[step.act];
  const done = act(world, step);
  const { inFlight, waiting } = world.ring.stats();
  if (inFlight < 0 || waiting < 0) {
    world.complain(`${step.act}: ${inFlight} in flight, ${waiting} waiting`);
  }
  return done;
}

function inside(world: World, step: Step): void {
  world.depth++;
  void take(world, step);
  world.depth--;
}

/** Runs commands that end by themselves, in a call that blocks. */
function block(
  world: World,
  plans: readonly JobPlan[],
  run: (jobs: Job[]) => unknown[],
): void {
  const jobs = plans.map((plan) => {
    // A slow command may occupy the only worker.
    const ends = brief.includes(plan.kind) &&
      !(plan.kind === "worker" && world.mayBeSlow);
    const kind = ends ? plan.kind : "nop";
    return make(world, { ...plan, kind }, (step) => inside(world, step));
  });
  const { closed, depth } = world;
  let results: string[] = [];
  let error: string | null = null;
  try {
    results = run(jobs).map(String);
  } catch (thrown) {
    error = failure(thrown);
  }
  if (depth > 0) {
    // A decoder may not wait for its ring, and leaves no trace when it tries.
    expect(world, "a call that blocks", error ?? "done", ["!nested"]);
    return;
  }
  if (closed) {
    if (jobs.length > 0 || error !== null) {
      expect(world, "a call that blocks", error ?? "done", ["!refused"]);
    }
    return;
  }
  const facts = world.factsOf(true, null);
  const allowed = jobs.map((job) => allOutcomes(job.allows(facts), facts));
  const name = jobs.map(({ name }) => name).join();
  if (error === null) {
    results.forEach((result, i) => expect(world, name, result, allowed[i]));
  } else if (jobs.some((_, i) => allowed[i].includes("!narrow"))) {
    expect(world, name, error, ["!narrow"]);
  } else {
    // The error is that of the first command that failed.
    const first = allowed.findIndex((texts) => texts.every(isError));
    const candidates = first < 0 ? allowed : allowed.slice(0, first + 1);
    expect(world, name, error, candidates.flat().filter(isError));
  }
}

/** Makes a call that does not block. */
function call(
  world: World,
  name: string,
  allowed: readonly string[],
  run: () => void,
): void {
  let outcome = "done";
  try {
    run();
  } catch (error) {
    outcome = failure(error);
  }
  expect(world, name, outcome, allowed);
}

/** Returns the outcomes that unregistering a table may have. */
function outcomes(world: World, table: "files" | "buffers"): string[] {
  if (world.closed) return ["!refused"];
  const there = table === "files"
    ? world.filesRegistered
    : world.buffersRegistered;
  const users = world.pending.filter(({ job }) => job?.uses === table);
  const held = users.some(({ outcome, job, abort, dependent, allows }) => {
    if (outcome !== null || dependent || job!.given) return false;
    const facts = world.factsOf(false, abort);
    return !facts.aborted && allows(facts).length === 0;
  });
  if (held) return ["!busy"];
  // One that has settled while it waited for room is dropped a little later.
  return users.length > 0 || world.depth > 0
    ? ["!busy", there ? "done" : "!ENXIO"]
    : [there ? "done" : "!ENXIO"];
}

function expect(
  world: World,
  name: string,
  outcome: string,
  allowed: readonly string[],
): void {
  if (allowed.includes(outcome)) return;
  world.complain(`${name} ended with ${outcome}, not ${allowed.join(" or ")}`);
}

function isError(outcome: string): boolean {
  return outcome.startsWith("!");
}

/** Outcomes of what is not queued at all. */
function isRefusal(outcome: string): boolean {
  return outcome === "!stale" || outcome === "!narrow";
}

/** None, one of its own, the shared one, or one that was aborted before. */
function signalOf(world: World, n: number): AbortController | null {
  switch (n & 3) {
    case 0:
      return null;
    case 3:
      return world.shared;
    default: {
      const abort = new AbortController();
      if (n === 14) abort.abort(new Aborted());
      return abort;
    }
  }
}
