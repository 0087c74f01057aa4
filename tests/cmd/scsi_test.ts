/** SCSI commands, on the disk in memory of the kernel's scsi_debug. */

import {
  assert,
  assertEquals,
  assertGreater,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { equals } from "@std/bytes";
import {
  type Command,
  Completion,
  FixedBuffer,
  FixedFile,
  Ring,
  UringError,
} from "../../mod.ts";
import * as scsi from "../../cmd/scsi/mod.ts";
import { ScsiError } from "../../cmd/scsi/mod.ts";
import { onlyReads } from "../../cmd/scsi/names.ts";
import { blockDevice, discard, openDisk } from "../../cmd/block.ts";
import * as op from "../../cmd/op.ts";
import { alloc } from "../../ring/alloc.ts";
import { E } from "../../sys/uapi/errno.ts";
import { open } from "../../sys/file.ts";
import { device, disk, list, node } from "../lab/scsi_disk.ts";
import { assertBoolean } from "../kit/booleans.ts";
import { textOf, utf8 } from "../kit/bytes.ts";
import { devNull, Fd, pipe, unixPair } from "../kit/fds.ts";
import { assertRefused } from "../kit/outcome.ts";
import { isRoot } from "../kit/process.ts";
import { sqeBytes } from "../kit/commands.ts";
import { runDeno } from "../kit/run.ts";
import { testUnless } from "../kit/skip.ts";
import { turn, until } from "../kit/wait.ts";
import { tool } from "../lab/loop_device.ts";

const { EINVAL, EIO, ENODEV, ENXIO, EPERM } = E;

/** The options of a ring for SCSI commands. */
const WIDE = { sqe128: true, cqe32: true };
const BLOCK = 512;

/** Returns the bytes of the CDB, the first operand of a command. */
function cdbOf(command: Command<unknown>): number[] {
  return [...command.operands[0].bytes!];
}

// ---- Submissions -----------------------------------------------------------------

Deno.test("a SCSI read makes the expected SQE", () => {
  const command = scsi.read(0x0102, new Uint8Array(0x1200), {
    lba: 7,
    blockSize: BLOCK,
    timeoutMs: 0x01020304,
  });
  assertEquals([...sqeBytes(command, true)], [
    ...[0x2e, 0, 0, 0], // opcode: IORING_OP_URING_CMD, flags, ioprio
    ...[0x02, 0x01, 0, 0], // fd
    ...[0, 0, 0, 0], // cmd_op, which bsg ignores
    ...[0, 0, 0, 0], // __pad1
    ...[0, 0, 0, 0, 0, 0, 0, 0], // addr
    ...[0, 0, 0, 0], // len
    ...[0, 0, 0, 0], // uring_cmd_flags
    ...[0, 0, 0, 0, 0, 0, 0, 0], // user_data
    ...[0, 0, 0, 0], // buf_index, personality
    ...[0, 0, 0, 0], // file_index
    ...[0, 0, 0, 0, 0, 0, 0, 0], // request: the address of the CDB
    ...[10, 0, 0, 0], // request_len
    ...[0, 0, 0, 0], // protocol: BSG_PROTOCOL_SCSI
    ...[0, 0, 0, 0], // subprotocol: BSG_SUB_PROTOCOL_SCSI_CMD
    ...[96, 0, 0, 0], // max_response_len
    ...[0, 0, 0, 0, 0, 0, 0, 0], // response: the address for sense data
    ...[0, 0, 0, 0, 0, 0, 0, 0], // dout_xferp
    ...[0, 0, 0, 0], // dout_xfer_len
    ...[0, 0, 0, 0], // dout_iovec_count
    ...[0, 0, 0, 0, 0, 0, 0, 0], // din_xferp
    ...[0x00, 0x12, 0, 0], // din_xfer_len
    ...[0, 0, 0, 0], // din_iovec_count
    ...[0x04, 0x03, 0x02, 0x01], // timeout_ms
    ...[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], // reserved
  ]);
  const { sqe128, cqe32, multishot } = command;
  assertEquals([sqe128, cqe32, multishot], [true, true, false]);
});

Deno.test("a SCSI write from a registered buffer makes the expected SQE", () => {
  const bytes = alloc(8 * BLOCK);
  const command = scsi.write(new FixedFile(3), bytes.subarray(0, BLOCK), {
    lba: 7,
    blockSize: BLOCK,
    buffer: new FixedBuffer(0x0506, bytes),
  });
  assertEquals([...sqeBytes(command, true)], [
    ...[0x2e, 1, 0, 0], // opcode, flags: IOSQE_FIXED_FILE, ioprio
    ...[3, 0, 0, 0], // fd: the place in the table
    ...new Array(20).fill(0), // cmd_op, __pad1, addr, len
    ...[1, 0, 0, 0], // uring_cmd_flags: IORING_URING_CMD_FIXED
    ...[0, 0, 0, 0, 0, 0, 0, 0], // user_data
    ...[0x06, 0x05, 0, 0], // buf_index, personality
    ...[0, 0, 0, 0], // file_index
    ...[0, 0, 0, 0, 0, 0, 0, 0], // request
    ...[10, 0, 0, 0], // request_len
    ...[0, 0, 0, 0, 0, 0, 0, 0], // protocol, subprotocol
    ...[96, 0, 0, 0], // max_response_len
    ...new Array(16).fill(0), // response, dout_xferp
    ...[0x00, 0x02, 0, 0], // dout_xfer_len
    ...new Array(36).fill(0), // The rest.
  ]);
});

Deno.test("the addresses of a SCSI command go where the kernel reads them", () => {
  const data = new Uint8Array(BLOCK);
  const where = { lba: 0, blockSize: BLOCK };
  for (
    const [command, expected] of [
      [scsi.testUnitReady(5), [[48, 6], [72, 96]]],
      [scsi.read(5, data, where), [[48, 10], [72, 96], [96, BLOCK]]],
      [scsi.write(5, data, where), [[48, 10], [72, 96], [80, BLOCK]]],
    ] as const
  ) {
    assertEquals(
      command.operands.map(({ at, byteLength }) => [at, byteLength]),
      expected.map((pair) => [...pair]),
    );
    const words = new Int32Array(32);
    expected.forEach(([at], i) => {
      command.encodeAddress(words, 0, i, 0x1234_5678_9abc);
      const address = new DataView(words.buffer).getBigUint64(at, true);
      assertEquals(address, 0x1234_5678_9abcn);
    });
  }
  const [cdb, sense, into] = scsi.read(5, data, where).operands;
  assertEquals([cdb.reads, cdb.writes], [true, false]);
  assertEquals([sense.reads, sense.writes, sense.bytes], [false, true, null]);
  assertEquals([into.reads, into.writes], [false, true]);
  assertStrictEquals(into.bytes, data);
  const [, , from] = scsi.write(5, data, where).operands;
  assertEquals([from.reads, from.writes], [true, false]);
});

Deno.test("SCSI commands make the expected CDBs", () => {
  const data = new Uint8Array(2 * BLOCK);
  const where = { lba: 0x01020304, blockSize: BLOCK };
  const far = { lba: 0x0102_0304_0506_0708n, blockSize: BLOCK };
  for (
    const [command, name, cdb] of [
      [scsi.testUnitReady(5), "TEST UNIT READY", [0, 0, 0, 0, 0, 0]],
      [scsi.inquiry(5), "INQUIRY", [
        ...[0x12, 0, 0], // operation code, EVPD, page code
        ...[0, 36], // allocation length
        0, // control
      ]],
      [scsi.vpdPage(5, { page: 0x83, byteLength: 0x0102 }), "INQUIRY", [
        ...[0x12, 1, 0x83], // operation code, EVPD, page code
        ...[0x01, 0x02], // allocation length
        0, // control
      ]],
      [scsi.readCapacity(5), "READ CAPACITY(16)", [
        ...[0x9e, 0x10], // operation code, service action
        ...[0, 0, 0, 0, 0, 0, 0, 0], // obsolete
        ...[0, 0, 0, 32], // allocation length
        ...[0, 0], // obsolete, control
      ]],
      [scsi.readCapacity10(5), "READ CAPACITY(10)", [
        ...[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], // operation code, obsolete, control
      ]],
      [scsi.read(5, data, where), "READ(10)", [
        ...[0x28, 0], // operation code, flags
        ...[0x01, 0x02, 0x03, 0x04], // logical block address
        0, // group number
        ...[0, 2], // transfer length
        0, // control
      ]],
      [scsi.write(5, data, { ...where, forceUnitAccess: true }), "WRITE(10)", [
        ...[0x2a, 8], // operation code, flags: FUA
        ...[0x01, 0x02, 0x03, 0x04], // logical block address
        0, // group number
        ...[0, 2], // transfer length
        0, // control
      ]],
      [scsi.read(5, data, far), "READ(16)", [
        ...[0x88, 0], // operation code, flags
        ...[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08], // block address
        ...[0, 0, 0, 2], // transfer length
        ...[0, 0], // group number, control
      ]],
      [scsi.write(5, data, { ...where, cdbLength: 16 }), "WRITE(16)", [
        ...[0x8a, 0], // operation code, flags
        ...[0, 0, 0, 0, 0x01, 0x02, 0x03, 0x04], // logical block address
        ...[0, 0, 0, 2], // transfer length
        ...[0, 0], // group number, control
      ]],
      [scsi.synchronizeCache(5), "SYNCHRONIZE CACHE(10)", [
        ...[0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0], // operation code; all blocks
      ]],
      [scsi.unmap(5, [{ lba: 1, blocks: 1 }]), "UNMAP", [
        ...[0x42, 0, 0, 0, 0, 0, 0], // operation code, reserved, group number
        ...[0, 24], // parameter list length
        0, // control
      ]],
    ] as const
  ) {
    assertEquals(cdbOf(command), [...cdb], name);
    assertEquals(command.name, `SCSI ${name}`);
  }
});

Deno.test("a SCSI unmap makes the expected list of ranges", () => {
  const command = scsi.unmap(5, [
    { lba: 0x0102_0304_0506_0708n, blocks: 0xf1f2f3f4 },
    { lba: 9, blocks: 0 },
  ]);
  assertEquals([...command.operands[2].bytes!], [
    ...[0, 38], // unmap data length
    ...[0, 32], // block descriptor data length
    ...[0, 0, 0, 0], // reserved
    ...[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08], // block address
    ...[0xf1, 0xf2, 0xf3, 0xf4], // number of blocks
    ...[0, 0, 0, 0], // reserved
    ...[0, 0, 0, 0, 0, 0, 0, 9], // logical block address
    ...[0, 0, 0, 0], // number of blocks
    ...[0, 0, 0, 0], // reserved
  ]);
  const most = Array(4095).fill({ lba: 0, blocks: 1 });
  assertEquals(scsi.unmap(5, most).operands[2].byteLength, 8 + 16 * 4095);
});

Deno.test("a SCSI transfer takes the short CDB where it fits", () => {
  const length = (lba: number | bigint, blocks: number, blockSize = 1) =>
    cdbOf(scsi.read(5, alloc(blocks * blockSize), { lba, blockSize })).length;
  assertEquals(length(0, 1), 10);
  assertEquals(length(0xffff_ffff, 0xffff), 10);
  assertEquals(length(0xffff_ffffn, 0xffff), 10);
  assertEquals(length(0x1_0000_0000, 1), 16);
  assertEquals(length(0x1_0000_0000n, 1), 16);
  assertEquals(length(0, 0x1_0000), 16);
  assertEquals(length(2n ** 64n - 1n, 1), 16);
});

Deno.test("a SCSI command keeps a copy of its CDB", () => {
  const cdb = Uint8Array.of(0x00, 0, 0, 0, 0, 0);
  const command = scsi.scsi(5, { cdb });
  cdb[0] = 0x04; // FORMAT UNIT
  assertEquals(cdbOf(command), [0, 0, 0, 0, 0, 0]);
});

// ---- Arguments -------------------------------------------------------------------

Deno.test("invalid arguments of a SCSI command are refused by name", () => {
  const cdb = new Uint8Array(6);
  const data = new Uint8Array(BLOCK);
  const request = (request: unknown) => () =>
    scsi.scsi(5, request as scsi.ScsiRequest);
  for (const none of [undefined, null, [0, 0, 0, 0, 0, 0], "000000"]) {
    assertThrows(request({ cdb: none }), TypeError, "cdb must be a Uint8Array");
  }
  for (const length of [0, 5, 33]) {
    const cdb = new Uint8Array(length);
    assertThrows(request({ cdb }), RangeError, `from 6 to 32, not ${length}`);
  }
  const both = { cdb, dataIn: data, dataOut: data };
  assertThrows(request(both), TypeError, "dataIn or dataOut");
  for (const name of ["dataIn", "dataOut"]) {
    const bytes = `${name} must be a Uint8Array`;
    assertThrows(request({ cdb, [name]: "text" }), TypeError, bytes);
    const empty = new Uint8Array(0);
    assertThrows(request({ cdb, [name]: empty }), RangeError, `of ${name}`);
  }
  for (const timeoutMs of [0, -1, 0.5, NaN, 2 ** 31]) {
    assertThrows(request({ cdb, timeoutMs }), RangeError, "timeoutMs");
    assertThrows(() => scsi.inquiry(5, { timeoutMs }), RangeError, "timeoutMs");
  }
  const registered = new FixedBuffer(0, alloc(BLOCK));
  const without = { cdb, buffer: registered };
  assertThrows(request(without), TypeError, "buffer needs dataIn or dataOut");
  const outside = { ...without, dataIn: data };
  assertThrows(request(outside), RangeError, "inside the registered buffer");
  for (const fd of ["5", null, undefined, {}]) {
    const file = fd as number;
    assertThrows(() => scsi.inquiry(file), TypeError, "fd must be a number");
  }
});

Deno.test("forceUnitAccess of a SCSI transfer is a boolean", () => {
  const bytes = new Uint8Array(BLOCK);
  for (const make of [scsi.read, scsi.write]) {
    assertBoolean(
      "forceUnitAccess",
      (forceUnitAccess) =>
        make(5, bytes, { lba: 0, blockSize: BLOCK, forceUnitAccess }),
    );
  }
});

Deno.test("a SCSI transfer has whole blocks of the given size", () => {
  for (const command of [scsi.read, scsi.write]) {
    const make = (length: number, options: unknown) => () =>
      command(5, new Uint8Array(length), options as scsi.TransferOptions);
    for (const [length, blockSize] of [[511, 512], [513, 512], [512, 4096]]) {
      const message = "must be a multiple of the block size of " +
        `${blockSize} bytes, not ${length}`;
      assertThrows(make(length, { lba: 0, blockSize }), RangeError, message);
    }
    assertThrows(
      make(0, { lba: 0, blockSize: BLOCK }),
      RangeError,
      "length of",
    );
    for (const blockSize of [0, -512, 0.5, NaN, 2 ** 32]) {
      assertThrows(make(512, { lba: 0, blockSize }), RangeError, "blockSize");
    }
    assertThrows(make(512, { lba: 0 }), TypeError, "blockSize");
    for (const lba of [-1, 0.5, NaN, 2 ** 53, -1n, 2n ** 64n]) {
      assertThrows(make(512, { lba, blockSize: BLOCK }), RangeError, "lba");
    }
    assertThrows(make(512, { blockSize: BLOCK }), TypeError, "lba");
    for (const cdbLength of [0, 6, 12, 32]) {
      const options = { lba: 0, blockSize: BLOCK, cdbLength };
      assertThrows(
        make(512, options),
        RangeError,
        "cdbLength must be 10 or 16",
      );
    }
    const short = { lba: 2 ** 32, blockSize: BLOCK, cdbLength: 10 };
    assertThrows(make(512, short), RangeError, "cdbLength must be 16");
  }
});

Deno.test("ranges and pages out of bounds are refused by name", () => {
  const ranges = (...ranges: unknown[]) => () =>
    scsi.unmap(5, ranges as scsi.BlockRange[]);
  assertThrows(ranges(), RangeError, "number of ranges");
  const many = Array(4096).fill({ lba: 0, blocks: 1 });
  assertThrows(ranges(...many), RangeError, "number of ranges");
  assertThrows(ranges({ lba: -1, blocks: 1 }), RangeError, "lba");
  assertThrows(ranges({ lba: 0, blocks: -1 }), RangeError, "blocks");
  assertThrows(ranges({ lba: 0, blocks: 2 ** 32 }), RangeError, "blocks");
  assertThrows(ranges({ lba: 0 }), TypeError, "blocks");
  for (const page of [-1, 256, 0.5]) {
    assertThrows(() => scsi.vpdPage(5, { page }), RangeError, "page");
  }
  for (const byteLength of [0, 3, 0x1_0000]) {
    const options = { page: 0, byteLength };
    assertThrows(() => scsi.vpdPage(5, options), RangeError, "byteLength");
  }
});

// ---- Results ----------------------------------------------------------------------

/** Makes sense data of the fixed format, of bytes by their index. */
function fixedSense(bytes: Record<number, number>): Uint8Array {
  return Object.assign(new Uint8Array(18), { 0: 0x70, 7: 10 }, bytes);
}

/** The parts of the second result of a CQE. */
interface Packed {
  status?: number;
  hostStatus?: number;
  residual?: number;
  sense?: Uint8Array;
  data?: Uint8Array;
}

/** Returns the completion that the kernel would make of the parts. */
function completion(
  { status = 0, hostStatus = 0, residual = 0, sense, data }: Packed,
): Completion {
  const driver = status === 2 ? 8 : 0; // DRIVER_SENSE
  const bytes = new Uint8Array(96);
  bytes.set(sense ?? []);
  const packed = BigInt(residual) << 32n | BigInt(sense?.length ?? 0) << 24n |
    BigInt(hostStatus) << 16n | BigInt(driver) << 8n | BigInt(status);
  const memory = [new Uint8Array(0), bytes, ...(data ? [data] : [])];
  return new Completion(0, 0, memory, packed);
}

/** Decodes a completion of a SCSI read of 4096 bytes. */
function decode(packed: Packed): scsi.ScsiResult {
  const dataIn = new Uint8Array(4096);
  const cdb = Uint8Array.of(0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0);
  const command = scsi.scsi(5, { cdb, dataIn });
  return command.decode!(completion(packed));
}

Deno.test("a SCSI command that the device has carried out has a result", () => {
  assertEquals(decode({}), { status: 0, transferred: 4096, sense: null });
  assertEquals(decode({ residual: 96 }).transferred, 4000);
  assertEquals(decode({ residual: 4096 }).transferred, 0);
  // A wrong residual of a driver must not make the count negative.
  assertEquals(decode({ residual: 5000 }).transferred, 0);
  assertEquals(decode({ status: 4 }).status, 4); // CONDITION MET
  for (const key of [0, 1]) {
    const bytes = fixedSense({ 2: key, 12: 0x5d });
    const { status, transferred, sense } = decode({ status: 2, sense: bytes });
    assertEquals([status, transferred, sense?.key], [2, 4096, key]);
    assertEquals(sense!.bytes, bytes);
  }
});

Deno.test("a SCSI command that the device has not carried out is an error", () => {
  const fail = (packed: Packed) =>
    assertThrows(() => decode(packed), ScsiError);
  for (let key = 2; key < 16; key++) {
    const sense = fixedSense({ 2: key });
    assertEquals(fail({ status: 2, sense }).senseKey, key);
  }
  // Success of an earlier command is not of this one, which has not run.
  for (const code of [0x71, 0x73]) {
    const sense = fixedSense({ 0: code, 1: 1, 2: 1 });
    const error = fail({ status: 2, sense });
    assertEquals(error.sense!.deferred, true);
    assertStringIncludes(error.message, "of an earlier command");
  }
  for (const status of [2, 8, 0x10, 0x18, 0x22, 0x28, 0x30, 0x40, 0xff]) {
    const error = fail({ status });
    assertEquals([error.status, error.sense], [status, null]);
    assertEquals([error.senseKey, error.asc], [undefined, undefined]);
  }
  for (let hostStatus = 1; hostStatus < 256; hostStatus++) {
    assertEquals(fail({ hostStatus }).hostStatus, hostStatus);
  }
});

Deno.test("a SCSI command without a known name is called by its number", () => {
  const name = (...cdb: number[]) =>
    scsi.scsi(5, { cdb: Object.assign(new Uint8Array(16), cdb) }).name;
  assertEquals(name(0xc1), "SCSI command C1h");
  assertEquals(name(0x06), "SCSI command 06h");
  assertEquals(name(0x9e, 0x10), "SCSI READ CAPACITY(16)");
  assertEquals(name(0x9e, 0x12), "SCSI GET LBA STATUS(16)");
  assertEquals(name(0x9e, 0x1f), "SCSI SERVICE ACTION IN(16)");
  assertEquals(name(0x93, 0x08), "SCSI WRITE SAME(16)");
  assertEquals(name(0x9e, 0x18), "SCSI REMOVE ELEMENT AND TRUNCATE");
  assertEquals(name(0x95, 0x1f), "SCSI ZBC IN");
  const long = (action: number) => name(0x7f, 0, 0, 0, 0, 0, 0, 24, 0, action);
  assertEquals(long(0x09), "SCSI READ(32)");
  assertEquals(long(0x0b), "SCSI WRITE(32)");
  assertEquals(long(0x0e), "SCSI VARIABLE LENGTH COMMAND");
  const cdb = Uint8Array.of(0x7f, 0, 0, 0, 0, 0);
  assertEquals(scsi.scsi(5, { cdb }).name, "SCSI VARIABLE LENGTH COMMAND");
});

const BUFFER_MODES = [0x00, 0x02, 0x03, 0x0a, 0x0b, 0x0f];

/** The second bytes with which commands only read, by their opcode. */
const READING = new Map<number, readonly number[] | "all">([
  ...[0x00, 0x03, 0x08, 0x12, 0x1a, 0x1c, 0x25, 0x28, 0x2f, 0x34, 0x37, 0x5a]
    .map((opcode) => [opcode, "all"] as const),
  ...[0x88, 0x8f, 0x90, 0xa0, 0xa8, 0xaf, 0xb7]
    .map((opcode) => [opcode, "all"] as const),
  [0x3c, BUFFER_MODES], // READ BUFFER(10), without error history
  [0x4d, [0]], // LOG SENSE that saves nothing
  [0x5e, [0, 1, 2, 3]], // PERSISTENT RESERVE IN
  [0x8c, [0, 1, 2, 3, 5]], // READ ATTRIBUTE
  [0x95, [0x00, 0x06, 0x07, 0x09]], // ZBC IN, without ZONE ACTIVATE
  [0x9b, BUFFER_MODES], // READ BUFFER(16)
  [0x9e, [0x10, 0x11, 0x12, 0x13, 0x16, 0x17]], // SERVICE ACTION IN(16)
  [0xa2, [0]], // SECURITY PROTOCOL IN: the list of protocols
  [0xa3, [0x05, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f]], // MAINTENANCE IN
]);

Deno.test("a SCSI command only reads if its opcode and its service action do", () => {
  const bytes = Array.from({ length: 256 }, (_, i) => i);
  const reads = (...cdb: number[]) =>
    onlyReads(Object.assign(new Uint8Array(32), cdb));
  for (const opcode of bytes) {
    const found = bytes.filter((second) => reads(opcode, second));
    const expected = READING.get(opcode) ?? [];
    assertEquals(found, expected === "all" ? bytes : expected, `${opcode}`);
  }
  const long = (...action: number[]) =>
    reads(0x7f, 0, 0, 0, 0, 0, 0, 24, ...action);
  assertEquals(bytes.filter((low) => long(0, low)), [0x09, 0x0a, 0x12]);
  assertEquals(bytes.filter((high) => long(high, 0x09)), [0]);
  const shortest = Uint8Array.of(0x7f, 0, 0, 0, 0, 0, 0, 2, 0, 0x09);
  assertEquals(onlyReads(shortest), true);
  assertEquals(onlyReads(shortest.subarray(0, 9)), false);
  assertEquals(onlyReads(Uint8Array.of(0x7f, 0, 0, 0, 0, 0)), false);
});

Deno.test("the kernel's refusals of a SCSI command are explained", () => {
  const { advice } = scsi.testUnitReady(5);
  assertStringIncludes(advice(95)!, "The kernel is older than 7.1");
  assertStringIncludes(advice(EPERM)!, "CAP_SYS_RAWIO");
  assertStringIncludes(advice(EINVAL)!, "max_hw_sectors_kb");
  for (const errno of [EIO, ENODEV, ENXIO]) {
    assertStringIncludes(advice(errno)!, "The device is gone");
  }
  assertStringIncludes(advice(12)!, "Send the command again");
  assertStringIncludes(advice(9)!, "not open");
});

// ---- Answers ---------------------------------------------------------------------

Deno.test("the answer to a SCSI inquiry is decoded", () => {
  const data = new Uint8Array(36);
  data.set([0x25, 0x80, 6], 0);
  data.set(utf8("Maker   A product\0\0\0\0\0\0\0 1.0"), 8);
  assertEquals(scsi.inquiry(5).decode!(completion({ data })), {
    peripheralType: 5,
    peripheralQualifier: 1,
    removable: true,
    version: 6,
    vendor: "Maker",
    product: "A product",
    revision: "1.0",
  });
});

Deno.test("a page of SCSI vital product data has the length of its header", () => {
  const read = (data: Uint8Array, residual: number) => {
    const options = { page: 0x80, byteLength: data.length };
    const command = scsi.vpdPage(5, options);
    return [...command.decode!(completion({ data, residual }))];
  };
  const data = Uint8Array.of(0, 0x80, 0, 3, 0x41, 0x42, 0x43, 0x44);
  assertEquals(read(data, 0), [0, 0x80, 0, 3, 0x41, 0x42, 0x43]);
  assertEquals(read(data, 1), [0, 0x80, 0, 3, 0x41, 0x42, 0x43]);
  data[3] = 9; // The page has 13 bytes, and there is room for 8.
  assertEquals(read(data, 0), [...data]);
});

/** Makes the standard INQUIRY data of a device: 36 bytes. */
function identity(
  { removable = false, version = 6 }: { removable?: boolean; version?: number },
): Uint8Array {
  const data = new Uint8Array(36);
  data.set([0, removable ? 0x80 : 0, version, version === 0 ? 1 : 2, 31], 0);
  data.set(utf8("EXAMPLE Virtual Floppy  1.0 "), 8);
  return data;
}

Deno.test("a SCSI page that is not the one asked for is an error", () => {
  // A device that ignores the bit EVPD answers with its identity, whose byte 1 is
  // that of page 80h or 0. Some drivers do not count the bytes that did not come.
  for (const removable of [false, true]) {
    for (const version of [0, 1, 2, 5, 6]) {
      const data = new Uint8Array(252);
      data.set(identity({ removable, version }), 0);
      for (const page of [0x00, 0x80, 0x83, 0xb0, 0xff]) {
        for (const residual of [252 - 36, 0]) {
          const { decode } = scsi.vpdPage(5, { page });
          const error = assertThrows(
            () => decode!(completion({ data, residual })),
            ScsiError,
            "SCSI INQUIRY on fd 5: the answer ",
          );
          assertStringIncludes(error.message, "and not the page");
          assertEquals([error.status, error.residual], [0, residual]);
        }
      }
    }
  }
  const other = Uint8Array.of(0, 0xb1, 0, 4, 1, 2, 3, 4);
  const ask = scsi.vpdPage(5, { page: 0xb0, byteLength: 8 });
  const message = "the answer has B1h in byte 1, and not the page";
  assertThrows(
    () => ask.decode!(completion({ data: other })),
    ScsiError,
    message,
  );
  // The list of pages, and a serial number, are not an identity.
  for (
    const page of [
      [0, 0, 0, 3, 0, 0x80, 0x83],
      [5, 0x80, 0, 3, 65, 66, 67],
      [5, 0x80, 0, 2, 65, 66],
      [5, 0x80, 0, 1, 65],
    ]
  ) {
    const data = Object.assign(new Uint8Array(252), page);
    const { decode } = scsi.vpdPage(5, { page: page[1] });
    for (const residual of [252 - page.length, 0]) {
      assertEquals([...decode!(completion({ data, residual }))], page);
    }
  }
});

Deno.test("a SCSI answer without the bytes that have the values is an error", () => {
  const page = Object.assign(new Uint8Array(252), [0, 0x83, 0, 20, 1, 2, 3, 4]);
  const long = new Uint8Array(32);
  new DataView(long.buffer).setBigUint64(0, 1000n);
  new DataView(long.buffer).setUint32(8, 512);
  const short = Uint8Array.of(0, 0, 0x10, 0, 0, 0, 2, 0);
  for (
    const [command, data, least] of [
      [scsi.inquiry(5), identity({}), 36],
      [scsi.vpdPage(5, { page: 0x83 }), page, 24],
      [scsi.readCapacity(5), long, 16],
      [scsi.readCapacity10(5), short, 8],
    ] as const
  ) {
    const answer = (data: Uint8Array, transferred: number) => {
      const residual = data.length - transferred;
      return command.decode!(completion({ data, residual }));
    };
    assert(answer(data, least));
    assert(answer(data, data.length));
    for (let came = 0; came < least; came++) {
      const bytes = data.slice().fill(0, came);
      const error = assertThrows(() => answer(bytes, came), ScsiError);
      assertEquals([error.status, error.sense], [0, null]);
      assertStringIncludes(error.message, `${command.name} on fd 5: the `);
      assertStringIncludes(error.message, ` ${came} `);
      assertStringIncludes(error.message, "scsi() returns the answer as it is");
    }
    // A driver that does not count, and a device that sent nothing.
    const zeros = data.slice().fill(0);
    const nothing = "the answer has nothing but zeros";
    assertThrows(() => answer(zeros, data.length), ScsiError, nothing);
  }
  const noBlocks = "the answer has blocks of 0 bytes";
  for (
    const [command, data] of [
      [scsi.readCapacity(5), long.fill(0, 8)],
      [scsi.readCapacity10(5), short.fill(0, 4)],
    ] as const
  ) {
    const { decode } = command as Command<unknown>;
    assertThrows(() => decode!(completion({ data })), ScsiError, noBlocks);
  }
});

Deno.test("sense data of a SCSI command that succeeded goes to onSense", () => {
  const bytes = fixedSense({ 0: 0xf0, 2: 1, 6: 9, 12: 0x17, 13: 1 });
  const told: unknown[] = [];
  const onSense = (sense: scsi.ScsiSense) => told.push(sense);
  const options = { lba: 8, blockSize: BLOCK, onSense };
  const data = new Uint8Array(BLOCK);
  const long = Object.assign(new Uint8Array(32), { 3: 1, 10: 2 });
  const page = Object.assign(new Uint8Array(252), [0, 0x83, 0, 1, 1]);
  const commands: [Command<unknown>, Uint8Array?][] = [
    [scsi.read(5, data, options), data],
    [scsi.write(5, data, options), data],
    [scsi.scsi(5, { cdb: new Uint8Array(6), onSense })],
    [scsi.testUnitReady(5, { onSense })],
    [scsi.synchronizeCache(5, { onSense })],
    [scsi.unmap(5, [{ lba: 0, blocks: 1 }], { onSense })],
    [scsi.inquiry(5, { onSense }), identity({})],
    [scsi.vpdPage(5, { page: 0x83, onSense }), page],
    [scsi.readCapacity(5, { onSense }), long],
    [scsi.readCapacity10(5, { onSense }), long.subarray(0, 8).fill(1)],
  ];
  for (const [command, data] of commands) {
    command.decode!(completion({ status: 2, sense: bytes, data }));
    assertEquals(told.pop(), scsi.decodeSense(bytes), command.name);
    command.decode!(completion({ data }));
    assertEquals(told, []);
    // A command that failed has the sense data in its error.
    const sense = fixedSense({ 2: 3 });
    const failed = completion({ status: 2, sense, data });
    assertThrows(() => command.decode!(failed), ScsiError);
    assertEquals(told, []);
  }
  const onSenseThrows = () => {
    throw new TypeError("the caller's");
  };
  const ready = scsi.testUnitReady(5, { onSense: onSenseThrows });
  const recovered = completion({ status: 2, sense: bytes });
  assertThrows(() => ready.decode!(recovered), TypeError, "the caller's");
  const none = { onSense: "print" } as unknown as scsi.ScsiOptions;
  const message = "onSense must be a function";
  assertThrows(() => scsi.inquiry(5, none), TypeError, message);
  const wrong = { ...options, ...none };
  assertThrows(() => scsi.read(5, data, wrong), TypeError, message);
});

Deno.test("the answers with a SCSI device's capacity are decoded", () => {
  const data = new Uint8Array(32);
  const view = new DataView(data.buffer);
  view.setBigUint64(0, 0x1_0000_0000n);
  view.setUint32(8, 512);
  data.set([0x05, 0x03, 0xc1, 0x02], 12);
  assertEquals(scsi.readCapacity(5).decode!(completion({ data })), {
    lastLba: 0x1_0000_0000n,
    blockSize: 512,
    byteLength: 0x1_0000_0001n * 512n,
    physicalBlockSize: 4096,
    lowestAlignedLba: 0x102,
    protectionType: 3,
    canUnmap: true,
    unmappedReadsZeros: true,
  });
  data.fill(0, 12);
  const plain = scsi.readCapacity(5).decode!(completion({ data }));
  assertEquals([plain.physicalBlockSize, plain.protectionType], [512, 0]);
  assertEquals([plain.canUnmap, plain.unmappedReadsZeros], [false, false]);
  const short = Uint8Array.of(0xff, 0xff, 0xff, 0xfe, 0, 0, 0x10, 0);
  const capacity10 = () =>
    scsi.readCapacity10(5).decode!(completion({ data: short }));
  assertEquals(capacity10(), {
    lastLba: 0xffff_fffen,
    blockSize: 4096,
    byteLength: 2n ** 44n - 4096n,
  });
  // The device is larger than the command can say.
  short[3] = 0xff;
  assertEquals(capacity10(), {
    lastLba: 0xffff_ffffn,
    blockSize: 4096,
    byteLength: undefined,
  });
});

// ---- Files that are not bsg nodes ------------------------------------------------

Deno.test("a ring of small entries refuses a SCSI command", async () => {
  using none = devNull();
  for (
    const [options, missing] of [
      [{}, "SQEs of 128 bytes: Ring.open({ sqe128: true, cqe32: true })"],
      [{ cqe32: true }, "128 bytes: Ring.open({ sqe128: true, cqe32: true })"],
      [{ sqe128: true }, "32 bytes: Ring.open({ cqe32: true })"],
    ] as const
  ) {
    await using ring = Ring.open(options);
    const command = scsi.inquiry(none.fd);
    await assertRejects(() => ring.cmd(command), RangeError, missing);
    assertThrows(() => ring.cmdSync(command), RangeError, missing);
    assertEquals(ring.stats().submitted, 0);
  }
});

Deno.test("a file that is not a SCSI node is refused, with an example of one", async () => {
  await using ring = Ring.open(WIDE);
  using ends = pipe();
  using sockets = unixPair();
  using none = devNull();
  using folder = new Fd(open("/"));
  for (
    const [fd, what] of [
      [ends.left, ", such as /dev/bsg/0:0:0:0"],
      [sockets.left, ", such as /dev/bsg/0:0:0:0"],
      [folder.fd, ", such as /dev/bsg/0:0:0:0"],
      [none.fd, " but /dev/null. Open one such as /dev/bsg/0:0:0:0"],
    ] as const
  ) {
    const [registered] = ring.registerFiles([fd]);
    for (
      const [target, name] of [
        [fd, `fd ${fd}`],
        [registered, "the registered file"],
      ] as const
    ) {
      const message = `${name} is not the bsg node of a SCSI device${what}`;
      for (
        const command of [scsi.inquiry(target), scsi.synchronizeCache(target)]
      ) {
        await assertRejects(() => ring.cmd(command), TypeError, message);
        assertThrows(() => ring.cmdSync(command), TypeError, message);
      }
    }
    ring.unregisterFiles();
  }
  assertEquals(ring.stats().submitted, 0);
});

Deno.test("a descriptor that was closed takes no SCSI command", async () => {
  await using ring = Ring.open(WIDE);
  const file = devNull();
  file.close();
  const command = scsi.testUnitReady(file.fd);
  const error = await assertRejects(() => ring.cmd(command), UringError);
  assertEquals([error.code, error.op], ["EBADF", "SCSI TEST UNIT READY"]);
});

// ---- The laboratory's disk -------------------------------------------------------

const DEBUG = "/sys/bus/pseudo/drivers/scsi_debug";

/** Returns the trimmed text of a file; empty if it cannot be read. */
function read(path: string): string {
  try {
    return Deno.readTextFileSync(path).trim();
  } catch {
    return "";
  }
}

const noDisk = !isRoot
  ? "root"
  : disk === undefined
  ? "disk of scsi_debug"
  : "";
const noCommands = noDisk || await askKernel();

/** Returns the missing requirement of SCSI commands; empty if none. */
async function askKernel(): Promise<string> {
  await using ring = Ring.open(WIDE);
  using file = new Fd(open(`/dev/bsg/${node}`));
  try {
    await ring.cmd(scsi.inquiry(file.fd));
    return "";
  } catch (error) {
    if (!(error instanceof UringError)) throw error;
    assertEquals(error.code, "EOPNOTSUPP");
    return "kernel of 7.1 or later";
  }
}

/** Sets knobs of scsi_debug while it is in scope. */
class Knobs implements Disposable {
  readonly #before: [path: string, value: string][] = [];

  constructor(values: Record<string, number>) {
    for (const [name, value] of Object.entries(values)) {
      const path = `${DEBUG}/${name}`;
      this.#before.push([path, read(path)]);
      Deno.writeTextFileSync(path, String(value));
    }
  }

  [Symbol.dispose](): void {
    for (const [path, value] of this.#before.toReversed()) {
      Deno.writeTextFileSync(path, value);
    }
  }
}

/** Faults of scsi_debug: every command has them if `every_nth` is 1. */
const MEDIUM_ERROR = 2;
const RECOVERED_ERROR = 8;
const TRANSPORT_ERROR = 16;
const DIF_ERROR = 32;
const SHORT_TRANSFER = 0x100;

/** The first of its ten bad blocks, with MEDIUM_ERROR. */
const BAD_LBA = 0x1234;

/** The disk, open, and a ring. */
class Lab implements AsyncDisposable {
  readonly ring: Ring;
  readonly fd: number;

  constructor(options: Parameters<typeof Ring.open>[0] = WIDE) {
    this.ring = Ring.open(options);
    this.fd = open(`/dev/bsg/${node}`, op.O_RDWR);
  }

  /** Allocates blocks, each with bytes of its own. */
  pattern(blocks: number, seed: number): Uint8Array {
    const bytes = this.ring.alloc(blocks * BLOCK);
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, blocks * 128);
    words.forEach((_, i) => words[i] = Math.imul(i + seed, 0x9e37_79b1));
    return bytes;
  }

  /** Reads blocks through the disk's block device, without the page cache. */
  async readBlocks(lba: number, blocks: number): Promise<Uint8Array> {
    using file = new Fd(open(`/dev/${disk}`, op.O_RDONLY | op.O_DIRECT));
    const into = this.ring.alloc(blocks * BLOCK);
    const offset = lba * BLOCK;
    await this.ring.cmd(op.read(file.fd, into, { offset }));
    return into;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.ring.close();
    new Fd(this.fd).close();
  }
}

