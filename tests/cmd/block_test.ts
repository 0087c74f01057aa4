/** Commands of block devices, on loop devices. */

import {
  assert,
  assertEquals,
  assertGreater,
  assertGreaterOrEqual,
  assertLessOrEqual,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { equals } from "@std/bytes";
import { spy } from "@std/testing/mock";
import { type Command, FixedFile, probe, Ring, UringError } from "../../mod.ts";
import { uringCmd } from "../../mod.ts";
import {
  BlockDevice,
  blockDevice,
  blockSize,
  type ByteRange,
  discard,
  openDisk,
  zoneResetAll,
} from "../../cmd/block.ts";
import * as op from "../../cmd/op.ts";
import { E } from "../../sys/uapi/errno.ts";
import { open, openDescriptors } from "../../sys/file.ts";
import { libc, syscall } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";
import { assertBoolean } from "../kit/booleans.ts";
import { devNull, Fd, pipe, unixPair } from "../kit/fds.ts";
import { sqeBytes } from "../kit/commands.ts";
import { assertRefused } from "../kit/outcome.ts";
import { testUnless } from "../kit/skip.ts";
import { workerCount } from "../kit/process.ts";
import {
  LoopDevice,
  type LoopOptions,
  missing,
  tool,
} from "../lab/loop_device.ts";

const { EACCES, EIO, ENODEV, ENOENT, ENXIO } = E;

const KiB = 1024;
const MiB = 1024 * KiB;

// Probed after loop_device.ts made a device: before, there may be no node.
const { families } = probe();
const known = families["block DISCARD"]?.available !== "no";

/** A test on a loop device. */
const testLoop = (name: string, fn: () => Promise<void>) =>
  testUnless(missing, name, fn);

/** A test on a loop device of a kernel that has commands for it. */
const testDiscard = (name: string, fn: () => Promise<void>) =>
  testUnless(missing || (known ? "" : "command of block devices"), name, fn);

/** A loop device that is open, and a ring. */
class Disk implements AsyncDisposable {
  private constructor(
    readonly ring: Ring,
    readonly device: LoopDevice,
    readonly fd: number,
  ) {}

  static async open(options: LoopOptions, entries = 64): Promise<Disk> {
    const device = await LoopDevice.make(options);
    const flags = (options.readOnly ? op.O_RDONLY : op.O_RDWR) | op.O_DIRECT;
    const fd = open(device.path, flags);
    return new Disk(Ring.open({ entries }), device, fd);
  }

  /** The bytes of a range, from the device itself. */
  async read(offset: number, length: number): Promise<Uint8Array> {
    const into = this.ring.alloc(length);
    const read = op.read(this.fd, into, { offset });
    assertEquals(await this.ring.cmd(read), length);
    return into;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.ring.close();
    new Fd(this.fd).close();
    await this.device[Symbol.asyncDispose]();
  }
}

/** Returns one letter for each block of 4 KiB: `.` for zeros, `x` for data. */
function map(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 4 * KiB) {
    const block = bytes.subarray(at, at + 4 * KiB);
    const zeros = block.every((byte) => byte === 0);
    assert(zeros || block.every((byte) => byte === 0xa5), "half a block");
    text += zeros ? "." : "x";
  }
  return text;
}

// ---- Without a kernel ------------------------------------------------------------

Deno.test("discard makes the expected SQE", () => {
  const command = discard(0x0102, {
    offset: 0x1f_f2f3_f4f5_f6f7,
    length: 0xe1e2_e3e4_e5e6_e7e8n,
  });
  assertEquals([...sqeBytes(command)], [
    ...[0x2e, 0, 0, 0], // opcode: IORING_OP_URING_CMD, flags, ioprio
    ...[0x02, 0x01, 0, 0], // fd
    ...[0x00, 0x12, 0, 0], // cmd_op: BLOCK_URING_CMD_DISCARD, 0x1200
    ...[0, 0, 0, 0], // __pad1
    ...[0xf7, 0xf6, 0xf5, 0xf4, 0xf3, 0xf2, 0x1f, 0], // addr: the offset
    ...[0, 0, 0, 0], // len
    ...[0, 0, 0, 0], // uring_cmd_flags
    ...[0, 0, 0, 0, 0, 0, 0, 0], // user_data
    ...[0, 0, 0, 0], // buf_index, personality
    ...[0, 0, 0, 0], // file_index
    ...[0xe8, 0xe7, 0xe6, 0xe5, 0xe4, 0xe3, 0xe2, 0xe1], // addr3: the length
    ...[0, 0, 0, 0, 0, 0, 0, 0], // cmd[8..15]
  ]);
  assertEquals([command.operands.length, command.sqe128], [0, false]);
});

Deno.test("zoneResetAll makes the expected SQE", () => {
  assertEquals([...sqeBytes(zoneResetAll(new FixedFile(0x0102)))], [
    ...[0x2e, 1, 0, 0], // opcode, flags: IOSQE_FIXED_FILE, ioprio
    ...[0x02, 0x01, 0, 0], // fd: the place in the table
    ...[0x01, 0x12, 0, 0], // cmd_op: BLOCK_URING_CMD_ZONE_RESET_ALL, 0x1201
    ...new Array(52).fill(0), // It has no arguments.
  ]);
});

