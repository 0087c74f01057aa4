/** The parts that do not differ between commands of one kind. */

import type { Completion } from "./completion.ts";
import { type Advice, generalAdvice } from "./errors.ts";

/** The bits of `Command.traits`. */
export const TRAITS = {
  /** It needs SQEs of 128 bytes. */
  sqe128: 1,
  /** It needs CQEs of 32 bytes. */
  cqe32: 2,
  /** The ring has to check its tables, flags or `precheck`, or it is a stream. */
  checked: 4,
  /** See `Command.leases`. */
  leases: 8,
  /** See `Command.plain`. */
  plain: 16,
  /** See `Command.numeric`. */
  numeric: 32,
  /** All but `opcode`, `flags`, `ioprio`, `fd` and `cmd_op` is 0. */
  short: 64,
  /** See `Kind.varies`. */
  varies: 128,
} as const;

/** A command, as its decoder sees it. */
export interface Decoded {
  /** The name in messages. */
  readonly name: string;
  /** The descriptor, or the index in the table of files; -1 for no file. */
  readonly fd: number;
  /** The result if `res` is 0; -1 if the decoder makes it. */
  readonly success: number;
}

/** The parts of a {@linkcode Kind}. `CommandSpec` explains them. */
export interface KindSpec<T> {
  readonly name: string;
  readonly opcode: number;
  readonly cqe32?: boolean;
  readonly multishot?: boolean;
  /** See {@linkcode Kind.untilZero}. */
  readonly untilZero?: boolean;
  readonly completions?: number;
  /** Makes the result from a completion, with what the command itself says. */
  readonly decode?: (completion: Completion, command: Decoded) => T;
  readonly expected?: readonly number[];
  readonly advice?: Advice;
  /** See {@linkcode Kind.independent}. */
  readonly independent?: boolean;
  /** See {@linkcode Kind.varies}. */
  readonly varies?: number;
}

/**
 * A kind of command, such as `READ`. A module makes its kinds once, so that a
 * command takes one field for all of this, and V8 finds one hidden class where it
 * would find one for each literal that a program makes commands of.
 */
export class Kind<T> {
  readonly name: string;
  readonly opcode: number;
  readonly cqe32: boolean;
  readonly multishot: boolean;
  /**
   * `true` for a multishot command that is over when `res` is 0, which is no value.
   * The kernel may end it with another result: the ring then queues it again.
   */
  readonly untilZero: boolean;
  readonly completions: number;
  readonly decode: ((completion: Completion, command: Decoded) => T) | null;
  readonly expected: readonly number[];
  readonly advice: Advice;
  /**
   * `true` if no command needs the ring's thread to handle the completion of this
   * one: the driver has given back its request of the device by then, and nothing
   * else waits for it.
   */
  readonly independent: boolean;
  /**
   * Index of four words of the payload that differ between the commands of a maker;
   * 0 if there are none. Such a command keeps them where others have the upper half
   * of `off`, `addr` and `len`, which are 0 in its SQE. So all commands of the maker
   * share the list of the other words, which takes longer to make than the rest.
   */
  readonly varies: number;
  /** The {@linkcode TRAITS} of a command that has no memory and no result. */
  readonly traits: number;

  constructor(spec: KindSpec<T>) {
    const { name, opcode, cqe32 = false, multishot = false } = spec;
    const { completions = 1, decode = null, expected = NO_ERRNOS } = spec;
    const { advice = generalAdvice, independent = false, varies = 0 } = spec;
    this.name = name;
    this.opcode = opcode;
    this.cqe32 = cqe32;
    this.multishot = multishot;
    this.untilZero = spec.untilZero ?? false;
    this.completions = completions;
    this.decode = decode;
    this.expected = expected;
    this.advice = advice;
    this.independent = independent;
    this.varies = varies;
    const plain = !multishot && completions === 1;
    this.traits = (cqe32 ? TRAITS.cqe32 : 0) |
      (multishot ? TRAITS.checked : 0) |
      (plain ? TRAITS.plain : 0) |
      (plain && decode === null ? TRAITS.numeric : 0) |
      (varies !== 0 ? TRAITS.varies : 0);
  }
}

const NO_ERRNOS: readonly number[] = [];
