/**
 * Commands for drivers that this library does not know, from the layouts of
 * their structs.
 *
 * @module
 */

import * as uapi from "../sys/uapi/io_uring.ts";
import type { PointerField } from "../sys/struct.ts";
import { checkBoolean, checkFunction, checkInteger } from "../ring/check.ts";
import { checkList, checkObject, checkString } from "../ring/check.ts";
import { checkU32, shown } from "../ring/check.ts";
import { Command, type FileRef } from "../ring/command.ts";
import type { Completion } from "../ring/completion.ts";
import { type Draft, draftTo } from "../ring/draft.ts";
import { uringCmdAdvice } from "../ring/errors.ts";
import { append } from "../ring/intrinsics.ts";
import { Kind } from "../ring/kind.ts";
import { type Operand, operand } from "../ring/operand.ts";
import { checkPointers, checkValue, encode, type Layout } from "./layout.ts";
import { type Place, placesOf, type Read, readBack } from "./layout.ts";
import { sizeOf, type ValueOf, type Values } from "./layout.ts";
import { checkPayload, PAYLOAD_MAX } from "./uring_cmd.ts";

export type { Layout, Read, ValueOf, Values } from "./layout.ts";

const sqe = uapi.io_uring_sqe;

/**
 * A driver's command, for {@linkcode defineCommand}.
 *
 * Only a `pointer` field is an address that the library keeps right. If the
 * driver takes another field for an address, such as a `u64`, the kernel reads
 * or writes whatever is there.
 */
export interface CommandDefinition<I extends Layout, S extends Layout, T> {
  /** The command's name in messages. */
  name: string;
  /** The driver's number for the command: 32 bits. */
  cmd_op: number;
  /**
   * The struct inside the SQE: at most 16 bytes, 80 in a 128-byte SQE. Fields that
   * overlap make a union: give each command a value for one of them. A field may not
   * overlap a `pointer`.
   */
  inline?: I;
  /**
   * The struct at the address in `addr`, which the kernel reads and writes; at
   * most 1 MiB. Fields may overlap here, too. Each run of a command starts with the
   * values it was made with.
   */
  indirect?: S;
  /** `len` of the SQE. Default: 0. */
  len?: number;
  /** The driver answers with a 32-byte CQE. */
  cqe32?: boolean;
  /**
   * Makes the result from the completion and from `indirect` after it, where a
   * `pointer` is 0.
   */
  decode?: (completion: Completion, indirect: Read<S>) => T;
}

/** The names of the fields of a layout that a {@linkcode CommandMaker} may vary. */
export type Varying<L> = {
  [K in keyof L & string]: L[K] extends PointerField ? never : K;
}[keyof L & string];

/** Makes commands that differ in the values of a few fields. */
export interface CommandMaker<V extends readonly unknown[], T> {
  /** Makes a command with values for the fields, in the order of their names. */
  with(...values: V): Command<T>;
}

/** The function that {@linkcode defineCommand} returns: it makes commands. */
export interface DefinedCommand<I extends Layout, S extends Layout, T> {
  /** Makes a command. The file's driver understands it. */
  (fd: FileRef, values?: Values<I & S>): Command<T>;

  /**
   * Returns a maker of commands that differ only in the fields of `inline` that
   * have one of `names`. All else is checked once, and not at each command: making
   * one with a pointer takes 40 ns in place of 270. A pointer cannot vary, so make a
   * maker for each memory.
   *
   * @example Replies of a ublk server; /dev/null stands in for its device
   * ```ts
   * import { defineCommand, open, pointer, Ring, s32, u16 } from "@uring/cmd";
   *
   * const commit = defineCommand({
   *   name: "COMMIT_AND_FETCH_REQ",
   *   cmd_op: 0xc010_7521,
   *   inline: { q_id: u16(0), tag: u16(2), result: s32(4), addr: pointer(8) },
   * });
   *
   * await using ring = Ring.open();
   * using file = open("/dev/null");
   * const addr = { bytes: ring.alloc(4096), kernel: "both" } as const;
   * const replies = commit.maker(file.fd, { tag: 7, addr }, ["result"]);
   * for (const result of [4096, 512, -5]) {
   *   await ring.cmd(replies.with(result));
   * }
   * ```
   */
  maker<const N extends readonly Varying<I>[]>(
    fd: FileRef,
    values: Values<I & S>,
    names: N,
  ): CommandMaker<{ [K in keyof N]: ValueOf<I[N[K]]> }, T>;
}

