/** The encoding of commands, without a kernel. */

import {
  assert,
  assertEquals,
  assertFalse,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { Completion, FixedBuffer, FixedFile, uringCmd } from "../../mod.ts";
import { defineCommand, Ring } from "../../mod.ts";
import { nop, poll, POLLIN, read, timeout } from "../../cmd/op.ts";
import { checkRingFlags } from "../../ring/check.ts";
import { Command, type CommandSpec } from "../../ring/raw.ts";
import { operand, scratchOperand } from "../../ring/operand.ts";
import { SubmissionQueue } from "../../ring/bare/squeue.ts";
import {
  io_uring_sqe,
  IORING_OP_NOP,
  IORING_OP_URING_CMD,
  IORING_OP_URING_CMD128,
  IOSQE_ASYNC,
  IOSQE_BUFFER_SELECT,
  IOSQE_CQE_SKIP_SUCCESS,
  IOSQE_FIXED_FILE,
  IOSQE_IO_DRAIN,
  IOSQE_IO_HARDLINK,
  IOSQE_IO_LINK,
} from "../../sys/uapi/io_uring.ts";
import { type Field, isStruct } from "../../sys/struct.ts";
import { pipe } from "../kit/fds.ts";

/** A command with a value in every field. No two bytes of it are the same. */
const FULL: CommandSpec<number> = {
  name: "FULL",
  opcode: 0xf1,
  fdWord: -0x0e0d_0c0b,
  flags: 0xf2,
  ioprio: 0xf3f4,
  off: 0xe1e2_e3e4_e5e6_e7e8n,
  addr: 0xd1d2_d3d4_d5d6_d7d8n,
  len: 0xc1c2_c3c4,
  opFlags: 0xb1b2_b3b4,
  bufIndex: 0xa1a2,
  personality: 0xa3a4,
  fileIndex: 0x9192_9394,
  addr3: 0x8182_8384_8586_8788n,
};

const USER_DATA = { low: 0x7576_7778, high: 0x7172_7374 };

/** Returns the bytes that a command writes over words of -1. */
function encoded(
  command: Command<unknown>,
  { wide = false, flags = 0 }: { wide?: boolean; flags?: number } = {},
): DataView {
  const count = wide ? 32 : 16;
  const words = new Int32Array(count + 2).fill(-1);
  command.encode(words, 1, wide, USER_DATA.low, USER_DATA.high, flags);
  assertEquals([words[0], words[count + 1]], [-1, -1], "words of another SQE");
  return new DataView(words.buffer, 4, count * 4);
}

/** The value of each field of the SQE for the command `FULL`. */
const READ_BACK: Record<string, unknown> = {
  opcode: 0xf1,
  flags: 0xf2,
  ioprio: 0xf3f4,
  fd: -0x0e0d_0c0b,
  off: 0xe1e2_e3e4_e5e6_e7e8n,
  addr2: 0xe1e2_e3e4_e5e6_e7e8n,
  cmd_op: 0xe5e6_e7e8,
  __pad1: 0xe1e2_e3e4,
  addr: 0xd1d2_d3d4_d5d6_d7d8n,
  splice_off_in: 0xd1d2_d3d4_d5d6_d7d8n,
  level: 0xd5d6_d7d8,
  optname: 0xd1d2_d3d4,
  len: 0xc1c2_c3c4,
  poll_events: 0xb3b4,
  user_data: 0x7172_7374_7576_7778n,
  buf_index: 0xa1a2,
  buf_group: 0xa1a2,
  personality: 0xa3a4,
  splice_fd_in: 0x9192_9394 | 0,
  file_index: 0x9192_9394,
  zcrx_ifq_idx: 0x9192_9394,
  optlen: 0x9192_9394,
  addr_len: 0x9394,
  __pad3: [0x92, 0x91],
  write_stream: 0x94,
  __pad4: [0x93, 0x92, 0x91],
  addr3: 0x8182_8384_8586_8788n,
  attr_ptr: 0x8182_8384_8586_8788n,
  optval: 0x8182_8384_8586_8788n,
  __pad2: [0, 0, 0, 0, 0, 0, 0, 0],
  attr_type_mask: 0n,
  cmd: [],
};

Deno.test("every field of the SQE has the value that the command was made with", () => {
  assert(isStruct(io_uring_sqe));
  const view = encoded(new Command(FULL));
  const fields: Record<string, Field> = io_uring_sqe;
  for (const name of Object.keys(READ_BACK)) assert(name in fields, name);
  for (const [name, field] of Object.entries(fields)) {
    const value = field.get(view, 0);
    const plain = value instanceof Uint8Array ? [...value] : value;
    // The names of byte 28 are the flags of one operation each.
    const flags = field.offset === 28 && field.size === 4;
    const expected = flags ? 0xb1b2_b3b4 : READ_BACK[name];
    assertEquals(plain, expected, name);
  }
});

Deno.test("a command made of an opcode alone is zero elsewhere", () => {
  const view = encoded(new Command({ name: "LEAST", opcode: IORING_OP_NOP }));
  const { fd, user_data } = io_uring_sqe;
  assertEquals(fd.get(view, 0), -1); // No file.
  fd.set(view, 0, 0);
  user_data.set(view, 0, 0);
  assertEquals(new Uint8Array(view.buffer, 4, 64), new Uint8Array(64));
});

Deno.test("64-bit fields take numbers and bigints alike", () => {
  const both = (value: number) => [value, BigInt(value)];
  for (const value of [0, 1, 2 ** 31, 2 ** 32, 2 ** 32 + 1, 2 ** 53 - 1]) {
    for (const given of both(value)) {
      const spec = { off: given, addr: given, addr3: given };
      const view = encoded(new Command({ name: "U64", opcode: 0, ...spec }));
      const { off, addr, addr3 } = io_uring_sqe;
      const read = [off, addr, addr3].map((field) => field.get(view, 0));
      assertEquals(read, [BigInt(value), BigInt(value), BigInt(value)]);
    }
  }
});

Deno.test("flags of the ring are added to those of the command", () => {
  const { flags, opcode, ioprio } = io_uring_sqe;
  const command = new Command({ ...FULL, flags: IOSQE_ASYNC });
  const linked = encoded(command, { flags: IOSQE_IO_LINK });
  assertEquals(flags.get(linked, 0), IOSQE_ASYNC | IOSQE_IO_LINK);
  assertEquals([opcode.get(linked, 0), ioprio.get(linked, 0)], [0xf1, 0xf3f4]);
  // The SQE has them, not the command.
  assertEquals(flags.get(encoded(command), 0), IOSQE_ASYNC);
});

Deno.test("a file of the ring's table is named by its index", () => {
  const file = new FixedFile(0x1234);
  const command = new Command({ name: "FIXED", opcode: 1, file, flags: 2 });
  const view = encoded(command);
  assertEquals(io_uring_sqe.fd.get(view, 0), 0x1234);
  assertEquals(io_uring_sqe.flags.get(view, 0), 2 | IOSQE_FIXED_FILE);
  assertEquals([command.fd, command.fixedFile], [0x1234, file]);
});

Deno.test("a registered buffer is named by its index", () => {
  const buffer = new FixedBuffer(0xfffe, new Uint8Array(1));
  const spec = { name: "FIXED", opcode: 1, buffer, personality: 3 };
  const command = new Command(spec);
  const view = encoded(command);
  assertEquals(io_uring_sqe.buf_index.get(view, 0), 0xfffe);
  assertEquals(io_uring_sqe.personality.get(view, 0), 3);
  assertStrictEquals(command.fixedBuffer, buffer);
});

Deno.test("a registered file or buffer gives no access to its ring", () => {
  const file = new FixedFile(1);
  const buffer = new FixedBuffer(2, new Uint8Array(1));
  assertEquals([file, buffer].map(Reflect.ownKeys), [[], []]);
  const getters = [FixedFile, FixedBuffer].map(({ prototype }) =>
    Reflect.ownKeys(prototype).toSorted()
  );
  assertEquals(getters, [["constructor", "index"], [
    "bytes",
    "constructor",
    "index",
  ]]);
});

Deno.test("a descriptor is an integer from 0 to 2^31 - 1", () => {
  for (const file of [0, 5, 2 ** 31 - 1]) {
    const command = new Command({ name: "FD", opcode: 1, file });
    assertEquals([command.fd, command.fixedFile], [file, null]);
    assertEquals(io_uring_sqe.fd.get(encoded(command), 0), file);
  }
  for (const file of [-1, 0.5, NaN, 2 ** 31]) {
    const make = () => new Command({ name: "FD", opcode: 1, file });
    assertThrows(make, RangeError, "fd must be an integer from 0");
  }
  const command = new Command({ name: "NONE", opcode: 1, fdWord: -100 });
  assertEquals(command.fd, -1); // `fdWord` is not a file.
});

const upTo = (length: number) => Uint8Array.from({ length }, (_, i) => i + 1);

Deno.test("a payload starts at byte 48 and is padded with zeros", () => {
  for (const length of [0, 1, 4, 7, 16]) {
    const payload = upTo(length);
    const command = new Command({ name: "PAYLOAD", opcode: 46, payload });
    assertFalse(command.sqe128);
    const view = encoded(command);
    const found = [...new Uint8Array(view.buffer, 4 + 48, 16)];
    assertEquals(found, [...payload, ...new Array(16 - length).fill(0)]);
  }
});

Deno.test("a large SQE has up to 80 bytes of payload and is padded with zeros", () => {
  for (const length of [0, 16, 17, 33, 80]) {
    const payload = upTo(length);
    const command = new Command({ name: "PAYLOAD", opcode: 46, payload });
    assertEquals(command.sqe128, length > 16);
    const view = encoded(command, { wide: true });
    const found = [...new Uint8Array(view.buffer, 4 + 48, 80)];
    assertEquals(found, [...payload, ...new Array(80 - length).fill(0)]);
  }
});

Deno.test("the second half of a large SQE is zeroed if there is no payload", () => {
  const view = encoded(new Command(FULL), { wide: true });
  const first = new Uint8Array(view.buffer, 4, 64);
  const small = encoded(new Command(FULL));
  assertEquals(first, new Uint8Array(small.buffer, 4, 64));
  const second = new Uint8Array(view.buffer, 4 + 64, 64);
  assertEquals(second, new Uint8Array(64));
});

Deno.test("a payload is copied when the command is made", () => {
  const payload = upTo(80);
  const command = new Command({ name: "PAYLOAD", opcode: 46, payload });
  payload.fill(0xff);
  const view = encoded(command, { wide: true });
  assertEquals(new Uint8Array(view.buffer, 4 + 48, 80), upTo(80));
});

Deno.test("an address goes where its operand says, and nowhere else", () => {
  const bytes = new Uint8Array(8);
  const inSqe = operand(16, { bytes, kernel: "reads" });
  const inPayload = scratchOperand(56, 8);
  const inside = operand(0, { bytes, kernel: "reads" }, { inside: 0 });
  const command = new Command({
    name: "ADDRESSES",
    opcode: 46,
    operands: [inSqe, inPayload, inside],
  });
  const words = new Int32Array(34).fill(-1);
  for (const [index, address] of [[0, 2 ** 47 - 4096], [1, 65536], [2, 1]]) {
    command.encodeAddress(words, 2, index, address);
  }
  const view = new DataView(words.buffer, 8);
  assertEquals(view.getBigUint64(16, true), 0x7fff_ffff_f000n);
  assertEquals(view.getBigUint64(56, true), 0x1_0000n);
  const untouched = [...words].filter((word) => word === -1);
  assertEquals(untouched.length, 34 - 4);
});

/** Makes a queue without a kernel. */
function queue(
  entries: number,
  { sqeWords = 16, mixed = false, start = 0 }: {
    sqeWords?: 16 | 32;
    mixed?: boolean;
    start?: number;
  },
): SubmissionQueue {
  return new SubmissionQueue({
    ring: Int32Array.of(start, start, 0),
    sqes: new Int32Array(entries * sqeWords).fill(-1),
    head: 0,
    tail: 1,
    flags: 2,
    array: -1,
    entries,
    sqeWords,
    mixed,
    hold: false,
  });
}

Deno.test("a command adapts its size and opcode to the queue", () => {
  const small = new Command({ name: "SMALL", opcode: IORING_OP_URING_CMD });
  const payload = upTo(20);
  const opcode = IORING_OP_URING_CMD;
  const large = new Command({ name: "LARGE", opcode, payload });
  const { cmd } = io_uring_sqe;
  const opcodeAt = ({ view }: SubmissionQueue, at: number) =>
    io_uring_sqe.opcode.get(view, at * 4);
  {
    const sq = queue(4, { sqeWords: 32 });
    assertEquals([small.submit(sq, 1, 2), large.submit(sq, 3, 4)], [0, 32]);
    assertEquals([opcodeAt(sq, 0), opcodeAt(sq, 32)], [46, 46]);
    assertEquals(sq.view.getUint8(32 * 4 + cmd.offset + 19), 20);
    assertEquals(sq.view.getUint8(cmd.offset + 19), 0);
    assertEquals([sq.words[8], sq.words[9], sq.words[40]], [1, 2, 3]);
  }
  {
    const sq = queue(8, { mixed: true });
    const given = [small, large, small, large].map((it) => it.submit(sq, 0, 0));
    assertEquals(given, [0, 16, 48, 64]);
    const seen = given.map((at) => opcodeAt(sq, at));
    const wide = IORING_OP_URING_CMD128;
    assertEquals(seen, [46, wide, 46, wide]);
    assertEquals(sq.view.getUint8(16 * 4 + cmd.offset + 19), 20);
    assertEquals(sq.words[96], -1);
  }
  const sq = queue(4, {});
  assertEquals([small.submit(sq, 0, 0, 4), sq.words[16]], [0, -1]);
  assertEquals(io_uring_sqe.flags.get(sq.view, 0), 4);
});

/** Commands that set one word of the SQE each, to its lowest or highest bit. */
const SINGLE: Partial<CommandSpec<number>>[] = [
  {},
  ...["fdWord", "len", "opFlags", "fileIndex"].flatMap((field) => [
    { [field]: 1 },
    { [field]: 2 ** 31 },
  ]),
  ...["off", "addr", "addr3"].flatMap((field) =>
    [0n, 31n, 32n, 63n].map((bit) => ({ [field]: 1n << bit }))
  ),
  ...["ioprio", "bufIndex", "personality"].flatMap((field) => [
    { [field]: 1 },
    { [field]: 0x8000 },
  ]),
  ...[1, 0x80].map((flags) => ({ flags })),
  ...Array.from({ length: 80 }, (_, byte) => {
    const payload = new Uint8Array(byte + 1);
    payload[byte] = 0x80;
    return { payload };
  }),
];

for (
  const [name, shape, opcodeOf128] of [
    ["SQEs of 64 bytes", {}, null],
    ["SQEs of 128 bytes", { sqeWords: 32 }, IORING_OP_URING_CMD],
    ["SQEs of both sizes", { mixed: true }, IORING_OP_URING_CMD128],
  ] as const
) {
  Deno.test(`submit() writes what encode() does for each field alone, into ${name}`, () => {
    let compared = 0;
    for (const spec of SINGLE) {
      const opcode = IORING_OP_URING_CMD;
      const command = new Command({ name: "ONE", opcode, ...spec });
      if (command.sqe128 && opcodeOf128 === null) continue;
      const sq = queue(2, shape);
      const { low, high } = USER_DATA;
      assertEquals(command.submit(sq, low, high, IOSQE_ASYNC), 0);
      const wide = command.sqe128 || sq.sqeWords === 32;
      const expected = encoded(command, { wide, flags: IOSQE_ASYNC });
      if (command.sqe128) io_uring_sqe.opcode.set(expected, 0, opcodeOf128!);
      const written = new Uint8Array(sq.words.buffer, 0, expected.byteLength);
      const { buffer, byteOffset, byteLength } = expected;
      const bytes = new Uint8Array(buffer, byteOffset, byteLength);
      assertEquals(written, bytes, Object.keys(spec).join());
      compared++;
    }
    assertEquals(compared, SINGLE.length - (opcodeOf128 === null ? 64 : 0));
  });
}

Deno.test("a chain in a mixed ring is not cut by a filler", () => {
  const small = new Command({ name: "SMALL", opcode: IORING_OP_NOP });
  const opcode = IORING_OP_URING_CMD;
  const large = new Command({ name: "LARGE", opcode, payload: upTo(80) });
  const sq = queue(8, { mixed: true, start: 6 });
  small.submit(sq, 1, 0, IOSQE_IO_LINK);
  assertEquals(large.submit(sq, 2, 0), 0);
  assertEquals(sq.publish(), 4);
  const seen = [6, 7, 0].map((place) => {
    const { opcode, flags, user_data } = io_uring_sqe;
    return [opcode, flags, user_data].map((it) => it.get(sq.view, place * 64));
  });
  assertEquals(seen, [
    [IORING_OP_NOP, IOSQE_CQE_SKIP_SUCCESS, 0x7fff_ffffn], // The filler.
    [IORING_OP_NOP, IOSQE_IO_LINK, 1n],
    [IORING_OP_URING_CMD128, 0, 2n],
  ]);
});

Deno.test("a result is that of the kernel, or the one that a command has for success", () => {
  const plain = new Command({ name: "PLAIN", opcode: 46 });
  assertEquals([0, 7].map((res) => plain.resultOf(res)), [0, 7]);
  const decode = () => 5; // It makes all other results.
  for (const success of [0, 77]) {
    const made = new Command({ name: "MADE", opcode: 46, success, decode });
    assertEquals([0, 7, -5].map((res) => made.resultOf(res)), [
      success,
      -1,
      -1,
    ]);
  }
});

Deno.test("a command is a uring command by its opcode", () => {
  const of = (opcode: number) => new Command({ name: "X", opcode }).isUringCmd;
  assertEquals([of(IORING_OP_URING_CMD), of(IORING_OP_NOP)], [true, false]);
});

Deno.test("an operand knows whether the kernel reads or writes", () => {
  const bytes = new Uint8Array(5);
  const of = (kernel: "reads" | "writes" | "both") => {
    const { reads, writes } = operand(8, { bytes, kernel });
    return [reads, writes];
  };
  assertEquals(of("reads"), [true, false]);
  assertEquals(of("writes"), [false, true]);
  assertEquals(of("both"), [true, true]);
  const made = operand(8, { bytes, kernel: "both" }, { counted: true });
  assertEquals(
    [made.at, made.byteLength, made.counted, made.inside],
    [8, 5, true, -1],
  );
  assertEquals(scratchOperand(16, 12), {
    ...{ at: 16, inside: -1, bytes: null, byteLength: 12 },
    ...{ reads: false, writes: true, counted: false },
  });
});

Deno.test("a completion has the values it was made of, and defaults", () => {
  const memory = [new Uint8Array(1), new Uint8Array(2)];
  const full = new Completion(-5, 6, memory, 7n, 8n, 9);
  const { res, flags, extra1, extra2, notification } = full;
  assertEquals([res, flags, extra1, extra2, notification], [-5, 6, 7n, 8n, 9]);
  assertStrictEquals(full.memory(), memory[0]);
  assertStrictEquals(full.memory(1), memory[1]);
  const message = "the command has no address number 2";
  assertThrows(() => full.memory(2), RangeError, message);
  const least = new Completion(1);
  assertEquals(
    [least.flags, least.extra1, least.extra2, least.notification],
    [0, 0n, 0n, -1],
  );
});

Deno.test("flags that reach other commands are for no ring", () => {
  const make = (flags: number) =>
    new Command({ name: "FLAGGED", opcode: IORING_OP_NOP, flags });
  for (
    const [flag, remedy] of [
      [IOSQE_IO_DRAIN, "Await the commands before this one"],
      [IOSQE_IO_LINK, "ring.link(commands)"],
      [IOSQE_IO_HARDLINK, "ring.link(commands, { hard: true })"],
      [IOSQE_BUFFER_SELECT, "memory of its own"],
      [IOSQE_CQE_SKIP_SUCCESS, "Leave it out"],
    ] as const
  ) {
    const command = make(flag | IOSQE_ASYNC);
    assertEquals(command.sqeFlags, flag | IOSQE_ASYNC);
    assertFalse(command.runsOnAnyRing);
    const error = assertThrows(() => checkRingFlags(command), TypeError);
    assertStringIncludes(error.message, "FLAGGED has IOSQE_");
    assertStringIncludes(error.message, remedy);
  }
  for (const flags of [0, IOSQE_ASYNC, IOSQE_FIXED_FILE]) {
    checkRingFlags(make(flags));
    assert(make(flags).runsOnAnyRing);
  }
});

Deno.test("no part of a command comes from a polluted Object.prototype", () => {
  const polluted = Object.prototype as Record<string, unknown>;
  for (const name of ["fdWord", "addr", "inside", "counted", "offset", "any"]) {
    try {
      polluted[name] = 5;
      for (
        const make of [
          () => new Command({ name: "N", opcode: IORING_OP_NOP }),
          () => nop(),
          () => read(5, new Uint8Array(4)),
          () => uringCmd({ fd: 5, cmd_op: 0 }),
        ]
      ) {
        assertThrows(make, TypeError);
      }
      const error = assertThrows(nop, TypeError, `"${name}"`);
      assertStringIncludes(error.message, "Delete it");
    } finally {
      delete polluted[name];
    }
  }
  nop();
});

Deno.test("no restriction and no fact comes from a polluted Object.prototype", async () => {
  await using ring = Ring.open({ disabled: true });
  const polluted = Object.prototype as Record<string, unknown>;
  const calls = {
    ops: () => ring.restrict({}),
    registerOps: () => ring.restrict({ ops: [IORING_OP_NOP] }),
    payload: () => defineCommand({ name: "N", cmd_op: 0 }),
  };
  for (const [name, call] of Object.entries(calls)) {
    try {
      polluted[name] = [IORING_OP_NOP];
      assertThrows(call, TypeError, `"${name}"`);
    } finally {
      delete polluted[name];
    }
  }
  ring.restrict({});
});

Deno.test("a ring closes, and cancels, while Object.prototype is polluted", async () => {
  const ring = Ring.open();
  using pair = pipe();
  const waits = ring.cmd(poll(pair.left, { events: POLLIN }));
  const late = ring.cmd(timeout(20));
  const polluted = Object.prototype as Record<string, unknown>;
  try {
    polluted.fdWord = polluted.flags = polluted.len = 5;
    await late;
    const closed = ring.close();
    await assertRejects(() => waits, Error, "closed");
    await closed;
  } finally {
    for (const name of ["fdWord", "flags", "len"]) delete polluted[name];
  }
});

Deno.test("a mixed queue has a no-op where a command is not yet written", () => {
  const sq = queue(8, { mixed: true });
  const command = new Command({ name: "A", opcode: IORING_OP_URING_CMD });
  const stores: number[] = [];
  const words = new Proxy(sq.words, {
    set(target, key, value) {
      stores.push(Number(key));
      return Reflect.set(target, key, value, target);
    },
  });
  command.encode(words, 0, false, 1, 2);
  assertEquals(stores.indexOf(0), stores.length - 1);
  assertEquals(stores.length, 16);
});
