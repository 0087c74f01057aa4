/** A completion in the form that a command's decoder gets. */

import type { LentBuffer } from "./buffer_ring.ts";
import { shown } from "./check.ts";

/** The kernel's answer to a command, passed to its `decode`. */
export class Completion {
  /** The result, as the operation defines it; `-errno` for an expected errno. */
  readonly res: number;
  /** The `IORING_CQE_F_` bits. */
  readonly flags: number;
  /** Bytes 16 to 23 of a 32-byte CQE; 0 if the CQE is smaller. */
  readonly extra1: bigint;
  /** Bytes 24 to 31 of a 32-byte CQE; 0 if the CQE is smaller. */
  readonly extra2: bigint;
  /** `res` of the notification that followed; -1 if there was none. */
  readonly notification: number;
  /**
   * The buffer that the kernel has filled, of a command with a `BufferRing`; `null` if
   * it took none. It goes back when `decode` returns, unless `decode` returns the
   * buffer itself.
   */
  readonly lent: LentBuffer | null;
  readonly #memory: readonly Uint8Array[];

  /** Makes a completion: for a ring, and for tests of a decoder. */
  constructor(
    res: number,
    flags = 0,
    memory: readonly Uint8Array[] = [],
    extra1 = 0n,
    extra2 = 0n,
    notification = -1,
    lent: LentBuffer | null = null,
  ) {
    this.res = res;
    this.flags = flags;
    this.extra1 = extra1;
    this.extra2 = extra2;
    this.notification = notification;
    this.lent = lent;
    this.#memory = memory;
  }

  /**
   * Returns the memory of the command's address number `index`, as the kernel left
   * it. The ring reuses it after `decode` has returned: copy what you keep.
   */
  memory(index = 0): Uint8Array {
    const memory = this.#memory[index];
    if (memory !== undefined) return memory;
    throw new RangeError(`the command has no address number ${shown(index)}`);
  }
}