/** Registers a test that gets a ring and the SCSI disk. */
function testScsi(name: string, fn: (lab: Lab) => void | Promise<void>): void {
  testUnless(noCommands, name, async () => {
    await using lab = new Lab();
    await fn(lab);
  });
}

const where = (lba: number | bigint) => ({ lba, blockSize: BLOCK });

// ---- Facts -----------------------------------------------------------------------

testScsi("a SCSI disk returns its identity", async ({ ring, fd }) => {
  const told = await ring.cmd(scsi.inquiry(fd));
  assertEquals(told.vendor, read(`${device}/vendor`));
  assertEquals(told.product, "scsi_debug");
  assertEquals(told.revision, read(`${device}/rev`));
  assertEquals(told.version, Number(read(`${device}/scsi_level`)) - 1);
  assertEquals(told.peripheralType, Number(read(`${device}/type`)));
  assertEquals([told.peripheralQualifier, told.removable], [0, false]);
  assertEquals(ring.cmdSync(scsi.inquiry(fd)), told);
});

testScsi("a SCSI disk has pages of vital product data", async (lab) => {
  const { ring, fd } = lab;
  const pages = await ring.cmd(scsi.vpdPage(fd, { page: 0 }));
  assertEquals([...pages.subarray(0, 4)], [0, 0, 0, pages.length - 4]);
  assert([0x80, 0x83, 0xb0].every((page) => pages.subarray(4).includes(page)));
  for (const page of [0x80, 0x83]) {
    // The kernel has read the same pages, and shows them in /sys.
    const name = `${device}/vpd_pg${page.toString(16)}`;
    const known = await Deno.readFile(name);
    assertEquals(await ring.cmd(scsi.vpdPage(fd, { page })), known);
  }
  const part = scsi.vpdPage(fd, { page: 0xb0, byteLength: 8 });
  assertEquals((await ring.cmd(part)).length, 8);
  const none = scsi.vpdPage(fd, { page: 0x1f });
  const error = await assertRejects(() => ring.cmd(none), ScsiError);
  assertEquals([error.senseKey, error.asc, error.ascq], [5, 0x24, 0]);
  assertEquals(error.sense!.field, { in: "cdb", byte: 2, bit: undefined });
});

