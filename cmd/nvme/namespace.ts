/** A namespace of an NVMe drive, as the commands to it need it. */

import { checkBoolean, checkFd, checkInteger } from "../../ring/check.ts";
import { checkObject, checkU32, checkU64, shown } from "../../ring/check.ts";
import type { FileRef } from "../../ring/command.ts";
import { FixedFile } from "../../ring/registered.ts";
import { fieldsOf } from "../json.ts";
import { isWritable } from "../writable.ts";

/** Facts that {@linkcode NvmeNamespace} can be made without. */
type LaterFact =
  | "guardBits"
  | "storageTagBits"
  | "maxSegments"
  | "maxAppendBytes";

/** Bits of storage tag and reference tag, by those of the guard. */
const REFERENCE_BITS = new Map([[16, 32], [32, 80], [64, 48]]);

/**
 * The file that commands to a namespace go to, and the facts that they have to
 * fit. {@linkcode nvmeNamespace} asks the drive for them.
 *
 * The facts are checked once, when the namespace is made, and cannot change. A
 * drive transfers as many bytes as they say, so ask for a new namespace after
 * the drive has formatted this one.
 *
 * @example A namespace by a registered file, and one that no command may change
 * ```ts ignore
 * import { flush, NvmeNamespace, nvmeNamespace } from "@uring/cmd/nvme";
 *
 * const namespace = nvmeNamespace(fd);
 * const [file] = ring.registerFiles([fd]);
 * await ring.cmd(flush(namespace.withFile(file)));
 * // Some facts stated by hand: no command of this one may write.
 * const guarded = new NvmeNamespace({ ...namespace, writable: false });
 * ```
 */
export class NvmeNamespace {
  /** The node of the namespace, such as `/dev/ng0n1`. */
  readonly file: FileRef;
  /** The number of the namespace. */
  readonly nsid: number;
  /** Bytes of data in a logical block. */
  readonly blockSize: number;
  /** Bytes of metadata of a logical block; often 0. */
  readonly metadataSize: number;
  /**
   * `true` if the metadata follows the data of each block, in the same memory.
   */
  readonly metadataInline: boolean;
  /** The type of protection information in the metadata; 0 for none. */
  readonly protectionType: number;
  /** Bits of the guard in protection information: 16, 32 or 64. \[PIF\] */
  readonly guardBits: number;
  /** Bits of the storage tag, which shorten the reference tag. \[STS\] */
  readonly storageTagBits: number;
  /** The size of the namespace in logical blocks. */
  readonly blocks: bigint;
  /**
   * Bytes of data that one command can transfer; `Infinity` if unknown. Memory
   * that is so large has to start at a page, as that of `ring.alloc()` does.
   */
  readonly maxTransferBytes: number;
  /**
   * Pages of 4096 bytes that the data of one command can touch; `Infinity` if
   * unknown.
   */
  readonly maxSegments: number;
  /** Bytes of data of a Zone Append at most; `Infinity` if unknown. \[ZASL\] */
  readonly maxAppendBytes: number;
  /** `true` if the file is open for writing. */
  readonly writable: boolean;
  /** The mark of a checked namespace, which no other object has. */
  readonly #checked = true;

  /**
   * Makes a namespace of facts that the caller vouches for. By default, the
   * guard has 16 bits and the storage tag none, and nothing but `maxTransferBytes`
   * limits a transfer.
   */
  constructor(
    facts:
      & Omit<NvmeNamespace, "withFile" | "toJSON" | LaterFact>
      & Partial<Pick<NvmeNamespace, LaterFact>>,
  ) {
    checkObject("facts", facts);
    const { file, nsid, blockSize, metadataSize, protectionType } = facts;
    const { metadataInline, blocks, maxTransferBytes, writable } = facts;
    const { guardBits = 16, storageTagBits: tagBits = 0 } = facts;
    const { maxAppendBytes = Infinity, maxSegments = Infinity } = facts;
    this.file = FixedFile.is(file) ? file : checkFd(file, "file");
    this.nsid = checkU32("nsid", nsid);
    this.blockSize = checkInteger("blockSize", blockSize, 1, 0xffff_ffff);
    this.metadataSize = checkInteger("metadataSize", metadataSize, 0, 0xffff);
    this.metadataInline = checkBoolean("metadataInline", metadataInline);
    this.protectionType = checkInteger("protectionType", protectionType, 0, 7);
    const most = REFERENCE_BITS.get(guardBits);
    if (most === undefined) {
      throw new RangeError(
        `guardBits must be 16, 32 or 64, not ${shown(guardBits)}`,
      );
    }
    this.guardBits = guardBits;
    this.storageTagBits = checkInteger("storageTagBits", tagBits, 0, most);
    this.blocks = BigInt(checkU64("blocks", blocks));
    this.maxTransferBytes = checkLimit("maxTransferBytes", maxTransferBytes);
    this.maxSegments = checkLimit("maxSegments", maxSegments);
    this.maxAppendBytes = checkLimit("maxAppendBytes", maxAppendBytes);
    this.writable = checkBoolean("writable", writable);
    Object.freeze(this);
  }

  /**
   * Returns the same namespace with another file, such as one of a ring's table.
   * `writable` stays as it is, unless that file is open for reading only.
   */
  withFile(file: FileRef): NvmeNamespace {
    const namespace = new NvmeNamespace({ ...this, file });
    if (!namespace.writable || isWritable(namespace.file)) return namespace;
    return new NvmeNamespace({ ...namespace, writable: false });
  }

  /** Returns the facts in the form that JSON has, which knows no Infinity. */
  toJSON(): object {
    return fieldsOf(this);
  }

  /** Returns `true` for a namespace, not for an object that looks like one. */
  static is(value: unknown): value is NvmeNamespace {
    return typeof value === "object" && value !== null && #checked in value;
  }
}

function checkLimit(name: string, value: number): number {
  if (typeof value === "number" && value >= 0) return value;
  throw new TypeError(`${name} must be a number from 0 to Infinity`);
}

/**
 * Returns the bits of a reference tag: those that the guard leaves in
 * protection information, without those of the storage tag.
 */
export function referenceTagBits(namespace: NvmeNamespace): number {
  return REFERENCE_BITS.get(namespace.guardBits)! - namespace.storageTagBits;
}

/** Refuses anything but a namespace that was checked when it was made. */
export function checkNamespace(
  value: NvmeNamespace,
  name = "namespace",
): NvmeNamespace {
  if (NvmeNamespace.is(value)) return value;
  throw new TypeError(
    `${name} must be an NvmeNamespace, not ${shown(value)}. Pass what ` +
      "nvmeNamespace(fd) returned.",
  );
}
