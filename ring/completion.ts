/** What the kernel answered, as a command's decoder sees it. */

import { shown } from "./check.ts";

/** What the kernel answered: passed to a command's `decode`. */
export class Completion {
  /** The result as the operation defines it; an expected errno is negative. */
  readonly res: number;
  /** The `IORING_CQE_F_` bits. */
  readonly flags: number;
  /** Bytes 16 to 23 of a 32-byte CQE, 0 in a ring of smaller ones. */
  readonly extra1: bigint;
  /** Bytes 24 to 31 of a 32-byte CQE, 0 in a ring of smaller ones. */
  readonly extra2: bigint;
  /** `res` of a notification that followed, -1 where there was none. */
  readonly notification: number;
  readonly #memory: readonly Uint8Array[];

  /** Made by a ring, and by tests of decoders. */
  constructor(
    res: number,
    flags = 0,
    memory: readonly Uint8Array[] = [],
    extra1 = 0n,
    extra2 = 0n,
    notification = -1,
  ) {
    this.res = res;
    this.flags = flags;
    this.extra1 = extra1;
    this.extra2 = extra2;
    this.notification = notification;
    this.#memory = memory;
  }

  /**
   * The memory behind the address number `index` of the command, as the kernel
   * left it. It is used again after `decode` has returned: copy what you keep.
   */
  memory(index = 0): Uint8Array {
    const memory = this.#memory[index];
    if (memory !== undefined) return memory;
    throw new RangeError(`the command has no address number ${shown(index)}`);
  }
}
