/** Random completions: into the decoders of commands, and into a ring. */

import fc from "fast-check";
import { Completion, Ring } from "../../../mod.ts";
import { nop, timeout } from "../../../cmd/op.ts";
import { lendBuffer } from "../../../ring/buffer_ring.ts";
import { Command } from "../../../ring/raw.ts";
import { IORING_OP_MSG_RING } from "../../../sys/uapi/io_uring.ts";
import { attempt, settled } from "./judge.ts";

const u64 = fc.oneof(
  fc.constantFrom(0n, 2n ** 64n - 1n),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
);

const anyInteger = fc.oneof(
  fc.constantFrom(0, -1, -125, 0x7fff_ffff, -0x8000_0000),
  fc.integer({ min: 0, max: 512 }),
  fc.integer(),
);

/** An answer of a kernel, with the bytes that it writes. */
export const answer = fc.record({
  res: anyInteger,
  flags: fc.oneof(fc.nat({ max: 16 }), anyInteger),
  pattern: fc.uint8Array({ minLength: 1, maxLength: 64 }),
  extra1: u64,
  extra2: u64,
  notification: anyInteger,
});

export type Answer = typeof answer extends fc.Arbitrary<infer T> ? T : never;

/** Decodes an answer; `true` if the command has made a result of it. */
export function decodeRandom(
  command: Command<unknown>,
  answer: Answer,
): boolean {
  const { decode } = command;
  if (decode === null) return false;
  const { res, flags, pattern, extra1, extra2, notification } = answer;
  const memory = command.operands.map(({ byteLength }) => {
    // As in a block of the pool: not at the start of its buffer.
    const bytes = new Uint8Array(64 + byteLength).subarray(64);
    for (let at = 0; at < byteLength; at += pattern.length) {
      bytes.set(pattern.subarray(0, byteLength - at), at);
    }
    return bytes;
  });
  const { bufferRing } = command;
  const lent = bufferRing === null || (flags & 1) === 0
    ? null
    : lendBuffer(bufferRing, flags >>> 16, res);
  const completion = new Completion(
    ...[res, flags, memory, extra1, extra2, notification, lent] as const,
  );
  return attempt(() => (decode(completion), true)) === true;
}

/** A completion that another ring posts, for any command or for none. */
export const forged = fc.record({
  low: fc.oneof(fc.nat({ max: 6 }), fc.integer()),
  high: fc.oneof(fc.nat({ max: 3 }), fc.integer()),
  res: anyInteger,
  flags: fc.constantFrom(0, 0, 1, 2, 8, 10),
});

export type Forged = typeof forged extends fc.Arbitrary<infer T> ? T : never;

/** IORING_MSG_RING_FLAGS_PASS: the sender chooses the flags of the completion. */
const PASS_FLAGS = 2;

/** Posts completions of no command to a ring, and checks that the ring goes on. */
export async function forge(
  sender: Ring,
  all: readonly Forged[],
  waitMs: number,
): Promise<void> {
  const ring = Ring.open({ entries: 8 });
  const waiting = [1, 2, 3].map(() => ring.cmd(timeout(waitMs)));
  await settled(ring.cmd(nop()));
  const sent = all.map(({ low, high, res, flags }) =>
    sender.cmd(
      new Command<number>({
        name: "MSG_RING",
        opcode: IORING_OP_MSG_RING,
        file: ring.fd,
        off: BigInt.asUintN(32, BigInt(high)) << 32n |
          BigInt.asUintN(32, BigInt(low)),
        len: res >>> 0,
        opFlags: PASS_FLAGS,
        fileIndex: flags,
      }),
    )
  );
  await Promise.all([...waiting, ...sent].map(settled));
  await settled(ring.cmd(nop()));
  await settled(ring.close());
}
