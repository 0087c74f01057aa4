/**
 * The hot paths as loops, and loops to compare them with. Tests and benchmarks
 * count what they allocate.
 */

import { Ring, uringCmd } from "../../mod.ts";
import { openat } from "../../cmd/op.ts";
import { Service } from "../../ring/service/service.ts";
import {
  enter,
  IORING_OP_URING_CMD,
  prepRw,
  type RawSqe,
  setup,
} from "../../ring/raw.ts";

/** Commands in a batch. */
export const DEPTH = 128;

/** Runs `count` operations, a multiple of {@linkcode DEPTH}. */
export type Loop = (count: number) => void | Promise<void>;

const ring = Ring.open({ entries: DEPTH });
const handle = setup({ entries: DEPTH });
const fd = ring.cmdSync(openat("/dev/null"));
/** A command that /dev/null answers with 0. */
export const command = uringCmd({ fd, cmd_op: 0 });
const batch = new Array(DEPTH).fill(command);
const sqe = { opcode: IORING_OP_URING_CMD, fd, userData: 0 };

export function raw(count: number): void {
  for (let done = 0; done < count; done += DEPTH) rawBatch(sqe);
}

/** Passes an SQE whose properties have another order: it deoptimizes prepRw(). */
export function anotherShape(): void {
  rawBatch({ userData: 0, fd, opcode: IORING_OP_URING_CMD });
}

function rawBatch(sqe: RawSqe): void {
  const { sq, cq } = handle;
  for (let i = 0; i < DEPTH; i++) {
    sqe.userData = i;
    prepRw(sq, sqe);
  }
  enter(handle, { toSubmit: sq.publish(), minComplete: DEPTH });
  while (cq.next()) if (cq.res !== 0) throw new Error(`result ${cq.res}`);
  cq.commit();
}

export function cmdAllSync(count: number): void {
  for (let done = 0; done < count; done += DEPTH) ring.cmdAllSync(batch);
}

export async function cmdAll(count: number): Promise<void> {
  for (let done = 0; done < count; done += DEPTH) await ring.cmdAll(batch);
}

/** Runs batches side by side, so that many are in flight. */
export async function cmdAllInLoops(count: number): Promise<void> {
  const each = Array.from({ length: 8 }, () => cmdAll(count / 8));
  await Promise.all(each);
}

export function cmdSync(count: number): void {
  for (let done = 0; done < count; done++) ring.cmdSync(command);
}

export async function cmd(count: number): Promise<void> {
  for (let done = 0; done < count; done += DEPTH) {
    await Promise.all(batch.map((each) => ring.cmd(each)));
  }
}

export async function cmdInLoops(count: number): Promise<void> {
  let left = count;
  await Promise.all(batch.map(async (each) => {
    while (left-- > 0) await ring.cmd(each);
  }));
}

const service = Service.open({ tags: DEPTH });
let replies = 0;
let over: () => void = () => {};
const words: Int32Array[] = batch.map((_, tag) =>
  service.prepare(tag, command, (tag, res) => {
    if (res !== 0) throw new Error(`result ${res}`);
    if (replies < DEPTH) {
      if (--replies === 0) over();
      return;
    }
    replies--;
    words[tag][14] = replies; // A commit_id.
    service.submit(tag);
  })
);

/** Answers in a thread that sleeps in between. */
export function serviceRun(count: number): void {
  replies = count;
  for (let tag = 0; tag < DEPTH; tag++) service.submit(tag);
  service.run();
}

/** Answers in the event loop. */
export async function serviceTurns(count: number): Promise<void> {
  replies = count;
  const done = new Promise<void>((resolve) => over = resolve);
  for (let tag = 0; tag < DEPTH; tag++) service.submit(tag);
  await done;
}

type Resolve = (value: unknown) => void;
/** Resolvers that outlive the executor of their promise, as those of commands do. */
const resolves = new Array<Resolve>(DEPTH);

/** Makes a promise without a `reject` function, as a command's is. */
function barePromise(place: number): Promise<unknown> {
  return new Promise((resolve) => {
    resolves[place] = resolve;
  });
}

/** Makes, resolves and awaits as many promises as `cmd`, without commands. */
export async function promises(count: number): Promise<void> {
  for (let done = 0; done < count; done += DEPTH) {
    const all = Promise.all(batch.map((_, i) => barePromise(i)));
    for (const resolve of resolves) resolve(0);
    await all;
  }
}

let kept: { a: number } | undefined;

/** Makes one object an operation, and keeps it so that V8 cannot leave it out. */
export function objects(count: number): void {
  for (let i = 0; i < count; i++) kept = { a: kept === undefined ? 0 : i };
}
