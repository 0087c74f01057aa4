/** Checks of the file that a command is for, before it is queued. */

import { type FileFacts, fileFacts } from "../sys/file.ts";
import { O_RDONLY } from "../sys/uapi/fcntl.ts";
import type { File } from "../ring/command.ts";

/** Facts about a file that has a descriptor. */
export interface DescriptorFacts extends FileFacts {
  /** The descriptor. */
  readonly fd: number;
}

/**
 * Returns facts about the file of a command. A registered file has no descriptor
 * to ask, and a descriptor that is not open is EBADF from the kernel: both are
 * `undefined`.
 */
export function factsOf(file: File): DescriptorFacts | undefined {
  if (typeof file !== "number") return undefined;
  const facts = fileFacts(file);
  return typeof facts === "number" ? undefined : { fd: file, ...facts };
}

/** Throws `message` if the file is open for reading only. */
export function checkWritable(
  facts: FileFacts | undefined,
  message: string,
): void {
  if (facts?.access === O_RDONLY) throw new TypeError(message);
}
