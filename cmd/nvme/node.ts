/** Checks of the node that an admin command goes to, before it is queued. */

import { deviceFolder, deviceName } from "../../sys/file.ts";
import { S_IFBLK, S_IFCHR } from "../../sys/uapi/fs.ts";
import type { FileRef } from "../../ring/command.ts";
import { checkWritable, type CommandFile, factsOf } from "../writable.ts";
import { controllerOf } from "./drives.ts";
import { readOnly } from "./limits.ts";

/** The major numbers of controllers' nodes that were seen, which never change. */
const majors = new Set<number>();

/**
 * Throws for a device that is not the controller of a drive, and for a command that
 * `changes` the drive through a file that is open for reading only. The driver of
 * /dev/null would answer 0 to the command, which looks like a drive full of zeros.
 * The node of a namespace answers ENOTTY, and its block device EINVAL, which says
 * little. Other files refuse the command.
 */
export function checkNode(file: FileRef, name: string, changes: boolean): void {
  const facts = factsOf(file);
  if (facts === undefined) return;
  const { type, device } = facts;
  if (type === S_IFBLK || type === S_IFCHR && !majors.has(device[0])) {
    findNode(facts, name);
  }
  if (changes) checkWritable(facts, readOnly(name));
}

/** Looks up a device in /sys, and throws unless it is the node of a controller. */
function findNode(facts: CommandFile, command: string): void {
  const name = deviceName(deviceFolder(facts)!);
  if (name === undefined) return; // There is no /sys.
  if (/^nvme\d+$/.test(name)) {
    majors.add(facts.device[0]);
    return;
  }
  const controller = controllerOf(name);
  throw new TypeError(
    controller === undefined
      ? `${facts.name} is /dev/${name}, not the node of an NVMe controller. ` +
        "Open one such as /dev/nvme0"
      : `${facts.name} is /dev/${name}, a namespace, and NVME ${command} goes ` +
        `to the controller of the drive. Open /dev/${controller}, which ` +
        "controllerNode() returns",
  );
}

/** Returns the name of the controller that a file is open on, such as `nvme0`. */
export function controllerName(file: FileRef): string | undefined {
  const facts = factsOf(file);
  const folder = facts && deviceFolder(facts);
  return folder && deviceName(folder);
}
