/**
 * NVMe commands on the logical blocks of a namespace.
 *
 * @module
 */

import * as nvme from "../../sys/uapi/nvme.ts";
import { high, low, sizeof } from "../../sys/struct.ts";
import { NVME_URING_CMD_IO } from "../../sys/uapi/nvme_ioctl.ts";
import { isUint8Array } from "../../ring/intrinsics.ts";
import {
  checkBoolean,
  checkBytes,
  checkInteger,
  checkList,
  checkObject,
  checkU16,
  checkU32,
  checkU64,
} from "../../ring/check.ts";
import { Command } from "../../ring/command.ts";
import type { Completion } from "../../ring/completion.ts";
import { type Draft, draftTo } from "../../ring/draft.ts";
import type { Kind } from "../../ring/kind.ts";
import type { FixedBuffer } from "../../ring/registered.ts";
import { measure, type NvmeData, operandOf } from "./data.ts";
import { type BlockBytes, bytesOf, checkIo, checkPages } from "./limits.ts";
import {
  checkNamespace,
  type NvmeNamespace,
  referenceTagBits,
} from "./namespace.ts";
import { type Dwords, nvmeKind, wordsOf } from "./kind.ts";
import { ioCommand } from "./passthru.ts";

/** The protection information of blocks, and what the drive does with it. */
export interface Protection {
  /**
   * The drive makes the information on a write, and strips it on a read. If the
   * protection information is the only metadata, none is transferred. \[PRACT\]
   */
  action?: boolean;
  /** `true` to check the guard, a CRC of the data. \[PRCHK, bit 2\] */
  checkGuard?: boolean;
  /** `true` to check the application tag. \[PRCHK, bit 1\] */
  checkApplicationTag?: boolean;
  /** `true` to check the reference tag. \[PRCHK, bit 0\] */
  checkReferenceTag?: boolean;
  /**
   * The reference tag of the first block: 32 bits with a guard of 16 bits, 48
   * with one of 64, less those of the storage tag. Default: with protection
   * information of type 1, the low bits of the block's number; otherwise 0.
   * \[ILBRT, EILBRT\]
   */
  referenceTag?: number | bigint;
  /** The application tag, 16 bits. Default 0. \[LBAT, ELBAT\] */
  applicationTag?: number;
  /** The bits of the application tag to check. Default 0. \[LBATM, ELBATM\] */
  applicationTagMask?: number;
}

/** Options of every command on logical blocks. */
export interface BlockOptions {
  /** Protection information, on a namespace that was formatted with it. */
  protection?: Protection;
  /**
   * The drive answers after the medium has the data, and reads no cache.
   * \[FUA\]
   */
  forceUnitAccess?: boolean;
  /** The drive gives up early when the medium fails. \[LR\] */
  limitedRetry?: boolean;
  /**
   * Milliseconds until the driver aborts the command. Default: the driver's.
   */
  timeoutMs?: number;
}

/** A transfer of as many logical blocks as `data` holds. */
export interface BlockTransfer extends BlockOptions {
  /** The first logical block. \[SLBA\] */
  lba: number | bigint;
  /**
   * The data of the blocks, with their metadata if that is inline. Several
   * pieces are transferred in order.
   */
  data: NvmeData;
  /** The metadata of the blocks, if it is not inline. */
  metadata?: Uint8Array;
  /** The registered buffer that `data` lies in. */
  buffer?: FixedBuffer;
}

/** A range of logical blocks. */
export interface BlockRange extends BlockOptions {
  /** The first logical block. \[SLBA\] */
  lba: number | bigint;
  /** The number of blocks, 1 to 65536. \[NLB + 1\] */
  blocks: number;
}

