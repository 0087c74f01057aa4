/**
 * Addresses in a command: of memory that the ring lends to the kernel, or a
 * number that the caller vouches for.
 *
 * @module
 */

import { checkBytes, checkU64 } from "../ring/check.ts";
import { append } from "../ring/intrinsics.ts";
import { type Memory, type Operand, operand } from "../ring/operand.ts";

/** An address that the caller vouches for. */
export class UnsafeAddress {
  readonly #value: number | bigint;

  /** Made by {@linkcode unsafeAddress}. */
  constructor(value: number | bigint) {
    this.#value = checkU64("address", value);
  }

  /** The address, or any other 64-bit value. */
  get value(): number | bigint {
    return this.#value;
  }

  /**
   * Returns `true` for an instance, and `false` for an object that imitates
   * one.
   */
  static is(value: unknown): value is UnsafeAddress {
    return typeof value === "object" && value !== null && #value in value;
  }
}

/**
 * Passes a number where a command has an address: an offset into a buffer of
 * the kernel, an address from another library, or a field that a driver uses
 * for something else. If the kernel takes it for an address, the kernel reads
 * or writes whatever is there until the command has completed.
 */
export function unsafeAddress(value: number | bigint): UnsafeAddress {
  return new UnsafeAddress(value);
}

/** Memory, or an address that the caller vouches for. */
export type Address = Memory | UnsafeAddress;

/**
 * Returns the number to write at byte `at`. For memory it is 0, and `operands`
 * gets an operand whose address the ring writes there: into the SQE, or into
 * the memory of operand `inside`.
 */
export function addressField(
  name: string,
  at: number,
  value: Address | undefined,
  operands: Operand[],
  inside = -1,
): number | bigint {
  if (value === undefined) return 0;
  if (UnsafeAddress.is(value)) return value.value;
  if (typeof value !== "object" || value === null) {
    throw new TypeError(
      `${name} is an address. Pass { bytes, kernel: "reads" | "writes" | ` +
        '"both" }, or wrap the number in unsafeAddress()',
    );
  }
  const { bytes, kernel } = value;
  if (!KERNEL.has(kernel)) {
    throw new TypeError(`${name}.kernel must be "reads", "writes" or "both"`);
  }
  checkBytes(`${name}.bytes`, bytes);
  append(operands, operand(at, { bytes, kernel }, { inside }));
  return 0;
}

/** The values of `Memory.kernel`. */
const KERNEL = new Set<Memory["kernel"]>(["reads", "writes", "both"]);
