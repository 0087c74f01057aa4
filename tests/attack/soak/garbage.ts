/** Memory and threads that end while the kernel still works for them. */

import * as op from "../../../cmd/op.ts";
import { collect, turn } from "../../kit/wait.ts";
import { type FdPair, pipe, writeSync } from "../../kit/fds.ts";
import type { Act, Actor, Stage } from "./actor.ts";
import { gives, refused } from "./ledger.ts";

/** Starts reads into memory that is garbage when this function returns. */
function readIntoNowhere(
  self: Actor,
  { ring }: Stage,
  pair: FdPair,
  length: number,
): Promise<unknown> {
  const array = new Uint8Array(length);
  const read = (into: Uint8Array) => ring.cmd(op.read(pair.left, into));
  const detached = refused("detached or made smaller");
  switch (self.random(4)) {
    case 0: {
      const over = self.see(read(array), detached);
      array.buffer.transfer(2 * length);
      return over;
    }
    case 1: {
      const over = self.see(read(array), detached);
      structuredClone(array, { transfer: [array.buffer] });
      return over;
    }
    case 2:
      return self.see(read(ring.alloc(length)), gives(length));
    default:
      return self.see(read(array), gives(length));
  }
}

/** Memory at the place of a collected array must not change when data arrives. */
export const garbage: Act = async (self, stage) => {
  using pairs = new DisposableStack();
  const reads = Array.from({ length: 1 + self.random(3) }, () => {
    const pair = pairs.use(pipe());
    const length = 1 + self.random(4096);
    const over = readIntoNowhere(self, stage, pair, length);
    return { pair, length, over };
  });
  await turn();
  collect();
  const others = reads.flatMap(({ length }) => [
    new Uint8Array(length).fill(0x5a),
    new Uint8Array(2 * length).fill(0x5a),
    stage.ring.alloc(length).fill(0x5a),
  ]);
  for (const { pair, length } of reads) {
    writeSync(pair.right, new Uint8Array(length).fill(0xff));
  }
  await Promise.all(reads.map(({ over }) => over));
  if (others.some((bytes) => bytes.some((byte) => byte !== 0x5a))) {
    self.wrong("the kernel wrote to memory that it was not given");
  }
};

/** The task of a worker: its files belong to the thread that starts it. */
export interface Task {
  readonly shape: string;
  /** The end of a pipe, in which nothing comes. */
  readonly silent: number;
}

/**
 * Resources that a terminated worker leaks, because no code of it runs at its end:
 * descriptors of its ring and of the eventfd; mappings of the ring, of the aliases
 * of its memory, and around those; and memory, part of it the runtime's own.
 */
export const LEFT_BY_WORKER = { descriptors: 2, mappings: 10, mb: 0.5 };
/** More of them would take all descriptors that a process may have. */
const MOST_WORKERS = 100;

/** Workers that are terminated in the midst of what they do. */
export const workers = (totalMs: number): Act => async (self, { shape }) => {
  using pair = pipe();
  const url = new URL("worker.ts", import.meta.url);
  const worker = new Worker(url, { type: "module" });
  const ready = new Promise<number>((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = ({ message }) => reject(new Error(message));
  });
  const task: Task = { shape, silent: pair.left };
  worker.postMessage(task);
  await self.see(ready, gives(0));
  self.ledger.workers++;
  await self.pause(self.random(50));
  worker.terminate();
  await self.pause(self.random(50));
  // The data that the worker waited for comes, and must change no memory.
  writeSync(pair.right, new Uint8Array(4096).fill(0xff));
  const until = performance.now() + totalMs / MOST_WORKERS;
  while (self.going && performance.now() < until) await self.pause(200);
};
