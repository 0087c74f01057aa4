/**
 * Calls a ring at every depth of the stack at which it fails, and prints a line for
 * each thing that went wrong. Its arguments are the kind of ring and the call.
 *
 * A recursion catches the RangeError at its end and makes a call at each level on
 * its way back, until calls succeed. Rounds begin 8 bytes deeper each, so that all
 * depths are met: a level takes less than 8 bytes times {@linkcode ROUNDS}.
 */

import { Command } from "../../ring/command.ts";
import { Ring, type RingOptions } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import { IORING_OP_NOP, IORING_OP_POLL_ADD } from "../../sys/uapi/io_uring.ts";
import { O_APPEND, O_CREAT, O_WRONLY } from "../../sys/uapi/fcntl.ts";
import { pipe } from "../kit/fds.ts";
import { pretendRelease } from "../kit/refuse.ts";
import { settles, sleep } from "../kit/wait.ts";

const ROUNDS = 24;
/** Calls of one round, of which those at greater depths throw. */
const CALLS = 2000;
/** Calls in a row that return before a round ends. */
const ENOUGH = 4;
const PATTERN = 0x52;

const KINDS: Readonly<Record<string, RingOptions>> = {
  default: {},
  full: { entries: 4, cqEntries: 8 },
  sqe128: { sqe128: true, cqe32: true },
  mixed: { mixed: true },
  sqpoll: { sqpoll: true },
  deferTaskrun: { deferTaskrun: true },
  held: {},
};

const [kind, name] = Deno.args;
const problems = new Set<string>();
if (kind === "held") pretendRelease("6.12.0");
globalThis.addEventListener("error", (event) => {
  problems.add(`reported: ${event.message}`);
  event.preventDefault();
});

const folder = Deno.makeTempDirSync();
Deno.writeFileSync(`${folder}/source`, new Uint8Array(16).fill(PATTERN));
const ring = Ring.open(KINDS[kind]);
const source = ring.cmdSync(op.openat(`${folder}/source`));
const flags = O_WRONLY | O_CREAT | O_APPEND;
const target = ring.cmdSync(op.openat(`${folder}/target`, { flags }));
using blocker = pipe();

// Every SQE of the queue has pointed at this memory, which is free again.
const free = ring.alloc(16);
const earlier = op.read(source, free, { offset: 0 });
for (let i = 0; i < 4; i++) {
  await Promise.all(Array.from({ length: 100 }, () => ring.cmd(earlier)));
}
free.fill(0);
const memory = ring.alloc(16 * CALLS);

/** One call, the memory that it reads into, and the numbers that it writes. */
interface Call {
  readonly run: () => unknown;
  readonly into: Uint8Array;
  readonly numbers: readonly number[];
  outcome: "not called" | "threw" | "returned" | "pending" | "ok" | "refused";
  result?: unknown;
}

let numbers = 0;
const streams: AsyncIterableIterator<unknown>[] = [];
const multishot = new Command<unknown>({
  name: "POLL_ADD",
  opcode: IORING_OP_POLL_ADD,
  file: blocker.left,
  len: 1, // IORING_POLL_ADD_MULTI
  opFlags: 1,
  multishot: true,
});

/** Makes one of the calls, and all that it needs. */
function prepare(place: number): Call {
  const into = memory.subarray(16 * place, 16 * place + 16);
  const read = op.read(source, into, { offset: 0 });
  const written: number[] = [];
  const write = () => {
    const bytes = new Uint8Array(Uint32Array.of(++numbers).buffer);
    written.push(numbers);
    return op.write(target, bytes);
  };
  const many = ["link", "cmdAllSync", "cmdAll"].includes(name);
  const one = many || name === "stream" || place % 2 === 0 ? read : write();
  // The no-ops of a batch have no slots.
  const none = name === "link" ? [] : [op.nop()];
  const all = many ? [...none, write(), read, ...none, write()] : [];
  const runs: Record<string, () => unknown> = {
    cmd: () => ring.cmd(one),
    cmdSync: () => ring.cmdSync(one),
    cmdAllSync: () => ring.cmdAllSync(all),
    cmdAll: () => ring.cmdAll(all),
    link: () => Promise.all(ring.link(all)),
    stream: () => streams.push(ring.stream(multishot)),
  };
  return { run: runs[name], into, numbers: written, outcome: "not called" };
}

let calls: Call[] = [];
let used = 0;
let returned = 0;

function descend(..._pad: number[]): void {
  try {
    descend();
  } catch {
    // The end of the stack.
  }
  if (returned === ENOUGH || used === calls.length) return;
  const call = calls[used++];
  try {
    call.result = call.run();
    call.outcome = "returned";
    returned++;
  } catch {
    call.outcome = "threw";
    returned = 0;
  }
}

/** Counts how often each number was written. */
function countWrites(): Map<number, number> {
  const counts = new Map<number, number>();
  const { buffer } = Deno.readFileSync(`${folder}/target`);
  for (const number of new Uint32Array(buffer)) {
    counts.set(number, (counts.get(number) ?? 0) + 1);
  }
  return counts;
}

