/**
 * The command that reads any page of vital product data of a SCSI device.
 *
 * @module
 */

import { copyAt } from "../../sys/bytes.ts";
import { checkInteger, checkObject, checkU8 } from "../../ring/check.ts";
import type { Command, FileRef } from "../../ring/command.ts";
import { type Query, type ScsiOptions, scsiQuery } from "./command.ts";
import { hex } from "./names.ts";

/**
 * Reads any page of vital product data; 0 lists the pages of the device. INQUIRY,
 * Linux 7.1. The result is the page, with its header of four bytes. For the usual
 * pages there are functions that decode them, such as `serialNumber()`.
 *
 * Bytes 2 and 3 of the page are the number of bytes after the header, big-endian.
 * If they are more than came, ask again with a larger `byteLength`, from 4 to
 * 65535. Default 252: some devices fail when they are asked for more.
 *
 * `Illegal Request`: the device has no such page. Some devices return another
 * page then, or their identity: that is a {@linkcode ScsiError} of status 0.
 *
 * @example The pages that a device has
 * ```ts ignore
 * import { vpdPage } from "@uring/cmd/scsi";
 *
 * const page = await ring.cmd(vpdPage(fd, { page: 0 }));
 * console.log(page.subarray(4)); // The numbers of the pages that there are.
 * ```
 */
export function vpdPage(
  file: FileRef,
  options: ScsiOptions & { page: number; byteLength?: number },
): Command<Uint8Array> {
  const { page, byteLength = 252 } = checkObject("options", options);
  return pageQuery(file, page, byteLength, options, (bytes) => bytes);
}

/** Makes a command whose result is decoded from a page. */
export function pageQuery<T>(
  file: FileRef,
  page: number,
  byteLength: number,
  options: ScsiOptions,
  decode: (page: Uint8Array<ArrayBuffer>) => T,
): Command<T> {
  checkU8("page", page);
  checkInteger("byteLength", byteLength, 4, 0xffff);
  const cdb = Uint8Array.of(0x12, 1, page, byteLength >> 8, byteLength, 0);
  const length = (view: DataView) =>
    Math.min(4 + view.getUint16(2), byteLength);
  const query: Query<T> = {
    cdb,
    byteLength,
    least: 4,
    fault(view, transferred) {
      const other = view.getUint8(1);
      if (other !== page) {
        return `the answer has ${hex(other)} in byte 1, and not the page`;
      }
      if (page % 0x80 === 0 && isIdentity(view)) {
        return "the answer is the identity of the device, and not the page";
      }
      if (transferred >= length(view)) return "";
      return `the page has ${length(view)} bytes, and ${transferred} came`;
    },
    decode: (view) =>
      decode(copyAt(view.buffer, view.byteOffset, length(view))),
  };
  return scsiQuery(file, query, options);
}

/**
 * Returns `true` for the answer of a device that ignores the bit EVPD, where byte
 * 1 is that of page 0 or 80h. Neither page has 256 bytes: byte 2 of it is 0, which
 * in an identity is the version. In an old identity it is 0 as well, byte 3 is at
 * most 2, and the names of the device follow such a short page.
 */
function isIdentity(view: DataView): boolean {
  if (view.getUint8(2) !== 0) return true;
  const length = view.getUint8(3);
  for (let at = 4 + length; length <= 2 && at < view.byteLength; at++) {
    if (view.getUint8(at) !== 0) return true;
  }
  return false;
}
