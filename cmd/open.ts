/** Files that are open until they go out of scope. */

import { E } from "../sys/uapi/errno.ts";
import { O_EXCL, O_RDONLY, O_RDWR } from "../sys/uapi/fcntl.ts";
import { close, open as openPath } from "../sys/file.ts";
import { checkBoolean, checkObject } from "../ring/check.ts";
import { UringError } from "../ring/errors.ts";
import { openAdvice } from "./op_advice.ts";
import { CPath, PATH_MAX } from "./path.ts";

/** Options of {@linkcode open}. */
export interface OpenFileOptions {
  /** Opens the file for writing as well. Default: `false`. */
  write?: boolean;
  /**
   * Refuses a block device that is in use, by a mount for example, and keeps others
   * from using it (O_EXCL). It has no effect on other files. Default: `false`.
   */
  exclusive?: boolean;
}

/** A descriptor that is open until it is closed or goes out of scope. */
export class OpenFile implements Disposable {
  /** The path that was opened. */
  readonly path: string;
  #fd: number;

  /** Takes over a descriptor. {@linkcode open} makes one. */
  constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  /** The descriptor; -1 once the file is closed, so that it never names another. */
  get fd(): number {
    return this.#fd;
  }

  /** Closes the descriptor. Commands that the kernel has begun keep the file open. */
  close(): void {
    const fd = this.#fd;
    this.#fd = -1;
    if (fd >= 0) close(fd);
  }

  /** Does what {@linkcode OpenFile.close} does, at the end of `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Opens a device, or another file that is there, for commands. The system call is
 * openat() with `O_RDONLY`, or `O_RDWR` with `write`, and `O_CLOEXEC`. It blocks the
 * thread, as `Deno.openSync` does, which matters for pipes and slow disks only.
 * `openat()` of `./op` opens through a ring, with all flags.
 *
 * @example Ask a drive for its health
 * ```ts ignore
 * import { open, Ring } from "@uring/cmd";
 * import { smartLog } from "@uring/cmd/nvme";
 *
 * using drive = open("/dev/nvme0");
 * await using ring = Ring.open({ drive: true });
 * const { temperatureKelvin, usedPercent } = await ring.cmd(smartLog(drive.fd));
 * console.log(temperatureKelvin - 273, "°C;", usedPercent, "% used");
 * ```
 *
 * @throws {UringError} EACCES without the right to open it, ENOENT where there is
 * none, EBUSY for a device that is in use, with `exclusive`.
 */
export function open(path: string, options: OpenFileOptions = {}): OpenFile {
  if (typeof path !== "string") {
    throw new TypeError("path must be a string");
  }
  const { text, byteLength } = new CPath("path", path);
  const { write = false, exclusive = false } = checkObject("options", options);
  const access = checkBoolean("write", write) ? O_RDWR : O_RDONLY;
  const flags = checkBoolean("exclusive", exclusive) ? O_EXCL : 0;
  const fd = byteLength < PATH_MAX
    ? openPath(path, access | flags)
    : -E.ENAMETOOLONG;
  if (fd >= 0) return new OpenFile(path, fd);
  throw new UringError(`open(${text})`, -1, -fd, openAdvice(-fd));
}
