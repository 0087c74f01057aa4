/**
 * The fields of an SQE by name, for tests of what a command encodes. Offsets and
 * names are written here a second time, so that a mistake under sys/ is seen.
 */

import { assert, assertEquals } from "@std/assert";
import type { Command } from "../../ring/command.ts";

/** Fields up to byte 48: bytes, name, and the name in a uring command. */
const FIELDS: readonly (readonly [number, string, string?])[] = [
  [1, "op"],
  [1, "flags"],
  [2, "ioprio"],
  [4, "fd"],
  [4, "off", "cmd_op"],
  [4, "off_high", "pad1"],
  [4, "addr"],
  [4, "addr_high"],
  [4, "len"],
  [4, "op_flags", "uring_cmd_flags"],
  [4, "user_data"],
  [4, "user_data_high"],
  [2, "buf_index"],
  [2, "personality"],
  [4, "file_index"],
];

/** IORING_OP_URING_CMD. */
const URING_CMD = 0x2e;

/** A value of `user_data`, in two words. */
const USER_DATA = [0x4433_2211, 0x8877_6655 | 0] as const;

/**
 * Returns the fields of a command's SQE that are not 0, by name. To compare them
 * is to assert every byte of the SQE: 64, or 128 when `wide`.
 *
 * The words from byte 48 on have the names in `payload`; where it has none, they
 * are `cmd0`, `cmd1`, ... A field of 64 bits is two words: `addr`, `addr_high`.
 * `fd` is signed, all others are not. The address of an operand is 0, unless it is
 * in `addresses`, since the ring writes it later; `user_data` is asserted here.
 */
export function words(
  command: Command<unknown>,
  wide = false,
  payload: readonly string[] = [],
  addresses: readonly number[] = [],
): Record<string, number> {
  const size = wide ? 32 : 16;
  const around = new Int32Array(size + 2).fill(-1); // What was there before.
  command.encode(around, 1, wide, ...USER_DATA);
  addresses.forEach((address, i) => {
    command.encodeAddress(around, 1, i, address);
  });
  assertEquals([around[0], around[size + 1]], [-1, -1], "beside the SQE");
  assertEquals([around[9], around[10]], [...USER_DATA], "user_data");
  around.fill(0, 9, 11);

  const sqe = new Uint8Array(around.buffer, 4, size * 4);
  const found: Record<string, number> = {};
  let at = 0;
  function take(bytes: number, name: string): void {
    let value = 0;
    for (let i = bytes - 1; i >= 0; i--) value = value * 256 + sqe[at + i];
    at += bytes;
    if (value === 0) return;
    assert(!(name in found), `two fields are called ${name}`);
    found[name] = name === "fd" ? value | 0 : value;
  }
  for (const [bytes, name, other] of FIELDS) {
    take(bytes, found.op === URING_CMD && other ? other : name);
  }
  for (let i = 0; at < sqe.length; i++) take(4, payload[i] || `cmd${i}`);
  return found;
}

/** Memory that an SQE points at, as `assertMemory` describes it. */
export type MemoryOf = readonly [
  at: number,
  kernel: "reads" | "writes",
  bytes: string | Uint8Array | number,
];

/**
 * Asserts the memory that a command points at: the byte of the SQE with its address,
 * the kernel's access, and its bytes, as a text or otherwise. Of scratch memory, it is
 * the number of bytes.
 */
export function assertMemory(
  command: Command<unknown>,
  expected: readonly MemoryOf[],
): void {
  const found = command.operands.map((operand): MemoryOf => {
    const { at, bytes, byteLength, reads, writes, inside } = operand;
    assertEquals(inside, -1);
    assert(reads !== writes);
    const kernel = reads ? "reads" : "writes";
    return [at, kernel, bytes === null ? byteLength : bytes.slice()];
  });
  const wanted = expected.map(([at, kernel, bytes]): MemoryOf => [
    at,
    kernel,
    typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes,
  ]);
  assertEquals(found, wanted);
}