testScsi("a SCSI disk has the capacity that the kernel found", async (lab) => {
  const { ring, fd } = lab;
  const capacity = await ring.cmd(scsi.readCapacity(fd));
  const queue = (name: string) => read(`/sys/block/${disk}/queue/${name}`);
  // /sys counts in sectors of 512 bytes, whatever the block size.
  const sectors = BigInt(read(`/sys/block/${disk}/size`));
  assertEquals(capacity.byteLength, sectors * 512n);
  assertEquals(capacity.blockSize, Number(queue("logical_block_size")));
  const physical = Number(queue("physical_block_size"));
  assertEquals(capacity.physicalBlockSize, physical);
  assertEquals(capacity.lastLba, sectors - 1n);
  assertEquals(capacity.canUnmap, Number(queue("discard_max_bytes")) > 0);
  assertEquals(capacity.unmappedReadsZeros, true); // As scsi_debug does.
  const { lastLba, blockSize, byteLength } = capacity;
  const short = await ring.cmd(scsi.readCapacity10(fd));
  assertEquals(short, { lastLba, blockSize, byteLength });
});

testScsi("a SCSI disk is ready, or returns the reason why not", async (lab) => {
  const { ring, fd } = lab;
  assertEquals(await ring.cmd(scsi.testUnitReady(fd)), undefined);
  /** START STOP UNIT, which answers at once. */
  const power = (start: number) =>
    scsi.scsi(fd, { cdb: Uint8Array.of(0x1b, 1, 0, 0, start, 0) });
  await ring.cmd(power(0));
  try {
    const ready = scsi.testUnitReady(fd);
    const error = await assertRejects(() => ring.cmd(ready), ScsiError);
    assertEquals([error.senseKey, error.asc, error.ascq], [2, 4, 2]);
    assertStringIncludes(error.message, "initializing command required");
  } finally {
    await ring.cmd(power(1));
  }
  await ring.cmd(scsi.testUnitReady(fd));
});

