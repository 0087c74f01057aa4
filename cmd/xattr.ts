/**
 * Operations on the extended attributes of files: values by name.
 *
 * @module
 */

import * as uapi from "../sys/uapi/io_uring.ts";
import * as xattr from "../sys/uapi/xattr.ts";
import { checkBytes, checkInteger } from "../ring/check.ts";
import { checkName, checkObject } from "../ring/check.ts";
import { Command, type FileRef } from "../ring/command.ts";
import type { Completion } from "../ring/completion.ts";
import { byteLengthOf, copyOf } from "../ring/intrinsics.ts";
import { operand, scratchOperand } from "../ring/operand.ts";
import { xattrAdvice } from "./file_advice.ts";
import { CPath, type Path } from "./path.ts";

const NAME_AT = uapi.io_uring_sqe.addr.offset;
const VALUE_AT = uapi.io_uring_sqe.addr2.offset;
const PATH_AT = uapi.io_uring_sqe.addr3.offset;

/** Options of {@linkcode fgetxattr} and {@linkcode getxattr}. */
export interface GetxattrOptions {
  /**
   * Most bytes of the value, from 1 to 65536, for which the command takes memory
   * while it runs. A longer value fails with ERANGE. Default 65536: no value is
   * longer.
   */
  maxLength?: number;
}

/** Options of {@linkcode fsetxattr} and {@linkcode setxattr}. */
export interface SetxattrOptions {
  /**
   * `"create"` fails with EEXIST if the attribute exists, `"replace"` with
   * ENODATA if it does not. Default: set it in any case.
   */
  only?: "create" | "replace";
}

/**
 * Reads an extended attribute of an open file. `IORING_OP_FGETXATTR`, Linux
 * 5.19; the result is its value.
 *
 * ENODATA: the file has no such attribute. ERANGE: the value is longer than
 * `maxLength`. EOPNOTSUPP: the file system has no attributes of this kind, or the
 * name does not start with a kind, such as `user.`. EBADF: also a registered file
 * before Linux 6.13.
 */
export function fgetxattr(
  file: FileRef,
  name: Path,
  options: GetxattrOptions = {},
): Command<Uint8Array> {
  const key = attributeName(name);
  return new Command({
    ...getting(key, options),
    name: `FGETXATTR ${key.text}`,
    opcode: uapi.IORING_OP_FGETXATTR,
    file,
  });
}

/**
 * Reads an extended attribute of the file at a path. `IORING_OP_GETXATTR`,
 * Linux 5.19; the result is its value. It follows symbolic links, and a
 * relative path starts at the current directory. Errnos as for {@linkcode
 * fgetxattr}.
 */
export function getxattr(
  path: Path,
  name: Path,
  options: GetxattrOptions = {},
): Command<Uint8Array> {
  const [file, key] = [new CPath("path", path), attributeName(name)];
  const { operands, ...rest } = getting(key, options);
  return new Command({
    ...rest,
    name: `GETXATTR ${key.text} of ${file.text}`,
    opcode: uapi.IORING_OP_GETXATTR,
    operands: [...operands, file.operand(PATH_AT)],
  });
}

function getting(key: CPath, options: GetxattrOptions) {
  const { XATTR_SIZE_MAX } = xattr;
  const { maxLength = XATTR_SIZE_MAX } = checkObject("options", options);
  const len = checkInteger("maxLength", maxLength, 1, XATTR_SIZE_MAX);
  return {
    len,
    operands: [key.operand(NAME_AT), scratchOperand(VALUE_AT, len)],
    decode: decodeValue,
    advice: xattrAdvice,
  };
}

/** Copies the value, which is as long as the result says. */
function decodeValue(done: Completion): Uint8Array {
  return copyOf(done.memory(1), 0, done.res);
}

/**
 * Sets an extended attribute of an open file. **It replaces an earlier value**,
 * unless `only` is `"create"`. `IORING_OP_FSETXATTR`, Linux 5.19; the result is
 * 0.
 *
 * EEXIST, ENODATA: see `only`. EOPNOTSUPP: the file system has no attributes of
 * this kind, or the name does not start with a kind, such as `user.`. EPERM:
 * the file is no regular file or directory, which alone have `user.`
 * attributes, or it is immutable. ENOSPC, EDQUOT, E2BIG: there is no room. EBADF:
 * also a registered file before Linux 6.13.
 *
 * @param value At most 65536 bytes. ext4 keeps all attributes of a file in about
 * 4000.
 *
 * @example An attribute of a file, where the file system has them
 * ```ts
 * import { Ring, UringError } from "@uring/cmd";
 * import { close, fgetxattr, fsetxattr, openat } from "@uring/cmd/op";
 *
 * const path = await Deno.makeTempFile();
 * await using ring = Ring.open();
 * const fd = await ring.cmd(openat(path));
 * try {
 *   const value = new TextEncoder().encode("text/plain");
 *   await ring.cmd(fsetxattr(fd, "user.mime_type", value));
 *   const found = await ring.cmd(fgetxattr(fd, "user.mime_type"));
 *   console.log(new TextDecoder().decode(found));
 * } catch (error) {
 *   if (!(error instanceof UringError)) throw error;
 *   console.log(error.message); // EOPNOTSUPP on an old tmpfs.
 * }
 * await ring.cmd(close(fd));
 * await Deno.remove(path);
 * ```
 */
export function fsetxattr(
  file: FileRef,
  name: Path,
  value: Uint8Array,
  options: SetxattrOptions = {},
): Command<number> {
  const key = attributeName(name);
  return new Command({
    ...setting(key, value, options),
    name: `FSETXATTR ${key.text}`,
    opcode: uapi.IORING_OP_FSETXATTR,
    file,
  });
}

/**
 * Sets an extended attribute of the file at a path. **It replaces an earlier
 * value**, unless `only` is `"create"`. `IORING_OP_SETXATTR`, Linux 5.19; the
 * result is 0. It follows symbolic links, and a relative path starts at the
 * current directory. Errnos as for {@linkcode fsetxattr}.
 */
export function setxattr(
  path: Path,
  name: Path,
  value: Uint8Array,
  options: SetxattrOptions = {},
): Command<number> {
  const [file, key] = [new CPath("path", path), attributeName(name)];
  const { operands, ...rest } = setting(key, value, options);
  return new Command({
    ...rest,
    name: `SETXATTR ${key.text} of ${file.text}`,
    opcode: uapi.IORING_OP_SETXATTR,
    operands: [...operands, file.operand(PATH_AT)],
  });
}

const ONLY = { create: xattr.XATTR_CREATE, replace: xattr.XATTR_REPLACE };

function setting(key: CPath, value: Uint8Array, options: SetxattrOptions) {
  // Options first: a getter may run code that changes the array.
  const { only } = checkObject("options", options);
  if (only !== undefined) checkName("only", only, ONLY);
  const length = byteLengthOf(checkBytes("value", value));
  return {
    len: checkInteger("length of value", length, 0, xattr.XATTR_SIZE_MAX),
    opFlags: only === undefined ? 0 : ONLY[only],
    operands: [
      key.operand(NAME_AT),
      operand(VALUE_AT, { bytes: value, kernel: "reads" }),
    ],
    advice: xattrAdvice,
  };
}

/**
 * Checks the name of an attribute. The kernel would answer ERANGE for its length,
 * which otherwise speaks of the value.
 */
function attributeName(name: Path): CPath {
  const key = new CPath("name", name);
  checkInteger("length of name", key.byteLength, 1, xattr.XATTR_NAME_MAX);
  return key;
}
