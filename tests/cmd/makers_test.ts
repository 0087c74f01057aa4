/**
 * Makers: their commands have the bytes of those that the plain functions make, and
 * give the kernel no address outside of the memory.
 */

import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import * as root from "../../mod.ts";
import { FixedBuffer, FixedFile, Ring } from "../../mod.ts";
import * as block from "../../cmd/block.ts";
import * as nvme from "../../cmd/nvme/mod.ts";
import * as op from "../../cmd/op.ts";
import { alloc, type Command } from "../../ring/raw.ts";
import { Completion } from "../../ring/completion.ts";
import { arenaOf } from "../../sys/arena.ts";
import { devNull } from "../kit/fds.ts";
import { words } from "../kit/golden.ts";
import { sqeBytes } from "../kit/commands.ts";

const INT_MAX = 0x7fff_ffff;

/** Returns the SQE of a command as a ring writes it, with addresses. */
function sqeOf(command: Command<unknown>, wide = false): Uint8Array {
  const sqe = new Int32Array(wide ? 32 : 16);
  command.encode(sqe, 0, wide, 0, 0);
  command.aim();
  command.encodeAddresses(sqe, 0);
  return new Uint8Array(sqe.buffer);
}

/** Asserts that two commands are the same, to the last byte and beyond the SQE. */
function assertSame(made: Command<unknown>, plain: Command<unknown>): void {
  for (const wide of [false, true]) {
    if (plain.sqe128 && !wide) continue;
    assertEquals(sqeOf(made, wide), sqeOf(plain, wide));
    // Without addresses, as for ./raw.
    assertEquals(sqeBytes(made, wide), sqeBytes(plain, wide));
  }
  const facts = (command: Command<unknown>) => {
    const { name, fd, fixedFile, fixedBuffer, success, cqe32, sqe128 } =
      command;
    const { plain, numeric, leases, runsOnAnyRing, independent } = command;
    const { completions, expected, precheck } = command;
    return [
      ...[name, fd, fixedFile, fixedBuffer, success, cqe32, sqe128],
      ...[plain, numeric, leases, runsOnAnyRing, independent],
      ...[completions, expected, precheck === null],
    ];
  };
  assertEquals(facts(made), facts(plain));
}

/** Parts of memory of 1 MiB, on both sides of where the upper half of an address changes. */
const PARTS = [
  [0, 4096],
  [4096, 1],
  [65536 - 1, 2],
  [65536, 65536],
  [3 * 65536 + 512, 512],
  [(1 << 20) - 1, 1],
  [1 << 20, 0],
] as const;