/**
 * Reads logical blocks. The result is the number of bytes in `data`.
 *
 * `NVME_URING_CMD_IO`, or `IO_VEC` for several pieces of memory; Linux 5.19, on
 * a ring with `drive: true`. Before 6.2, the process needs
 * CAP_SYS_ADMIN.
 *
 * `data` has to be a multiple of the block, and at most `maxTransferBytes`:
 * other lengths are refused before the command is queued.
 *
 * @example The first eight blocks
 * ```ts ignore
 * import { Ring } from "@uring/cmd";
 * import { nvmeNamespace, read } from "@uring/cmd/nvme";
 * import { openat } from "@uring/cmd/op";
 *
 * await using ring = Ring.open({ drive: true });
 * const namespace = nvmeNamespace(await ring.cmd(openat("/dev/ng0n1")));
 * const data = ring.alloc(8 * namespace.blockSize);
 * await ring.cmd(read(namespace, { lba: 0, data }));
 * ```
 */
export function read(
  namespace: NvmeNamespace,
  transfer: BlockTransfer,
): Command<number> {
  return transferBlocks(READ, namespace, transfer);
}

/**
 * **Destroys data.** Writes logical blocks straight to the drive, past the page
 * cache, past partitions and past any file system that is mounted. The result
 * is the number of bytes in `data`.
 *
 * `NVME_URING_CMD_IO`, or `IO_VEC` for several pieces of memory; Linux 5.19, on
 * a ring with `drive: true`. The node must be open for writing; before
 * 6.2, the process needs CAP_SYS_ADMIN as well.
 *
 * @example A write that is on the medium when it completes
 * ```ts ignore
 * import { write } from "@uring/cmd/nvme";
 *
 * await ring.cmd(write(namespace, { lba: 64, data, forceUnitAccess: true }));
 * ```
 */
export function write(
  namespace: NvmeNamespace,
  transfer: BlockTransfer,
): Command<number> {
  return transferBlocks(WRITE, namespace, transfer);
}

/**
 * Compares logical blocks with memory, on the drive. The result is the number
 * of bytes in `data`, if all are equal; a difference is an `NvmeError`,
 * "Compare Failure".
 *
 * `NVME_URING_CMD_IO`, Linux 5.19, on a ring with `drive: true`;
 * optional for drives. CAP_SYS_ADMIN; since 6.2, a node that is open for
 * writing will do.
 */
export function compare(
  namespace: NvmeNamespace,
  transfer: BlockTransfer,
): Command<number> {
  return transferBlocks(COMPARE, namespace, transfer);
}

/** A command that transfers logical blocks. */
export interface Transfer<T> {
  readonly name: string;
  readonly opcode: number;
  /** Makes the result; `null` if the result is the number of bytes. */
  readonly decode: ((completion: Completion) => T) | null;
  /** The kind of such a command without metadata. */
  readonly kind: Kind<T>;
}

/** Makes a transfer. Without `decode`, the result is the number of bytes. */
export function transferOf<T>(
  name: string,
  opcode: number,
  decode: ((completion: Completion) => T) | null = null,
): Transfer<T> {
  return { name, opcode, decode, kind: nvmeKind(name, decode) };
}

export const READ = transferOf<number>("READ", nvme.nvme_cmd_read);
export const WRITE = transferOf<number>("WRITE", nvme.nvme_cmd_write);
const COMPARE = transferOf<number>("COMPARE", nvme.nvme_cmd_compare);

/** Makes a Read, Write, Compare or Zone Append. */
export function transferBlocks<T>(
  way: Transfer<T>,
  namespace: NvmeNamespace,
  transfer: BlockTransfer,
): Command<T> {
  const { name, opcode, decode } = way;
  const { data, metadata, buffer } = checkObject("transfer", transfer);
  const control = opcode === nvme.nvme_zns_cmd_append &&
      checkNamespace(namespace).protectionType === 1
    ? nvme.NVME_IO_ZNS_APPEND_PIREMAP // Type 1 is refused without it.
    : 0;
  const fields = fieldsOf(name, opcode, namespace, transfer, control);
  const perBlock = bytesOf(namespace, fields.cdw12 >>> 16);
  if (metadata === undefined && buffer === undefined && isUint8Array(data)) {
    return transferOne(way, namespace, fields, data, perBlock);
  }
  const memory = measure(data);
  const { byteLength } = memory;
  setBlocks(fields, blocksIn(byteLength, perBlock));
  const all = { ...fields, metadata, buffer };
  return ioCommand(namespace, all, decode ?? byteLength, memory, perBlock);
}