Deno.test("openDisk makes an exclusive open, unless shared", () => {
  const { O_EXCL, O_RDWR } = op;
  for (
    const [options, flags] of [
      [undefined, O_RDWR | O_EXCL],
      [{}, O_RDWR | O_EXCL],
      [{ shared: false }, O_RDWR | O_EXCL],
      [{ shared: true }, O_RDWR],
    ] as const
  ) {
    const [command, plain] = [
      openDisk("/dev/loop0", options),
      op.openat("/dev/loop0", { flags, mode: 0 }),
    ];
    assertEquals(sqeBytes(command), sqeBytes(plain));
    assertEquals(command.name, plain.name);
    assertEquals(command.operands, plain.operands);
  }
  assertBoolean("shared", (shared) => openDisk("/dev/loop0", { shared }));
  assertThrows(() => openDisk("a\0b"), TypeError, "zero byte");
  assertThrows(() => openDisk("/dev/\ud800"), TypeError, "well-formed");
  const { advice } = openDisk("/dev/loop0");
  for (const errno of [ENODEV, ENXIO, EIO]) {
    assertStringIncludes(advice(errno)!, "gone");
    const { advice: other } = discard(5, { offset: 0, length: 512 });
    assertEquals(other(errno), advice(errno));
  }
  assertStringIncludes(advice(EACCES)!, "root");
  assertStringIncludes(advice(ENOENT)!, "`lsblk`");
});

Deno.test("openDisk opens nothing that is not a block device", async () => {
  await using ring = Ring.open();
  const file = await Deno.makeTempFile();
  const before = openDescriptors();
  for (
    const [path, kind] of [
      ["/dev/null", "a character device"],
      [file, "a regular file"],
      ["/dev", "a directory"],
    ]
  ) {
    for (const shared of [false, true]) {
      const command = openDisk(path, { shared });
      const message = `"${path}" is ${kind}, not a block device such as`;
      await assertRejects(() => ring.cmd(command), TypeError, message);
      assertThrows(() => ring.cmdSync(command), TypeError, message);
    }
  }
  assertEquals(openDescriptors(), before);
  assertEquals(ring.stats().submitted, 0);
  await Deno.remove(file);
  const none = await assertRejects(() => ring.cmd(openDisk(file)), UringError);
  assertEquals([none.code, none.op], ["ENOENT", `OPENAT "${file}"`]);
  for (const letter of ["/", "\u20ac"]) {
    const long = openDisk(letter.repeat(70_000));
    await assertRefused(ring.cmd(long), "ENAMETOOLONG");
  }
});

Deno.test("an invalid range is refused, and the message names the field", () => {
  const make = (range: unknown) => () => discard(5, range as ByteRange);
  for (const value of [-1, -1n, 0.5, NaN, Infinity, 2 ** 53, 2n ** 64n]) {
    assertThrows(make({ offset: value, length: 512 }), RangeError, "offset");
    assertThrows(make({ offset: 0, length: value }), RangeError, "length");
  }
  for (const value of ["512", null, undefined, {}]) {
    assertThrows(make({ offset: value, length: 512 }), TypeError, "offset");
    assertThrows(make({ offset: 0, length: value }), TypeError, "length");
  }
  for (const length of [0, 0n, -0]) {
    const error = assertThrows(make({ offset: 0, length }), RangeError);
    assertStringIncludes(error.message, "at least one logical block, not 0");
  }
});

Deno.test("a value that is not a descriptor is refused", () => {
  for (const none of ["5", null, undefined, {}, new FixedFile(1)]) {
    const fd = none as number;
    assertThrows(() => blockDevice(fd), TypeError, "fd must be a number");
    assertThrows(() => blockSize(fd), TypeError, "fd must be a number");
    if (typeof none === "object") continue;
    assertThrows(() => zoneResetAll(fd), TypeError, "fd must be a number");
  }
  for (const fd of [-1, 0.5, NaN, 2 ** 31]) {
    assertThrows(() => blockDevice(fd), RangeError, "fd must be an integer");
  }
});

const FACTS = {
  file: 5,
  writable: true,
  logicalBlockSize: 512,
  physicalBlockSize: 4 * KiB,
  byteLength: BigInt(MiB),
  readOnly: false,
} as const;

Deno.test("a device is made of its facts, which are checked and frozen", () => {
  const device = new BlockDevice(FACTS);
  assertEquals({ ...device }, FACTS);
  assert(Object.isFrozen(device));
  const make = (name: string, value: unknown) => () =>
    new BlockDevice({ ...FACTS, [name]: value });
  for (const name of ["file", "logicalBlockSize", "physicalBlockSize"]) {
    for (const value of ["512", null, undefined, {}, 512n]) {
      assertThrows(make(name, value), TypeError, `${name} must be a number`);
    }
  }
  for (const name of ["logicalBlockSize", "physicalBlockSize"]) {
    for (const value of [0, -512, 0.5, NaN, 2 ** 32]) {
      assertThrows(make(name, value), RangeError, name);
    }
    for (const value of [1, 2 ** 32 - 1]) make(name, value)();
  }
  for (const name of ["writable", "readOnly"]) {
    assertBoolean(name, (value) => make(name, value)());
    const message = `${name} must be a boolean, not undefined`;
    assertThrows(make(name, undefined), TypeError, message);
  }
  assertThrows(make("byteLength", -1n), RangeError, "byteLength");
  assertThrows(make("byteLength", undefined), TypeError, "byteLength");
  assertThrows(make("file", -1), RangeError, "file");
  for (const none of [null, undefined, 5]) {
    const facts = none as unknown as BlockDevice;
    assertThrows(() => new BlockDevice(facts), TypeError, "facts must be an");
  }
});

