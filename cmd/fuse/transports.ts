/** Chooses the transport of a mount. */

import { readText } from "../../sys/file.ts";
import { checkInteger } from "../../ring/check.ts";
import { UringError } from "../../ring/errors.ts";
import { Classic, type Device } from "./classic.ts";
import type { Wishes } from "./init.ts";
import type { MountOptions } from "./options.ts";
import { withoutUring } from "./support.ts";
import type { Transport } from "./transport.ts";
import { Uring, type UringSize } from "./uring.ts";
import { waiterFor } from "./waiting.ts";

/** CPUs above which a queue has few entries, as each takes memory. */
const MANY_CPUS = 16;

/** Makes the transport that the options ask for, if this machine has it. */
export function transportFor(
  device: Device,
  { maxWrite, pageSize }: Wishes,
  options: MountOptions,
): Transport {
  // Without MAX_PAGES, a read has up to 32 pages.
  const payload = Math.max(maxWrite, 32 * pageSize);
  const classic = (why: string) =>
    new Classic(device, payload, waiterFor(device.fd), why);
  const objection = objectionTo(options.transport ?? "auto");
  if (objection !== null) return classic(objection);
  const size = sizeOf(payload, options);
  try {
    return new Uring(device, size);
  } catch (error) {
    const { message } = error as Error;
    const expected = error instanceof UringError || error instanceof RangeError;
    if (expected) return classic(`io_uring is not there: ${message}`);
    throw error;
  }
}

/** Says why requests cannot come by io_uring, or should not; `null` if they can. */
function objectionTo(
  transport: NonNullable<MountOptions["transport"]>,
): string | null {
  switch (transport) {
    case "classic":
      return "as asked for";
    case "auto":
      if (inWorker()) break;
      return "a main thread could use the mount, and never end with io_uring";
    case "io_uring":
      break;
  }
  return withoutUring();
}

/** Returns `true` in a thread that is not the program's first. */
function inWorker(): boolean {
  return globalThis.constructor.name === "DedicatedWorkerGlobalScope";
}

function sizeOf(payload: number, options: MountOptions): UringSize {
  const queues = possibleCpus();
  const { timeoutMs = 0, queueDepth = queues > MANY_CPUS ? 2 : 8 } = options;
  checkInteger("queueDepth", queueDepth, 1, 256);
  const { sleep: sleeps } = options;
  return { queues, depth: queueDepth, payload, apart: timeoutMs > 0, sleeps };
}

/** Counts the CPUs that this machine may ever have: `num_possible_cpus()`. */
function possibleCpus(): number {
  const text = readText("/sys/devices/system/cpu/possible") ?? "0";
  return text.split(",")
    .map((range) => range.split("-").map(Number))
    .reduce((sum, [first, last = first]) => sum + last - first + 1, 0);
}
