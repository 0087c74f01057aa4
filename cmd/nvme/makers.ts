/**
 * Makers of NVMe reads and writes.
 *
 * @module
 */

import { IORING_URING_CMD_FIXED } from "../../sys/uapi/io_uring.ts";
import { high, low } from "../../sys/struct.ts";
import { checkInteger, checkObject, checkU64 } from "../../ring/check.ts";
import { Command } from "../../ring/command.ts";
import type { Draft } from "../../ring/draft.ts";
import { checkInside, type FixedBuffer } from "../../ring/registered.ts";
import {
  type BlockFields,
  type BlockOptions,
  draftTransfer,
  fieldsOf,
  READ,
  tagOf,
  type Transfer,
  WRITE,
} from "./blocks.ts";
import { nvmeKind, VARIED, wordsOf } from "./kind.ts";
import { bytesOf, checkChanges, checkPages } from "./limits.ts";
import type { NvmeNamespace } from "./namespace.ts";

/** Options of all commands of a maker. */
export interface BlockMakerOptions extends BlockOptions {
  /** The registered buffer that the memory lies in. */
  buffer?: FixedBuffer;
}

/** Makes the reads or the writes of one namespace with parts of one memory. */
export interface BlockTransfers {
  /**
   * Makes a command that transfers `blocks` logical blocks between the namespace,
   * from block `lba` on, and the memory, from byte `start` on. Default: as many as
   * the memory has room for from `start` on.
   *
   * @throws {RangeError} if the part does not lie inside the memory, or if the
   * drive does not take as many blocks in one command.
   */
  at(lba: number | bigint, start?: number, blocks?: number): Command<number>;
}

/**
 * Returns a maker of {@linkcode read} commands that read one namespace into parts
 * of one memory of `ring.alloc()`. The namespace, the options and the memory are
 * checked once, and not at each command. Making a command takes a fifth of the
 * instructions, and needs no `subarray`. The result of each is its number of bytes.
 *
 * @example Blocks at random places, 16 in a system call
 * ```ts ignore
 * import { Ring } from "@uring/cmd";
 * import { nvmeNamespace, readsOf } from "@uring/cmd/nvme";
 * import { openat } from "@uring/cmd/op";
 *
 * await using ring = Ring.open({ drive: true });
 * const namespace = nvmeNamespace(await ring.cmd(openat("/dev/ng0n1")));
 * const { blockSize, blocks } = namespace;
 * const reads = readsOf(namespace, ring.alloc(16 * blockSize));
 * const batch = [];
 * for (let i = 0; i < 16; i++) {
 *   const lba = Math.floor(Math.random() * Number(blocks));
 *   batch.push(reads.at(lba, i * blockSize, 1));
 * }
 * ring.cmdAllSync(batch);
 * ```
 *
 * @throws {TypeError} if the memory is not of `alloc`, or if the namespace has
 * metadata in memory of its own.
 */
export function readsOf(
  namespace: NvmeNamespace,
  into: Uint8Array,
  options: BlockMakerOptions = {},
): BlockTransfers {
  return new Maker(READ, namespace, "into", into, options);
}

/**
 * **Its commands destroy data.** Returns a maker of {@linkcode write} commands that
 * write parts of one memory of `ring.alloc()` to one namespace, as
 * {@linkcode readsOf} does for reads. The memory is read when a command runs, not
 * when it is made.
 */
export function writesOf(
  namespace: NvmeNamespace,
  data: Uint8Array,
  options: BlockMakerOptions = {},
): BlockTransfers {
  return new Maker(WRITE, namespace, "data", data, options);
}

class Maker implements BlockTransfers {
  readonly #draft: Draft<number>;
  readonly #namespace: NvmeNamespace;
  readonly #name: string;
  /** The fields that all commands have. */
  readonly #fields: BlockFields;
  /** Dword 12 without the number of blocks. */
  readonly #control: number;
  /** Each command has the reference tag of its first block. */
  readonly #tagged: boolean;
  /** Bytes of the memory, and of a block in it. */
  readonly #byteLength: number;
  readonly #size: number;
  /** Most blocks of a command. */
  readonly #most: number;