Deno.test("a device with a registered file sends its commands to that file", () => {
  const device = new BlockDevice(FACTS);
  const file = new FixedFile(3);
  const registered = device.withFile(file);
  assertEquals({ ...registered }, { ...FACTS, file });
  assertEquals(device.file, 5);
  const range = { offset: 0, length: 512 };
  assertEquals(discard(device, range).fd, 5);
  assertEquals(discard(registered, range).fixedFile, file);
  assertEquals(zoneResetAll(registered).fixedFile, file);
});

Deno.test("a device with a file for reading only is not writable", async () => {
  await using ring = Ring.open();
  using reading = new Fd(open("/dev/null", op.O_RDONLY));
  using writing = devNull();
  const [one, other] = ring.registerFiles([reading.fd, writing.fd]);
  const device = new BlockDevice(FACTS);
  assertEquals(device.withFile(one).writable, false);
  assertEquals(device.withFile(other).writable, true);
  const closed = new BlockDevice({ ...FACTS, writable: false });
  assertEquals(closed.withFile(other).writable, false);
});

Deno.test("an object that only looks like a device is refused", () => {
  const device = new BlockDevice(FACTS);
  const range = { offset: 0, length: 512 };
  const message = "the target must be a descriptor, a file of " +
    "ring.registerFiles() or a BlockDevice, not {...}. blockDevice(fd) returns";
  for (const fake of [FACTS, { ...device }, Object.create(device), {}]) {
    assertEquals(BlockDevice.is(fake), false);
    assertThrows(() => discard(fake, range), TypeError, message);
    assertThrows(() => zoneResetAll(fake), TypeError, message);
  }
  assertEquals(BlockDevice.is(device), true);
  assertEquals(BlockDevice.is(null), false);
  const none = null as unknown as number;
  assertThrows(() => discard(none, range), TypeError, "not null");
});

// ---- Files that are not block devices --------------------------------------------

Deno.test("a file of another kind is named, before anything is queued", async () => {
  await using ring = Ring.open();
  using ends = pipe();
  using sockets = unixPair();
  using none = devNull();
  using folder = new Fd(open("/"));
  const path = await Deno.makeTempFile();
  using file = new Fd(open(path, op.O_RDWR));
  await Deno.remove(path);
  using event = new Fd(syscall("eventfd2", 0, 0));
  for (
    const [fd, kind] of [
      [ends.left, "a pipe"],
      [sockets.left, "a socket"],
      [none.fd, "a character device"],
      [folder.fd, "a directory"],
      [file.fd, "a regular file"],
      [event.fd, "something without a type"],
    ] as const
  ) {
    const message = `is ${kind}, not a block device`;
    const number = `fd ${fd} ${message}`;
    assertThrows(() => blockDevice(fd), TypeError, number);
    assertThrows(() => blockSize(fd), TypeError, number);
    const range = { offset: 0, length: 512 };
    const [registered] = ring.registerFiles([fd]);
    for (
      const [target, refusal] of [
        [fd, number],
        [registered, `the registered file ${message}`],
      ] as const
    ) {
      for (const command of [discard(target, range), zoneResetAll(target)]) {
        await assertRejects(() => ring.cmd(command), TypeError, refusal);
        assertThrows(() => ring.cmdSync(command), TypeError, refusal);
        for (const each of ring.link([op.nop(), command])) {
          await assertRejects(() => each, TypeError, refusal);
        }
      }
    }
    ring.unregisterFiles();
  }
  assertEquals([ring.stats().submitted, ring.stats().inFlight], [0, 0]);
  assertEquals(await ring.cmd(op.nop()), 0);
});

Deno.test("a descriptor that was closed is named", async () => {
  await using ring = Ring.open();
  const file = devNull();
  file.close();
  const error = assertThrows(() => blockDevice(file.fd), UringError);
  assertEquals([error.code, error.op, error.fd], ["EBADF", "fstat", file.fd]);
  assertStringIncludes(error.message, "is not open");
  for (
    const command of [
      discard(file.fd, { offset: 0, length: 512 }),
      zoneResetAll(file.fd),
    ]
  ) {
    const message = "The descriptor is not open";
    const error = await assertRefused(ring.cmd(command), "EBADF", message);
    assertEquals(error.op, command.name);
  }
});

// ---- Facts -------------------------------------------------------------------------

