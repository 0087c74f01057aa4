/** Checks of the file that a command is for, before it is queued. */

import { type FileFacts, fileFacts } from "../sys/file.ts";
import { O_RDONLY } from "../sys/uapi/fcntl.ts";
import type { FileRef } from "../ring/command.ts";
import { recordedFacts } from "../ring/registered.ts";

/** Facts about the file of a command. */
export interface CommandFile extends FileFacts {
  /** The descriptor; `null` for a registered file, which has none. */
  readonly fd: number | null;
  /** The file in messages, such as `"fd 5"`. */
  readonly name: string;
}

/**
 * Returns facts about the file of a command: of a descriptor as it is now, of a
 * registered file as it was registered, which its type and its access cannot
 * differ from. A descriptor that is not open is `undefined`: the kernel answers
 * EBADF.
 */
export function factsOf(file: FileRef): CommandFile | undefined {
  if (typeof file !== "number") {
    const facts = recordedFacts(file);
    return facts && { fd: null, name: "the registered file", ...facts };
  }
  const facts = fileFacts(file);
  if (typeof facts === "number") return undefined;
  return { fd: file, name: `fd ${file}`, ...facts };
}

/** Throws `message` if the file is open for reading only. */
export function checkWritable(
  facts: FileFacts | undefined,
  message: string,
): void {
  if (facts?.access === O_RDONLY) throw new TypeError(message);
}

/** Returns `false` for a file that is open for reading only. */
export function isWritable(file: FileRef): boolean {
  return factsOf(file)?.access !== O_RDONLY;
}
