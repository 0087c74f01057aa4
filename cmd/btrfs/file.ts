/**
 * Requirements on the file of a btrfs command, and the causes of its errnos.
 *
 * @module
 */

import * as uapi from "../../sys/uapi/btrfs.ts";
import { S_IFREG } from "../../sys/uapi/fs.ts";
import { syscall } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";
import type { FileRef } from "../../ring/command.ts";
import { adviceFrom, uringCmdAdvice } from "../../ring/errors.ts";
import { checkWritable, factsOf } from "../writable.ts";

/** Throws for a write that the kernel would refuse, and says why. */
export function checkFile(
  file: FileRef,
  offset: number | bigint,
  unencodedOffset: number,
  compression: string,
): void {
  const facts = factsOf(file);
  if (facts === undefined) return;
  const { fd, name, type } = facts;
  checkWritable(
    facts,
    `${name} is open for reading only: open the file with O_RDWR`,
  );
  // The kernel checks the parts of a command to a registered file, whose file
  // system cannot be asked without a descriptor.
  const sector = fd !== null && type === S_IFREG ? sectorSize(fd) : undefined;
  if (sector === undefined) return; // Not on btrfs: the kernel says so.
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

/** Returns the bytes of a sector; `undefined` on other file systems than btrfs. */
function sectorSize(fd: number): number | undefined {
  const info = uapi.btrfs_ioctl_fs_info_args;
  const { view, at } = scratch();
  info.flags.set(view, 0, 0); // Asks for no optional field.
  const rc = syscall("ioctl", fd, uapi.BTRFS_IOC_FS_INFO, at);
  return rc < 0 ? undefined : info.sectorsize.get(view, 0);
}

const GONE = "The device of the file system is gone. Mount it again when it " +
  "is back.";

/** Explains an errno of these commands. */
export const advice = adviceFrom({
  EPERM: "The command needs CAP_SYS_ADMIN. Root of the machine has it, and " +
    "root of a container has not.",
  EOPNOTSUPP: "The file is not a regular file on btrfs, or the kernel is " +
    "older than 6.13, which brought commands to btrfs.",
  ENOBUFS: "data is smaller than the compressed extent. 128 KiB are enough " +
    "for any extent.",
  EINVAL: "The end is not a multiple of the sector size and lies before the " +
    "end of the file, the file has no checksums (chattr +C, or mounted with " +
    "nodatasum), another part does not fit the sector size, or the kernel is " +
    "older than 6.14, which brought encoded writes.",
  EAGAIN: "A kernel worker took the command for one of a 32-bit process, and " +
    "did nothing: a flaw of kernels with CONFIG_X86_X32_ABI. Run it on a ring " +
    "with sqpoll: true, where the flaw does not occur.",
  EIO: "The device failed or is gone, or the data does not match its checksum.",
  ENODEV: GONE,
  ENXIO: GONE,
  EROFS:
    "The file system is read-only: mounted so, or since its device failed. " +
    "`dmesg` shows which.",
  EBUSY: "Another process or thread wrote to the range. Retry the command.",
  ENOSPC: "The file system is full, of data or of metadata: `btrfs " +
    "filesystem usage` shows which.",
}, uringCmdAdvice);