for (
  const [name, options] of [
    ["sectors of 512 bytes", { byteLength: 3 * MiB }],
    ["sectors of 4096 bytes", { byteLength: MiB, sectorSize: 4096 }],
    ["no room for writes", { byteLength: 2 * MiB, readOnly: true }],
  ] as const
) {
  testLoop(
    `the facts of a device with ${name} are those of blockdev`,
    async () => {
      await using disk = await Disk.open(options);
      const asked = ["--getss", "--getpbsz", "--getsize64", "--getro"];
      const told = await tool("blockdev", ...asked, disk.device.path);
      const [ss, pbsz, size64, ro] = told.split("\n");
      const facts = blockDevice(disk.fd);
      assertEquals({ ...facts }, {
        file: disk.fd,
        writable: !("readOnly" in options),
        logicalBlockSize: Number(ss),
        physicalBlockSize: Number(pbsz),
        byteLength: BigInt(size64),
        readOnly: ro === "1",
      });
      assertEquals(facts.byteLength, BigInt(options.byteLength));
      assertEquals(facts.readOnly, "readOnly" in options);
      const sectorSize = "sectorSize" in options ? options.sectorSize : 512;
      assertEquals(blockSize(disk.fd), sectorSize);
      assertEquals(facts.logicalBlockSize, sectorSize);
    },
  );
}

/**
 * Lists the block devices that this user may open. Without loop devices: other
 * tests attach and detach those while this one asks.
 */
function devices(): string[] {
  return [...Deno.readDirSync("/sys/block")].map(({ name }) => `/dev/${name}`)
    .filter((path) => {
      if (path.startsWith("/dev/loop")) return false;
      const fd = open(path);
      if (fd >= 0) new Fd(fd).close();
      return fd >= 0;
    }).sort();
}

testLoop("the facts of every device here are those of blockdev", async () => {
  for (const path of devices()) {
    using file = new Fd(open(path));
    const facts = blockDevice(file.fd);
    const asked = ["--getss", "--getpbsz", "--getsize64", "--getro"];
    const told = await tool("blockdev", ...asked, path);
    const [ss, pbsz, size64, ro] = told.split("\n").map(Number);
    const { logicalBlockSize, physicalBlockSize, byteLength } = facts;
    assertEquals(
      [logicalBlockSize, physicalBlockSize, Number(byteLength)],
      [ss, pbsz, size64],
      path,
    );
    assertEquals(facts.readOnly, ro === 1, path);
  }
});

testLoop("the facts of a device above 4 GiB are not mixed up", async () => {
  // BLKGETSIZE64 writes 8 bytes, and the other calls 4 into the same memory.
  const byteLength = 6 * 1024 * MiB;
  await using disk = await Disk.open({ byteLength });
  scratch().bytes.fill(0xff);
  assertEquals({ ...blockDevice(disk.fd) }, {
    file: disk.fd,
    writable: true,
    logicalBlockSize: 512,
    physicalBlockSize: 512,
    byteLength: BigInt(byteLength),
    readOnly: false,
  });
});

testLoop("the facts are asked of the device each time", async () => {
  await using disk = await Disk.open({ byteLength: MiB });
  assertEquals(blockDevice(disk.fd).byteLength, BigInt(MiB));
  await Deno.truncate(disk.device.file, 2 * MiB);
  await tool("losetup", "--set-capacity", disk.device.path);
  assertEquals(blockDevice(disk.fd).byteLength, BigInt(2 * MiB));
  await tool("blockdev", "--setro", disk.device.path);
  assertEquals(blockDevice(disk.fd).readOnly, true);
  await tool("blockdev", "--setrw", disk.device.path);
  assertEquals(blockDevice(disk.fd).readOnly, false);
});

testLoop("the facts need no descriptor for writing", async () => {
  await using device = await LoopDevice.make({ byteLength: MiB });
  for (const flags of [op.O_RDONLY, op.O_WRONLY]) {
    using file = new Fd(open(device.path, flags));
    assertEquals(blockDevice(file.fd).byteLength, BigInt(MiB));
  }
});

// ---- Discarding ----------------------------------------------------------------------

testDiscard(
  "a discarded range reads as zeros, and its file has a hole",
  async () => {
    await using disk = await Disk.open({ byteLength: 4 * MiB, byte: 0xa5 });
    const { ring, device, fd } = disk;
    const before = await device.allocatedBytes();
    assertGreaterOrEqual(before, 4 * MiB);
    const range = { offset: MiB, length: 2 * MiB };
    assertEquals(await ring.cmd(discard(fd, range)), 0);
    assertEquals(
      map(await disk.read(0, 4 * MiB)),
      "x".repeat(256) + ".".repeat(512) + "x".repeat(256),
    );
    // Some room for what the file system notes about the hole.
    const after = await device.allocatedBytes();
    assertLessOrEqual(after, before - 2 * MiB + 64 * KiB);
  },
);

testDiscard(
  "a device may be discarded from its first byte to its last",
  async () => {
    await using disk = await Disk.open({ byteLength: MiB, byte: 0xa5 });
    const { ring, device, fd } = disk;
    for (
      const range of [
        { offset: 0, length: 4 * KiB },
        { offset: BigInt(MiB - 4 * KiB), length: BigInt(4 * KiB) },
      ]
    ) {
      assertEquals(await ring.cmd(discard(fd, range)), 0);
    }
    const ends = `.${"x".repeat(254)}.`;
    assertEquals(map(await disk.read(0, MiB)), ends);
    const { byteLength } = blockDevice(fd);
    const all = discard(fd, { offset: 0, length: byteLength });
    assertEquals(ring.cmdSync(all), 0);
    assertEquals(map(await disk.read(0, MiB)), ".".repeat(256));
    assertLessOrEqual(await device.allocatedBytes(), 64 * KiB);
    assertEquals(await ring.cmd(all), 0); // A repeated discard is no error.
  },
);

