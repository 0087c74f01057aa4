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
import type { FileRef } from "../../ring/command.ts";
import { namespacesOf } from "./drives.ts";
import { controllerName } from "./node.ts";
import { factsOf } from "../writable.ts";

/** Options of a command that destroys all data. */
export interface DestroyOptions {
  /** `true`, or the command is refused: it destroys data permanently. */
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
    `NVME ${name} destroys data permanently. Pass destroyAllData: true if that is ` +
      `meant, not ${shown(destroyAllData)}`,
  );
}

/**
 * Returns a check that refuses a command while a namespace that it destroys is in
 * use: the one of the number, or any if the command `takesAll`, which is asked only
 * where another namespace is in use.
 */
export function unlessInUse(
  file: FileRef,
  shared: boolean,
  nsid: number,
  takesAll: () => boolean,
): ((name: string) => void) | undefined {
  if (checkBoolean("shared", shared)) return undefined;
  return (name) => {
    const controller = controllerName(file);
    if (controller === undefined) {
      if (factsOf(file) === undefined) return; // The kernel answers EBADF.
      throw new TypeError(
        `NVME ${name} destroys data, and without /sys it is unknown whether it is ` +
          "in use. Mount /sys, or pass shared: true",
      );
    }
    for (const namespace of namespacesOf(controller)) {
      const errno = openingFails(namespace);
      if (errno === 0) continue;
      const number = Number(readText(`/sys/block/${namespace}/nsid`));
      if (number !== nsid && !takesAll()) continue;
      throw new UringError(`NVME ${name}`, -1, errno, advice(namespace, errno));
    }
  };
}

/** Opens a block device exclusively for a moment. Returns 0, or the errno. */
function openingFails(namespace: string): number {
  const size = Number(readText(`/sys/block/${namespace}/size`) ?? 0);
  if (size === 0) return 0; // Nothing can use it as a block device.
  const fd = open(`/dev/${namespace}`, O_RDONLY | O_EXCL);
  if (fd < 0) return -fd;
  close(fd);
  return 0;
}

function advice(namespace: string, errno: number): string {
  const why = errno === E.EBUSY
    ? `/dev/${namespace} is mounted, or swap, RAID, the device mapper or another ` +
      "exclusive opener uses it. Take it out of use"
    : `/dev/${namespace} cannot be opened, so it may be in use. Make it possible`;
  return `${why}, or pass shared: true to destroy its data anyway.`;
}