for (
  const [name, maker, make] of [
    ["readsOf", op.readsOf, op.read],
    ["writesOf", op.writesOf, op.write],
  ] as const
) {
  Deno.test(`${name}() makes the commands of ${make.name}() with a part of the memory`, () => {
    const whole = alloc(1 << 20);
    const of = maker(5, whole);
    for (const [start, length] of PARTS) {
      const part = whole.subarray(start, start + length);
      for (const offset of [0, 2 ** 32 + 5, 2n ** 63n - 1n]) {
        const command = of.at(offset, start, length);
        assertSame(command, make(5, part, { offset }));
        assertEquals(command.start, start);
        assertStrictEquals(command.operands[0].bytes, whole);
      }
    }
    assertSame(of.at(7), make(5, whole, { offset: 7 }));
    const rest = whole.subarray(100);
    assertSame(of.at(7, 100), make(5, rest, { offset: 7 }));
    // The view itself may start anywhere.
    const view = whole.subarray(70_001, 80_000);
    const inside = view.subarray(3, 8);
    assertSame(maker(5, view).at(0, 3, 5), make(5, inside, { offset: 0 }));
  });

  Deno.test(`${name}() takes files and buffers of a ring's tables`, () => {
    const whole = alloc(8192);
    const file = new FixedFile(3);
    const buffer = new FixedBuffer(2, whole);
    const part = whole.subarray(4096);
    assertSame(
      maker(file, whole, { buffer }).at(0, 4096),
      make(file, part, { buffer, offset: 0 }),
    );
    const other = new FixedBuffer(2, whole.subarray(1));
    assertThrows(
      () => maker(5, whole, { buffer: other }),
      RangeError,
      "inside",
    );
  });

  Deno.test(`${name}() refuses what does not lie inside the memory`, () => {
    const of = maker(5, alloc(8192));
    for (
      const [args, message] of [
        [[-1], "offset must be an integer from 0"],
        [[0.5], "offset must be an integer from 0"],
        [[2n ** 64n], "offset must fit 64 bits"],
        [[0, -1], "start must be an integer from 0 to 8192, not -1"],
        [[0, 8193], "start must be an integer from 0 to 8192, not 8193"],
        [[0, 1.5, 1], "start must be an integer"],
        [[0, NaN], "start must be an integer"],
        [[0, 0, -1], "length must be an integer from 0 to 8192, not -1"],
        [[0, 0, 8193], "length must be an integer from 0 to 8192, not 8193"],
        [[0, 8192, 1], "length must be an integer from 0 to 0, not 1"],
        [[0, 1, 2 ** 32], "length must be an integer from 0 to 8191"],
      ] as const
    ) {
      assertThrows(() => of.at(...args as [number]), RangeError, message);
    }
    assertThrows(() => of.at("0" as never), TypeError, "offset must be");
    assertThrows(() => of.at(0, "0" as never), TypeError, "start must be");
    // What a call that threw has left does no harm.
    assertThrows(() => of.at(1, 2, 9000), RangeError);
    const whole = of.at(0).operands[0].bytes!;
    assertSame(of.at(3, 4, 5), make(5, whole.subarray(4, 9), { offset: 3 }));
  });

  Deno.test(`${name}() wants memory of alloc(), and a file`, () => {
    const message = "must be memory of ring.alloc()";
    assertThrows(() => maker(5, new Uint8Array(8)), TypeError, message);
    assertThrows(
      () => maker(5, [] as never),
      TypeError,
      "must be a Uint8Array",
    );
    const bytes = alloc(1);
    assertThrows(() => maker(-1, bytes), RangeError, "fd must be");
    assertThrows(() => maker(undefined as never, bytes), TypeError, "fd must");
    assertThrows(() => maker(5, bytes, 1 as never), TypeError, "options must");
  });
}

Deno.test("a maker of more memory than one operation transfers makes parts of it", () => {
  const whole = alloc(INT_MAX + 4096); // No page of it is touched.
  const reads = op.readsOf(5, whole);
  const last = reads.at(0, INT_MAX, 4096);
  const { buffer } = whole;
  assertSame(
    last,
    op.read(5, new Uint8Array(buffer, INT_MAX, 4096), { offset: 0 }),
  );
  const message = `length must be an integer from 0 to ${INT_MAX}`;
  assertThrows(() => reads.at(0), RangeError, message);
});

Deno.test("the commands of a maker are values of their own", async () => {
  await using ring = Ring.open();
  const path = await Deno.makeTempFile();
  const content = Uint8Array.from({ length: 256 }, (_, i) => i);
  await Deno.writeFile(path, content);
  const fd = await ring.cmd(op.openat(path));
  const memory = ring.alloc(256);
  const reads = op.readsOf(fd, memory);
  const first = reads.at(10, 0, 5);
  const second = reads.at(20, 100, 7);
  assertEquals(await Promise.all([ring.cmd(first), ring.cmd(second)]), [5, 7]);
  assertEquals(ring.cmdAllSync([second, first, first]), [7, 5, 5]);
  const expected = new Uint8Array(256);
  expected.set(content.subarray(10, 15), 0);
  expected.set(content.subarray(20, 27), 100);
  assertEquals([...memory], [...expected]);
  await ring.cmd(op.close(fd));
  await Deno.remove(path);
});

// ---- NVMe ----------------------------------------------------------------------

const FACTS = {
  file: 5,
  nsid: 9,
  blockSize: 512,
  metadataSize: 0,
  metadataInline: false,
  protectionType: 0,
  blocks: 2n ** 40n,
  maxTransferBytes: 65536,
  writable: true,
} as const;

const namespace = new nvme.NvmeNamespace(FACTS);

