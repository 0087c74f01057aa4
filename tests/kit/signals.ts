/** Signals that this process sends to itself. */

import { libc } from "../../sys/libc.ts";
import { until } from "./wait.ts";

const NR_kill = Deno.build.arch === "x86_64" ? 62 : 129;
/** A signal that does nothing where nothing listens for it. */
const SIGWINCH = 28;

/**
 * Waits until Deno has taken up all signals sent so far. Deno opens descriptors
 * for its first signal, late, and panics where it may not. After the last listener
 * has gone, it ends the process for a signal that it takes up then.
 */
export async function takeUpSignals(): Promise<void> {
  let taken = false;
  const listen = () => void (taken = true);
  Deno.addSignalListener("SIGWINCH", listen);
  const [pid, signal] = [BigInt(Deno.pid), BigInt(SIGWINCH)];
  libc().symbols.call(NR_kill, pid, signal, 0n, 0n, 0n, 0n);
  await until(() => taken);
  Deno.removeSignalListener("SIGWINCH", listen);
}
