/** Copy on write: a disk that keeps the changes of another one beside it. */

import { checkObject } from "../../../ring/check.ts";
import type { BlockRequest, Target } from "../target.ts";

/** A disk over another one. */
export interface Overlay extends Target {
  /** Blocks that differ from the base. */
  readonly changed: number;
  /**
   * Writes the changes to the base, and flushes it. Resolves to the blocks written.
   * Requests go on meanwhile, and what they write is kept for the next time.
   *
   * @throws {TypeError} if the base cannot be written.
   */
  commit(): Promise<number>;
  /** Forgets the changes for which `test` is true. Default: all. */
  forget(test?: (block: number) => boolean): void;
}

/**
 * Makes a disk that reads from a base, and keeps what is written in memory: the base
 * stays as it is until {@linkcode Overlay.commit}. It is a cache that can be flushed
 * late, a snapshot, or a test that leaves no trace.
 *
 * @example
 * ```ts
 * import { memoryTarget, overlay } from "@uring/cmd/ublk";
 *
 * const image = memoryTarget(1 << 20);
 * const scratch = overlay(image);
 * console.log(scratch.changed); // 0
 * ```
 */
export function overlay(base: Target): Overlay {
  const { size, blockSize = 4096, physicalBlockSize } = checkObject(
    "base",
    base,
  );
  const changes = new Map<number, Uint8Array>();
  const zeros = new Uint8Array(blockSize);
  /** Calls for each block of a request, with its place in the data. */
  const each = (
    { offset, length }: { offset: number; length: number },
    call: (block: number, at: number) => void,
  ) => {
    for (let at = 0; at < length; at += blockSize) {
      call((offset + at) / blockSize, at);
    }
  };
  /** Reads a range from the base, also in several pieces. */
  const readBase = async (range: BlockRequest, into: Uint8Array) => {
    for (let done = 0; done < range.length;) {
      const length = range.length - done;
      const rest = part(range, range.offset + done, length);
      done += await base.read(rest, into.subarray(done)) ?? length;
    }
  };
  return {
    size,
    blockSize,
    physicalBlockSize,
    get changed() {
      return changes.size;
    },
    read(request, into) {
      const known = new Map<number, Uint8Array>();
      each(request, (block) => {
        const data = changes.get(block);
        if (data !== undefined) known.set(block, data);
      });
      // A commit may have moved a block to the base after that was read.
      const fill = () =>
        each(request, (block, at) => {
          const data = changes.get(block) ?? known.get(block);
          if (data !== undefined) into.set(data, at);
        });
      if (known.size * blockSize === request.length) return fill();
      return readBase(request, into).then(fill);
    },
    write: (request, data) =>
      // A copy each: a block of a commit that goes on does not change.
      each(request, (block, at) =>
        changes.set(block, data.slice(at, at + blockSize))),
    writeZeroes: (request) =>
      each(request, (block) => changes.set(block, zeros)),
    discard: (request) => each(request, (block) => changes.delete(block)),
    async commit() {
      if (base.write === undefined) {
        throw new TypeError("the base is read-only");
      }
      const all = [...changes];
      for (const [block, data] of all) {
        const request = part({}, block * blockSize, blockSize);
        await base.write(request, data);
        if (changes.get(block) === data) changes.delete(block);
      }
      await base.flush?.(part({}, 0, 0));
      return all.length;
    },
    forget(test = () => true) {
      for (const block of changes.keys()) {
        if (test(block)) changes.delete(block);
      }
    },
    close: () => base.close?.(),
  };
}

/** Makes a request of our own. */
function part(
  of: Partial<BlockRequest>,
  offset: number,
  length: number,
): BlockRequest {
  const signal = of.signal ?? new AbortController().signal;
  return { offset, length, fua: false, mayUnmap: true, signal };
}
