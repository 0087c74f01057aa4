/**
 * Operations on the entries of directories: remove, rename and make them.
 *
 * @module
 */

import { AT_REMOVEDIR, AT_SYMLINK_FOLLOW } from "../sys/uapi/fcntl.ts";
import { RENAME_EXCHANGE, RENAME_NOREPLACE } from "../sys/uapi/fs.ts";
import * as uapi from "../sys/uapi/io_uring.ts";
import { checkBoolean, checkInteger, checkObject } from "../ring/check.ts";
import { Command } from "../ring/command.ts";
import * as advice from "./file_advice.ts";
import { CPath, Directory, type Path } from "./path.ts";

const ADDR = uapi.io_uring_sqe.addr.offset;
const ADDR2 = uapi.io_uring_sqe.addr2.offset;

/** Options of {@linkcode symlinkat}. */
export interface PathOptions {
  /**
   * Descriptor of the directory that a relative path starts at. Default: the
   * current directory.
   */
  dirFd?: number;
}

/** Options of {@linkcode unlinkat}. */
export interface UnlinkOptions extends PathOptions {
  /**
   * Remove an empty directory, and no other file. Default `false`: remove any
   * other file, and no directory.
   */
  removeDirectory?: boolean;
}

/**
 * **Removes a file**, or with `removeDirectory` an empty directory.
 * `IORING_OP_UNLINKAT`, Linux 5.11; the result is 0. A symbolic link is removed
 * itself. The kernel frees the data when the last link and the last descriptor of
 * the file are gone.
 *
 * EISDIR: the path is a directory. ENOTDIR: with `removeDirectory`, it is not.
 * ENOTEMPTY: the directory has entries. EBUSY: it is a mount point. ENOENT:
 * there is no such file.
 */
export function unlinkat(
  path: Path,
  options: UnlinkOptions = {},
): Command<number> {
  const { dirFd, removeDirectory = false } = checkObject("options", options);
  const name = new CPath("path", path);
  const directory = new Directory("dirFd", dirFd);
  const removes = checkBoolean("removeDirectory", removeDirectory);
  return new Command({
    name: `UNLINKAT ${name.text}${directory.text}`,
    opcode: uapi.IORING_OP_UNLINKAT,
    fdWord: directory.word,
    opFlags: removes ? AT_REMOVEDIR : 0,
    operands: [name.operand(ADDR)],
    advice: advice.unlinkAdvice,
  });
}

/** Options of operations with two paths. */
export interface TwoPathsOptions {
  /** Descriptor of the directory that a relative `from` starts at. */
  fromDirFd?: number;
  /** Descriptor of the directory that a relative `to` starts at. */
  toDirFd?: number;
}

/** Options of {@linkcode renameat}. */
export interface RenameOptions extends TwoPathsOptions {
  /**
   * Fail with EEXIST if `to` exists, instead of replacing it. Default `false`.
   */
  noReplace?: boolean;
  /** Exchange the two files, both of which must exist. Default `false`. */
  exchange?: boolean;
}

/**
 * Renames a file or a directory. **It replaces a file that exists at `to`**, or
 * an empty directory there if `from` is a directory, unless `noReplace` is set.
 * `IORING_OP_RENAMEAT`, Linux 5.11; the result is 0. Other processes see the
 * old state or the new one, and nothing between.
 *
 * EXDEV: the paths are on different mounts. EEXIST: `to` exists, with
 * `noReplace`. ENOTEMPTY: `to` is a directory with entries. EISDIR: `to` is a
 * directory, and `from` is not. ENOTDIR: the other way round. EINVAL: `to` lies
 * inside `from`, or the file system lacks `noReplace` or `exchange`.
 *
 * @example Replace a file at once, in a directory that is removed afterwards
 * ```ts
 * import { Ring } from "@uring/cmd";
 * import * as op from "@uring/cmd/op";
 *
 * const directory = await Deno.makeTempDir();
 * await using ring = Ring.open();
 * const dirFd = await ring.cmd(op.openat(directory));
 * const flags = op.O_WRONLY | op.O_CREAT;
 * for (const name of ["settings", "settings.new"]) {
 *   const fd = await ring.cmd(op.openat(name, { dirFd, flags }));
 *   await ring.cmd(op.write(fd, new TextEncoder().encode(name)));
 *   await ring.cmd(op.fsync(fd));
 *   await ring.cmd(op.close(fd));
 * }
 * const both = { fromDirFd: dirFd, toDirFd: dirFd };
 * await ring.cmd(op.renameat("settings.new", "settings", both));
 * console.log(await Deno.readTextFile(`${directory}/settings`));
 * await ring.cmd(op.unlinkat("settings", { dirFd }));
 * await ring.cmd(op.close(dirFd));
 * await ring.cmd(op.unlinkat(directory, { removeDirectory: true }));
 * ```
 */