/** Makes the usual transfer: of one piece of memory, without metadata. */
function transferOne<T>(
  { name, opcode, decode, kind }: Transfer<T>,
  namespace: NvmeNamespace,
  fields: BlockFields,
  data: Uint8Array,
  perBlock: BlockBytes,
): Command<T> {
  const draft = draftTransfer(kind, opcode, namespace, "data", data);
  const { byteLength } = draft.operands[0];
  setBlocks(fields, blocksIn(byteLength, perBlock));
  checkIo(name, namespace, fields, byteLength, 0, perBlock);
  const { place } = draft;
  checkPages(name, namespace, byteLength, place === null ? 0 : place.offset);
  if (decode === null) draft.result = byteLength;
  draft.more = wordsOf(opcode, namespace.nsid, fields, byteLength, 0);
  return new Command<T>(draft);
}

/** Drafts a transfer of one piece of memory. The words from byte 44 on are not set. */
export function draftTransfer<T>(
  kind: Kind<T>,
  opcode: number,
  { file }: NvmeNamespace,
  parameter: string,
  bytes: Uint8Array,
): Draft<T> {
  checkBytes(parameter, bytes);
  const draft = draftTo(kind, file);
  draft.offLow = NVME_URING_CMD_IO | 0;
  draft.more = NO_WORDS;
  draft.setOperands([operandOf(opcode, bytes)]);
  return draft;
}

/** Words from byte 44 on of a draft whose own are not set. */
const NO_WORDS: readonly number[] = new Array(21).fill(0);

/** Returns the number of blocks that data have. */
function blocksIn(byteLength: number, { data: size }: BlockBytes): number {
  if (byteLength !== 0 && byteLength % size === 0) return byteLength / size;
  throw new RangeError(
    `data must be whole blocks of ${size} bytes, not ${byteLength} bytes`,
  );
}

/** The fields of a command on blocks. Dword 12 has their number, and bits. */
export interface BlockFields extends Dwords {
  readonly name: string;
  readonly opcode: number;
  cdw12: number;
}

/**
 * Returns the fields of a command on blocks, without the number of blocks.
 * `control` has more bits for the upper half of dword 12. Reads each option once,
 * so that a changing getter cannot make fields disagree.
 */
export function fieldsOf(
  name: string,
  opcode: number,
  namespace: NvmeNamespace,
  options: BlockOptions & { lba: number | bigint },
  control = 0,
): BlockFields {
  checkNamespace(namespace);
  const { lba, forceUnitAccess, limitedRetry, timeoutMs = 0 } = options;
  const { protection = NO_PROTECTION } = options;
  checkObject("protection", protection);
  const { action, checkGuard, checkApplicationTag } = protection;
  const { checkReferenceTag, referenceTag } = protection;
  const { applicationTag = 0, applicationTagMask = 0 } = protection;
  control |= bit("action", action, nvme.NVME_IO_PRINFO_PRACT) |
    bit("checkGuard", checkGuard, nvme.NVME_IO_PRINFO_PRCHK_GUARD) |
    bit("checkApplicationTag", checkApplicationTag, PRCHK_APP) |
    bit("checkReferenceTag", checkReferenceTag, PRCHK_REF) |
    bit("forceUnitAccess", forceUnitAccess, nvme.NVME_IO_FUA) |
    bit("limitedRetry", limitedRetry, nvme.NVME_IO_LR);
  checkU16("applicationTag", applicationTag);
  checkU16("applicationTagMask", applicationTagMask);
  checkU64("lba", lba);
  const tag = tagOf(namespace, lba, referenceTag);
  return {
    name,
    opcode,
    timeoutMs: checkU32("timeoutMs", timeoutMs),
    cdw2: 0,
    cdw3: high(tag),
    cdw10: low(lba),
    cdw11: high(lba),
    cdw12: control << 16 >>> 0,
    cdw13: 0,
    cdw14: low(tag),
    cdw15: (applicationTag | applicationTagMask << 16) >>> 0,
  };
}

