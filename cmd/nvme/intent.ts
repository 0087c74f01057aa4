/**
 * The consent to commands that destroy all data of a namespace or a drive.
 *
 * **Contract.** Such a command is made only with `destroyAllData: true`, and queued
 * only if each of its block devices could be opened exclusively at that moment,
 * unless it is `shared`.
 */

import { E } from "../../sys/uapi/errno.ts";
import { O_EXCL, O_RDONLY } from "../../sys/uapi/fcntl.ts";
import { close, open, readText } from "../../sys/file.ts";
import { checkBoolean, shown } from "../../ring/check.ts";
import { UringError } from "../../ring/errors.ts";
import type { File } from "../../ring/command.ts";
import { namespacesOf } from "./drives.ts";
import { controllerName } from "./node.ts";

/** Options of a command that destroys all data. */
export interface DestroyOptions {
  /** `true`, or the command is refused: it destroys data for ever. */
  destroyAllData: true;
  /**
   * `true` to send the command though a namespace is mounted or otherwise in use.
   * Default `false`.
   */
  shared?: boolean;
}

/** Refuses a command whose maker did not say that data may be destroyed. */
export function checkIntent(name: string, destroyAllData: unknown): void {
  if (destroyAllData === true) return;
  throw new TypeError(
    `NVME ${name} destroys data for ever. Pass destroyAllData: true if that is ` +
      `meant, not ${shown(destroyAllData)}`,
  );
}

/**
 * Returns a check that refuses a command while a namespace that it destroys is in
 * use: the one of the number, or any if the command `takesAll`, which is asked only
 * where another namespace is in use.
 */
export function unlessInUse(
  file: File,
  shared: boolean,
  nsid: number,
  takesAll: () => boolean,
): ((name: string) => void) | undefined {
  if (checkBoolean("shared", shared)) return undefined;
  return (name) => {
    for (const namespace of namespacesOf(controllerName(file) ?? "")) {
      if (!isInUse(namespace)) continue;
      const number = Number(readText(`/sys/block/${namespace}/nsid`));
      if (number !== nsid && !takesAll()) continue;
      throw new UringError(`NVME ${name}`, -1, E.EBUSY, advice(namespace));
    }
  };
}

/** Returns `true` for a block device that cannot be opened exclusively. */
function isInUse(namespace: string): boolean {
  const fd = open(`/dev/${namespace}`, O_RDONLY | O_EXCL);
  if (fd >= 0) close(fd);
  return fd === -E.EBUSY;
}

function advice(namespace: string): string {
  return `/dev/${namespace} is mounted, or swap, RAID, the device mapper or ` +
    "another exclusive opener uses it. Take it out of use, or pass shared: true " +
    "to destroy what it has all the same.";
}
