/** Reports an actor or a thread that hangs. */

import type { Actor } from "./actor.ts";

/** An actor without progress for this long hangs. */
const PATIENCE_MS = 60_000;

/**
 * Calls `stuck` once, with the actors that hang. Where the thread itself hangs, as
 * in a system call that does not return, another thread reports it and kills the
 * process.
 */
export function watch(
  actors: () => readonly Actor[],
  stuck: (what: string) => void,
): Disposable {
  const url = new URL("watchdog_thread.ts", import.meta.url);
  const thread = new Worker(url, { type: "module" });
  const timer = setInterval(() => {
    const all = describe(actors());
    thread.postMessage({ text: all, patienceMs: PATIENCE_MS });
    if (!actors().some(({ idleMs }) => idleMs > PATIENCE_MS)) return;
    clearInterval(timer);
    stuck(describe(actors().filter(({ idleMs }) => idleMs > PATIENCE_MS / 4)));
  }, 1000);
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      thread.terminate();
    },
  };
}

function describe(actors: readonly Actor[]): string {
  return actors.map((actor) => actor.describe()).join("\n");
}