testDiscard(
  "one logical block may be discarded, and no other is touched",
  async () => {
    await using disk = await Disk.open({ byteLength: MiB, byte: 0xa5 });
    const range = { offset: 5 * 512, length: 512 };
    assertEquals(await disk.ring.cmd(discard(disk.fd, range)), 0);
    const bytes = await disk.read(0, MiB);
    const gone = bytes.slice(5 * 512, 6 * 512);
    // The device chooses what it reads as: one byte throughout.
    assert(gone.every((byte) => byte === gone[0]));
    bytes.fill(0xa5, 5 * 512, 6 * 512);
    assert(bytes.every((byte) => byte === 0xa5));
  },
);

testDiscard(
  "a command on a BlockDevice makes no system call to check it",
  async () => {
    await using disk = await Disk.open({ byteLength: MiB, byte: 0xa5 });
    const { ring, fd } = disk;
    const device = blockDevice(fd);
    const [file] = ring.registerFiles([fd]);
    const registered = device.withFile(file);
    const half = { offset: MiB / 2, length: MiB / 2 };
    {
      using calls = spy(libc().symbols, "call");
      const first = discard(device, { offset: 0, length: 64 * KiB });
      assertEquals(ring.cmdAllSync([first, discard(registered, half)]), [0, 0]);
      assertEquals(calls.calls.length, 0);
      const message = "the registered file is open for reading only";
      const reading = new BlockDevice({ ...registered, writable: false });
      assertThrows(() => discard(reading, half), TypeError, message);
      assertThrows(() => zoneResetAll(reading), TypeError, message);
    }
    const kept = ".".repeat(16) + "x".repeat(112) + ".".repeat(128);
    assertEquals(map(await disk.read(0, MiB)), kept);
  },
);

testDiscard("a descriptor for writing only is enough", async () => {
  await using disk = await Disk.open({ byteLength: MiB, byte: 0xa5 });
  using file = new Fd(open(disk.device.path, op.O_WRONLY));
  const range = { offset: 0, length: 64 * KiB };
  assertEquals(await disk.ring.cmd(discard(file.fd, range)), 0);
  const bytes = await disk.read(0, 128 * KiB);
  assertEquals(map(bytes), ".".repeat(16) + "x".repeat(16));
});

testDiscard(
  "a discard drops the cached pages of its range",
  async () => {
    await using disk = await Disk.open({ byteLength: MiB, byte: 0xa5 });
    const { ring } = disk;
    using cached = new Fd(open(disk.device.path, op.O_RDWR));
    const into = ring.alloc(64 * KiB);
    const read = op.read(cached.fd, into, { offset: 0 });
    await ring.cmd(read); // Fills the cache. The write changes a part of it.
    await ring.cmd(op.write(cached.fd, into.slice(0, 8 * KiB), { offset: 0 }));
    assertEquals(map(into), "x".repeat(16));
    const range = { offset: 0, length: 32 * KiB };
    assertEquals(await ring.cmd(discard(cached.fd, range)), 0);
    await ring.cmd(read);
    assertEquals(map(into), ".".repeat(8) + "x".repeat(8));
  },
);

testDiscard("many discards run at once, each on its own range", async () => {
  await using disk = await Disk.open({ byteLength: 4 * MiB, byte: 0xa5 });
  const { ring, fd } = disk;
  const ranges = Array.from(
    { length: 256 },
    (_, i) => ({ offset: i * 16 * KiB, length: 4 * KiB + (i % 3) * 4 * KiB }),
  );
  const commands = ranges.map((range) => discard(fd, range));
  const half = commands.slice(0, 128).map((command) => ring.cmd(command));
  assertEquals(await Promise.all(half), Array(128).fill(0));
  const rest = ring.cmdAllSync(commands.slice(128));
  assertEquals(rest, Array(128).fill(0));
  const expected = ranges.map((_, i) => [".xxx", "..xx", "...x"][i % 3]);
  assertEquals(map(await disk.read(0, 4 * MiB)), expected.join(""));
});

/**
 * Reads the whole device through the page cache. The kernel discards a cached
 * range on a worker, because dropping the pages could block.
 */
async function fillCache(disk: Disk): Promise<void> {
  const { byteLength } = blockDevice(disk.fd);
  using cached = new Fd(open(disk.device.path, op.O_RDONLY));
  const into = disk.ring.alloc(MiB);
  for (let offset = 0; offset < byteLength; offset += MiB) {
    await disk.ring.cmd(op.read(cached.fd, into, { offset }));
  }
}