testScsi(
  "a SCSI answer goes to any kind of array of the caller",
  async (lab) => {
    const { ring, fd } = lab;
    const cdb = Uint8Array.of(0x12, 0, 0, 0, 64, 0); // INQUIRY
    const [own, theirs] = [ring.alloc(64), new Uint8Array(80).fill(0xee)];
    for (const dataIn of [own, theirs.subarray(8, 72)]) {
      const { status, transferred, sense } = await ring.cmd(
        scsi.scsi(fd, { cdb, dataIn }),
      );
      assertEquals([status, transferred, sense], [0, 64, null]);
    }
    assertEquals(theirs.subarray(8, 72), own);
    assertEquals([theirs[7], theirs[72]], [0xee, 0xee]);
    // Bytes that the device does not send stay unchanged.
    const dataIn = new Uint8Array(300).fill(0xee);
    const long = scsi.scsi(fd, {
      cdb: Uint8Array.of(0x12, 0, 0, 0x01, 0x2c, 0),
      dataIn,
    });
    const { transferred } = await ring.cmd(long);
    assertEquals(transferred, 96);
    assertEquals(dataIn.subarray(0, 64), own);
    assert(dataIn.subarray(transferred).every((byte) => byte === 0xee));
  },
);

// ---- Blocks ----------------------------------------------------------------------