  constructor(
    { name, opcode }: Transfer<number>,
    namespace: NvmeNamespace,
    parameter: string,
    bytes: Uint8Array,
    options: BlockMakerOptions,
  ) {
    const { buffer, protection, forceUnitAccess } = checkObject(
      "options",
      options,
    );
    const { limitedRetry, timeoutMs } = options;
    const all = {
      lba: 0,
      protection,
      forceUnitAccess,
      limitedRetry,
      timeoutMs,
    };
    const fields = fieldsOf(name, opcode, namespace, all);
    checkChanges(name, namespace, fields);
    const { data: size, metadata } = bytesOf(namespace, fields.cdw12 >>> 16);
    if (metadata > 0) {
      throw new TypeError(
        `NVME ${name} has ${metadata} bytes of metadata for each block of this ` +
          "namespace, for which a maker has no memory",
      );
    }
    const tagged = namespace.protectionType === 1 &&
      protection?.referenceTag === undefined;
    const kind = nvmeKind<number>(name, null, 0, tagged ? 0 : VARIED);
    const draft = draftTransfer(kind, opcode, namespace, parameter, bytes);
    draft.more = wordsOf(opcode, namespace.nsid, fields, 0, 0);
    draft.result = 0; // Until a command has its own.
    if (buffer !== undefined) {
      checkInside(bytes, buffer);
      draft.setBuffer(buffer);
      draft.flagsWord = IORING_URING_CMD_FIXED;
    }
    draft.checkInPlace(parameter);
    draft.keep();
    const { byteLength } = draft.operands[0];
    const most = Math.min(byteLength, namespace.maxTransferBytes);
    this.#draft = draft;
    this.#namespace = namespace;
    this.#name = name;
    this.#fields = fields;
    this.#control = fields.cdw12;
    this.#tagged = tagged;
    this.#byteLength = byteLength;
    this.#size = size;
    this.#most = Math.min(65536, Math.floor(most / size));
    if (this.#most > 0) return;
    throw new RangeError(
      `NVME ${name} needs room for a block of ${size} bytes, and there is room ` +
        `for ${most} bytes`,
    );
  }

  at(
    lba: number | bigint,
    start = 0,
    blocks?: number,
  ): Command<number> {
    checkU64("lba", lba);
    if (blocks === undefined) {
      checkInteger("start", start, 0, this.#byteLength);
      blocks = Math.floor((this.#byteLength - start) / this.#size);
    }
    checkInteger("blocks", blocks, 1, this.#most);
    const byteLength = blocks * this.#size;
    checkInteger("start", start, 0, this.#byteLength - byteLength);
    const draft = this.#draft;
    const { offset } = draft.place!;
    checkPages(this.#name, this.#namespace, byteLength, offset + start);
    draft.result = byteLength;
    draft.start = start;
    const dword12 = this.#control + blocks - 1;
    if (this.#tagged) this.#tag(lba, dword12, byteLength);
    else draft.vary(byteLength, low(lba), high(lba), dword12);
    return new Command<number>(draft);
  }

  /** Sets all words of a command whose reference tag is that of its first block. */
  #tag(lba: number | bigint, cdw12: number, byteLength: number): void {
    const { opcode, ...fields } = this.#fields;
    const { nsid } = this.#namespace;
    const tag = tagOf(this.#namespace, lba, undefined);
    const tags = { cdw3: high(tag), cdw14: low(tag) };
    const place = { cdw10: low(lba), cdw11: high(lba), cdw12 };
    const words = { ...fields, ...tags, ...place };
    this.#draft.more = wordsOf(opcode, nsid, words, byteLength, 0);
  }
}
