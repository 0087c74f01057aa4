/** A disk in a file, or in another block device. */

import { O_DIRECT, O_RDONLY, O_RDWR } from "../../../sys/uapi/fcntl.ts";
import { AT_EMPTY_PATH } from "../../../sys/uapi/fcntl.ts";
import { BLKSSZGET, S_IFBLK, S_IFREG, statx } from "../../../sys/uapi/fs.ts";
import { fileFacts } from "../../../sys/file.ts";
import { lseek, syscall } from "../../../sys/libc.ts";
import { scratch } from "../../../sys/scratch.ts";
import { checkBoolean, checkObject } from "../../../ring/check.ts";
import type { Command } from "../../../ring/command.ts";
import { Ring } from "../../../ring/ring.ts";
import { fallocate, type FallocateMode } from "../../extents.ts";
import { close, fsync, openat, read, write } from "../../op.ts";
import type { BlockRequest, Target } from "../target.ts";

/** Options of {@linkcode fileTarget}. */
export interface FileTargetOptions {
  /** Only read the file. Default `false`. */
  readOnly?: boolean;
  /** Read and write past the kernel's cache: O_DIRECT. Default `false`. */
  direct?: boolean;
  /**
   * Wait for the file in each handler, one after another, and return no promise: for
   * the Workers of `serveInWorker()`, which then sleep in the kernel. Default `false`.
   */
  sync?: boolean;
}

const SEEK_END = 2;
const STATX_DIOALIGN = 0x2000;

/**
 * Opens a file, or a block device, to be a disk: all requests go through a ring.
 * `discard` punches holes. The blocks of the disk are those of a block device, those
 * that O_DIRECT takes, or else 4096 bytes (512 if the size is no multiple of that).
 *
 * The file must not be on the disk itself.
 *
 * @throws {UringError} if the file cannot be opened.
 * @throws {TypeError} for a file of another kind.
 */
export async function fileTarget(
  path: string,
  options: FileTargetOptions = {},
): Promise<Target> {
  const { readOnly = false, direct = false, sync = false } = checkObject(
    "options",
    options,
  );
  checkBoolean("sync", sync);
  const flags = (checkBoolean("readOnly", readOnly) ? O_RDONLY : O_RDWR) |
    (checkBoolean("direct", direct) ? O_DIRECT : 0);
  const ring = Ring.open({ entries: 256 });
  const run = sync
    ? <T>(command: Command<T>) => ring.cmdSync(command)
    : <T>(command: Command<T>) => ring.cmd(command);
  try {
    const fd = await ring.cmd(openat(path, { flags }));
    const blockSize = blockSizeOf(fd, direct);
    const size = lseek(fd, 0, SEEK_END);
    const free = (mode: FallocateMode) => ({ offset, length }: BlockRequest) =>
      run(fallocate(fd, { offset, length, mode }));
    const punch = free("punchHole");
    const zero = free("zeroRangeKeepSize");
    const target: Target = {
      size: size - size % blockSize,
      blockSize,
      read: ({ offset }, into) => run(read(fd, into, { offset })),
      close: async () => {
        await ring.cmd(close(fd));
        await ring.close();
      },
    };
    return readOnly ? target : {
      ...target,
      write: ({ offset }, data) => run(write(fd, data, { offset })),
      flush: () => run(fsync(fd, { dataOnly: true })),
      discard: punch,
      writeZeroes: (request) =>
        request.mayUnmap ? punch(request) : zero(request),
    };
  } catch (error) {
    await ring.close();
    throw error;
  }
}

/** Returns the bytes of a block that the file takes. */
function blockSizeOf(fd: number, direct: boolean): number {
  const facts = fileFacts(fd);
  const type = typeof facts === "number" ? 0 : facts.type;
  const { view, bytes, at } = scratch();
  if (type === S_IFBLK) {
    syscall("ioctl", fd, BLKSSZGET, at);
    return view.getUint32(0, true);
  }
  if (type !== S_IFREG) {
    throw new TypeError("a disk needs a regular file, or a block device");
  }
  if (direct) {
    bytes.fill(0, 0, 512);
    syscall("statx", fd, at, AT_EMPTY_PATH, STATX_DIOALIGN, at + 8);
    const align = statx.stx_dio_offset_align.get(view, 8);
    return Math.max(512, align === 0 ? 4096 : align);
  }
  return lseek(fd, 0, SEEK_END) % 4096 === 0 ? 4096 : 512;
}
