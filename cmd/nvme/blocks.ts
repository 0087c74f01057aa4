/**
 * NVMe commands on the logical blocks of a namespace.
 *
 * @module
 */

import * as nvme from "../../sys/uapi/nvme.ts";
import { high, low, sizeof } from "../../sys/struct.ts";
import {
  checkInteger,
  checkList,
  checkObject,
  checkU16,
  checkU32,
  checkU64,
} from "../../ring/check.ts";
import type { Command } from "../../ring/command.ts";
import type { FixedBuffer } from "../../ring/registered.ts";
import { checkNamespace, type NvmeNamespace } from "./open.ts";
import { lengthOf, nvmeCommand, type NvmeData, piecesOf } from "./passthru.ts";
import { bytesOf } from "./limits.ts";

/** What a drive does with the protection information of blocks. */
export interface Protection {
  /**
   * PRACT: the drive makes the information when it writes, and takes it away when
   * it reads. Where it is all the metadata there are, none are transferred.
   */
  action?: boolean;
  /** Check the guard, a CRC of the data. */
  checkGuard?: boolean;
  /** Check the application tag. */
  checkApplicationTag?: boolean;
  /** Check the reference tag. */
  checkReferenceTag?: boolean;
  /** The reference tag of the first block, 32 bits. */
  referenceTag?: number;
  /** The application tag, 16 bits. */
  applicationTag?: number;
  /** The bits of the application tag that are checked, 16 bits. */
  applicationTagMask?: number;
}

/** What commands on logical blocks can be told besides. */
export interface BlockOptions {
  /** Protection information, on a namespace that was formatted with it. */
  protection?: Protection;
  /** FUA: do not answer before the medium has it; do not read from a cache. */
  forceUnitAccess?: boolean;
  /** LR: do not try long when the medium fails. */
  limitedRetry?: boolean;
  /** Milliseconds until the driver aborts it. Default: the driver's own. */
  timeoutMs?: number;
}

/** A transfer of logical blocks: as many as `data` holds. */
export interface BlockTransfer extends BlockOptions {
  /** The first logical block. */
  lba: number | bigint;
  /**
   * The blocks' data, with their metadata where these are inline. Several pieces
   * are taken one after the other.
   */
  data: NvmeData;
  /** The blocks' metadata, where they are not inline. */
  metadata?: Uint8Array;
  /** The registered buffer that `data` lies in. */
  buffer?: FixedBuffer;
}

/** A range of logical blocks. */
export interface BlockRange extends BlockOptions {
  /** The first logical block. */
  lba: number | bigint;
  /** How many, at most 65536. */
  blocks: number;
}

/**
 * Reads logical blocks. `NVME_URING_CMD_IO`, or `IO_VEC` for several pieces of
 * memory; Linux 5.19, on a ring with `sqe128` and `cqe32`. Root, or since 6.2
 * whoever may open the node. The result is the number of bytes in `data`.
 *
 * What does not fit is refused before it is queued: `data` is a multiple of the
 * block, and no more than `maxTransferBytes`.
 *
 * @example
 * ```ts ignore
 * import { Ring } from "@uring/cmd";
 * import { nvmeNamespace, read } from "@uring/cmd/nvme";
 * import { openat } from "@uring/cmd/op";
 *
 * await using ring = Ring.open({ sqe128: true, cqe32: true });
 * const namespace = nvmeNamespace(await ring.cmd(openat("/dev/ng0n1")));
 * const data = ring.alloc(8 * namespace.blockSize);
 * await ring.cmd(read(namespace, { lba: 0, data }));
 * ```
 */
export function read(
  namespace: NvmeNamespace,
  transfer: BlockTransfer,
): Command<number> {
  return transferBlocks("READ", nvme.nvme_cmd_read, namespace, transfer);
}

/**
 * **Destroys data.** Writes logical blocks over those that are there. It goes to
 * the drive as it is: past the page cache, past partitions and whatever file
 * system is mounted.
 *
 * `NVME_URING_CMD_IO`, or `IO_VEC`; Linux 5.19, on a ring with `sqe128` and
 * `cqe32`. The node must be open for writing. The result is the number of bytes.
 *
 * @example
 * ```ts ignore
 * await ring.cmd(write(namespace, { lba: 64, data, forceUnitAccess: true }));
 * ```
 */