testDiscard(
  "a discard that could block runs on a worker, and completes later",
  async () => {
    await using disk = await Disk.open({ byteLength: 4 * MiB, byte: 0xa5 });
    const { ring, fd } = disk;
    await fillCache(disk);
    const { wakes } = ring.stats();
    for (let i = 0; i < 32; i++) {
      const range = { offset: i * 128 * KiB, length: 64 * KiB };
      assertEquals(await ring.cmd(discard(fd, range)), 0);
    }
    assert(workerCount() > 0, "no worker was started");
    assertGreater(ring.stats().wakes, wakes);
    const expected = ".".repeat(16) + "x".repeat(16);
    assertEquals(map(await disk.read(0, 4 * MiB)), expected.repeat(32));
  },
);

testDiscard(
  "deferred discards keep their ranges while other commands pass",
  async () => {
    // Linux 6.10 to 6.13 read the SQE again when they defer a command.
    await using disk = await Disk.open({ byteLength: 8 * MiB, byte: 0xa5 }, 4);
    const { ring, fd } = disk;
    await fillCache(disk);
    using file = devNull();
    const other = uringCmd({
      fd: file.fd,
      cmd_op: 0xffff_ffff,
      payload: new Uint8Array(16).fill(0xff),
    });
    const all: Promise<number>[] = [];
    for (let i = 0; i < 64; i++) {
      const range = { offset: i * 128 * KiB, length: 32 * KiB };
      all.push(ring.cmd(discard(fd, range)));
      for (let k = 0; k < 20; k++) all.push(ring.cmd(other));
    }
    assertEquals(await Promise.all(all), Array(64 * 21).fill(0));
    const expected = ".".repeat(8) + "x".repeat(24);
    assertEquals(map(await disk.read(0, 8 * MiB)), expected.repeat(64));
  },
);

testDiscard("a discard of gigabytes is one command", async () => {
  await using disk = await Disk.open({ byteLength: 9 * 1024 * MiB });
  const { ring, fd } = disk;
  const data = ring.alloc(4 * KiB).fill(0xa5);
  const offsets = [0, 5 * 1024 * MiB, 9 * 1024 * MiB - 4 * KiB];
  for (const offset of offsets) await ring.cmd(op.write(fd, data, { offset }));
  const { byteLength } = blockDevice(fd);
  const range = { offset: 4 * KiB, length: byteLength - BigInt(4 * KiB) };
  assertEquals(await ring.cmd(discard(fd, range)), 0);
  const found = [];
  for (const offset of offsets) {
    found.push(map(await disk.read(offset, 4 * KiB)));
  }
  assertEquals(found, ["x", ".", "."]);
});

testDiscard("a discard may follow another in a chain", async () => {
  await using disk = await Disk.open({ byteLength: MiB, byte: 0xa5 });
  const { ring, fd } = disk;
  const data = ring.alloc(4 * KiB).fill(0xa5);
  const chain = ring.link([
    discard(fd, { offset: 0, length: MiB }),
    op.write(fd, data, { offset: 8 * KiB }),
    discard(fd, { offset: 12 * KiB, length: 4 * KiB }),
  ]);
  assertEquals(await Promise.all(chain), [0, 4 * KiB, 0]);
  assertEquals(map(await disk.read(0, 16 * KiB)), "..x.");
});

testDiscard(
  "an aborted discard has not run, or has its own result",
  async () => {
    await using disk = await Disk.open({ byteLength: MiB, byte: 0xa5 });
    const { ring, fd } = disk;
    const abort = new AbortController();
    const first = discard(fd, { offset: 0, length: 64 * KiB });
    const early = ring.cmd(first, { signal: abort.signal });
    abort.abort();
    const outcome = await early.catch((error) => error);
    const gone = map(await disk.read(0, 4 * KiB)) === ".";
    assertEquals(outcome, gone ? 0 : abort.signal.reason);
    // A link timeout cannot cancel a discard that the device has started.
    const range = { offset: 0, length: MiB };
    for (let attempt = 0;; attempt++) {
      const both = ring.link([discard(fd, range), op.linkTimeout(0)]);
      const [discarded, ranOut] = await Promise.all(both);
      assertEquals(discarded, 0);
      if (ranOut) break;
      assert(attempt < 1000, "the device was always faster");
    }
  },
);

// ---- Refusals ------------------------------------------------------------------------

/** Asserts that a discard is refused before it is queued. */
async function refused(
  { ring, fd }: { ring: Ring; fd: number },
  range: ByteRange,
  error: typeof TypeError | typeof RangeError,
  message: string,
): Promise<void> {
  const { submitted } = ring.stats();
  const command = discard(fd, range);
  await assertRejects(() => ring.cmd(command), error, message);
  assertThrows(() => ring.cmdSync(command), error, message);
  assertEquals(ring.stats().submitted, submitted);
  // With the facts, the command is refused when it is made.
  const device = blockDevice(fd);
  assertThrows(() => discard(device, range), error, message);
}

for (const sectorSize of [512, 4096]) {
  testLoop(`a range has whole blocks of ${sectorSize} bytes`, async () => {
    const options = { byteLength: MiB, byte: 0xa5, sectorSize };
    await using disk = await Disk.open(options);
    const size = `multiple of the logical block size of ${sectorSize} bytes`;
    const half = sectorSize / 2;
    for (const offset of [1, half, sectorSize + 1, MiB - 1]) {
      const range = { offset, length: sectorSize };
      const message = `offset must be a ${size}, not ${offset}`;
      await refused(disk, range, RangeError, message);
    }
    for (const length of [1, half, sectorSize - 1, BigInt(MiB + 1)]) {
      const range = { offset: sectorSize, length };
      const message = `length must be a ${size}, not ${length}`;
      await refused(disk, range, RangeError, message);
    }
    assertEquals(map(await disk.read(0, MiB)), "x".repeat(256));
    if (!known) return;
    const range = { offset: sectorSize, length: sectorSize };
    assertEquals(await disk.ring.cmd(discard(disk.fd, range)), 0);
  });
}