for (const cdbLength of [10, 16] as const) {
  testScsi(
    `what a SCSI WRITE(${cdbLength}) wrote, all others read`,
    async (lab) => {
      const { ring, fd } = lab;
      const lba = 256 * cdbLength;
      const data = lab.pattern(16, cdbLength);
      const options = { ...where(lba), cdbLength };
      const write = scsi.write(fd, data, options);
      assertEquals(await ring.cmd(write), data.length);
      await ring.cmd(scsi.synchronizeCache(fd));
      assertEquals(await lab.readBlocks(lba, 16), data);
      const into = ring.alloc(data.length);
      for (const cdbLength of [10, 16] as const) {
        into.fill(0);
        const options = { ...where(lba), cdbLength };
        const read = scsi.read(fd, into, options);
        assertEquals(await ring.cmd(read), data.length);
        assertEquals(into, data);
      }
      // Only a block in the middle, and no byte of its neighbours.
      const middle = lab.pattern(1, 99);
      await ring.cmd(scsi.write(fd, middle, { ...options, lba: lba + 7 }));
      data.set(middle, 7 * BLOCK);
      assertEquals(await lab.readBlocks(lba, 16), data);
    },
  );
}

testScsi("a SCSI command reads what was written to the disk", async (lab) => {
  const { ring, fd } = lab;
  const data = lab.pattern(8, 5);
  using file = new Fd(open(`/dev/${disk}`, op.O_RDWR | op.O_DIRECT));
  await ring.cmd(op.write(file.fd, data, { offset: 1024 * BLOCK }));
  const into = new Uint8Array(data.length);
  const forced = { ...where(1024), forceUnitAccess: true };
  assertEquals(await ring.cmd(scsi.read(fd, into, forced)), data.length);
  assertEquals(into, data);
  assertEquals(ring.cmdSync(scsi.read(fd, into, where(1025))), data.length);
  assertEquals(into.subarray(0, 7 * BLOCK), data.subarray(BLOCK));
});