for (
  const [name, maker, make] of [
    ["readsOf", nvme.readsOf, nvme.read],
    ["writesOf", nvme.writesOf, nvme.write],
  ] as const
) {
  Deno.test(`NVMe: ${name}() makes the commands of ${make.name}() with a part of the memory`, () => {
    const whole = alloc(1 << 20);
    const options = { forceUnitAccess: true, limitedRetry: true, timeoutMs: 7 };
    for (const each of [{}, options]) {
      const of = maker(namespace, whole, each);
      for (const lba of [0, 0x1_2345_6789, 2n ** 63n]) {
        for (const [start, blocks] of [[0, 1], [512, 128], [130_561, 3]]) {
          const data = whole.subarray(start, start + blocks * 512);
          const command = of.at(lba, start, blocks);
          assertSame(command, make(namespace, { ...each, lba, data }));
          assertEquals(command.success, blocks * 512);
          assertEquals(command.decode!(new Completion(0)), blocks * 512);
        }
      }
    }
    const data = whole.subarray((1 << 20) - 700);
    const last = maker(namespace, whole).at(5, (1 << 20) - 700);
    const blocks = data.subarray(0, 512);
    assertSame(last, make(namespace, { lba: 5, data: blocks }));
    const failed = new Completion(0x4002, 0, [], 3n);
    const error = assertThrows(() => last.decode!(failed), nvme.NvmeError);
    assertEquals([error.op, error.fd, error.result], [last.name, 5, 3n]);
  });

  Deno.test(`NVMe: ${name}() sets protection as ${make.name}() does`, () => {
    const whole = alloc(8192);
    const facts = { ...FACTS, metadataSize: 8, protectionType: 1 };
    const inline = new nvme.NvmeNamespace({ ...facts, metadataInline: true });
    const apart = new nvme.NvmeNamespace(facts);
    const strips = { action: true, checkGuard: true, applicationTag: 5 };
    for (
      const [space, options] of [
        [inline, {}],
        [inline, { protection: { checkReferenceTag: true } }],
        [inline, { protection: { referenceTag: 77 } }],
        [apart, { protection: strips }],
      ] as const
    ) {
      const size = options.protection === strips ? 512 : 520;
      const of = maker(space, whole, options);
      for (const lba of [3, 0x1_0000_0004]) {
        const data = whole.subarray(size, 3 * size);
        const plain = make(space, { ...options, lba, data });
        assertSame(of.at(lba, size, 2), plain);
      }
    }
    const apartFrom = () => maker(apart, whole);
    assertThrows(apartFrom, TypeError, "8 bytes of metadata for each block");
  });

  Deno.test(`NVMe: ${name}() takes a file and a buffer of a ring's tables`, () => {
    const whole = alloc(8192);
    const buffer = new FixedBuffer(4, whole);
    const file = namespace.withFile(new FixedFile(6));
    const data = whole.subarray(512, 1024);
    assertSame(
      maker(file, whole, { buffer }).at(1, 512, 1),
      make(file, { lba: 1, data, buffer }),
    );
    const other = new FixedBuffer(4, alloc(8192));
    const outside = () => maker(namespace, whole, { buffer: other });
    assertThrows(outside, RangeError, "inside");
  });

  Deno.test(`NVMe: ${name}() refuses what the memory or the drive has no room for`, () => {
    const of = maker(namespace, alloc(131072));
    for (
      const [args, message] of [
        [[-1], "lba must be an integer from 0"],
        [[0, -1, 1], "start must be an integer from 0 to 130560, not -1"],
        [[0, 131072 - 511, 1], "start must be an integer from 0 to 130560"],
        [[0, 0.5, 1], "start must be an integer"],
        [[0, 0, 0], "blocks must be an integer from 1 to 128, not 0"],
        [[0, 0, 129], "blocks must be an integer from 1 to 128, not 129"],
        [[0, 0, 1.5], "blocks must be an integer from 1 to 128"],
        [[0], "blocks must be an integer from 1 to 128, not 256"],
        [[0, 131072], "blocks must be an integer from 1 to 128, not 0"],
        [[0, 131073], "start must be an integer from 0 to 131072"],
      ] as const
    ) {
      assertThrows(() => of.at(...args as [number]), RangeError, message);
    }
    const short = () => maker(namespace, alloc(512).subarray(1));
    assertThrows(short, RangeError, "needs room for a block of 512 bytes");
    const slow = new nvme.NvmeNamespace({ ...FACTS, maxTransferBytes: 511 });
    const limited = () => maker(slow, alloc(512));
    assertThrows(limited, RangeError, "there is room for 511 bytes");
    const heap = () => maker(namespace, new Uint8Array(512));
    assertThrows(heap, TypeError, "must be memory of ring.alloc()");
    const none = () => maker({} as never, alloc(512));
    assertThrows(none, TypeError, "must be an NvmeNamespace");
  });

  Deno.test(`NVMe: ${name}() counts the pages that a command touches`, () => {
    const facts = { ...FACTS, maxSegments: 2 };
    const of = maker(new nvme.NvmeNamespace(facts), alloc(65536));
    assertEquals(of.at(0, 4096, 16).success, 8192);
    assertEquals(of.at(0, 4608, 8).success, 4096);
    const message = "at most 2 pages";
    assertThrows(() => of.at(0, 512, 16), RangeError, message);
  });
}