const NO_PROTECTION: Protection = {};
const PRCHK_APP = nvme.NVME_IO_PRINFO_PRCHK_APP;
const PRCHK_REF = nvme.NVME_IO_PRINFO_PRCHK_REF;

/** Returns the bits of an option that is true. */
function bit(name: string, value: boolean | undefined, bits: number): number {
  return value !== undefined && checkBoolean(name, value) ? bits : 0;
}

/** Returns the reference tag of a command: by default that of type 1, or 0. */
export function tagOf(
  namespace: NvmeNamespace,
  lba: number | bigint,
  referenceTag: number | bigint | undefined,
): number | bigint {
  const { protectionType } = namespace;
  if (referenceTag === undefined && protectionType !== 1) return 0;
  const bits = referenceTagBits(namespace);
  if (referenceTag === undefined) return BigInt.asUintN(bits, BigInt(lba));
  const tag = BigInt(checkU64("referenceTag", referenceTag));
  if (tag === BigInt.asUintN(bits, tag)) return referenceTag;
  throw new RangeError(
    `referenceTag must fit ${bits} bits unsigned, not ${tag}`,
  );
}

/** Sets the number of blocks: the lower half of dword 12, which is one less. */
function setBlocks(fields: BlockFields, blocks: number): void {
  fields.cdw12 += checkInteger("blocks", blocks, 1, 65536) - 1;
}

/**
 * Makes the drive read and check logical blocks without transferring them. The
 * result is 0; a block that cannot be read is an `NvmeError`.
 *
 * `NVME_URING_CMD_IO`, Linux 5.19, on a ring with `drive: true`;
 * optional for drives. Before 6.2, the process needs CAP_SYS_ADMIN.
 */
export function verify(
  namespace: NvmeNamespace,
  range: BlockRange,
): Command<number> {
  return onRange("VERIFY", nvme.nvme_cmd_verify, namespace, range);
}

/**
 * **Destroys data.** Makes the drive fill logical blocks with zeros without
 * transferring them. With `deallocate`, the drive may deallocate the blocks
 * \[DEAC\]. The result is 0.
 *
 * `NVME_URING_CMD_IO`, Linux 5.19, on a ring with `drive: true`;
 * optional for drives. The node must be open for writing; before 6.2, the
 * process needs CAP_SYS_ADMIN as well.
 */
export function writeZeroes(
  namespace: NvmeNamespace,
  range: BlockRange & { deallocate?: boolean },
): Command<number> {
  const { deallocate } = checkObject("range", range);
  const control = bit("deallocate", deallocate, nvme.NVME_IO_DEAC);
  const opcode = nvme.nvme_cmd_write_zeroes;
  return onRange("WRITE ZEROES", opcode, namespace, range, control);
}

function onRange(
  name: string,
  opcode: number,
  namespace: NvmeNamespace,
  range: BlockRange,
  control = 0,
): Command<number> {
  const { blocks } = checkObject("range", range);
  const fields = fieldsOf(name, opcode, namespace, range, control);
  setBlocks(fields, blocks);
  return ioCommand(namespace, fields, 0);
}

/**
 * Makes the drive put the content of its write cache on the medium. The result
 * is 0.
 *
 * `NVME_URING_CMD_IO`, Linux 5.19, on a ring with `drive: true`.
 * Before 6.2, the process needs CAP_SYS_ADMIN.
 */