testScsi("blocks that were unmapped by SCSI read as zeros", async (lab) => {
  const { ring, fd } = lab;
  const data = lab.pattern(64, 7);
  await ring.cmd(scsi.write(fd, data, where(2048)));
  const ranges = [
    { lba: 2048, blocks: 8 },
    { lba: 2064n, blocks: 1 },
    { lba: 2080, blocks: 0 },
    { lba: 2100, blocks: 12 },
  ];
  assertEquals(await ring.cmd(scsi.unmap(fd, ranges)), undefined);
  for (const { lba, blocks } of ranges) {
    const start = (Number(lba) - 2048) * BLOCK;
    data.fill(0, start, start + blocks * BLOCK);
  }
  assertEquals(await lab.readBlocks(2048, 64), data);
});

testScsi("a SCSI disk returns its limits of an unmap", async (lab) => {
  const { ring, fd } = lab;
  const page = await ring.cmd(scsi.vpdPage(fd, { page: 0xb0 }));
  const most = new DataView(page.buffer, page.byteOffset).getUint32(24);
  assertGreater(most, 0);
  const ranges = Array.from(
    { length: most + 1 },
    (_, i) => ({ lba: 4096 + i, blocks: 1 }),
  );
  await ring.cmd(scsi.unmap(fd, ranges.slice(1)));
  const all = scsi.unmap(fd, ranges);
  const error = await assertRejects(() => ring.cmd(all), ScsiError);
  assertEquals([error.senseKey, error.asc], [5, 0x24]);
});

testScsi("a SCSI transfer may use a registered buffer", async (lab) => {
  const { ring, fd } = lab;
  const data = lab.pattern(32, 11);
  const into = ring.alloc(64 * BLOCK);
  const [from, to] = ring.registerBuffers([data, into]);
  const part = data.subarray(BLOCK, 9 * BLOCK);
  const options = { ...where(3072), buffer: from };
  assertEquals(await ring.cmd(scsi.write(fd, part, options)), part.length);
  assertEquals(await lab.readBlocks(3072, 8), part);
  const half = into.subarray(32 * BLOCK, 40 * BLOCK);
  const back = { ...where(3072), buffer: to };
  assertEquals(await ring.cmd(scsi.read(fd, half, back)), part.length);
  assertEquals(half, part);
  assert(into.subarray(0, 32 * BLOCK).every((byte) => byte === 0));
  const cdb = Uint8Array.of(0x12, 0, 0, 0, 64, 0); // INQUIRY
  const dataIn = into.subarray(0, 64);
  await ring.cmd(scsi.scsi(fd, { cdb, dataIn, buffer: to }));
  assertEquals(textOf(dataIn.slice(16, 26)), "scsi_debug");
});

testScsi("a SCSI transfer takes bytes at any address", async (lab) => {
  const { ring, fd } = lab;
  const data = lab.pattern(4, 13);
  const memory = ring.alloc(8 * BLOCK);
  const [buffer] = ring.registerBuffers([memory]);
  for (const start of [1, 2, 3, 4, 64, 100, 511]) {
    for (const options of [where(3200), { ...where(3200), buffer }]) {
      memory.fill(0xee);
      const bytes = memory.subarray(start, start + data.length);
      bytes.set(data);
      await ring.cmd(scsi.write(fd, bytes, options));
      bytes.fill(0);
      await ring.cmd(scsi.read(fd, bytes, options));
      assertEquals(bytes, data);
      assertEquals([memory[start - 1], memory[start + data.length]], [
        0xee,
        0xee,
      ]);
    }
  }
});

testScsi("a SCSI command takes a registered file", async (lab) => {
  const { ring, fd } = lab;
  const [, file] = ring.registerFiles([fd, fd]);
  assertEquals((await ring.cmd(scsi.inquiry(file))).product, "scsi_debug");
  const data = lab.pattern(1, 17);
  await ring.cmd(scsi.write(file, data, where(3300)));
  assertEquals(await lab.readBlocks(3300, 1), data);
  const none = scsi.vpdPage(file, { page: 0x1f });
  const error = await assertRejects(() => ring.cmd(none), ScsiError);
  assertEquals(error.fd, file.index);
});

testScsi(
  "a SCSI transfer at a high address takes the long CDB",
  async (lab) => {
    const { ring, fd } = lab;
    // The disk reports 5000 GiB, and repeats its 64 MiB in them.
    const changed = async () => {
      const ready = scsi.testUnitReady(fd);
      const error = await assertRejects(() => ring.cmd(ready), ScsiError);
      assertEquals([error.senseKey, error.asc, error.ascq], [6, 0x2a, 9]);
      assertStringIncludes(error.message, "Send it again");
    };
    {
      using _knobs = new Knobs({ virtual_gb: 5000 });
      await changed();
      const { lastLba, byteLength } = await ring.cmd(scsi.readCapacity(fd));
      assertEquals(byteLength, 5000n * 2n ** 30n);
      const short = await ring.cmd(scsi.readCapacity10(fd));
      assertEquals(short.lastLba, 0xffff_ffffn);
      const data = lab.pattern(4, 19);
      const lba = 2n ** 33n + 3400n;
      await ring.cmd(scsi.write(fd, data, where(lba)));
      const into = ring.alloc(data.length);
      assertEquals(
        await ring.cmd(scsi.read(fd, into, where(lba))),
        data.length,
      );
      assertEquals(into, data);
      assertEquals(await lab.readBlocks(3400, 4), data);
      const beyond = scsi.read(fd, into, where(lastLba - 2n));
      const error = await assertRejects(() => ring.cmd(beyond), ScsiError);
      assertEquals([error.op, error.asc], ["SCSI READ(16)", 0x21]);
    }
    await changed();
    await ring.cmd(scsi.testUnitReady(fd));
  },
);

// ---- Concurrency -----------------------------------------------------------------

testScsi(
  "many SCSI commands run concurrently, each on its own blocks",
  async (lab) => {
    const { ring, fd } = lab;
    const data = lab.pattern(512, 23);
    const block = (i: number) => data.subarray(i * BLOCK, (i + 1) * BLOCK);
    const lba = (i: number) => where(8192 + (i * 7) % 512);
    const writes = Array.from(
      { length: 512 },
      (_, i) => ring.cmd(scsi.write(fd, block(i), lba(i))),
    );
    assertEquals(await Promise.all(writes), Array(512).fill(BLOCK));
    const into = Array.from({ length: 512 }, () => new Uint8Array(BLOCK));
    const reads = into.map((bytes, i) =>
      ring.cmd(scsi.read(fd, bytes, lba(i)))
    );
    assertEquals(await Promise.all(reads), Array(512).fill(BLOCK));
    into.forEach((bytes, i) => assert(equals(bytes, block(i)), `block ${i}`));
    const again = into.map((bytes, i) => scsi.read(fd, bytes.fill(0), lba(i)));
    assertEquals(ring.cmdAllSync(again), Array(512).fill(BLOCK));
    into.forEach((bytes, i) => assert(equals(bytes, block(i)), `block ${i}`));
  },
);

testScsi("good and bad SCSI commands at once keep apart", async (lab) => {
  const { ring, fd } = lab;
  const bytes = new Uint8Array(BLOCK);
  const beyond = 1 << 20;
  const all = Array.from({ length: 200 }, (_, i): Command<unknown> => {
    if (i % 4 === 0) return scsi.read(fd, bytes, where(beyond + i));
    if (i % 4 === 1) return scsi.vpdPage(fd, { page: 0x1f });
    return scsi.read(fd, new Uint8Array(BLOCK), where(i));
  });
  const ended = await Promise.allSettled(all.map((each) => ring.cmd(each)));
  ended.forEach((end, i) => {
    if (i % 4 >= 2) return assertEquals(end.status, "fulfilled");
    assert(end.status === "rejected");
    const error: ScsiError = end.reason;
    assertInstanceOf(error, ScsiError);
    assertEquals([error.senseKey, error.asc], [5, i % 4 === 0 ? 0x21 : 0x24]);
  });
});