Deno.test("NVMe: writesOf() wants a node that is open for writing", () => {
  const reading = new nvme.NvmeNamespace({ ...FACTS, writable: false });
  const make = () => nvme.writesOf(reading, alloc(512));
  assertThrows(make, TypeError, "open for reading only");
  assertEquals(nvme.readsOf(reading, alloc(512)).at(0).success, 512);
});

// ---- Block devices ---------------------------------------------------------------

const DEVICE = {
  file: 5,
  writable: true,
  logicalBlockSize: 512,
  physicalBlockSize: 4096,
  byteLength: 2n ** 50n,
  readOnly: false,
} as const;

Deno.test("discardsOf() makes the commands of discard()", () => {
  for (const file of [5, new FixedFile(2)]) {
    const device = new block.BlockDevice({ ...DEVICE, file });
    const discards = block.discardsOf(device);
    for (const offset of [0, 512, 2 ** 40, 2n ** 49n]) {
      for (const length of [512, 2 ** 33, 2n ** 40n]) {
        const plain = block.discard(device, { offset, length });
        assertSame(discards.at(offset, length), plain);
      }
    }
  }
});

Deno.test("discardsOf() refuses ranges and devices as discard() does", () => {
  const device = new block.BlockDevice(DEVICE);
  const discards = block.discardsOf(device);
  for (
    const [offset, length] of [
      ...[[0, 0], [1, 512], [0, 511], [-1, 512], [0.5, 512], [0, NaN]],
      ...[[2 ** 50, 512], [0, 2 ** 50 + 512], [2 ** 53 - 512, 512]],
    ]
  ) {
    const plain = () => block.discard(device, { offset, length });
    const { message } = assertThrows(plain, RangeError);
    assertThrows(() => discards.at(offset, length), RangeError, message);
  }
  assertThrows(() => discards.at(2n ** 63n, 512), RangeError, "ends at byte");
  for (const fact of [{ writable: false }, { readOnly: true }]) {
    const other = new block.BlockDevice({ ...DEVICE, ...fact });
    assertThrows(() => block.discardsOf(other), TypeError, "read");
  }
  const gone = new block.BlockDevice({ ...DEVICE, byteLength: 0n });
  assertThrows(() => block.discardsOf(gone), RangeError, "device of 0 bytes");
  assertThrows(() => block.discardsOf(5 as never), TypeError, "BlockDevice");
});

// ---- Drivers of one's own ----------------------------------------------------------

/** FUSE_IO_URING_CMD_COMMIT_AND_FETCH: a payload of 24 bytes. */
const fuse = root.defineCommand({
  name: "COMMIT_AND_FETCH",
  cmd_op: 2,
  inline: {
    flags: root.u64(0),
    commit_id: root.u64(8),
    qid: root.u16(16),
    padding: root.bytes(18, 6),
  },
});

/** UBLK_U_IO_COMMIT_AND_FETCH_REQ: a payload of 16 bytes. */
const ublk = root.defineCommand({
  name: "COMMIT_AND_FETCH_REQ",
  cmd_op: 0xc010_7521,
  inline: {
    q_id: root.u16(0),
    tag: root.u16(2),
    result: root.s32(4),
    addr: root.pointer(8),
  },
});

