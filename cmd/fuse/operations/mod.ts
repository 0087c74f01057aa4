/** All operations, by their number. */

import { attributes } from "./attributes.ts";
import { directories } from "./directories.ts";
import { entries } from "./entries.ts";
import { files } from "./files.ts";
import type { Operation } from "./operation.ts";
import { special } from "./special.ts";

const all = { ...entries, ...attributes, ...files, ...directories, ...special };

/** The operations, as a list: `undefined` where the kernel gets ENOSYS. */
export const OPERATIONS: readonly (Operation | undefined)[] = Array.from(
  { length: 64 },
  (_, number) => all[number],
);

/** The names, from 0 on. No operation is 7 or 19. */
const NAMES =
  ("- LOOKUP FORGET GETATTR SETATTR READLINK SYMLINK - MKNOD MKDIR UNLINK RMDIR " +
    "RENAME LINK OPEN READ WRITE STATFS RELEASE - FSYNC SETXATTR GETXATTR LISTXATTR " +
    "REMOVEXATTR FLUSH INIT OPENDIR READDIR RELEASEDIR FSYNCDIR GETLK SETLK SETLKW " +
    "ACCESS CREATE INTERRUPT BMAP DESTROY IOCTL POLL NOTIFY_REPLY BATCH_FORGET " +
    "FALLOCATE READDIRPLUS RENAME2 LSEEK COPY_FILE_RANGE SETUPMAPPING " +
    "REMOVEMAPPING SYNCFS TMPFILE STATX COPY_FILE_RANGE_64").split(" ");

/** Returns the name of an operation, such as `"LOOKUP"`. */
export function operationName(number: number): string {
  return NAMES[number] ?? `operation ${number}`;
}