testScsi("SCSI commands of a chain run one after the other", async (lab) => {
  const { ring, fd } = lab;
  const data = lab.pattern(2, 29);
  const into = ring.alloc(data.length);
  const chain = ring.link([
    scsi.write(fd, data, where(3500)),
    scsi.synchronizeCache(fd),
    scsi.unmap(fd, [{ lba: 3501, blocks: 1 }]),
    scsi.read(fd, into, where(3500)),
  ]);
  await Promise.all(chain);
  data.fill(0, BLOCK);
  assertEquals(into, data);
});

testScsi("one SCSI command runs again and again", async ({ ring, fd }) => {
  const command = scsi.inquiry(fd);
  const first = await ring.cmd(command);
  const more = await Promise.all(
    Array.from({ length: 50 }, () => ring.cmd(command)),
  );
  for (const told of more) assertEquals(told, first);
});

testUnless(
  noCommands,
  "a ring of mixed entries takes SCSI commands among others",
  async () => {
    await using lab = new Lab({ mixed: true });
    const { ring, fd } = lab;
    const data = lab.pattern(1, 31);
    const [written, , told] = await Promise.all([
      ring.cmd(scsi.write(fd, data, where(3600))),
      ring.cmd(op.nop()),
      ring.cmd(scsi.inquiry(fd)),
    ]);
    assertEquals([written, told.product], [BLOCK, "scsi_debug"]);
    const none = scsi.vpdPage(fd, { page: 0x1f });
    const error = await assertRejects(() => ring.cmd(none), ScsiError);
    assertEquals(error.asc, 0x24);
    assertEquals(await lab.readBlocks(3600, 1), data);
  },
);

// ---- Faults ----------------------------------------------------------------------

testScsi("a SCSI block that cannot be read is named", async (lab) => {
  const { ring, fd } = lab;
  using _knobs = new Knobs({ opts: MEDIUM_ERROR });
  const bytes = new Uint8Array(8 * BLOCK);
  const bad = scsi.read(fd, bytes, where(BAD_LBA - 4));
  const error = await assertRejects(() => ring.cmd(bad), ScsiError);
  assertEquals(
    error.message,
    `SCSI READ(10) on fd ${fd}: CHECK CONDITION, Medium Error (3), ` +
      "Unrecovered read error (11h/00h), information 4660",
  );
  assertEquals(error.sense!.information, BigInt(BAD_LBA));
  assertEquals(error.residual, bytes.length);
  const sync = assertThrows(() => ring.cmdSync(bad), ScsiError);
  assertEquals(sync.message, error.message);
  // Those before it can be.
  const good = scsi.read(fd, bytes, where(BAD_LBA - 8));
  assertEquals(await ring.cmd(good), bytes.length);
});

testScsi("a SCSI device may report an error in descriptors", async (lab) => {
  const { ring, fd } = lab;
  using _knobs = new Knobs({ opts: MEDIUM_ERROR, dsense: 1 });
  const bad = scsi.read(fd, new Uint8Array(BLOCK), where(BAD_LBA));
  const error = await assertRejects(() => ring.cmd(bad), ScsiError);
  assertEquals(error.sense!.bytes[0], 0x72);
  assertEquals([error.senseKey, error.asc, error.ascq], [3, 0x11, 0]);
  const none = scsi.vpdPage(fd, { page: 0x1f });
  const field = await assertRejects(() => ring.cmd(none), ScsiError);
  assertEquals(field.sense!.field, { in: "cdb", byte: 2, bit: undefined });
});

testScsi(
  "an error that a SCSI device recovered from is a result",
  async (lab) => {
    const { ring, fd } = lab;
    const data = lab.pattern(8, 37);
    await ring.cmd(scsi.write(fd, data, where(3700)));
    const dataIn = ring.alloc(data.length);
    const cdb = Uint8Array.of(0x28, 0, 0, 0, 3700 >> 8, 3700 & 255, 0, 0, 8, 0);
    using _knobs = new Knobs({ opts: RECOVERED_ERROR, every_nth: 1 });
    const result = await ring.cmd(scsi.scsi(fd, { cdb, dataIn }));
    assertEquals([result.status, result.transferred], [2, data.length]);
    const { key, asc, ascq } = result.sense!;
    assertEquals([key, asc, ascq], [1, 0x5d, 0]);
    assertEquals(dataIn, data);
    const told: scsi.ScsiSense[] = [];
    const onSense = (sense: scsi.ScsiSense) => told.push(sense);
    const options = { ...where(3700), onSense };
    const read = scsi.read(fd, dataIn.fill(0), options);
    assertEquals(await ring.cmd(read), data.length);
    assertEquals(told, [result.sense!]);
    assertEquals(dataIn, data);
  },
);

testScsi(
  "faults of the connection to a SCSI device are errors",
  async (lab) => {
    const { ring, fd } = lab;
    const read = scsi.read(fd, new Uint8Array(BLOCK), where(0));
    {
      using _knobs = new Knobs({ opts: TRANSPORT_ERROR, every_nth: 1 });
      const error = await assertRejects(() => ring.cmd(read), ScsiError);
      assertEquals([error.senseKey, error.asc, error.ascq], [11, 0x4b, 3]);
    }
    {
      using _knobs = new Knobs({ opts: DIF_ERROR, every_nth: 1 });
      const error = await assertRejects(() => ring.cmd(read), ScsiError);
      assertEquals(error.hostStatusName, "DID_ABORT");
      assertStringIncludes(
        error.message,
        "DID_ABORT, CHECK CONDITION, Aborted",
      );
    }
    assertEquals(await ring.cmd(read), BLOCK);
  },
);

testScsi("a short transfer of a SCSI device is counted", async (lab) => {
  const { ring, fd } = lab;
  const data = lab.pattern(8, 41);
  await ring.cmd(scsi.write(fd, data, where(3800)));
  using _knobs = new Knobs({ opts: SHORT_TRANSFER, every_nth: 1 });
  const into = new Uint8Array(data.length).fill(0xee);
  assertEquals(await ring.cmd(scsi.read(fd, into, where(3800))), 4 * BLOCK);
  assertEquals(into.subarray(0, 4 * BLOCK), data.subarray(0, 4 * BLOCK));
  assert(into.subarray(4 * BLOCK).every((byte) => byte === 0xee));
});

testScsi(
  "blocks after the last one of a SCSI disk are refused",
  async (lab) => {
    const { ring, fd } = lab;
    const { lastLba } = await ring.cmd(scsi.readCapacity(fd));
    const bytes = new Uint8Array(2 * BLOCK);
    for (const command of [scsi.read, scsi.write]) {
      for (const cdbLength of [10, 16] as const) {
        const beyond = command(fd, bytes, { ...where(lastLba), cdbLength });
        const error = await assertRejects(() => ring.cmd(beyond), ScsiError);
        assertEquals([error.senseKey, error.asc, error.ascq], [5, 0x21, 0]);
        const text = "Logical block address out of range (21h/00h)";
        assertStringIncludes(error.message, text);
      }
    }
    const last = scsi.read(fd, bytes.subarray(BLOCK), where(lastLba));
    assertEquals(await ring.cmd(last), BLOCK);
  },
);

testScsi(
  "a SCSI device refuses a command that it does not have",
  async (lab) => {
    const { ring, fd } = lab;
    for (const opcode of [0x06, 0xc1, 0xff]) {
      const cdb = Object.assign(new Uint8Array(10), [opcode]);
      const unknown = scsi.scsi(fd, { cdb });
      const error = await assertRejects(() => ring.cmd(unknown), ScsiError);
      assertEquals([error.senseKey, error.asc, error.ascq], [5, 0x20, 0]);
      const name = opcode.toString(16).padStart(2, "0").toUpperCase();
      assertEquals(error.op, `SCSI command ${name}h`);
    }
  },
);

// ---- Time ------------------------------------------------------------------------

/** Delays the commands that scsi_debug delays by half a second. */
const SLOW = { ndelay: 500_000_000 };

testScsi("a SCSI command that takes too long is aborted", async (lab) => {
  const { ring, fd } = lab;
  const read = (timeoutMs: number) =>
    scsi.read(fd, new Uint8Array(BLOCK), { ...where(0), timeoutMs });
  {
    // In ticks of the kernel: 2.5 to 25 seconds.
    using _knobs = new Knobs({ delay: 2500 });
    const error = await assertRejects(() => ring.cmd(read(10)), ScsiError);
    assertEquals(error.hostStatusName, "DID_TIME_OUT");
    assertEquals([error.status, error.sense], [0, null]);
    assertStringIncludes(error.message, "A larger timeoutMs gives");
  }
  using _knobs = new Knobs(SLOW);
  assertEquals(await ring.cmd(read(10_000)), BLOCK);
});

testScsi(
  "a SCSI command that is aborted in flight keeps its result",
  async (lab) => {
    const { ring, fd } = lab;
    const data = lab.pattern(1, 43);
    using _knobs = new Knobs(SLOW);
    const abort = new AbortController();
    const write = scsi.write(fd, data, where(3900));
    const pending = ring.cmd(write, { signal: abort.signal });
    await turn();
    abort.abort();
    assertEquals(await pending, BLOCK);
    assertEquals(await lab.readBlocks(3900, 1), data);
  },
);

testUnless(
  noCommands,
  "a ring that is closed waits for its SCSI commands",
  async () => {
    await using lab = new Lab();
    const { ring, fd } = lab;
    const into = new Uint8Array(BLOCK);
    using _knobs = new Knobs(SLOW);
    const pending = ring.cmd(scsi.read(fd, into, where(0)));
    await turn();
    await ring.close();
    assertEquals(await pending, BLOCK);
  },
);