Deno.test("a maker of a defined command varies the fields that it names", () => {
  const commits = fuse.maker(5, { qid: 3 }, ["commit_id"]);
  for (const commit_id of [0, 1, 2 ** 40 + 1, 2n ** 64n - 1n]) {
    assertSame(commits.with(commit_id), fuse(5, { qid: 3, commit_id }));
  }
  const [low, high] = [0x2222_2222, 0x1111_1111];
  const commit = commits.with(0x1111_1111_2222_2222n);
  assertEquals(words(commit, true), {
    ...{ op: 46, fd: 5, cmd_op: 2 },
    ...{ cmd2: low, cmd3: high, cmd4: 3 },
  });
  const addr = { bytes: alloc(8192).subarray(4096), kernel: "both" } as const;
  const replies = ublk.maker(5, { q_id: 1, addr }, ["result", "tag"]);
  for (const [result, tag] of [[-5, 0], [4096, 65535], [0, 0]]) {
    const plain = ublk(5, { q_id: 1, addr, result, tag });
    assertSame(replies.with(result, tag), plain);
  }
});

Deno.test("a maker varies any two words of a payload, near and far", () => {
  for (const [size, len] of [[4, 0], [20, 0], [20, 7]]) {
    const names = Array.from({ length: size }, (_, i) => `w${i}`);
    const inline = Object.fromEntries(
      names.map((name, i) => [name, root.u32(4 * i)]),
    );
    const indirect = { a: root.u8(0), b: root.pointer(8) };
    const definition = { name: "WORDS", cmd_op: 1, inline, indirect, len };
    const define = root.defineCommand(definition);
    const b = { bytes: alloc(8), kernel: "reads" } as const;
    const fixed = Object.fromEntries(names.map((name, i) => [name, i + 1]));
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j += 3) {
        const all = { ...fixed, b } as unknown as Record<string, never>;
        const maker = define.maker(5, all, [`w${i}`, `w${j}`]);
        maker.with(9, 9);
        const made = maker.with(0xffff_ffff, 0x8000_0001);
        const values = { [`w${i}`]: 0xffff_ffff, [`w${j}`]: 0x8000_0001 };
        const plain = define(5, { ...all, ...values as typeof all });
        for (const wide of [size > 4, true]) {
          assertEquals(sqeBytes(made, wide), sqeBytes(plain, wide));
        }
      }
    }
  }
});

Deno.test("a maker of a defined command keeps the fields that it does not name", () => {
  const values = { result: 7, tag: 4 };
  const replies = ublk.maker(5, values, ["q_id"]);
  assertSame(replies.with(9), ublk(5, { ...values, q_id: 9 }));
  const none = ublk.maker(5, values, []);
  assertSame(none.with(), ublk(5, values));
  const padded = fuse.maker(5, {}, ["padding"]);
  for (const length of [6, 1, 0]) {
    const padding = new Uint8Array(length).fill(7);
    assertSame(padded.with(padding), fuse(5, { padding }));
  }
});

Deno.test("a value that a field cannot hold is refused, and the next is not harmed", () => {
  const replies = ublk.maker(5, { q_id: 1 }, ["tag", "result"]);
  for (
    const [tag, result, message] of [
      [65536, 0, "tag must be an integer from 0 to 65535, not 65536"],
      [-1, 0, "tag must be an integer"],
      [5, 2 ** 31, "result must be an integer from -2147483648"],
      [5, 0.5, "result must be an integer"],
    ] as const
  ) {
    assertThrows(() => replies.with(tag, result), RangeError, message);
  }
  const short = replies.with as (...values: number[]) => Command<number>;
  assertThrows(() => short.call(replies, 5), TypeError, "result must be");
  assertSame(replies.with(2, 3), ublk(5, { q_id: 1, tag: 2, result: 3 }));
  const commits = fuse.maker(5, {}, ["commit_id"]);
  assertThrows(() => commits.with(-1), RangeError, "commit_id must be");
  assertThrows(() => commits.with(2n ** 64n), RangeError, "must fit 64 bits");
});

