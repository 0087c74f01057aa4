/**
 * The node for commands of a SCSI device, by another node of it.
 *
 * @module
 */

import { listDirectory, readText } from "../../sys/file.ts";
import { deviceAt } from "../device_node.ts";

/**
 * Returns the path of the node that commands to a SCSI device go to, such as
 * `/dev/bsg/0:0:0:0`: for its disk `/dev/sda`, for a partition of that, for
 * `/dev/sg0`, `/dev/st0` and `/dev/sr0`, for a link to one of them, and for itself.
 *
 * Reads /sys, and opens nothing: any user may do that, on any kernel.
 *
 * @example The node of a disk
 * ```ts ignore
 * import { bsgNode } from "@uring/cmd/scsi";
 *
 * console.log(bsgNode("/dev/sda")); // /dev/bsg/0:0:0:0
 * ```
 *
 * @throws {TypeError} if the path is not that of a SCSI device, or if the kernel
 * was built without bsg.
 * @throws {UringError} if there is no such file.
 */
export function bsgNode(path: string): string {
  const { folder, name } = deviceAt(path);
  if (name.startsWith("bsg/")) return `/dev/${name}`;
  const device = folder && scsiFolder(folder);
  if (device === undefined) {
    const what = name === "" ? "no device" : `/dev/${name}`;
    throw new TypeError(`${path} is ${what}, and no SCSI device`);
  }
  const names = listDirectory(`${device}/bsg`, () => true);
  const [node] = typeof names === "number" ? [] : names;
  if (node !== undefined) return `/dev/bsg/${node}`;
  throw new TypeError(
    `${path} has no bsg node: the kernel was built without CONFIG_BLK_DEV_BSG`,
  );
}

/**
 * Returns the folder of the SCSI device that has a node; `undefined` for others. A
 * partition has no `device`; the folder above it is of the whole disk.
 */
export function scsiFolder(folder: string): string | undefined {
  return [`${folder}/device`, `${folder}/../device`].find((device) =>
    readText(`${device}/scsi_level`) !== undefined
  );
}
