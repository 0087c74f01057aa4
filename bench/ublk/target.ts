/** The disks of the benchmark, for the main thread and for Workers. */

import { memoryTarget, type Target } from "../../cmd/ublk/mod.ts";
import { type Kind, SIZE } from "./plan.ts";

export default function target(kind: Kind): Target {
  if (kind === "memory") return memoryTarget(SIZE);
  return { size: SIZE, read: () => {}, write: () => {} };
}