export function write(
  namespace: NvmeNamespace,
  transfer: BlockTransfer,
): Command<number> {
  return transferBlocks("WRITE", nvme.nvme_cmd_write, namespace, transfer);
}

/**
 * Compares logical blocks with memory, on the drive. The result is the number of
 * bytes, all of them equal: others are an `NvmeError`, "Compare Failure".
 *
 * Linux 5.19, on a ring with `sqe128` and `cqe32`; an optional command of drives.
 * Only root may with a node that is open for reading.
 */
export function compare(
  namespace: NvmeNamespace,
  transfer: BlockTransfer,
): Command<number> {
  return transferBlocks("COMPARE", nvme.nvme_cmd_compare, namespace, transfer);
}

/** Read, Write, Compare and Zone Append, which differ in their opcode. */
export function transferBlocks<T = number>(
  name: string,
  opcode: number,
  namespace: NvmeNamespace,
  transfer: BlockTransfer,
  decode?: (result: bigint) => T,
): Command<T> {
  const { lba, data, metadata, buffer, timeoutMs } = checkObject(
    "transfer",
    transfer,
  );
  const options = controlOf(transfer);
  const device = checkNamespace(checkObject("namespace", namespace));
  const pieces = piecesOf(data);
  // From here on, no code of the caller's runs that could change an array.
  const byteLength = lengthOf(pieces);
  const action = (options.control & nvme.NVME_IO_PRINFO_PRACT) !== 0;
  const size = bytesOf(device, action).data;
  if (byteLength === 0 || byteLength % size !== 0) {
    throw new RangeError(
      `data must be whole blocks of ${size} bytes, not ${byteLength} bytes`,
    );
  }
  const { cdw10, cdw11, cdw12, cdw14, cdw15 } = dwords(
    lba,
    byteLength / size,
    options,
  );
  return nvmeCommand(
    name,
    device,
    {
      opcode,
      data: pieces,
      metadata,
      buffer,
      timeoutMs,
      cdw10,
      cdw11,
      cdw12,
      cdw14,
      cdw15,
    },
    ({ extra1 }) => decode ? decode(extra1) : byteLength as T,
  );
}

/** What options come to: the upper half of dword 12, and dwords 14 and 15. */
interface Control {
  readonly control: number;
  readonly cdw14: number;
  readonly cdw15: number;
}

/** Reads each option once, so that all of a command is of one mind. */
function controlOf(
  { protection = {}, forceUnitAccess, limitedRetry }: BlockOptions,
): Control {
  const {
    action,
    checkGuard,
    checkApplicationTag,
    checkReferenceTag,
    referenceTag = 0,
    applicationTag = 0,
    applicationTagMask = 0,
  } = checkObject("protection", protection);
  let control = 0;
  if (action) control |= nvme.NVME_IO_PRINFO_PRACT;
  if (checkGuard) control |= nvme.NVME_IO_PRINFO_PRCHK_GUARD;
  if (checkApplicationTag) control |= nvme.NVME_IO_PRINFO_PRCHK_APP;
  if (checkReferenceTag) control |= nvme.NVME_IO_PRINFO_PRCHK_REF;
  if (forceUnitAccess) control |= nvme.NVME_IO_FUA;
  if (limitedRetry) control |= nvme.NVME_IO_LR;
  checkU16("applicationTag", applicationTag);
  checkU16("applicationTagMask", applicationTagMask);
  return {
    control,
    cdw14: checkU32("referenceTag", referenceTag),
    cdw15: (applicationTag | applicationTagMask << 16) >>> 0,
  };
}

/** Dwords 10 to 15 of commands on blocks: where, how many, and how. */
function dwords(
  lba: number | bigint,
  blocks: number,
  { control, cdw14, cdw15 }: Control,
): Record<`cdw1${0 | 1 | 2 | 4 | 5}`, number> {
  checkU64("lba", lba);
  checkInteger("blocks", blocks, 1, 65536);
  return {
    cdw10: low(lba),
    cdw11: high(lba),
    cdw12: (blocks - 1 | control << 16) >>> 0,
    cdw14,
    cdw15,
  };
}

/**
 * Has the drive read logical blocks, and check them, without transferring them.
 * The result is 0; a block that cannot be read is an `NvmeError`. Linux 5.19, on
 * a ring with `sqe128` and `cqe32`; an optional command of drives.
 */
export function verify(
  namespace: NvmeNamespace,
  range: BlockRange,
): Command<number> {
  return onRange("VERIFY", nvme.nvme_cmd_verify, namespace, range);
}

