/** Commands of files on btrfs, on file systems in loop devices. */

import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { Buffer } from "node:buffer";
import {
  deflateSync,
  inflateSync,
  zstdCompressSync,
  zstdDecompressSync,
} from "node:zlib";
import {
  FixedFile,
  Ring,
  type RingOptions,
  uringCmd,
  UringError,
} from "../../mod.ts";
import {
  type Compression,
  type EncodedData,
  encodedRead,
  type EncodedReadOptions,
  encodedWrite,
  type EncodedWriteOptions,
} from "../../cmd/btrfs/mod.ts";
import type { Command } from "../../ring/command.ts";
import { Completion } from "../../ring/completion.ts";
import * as op from "../../cmd/op.ts";
import * as uapi from "../../sys/uapi/btrfs.ts";
import { E } from "../../sys/uapi/errno.ts";
import { open } from "../../sys/file.ts";
import { ADDR, sqeBytes } from "../kit/commands.ts";
import { assertRefused } from "../kit/outcome.ts";
import { collect } from "../kit/wait.ts";
import { Fd, pipe } from "../kit/fds.ts";
import { random } from "../kit/random.ts";
import { runScript } from "../kit/run.ts";
import { testUnless } from "../kit/skip.ts";
import { LoopDevice, missing as noLoop, tool } from "../lab/loop_device.ts";

const { EIO, ENODEV, ENXIO, EROFS } = E;

const KiB = 1024;
const EXTENT = 128 * KiB;
/** Bytes of a sector of the test's file systems. */
const SECTOR = 4096;

/** A part of the message about the flaw of kernels with x32. */
const FLAW = "Run it on a ring with sqpoll: true, where the flaw does not";

/** A mounted btrfs and a ring, both released at the end of the scope. */
class Btrfs implements AsyncDisposable {
  #second: Ring | undefined;

  private constructor(
    readonly ring: Ring,
    readonly path: string,
    readonly stack: AsyncDisposableStack,
  ) {}

  static async make(options?: RingOptions): Promise<Btrfs> {
    await using stack = new AsyncDisposableStack();
    const byteLength = 256 * KiB * KiB;
    const device = stack.use(await LoopDevice.make({ byteLength }));
    const sectors = ["--sectorsize", String(SECTOR)];
    await tool("mkfs.btrfs", "--quiet", ...sectors, device.path);
    const path = await Deno.makeTempDir();
    stack.defer(() => Deno.remove(path));
    await tool("mount", "-t", "btrfs", device.path, path);
    // The kernel releases the files of a closed ring a little later.
    stack.defer(async () => void await tool("umount", "--lazy", path));
    const ring = stack.use(Ring.open(options));
    return new Btrfs(ring, path, stack.move());
  }

  /** Runs a command, on a ring with sqpoll if the kernel has the flaw. */
  async cmd<T>(command: Command<T>): Promise<T> {
    try {
      return await this.ring.cmd(command);
    } catch (error) {
      if (!(error instanceof UringError && error.code === "EAGAIN")) {
        throw error;
      }
      assertStringIncludes(error.message, FLAW);
      this.#second ??= this.stack.use(Ring.open({ sqpoll: { idleMs: 1 } }));
      return await this.#second.cmd(command);
    }
  }

  /** Makes a file with data of a compression, and opens it. */
  async file(
    name: string,
    { compression = "", data = new Uint8Array() }: {
      compression?: string;
      data?: Uint8Array;
    } = {},
  ): Promise<number> {
    const path = `${this.path}/${name}`;
    await Deno.writeFile(path, new Uint8Array());
    if (compression !== "") {
      await tool("btrfs", "property", "set", path, "compression", compression);
    }
    await Deno.writeFile(path, data);
    return this.open(name);
  }

  open(name: string, flags = op.O_RDWR): number {
    return this.stack.use(new Fd(open(`${this.path}/${name}`, flags))).fd;
  }