export function flush(namespace: NvmeNamespace): Command<number> {
  const fields = { name: "FLUSH", opcode: nvme.nvme_cmd_flush };
  return ioCommand(namespace, fields, 0);
}

/** Ranges of logical blocks, and what the drive may do with them. */
export interface DatasetManagement {
  /** The ranges, 1 to 256. */
  ranges: readonly {
    /** The first logical block. \[SLBA\] */
    lba: number | bigint;
    /** The number of blocks, 1 to 2 ** 32 - 1. \[Length in logical blocks\] */
    blocks: number;
    /**
     * Context attributes: hints about the range, 32 bits. Default 0. \[CATTR\]
     */
    attributes?: number;
  }[];
  /** The content of the ranges is no longer needed: TRIM. \[AD\] */
  deallocate?: boolean;
  /** The ranges are read as one dataset. \[IDR\] */
  integralRead?: boolean;
  /** The ranges are written as one dataset. \[IDW\] */
  integralWrite?: boolean;
}

/** The ranges of one command: the specification has 8 bits for their number. */
const MAX_RANGES = 256;

/**
 * **Destroys data** with `deallocate`, which is TRIM: the content of the ranges
 * is gone. Until they are written again, they read as zeros or as anything
 * else. The result is 0.
 *
 * Without `deallocate`, the ranges are hints for the drive. Drives may ignore
 * ranges that end after the last block: such a range is a RangeError.
 *
 * `NVME_URING_CMD_IO`, Linux 5.19, on a ring with `drive: true`;
 * optional for drives. The node must be open for writing; before 6.2, the
 * process needs CAP_SYS_ADMIN as well.
 *
 * @example TRIM of blocks that are no longer used
 * ```ts ignore
 * import { datasetManagement } from "@uring/cmd/nvme";
 *
 * const ranges = [{ lba: 0, blocks: 8 }, { lba: 64, blocks: 8 }];
 * await ring.cmd(datasetManagement(namespace, { ranges, deallocate: true }));
 * ```
 */
export function datasetManagement(
  namespace: NvmeNamespace,
  management: DatasetManagement,
): Command<number> {
  checkObject("management", management);
  const { ranges, deallocate, integralRead, integralWrite } = management;
  const { blocks: size } = checkNamespace(namespace);
  const list = checkList("ranges", ranges);
  checkInteger("number of ranges", list.length, 1, MAX_RANGES);
  const { nvme_dsm_range: range } = nvme;
  // Some drives read the whole table, however many ranges the command has.
  const data = new Uint8Array(MAX_RANGES * sizeof(range));
  const view = new DataView(data.buffer);
  list.forEach((item, i) => {
    const { lba, blocks, attributes = 0 } = checkObject("range", item);
    const at = i * sizeof(range);
    range.cattr.set(view, at, checkU32("attributes", attributes));
    range.nlb.set(view, at, checkInteger("blocks", blocks, 1, 0xffff_ffff));
    range.slba.set(view, at, checkU64("lba", lba));
    if (BigInt(lba) + BigInt(blocks) > size) {
      throw new RangeError(
        `DATASET MANAGEMENT of ${blocks} blocks from ${lba} ends after the last ` +
          `block of the namespace, which has ${size}. If the drive was formatted ` +
          "or resized, call nvmeNamespace() again.",
      );
    }
  });
  const cdw10 = list.length - 1;
  const cdw11 = bit("deallocate", deallocate, nvme.NVME_DSMGMT_AD) |
    bit("integralRead", integralRead, nvme.NVME_DSMGMT_IDR) |
    bit("integralWrite", integralWrite, nvme.NVME_DSMGMT_IDW);
  const opcode = nvme.nvme_cmd_dsm;
  const fields = { name: "DATASET MANAGEMENT", opcode, cdw10, cdw11, data };
  return ioCommand(namespace, fields, 0);
}