testLoop("a range ends within the device", async () => {
  await using disk = await Disk.open({ byteLength: MiB, byte: 0xa5 });
  const last = 2n ** 64n - 512n;
  for (
    const [offset, length, end] of [
      [MiB, 512, MiB + 512],
      [MiB - 512, 1024, MiB + 512],
      [0, MiB + 512, MiB + 512],
      [2 ** 53 - 512, 512, 2 ** 53],
      [2n ** 53n, 512, 2n ** 53n + 512n],
      [last, last, last + last],
      [0, last, last],
    ] as const
  ) {
    const message = `the range ends at byte ${end}, and the device at byte`;
    await refused(disk, { offset, length }, RangeError, message);
  }
  assertEquals(map(await disk.read(0, MiB)), "x".repeat(256));
});

testLoop("a device of 0 bytes is refused as one that is gone", async () => {
  await using disk = await Disk.open({ byteLength: MiB });
  const { ring, device, fd } = disk;
  const facts = blockDevice(fd);
  const [registered] = ring.registerFiles([fd]);
  await Deno.truncate(device.file, 0);
  await tool("losetup", "--set-capacity", device.path);
  assertEquals(blockDevice(fd).byteLength, 0n);
  const message = `fd ${fd} is a device of 0 bytes: it is gone, or has no`;
  for (const range of [{ offset: 0, length: 512 }, { offset: 7, length: 1 }]) {
    await refused(disk, range, RangeError, message);
  }
  await assertRejects(() => ring.cmd(zoneResetAll(fd)), RangeError, message);
  if (!known) return;
  for (const target of [facts, registered]) {
    const command = discard(target, { offset: 0, length: 512 });
    await assertRefused(ring.cmd(command), "EINVAL", "gone has 0 bytes");
  }
});

testLoop(
  "a descriptor for reading only is refused, with a remedy",
  async () => {
    await using disk = await Disk.open({ byteLength: MiB, byte: 0xa5 });
    using file = new Fd(open(disk.device.path, op.O_RDONLY));
    const { ring } = disk;
    const range = { offset: 0, length: 512 };
    const message = `fd ${file.fd} is open for reading only: open the device`;
    await refused({ ring, fd: file.fd }, range, TypeError, message);
    const reset = zoneResetAll(file.fd);
    await assertRejects(() => ring.cmd(reset), TypeError, message);
  },
);

testLoop(
  "a device that was set read-only is refused, with a remedy",
  async () => {
    await using disk = await Disk.open({ byteLength: MiB, byte: 0xa5 });
    const { ring, device, fd } = disk;
    const range = { offset: 0, length: 64 * KiB };
    await tool("blockdev", "--setro", device.path);
    const message = `fd ${fd} is a read-only device: \`blockdev --setrw\``;
    await refused(disk, range, TypeError, message);
    await assertRejects(() => ring.cmd(zoneResetAll(fd)), TypeError, message);
    assertEquals(map(await disk.read(0, MiB)), "x".repeat(256));
    await tool("blockdev", "--setrw", device.path);
    if (known) assertEquals(await ring.cmd(discard(fd, range)), 0);
  },
);

testLoop("a device that was attached read-only is refused", async () => {
  const options = { byteLength: MiB, byte: 0xa5, readOnly: true };
  await using disk = await Disk.open(options);
  const { ring, device } = disk;
  const range = { offset: 0, length: 512 };
  await refused(disk, range, TypeError, "open for reading only");
  // Some kernels open such a device for writing.
  const rc = open(device.path, op.O_RDWR);
  if (rc < 0) return assertEquals(-rc, EACCES);
  using file = new Fd(rc);
  const { fd } = file;
  await refused({ ring, fd }, range, TypeError, "is a read-only device");
});

testDiscard(
  "a registered file for reading is refused, and the kernel's refusals are explained",
  async () => {
    await using disk = await Disk.open({ byteLength: MiB, byte: 0xa5 });
    const { ring, device, fd } = disk;
    using readOnly = new Fd(open(device.path, op.O_RDONLY));
    const [file, other] = ring.registerFiles([fd, readOnly.fd]);
    const good = { offset: 0, length: 64 * KiB };
    const code = async (command: Command<number>, message: string) => {
      const { submitted } = ring.stats();
      const error = await assertRejects(
        () => ring.cmd(command),
        UringError,
        message,
      );
      assertEquals(ring.stats().submitted, submitted + 1);
      assertEquals(error.op, "URING_CMD DISCARD");
      return error.code;
    };
    const range = "multiples of its logical block size, and end within it";
    for (
      const bad of [
        { offset: 1, length: 512 },
        { offset: 0, length: 513 },
        { offset: MiB, length: 512 },
        { offset: 2n ** 64n - 512n, length: 1024 },
        { offset: 2n ** 63n, length: 512 },
      ]
    ) {
      assertEquals(await code(discard(file, bad), range), "EINVAL");
    }
    const reading = "the registered file is open for reading only: open the";
    for (const command of [discard(other, good), zoneResetAll(other)]) {
      await assertRejects(() => ring.cmd(command), TypeError, reading);
    }
    await tool("blockdev", "--setro", device.path);
    const protectedDevice = "The device is read-only";
    assertEquals(await code(discard(file, good), protectedDevice), "EPERM");
    await tool("blockdev", "--setrw", device.path);
    assertEquals(map(await disk.read(0, MiB)), "x".repeat(256));
    assertEquals(await ring.cmd(discard(file, good)), 0);
    const after = ".".repeat(16) + "x".repeat(240);
    assertEquals(map(await disk.read(0, MiB)), after);
  },
);

