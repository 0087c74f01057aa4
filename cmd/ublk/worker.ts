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

/** Turns of the event loop after a sleep. */
const TURNS = 3;

let target: Target;
let queue: Queue | null = null;

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
  start(stopFd: number) {
    // After the listeners of the module, which may have handled it.
    for (const event of ["error", "unhandledrejection"]) {
      addEventListener(event, leaveUnlessHandled);
    }
    queue!.start();
    void serve(queue!, stopFd);
  },
  drain: (graceMs: number) => queue!.drain(graceMs),
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

/** Serves asleep, and handles messages in between. */
async function serve(queue: Queue, stopFd: number): Promise<void> {
  let over = false;
  void queue.ended.then(() => over = true);
  while (!over) {
    await queue.run(stopFd);
    // What ended the sleep has its turn: a message to this thread, or a promise.
    for (let i = 0; i < TURNS; i++) {
      await new Promise<void>((resolve) => immediate(resolve));
    }
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
  try {
    const call = calls[name] as (...args: readonly unknown[]) => unknown;
    post({ kind: "answer", id, value: await call(...args) });
  } catch (error) {
    post({ kind: "failure", id, error });
  }
});