/** Starts commands that are in flight, or wait, while the round calls the ring. */
function crowd(round: number, signal: AbortSignal): Promise<unknown>[] {
  const decoded = () =>
    new Command({ name: "NOP", opcode: IORING_OP_NOP, decode: () => ({}) });
  const others: Promise<unknown>[] = [];
  if (round % 3 === 0) others.push(ring.cmdAll([op.nop(), decoded()]));
  for (let i = 0; i < [0, 2, 4, 5, 8][round % 5]; i++) {
    const read = op.read(blocker.left, new Uint8Array(1));
    ring.cmd(read, { signal }).catch(() => {});
  }
  for (let i = 0; i < [0, 1, 3, 4, 7, 12][round % 6]; i++) {
    others.push(ring.cmd(i % 2 ? op.nop() : decoded()));
  }
  return others;
}

/** Aborts signals at every depth. What no signal has reached, close() cancels. */
async function abortEach(round: number): Promise<void> {
  const own = Ring.open({
    ...KINDS[kind],
    entries: kind === "full" ? 4 : 2048,
  });
  const all = Array.from({ length: 1000 }, (_, i) => {
    const abort = new AbortController();
    const read = op.read(blocker.left, new Uint8Array(1));
    const poll = op.poll(blocker.left, { events: op.POLLIN });
    const promise = i % 4 < 3
      ? own.cmd(read, abort)
      : own.cmdAll([poll, read], abort);
    const settled = promise.then(() => {}, () => {});
    return { abort, settled };
  });
  if (round % 2 === 0) await sleep(1);
  calls = all.map(({ abort }) => ({
    run: () => (abort.abort(), null),
    into: memory,
    numbers: [],
    outcome: "not called",
  }));
  used = returned = 0;
  descend(...new Array(round).fill(0));
  for (const [place, { outcome }] of calls.entries()) {
    if (outcome === "returned" && !await settles(all[place].settled)) {
      problems.add("an aborted command never settled");
    }
  }
  // On a busy machine a submission thread takes its time for two thousand commands.
  const closes = await settles(own.close(), 30_000);
  if (!closes) problems.add("close() never resolves");
  for (const { settled } of all) {
    if (!await settles(settled)) problems.add("close() settles not all");
  }
}

for (let round = 0; round < ROUNDS; round++) {
  if (name === "abort") {
    await abortEach(round);
    if (problems.size > 0) break;
    continue;
  }
  const report = (text: string) => problems.add(text);
  const abort = new AbortController();
  const others = crowd(round, abort.signal);
  calls = Array.from({ length: CALLS }, (_, place) => prepare(place));
  used = returned = 0;
  descend(...new Array(round).fill(0));
  calls.length = used;

  // What a call has thrown for is over, and its memory is its owner's.
  const before = countWrites();
  for (const { outcome, into } of calls) if (outcome === "threw") into.fill(0);
  for (const call of calls) {
    if (!(call.result instanceof Promise)) continue;
    call.outcome = "pending";
    call.result.then(
      () => call.outcome = "ok",
      () => {
        call.outcome = "refused";
        call.into.fill(0);
      },
    );
  }
  abort.abort();
  // They may have taken all room of the ring.
  for (const stream of streams.splice(0)) {
    if (!await settles(stream.return!())) report("a stream cannot be left");
  }
  if (!await settles(ring.cmd(op.nop()))) report("the next command is lost");
  for (let i = 0; i < 500 && ring.stats().inFlight > 0; i++) await sleep(1);
  await sleep(1);

  const after = countWrites();
  for (const { outcome, numbers, into } of calls) {
    const done = outcome === "returned" || outcome === "ok";
    if (outcome === "pending") report("a call returned, and never settled");
    for (const number of numbers) {
      const count = after.get(number) ?? 0;
      if (count > 1) report("a command ran twice");
      if (done && count !== 1) report("a command did not run, and succeeded");
      if (outcome === "refused" && count > 0) report("a refused command ran");
      if (outcome === "threw" && count > (before.get(number) ?? 0)) {
        report("a command ran after its call had thrown");
      }
    }
    if (!done && into[0] !== 0) report("the memory of a refused call changed");
  }
  if (free[0] !== 0) report("an earlier command ran again");
  for (const other of others) {
    const value = await Promise.race([
      other.then(() => "ok", (error) => `${error}`),
      sleep(2000).then(() => "nothing"),
    ]);
    if (value !== "ok") report(`an innocent command got ${value}`);
  }
  const { inFlight, waiting } = ring.stats();
  if (inFlight + waiting > 0) {
    report(`round ${round} left ${inFlight} in flight, ${waiting} waiting`);
    break;
  }
}

// close() at every depth; then it is called once more.
returned = used = 0;
calls = Array.from({ length: CALLS }, () => ({
  run: () => ring.close(),
  into: memory,
  numbers: [],
  outcome: "not called",
}));
descend();
if (!calls.some(({ outcome }) => outcome === "threw")) {
  problems.add("no call has thrown");
}
if (!await settles(ring.close())) problems.add("close() never resolves");

/** Processor time of this process, in ticks of 10 ms. */
function ticks(): number {
  const stat = Deno.readTextFileSync("/proc/self/stat").split(") ")[1];
  return stat.split(" ").slice(11, 13).reduce((sum, it) => sum + +it, 0);
}
const start = ticks();
await sleep(300);
if (ticks() - start > 15) problems.add("the processor is busy afterwards");

for (const problem of problems) console.log(problem);
Deno.removeSync(folder, { recursive: true });
Deno.exit(0);