Deno.test("a maker of a defined command varies no pointer, and no field that is not there", () => {
  const message = "names must be of fields of `inline` that are no pointers";
  for (const name of ["addr", "nothing", "toString", 5]) {
    const make = () => ublk.maker(5, {}, [name as "tag"]);
    assertThrows(make, TypeError, message);
  }
  const indirect = root.defineCommand({
    name: "INDIRECT",
    cmd_op: 1,
    inline: { a: root.u8(0) },
    indirect: { b: root.u8(0) },
  });
  const make = () => indirect.maker(5, {}, ["b" as "a"]);
  assertThrows(make, TypeError, message);
  const list = () => ublk.maker(5, {}, "tag" as never);
  assertThrows(list, TypeError, "names must be an array");
  const unknown = () => ublk.maker(5, { other: 1 } as never, []);
  assertThrows(unknown, TypeError, "has no field called other");
});

Deno.test("a defined command that is made within another keeps its own values", () => {
  const inner: Command<number>[] = [];
  const values = {
    get tag() {
      inner.push(ublk(6, { q_id: 2, tag: 3 }));
      return 4;
    },
    q_id: 1,
  };
  const outer = ublk(5, values);
  assertSame(outer, ublk(5, { q_id: 1, tag: 4 }));
  assertSame(inner[0], ublk(6, { q_id: 2, tag: 3 }));
  // Nothing of a call that threw is in the next.
  assertThrows(() => ublk(5, { q_id: 9, tag: -1 }), RangeError);
  assertSame(ublk(5, {}), ublk(5));
  assertEquals(words(ublk(5)), { op: 46, fd: 5, cmd_op: 0xc010_7521 });
});

Deno.test("a command that a maker makes within another keeps its own values", () => {
  const inner: Command<number>[] = [];
  /** A field that makes a command of the same maker, or throws, while it is set. */
  class Nosy extends root.Field<number> {
    get(view: DataView, base: number): number {
      return view.getUint32(base + this.offset, true);
    }
    set(view: DataView, base: number, value: number): void {
      view.setUint32(base + this.offset, value, true);
      if (value === 7) inner.push(maker.with(99, 8, 77));
      if (value === 9) throw new Error("nine");
    }
  }
  const inline = { a: root.u32(0), b: new Nosy(4, 4), c: root.u32(8) };
  const define = root.defineCommand({ name: "NOSY", cmd_op: 1, inline });
  const maker = define.maker(5, {}, ["a", "b", "c"]);
  for (let i = 0; i < 3; i++) {
    assertEquals(words(maker.with(1, 7, 2)), {
      ...{ op: 46, fd: 5, cmd_op: 1 },
      ...{ cmd0: 1, cmd1: 7, cmd2: 2 },
    });
    assertSame(inner.pop()!, define(5, { a: 99, b: 8, c: 77 }));
    assertThrows(() => maker.with(3, 9, 4), Error, "nine");
    assertSame(maker.with(5, 6, 7), define(5, { a: 5, b: 6, c: 7 }));
  }
});

Deno.test("the indirect struct of a maker starts anew at each run", async () => {
  await using ring = Ring.open();
  using file = devNull();
  const define = root.defineCommand({
    name: "INDIRECT",
    cmd_op: 1,
    inline: { a: root.u32(0) },
    indirect: { b: root.u32(0), c: root.pointer(8) },
    decode: (_, { b }) => b,
  });
  const c = { bytes: alloc(8), kernel: "reads" } as const;
  const maker = define.maker(file.fd, { b: 42, c }, ["a"]);
  const commands = [maker.with(1), maker.with(2)];
  assertEquals(ring.cmdAllSync([...commands, ...commands]), [42, 42, 42, 42]);
  assertEquals(await ring.cmd(commands[0]), 42);
  assertEquals(commands.map((it) => it.operands.length), [2, 2]);
});

Deno.test("an address is written when a ring runs the command, and not by encode()", async () => {
  await using ring = Ring.open();
  using file = devNull();
  const memory = ring.alloc(8192);
  const command = op.writesOf(file.fd, memory).at(0, 4096);
  assertEquals(await ring.cmd(command), 4096);
  assertEquals(ring.cmdAllSync([command, command]), [4096, 4096]);
  assertEquals(words(command).addr, undefined);
  assertEquals(words(command).addr_high, undefined);
  // With the address of the memory, ./raw gets that of the part.
  const { address } = arenaOf(memory.buffer)!;
  const { addr, addr_high } = words(command, false, [], [address]);
  assertEquals(addr_high * 2 ** 32 + addr, address + 4096);
});
