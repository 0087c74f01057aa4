/** The needs of a block device's server on this machine, and the remedies. */

import { E } from "../../sys/uapi/errno.ts";
import { O_RDWR } from "../../sys/uapi/fcntl.ts";
import * as uapi from "../../sys/uapi/ublk.ts";
import { errnoName } from "../../sys/errno_names.ts";
import { open, readText } from "../../sys/file.ts";
import { UringError } from "../../ring/errors.ts";

const NODE = "/dev/ublk-control";

/** The names of the driver's features, by their bits. */
const FEATURES = Object.entries(uapi)
  .filter(([name]) => name.startsWith("UBLK_F_"))
  .map(([name, bit]) => [name.slice("UBLK_F_".length), bit as number] as const)
  .sort(([, one], [, other]) => one - other);

/** Returns the names of feature bits, such as `"USER_RECOVERY"`. */
export function featureNames(bits: number): string[] {
  return FEATURES.filter(([, bit]) => bits & bit).map(([name]) => name);
}

/** Says why /dev/ublk-control cannot be opened. */
export function withoutControl(errno: number): string {
  switch (errno) {
    case E.ENOENT:
      return readText("/sys/module/ublk_drv/initstate") === undefined
        ? "The driver is not loaded: as root, `modprobe ublk_drv`. Kernels " +
          "before 6.0, and some distributions (Debian before 13), have none"
        : `There is no ${NODE}. A container needs --device ${NODE}, and sees ` +
          "the nodes of its disks only with the /dev of the host";
    case E.EACCES:
    case E.EPERM:
      return "Root serves block devices. For other users, root gives access by " +
        `udev or \`chmod 666 ${NODE}\`, and they pass \`unprivileged: true\``;
    default:
      return `It cannot be opened: ${errnoName(errno)}`;
  }
}

/**
 * Opens /dev/ublk-control, whose descriptor the caller closes.
 *
 * @throws {UringError} with the remedy.
 */
export function openControl(): number {
  const fd = open(NODE, O_RDWR);
  if (fd >= 0) return fd;
  throw new UringError(`open ${NODE}`, -1, -fd, withoutControl(-fd));
}