/**
 * **Destroys data.** Has the drive fill logical blocks with zeros, without
 * transferring them; with `deallocate`, it may let go of them. The result is 0.
 * Linux 5.19, on a ring with `sqe128` and `cqe32`; an optional command of drives.
 * The node must be open for writing.
 */
export function writeZeroes(
  namespace: NvmeNamespace,
  range: BlockRange & { deallocate?: boolean },
): Command<number> {
  const { deallocate } = checkObject("range", range);
  const control = deallocate ? nvme.NVME_IO_DEAC : 0;
  const opcode = nvme.nvme_cmd_write_zeroes;
  return onRange("WRITE ZEROES", opcode, namespace, range, control);
}

function onRange(
  name: string,
  opcode: number,
  namespace: NvmeNamespace,
  range: BlockRange,
  more = 0,
): Command<number> {
  checkObject("namespace", namespace);
  const { lba, blocks, timeoutMs } = checkObject("range", range);
  const { control, cdw14, cdw15 } = controlOf(range);
  return nvmeCommand(
    name,
    namespace,
    {
      opcode,
      timeoutMs,
      ...dwords(lba, blocks, { control: control | more, cdw14, cdw15 }),
    },
    ({ res }) => res,
  );
}

/**
 * Has the drive put what its write cache holds on the medium. The result is 0.
 * Linux 5.19, on a ring with `sqe128` and `cqe32`.
 */
export function flush(namespace: NvmeNamespace): Command<number> {
  const fields = { opcode: nvme.nvme_cmd_flush };
  return nvmeCommand("FLUSH", namespace, fields, ({ res }) => res);
}

/** Ranges that {@linkcode datasetManagement} is about. */
export interface DatasetManagement {
  /** At most 256. */
  ranges: readonly {
    /** The first logical block. */
    lba: number | bigint;
    /** How many: 32 bits. */
    blocks: number;
    /** Context attributes: hints about the range, 32 bits. */
    attributes?: number;
  }[];
  /** AD: the ranges are not needed any more. This is TRIM. */
  deallocate?: boolean;
  /** IDR: the ranges are one dataset for reading. */
  integralRead?: boolean;
  /** IDW: the ranges are one dataset for writing. */
  integralWrite?: boolean;
}

/** Ranges that one command can have. */
const MAX_RANGES = 256;

/**
 * **Destroys data** with `deallocate`: what the ranges held is gone, and they
 * read as zeros or as anything, until they are written. That is TRIM.
 *
 * Without it, the ranges are hints for the drive. The result is 0. Linux 5.19, on
 * a ring with `sqe128` and `cqe32`; an optional command of drives. The node must
 * be open for writing.
 *
 * @example
 * ```ts ignore
 * const ranges = [{ lba: 0, blocks: 8 }, { lba: 64, blocks: 8 }];
 * await ring.cmd(datasetManagement(namespace, { ranges, deallocate: true }));
 * ```
 */
export function datasetManagement(
  namespace: NvmeNamespace,
  management: DatasetManagement,
): Command<number> {
  const { ranges, deallocate, integralRead, integralWrite } = checkObject(
    "management",
    management,
  );
  const list = checkList("ranges", ranges);
  checkInteger("number of ranges", list.length, 1, MAX_RANGES);
  const { nvme_dsm_range: range } = nvme;
  // Some drives read all that could be there, whatever the command says.
  const data = new Uint8Array(MAX_RANGES * sizeof(range));
  const view = new DataView(data.buffer);
  list.forEach((item, i) => {
    const { lba, blocks, attributes = 0 } = checkObject("range", item);
    const at = i * sizeof(range);
    range.cattr.set(view, at, checkU32("attributes", attributes));
    range.nlb.set(view, at, checkInteger("blocks", blocks, 1, 0xffff_ffff));
    range.slba.set(view, at, checkU64("lba", lba));
  });
  return nvmeCommand(
    "DATASET MANAGEMENT",
    namespace,
    {
      opcode: nvme.nvme_cmd_dsm,
      cdw10: list.length - 1,
      cdw11: (deallocate ? nvme.NVME_DSMGMT_AD : 0) |
        (integralRead ? nvme.NVME_DSMGMT_IDR : 0) |
        (integralWrite ? nvme.NVME_DSMGMT_IDW : 0),
      data,
    },
    ({ res }) => res,
  );
}
