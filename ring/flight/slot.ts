/**
 * What a command needs until its last completion.
 *
 * **Contract.** `user_data` is a slot's index and generation, in two halves of
 * 32 bits. A slot is taken before its command is encoded and given back on the
 * command's last CQE, with a new generation, so that a late or repeated CQE
 * finds nobody. The blocks a command points at belong to its slot for as long,
 * whatever becomes of the promise, the signal, the caller's array or the ring.
 *
 * @module
 */

import { type Arena, arenaOf } from "../../sys/arena.ts";
import { high, low } from "../../sys/struct.ts";
import {
  bufferOf,
  byteLengthOf,
  byteOffsetOf,
  setBytes,
} from "../intrinsics.ts";
import { checkBytes } from "../check.ts";
import type { Command } from "../command.ts";
import { type Block, give, take } from "./pool.ts";

/** Who is told how a command ended. */
export interface Receiver {
  /** A value: the only one, or one of many of a multishot command. */
  value(slot: Slot, value: unknown): void;
  /** The error it ended with. */
  error(slot: Slot, error: unknown): void;
  /** A multishot command has ended well. */
  end(slot: Slot): void;
}

/** What a completion of 32 bytes has more than others. */
export interface Extras {
  readonly wide: boolean;
  extra(index: 0 | 1): bigint;
}

/** A completion that is kept until its turn. */
export class Late implements Extras {
  readonly res: number;
  readonly flags: number;
  readonly wide: boolean;
  readonly #extras: readonly [bigint, bigint];

  constructor(extras: Extras, res: number, flags: number) {
    this.res = res;
    this.flags = flags;
    this.wide = extras.wide;
    this.#extras = [extras.extra(0), extras.extra(1)];
  }

  extra(index: 0 | 1): bigint {
    return this.#extras[index];
  }
}

/** A command under way. */
export class Slot {
  readonly index: number = 0;
  generation = 1;
  command: Command<unknown> | null = null;
  receiver: Receiver | null = null;
  /** Promise of a command that is awaited. */
  resolve: ((value: unknown) => void) | null = null;
  /** Place in the batch of a synchronous call. */
  place = 0;
  /** The next slot of the list it is in: waiting or free. */
  next: Slot | null = null;

  /** Something below was set: most commands set none of it. */
  marked = false;
  signal: AbortSignal | null = null;
  onAbort: (() => void) | null = null;
  /** It was aborted, by its signal, by leaving its stream or by `close`. */
  aborted = false;
  abortReason: unknown = undefined;
  /** It is not in the submission queue yet, and can be dropped. */
  waiting = false;
  /** Word index of its SQE, in a queue that holds them; else -1. */
  sqe = -1;
  /** While the decoder of a stream runs: what the stream has posted since. */
  later: Late[] | null = null;
  /** The next command of a chain. */
  linked: Slot | null = null;
  /** It was left of a chain that was cut, and made a no-op. */
  cut = false;
  /** A completion that came before the last, of a one-shot command. */
  early = false;
  earlyRes = 0;
  earlyFlags = 0;
  /** For each address of the command: the block behind it, if it is ours. */
  readonly blocks: (Block | null)[] = [];
  readonly addresses: number[] = [];

  constructor(index: number) {
    this.index = index;
  }

  /**
   * A promise of how the command ends. Nothing asks for its `reject`, which V8
   * then need not make: it is resolved with a promise that was rejected.
   */
  await(): Promise<unknown> {
    return new Promise((resolve) => {
      this.resolve = resolve;
    });
  }
}

/** The slots of a ring. */
export class Slots {
  readonly #slots: Slot[] = [];
  #free: Slot | null = null;

  /** A slot for `command`, with memory for all it points at. */
  take(command: Command<unknown>): Slot {
    let slot = this.#free;
    if (slot === null) {
      slot = new Slot(this.#slots.length);
      this.#slots.push(slot);
    } else {
      this.#free = slot.next;
    }
    slot.command = command; // So that its memory counts as in use.
    if (!command.plain) this.#lease(slot, command);
    return slot;
  }

  #lease(slot: Slot, command: Command<unknown>): void {
    slot.marked = true;
    try {
      lease(slot, command);
    } catch (error) {
      this.give(slot);
      throw error;
    }
  }

