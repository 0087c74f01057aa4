/** SQEs of both sizes in one queue, which few kernels have, over plain arrays. */

import { assertEquals } from "@std/assert";
import { SubmissionQueue } from "../../ring/bare/squeue.ts";
import { Batch, DIRECT } from "../../ring/flight/batch.ts";
import { Cancellations } from "../../ring/flight/cancel.ts";
import { Room } from "../../ring/flight/room.ts";
import { link, Slot } from "../../ring/flight/slot.ts";
import { Writer } from "../../ring/flight/writer.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { numbered, range } from "./fake.ts";

const small = (fd: number) => numbered(fd);
const large = (fd: number) =>
  numbered(fd, { payload: new Uint8Array(80).fill(0x11) });

/** A queue of eight places. The next one is the last but one. */
function queue() {
  const sq = new SubmissionQueue({
    ring: Int32Array.of(6, 6, 0),
    sqes: new Int32Array(8 * 16),
    head: 0,
    tail: 1,
    flags: 2,
    array: -1,
    entries: 8,
    sqeWords: 16,
    mixed: true,
    hold: false,
  });
  const room = new Room({
    sqEntries: 8,
    cqEntries: 16,
    mixedCq: false,
    mixedSq: true,
    holdsSqes: false,
  });
  const none = { inFlight: () => false, retry() {} };
  const writer = new Writer(sq, room, new Cancellations(none));
  /** The opcode, flags, descriptor and `user_data` of the SQE at a place. */
  const sqe = (place: number) => {
    const { opcode, flags, fd } = uapi.io_uring_sqe;
    const [low, high] = sq.words.subarray(place * 16 + 8);
    const at = place * 64;
    return [...[opcode, flags, fd].map((it) => it.get(sq.view, at)), low, high];
  };
  return { sq, room, writer, sqe };
}

const { IORING_OP_URING_CMD: SMALL, IORING_OP_URING_CMD128: LARGE } = uapi;
const FILLER = [
  ...[uapi.IORING_OP_NOP, uapi.IOSQE_CQE_SKIP_SUCCESS, 0, 0x7fff_ffff, 0],
];

Deno.test("the commands of a batch take the places that their SQEs need", () => {
  const { sq, room, writer, sqe } = queue();
  const commands = [small(1), large(2), small(3), large(4)];
  const batch = new Batch({ ended: null }, commands, false);
  batch.number = 5;
  assertEquals(range(1, 3).map(() => writer.writeRest(batch, false)), [
    1,
    1,
    1,
  ]);
  assertEquals([6, 7, 0, 2].map(sqe), [
    [SMALL, 0, 1, 0 | DIRECT, 5],
    FILLER, // The large one would not fit there.
    [LARGE, 0, 2, 1 | DIRECT, 5],
    [SMALL, 0, 3, 2 | DIRECT, 5],
  ]);
  assertEquals([sq.pushed, room.inFlight, room.extra], [6 + 5, 3, 0]);
});

Deno.test("a command with a slot takes the places that its SQE needs", () => {
  const { sq, room, writer, sqe } = queue();
  for (const [i, command] of [small(1), large(2), small(3)].entries()) {
    const slot = new Slot(i);
    slot.command = command;
    assertEquals(writer.write(slot, false), true);
  }
  assertEquals([6, 7, 0, 2].map(sqe), [
    [SMALL, 0, 1, 0, 1],
    FILLER,
    [LARGE, 0, 2, 1, 1],
    [SMALL, 0, 3, 2, 1],
  ]);
  assertEquals([sq.pushed, room.inFlight, room.extra], [6 + 5, 3, 0]);
});

Deno.test("a filler goes before a chain, and each command has its places", () => {
  const { sq, room, writer, sqe } = queue();
  const slots = [small(1), large(2)].map((command, i) => {
    const slot = new Slot(i);
    slot.command = command;
    return slot;
  });
  link(slots);
  assertEquals(writer.write(slots[0], false), true);
  assertEquals([6, 7, 0].map(sqe), [
    FILLER,
    [SMALL, uapi.IOSQE_IO_LINK, 1, 0, 1],
    [LARGE, 0, 2, 1, 1],
  ]);
  assertEquals([sq.pushed, room.inFlight, room.extra], [6 + 4, 2, 0]);
});