function isOpenable(path: string): boolean {
  try {
    Deno.openSync(path).close();
    return true;
  } catch {
    return false;
  }
}

testScsi(
  "a SCSI device that was removed has an error that says so",
  async ({ ring }) => {
    const before = list("/dev/bsg");
    Deno.writeTextFileSync(`${DEBUG}/add_host`, "1");
    try {
      const added = () => list("/dev/bsg").find((it) => !before.includes(it));
      await until(() => added() !== undefined);
      using file = new Fd(open(`/dev/bsg/${added()}`));
      const ready = scsi.testUnitReady(file.fd);
      await ring.cmd(ready);
      const folder = `/sys/class/bsg/${added()}/device`;
      await until(() => list(`${folder}/block`).length === 1);
      const path = `/dev/${list(`${folder}/block`)[0]}`;
      // The kernel shows a disk in /sys before it lets anybody open it.
      await until(() => isOpenable(path));
      const disk = await ring.cmd(openDisk(path));
      using _disk = new Fd(disk);
      const facts = blockDevice(disk);
      const [registered] = ring.registerFiles([disk]);
      const range = { offset: 0, length: 4096 };
      await Deno.writeTextFile(`${folder}/state`, "offline\n");
      const offline = await assertRejects(() => ring.cmd(ready), ScsiError);
      assertEquals(offline.hostStatusName, "DID_NO_CONNECT");
      await Deno.writeTextFile(`${folder}/delete`, "1");
      await assertRefused(ring.cmd(ready), "ENODEV", "The device is gone");
      await until(() => blockDevice(disk).byteLength === 0n);
      const message = `fd ${disk} is a device of 0 bytes: it is gone`;
      const command = discard(disk, range);
      await assertRejects(() => ring.cmd(command), RangeError, message);
      for (const target of [facts, registered]) {
        const command = discard(target, range);
        const error = await assertRejects(() => ring.cmd(command), UringError);
        assertStringIncludes(error.message, "gone");
      }
      const lost = await assertRejects(() => ring.cmd(openDisk(path)));
      assert(lost instanceof UringError);
    } finally {
      Deno.writeTextFileSync(`${DEBUG}/add_host`, "-1");
    }
  },
);

// ---- Privilege -------------------------------------------------------------------

testScsi(
  "a SCSI node that is open for reading takes no command that writes",
  async (lab) => {
    const { ring } = lab;
    using file = new Fd(open(`/dev/bsg/${node}`, op.O_RDONLY));
    const { fd } = file;
    const [registered] = ring.registerFiles([fd]);
    const bytes = new Uint8Array(BLOCK);
    const { submitted } = ring.stats();
    const verify = Object.assign(new Uint8Array(10), [0x2f, 2]); // BYTCHK
    const action = (...start: number[]) =>
      Object.assign(new Uint8Array(16), start);
    for (
      const [to, name] of [
        [fd, `fd ${fd}`],
        [registered, "the registered file"],
      ] as const
    ) {
      for (
        const command of [
          scsi.write(to, bytes, where(0)),
          scsi.unmap(to, [{ lba: 0, blocks: 1 }]),
          scsi.synchronizeCache(to),
          scsi.scsi(to, { cdb: Uint8Array.of(0x04, 0, 0, 0, 0, 0) }),
          scsi.scsi(to, { cdb: Uint8Array.of(0x1b, 1, 0, 0, 0, 0) }),
          scsi.scsi(to, { cdb: Uint8Array.of(0xc1, 0, 0, 0, 0, 0) }),
          scsi.scsi(to, { cdb: verify, dataOut: bytes }),
          scsi.scsi(to, { cdb: action(0x9e, 0x18) }), // REMOVE ELEMENT AND ...
          scsi.scsi(to, { cdb: action(0x9e, 0x15) }), // BACKGROUND CONTROL
          scsi.scsi(to, { cdb: action(0x95, 0x08) }), // ZONE ACTIVATE
        ] as Command<unknown>[]
      ) {
        const message =
          `${name} is open for reading only, and ${command.name} ` +
          "may change the device. Open the node with O_RDWR";
        await assertRejects(() => ring.cmd(command), TypeError, message);
        assertThrows(() => ring.cmdSync(command), TypeError, message);
      }
    }
    assertEquals(ring.stats().submitted, submitted);
    await ring.cmd(scsi.testUnitReady(fd));
    assertEquals((await ring.cmd(scsi.inquiry(fd))).product, "scsi_debug");
    await ring.cmd(scsi.readCapacity(fd));
    assertEquals(await ring.cmd(scsi.read(fd, bytes, where(0))), BLOCK);
  },
);

testScsi(
  "a SCSI disk itself is refused, with the path of its node",
  async ({ ring }) => {
    using file = new Fd(open(`/dev/${disk}`));
    const numbers = read(`/sys/block/${disk}/dev`);
    const folder = `/sys/dev/block/${numbers}/device/bsg`;
    const command = scsi.inquiry(file.fd);
    await assertRejects(
      () => ring.cmd(command),
      TypeError,
      `fd ${file.fd} is not the bsg node of a SCSI device but /dev/${disk}. ` +
        `Open /dev/bsg/ and the name that \`ls ${folder}\` prints`,
    );
    assertEquals(list(folder), [node]);
  },
);

testScsi("a partition of a SCSI disk is refused as well", async ({ ring }) => {
  // One entry of a table of partitions: type 0x83, 4096 blocks from 2048 on.
  const table = ring.alloc(BLOCK);
  table.set([0x83, 0, 0, 0, 0, 8, 0, 0, 0, 16, 0, 0], 450);
  table.set([0x55, 0xaa], 510);
  const rewrite = async () => {
    using file = new Fd(open(`/dev/${disk}`, op.O_RDWR | op.O_DIRECT));
    await ring.cmd(op.write(file.fd, table, { offset: 0 }));
    await tool("blockdev", "--rereadpt", `/dev/${disk}`);
  };
  await rewrite();
  try {
    using file = new Fd(open(`/dev/${disk}1`));
    const numbers = read(`/sys/class/block/${disk}1/dev`);
    const folder = `/sys/dev/block/${numbers}/../device/bsg`;
    const command = scsi.inquiry(file.fd);
    await assertRejects(() => ring.cmd(command), TypeError, folder);
    assertEquals(await tool("ls", folder), node);
  } finally {
    table.fill(0);
    await rewrite();
  }
});

testScsi(
  "without root, only the SCSI commands of the kernel's list are sent",
  async () => {
    const root = new URL("../..", import.meta.url).href;
    const script = `
    import { Ring } from "${root}mod.ts";
    import * as scsi from "${root}cmd/scsi/mod.ts";
    import { open } from "${root}sys/file.ts";
    const ring = Ring.open({ sqe128: true, cqe32: true });
    const [reading, writing] = [0, 2].map((flags) =>
      open("/dev/bsg/${node}", flags)
    );
    const [fixed] = ring.registerFiles([writing]);
    const data = new Uint8Array(${BLOCK});
    const compareAndWrite = new Uint8Array(16).fill(0x89, 0, 1);
    const where = { lba: 4000, blockSize: ${BLOCK} };
    const ask = (command) => ring.cmd(command).then(
      () => "done",
      (error) => error.code + " " + error.message,
    );
    console.log(JSON.stringify([
      await ask(scsi.testUnitReady(reading)),
      await ask(scsi.read(reading, data, where)),
      await ask(scsi.write(writing, data, where)),
      await ask(scsi.scsi(writing, { cdb: Uint8Array.of(0xc1, 0, 0, 0, 0, 0) })),
      await ask(scsi.scsi(writing, { cdb: compareAndWrite, dataOut: data })),
      await ask(scsi.scsi(fixed, { cdb: compareAndWrite, dataOut: data })),
    ]));
    await ring.close();
  `;
    const path = `/dev/bsg/${node}`;
    const { mode } = await Deno.stat(path);
    const cache = await Deno.makeTempDir();
    try {
      await Deno.chmod(path, 0o666);
      await Deno.chmod(cache, 0o777);
      const nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
      const { stdout, stderr } = await runDeno(
        ["eval", "--no-lock", script],
        ["setpriv", ...nobody, "env", `DENO_DIR=${cache}`],
      );
      assert(stdout !== "", stderr);
      const ends: string[] = JSON.parse(stdout);
      assertEquals(ends.slice(0, 3), ["done", "done", "done"]);
      for (const end of ends.slice(3)) {
        assertStringIncludes(end, "EPERM");
        assertStringIncludes(
          end,
          "Without CAP_SYS_RAWIO, the kernel passes on",
        );
      }
    } finally {
      await Deno.chmod(path, mode! & 0o777);
      await Deno.remove(cache, { recursive: true });
    }
  },
);

testUnless(
  noDisk || (noCommands === "" ? "kernel older than 7.1" : ""),
  "a kernel without SCSI commands says so",
  async () => {
    await using lab = new Lab();
    const { ring, fd } = lab;
    const command = scsi.inquiry(fd);
    const message = "The kernel is older than 7.1";
    const error = await assertRefused(ring.cmd(command), "EOPNOTSUPP", message);
    assertEquals(error.op, "SCSI INQUIRY");
  },
);