  /** Takes a slot back, with its memory. */
  give(slot: Slot): void {
    slot.generation = slot.generation + 1 | 0;
    slot.command = null;
    slot.receiver = null;
    slot.resolve = null;
    if (slot.marked) clear(slot);
    slot.next = this.#free;
    this.#free = slot;
  }

  /** The slot that a `user_data` names; `null` when no command is under way. */
  find(userDataLow: number, userDataHigh: number): Slot | null {
    const slot = this.#slots[userDataLow >>> 0];
    if (slot === undefined || slot.generation !== userDataHigh) return null;
    return slot.command === null ? null : slot;
  }

  /** The slots whose commands are under way. */
  *busy(): Iterable<Slot> {
    for (const slot of this.#slots) if (slot.command !== null) yield slot;
  }

  /** The memory that commands under way use. */
  *arenas(): Iterable<Arena> {
    for (const { command, blocks } of this.busy()) {
      for (const block of blocks) if (block !== null) yield block.arena;
      for (const { bytes } of command!.operands) {
        const arena = bytes === null ? undefined : arenaOf(bufferOf(bytes));
        if (arena !== undefined) yield arena;
      }
    }
  }
}

const { removeEventListener: removeListener } = EventTarget.prototype;

/** Undoes all that is set in few slots. */
function clear(slot: Slot): void {
  for (const block of slot.blocks) if (block !== null) give(block);
  slot.blocks.length = 0;
  slot.addresses.length = 0;
  if (slot.signal !== null) {
    removeListener.call(slot.signal, "abort", slot.onAbort);
    slot.signal = null;
    slot.onAbort = null;
  }
  slot.aborted = false;
  slot.abortReason = undefined;
  slot.waiting = false;
  slot.sqe = -1;
  slot.linked = null;
  slot.cut = false;
  slot.early = false;
  slot.marked = false;
}

/** Finds or takes the memory behind each address, and copies in what is read. */
function lease(slot: Slot, command: Command<unknown>): void {
  for (const operand of command.operands) {
    const { bytes, byteLength, counted } = operand;
    let block: Block | null = null;
    let address: number | undefined;
    if (bytes !== null) {
      checkBytes(`memory of ${command.name}`, bytes);
      const now = byteLengthOf(bytes);
      if (now !== byteLength) {
        throw new TypeError(
          `memory of ${command.name} was ${byteLength} bytes when the command ` +
            `was made, and is ${now} now`,
        );
      }
      const arena = arenaOf(bufferOf(bytes));
      if (arena !== undefined) address = arena.address + byteOffsetOf(bytes);
    }
    if (address === undefined) {
      block = take(byteLength);
      address = block.address;
      // What is copied back whole must not carry an earlier command's bytes.
      if (operand.reads || !counted) {
        if (bytes !== null) block.bytes.set(bytes);
        else block.bytes.fill(0, 0, byteLength);
      }
    }
    slot.blocks.push(block);
    slot.addresses.push(address);
    if (operand.inside >= 0) {
      const { view } = slot.blocks[operand.inside]!;
      view.setUint32(operand.at, low(address), true);
      view.setUint32(operand.at + 4, high(address), true);
    }
  }
}

/** Copies back what the kernel wrote into memory of ours for the caller. */
export function copyOut(slot: Slot, res: number): void {
  const { operands, name } = slot.command!;
  for (let i = 0; i < operands.length; i++) {
    const { bytes, byteLength, writes, counted } = operands[i];
    const block = slot.blocks[i];
    if (block === null || bytes === null || !writes) continue;
    const written = counted
      ? Math.min(Math.max(res, 0), byteLength)
      : byteLength;
    if (byteLengthOf(bytes) < written) {
      throw new TypeError(
        `${name} completed with ${res}, but the array for its result was ` +
          "detached or made smaller meanwhile",
      );
    }
    setBytes(bytes, block.bytes.subarray(0, written));
  }
}

/** For each address of a command, the memory behind it. */
export function memories(slot: Slot): Uint8Array[] {
  return slot.command!.operands.map(({ bytes, byteLength }, i) => {
    const block = slot.blocks[i];
    return block === null ? bytes! : block.bytes.subarray(0, byteLength);
  });
}