  /** Reads a file without encoded commands. */
  read(name: string): Promise<Uint8Array> {
    return Deno.readFile(`${this.path}/${name}`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stack.disposeAsync();
  }
}

// ---- Requirements ----------------------------------------------------------------

/** Returns the missing requirement of a btrfs; empty if none. */
async function missingBtrfs(): Promise<string> {
  if (noLoop !== "") return noLoop;
  try {
    await tool("mkfs.btrfs", "--version");
    await using _disk = await Btrfs.make();
    return "";
  } catch (error) {
    return error instanceof Deno.errors.NotFound ? "mkfs.btrfs" : "btrfs";
  }
}

/** Returns the errnos of a file on btrfs for an unknown command and a write. */
async function askedOfKernel(): Promise<string[]> {
  await using disk = await Btrfs.make();
  const { ring } = disk;
  await disk.file("file");
  const fd = disk.open("file", op.O_RDONLY);
  const code = (cmd_op: number) =>
    ring.cmd(uringCmd({ fd, cmd_op })).then(String, ({ code }) => code);
  return [await code(0), await code(uapi.BTRFS_IOC_ENCODED_WRITE)];
}

const noBtrfs = await missingBtrfs();
const [unknown, writing] = noBtrfs === "" ? await askedOfKernel() : [];
/** A file without a handler answers EOPNOTSUPP. */
const noReads = noBtrfs || (unknown === "EINVAL" ? "" : "Linux 6.13");
/** A handler with encoded writes refuses a descriptor for reading. */
const noWrites = noReads || (writing === "EBADF" ? "" : "Linux 6.14");

type Body = (disk: Btrfs) => Promise<void>;

function testRead(name: string, fn: Body, options?: RingOptions): void {
  testUnless(noReads, name, async () => {
    await using disk = await Btrfs.make(options);
    await fn(disk);
  });
}

function testWrite(name: string, fn: Body, options?: RingOptions): void {
  testUnless(noWrites, name, async () => {
    await using disk = await Btrfs.make(options);
    await fn(disk);
  });
}

/** Returns text of a seed that compresses to about a third. */
function text(byteLength: number, seed: number): Uint8Array {
  const below = random(seed);
  const bytes = new Uint8Array(byteLength);
  for (let i = 0; i < byteLength; i++) bytes[i] = 0x61 + below(6);
  return bytes;
}

/** Returns bytes of a seed that do not compress. */
function noise(byteLength: number, seed: number): Uint8Array {
  const below = random(seed);
  return Uint8Array.from({ length: byteLength }, () => below(256));
}

/** Returns the bytes of the file that encoded data stands for. */
function decoded(extent: EncodedData): Uint8Array {
  const { data, unencodedLength, unencodedOffset, byteLength } = extent;
  const bytes = new Uint8Array(unencodedLength);
  const plain = decompress(extent.compression, data);
  bytes.set(plain.subarray(0, unencodedLength));
  return bytes.subarray(unencodedOffset, unencodedOffset + byteLength);
}

function decompress(compression: Compression, data: Uint8Array): Uint8Array {
  if (compression === "none") return data;
  if (compression === "zlib") return inflateSync(data);
  if (compression === "zstd") {
    return zstdDecompressSync(data.subarray(0, zstdLength(data)));
  }
  throw new Error(`this test cannot decompress ${compression}`);
}

/** Returns the length of the first zstd frame. RFC 8878, section 3.1.1. */
function zstdLength(data: Uint8Array): number {
  const flags = data[4];
  const single = flags >> 5 & 1;
  const contentSize = [single, 2, 4, 8][flags >> 6];
  let at = 5 + (1 - single) + [0, 1, 2, 4][flags & 3] + contentSize;
  for (let last = 0; last === 0;) {
    const header = data[at] | data[at + 1] << 8 | data[at + 2] << 16;
    const repeats = (header >> 1 & 3) === 1;
    at += 3 + (repeats ? 1 : header >> 3);
    last = header & 1;
  }
  const checksum = flags >> 2 & 1;
  return at + 4 * checksum;
}

/** Returns the facts in the result of a read. */
function told(extent: EncodedData) {
  const { compression, byteLength, unencodedLength, unencodedOffset } = extent;
  return [compression, byteLength, unencodedLength, unencodedOffset];
}

/** Compresses bytes, and returns options of a write of them. */
function packed(plain: Uint8Array) {
  const data: Uint8Array = deflateSync(plain);
  const compression: Compression = "zlib";
  return { data, compression, unencodedLength: plain.length };
}

/** Reads a file, or the rest of it, extent by extent. */
async function extents(
  disk: Btrfs,
  fd: number,
  offset = 0,
): Promise<EncodedData[]> {
  const found: EncodedData[] = [];
  for (;;) {
    const extent = await disk.cmd(encodedRead(fd, { offset }));
    if (extent.byteLength === 0) return found;
    found.push(extent);
    offset += extent.byteLength;
  }
}

/** Compares long arrays quickly, and without printing them. */
function assertSame(actual: Uint8Array, expected: Uint8Array): void {
  assertEquals(actual.length, expected.length);
  assertEquals(Buffer.compare(actual, expected), 0, "the bytes differ");
}

/** Asserts that a command fails, on a ring or on one of a {@linkcode Btrfs}. */
async function refused(
  where: Ring | Btrfs,
  command: Command<unknown>,
  code: string,
  message: string,
): Promise<void> {
  const error = await assertRefused(where.cmd(command), code, message);
  assertEquals(error.op, command.name);
}

// ---- Without a kernel ------------------------------------------------------------

/** Returns the place of each address of a command, and what it points at. */
function addresses({ operands }: Command<unknown>) {
  return operands.map(({ inside, at, byteLength, reads, writes }) =>
    [inside, at, byteLength, reads, writes] as const
  );
}

Deno.test("encodedRead makes the expected bytes", () => {
  const data = new Uint8Array(0x0304);
  const offset = 0x71f2_f3f4_f5f6_f7f8n;
  const command = encodedRead(0x0102, { offset, data });
  assertEquals([...sqeBytes(command)], [
    ...[0x2e, 0, 0, 0], // opcode: IORING_OP_URING_CMD, flags, ioprio
    ...[0x02, 0x01, 0, 0], // fd
    ...[0x40, 0x94, 0x80, 0x80], // cmd_op: BTRFS_IOC_ENCODED_READ
    ...[0, 0, 0, 0], // __pad1
    ...[0, 0, 0, 0, 0, 0, 0, 0], // addr: the ring writes it
    ...[0, 0, 0, 0], // len
    ...[0, 0, 0, 0], // uring_cmd_flags
    ...new Array(32).fill(0), // user_data and the rest
  ]);
  assertEquals([...command.operands[0].bytes!], [
    ...[0, 0, 0, 0, 0, 0, 0, 0], // iov: the ring writes it
    ...[9, 0, 0, 0, 0, 0, 0, 0], // iovcnt
    ...[0xf8, 0xf7, 0xf6, 0xf5, 0xf4, 0xf3, 0xf2, 0x71], // offset
    ...[0, 0, 0, 0, 0, 0, 0, 0], // flags
    // From here on the kernel writes:
    ...new Array(24).fill(0), // len, unencoded_len, unencoded_offset
    ...[0xff, 0xff, 0xff, 0xff], // compression: no valid one
    ...new Array(68).fill(0), // encryption, reserved
  ]);
  assertEquals([...command.operands[1].bytes!], [
    ...new Array(8 * 16).fill(0), // Eight empty iovecs.
    ...[0, 0, 0, 0, 0, 0, 0, 0], // iov_base: the ring writes it
    ...[0x04, 0x03, 0, 0, 0, 0, 0, 0], // iov_len
  ]);
  assertEquals(addresses(command), [
    [-1, ADDR, 128, true, false], // struct btrfs_ioctl_encoded_io_args
    [0, 0, 9 * 16, true, false], // struct iovec
    [1, 8 * 16, 0x0304, false, true], // data
  ]);
  const scratch = encodedRead(0x0102, { offset: 0 });
  // Of the data, as many bytes are copied back as were read.
  for (const { operands } of [command, scratch]) {
    assertEquals(operands.map(({ counted }) => counted), [false, false, true]);
  }
  assertEquals(addresses(scratch)[2], [1, 8 * 16, EXTENT, false, true]);
  assertEquals(scratch.operands[1].bytes![8 * 16 + 10], 2); // 0x20000
});

Deno.test("encodedWrite makes the expected bytes", () => {
  const command = encodedWrite(new FixedFile(0x0102), {
    offset: 0x1f_f2f3_f4f5_f6f7,
    data: new Uint8Array(0x0304),
    compression: "lzo64k",
    unencodedLength: 0x01_a2a3,
    unencodedOffset: 0xb2b3,
    byteLength: 0x82c3,
  });
  assertEquals([...sqeBytes(command)], [
    ...[0x2e, 1, 0, 0], // opcode, flags: IOSQE_FIXED_FILE, ioprio
    ...[0x02, 0x01, 0, 0], // fd: the place in the table
    ...[0x40, 0x94, 0x80, 0x40], // cmd_op: BTRFS_IOC_ENCODED_WRITE
    ...[0, 0, 0, 0], // __pad1
    ...new Array(48).fill(0), // addr, which the ring writes, and the rest
  ]);
  assertEquals([...command.operands[0].bytes!], [
    ...[0, 0, 0, 0, 0, 0, 0, 0], // iov: the ring writes it
    ...[9, 0, 0, 0, 0, 0, 0, 0], // iovcnt
    ...[0xf7, 0xf6, 0xf5, 0xf4, 0xf3, 0xf2, 0x1f, 0], // offset
    ...[0, 0, 0, 0, 0, 0, 0, 0], // flags
    ...[0xc3, 0x82, 0, 0, 0, 0, 0, 0], // len
    ...[0xa3, 0xa2, 0x01, 0, 0, 0, 0, 0], // unencoded_len
    ...[0xb3, 0xb2, 0, 0, 0, 0, 0, 0], // unencoded_offset
    ...[7, 0, 0, 0], // compression: BTRFS_ENCODED_IO_COMPRESSION_LZO_64K
    ...[0, 0, 0, 0], // encryption: BTRFS_ENCODED_IO_ENCRYPTION_NONE
    ...new Array(64).fill(0), // reserved
  ]);
  assertEquals(addresses(command), [
    [-1, ADDR, 128, true, false], // struct btrfs_ioctl_encoded_io_args
    [0, 0, 9 * 16, true, false], // struct iovec
    [1, 8 * 16, 0x0304, true, false], // data
  ]);
});

Deno.test("each compression has its number in the kernel's header", () => {
  const options = { offset: 0, data: new Uint8Array(1), unencodedLength: 2 };
  let compared = 0;
  for (const [name, number] of Object.entries(uapi)) {
    const form = /^BTRFS_ENCODED_IO_COMPRESSION_(\w+)$/.exec(name)?.[1];
    if (form === undefined || form === "NONE") continue;
    const compression = form.toLowerCase().replace("_", "") as Compression;
    const [{ bytes }] = encodedWrite(0, { ...options, compression }).operands;
    const args = new DataView(bytes!.buffer);
    const { compression: field } = uapi.btrfs_ioctl_encoded_io_args;
    assertEquals(field.get(args, 0), number, name);
    compared++;
  }
  assertEquals(compared, 7);
});

/** Decodes a read whose arguments have one byte written by the kernel. */
function answer(byte: number, value: number, data?: Uint8Array): EncodedData {
  const { decode } = encodedRead(5, { offset: 0, data });
  const args = new Uint8Array(128);
  args.set([0xc3, 0x82, 0, 0, 0, 0, 0, 0], 32); // len
  args.set([0xa3, 0xa2, 0x01, 0, 0, 0, 0, 0], 40); // unencoded_len
  args.set([0xb3, 0xb2, 0, 0, 0, 0, 0, 0], 48); // unencoded_offset
  args[byte] = value;
  const memory = [args, new Uint8Array(), data ?? Uint8Array.of(1, 2, 3, 4)];
  return decode!(new Completion(3, 0, memory));
}

Deno.test("the answer of a read is decoded", () => {
  const names = ["none", "zlib", "zstd"] as const;
  const lzo = ["lzo4k", "lzo8k", "lzo16k", "lzo32k", "lzo64k"] as const;
  for (const [number, compression] of [...names, ...lzo].entries()) {
    assertEquals(answer(56, number), {
      data: Uint8Array.of(1, 2, 3),
      compression,
      byteLength: 0x82c3,
      unencodedLength: 0x01_a2a3,
      unencodedOffset: 0xb2b3,
    });
  }
  const data = Uint8Array.of(5, 6, 7, 8, 9);
  const extent = answer(56, 0, data);
  assertEquals(extent.data, Uint8Array.of(5, 6, 7));
  assert(extent.data.buffer === data.buffer, "a copy");
});

Deno.test("a btrfs whose device is gone has errors that say so", () => {
  const { advice } = encodedRead(5, { offset: 0 });
  for (const errno of [EIO, ENODEV, ENXIO]) {
    assertStringIncludes(advice(errno)!, "is gone");
  }
  assertStringIncludes(advice(EROFS)!, "since its device failed");
});

Deno.test("an encoding of a later kernel is an error", () => {
  const message = "the encoding of the extent is not known here: compression";
  for (const [byte, value] of [[56, 8], [59, 1], [60, 1], [64, 1], [127, 1]]) {
    assertThrows(() => answer(byte, value), Error, message);
  }
});

Deno.test("a kernel that takes the iovecs for 32-bit ones finds no bytes", () => {
  const { operands: [, { bytes }] } = encodedRead(5, { offset: 0 });
  const iovecs = bytes!.slice();
  iovecs.fill(0xa5, 8 * 16, 8 * 16 + 8); // The address, as the ring writes it.
  const compat = new Uint32Array(iovecs.buffer, 0, 9 * 2);
  assertEquals([...compat], new Array(9 * 2).fill(0));
});

Deno.test("a command that the kernel did nothing for fails with EAGAIN", () => {
  const read = encodedRead(5, { offset: 0 });
  const memory = [read.operands[0].bytes!, new Uint8Array(), new Uint8Array()];
  const write = encodedWrite(6, { offset: 0, ...packed(text(SECTOR, 50)) });
  for (const command of [read, write]) {
    const completion = new Completion(0, 0, memory);
    const error = assertThrows(() => command.decode!(completion), UringError);
    const { code, op, fd } = error;
    assertEquals([code, op, fd], ["EAGAIN", command.name, command.fd]);
    assertStringIncludes(error.message, FLAW);
  }
});

Deno.test("an invalid read is refused, and the message names the field", () => {
  const read = (options: unknown) => () =>
    encodedRead(5, options as EncodedReadOptions);
  for (const offset of [-1, -1n, 0.5, NaN, 2 ** 53, 2n ** 63n, 2n ** 64n]) {
    assertThrows(read({ offset }), RangeError, "offset");
  }
  for (const offset of ["0", null, undefined, {}]) {
    assertThrows(read({ offset }), TypeError, "offset");
  }
  const gone = new Uint8Array(8);
  gone.buffer.transfer();
  for (const data of ["data", null, 4096, [], new ArrayBuffer(8), gone]) {
    assertThrows(read({ offset: 0, data }), TypeError, "data");
  }
  const data = new Uint8Array();
  assertThrows(read({ offset: 0, data }), RangeError, "data must have room");
  assertThrows(() => encodedRead(-1, { offset: 0 }), RangeError, "fd");
});

Deno.test("an invalid write is refused, and the message names the field", () => {
  const good = {
    offset: 0,
    data: new Uint8Array(8191),
    compression: "zlib" as Compression,
    unencodedLength: 8192,
  };
  const write = (wrong: unknown) => () =>
    encodedWrite(5, { ...good, ...wrong as EncodedWriteOptions });
  assertEquals(write({})().operands.length, 3);
  const numbers = (...more: number[]) => [-1, 0.5, NaN, Infinity, ...more];
  for (const offset of [...numbers(2 ** 53), 2n ** 63n - 8192n, -1n]) {
    assertThrows(write({ offset }), RangeError, "offset");
  }
  for (const unencodedLength of numbers(0, 1, EXTENT + 1)) {
    assertThrows(write({ unencodedLength }), RangeError, "unencodedLength");
  }
  for (const unencodedOffset of numbers(8192)) {
    assertThrows(write({ unencodedOffset }), RangeError, "unencodedOffset");
  }
  for (const byteLength of numbers(0, 8193)) {
    assertThrows(write({ byteLength }), RangeError, "byteLength");
  }
  const beyond = { unencodedOffset: 4096, byteLength: 4097 };
  assertThrows(write(beyond), RangeError, "byteLength");
  for (const length of [0, 8192, EXTENT]) {
    const data = new Uint8Array(length);
    assertThrows(write({ data }), RangeError, "length of data");
  }
  for (const wrong of ["offset", "unencodedLength", "data"]) {
    assertThrows(write({ [wrong]: "1" }), TypeError, wrong);
    assertThrows(write({ [wrong]: undefined }), TypeError, wrong);
  }
  for (const compression of ["lzo", "gzip", "", 1, null, undefined, {}]) {
    assertThrows(write({ compression }), TypeError, "must be one of zlib,zstd");
  }
  const plain = { compression: "none" };
  assertThrows(write(plain), TypeError, "write() takes other data");
});

Deno.test("a file that is not on btrfs is refused, with the reason", async () => {
  await using ring = Ring.open();
  using ends = pipe();
  using folder = new Fd(open("/proc"));
  using file = new Fd(open("/proc/self/comm", op.O_RDWR));
  const message = "The file is not a regular file on btrfs, or the kernel is";
  for (const fd of [ends.left, folder.fd, file.fd]) {
    const read = encodedRead(fd, { offset: 0 });
    await refused(ring, read, "EOPNOTSUPP", message);
  }
  const options = { offset: 1, ...packed(text(8 * KiB, 1)) };
  const write = (fd: number) => encodedWrite(fd, options);
  for (const fd of [ends.right, file.fd]) {
    await refused(ring, write(fd), "EOPNOTSUPP", message);
  }
  const { submitted } = ring.stats();
  const reading = "is open for reading only";
  for (const fd of [ends.left, folder.fd]) {
    await assertRejects(() => ring.cmd(write(fd)), TypeError, reading);
  }
  assertEquals(ring.stats().submitted, submitted);
  file.close();
  const closed = "The descriptor is not open";
  await refused(ring, encodedRead(file.fd, { offset: 0 }), "EBADF", closed);
  await refused(ring, write(file.fd), "EBADF", closed);
});

testUnless(
  noBtrfs || (noReads === "" ? "kernel older than 6.13" : ""),
  "a kernel without commands of btrfs says so",
  async () => {
    await using disk = await Btrfs.make();
    const fd = await disk.file("file", { data: text(8 * KiB, 1) });
    const message = "the kernel is older than 6.13";
    for (
      const command of [
        encodedRead(fd, { offset: 0 }),
        encodedWrite(fd, { offset: 0, ...packed(text(SECTOR, 2)) }),
      ]
    ) {
      await refused(disk, command, "EOPNOTSUPP", message);
    }
    assertSame(await disk.read("file"), text(8 * KiB, 1));
  },
);

// ---- Reading ---------------------------------------------------------------------

for (const compression of ["zlib", "zstd"] as const) {
  testRead(
    `a file of ${compression} is read in its stored form`,
    async (disk) => {
      const data = text(2 * EXTENT + 12_345, 1);
      // The file is not on disk yet: the command flushes it first.
      const fd = await disk.file("file", { compression, data });
      const found = await extents(disk, fd);
      assertEquals(found.map(told), [
        [compression, EXTENT, EXTENT, 0],
        [compression, EXTENT, EXTENT, 0],
        [compression, 12_345, 4 * SECTOR, 0],
      ]);
      for (const { data, byteLength } of found) {
        assertEquals(data.length % SECTOR, 0);
        assertLess(data.length, byteLength);
      }
      assertSame(Buffer.concat(found.map(decoded)), data);
    },
  );

  testRead(
    `a read inside an extent of ${compression} returns all of it`,
    async (disk) => {
      const data = text(2 * EXTENT, 2);
      const fd = await disk.file("file", { compression, data });
      const whole = await disk.cmd(encodedRead(fd, { offset: EXTENT }));
      for (const inside of [1, SECTOR, 70_001, EXTENT - 1]) {
        for (const offset of [EXTENT + inside, BigInt(EXTENT + inside)]) {
          const extent = await disk.cmd(encodedRead(fd, { offset }));
          assertSame(extent.data, whole.data);
          const rest = EXTENT - inside;
          assertEquals(told(extent), [compression, rest, EXTENT, inside]);
          assertSame(decoded(extent), data.subarray(EXTENT + inside));
        }
      }
    },
  );
}

testRead("data that is not compressed is read as it is", async (disk) => {
  const data = text(2 * EXTENT + 777, 3);
  const fd = await disk.file("file", { data });
  const first = await disk.cmd(encodedRead(fd, { offset: 0 }));
  assertEquals(told(first), ["none", EXTENT, EXTENT, 0]);
  assertSame(first.data, data.subarray(0, EXTENT));
  for (const offset of [SECTOR, 5_001, EXTENT + 1]) {
    const found = await extents(disk, fd, offset);
    assertSame(Buffer.concat(found.map(decoded)), data.subarray(offset));
  }
  // Of these bytes, a read returns as many as fit.
  const some = await disk.cmd(
    encodedRead(fd, { offset: 5_001, data: new Uint8Array(1_001) }),
  );
  assertEquals(told(some), ["none", 1_001, 1_001, 0]);
  assertSame(some.data, data.subarray(5_001, 6_002));
});

testRead("data that does not compress is read as it is", async (disk) => {
  const data = noise(EXTENT + 1, 4);
  const fd = await disk.file("file", { compression: "zstd", data });
  const found = await extents(disk, fd);
  assertEquals(found[0].compression, "none");
  assertSame(Buffer.concat(found.map(decoded)), data);
});

testRead("a hole is read as zeros, and the end as no bytes", async (disk) => {
  const data = text(EXTENT, 5);
  const fd = await disk.file("file", { compression: "zlib", data });
  const end = EXTENT + 10 * EXTENT + 5;
  await Deno.truncate(`${disk.path}/file`, end);
  const hole = await disk.cmd(encodedRead(fd, { offset: EXTENT }));
  assertSame(hole.data, new Uint8Array(EXTENT));
  assertEquals(told(hole), ["none", EXTENT, EXTENT, 0]);
  const room = new Uint8Array(2 * 10 * EXTENT).fill(0xa5);
  const all = await disk.cmd(encodedRead(fd, { offset: EXTENT, data: room }));
  assertSame(all.data, new Uint8Array(end - EXTENT));
  assertEquals(all.byteLength, end - EXTENT);
  assertEquals(room[end - EXTENT], 0xa5);
  for (const offset of [end, end + 1, 2n ** 63n - 1n]) {
    assertEquals(await disk.cmd(encodedRead(fd, { offset })), {
      data: new Uint8Array(),
      compression: "none",
      byteLength: 0,
      unencodedLength: 0,
      unencodedOffset: 0,
    });
  }
  const empty = await disk.file("empty");
  assertEquals(await extents(disk, empty), []);
});

testRead("a small file is read from its metadata", async (disk) => {
  const plain = text(100, 6);
  const fd = await disk.file("plain", { data: plain });
  const one = await disk.cmd(encodedRead(fd, { offset: 0 }));
  assertEquals(told(one), ["none", 100, 100, 0]);
  assertSame(one.data, plain);
  const rest = await disk.cmd(encodedRead(fd, { offset: 60 }));
  assertSame(decoded(rest), plain.subarray(60));

  const data = text(2_500, 7);
  const zlib = await disk.file("zlib", { compression: "zlib", data });
  const two = await disk.cmd(encodedRead(zlib, { offset: 60 }));
  assertEquals(told(two), ["zlib", 2_440, 2_500, 60]);
  // It has no sector of its own, so zeros fill none.
  assertLess(two.data.length, 1_500);
  assertSame(decoded(two), data.subarray(60));
  const tooSmall = { offset: 0, data: new Uint8Array(two.data.length - 1) };
  const message = "128 KiB are enough";
  await refused(disk, encodedRead(zlib, tooSmall), "ENOBUFS", message);
});

testRead("memory that is too small for an extent is ENOBUFS", async (disk) => {
  const { ring } = disk;
  const data = text(EXTENT, 8);
  const fd = await disk.file("file", { compression: "zstd", data });
  const extent = await disk.cmd(encodedRead(fd, { offset: 0 }));
  const { length } = extent.data;
  for (const room of [1, SECTOR, length - 1]) {
    for (const memory of [new Uint8Array(room), ring.alloc(room)]) {
      memory.fill(0xa5);
      const command = encodedRead(fd, { offset: 0, data: memory });
      const message = "data is smaller than the compressed extent. 128 KiB";
      await refused(disk, command, "ENOBUFS", message);
      assert(memory.every((byte) => byte === 0xa5));
    }
  }
  for (const memory of [new Uint8Array(length), ring.alloc(length)]) {
    const command = encodedRead(fd, { offset: 0, data: memory });
    assertEquals(await disk.cmd(command), extent);
  }
});

testRead(
  "a read fills any kind of memory, and no byte outside the result",
  async (disk) => {
    const { ring } = disk;
    const data = text(EXTENT, 9);
    const fd = await disk.file("file", { compression: "zlib", data });
    const expected = await disk.cmd(encodedRead(fd, { offset: 0 }));
    const { length } = expected.data;
    for (
      const memory of [
        ring.alloc(EXTENT),
        ring.alloc(2 * EXTENT).subarray(1_001, 1_001 + EXTENT),
        new Uint8Array(EXTENT),
        new Uint8Array(2 * EXTENT).subarray(1_001, 1_001 + EXTENT),
        new Uint8Array(new ArrayBuffer(EXTENT, { maxByteLength: 2 * EXTENT })),
        Buffer.alloc(EXTENT),
      ]
    ) {
      const all = new Uint8Array(memory.buffer).fill(0xa5);
      const command = encodedRead(fd, { offset: 0, data: memory });
      for (const extent of [await disk.cmd(command), ring.cmdSync(command)]) {
        assertSame(extent.data, expected.data);
        assert(extent.data.buffer === memory.buffer, "a copy");
        assertEquals(extent.data.byteOffset, memory.byteOffset);
        assertEquals(extent.byteLength, EXTENT);
        const before = all.subarray(0, memory.byteOffset);
        const after = all.subarray(memory.byteOffset + length);
        assert(before.every((byte) => byte === 0xa5));
        assert(after.every((byte) => byte === 0xa5));
      }
    }
  },
);

testRead("a command that runs again reads the changed file", async (disk) => {
  const { ring, path } = disk;
  const first = text(EXTENT, 10);
  const fd = await disk.file("file", { compression: "zlib", data: first });
  const command = encodedRead(fd, { offset: 1 });
  const one = await disk.cmd(command);
  assertSame(decoded(one), first.subarray(1));
  const second = noise(EXTENT + SECTOR, 11);
  await Deno.writeFile(`${path}/file`, second);
  const two = await disk.cmd(command);
  assertEquals(told(two), ["none", EXTENT - 1, EXTENT - 1, 0]);
  assertSame(decoded(two), second.subarray(1, EXTENT));
  await Deno.writeFile(`${path}/file`, text(8 * KiB, 12));
  const three = await disk.cmd(command);
  assertSame(decoded(three), text(8 * KiB, 12).subarray(1));
  // The caller owns an earlier result: no later run writes to it.
  assertSame(decoded(one), first.subarray(1));
  // Commands in flight together have memory of their own.
  const many = await Promise.all(
    Array.from({ length: 30 }, () => disk.cmd(command)),
  );
  for (const extent of many) assertEquals(extent, three);
  assertEquals(ring.cmdSync(command), three);
});

const RINGS: readonly RingOptions[] = [
  { entries: 8 },
  { deferTaskrun: true },
  { deferTaskrun: false },
  { sqpoll: true },
  { sqe128: true, cqe32: true },
];

for (const options of RINGS) {
  const name = `extents are read concurrently with ${JSON.stringify(options)}`;
  testRead(name, async (disk) => {
    const { ring } = disk;
    const count = 100;
    const data = text(count * EXTENT / 4, 13);
    const fd = await disk.file("file", { compression: "zstd", data });
    const offsets = Array.from({ length: count }, (_, i) => i * EXTENT / 4);
    const work = Promise.all(offsets.map((offset, i) => {
      const memory = [ring.alloc(EXTENT), new Uint8Array(EXTENT), undefined];
      return disk.cmd(encodedRead(fd, { offset, data: memory[i % 3] }));
    }));
    collect();
    await null;
    collect();
    assertGreater(ring.stats().inFlight, 0);
    for (const [i, extent] of (await work).entries()) {
      assertEquals(extent.compression, "zstd");
      assertEquals(extent.unencodedOffset, offsets[i] % EXTENT);
      const end = offsets[i] + extent.byteLength;
      assertSame(decoded(extent), data.subarray(offsets[i], end));
    }
  }, options);
}

// ---- Writing ---------------------------------------------------------------------

function copyOf(ring: Ring, bytes: Uint8Array): Uint8Array {
  const copy = ring.alloc(bytes.length);
  copy.set(bytes);
  return copy;
}

const PLAIN = text(EXTENT, 20);
/** Compressed with settings other than the kernel's. */
const OWN = [
  ["zlib", deflateSync(PLAIN, { level: 9, memLevel: 1 })],
  ["zstd", zstdCompressSync(PLAIN)],
] as const;

for (const [compression, data] of OWN) {
  testWrite(`${compression} of the caller is stored as it is`, async (disk) => {
    const { ring } = disk;
    const fd = await disk.file("file");
    const { length } = data;
    for (const memory of [data, copyOf(ring, data)]) {
      const write = encodedWrite(fd, {
        offset: 0,
        data: memory,
        compression,
        unencodedLength: EXTENT,
      });
      assertEquals(await disk.cmd(write), length);
      assertSame(await disk.read("file"), PLAIN);
      const extent = await disk.cmd(encodedRead(fd, { offset: 0 }));
      assertEquals(told(extent), [compression, EXTENT, EXTENT, 0]);
      assertSame(extent.data.subarray(0, length), data);
      // Zeros fill the last sector.
      const sectors = Math.ceil(length / SECTOR);
      assertEquals(extent.data.length, sectors * SECTOR);
      assert(extent.data.subarray(length).every((byte) => byte === 0));
    }
  });
}

for (const compression of ["zlib", "zstd", "lzo"]) {
  testWrite(
    `a file of ${compression} is copied in its stored form`,
    async (disk) => {
      const data = Buffer.concat([
        text(2 * EXTENT + SECTOR, 21),
        noise(EXTENT, 22),
        new Uint8Array(EXTENT),
        text(70_001, 23),
      ]);
      const from = await disk.file("from", { compression, data });
      const to = await disk.file("to");
      const found = await extents(disk, from);
      let offset = 0;
      for (const extent of found) {
        const write = extent.compression === "none"
          ? op.write(to, extent.data, { offset })
          : encodedWrite(to, { offset, ...extent });
        assertEquals(await disk.cmd(write), extent.data.length);
        offset += extent.byteLength;
      }
      const name = compression === "lzo" ? "lzo4k" : compression;
      const names = new Set(found.map((extent) => extent.compression));
      assertEquals([...names].sort(), [name, "none"].sort());
      assertSame(await disk.read("to"), data);
      assertEquals(await extents(disk, to), found);
    },
  );
}

testWrite("a part of the compressed bytes can be written", async (disk) => {
  const before = text(64 * KiB, 24);
  const fd = await disk.file("file", { data: before });
  const plain = text(64 * KiB, 25);
  const options = { ...packed(plain), unencodedOffset: 8 * KiB };
  const [offset, byteLength] = [16 * KiB, 12 * KiB];
  await disk.cmd(encodedWrite(fd, { ...options, offset, byteLength }));
  const part = plain.subarray(8 * KiB, 8 * KiB + byteLength);
  const expected = before.slice();
  expected.set(part, offset);
  assertSame(await disk.read("file"), expected);
  const extent = await disk.cmd(encodedRead(fd, { offset }));
  assertEquals(told(extent), ["zlib", byteLength, 64 * KiB, 8 * KiB]);
  assertSame(decoded(extent), part);
  // Without byteLength, all the rest is written. A hole is left before it.
  const far = 1024 * KiB;
  await disk.cmd(encodedWrite(fd, { ...options, offset: far }));
  const file = await disk.read("file");
  assertSame(file.subarray(far), plain.subarray(8 * KiB));
  assert(file.subarray(64 * KiB, far).every((byte) => byte === 0));
});

testWrite(
  "only the last sector of a file may be written in part",
  async (disk) => {
    const fd = await disk.file("file");
    const plain = text(100_001, 26);
    const whole = { offset: 0, ...packed(plain) };
    await disk.cmd(encodedWrite(fd, whole));
    assertSame(await disk.read("file"), plain);
    const part = encodedWrite(fd, { ...whole, byteLength: 5_000 });
    await refused(disk, part, "EINVAL", "lies before the end of the file");
    assertSame(await disk.read("file"), plain);
  },
);

testWrite(
  "data that is too short or too long is padded or cut",
  async (disk) => {
    const plain = text(100_001, 27);
    const whole = { offset: 0, ...packed(plain) };
    const long = await disk.file("long");
    await disk.cmd(encodedWrite(long, { ...whole, unencodedLength: EXTENT }));
    const zeros = new Uint8Array(EXTENT - plain.length);
    assertSame(await disk.read("long"), Buffer.concat([plain, zeros]));
    const short = await disk.file("short");
    await disk.cmd(encodedWrite(short, { ...whole, unencodedLength: 90_000 }));
    assertSame(await disk.read("short"), plain.subarray(0, 90_000));
  },
);

testWrite(
  "with O_APPEND, a write goes to the end of the file",
  async (disk) => {
    const before = text(SECTOR, 28);
    await disk.file("file", { data: before });
    const fd = disk.open("file", op.O_WRONLY | op.O_APPEND);
    await disk.cmd(encodedWrite(fd, { offset: 0, ...packed(PLAIN) }));
    assertSame(await disk.read("file"), Buffer.concat([before, PLAIN]));
  },
);

testWrite(
  "data that cannot be decompressed is stored, and reads as EIO",
  async (disk) => {
    const fd = await disk.file("file");
    const wrong = { ...packed(PLAIN), data: noise(SECTOR, 29) };
    await disk.cmd(encodedWrite(fd, { offset: 0, ...wrong }));
    const read = op.read(fd, new Uint8Array(SECTOR), { offset: 0 });
    await assertRefused(disk.cmd(read), "EIO");
    const extent = await disk.cmd(encodedRead(fd, { offset: 0 }));
    assertSame(extent.data, wrong.data);
  },
);

testWrite("extents are written concurrently, and again", async (disk) => {
  const { ring } = disk;
  const count = 100;
  const plain = text(count * 2 * SECTOR, 30);
  const fd = await disk.file("file");
  const commands = Array.from({ length: count }, (_, i) => {
    const offset = i * 2 * SECTOR;
    const options = packed(plain.subarray(offset, offset + 2 * SECTOR));
    if (i % 2 === 0) options.data = copyOf(ring, options.data);
    return encodedWrite(fd, { offset, ...options });
  });
  const lengths = commands.map(({ operands }) => operands[2].byteLength);
  for (let round = 0; round < 2; round++) {
    const work = Promise.all(commands.map((command) => disk.cmd(command)));
    collect();
    await null;
    collect();
    assertGreater(ring.stats().inFlight, 0);
    assertEquals(await work, lengths);
    assertSame(await disk.read("file"), plain);
  }
  assertEquals((await extents(disk, fd)).length, count);
});

testWrite(
  "a write that does not fit is refused before it is queued",
  async (disk) => {
    const { ring } = disk;
    const before = text(EXTENT, 31);
    const fd = await disk.file("file", { data: before });
    const readOnly = disk.open("file", op.O_RDONLY);
    const good = { offset: 0, ...packed(text(64 * KiB, 32)) };
    const { submitted } = ring.stats();
    const wrong = async (
      command: Command<number>,
      kind: typeof TypeError | typeof RangeError,
      message: string,
    ) => {
      await assertRejects(() => disk.cmd(command), kind, message);
      assertThrows(() => ring.cmdSync(command), kind, message);
    };
    const reading = `fd ${readOnly} is open for reading only`;
    await wrong(encodedWrite(readOnly, good), TypeError, reading);
    for (const offset of [1, SECTOR - 1, SECTOR * 3 / 2, 2n ** 62n + 1n]) {
      const message = "offset must be a multiple of the sector size of 4096";
      await wrong(encodedWrite(fd, { ...good, offset }), RangeError, message);
    }
    const inside = { ...good, unencodedOffset: 512 };
    const message = "unencodedOffset must be a multiple of the sector size";
    await wrong(encodedWrite(fd, inside), RangeError, message);
    for (const compression of ["lzo8k", "lzo64k"] as const) {
      const message = "must be lzo4k for sectors of 4096 bytes, not lzo";
      const command = encodedWrite(fd, { ...good, compression });
      await wrong(command, RangeError, message);
    }
    assertEquals(ring.stats().submitted, submitted);
    assertSame(await disk.read("file"), before);
    assertEquals(await disk.cmd(encodedWrite(fd, good)), good.data.length);
  },
);

testWrite(
  "a registered file for reading is refused, and the kernel's refusals are explained",
  async (disk) => {
    const { ring } = disk;
    const before = text(EXTENT, 33);
    const fd = await disk.file("file", { data: before });
    const readOnly = disk.open("file", op.O_RDONLY);
    const [file, other] = ring.registerFiles([fd, readOnly]);
    const plain = text(64 * KiB, 34);
    const good: EncodedWriteOptions = { offset: 0, ...packed(plain) };
    const reading = "the registered file is open for reading only: open the";
    const write = encodedWrite(other, good);
    await assertRejects(() => disk.cmd(write), TypeError, reading);
    for (
      const wrong of [
        { ...good, offset: 1 },
        { ...good, unencodedOffset: 512 },
        { ...good, compression: "lzo64k" as const },
      ]
    ) {
      const message = "another part does not fit the sector size";
      await refused(disk, encodedWrite(file, wrong), "EINVAL", message);
    }
    assertSame(await disk.read("file"), before);
    assertEquals(await disk.cmd(encodedWrite(file, good)), good.data.length);
    const extent = await disk.cmd(encodedRead(other, { offset: 0 }));
    assertSame(decoded(extent), plain);
    // The files belong to this ring, so no other ring can retry the commands.
  },
  { sqpoll: true },
);

testWrite("a file without checksums takes no encoded write", async (disk) => {
  await Deno.writeFile(`${disk.path}/file`, new Uint8Array());
  await tool("chattr", "+C", `${disk.path}/file`);
  const fd = disk.open("file");
  const write = encodedWrite(fd, { offset: 0, ...packed(PLAIN) });
  await refused(disk, write, "EINVAL", "has no checksums (chattr +C");
});

// ---- Privilege -------------------------------------------------------------------

testRead(
  "without CAP_SYS_ADMIN, a command fails with EPERM and the reason",
  async (disk) => {
    await disk.file("file", { compression: "zlib", data: text(EXTENT, 40) });
    const source = `
    import { Ring } from "@uring/mod.ts";
    import { encodedRead, encodedWrite } from "@uring/cmd/btrfs/mod.ts";
    import { O_RDWR, openat } from "@uring/cmd/op.ts";
    await using ring = Ring.open();
    const path = "${disk.path}/file";
    const fd = await ring.cmd(openat(path, { flags: O_RDWR }));
    const write = { data: Uint8Array.of(1), compression: "zlib" };
    for (const command of [
      encodedRead(fd, { offset: 0 }),
      encodedWrite(fd, { offset: 0, unencodedLength: 4096, ...write }),
    ]) {
      const error = await ring.cmd(command).catch((error) => error);
      console.log(error.code, error.message);
    }
  `;
    const { stdout, stderr } = await runScript(source, ["--allow-ffi"], [
      "setpriv",
      "--bounding-set=-sys_admin",
      "--inh-caps=-sys_admin",
    ]);
    const [read, write] = stdout.split("\n");
    assertStringIncludes(read, "EPERM URING_CMD ENCODED_READ", stderr);
    assertStringIncludes(read, "EPERM (1). The command needs CAP_SYS_ADMIN");
    if (noWrites === "") {
      assertStringIncludes(write, "The command needs CAP_SYS_ADMIN");
    }
    assertSame(await disk.read("file"), text(EXTENT, 40));
  },
);
