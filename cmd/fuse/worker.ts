/**
 * The program of a Worker that serves a filesystem: see `remote.ts`.
 *
 * @module
 */

import { parentPort } from "node:worker_threads";
import { shown } from "../../ring/check.ts";
import { readyHere } from "./here.ts";
import { Inbox } from "./inbox.ts";
import type { MountOptions } from "./options.ts";
import type { Calls, Message, Question, WorkerOptions } from "./remote.ts";
import type { Ready, Served } from "./served.ts";

const inbox = new Inbox();
let ready: Ready;
let served: Served | null = null;

/** The names are those of {@linkcode Calls}. */
const calls: Calls = {
  async load(href: string, options: WorkerOptions) {
    const exported = (await import(href)).default;
    const fs = typeof exported === "function"
      ? await exported(options.data)
      : exported;
    if (typeof fs !== "object" || fs === null) {
      throw new TypeError(
        `${href} must export a filesystem by default, or a function that returns one`,
      );
    }
    const all: MountOptions = { ...options, onError: tell };
    ready = await readyHere(fs, all, () => post({ kind: "released" }));
  },
  async serve(fd, stopFd, sent) {
    served = await ready.serve(fd);
    void tellEnd(served);
    // After the listeners of the module, which may have handled it.
    for (const event of ["error", "unhandledrejection"]) {
      addEventListener(event, leaveUnlessHandled);
    }
    inbox.sent = sent;
    if (stopFd >= 0) served.sleep?.(stopFd, inbox);
    const { transport, how, protocol } = served;
    return { transport, how, protocol };
  },
  abort: () => served?.abort(),
  invalidate: (file, options) => served!.invalidate(file, options),
  store: (file, offset, data) => served!.store(file, offset, data),
  stats: () => served!.stats(),
};

/**
 * Releases the rings before an error ends this thread, as at the end of a page. They
 * would stay until the process ends, and keep the descriptor open.
 */
function leaveUnlessHandled(event: Event): void {
  if (event.defaultPrevented) return;
  const error = event instanceof ErrorEvent
    ? event.error
    : (event as PromiseRejectionEvent).reason;
  post({ kind: "dying", error });
  dispatchEvent(new Event("unload"));
}

async function tellEnd(served: Served): Promise<void> {
  let errno = 0;
  let error: unknown = null;
  try {
    errno = await served.ended;
  } catch (thrown) {
    error = thrown ?? new Error("destroy has failed");
  }
  const stats = await served.stats();
  post({ kind: "ended", errno, stats, error });
}

function tell(error: unknown, op: string, path: string | null): void {
  post({ kind: "told", error, op, path });
}

/** Sends a message, in which what cannot be copied becomes a text. */
function post(message: Message): void {
  try {
    parentPort!.postMessage(message);
  } catch {
    if (!("error" in message)) return;
    const error = new Error(textOf(message.error));
    parentPort!.postMessage({ ...message, error });
  }
}

/** Describes what was thrown. Not all has a text. */
function textOf(error: unknown): string {
  try {
    return String(error);
  } catch {
    return shown(error);
  }
}

parentPort!.on("message", async ({ id, name, args }: Question) => {
  inbox.receive();
  try {
    const call = calls[name] as (...args: readonly unknown[]) => unknown;
    post({ kind: "answer", id, value: await call(...args) });
  } catch (error) {
    post({ kind: "failure", id, error });
  }
});
