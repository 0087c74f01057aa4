/** The causes of the errnos of operations on paths, space and attributes. */

import { adviceFrom, type AdviceTable, generalAdvice } from "../ring/errors.ts";
import { FULL, QUOTA, RESTRICTED } from "./op_advice.ts";

const NO_DIRECTORY =
  "A part of the path is a file where a directory has to be.";
const SEARCH = "may not search a directory on the way: see `namei -l`. ";
const FLAGGED = "A file or its directory is immutable or append-only " +
  "(`lsattr`), the directory is sticky and the file another user's, or a " +
  "security module or the file system forbids it.";
const IN_USE = "The path is a mount point, or the system uses it otherwise. " +
  "`findmnt` lists the mounts.";
const SEALED = "The file is sealed, immutable or append-only, or a security " +
  "module forbids it.";
const SWAP = "The file is in use for swapping. `swapoff` releases it.";

/** Errnos of any operation on a path. */
const PATH: AdviceTable = {
  ENOENT: "There is no such file, or a directory on the way is missing.",
  EACCES: `The user ${SEARCH}${RESTRICTED}`,
  ENOTDIR: NO_DIRECTORY,
  ELOOP: "The path has more than 40 symbolic links. `readlink -f` resolves " +
    "them.",
  ENAMETOOLONG: "The path has more than 4095 bytes, or a name in it more " +
    "than 255.",
  EBADF: "The descriptor of the directory, or of the file, is not open.",
};

/** Explains an errno of statx(). */
export const statxAdvice = adviceFrom(PATH, generalAdvice);

/** Errnos of any change of a directory. */
const ENTRY: AdviceTable = {
  ...PATH,
  EACCES: `The user may not write to the directory, or ${SEARCH}${RESTRICTED}`,
  EPERM: FLAGGED,
  EROFS: "The file system is read-only. Mount it writable.",
  ENOSPC: FULL,
  EDQUOT: QUOTA,
};

/** Explains an errno of unlinkat(). */
export const unlinkAdvice = adviceFrom({
  ...ENTRY,
  EISDIR:
    "The path is a directory. `removeDirectory: true` removes it, if it " +
    "is empty.",
  ENOTDIR:
    "A part of the path is a file where a directory has to be. Without " +
    "removeDirectory, a file is removed.",
  ENOTEMPTY: "The directory has entries. Remove them first: Deno.readDir() " +
    "lists them.",
  EEXIST: "The directory has entries. Remove them first: Deno.readDir() " +
    "lists them.",
  EBUSY: IN_USE,
  EINVAL: 'The path ends in ".", or the kernel is older than 5.11.',
}, generalAdvice);

/** Explains an errno of renameat(). */
export const renameAdvice = adviceFrom({
  ...ENTRY,
  ENOENT: "The old path does not exist, or the new one with `exchange`, or a " +
    "directory on the way is missing.",
  EXDEV: "The paths are on different mounts, or in projects with quotas of " +
    "their own. Copy the file, then remove the old one.",
  EEXIST:
    "The new path exists. Leave out noReplace to replace it. A directory " +
    "is replaced only if it is empty.",
  ENOTEMPTY:
    "The new path is a directory with entries. Remove them first, or " +
    "use `exchange`.",
  EISDIR:
    "The new path is a directory, and the old one is not. Name the file " +
    "inside of the directory.",
  ENOTDIR: "The old path is a directory and the new one is a file, or a part " +
    "of a path is a file where a directory has to be.",
  EINVAL: 'The new path lies inside the old one, a path ends in "." or ' +
    '"..", or the file system lacks noReplace or exchange.',
  EBUSY: IN_USE,
  EMLINK:
    "The new directory has as many directories as its file system allows.",
}, generalAdvice);

/** Explains an errno of mkdirat(). */
export const mkdirAdvice = adviceFrom({
  ...ENTRY,
  ENOENT: "The directory that the new one would be in is missing. Make it " +
    "first.",
  EEXIST: "The path exists, as a directory, another file or a symbolic link.",
  EMLINK: "The directory has as many directories as its file system allows.",
  EINVAL: "The file system does not take the name, or the kernel is older " +
    "than 5.15.",
}, generalAdvice);

