/** The size of a disk and of its queues, checked, and as the driver has it. */

import * as uapi from "../../sys/uapi/ublk.ts";
import { pageSize } from "../../sys/page_size.ts";
import {
  checkBoolean,
  checkFunction,
  checkInteger,
  checkName,
  checkObject,
} from "../../ring/check.ts";
import type { Recovery, ServeOptions, Target } from "./target.ts";

const { ublk_param_basic: basic, ublk_param_discard: discard } = uapi;

// struct ublk_params, as far as all kernels have it.
const LEN = 0;
const TYPES = 4;
const BASIC = 8;
const DISCARD = 40;
const BYTES = 108;

/** Bytes of the unit in which the driver counts. */
export const SECTOR = 512;
/** Bytes of memory of a queue, which is one WebAssembly.Memory. */
const MAX_MEMORY = 2 ** 32;
/** Sectors of the largest discard: 1 GiB. */
const MAX_DISCARD = 1 << 21;

const RECOVERY: Readonly<Record<Recovery, number>> = {
  "requeue": uapi.UBLK_F_USER_RECOVERY | uapi.UBLK_F_USER_RECOVERY_REISSUE,
  "fail-in-flight": uapi.UBLK_F_USER_RECOVERY,
  "fail": uapi.UBLK_F_USER_RECOVERY | uapi.UBLK_F_USER_RECOVERY_FAIL_IO,
};

/** The limits and features of a target, as the driver takes them. */
export interface Geometry {
  readonly size: number;
  readonly blockSize: number;
  readonly physicalBlockSize: number;
  readonly readOnly: boolean;
  readonly rotational: boolean;
  readonly flush: boolean;
  readonly fua: boolean;
  readonly discard: boolean;
  readonly writeZeroes: boolean;
}

/** The queues of a disk. */
export interface Queues {
  readonly queues: number;
  readonly depth: number;
  readonly maxTransfer: number;
}

/** Checks the parts of a target, and of the options that are about them. */
export function geometryOf(target: Target, options: ServeOptions): Geometry {
  checkObject("target", target);
  const { size, blockSize = 4096, fua = false } = target;
  const { physicalBlockSize = blockSize } = target;
  const { rotational = false } = checkObject("options", options);
  const { readOnly = target.write === undefined } = options;
  if (target.read === undefined) {
    throw new TypeError("a target must have the method read");
  }
  const offers = (name: "read" | "write" | "flush" | "discard") =>
    checkFunction(name, target[name]) !== undefined;
  offers("read");
  const writes = offers("write");
  checkBoolean("readOnly", readOnly);
  if (!readOnly && !writes) {
    throw new TypeError("a disk without readOnly needs a target with write");
  }
  checkPower("blockSize", blockSize, 512, 4096);
  checkPower("physicalBlockSize", physicalBlockSize, blockSize, 1 << 20);
  checkMultiple("size", size, blockSize, Number.MAX_SAFE_INTEGER);
  const zeroes = checkFunction("writeZeroes", target.writeZeroes);
  return {
    size,
    blockSize,
    physicalBlockSize,
    readOnly,
    rotational: checkBoolean("rotational", rotational),
    flush: offers("flush"),
    fua: checkBoolean("fua", fua),
    discard: offers("discard") && !readOnly,
    writeZeroes: zeroes !== undefined && !readOnly,
  };
}

/** Checks the options of queues. */
export function queuesOf(options: ServeOptions): Queues {
  const { queueDepth = 64, queues = 1, maxTransfer = 512 << 10 } = options;
  const page = pageSize();
  checkMultiple("maxTransfer", maxTransfer, page, 1 << uapi.UBLK_IO_BUF_BITS);
  checkInteger("queueDepth", queueDepth, 1, uapi.UBLK_MAX_QUEUE_DEPTH);
  if (queueDepth * maxTransfer > MAX_MEMORY) {
    throw new RangeError(
      "queueDepth times maxTransfer is the memory of a queue, of up to 4 GiB. " +
        "Choose a smaller one",
    );
  }
  checkInteger("queues", queues, 1, uapi.UBLK_MAX_NR_QUEUES);
  return { queues, depth: queueDepth, maxTransfer };
}

/** Returns the flags that a disk must have, and those that it has if it can. */
export function flagsOf(
  options: ServeOptions,
): { must: number; may: number } {
  const { recovery, unprivileged = false, partitionScan = true } = options;
  let must = 0;
  let may = uapi.UBLK_F_UPDATE_SIZE;
  if (recovery !== undefined) {
    checkName("recovery", recovery, RECOVERY);
    must |= RECOVERY[recovery];
    may |= uapi.UBLK_F_QUIESCE;
  }
  if (checkBoolean("unprivileged", unprivileged)) {
    must |= uapi.UBLK_F_UNPRIVILEGED_DEV;
  }
  if (!checkBoolean("partitionScan", partitionScan)) {
    must |= uapi.UBLK_F_NO_AUTO_PART_SCAN;
  }
  return { must, may };
}

