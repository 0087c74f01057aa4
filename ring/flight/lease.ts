/** The memory of one command in flight. */

import { type Arena, arenaOf } from "../../sys/arena.ts";
import { high, low } from "../../sys/struct.ts";
import { checkBytes } from "../check.ts";
import type { Command } from "../command.ts";
import {
  append,
  bufferOf,
  byteLengthOf,
  byteOffsetOf,
  clear,
  copyOf,
  setBytes,
  setHalves,
} from "../intrinsics.ts";
import type { Operand } from "../operand.ts";
import { type Block, give, take } from "./pool.ts";

/**
 * The memory behind each address of a command: the caller's own where it comes
 * from `Ring.alloc`, and else a block of the pool.
 */
export class Lease {
  /** Addresses that are known; those beyond it in the arrays are an older lease's. */
  count = 0;
  readonly #addresses: number[] = [];
  /** For each address the block of the pool; `null` for the caller's memory. */
  readonly blocks: (Block | null)[] = [];

  /** Returns an address, by the number of its operand. */
  address(index: number): number {
    return this.#addresses[index];
  }

  /** Finds or takes the memory of each operand, and copies in what the kernel reads. */
  take(command: Command<unknown>): void {
    const { operands } = command;
    for (let i = 0; i < operands.length; i++) {
      const operand = operands[i];
      const { bytes } = operand;
      const arena = bytes === null
        ? undefined
        : this.#arenaOf(operand, command);
      if (arena === undefined) this.#copyIn(operand);
      else this.#add(null, arena.address + byteOffsetOf(bytes!));
      if (operand.inside < 0) continue;
      const address = this.#addresses[this.count - 1];
      const { view } = this.blocks[operand.inside]!;
      setHalves(view, operand.at, low(address), high(address));
    }
  }

  /** Returns the arena of the caller's bytes, which are checked to be still there. */
  #arenaOf(operand: Operand, command: Command<unknown>): Arena | undefined {
    const bytes = operand.bytes!;
    const now = byteLengthOf(bytes);
    if (now === 0 || now !== operand.byteLength) checkSame(operand, command);
    // One alone is not in an arena, or the command would lease nothing.
    return command.operands.length === 1 ? undefined : arenaOf(bufferOf(bytes));
  }

  /** Takes a block, with a copy of the caller's bytes. */
  #copyIn({ bytes, byteLength }: Operand): void {
    const block = take(byteLength);
    this.#add(block, 0);
    this.#addresses[this.count - 1] = block.address;
    // Bytes that are copied back must not be an earlier command's, and a driver may
    // count more than it has written: a TAP device skips padding (tun_put_user()),
    // /dev/sg answers the length that was asked for (sg_new_read(), Linux 6.12).
    if (bytes !== null) setBytes(block.bytes, bytes);
    else clear(block.bytes, 0, byteLength);
  }

  #add(block: Block | null, address: number): void {
    const { count, blocks } = this;
    const addresses = this.#addresses;
    // Each by its own length: a call that was cut short may have grown one of them.
    if (count < blocks.length) blocks[count] = block;
    else append(blocks, block);
    if (count < addresses.length) addresses[count] = address;
    else append(addresses, address);
    this.count++;
  }

  /** Gives the blocks back to the pool, each once. */
  give(): void {
    while (this.count > 0) {
      const block = this.blocks[--this.count];
      this.blocks[this.count] = null;
      if (block !== null) give(block);
    }
  }

  /** Copies what the kernel wrote from blocks of the pool to the caller's arrays. */
  copyOut({ operands, name }: Command<unknown>, res: number): void {
    for (let i = 0; i < operands.length; i++) {
      const { bytes, byteLength, writes, counted } = operands[i];
      const block = this.blocks[i];
      if (block === null || bytes === null || !writes) continue;
      const written = counted
        ? Math.min(Math.max(res, 0), byteLength)
        : byteLength;
      if (written === 0) continue;
      if (byteLengthOf(bytes) < written) {
        throw new TypeError(
          `${name} completed with ${res}, but the array for its result was ` +
            "detached or made smaller meanwhile",
        );
      }
      if (written > 0) setBytes(bytes, block.first(written));
    }
  }

  /**
   * Returns the memory behind each address for the command's decoder: the caller's
   * own, after {@linkcode copyOut}, or else a copy. A view of a block would reach the
   * whole pool through `buffer`: the bytes of other commands, and addresses that the
   * kernel follows. In a copy, addresses are zero.
   */
  memories({ operands }: Command<unknown>): Uint8Array[] {
    return operands.map(({ bytes, byteLength, writes }, i) => {
      const block = this.blocks[i];
      if (block === null || bytes !== null && writes) return bytes!;
      const copy = copyOf(block.bytes, 0, byteLength);
      for (const { inside, at } of operands) {
        if (inside === i) clear(copy, at, at + 8);
      }
      return copy;
    });
  }

  /** The arenas of its blocks. */
  *arenas(): Iterable<Arena> {
    for (let i = 0; i < this.count; i++) {
      const block = this.blocks[i];
      if (block !== null) yield block.arena;
    }
  }
}

/** Throws unless the caller's bytes are there, and as many as they were. */
function checkSame(
  { bytes, byteLength }: Operand,
  { name }: Command<unknown>,
): void {
  const now = byteLengthOf(checkBytes(`memory of ${name}`, bytes!));
  if (now === byteLength) return;
  throw new TypeError(
    `memory of ${name} was ${byteLength} bytes when the command was made, and ` +
      `is ${now} now`,
  );
}

/** The arenas of the caller's memory that a command points at. */
export function* arenasOf(
  { operands }: Command<unknown>,
): Iterable<Arena> {
  for (const { bytes } of operands) {
    const arena = bytes === null ? undefined : arenaOf(bufferOf(bytes));
    if (arena !== undefined) yield arena;
  }
}