/** Explains an errno of symlinkat(). */
export const symlinkAdvice = adviceFrom({
  ...ENTRY,
  ENOENT: "The directory of the link is missing, or `target` is empty.",
  EEXIST: "The path exists. Rename a link of another name over it to replace " +
    "it.",
  EPERM: "The file system has no symbolic links, or its directory is " +
    "immutable (`lsattr`).",
  EINVAL: "The file system does not take the name, or the kernel is older " +
    "than 5.15.",
}, generalAdvice);

/** Explains an errno of linkat(). */
export const linkAdvice = adviceFrom({
  ...ENTRY,
  ENOENT:
    "`from` does not exist or was removed, or a directory on the way is " +
    "missing.",
  EXDEV: "The paths are on different mounts, and a link stays inside one. " +
    "Copy the file, or use a symbolic link.",
  EEXIST: "`to` exists. Rename a link of another name over it to replace it.",
  EPERM: "`from` is a directory or immutable, the file system has no hard " +
    "links, or the file is another user's (sysctl fs.protected_hardlinks).",
  EMLINK: "The file has as many links as its file system allows. Copy it.",
  EINVAL: "The file system does not take the name, or the kernel is older " +
    "than 5.15.",
}, generalAdvice);

/** Explains an errno of fallocate(). */
export const fallocateAdvice = adviceFrom({
  EOPNOTSUPP: "The file system lacks this mode, or the file's kind of space " +
    "does. Write zeros instead, or use another mode.",
  EINVAL: "collapseRange and insertRange take multiples of the file system's " +
    "block (`stat -f`), which end before the end of the file. Or the file is " +
    "no regular file.",
  ENODEV: "The file is no regular file, which alone has space to allocate.",
  EISDIR: "The descriptor is a directory's. Pass that of a regular file.",
  ESPIPE: "The file is a pipe or a socket, which has no space to allocate.",
  EFBIG: "The file would exceed the file system's limit, or RLIMIT_FSIZE " +
    "(`ulimit -f`).",
  EPERM: SEALED,
  ETXTBSY: SWAP,
  ENOSPC: FULL,
  EDQUOT: QUOTA,
}, generalAdvice);

/** Explains an errno of ftruncate(). */
export const ftruncateAdvice = adviceFrom({
  EINVAL:
    "The file is not open for writing or no regular file, or the kernel " +
    "is older than 6.9. Open it with O_RDWR or O_WRONLY.",
  EFBIG: "The file would exceed the file system's limit, or RLIMIT_FSIZE " +
    "(`ulimit -f`).",
  EPERM: SEALED,
  ETXTBSY: SWAP,
  ENOSPC: FULL,
  EDQUOT: QUOTA,
}, generalAdvice);

/** Explains an errno of syncFileRange(). */
export const syncFileRangeAdvice = adviceFrom({
  ESPIPE: "A pipe, a socket or a terminal has no page cache to write.",
  EIO:
    "The device failed, and data written before may be lost. `dmesg` shows " +
    "what its driver reported.",
  ENOSPC: FULL,
  EDQUOT: QUOTA,
}, generalAdvice);

const KINDS =
  'A name starts with "user.", "trusted.", "security." or "system.".';

/** Explains an errno of operations on extended attributes. */
export const xattrAdvice = adviceFrom({
  ...PATH,
  EBADF: "The descriptor is not open. Or the file is a registered one, which " +
    "Linux takes for attributes since 6.13. Pass its descriptor.",
  ENODATA: "The file has no such attribute. `getfattr -d -m -` lists them. " +
    "Only root sees those of trusted.",
  ERANGE: "The value is longer than maxLength. Leave it out to read any value.",
  EEXIST: 'The attribute exists, and `only: "create"` keeps it.',
  EOPNOTSUPP: `The file system has no attributes of this kind. ${KINDS}`,
  EPERM: "Only regular files and directories have attributes of user., and " +
    "only root sets those of trusted. and security. Or the file is immutable " +
    "or append-only (`lsattr`).",
  EACCES: "The user may not read or write the file, or " +
    `${SEARCH}${RESTRICTED}`,
  EINVAL: `The kernel or the file system does not take the value. ${KINDS}`,
  E2BIG: "The value is longer than the file system takes.",
  ENOSPC: "The file system has no room for the attribute. ext4 keeps all " +
    "attributes of a file in one block.",
  EDQUOT: QUOTA,
  EROFS: "The file system is read-only. Mount it writable.",
}, generalAdvice);
