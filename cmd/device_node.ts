/** The device that a path leads to. */

import { E } from "../sys/uapi/errno.ts";
import { O_PATH } from "../sys/uapi/fcntl.ts";
import {
  close,
  deviceFolder,
  deviceName,
  fileFacts,
  open,
} from "../sys/file.ts";
import { checkString } from "../ring/check.ts";
import { generalAdvice, UringError } from "../ring/errors.ts";
import { CPath, PATH_MAX } from "./path.ts";

/** A device, as the kernel knows it. */
export interface DeviceNode {
  /** The folder in /sys; `undefined` for a file that is no device. */
  readonly folder: string | undefined;
  /** The kernel's name, such as `nvme0n1` or `bsg/0:0:0:0`; "" without one. */
  readonly name: string;
}

/**
 * Returns the device that a path leads to, links included. O_PATH runs no driver's
 * code.
 *
 * @throws {UringError} if there is no such file.
 */
export function deviceAt(path: string): DeviceNode {
  const { byteLength } = new CPath("path", checkString("path", path));
  const fd = byteLength < PATH_MAX ? open(path, O_PATH) : -E.ENAMETOOLONG;
  if (fd < 0) {
    const op = `open ${JSON.stringify(path.slice(0, 64))}`;
    throw new UringError(op, -1, -fd, generalAdvice(-fd));
  }
  const facts = fileFacts(fd);
  close(fd);
  const folder = typeof facts === "number" ? undefined : deviceFolder(facts);
  return { folder, name: folder && deviceName(folder) || "" };
}
