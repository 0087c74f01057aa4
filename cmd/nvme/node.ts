/** Checks of the node that an admin command goes to, before it is queued. */

import { deviceFolder, deviceName } from "../../sys/file.ts";
import { S_IFCHR } from "../../sys/uapi/fs.ts";
import type { File } from "../../ring/command.ts";
import { checkWritable, type CommandFile, factsOf } from "../writable.ts";
import { readOnly } from "./limits.ts";

/** The major numbers of NVMe nodes that were seen, which never change. */
const majors = new Set<number>();

/**
 * Throws for a character device that is not NVMe's, and for a command that
 * `changes` the drive through a file that is open for reading only. The driver of /dev/null
 * would answer 0 to the command, which looks like a drive full of zeros. Other
 * files refuse it.
 */
export function checkNode(file: File, name: string, changes: boolean): void {
  const facts = factsOf(file);
  if (facts === undefined) return;
  if (facts.type === S_IFCHR && !majors.has(facts.device[0])) findNode(facts);
  if (changes) checkWritable(facts, readOnly(name));
}

/** Looks up a character device in /sys, and throws unless it is NVMe's. */
function findNode(facts: CommandFile): void {
  const name = deviceName(deviceFolder(facts)!);
  if (name === undefined) return; // There is no /sys.
  if (!/^(nvme|ng)\d/.test(name)) {
    throw new TypeError(
      `${facts.name} is /dev/${name}, not the node of an NVMe controller. ` +
        "Open one such as /dev/nvme0",
    );
  }
  majors.add(facts.device[0]);
}
