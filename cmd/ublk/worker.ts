/**
 * The program of a Worker that serves one queue of a disk: see `remote.ts`.
 *
 * @module
 */

import { parentPort } from "node:worker_threads";
import { immediate } from "../../ring/loop/immediate.ts";
import { geometryOf } from "./geometry.ts";
import { Queue, type QueueSetup } from "./queue.ts";
import type { Calls, Message, Question, Told } from "./remote.ts";
import type { ServeOptions, Target } from "./target.ts";

let target: Target;
let queue: Queue | null = null;
/** The questions that have come. */
let received = 0;
/** Is called when one comes, or the queue has ended. */
let wake = () => {};

/** The names are those of {@linkcode Calls}. */
const calls: Calls = {
  async load(
    href: string,
    index: number,
    options: ServeOptions,
    data: unknown,
  ) {
    const { default: open } = await import(href);
    if (typeof open !== "function") {
      throw new TypeError(
        `${href} must export a function by default, which returns a target`,
      );
    }
    target = await open(data, index);
    return geometryOf(target, options);
  },
  make(setup: QueueSetup) {
    queue = new Queue(setup, target, {
      told: (error, request) => {
        const { name, offset, length, fua, mayUnmap } = request;
        const told: Told = { name, offset, length, fua, mayUnmap };
        post({ kind: "told", error, request: told });
      },
      failed: (error) => post({ kind: "failed", error }),
    });
  },
  start(stopFd: number, asked: Int32Array) {
    // After the listeners of the module, which may have handled it.
    for (const event of ["error", "unhandledrejection"]) {
      addEventListener(event, leaveUnlessHandled);
    }
    queue!.start();
    void serve(queue!, stopFd, asked);
  },
  refuseAll: () => queue!.refuseAll(),
  async release() {
    await queue!.release();
    await target.close?.();
  },
  async abandon() {
    queue?.abandon();
    await target.close?.();
  },
  stats: () => queue!.stats(),
};

/**
 * Serves asleep, and handles messages in between. It does not sleep while a message is
 * on its way, which may take many turns of the event loop.
 */
async function serve(
  queue: Queue,
  stopFd: number,
  asked: Int32Array,
): Promise<void> {
  let over = false;
  void queue.ended.then(() => {
    over = true;
    wake();
  });
  while (!over) {
    await queue.run(stopFd);
    while (!over && received < Atomics.load(asked, 0)) {
      await new Promise<void>((resolve) => wake = resolve);
    }
    // What the message has begun goes on, as far as it waits for nothing.
    await new Promise<void>((resolve) => immediate(resolve));
  }
  post({ kind: "ended" });
}

/** Gives up the ring before an error ends this thread: nothing else would. */
function leaveUnlessHandled(event: Event): void {
  if (event.defaultPrevented) return;
  const error = event instanceof ErrorEvent
    ? event.error
    : (event as PromiseRejectionEvent).reason;
  queue?.abandon();
  post({ kind: "dying", error });
}

/** Sends a message, in which what cannot be copied becomes a text. */
function post(message: Message): void {
  try {
    parentPort!.postMessage(message);
  } catch {
    if (!("error" in message)) return;
    parentPort!.postMessage({ ...message, error: String(message.error) });
  }
}

parentPort!.on("message", async ({ id, name, args }: Question) => {
  received++;
  wake();
  try {
    const call = calls[name] as (...args: readonly unknown[]) => unknown;
    post({ kind: "answer", id, value: await call(...args) });
  } catch (error) {
    post({ kind: "failure", id, error });
  }
});