export function renameat(
  from: Path,
  to: Path,
  options: RenameOptions = {},
): Command<number> {
  checkObject("options", options);
  const { noReplace = false, exchange = false } = options;
  checkBoolean("noReplace", noReplace);
  checkBoolean("exchange", exchange);
  if (noReplace && exchange) {
    throw new TypeError(
      "noReplace and exchange exclude each other: an exchange needs both files",
    );
  }
  return new Command({
    ...twoPaths("RENAMEAT", from, to, options),
    opFlags: (noReplace ? RENAME_NOREPLACE : 0) |
      (exchange ? RENAME_EXCHANGE : 0),
    advice: advice.renameAdvice,
  });
}

/** Options of {@linkcode mkdirat}. */
export interface MkdirOptions extends PathOptions {
  /** Permissions of the directory, less the umask. Default: 0o777. */
  mode?: number;
}

/**
 * Makes a directory. `IORING_OP_MKDIRAT`, Linux 5.15; the result is 0.
 *
 * EEXIST: the path exists, as a directory or otherwise. ENOENT: the directory
 * that it would be in is missing. ENOSPC, EDQUOT: there is no room.
 */
export function mkdirat(
  path: Path,
  options: MkdirOptions = {},
): Command<number> {
  const { dirFd, mode = 0o777 } = checkObject("options", options);
  const name = new CPath("path", path);
  const directory = new Directory("dirFd", dirFd);
  return new Command({
    name: `MKDIRAT ${name.text}${directory.text}`,
    opcode: uapi.IORING_OP_MKDIRAT,
    fdWord: directory.word,
    len: checkInteger("mode", mode, 0, 0o7777),
    operands: [name.operand(ADDR)],
    advice: advice.mkdirAdvice,
  });
}

/**
 * Makes a symbolic link at `path` that leads to `target`.
 * `IORING_OP_SYMLINKAT`, Linux 5.15; the result is 0. `target` need not exist.
 * If it is relative, it starts at the directory of the link.
 *
 * EEXIST: the path exists. ENOENT: the directory of the link is missing, or
 * `target` is empty. EPERM: the file system has no symbolic links.
 */
export function symlinkat(
  target: Path,
  path: Path,
  options: PathOptions = {},
): Command<number> {
  const { dirFd } = checkObject("options", options);
  const to = new CPath("target", target);
  const name = new CPath("path", path);
  const directory = new Directory("dirFd", dirFd);
  return new Command({
    name: `SYMLINKAT ${name.text}${directory.text} to ${to.text}`,
    opcode: uapi.IORING_OP_SYMLINKAT,
    fdWord: directory.word,
    operands: [to.operand(ADDR), name.operand(ADDR2)],
    advice: advice.symlinkAdvice,
  });
}

/** Options of {@linkcode linkat}. */
export interface LinkOptions extends TwoPathsOptions {
  /**
   * If `from` is a symbolic link, link the file that it leads to, not the link
   * itself. Default `false`.
   */
  followLink?: boolean;
}

/**
 * Gives the file `from` another name `to`, a hard link. `IORING_OP_LINKAT`,
 * Linux 5.15; the result is 0. It replaces nothing. A file of O_TMPFILE gets a
 * name as `/proc/self/fd/5` with `followLink`.
 *
 * EEXIST: `to` exists. EXDEV: the paths are on different mounts. EPERM: `from`
 * is a directory, the file system has no hard links, or `from` belongs to
 * another user. EMLINK: the file has too many links.
 */
export function linkat(
  from: Path,
  to: Path,
  options: LinkOptions = {},
): Command<number> {
  const { followLink = false } = checkObject("options", options);
  return new Command({
    opFlags: checkBoolean("followLink", followLink) ? AT_SYMLINK_FOLLOW : 0,
    ...twoPaths("LINKAT", from, to, options),
    advice: advice.linkAdvice,
  });
}

/** Returns the parts of an operation with two paths. */
function twoPaths(
  name: "RENAMEAT" | "LINKAT",
  from: Path,
  to: Path,
  { fromDirFd, toDirFd }: TwoPathsOptions,
) {
  const [first, second] = [new CPath("from", from), new CPath("to", to)];
  const start = new Directory("fromDirFd", fromDirFd);
  const end = new Directory("toDirFd", toDirFd);
  return {
    name: `${name} ${first.text}${start.text} to ${second.text}${end.text}`,
    opcode: uapi[`IORING_OP_${name}`],
    fdWord: start.word,
    len: end.word,
    operands: [first.operand(ADDR), second.operand(ADDR2)],
  };
}
