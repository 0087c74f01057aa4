/** Signals that unmount before they end the program. */

const SIGNALS: readonly Deno.Signal[] = ["SIGINT", "SIGTERM", "SIGHUP"];

/** The action at a signal, for each mount. */
const mounts = new Set<() => void>();

function unmountAll(): void {
  for (const unmount of mounts) unmount();
}

/** Calls `unmount` at a signal, until the function it returns is called. */
export function onSignal(unmount: () => void): () => void {
  if (mounts.size === 0) {
    for (const signal of SIGNALS) Deno.addSignalListener(signal, unmountAll);
  }
  mounts.add(unmount);
  return () => {
    if (!mounts.delete(unmount) || mounts.size > 0) return;
    for (const signal of SIGNALS) Deno.removeSignalListener(signal, unmountAll);
  };
}