/** Writes the parameters of a disk. */
export function encodeParams(
  geometry: Geometry,
  maxTransfer: number,
): Uint8Array {
  const bytes = new Uint8Array(BYTES);
  const view = new DataView(bytes.buffer);
  const { size, blockSize, physicalBlockSize } = geometry;
  view.setUint32(LEN, BYTES, true);
  const { UBLK_PARAM_TYPE_BASIC, UBLK_PARAM_TYPE_DISCARD } = uapi;
  const frees = geometry.discard || geometry.writeZeroes;
  const types = UBLK_PARAM_TYPE_BASIC | (frees ? UBLK_PARAM_TYPE_DISCARD : 0);
  view.setUint32(TYPES, types, true);
  const attrs = (geometry.readOnly ? uapi.UBLK_ATTR_READ_ONLY : 0) |
    (geometry.rotational ? uapi.UBLK_ATTR_ROTATIONAL : 0) |
    (geometry.flush ? uapi.UBLK_ATTR_VOLATILE_CACHE : 0) |
    (geometry.flush && geometry.fua ? uapi.UBLK_ATTR_FUA : 0);
  basic.attrs.set(view, BASIC, attrs);
  const shift = (bytes: number) => 31 - Math.clz32(bytes);
  basic.logical_bs_shift.set(view, BASIC, shift(blockSize));
  basic.physical_bs_shift.set(view, BASIC, shift(physicalBlockSize));
  basic.io_opt_shift.set(view, BASIC, shift(physicalBlockSize));
  basic.io_min_shift.set(view, BASIC, shift(physicalBlockSize));
  basic.max_sectors.set(view, BASIC, maxTransfer / SECTOR);
  basic.dev_sectors.set(view, BASIC, size / SECTOR);
  if (!frees) return bytes;
  discard.discard_granularity.set(view, DISCARD, physicalBlockSize);
  if (geometry.discard) {
    discard.max_discard_sectors.set(view, DISCARD, MAX_DISCARD);
    discard.max_discard_segments.set(view, DISCARD, 1);
  }
  if (geometry.writeZeroes) {
    discard.max_write_zeroes_sectors.set(view, DISCARD, MAX_DISCARD);
  }
  return bytes;
}

/** Makes memory for the parameters of a disk that is there. */
export function emptyParams(): Uint8Array {
  const bytes = new Uint8Array(BYTES);
  new DataView(bytes.buffer).setUint32(LEN, BYTES, true);
  return bytes;
}

/** Reads the parameters of a disk that is there. */
export function decodeParams(bytes: Uint8Array): Geometry {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const attrs = basic.attrs.get(view, BASIC);
  const types = view.getUint32(TYPES, true);
  const frees = (types & uapi.UBLK_PARAM_TYPE_DISCARD) !== 0;
  return {
    size: Number(basic.dev_sectors.get(view, BASIC)) * SECTOR,
    blockSize: 1 << basic.logical_bs_shift.get(view, BASIC),
    physicalBlockSize: 1 << basic.physical_bs_shift.get(view, BASIC),
    readOnly: (attrs & uapi.UBLK_ATTR_READ_ONLY) !== 0,
    rotational: (attrs & uapi.UBLK_ATTR_ROTATIONAL) !== 0,
    flush: (attrs & uapi.UBLK_ATTR_VOLATILE_CACHE) !== 0,
    fua: (attrs & uapi.UBLK_ATTR_FUA) !== 0,
    discard: frees && discard.max_discard_sectors.get(view, DISCARD) > 0,
    writeZeroes: frees &&
      discard.max_write_zeroes_sectors.get(view, DISCARD) > 0,
  };
}

/** Checks that a target can take over a disk: it has what the kernel asks for. */
export function checkSame(mine: Geometry, disk: Geometry): void {
  for (const name of ["size", "blockSize"] as const) {
    if (mine[name] === disk[name]) continue;
    throw new TypeError(
      `the disk has a ${name} of ${disk[name]}, and the target one of ` +
        `${mine[name]}`,
    );
  }
  const asked = ["flush", "discard", "writeZeroes", "fua"] as const;
  const missing: string[] = asked.filter((name) => disk[name] && !mine[name]);
  if (!disk.readOnly && mine.readOnly) missing.unshift("write");
  if (missing.length === 0) return;
  throw new TypeError(
    `the disk was served with ${missing.join(", ")}, which the target lacks`,
  );
}

/** Checks a size that the driver counts in sectors. */
export function checkMultiple(
  name: string,
  value: number,
  unit: number,
  max: number,
): number {
  checkInteger(name, value, unit, max);
  if (value % unit === 0) return value;
  throw new RangeError(
    `${name} must be a multiple of ${unit} bytes, not ${value}`,
  );
}

function checkPower(name: string, value: number, min: number, max: number) {
  checkInteger(name, value, min, max);
  if ((value & value - 1) === 0) return;
  throw new RangeError(`${name} must be a power of 2, not ${value}`);
}