/**
 * Returns a function that makes commands for a driver of yours, from the
 * layouts of its structs.
 *
 * @example A request of a ublk server; /dev/null stands in for its device
 * ```ts
 * import { defineCommand, open, pointer, Ring, s32, u16 } from "@uring/cmd";
 *
 * const fetch = defineCommand({
 *   name: "FETCH_REQ",
 *   cmd_op: 0xc010_7520,
 *   inline: { q_id: u16(0), tag: u16(2), result: s32(4), addr: pointer(8) },
 * });
 *
 * await using ring = Ring.open();
 * using file = open("/dev/null");
 * const buffer = { bytes: ring.alloc(4096), kernel: "both" } as const;
 * console.log(await ring.cmd(fetch(file.fd, { tag: 7, addr: buffer })));
 * ```
 */
export function defineCommand<
  I extends Layout = Record<never, never>,
  S extends Layout = Record<never, never>,
  T = number,
>(
  definition: CommandDefinition<I, S, T>,
): DefinedCommand<I, S, T> {
  checkObject("definition", definition);
  const { name, cmd_op, len = 0, cqe32 = false, decode } = definition;
  const { inline, indirect } = definition;
  const inlinePlaces = placesOf("inline", inline);
  const indirectPlaces = placesOf("indirect", indirect);
  checkString("name", name);
  checkU32("cmd_op", cmd_op);
  checkU32("len", len);
  checkBoolean("cqe32", cqe32);
  checkFunction("decode", decode);
  for (const places of [inlinePlaces, indirectPlaces]) checkPointers(places);
  const inlineSize = sizeOf(inlinePlaces);
  const indirectSize = sizeOf(indirectPlaces);
  checkPayload(inlineSize);
  checkInteger("bytes of indirect", indirectSize, 0, INDIRECT_MAX);
  const known = new Set(indirectPlaces.map(({ name }) => name));
  for (const { name, offset, pointer } of inlinePlaces) {
    if (known.has(name)) {
      throw new TypeError(
        `both layouts have a field called ${name}. Rename one`,
      );
    }
    known.add(name);
    if (pointer && offset % 4 !== 0) {
      throw new RangeError(
        `${name} is a pointer at byte ${offset} of the payload, where an ` +
          "address needs a multiple of 4",
      );
    }
  }
  const spec = {
    name: `URING_CMD ${name}`,
    opcode: uapi.IORING_OP_URING_CMD,
    cqe32,
    decode: decode &&
      ((completion: Completion) =>
        decode(completion, readBack(indirectPlaces, completion) as Read<S>)),
    advice: uringCmdAdvice,
  };
  const usual = new Kind<T>(spec);

  /** Drafts a command, with the values of its inline fields in `payload`. */
  function drafted(
    fd: FileRef,
    values: Record<string, unknown>,
    payload: Payload,
    kind = usual,
  ): Draft<T> {
    for (const field of Object.keys(checkObject("values", values))) {
      if (!known.has(field)) {
        const fields = [...known].join(", ") || "none";
        throw new TypeError(
          `${name} has no field called ${field}. Its fields: ${fields}`,
        );
      }
    }
    const operands: Operand[] = [];
    if (indirect) {
      const bytes = new Uint8Array(indirectSize);
      // `decode` reads what the kernel writes; the next run starts anew.
      const memory = operand(sqe.addr.offset, { bytes, kernel: "both" });
      append(operands, { ...memory, writes: false });
      const view = new DataView(bytes.buffer);
      encode(indirectPlaces, values, view, operands, 0, 0);
    }
    const { view } = payload;
    encode(inlinePlaces, values, view, operands, sqe.cmd.offset, -1);
    const draft = draftTo(kind, fd);
    draft.offLow = cmd_op | 0;
    draft.lenWord = len | 0;
    draft.setPayloadWords(payload.words, inlineSize > 16);
    draft.setOperands(operands);
    return draft;
  }

  /** A payload for the next command, unless a call that is not over has it. */
  let free: Payload | null = null;

  function make(fd: FileRef, values: Record<string, unknown> = {}): Command<T> {
    const payload = free ?? new Payload();
    free = null;
    const command = new Command<T>(drafted(fd, values, payload));
    payload.words.fill(0);
    free = payload;
    return command;
  }

  function maker(
    fd: FileRef,
    values: Record<string, unknown>,
    names: readonly string[],
  ): CommandMaker<readonly unknown[], T> {
    const varied = checkList("names", names).map((name) => {
      const place = inlinePlaces.find((it) => it.name === name && !it.pointer);
      if (place !== undefined) return place;
      throw new TypeError(
        `names must be of fields of \`inline\` that are no pointers, not ` +
          shown(name),
      );
    });
    const payload = new Payload();
    const first = len === 0 ? windowOf(varied) : -1;
    const varies = first < 0 ? 0 : sqe.cmd.offset / 4 + first;
    const kind = new Kind<T>({ ...spec, varies });
    const draft = drafted(fd, values, payload, kind);
    return new Maker(draft, payload, inlineSize > 16, varied, first);
  }
  return Object.assign(make, { maker }) as DefinedCommand<I, S, T>;
}

