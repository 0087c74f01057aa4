/** A disk for tests of what uses disks: it fails as it is told. */

import { BlockError, type BlockErrorCode } from "../errors.ts";
import type { BlockRequest, Target } from "../target.ts";
import { type Overlay, overlay } from "./overlay.ts";

/** The fate of a request. */
export interface Fault {
  /** Milliseconds before anything else happens. */
  readonly delayMs?: number;
  /** The request fails with this. */
  readonly error?: BlockErrorCode;
  /** Bytes of a write, in whole blocks, that are done before it fails: it is torn. */
  readonly torn?: number;
  /** The request seems to succeed, and does nothing: a flush, most often. */
  readonly ignored?: boolean;
}

/** The operations that can fail. */
export type FaultyOperation = "read" | "write" | "flush";

/** A disk that fails. */
export interface Faulty extends Target {
  /** Blocks that were written, and not flushed. */
  readonly unflushed: number;
  /**
   * Loses power: what was not flushed is gone, except for the blocks that `kept` says
   * had reached the disk. Default: none. The disk goes on, as after a restart: unmount
   * what is on it first, or stop the disk by force and serve it again.
   */
  loseCache(kept?: (block: number) => boolean): void;
}

/**
 * Makes a disk that has a volatile cache over a base, and fails as it is told. What is
 * written goes to the cache, and with a flush to the base.
 *
 * @param plan Is asked at each request, with the number of requests of that operation
 * before it. What it returns happens; `undefined` for what is right.
 *
 * @example The third flush does nothing, and the tenth write is torn
 * ```ts
 * import { faultyTarget, memoryTarget } from "@uring/cmd/ublk";
 *
 * const disk = faultyTarget(memoryTarget(1 << 20), (op, _request, count) => {
 *   if (op === "flush" && count === 2) return { ignored: true };
 *   if (op === "write" && count === 9) return { torn: 4096, error: "EIO" };
 * });
 * console.log(disk.unflushed); // 0
 * ```
 */
export function faultyTarget(
  base: Target,
  plan: (
    op: FaultyOperation,
    request: BlockRequest,
    count: number,
  ) => Fault | undefined = () => undefined,
): Faulty {
  const cache: Overlay = overlay(base);
  const counts = { read: 0, write: 0, flush: 0 };
  /** Does what the plan says. Returns `true` if nothing else is to be done. */
  const suffer = async (
    op: FaultyOperation,
    request: BlockRequest,
    data?: Uint8Array,
  ): Promise<boolean> => {
    const { delayMs = 0, error, torn = 0, ignored = false } =
      plan(op, request, counts[op]++) ?? {};
    if (delayMs > 0) await new Promise((end) => setTimeout(end, delayMs));
    if (torn > 0 && data !== undefined) {
      const length = Math.min(torn - torn % cache.blockSize!, data.length);
      const { offset, fua, mayUnmap, signal } = request;
      const part = { offset, length, fua, mayUnmap, signal };
      await cache.write!(part, data.subarray(0, length));
    }
    if (error !== undefined) throw new BlockError(error, "as told");
    return ignored;
  };
  return {
    size: cache.size,
    blockSize: cache.blockSize,
    physicalBlockSize: cache.physicalBlockSize,
    get unflushed() {
      return cache.changed;
    },
    async read(request, into) {
      if (!await suffer("read", request)) await cache.read(request, into);
    },
    async write(request, data) {
      if (!await suffer("write", request, data)) {
        await cache.write!(request, data);
      }
    },
    async flush(request) {
      if (!await suffer("flush", request)) await cache.commit();
    },
    loseCache: (kept = () => false) => cache.forget((block) => !kept(block)),
    close: () => cache.close?.(),
  };
}
