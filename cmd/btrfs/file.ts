/**
 * What a file has to be for the commands of btrfs, and what their errnos mean.
 *
 * @module
 */

import * as uapi from "../../sys/uapi/btrfs.ts";
import * as E from "../../sys/uapi/errno.ts";
import { O_RDONLY } from "../../sys/uapi/fcntl.ts";
import { fileFacts } from "../../sys/file.ts";
import { S_IFREG } from "../../sys/uapi/fs.ts";
import { syscall } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";
import type { File } from "../../ring/command.ts";
import { uringCmdAdvice } from "../../ring/errors.ts";

/** Refuses what the kernel would, but says which of its reasons it is. */
export function checkFile(
  file: File,
  offset: number | bigint,
  unencodedOffset: number,
  compression: string,
): void {
  if (typeof file !== "number") return; // A registered file has no descriptor.
  const facts = fileFacts(file);
  if (typeof facts === "number") return; // The kernel says it well enough.
  if (facts.access === O_RDONLY) {
    throw new TypeError(
      `fd ${file} is open for reading only: open the file with O_RDWR`,
    );
  }
  const sector = facts.type === S_IFREG ? sectorSize(file) : undefined;
  if (sector === undefined) return; // Not btrfs, which the kernel says as well.
  for (const [name, value] of Object.entries({ offset, unencodedOffset })) {
    if (BigInt(value) % BigInt(sector) === 0n) continue;
    throw new RangeError(
      `${name} must be a multiple of the sector size of ${sector} bytes, not ` +
        `${value}`,
    );
  }
  const lzo = `lzo${sector / 1024}k`;
  if (compression.startsWith("lzo") && compression !== lzo) {
    throw new RangeError(
      `compression must be ${lzo} for sectors of ${sector} bytes, not ` +
        compression,
    );
  }
}

/** Bytes of a sector of the file system; `undefined` where it is not btrfs. */
function sectorSize(fd: number): number | undefined {
  const info = uapi.btrfs_ioctl_fs_info_args;
  const { view, at } = scratch();
  info.flags.set(view, 0, 0); // It asks for nothing that is optional.
  const rc = syscall("ioctl", fd, uapi.BTRFS_IOC_FS_INFO, at);
  return rc < 0 ? undefined : info.sectorsize.get(view, 0);
}

/** What an errno means for these commands. */
export function advice(errno: number): string | undefined {
  switch (errno) {
    case E.EPERM:
      return "It needs CAP_SYS_ADMIN, which root of the machine has, and " +
        "root of a container has not.";
    case E.EOPNOTSUPP:
      return "The file is not a regular file on btrfs, or the kernel is " +
        "older than 6.13, which brought commands to btrfs.";
    case E.ENOBUFS:
      return "data is smaller than the compressed extent: 128 KiB are enough " +
        "for any.";
    case E.EINVAL:
      return "The end is no multiple of the sector size and lies before the " +
        "end of the file, the file has no checksums (chattr +C, or mounted " +
        "with nodatasum), another part does not fit the sector size, or the " +
        "kernel is older than 6.14, which brought encoded writes.";
    case E.EAGAIN:
      return "A worker of the kernel took it for a command of a 32-bit " +
        "process, and did nothing: a flaw of kernels that have " +
        "CONFIG_X86_X32_ABI. Run it on a ring with sqpoll, where that does " +
        "not happen.";
    case E.EIO:
      return "The device failed, or the data does not match its checksum.";
    case E.EBUSY:
      return "Others wrote to the range meanwhile: try again.";
    case E.ENOSPC:
      return "The file system is full, of data or of metadata: `btrfs " +
        "filesystem usage` shows which.";
    default:
      return uringCmdAdvice(errno);
  }
}