/** Most bytes of an indirect struct, so that a mistyped offset is refused. */
const INDIRECT_MAX = 1 << 20;

/** The payload of a command, as words and as a struct. */
class Payload {
  readonly words: Int32Array = new Int32Array(PAYLOAD_MAX / 4);
  readonly view: DataView = new DataView(this.words.buffer);

  copy(): Payload {
    const made = new Payload();
    made.words.set(this.words);
    return made;
  }
}

/**
 * Returns the first of four words of the payload that hold all of the fields; -1 if
 * no four words do.
 */
function windowOf(places: readonly Place[]): number {
  const starts = places.map(({ offset }) => offset >> 2);
  const ends = places.map(({ offset, size }) => offset + size);
  const last = PAYLOAD_MAX / 4 - 4;
  // The words of a short payload are all in one window.
  const first = Math.max(...ends) <= 16 ? 0 : Math.min(last, ...starts);
  return Math.max(...ends) <= (first + 4) * 4 ? first : -1;
}

class Maker<T> implements CommandMaker<readonly unknown[], T> {
  readonly #draft: Draft<T>;
  readonly #payload: Payload;
  /** The payload, or a copy, unless a call that is not over has it. */
  #free: Payload | null;
  readonly #wide: boolean;
  readonly #places: readonly Place[];
  /** The first of the words that vary, of four; -1 if there are more. */
  readonly #first: number;

  constructor(
    draft: Draft<T>,
    payload: Payload,
    wide: boolean,
    places: readonly Place[],
    first: number,
  ) {
    this.#draft = draft;
    this.#payload = payload;
    this.#free = payload;
    this.#wide = wide;
    this.#places = places;
    this.#first = first;
    draft.more ??= [0, 0, 0, 0, 0];
    draft.keep();
  }

  with(...values: readonly unknown[]): Command<T> {
    // A field of the program's may make a command while it is set.
    const payload = this.#free ?? this.#payload.copy();
    this.#free = null;
    const { words, view } = payload;
    const places = this.#places;
    // Each call sets all of these fields: what a call left that threw is gone.
    for (let i = 0; i < places.length; i++) {
      const place = places[i];
      place.field.set(view, 0, checkValue(place, values[i], view));
    }
    const draft = this.#draft;
    const at = this.#first;
    if (at < 0) draft.setPayloadWords(words, this.#wide);
    else draft.vary(words[at], words[at + 1], words[at + 2], words[at + 3]);
    this.#free = payload;
    return new Command<T>(draft);
  }
}