/** Mounts something on a new folder, until the result is out of scope. */
async function mounted(...what: string[]) {
  const path = await Deno.makeTempDir();
  await tool("mount", ...what, path);
  return {
    path,
    async [Symbol.asyncDispose]() {
      await tool("umount", path);
      await Deno.remove(path);
    },
  };
}

testDiscard("a device that cannot discard says so", async () => {
  // ramfs has no fallocate(), so its files get no holes.
  await using memory = await mounted("-t", "ramfs", "ramfs");
  const options = { byteLength: MiB, byte: 0xa5, dir: memory.path };
  await using disk = await Disk.open(options);
  assertEquals(disk.device.discards, false);
  const command = discard(disk.fd, { offset: 0, length: 64 * KiB });
  await assertRefused(
    disk.ring.cmd(command),
    "EOPNOTSUPP",
    "discard_max_bytes",
  );
  assertEquals(map(await disk.read(0, MiB)), "x".repeat(256));
});

const noExt4 = await tool("mkfs.ext4", "-V").then(() => "", () => "mkfs.ext4");

testUnless(
  missing || noExt4 || (known ? "" : "command of block devices"),
  "a mounted file system stops openDisk, and no discard",
  async () => {
    await using disk = await Disk.open({ byteLength: 16 * MiB });
    const { ring, device, fd } = disk;
    await tool("mkfs.ext4", "-q", device.file);
    const exclusive = openDisk(device.path);
    {
      await using mount = await mounted(device.path);
      const failure = `OPENAT "${device.path}": EBUSY`;
      const reason = "is mounted or in use";
      await assertRefused(ring.cmd(exclusive), "EBUSY", failure, reason);
      const shared = openDisk(device.path, { shared: true });
      new Fd(await ring.cmd(shared)).close();
      // The file system holds the page of its superblock.
      const superblock = discard(fd, { offset: 0, length: 4 * KiB });
      await assertRefused(
        ring.cmd(superblock),
        "EBUSY",
        "A mounted file system",
      );
      // It does not hold the data of its files.
      const path = `${mount.path}/file`;
      await Deno.writeFile(path, new Uint8Array(4 * MiB).fill(0xa5));
      await tool("sync", path);
      const length = 64 * KiB;
      const data = new Uint8Array(length).fill(0xa5);
      const bytes = await disk.read(0, 16 * MiB);
      let offset = 0;
      while (!equals(bytes.subarray(offset, offset + length), data)) {
        offset += length;
        assert(offset < bytes.length, "the file is not on the device");
      }
      assertEquals(await ring.cmd(discard(fd, { offset, length })), 0);
      assertEquals(await disk.read(offset, length), new Uint8Array(length));
    }
    using file = new Fd(await ring.cmd(exclusive));
    const range = { offset: 0, length: 4 * KiB };
    assertEquals(await ring.cmd(discard(file.fd, range)), 0);
  },
);

testLoop(
  "zones are not reset on a kernel or a device that has none",
  async () => {
    await using disk = await Disk.open({ byteLength: MiB, byte: 0xa5 });
    const { ring, fd } = disk;
    const [file] = ring.registerFiles([fd]);
    for (const command of [zoneResetAll(fd), zoneResetAll(file)]) {
      const error = await assertRejects(() => ring.cmd(command), UringError);
      assertEquals(error.op, "URING_CMD ZONE_RESET_ALL");
      const reason = error.code === "EINVAL"
        ? "This kernel has no such command: it is expected in Linux 7.3."
        : "The device has no zones";
      assertStringIncludes(error.message, reason);
      assertEquals(error.code, known ? error.code : "EOPNOTSUPP");
    }
    assertEquals(map(await disk.read(0, MiB)), "x".repeat(256));
  },
);

testUnless(
  missing || (known ? "kernel older than 6.12" : ""),
  "a kernel without commands of block devices says so",
  async () => {
    await using disk = await Disk.open({ byteLength: MiB, byte: 0xa5 });
    const command = discard(disk.fd, { offset: 0, length: MiB });
    await assertRefused(
      disk.ring.cmd(command),
      "EOPNOTSUPP",
      "the kernel is older than 6.12",
    );
    assert(equals(await disk.read(0, MiB), new Uint8Array(MiB).fill(0xa5)));
  },
);
