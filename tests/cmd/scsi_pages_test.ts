/** Pages of vital product data and lists of SCSI devices, decoded from their bytes. */

import { assertEquals, assertThrows } from "@std/assert";
import { type Command, Completion, Ring, UringError } from "../../mod.ts";
import * as scsi from "../../cmd/scsi/mod.ts";
import { ScsiError } from "../../cmd/scsi/mod.ts";
import { O_RDONLY } from "../../cmd/op.ts";
import { open } from "../../sys/file.ts";
import { utf8 } from "../kit/bytes.ts";
import { Fd } from "../kit/fds.ts";
import { lacksLinux, testUnless } from "../kit/skip.ts";
import { device, disk, generic, node } from "../lab/scsi_disk.ts";

/** The descriptor of a node; nothing is open there. */
const FD = 5;

/** Decodes an answer of a device, which has fewer bytes than there is room for. */
function decode<T>(command: Command<T>, answer: ArrayLike<number>): T {
  const { byteLength } = command.operands[2];
  const around = new Uint8Array(byteLength + 128).fill(0xff);
  const data = around.subarray(64, 64 + byteLength).fill(0);
  data.set(Array.from(answer).slice(0, byteLength));
  const residual = Math.max(0, byteLength - answer.length);
  const memories = [command.operands[0].bytes!, new Uint8Array(96), data];
  const extra = BigInt(residual) << 32n;
  const found = command.decode!(new Completion(0, 0, memories, extra));
  around.fill(0xee); // The result keeps none of the memory.
  return found;
}

/** Returns the CDB of a command. */
const cdb = (command: Command<unknown>) => [...command.operands[0].bytes!];

/** Returns a page with its header. */
const page = (number: number, content: readonly number[]) => [
  ...[0, number, content.length >> 8, content.length & 0xff],
  ...content,
];

Deno.test("SCSI pages and lists are asked for by their CDBs", () => {
  for (
    const [command, number] of [
      [scsi.serialNumber(FD), 0x80],
      [scsi.deviceIdentifiers(FD), 0x83],
      [scsi.blockLimits(FD), 0xb0],
      [scsi.blockCharacteristics(FD), 0xb1],
      [scsi.blockProvisioning(FD), 0xb2],
    ] as const
  ) {
    assertEquals(cdb(command), [0x12, 1, number, 0, 252, 0]);
    assertEquals(command.name, "SCSI INQUIRY");
    assertEquals(command.operands[2].byteLength, 252);
  }
  const luns = scsi.reportLuns(FD, { maxLuns: 65535 });
  assertEquals(luns.name, "SCSI REPORT LUNS");
  assertEquals(cdb(luns), [0xa0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0]);
  assertEquals(cdb(scsi.reportLuns(FD)).slice(6, 10), [0, 0, 0x10, 0]);
  const long = scsi.deviceIdentifiers(FD, { byteLength: 0x1234 });
  assertEquals(cdb(long).slice(3, 5), [0x12, 0x34]);
  for (
    const make of [
      ...[scsi.serialNumber, scsi.deviceIdentifiers, scsi.blockLimits],
      ...[scsi.blockCharacteristics, scsi.blockProvisioning, scsi.reportLuns],
    ]
  ) {
    const none = null as unknown as scsi.ScsiOptions;
    const message = "options must be an object";
    assertThrows(() => make(FD, none), TypeError, message);
  }
  for (const maxLuns of [0, 65536]) {
    assertThrows(() => scsi.reportLuns(FD, { maxLuns }), RangeError, "maxLuns");
  }
});

Deno.test("a SCSI serial number has no padding", () => {
  const command = scsi.serialNumber(FD);
  const number = [...utf8("  S 42\0 ")];
  assertEquals(decode(command, page(0x80, number)), "S 42");
  assertEquals(decode(command, page(0x80, [])), "");
});

Deno.test("SCSI identifiers are decoded by their code and type", () => {
  const designator = (
    codes: number,
    flags: number,
    id: readonly number[],
  ) => [codes, flags, 0, id.length, ...id];
  const uuid = Array.from({ length: 16 }, (_, i) => i);
  const naa = [0x50, 1, 2, 3, 4, 5, 6, 0xf7];
  const command = scsi.deviceIdentifiers(FD);
  const found = decode(
    command,
    page(0x83, [
      ...designator(2, 1, [...utf8("ATA     Model  ")]), // ASCII
      ...designator(1, 3, naa), // binary, of the unit
      ...designator(0x61, 0x94, [0, 0, 0, 1]), // SAS, of the port
      ...designator(0x63, 0xa8, [...utf8("naa.5001\0\0\0")]), // UTF-8, target
      ...designator(1, 10, [0x10, 0, ...uuid]),
      ...designator(1, 0x3f, []),
      ...[1, 3, 0, 8, 1, 2], // Cut off.
    ]),
  );
  const unit = { of: "unit" as const, protocol: null };
  assertEquals(found, [
    { ...unit, type: 1, typeName: "T10 vendor", id: "ATA     Model" },
    { ...unit, type: 3, typeName: "NAA", id: "50010203040506f7" },
    {
      ...{ of: "port", type: 4, typeName: "relative port" },
      ...{ id: "00000001", protocol: 6 },
    },
    {
      ...{ of: "target", type: 8, typeName: "SCSI name", id: "naa.5001" },
      protocol: 6,
    },
    {
      ...{ ...unit, type: 10, typeName: "UUID" },
      id: "00010203-0405-0607-0809-0a0b0c0d0e0f",
    },
    { of: 3, type: 15, typeName: "type 15", id: "", protocol: null },
  ]);
  assertEquals(decode(command, page(0x83, [])), []);
  // A UUID of another length, and 18 bytes of another type.
  const [short, other] = decode(
    command,
    page(0x83, [
      ...designator(1, 10, uuid),
      ...designator(1, 3, [1, 2, ...uuid]),
    ]),
  );
  assertEquals(short.id, "000102030405060708090a0b0c0d0e0f");
  assertEquals(other.id, "0102000102030405060708090a0b0c0d0e0f");
  assertEquals(decode(command, page(0x83, [1, 3, 0])), []);
});

Deno.test("the SCSI limits of a block device are decoded, and 0 after a short page", () => {
  const command = scsi.blockLimits(FD);
  const u32 = (n: number) => [0x80 | n, 0, 0, n];
  const value = (n: number) => 0x8000_0000 + n * 0x0100_0001;
  const content = [
    ...[0x01, 0xff, 0x01, 0x02], // WSNZ, COMPARE AND WRITE, granularity
    ...[...u32(1), ...u32(2), ...u32(3), ...u32(4), ...u32(5), ...u32(6)],
    ...[0x80, 0, 0, 7], // UGAVALID, alignment
    ...[0x80, 0, 0, 0, 0, 0, 0, 8], // MAXIMUM WRITE SAME LENGTH
    ...[...u32(9), ...u32(10), ...u32(11), ...u32(12), ...u32(13)],
  ];
  const all = {
    ...{ writeSameNonZero: true, maxCompareAndWriteBlocks: 255 },
    ...{ optimalGranularityBlocks: 0x0102, maxTransferBlocks: value(1) },
    ...{ optimalTransferBlocks: value(2), maxPrefetchBlocks: value(3) },
    ...{ maxUnmapBlocks: value(4), maxUnmapRanges: value(5) },
    ...{ unmapGranularityBlocks: value(6), unmapAlignment: 7 },
    ...{ maxWriteSameBlocks: 2n ** 63n + 8n, maxAtomicBlocks: value(9) },
    ...{ atomicAlignmentBlocks: value(10), atomicGranularityBlocks: value(11) },
  };
  const found = decode(command, page(0xb0, content));
  assertEquals(found, all);
  const { maxWriteSameBlocks } = JSON.parse(JSON.stringify(found));
  assertEquals(maxWriteSameBlocks, String(2n ** 63n + 8n));
  // SBC-2 has 12 bytes of content, and nothing after them counts.
  const old = decode(command, [
    ...page(0xb0, content.slice(0, 12)),
    9,
    9,
    9,
    9,
  ]);
  assertEquals(old, {
    ...{ ...all, maxPrefetchBlocks: 0, maxUnmapBlocks: 0, maxUnmapRanges: 0 },
    ...{ unmapGranularityBlocks: 0, unmapAlignment: null },
    ...{ maxWriteSameBlocks: 0n, maxAtomicBlocks: 0 },
    ...{ atomicAlignmentBlocks: 0, atomicGranularityBlocks: 0 },
  });
});

Deno.test("the SCSI characteristics and provisioning of a disk are decoded", () => {
  const medium = scsi.blockCharacteristics(FD);
  assertEquals(decode(medium, page(0xb1, [0x1c, 0x20, 5, 0xf2, 0x63])), {
    ...{ rotationRate: 7200, productType: 5, formFactor: 2, zoned: 2 },
    ...{ forceUnitAccessBehavior: true, verifiesUnmapped: true },
  });
  assertEquals(decode(medium, page(0xb1, [0, 1])), {
    ...{ rotationRate: 1, productType: 0, formFactor: 0, zoned: 0 },
    ...{ forceUnitAccessBehavior: false, verifiesUnmapped: false },
  });
  const blocks = scsi.blockProvisioning(FD);
  assertEquals(decode(blocks, page(0xb2, [9, 0xe6, 0xfa, 0])), {
    ...{ type: "thin", unmap: true, unmapsByWriteSame16: true },
    ...{ unmapsByWriteSame10: true, unmappedReads: 1, anchors: true },
    thresholdExponent: 9,
  });
  const none = {
    ...{ unmap: false, unmapsByWriteSame16: false, unmappedReads: 0 },
    ...{ unmapsByWriteSame10: false, anchors: false, thresholdExponent: 0 },
  };
  for (const [byte, type] of [[0, "full"], [1, "resource"], [7, 7]]) {
    const found = decode(blocks, page(0xb2, [0, 0, Number(byte), 0]));
    assertEquals(found, { ...none, type } as typeof found);
  }
  for (
    const [byte, name] of [
      [0x80, "unmap"],
      [0x40, "unmapsByWriteSame16"],
      [0x20, "unmapsByWriteSame10"],
      [0x02, "anchors"],
    ] as const
  ) {
    const found = decode(blocks, page(0xb2, [0, byte, 0, 0]));
    assertEquals(found, { ...none, type: "full", [name]: true });
  }
});

Deno.test("the SCSI logical units of a target have the numbers of the kernel", () => {
  const head = [0, 0, 0, 24, 0, 0, 0, 0];
  const ids = [
    ...[0, 0, 0, 0, 0, 0, 0, 0],
    ...[0x40, 1, 0, 0, 0, 0, 0, 0], // flat
    ...[0, 7, 1, 2, 3, 4, 0x85, 6], // all levels
  ];
  const { count, luns } = decode(scsi.reportLuns(FD), [...head, ...ids]);
  assertEquals(count, 3);
  assertEquals(luns, [
    { lun: 0n, id: "0000000000000000" },
    { lun: 0x4001n, id: "4001000000000000" },
    { lun: 0x8506_0304_0102_0007n, id: "0007010203048506" },
  ]);
  assertEquals(JSON.parse(JSON.stringify(luns[1])).lun, 0x4001);
  const two = decode(scsi.reportLuns(FD, { maxLuns: 2 }), [...head, ...ids]);
  assertEquals([two.count, two.luns], [3, luns.slice(0, 2)]);
  const missing = [...head, ...ids.slice(0, 20)];
  const message = "the list has 32 bytes, and 28 came";
  assertThrows(
    () => decode(scsi.reportLuns(FD), missing),
    ScsiError,
    message,
  );
});

Deno.test("SCSI capacities, sense data and errors become JSON", () => {
  const capacity = new Uint8Array(32);
  new DataView(capacity.buffer).setBigUint64(0, 2n ** 60n);
  capacity.set([0, 0, 2, 0], 8);
  const found = decode(scsi.readCapacity(FD), capacity);
  const json = JSON.parse(JSON.stringify(found));
  assertEquals([json.lastLba, json.blockSize], [String(2n ** 60n), 512]);
  const sense = scsi.decodeSense(
    Uint8Array.of(
      0xf0,
      0,
      3,
      0,
      0,
      18,
      52,
      10,
      0,
      0,
      0,
      0,
      0x11,
      0,
      0,
      0,
      0,
      0,
    ),
  );
  const outcome = { status: 2, hostStatus: 0, residual: 0, sense };
  const error = new ScsiError("SCSI READ(10)", FD, outcome);
  const told = JSON.parse(JSON.stringify(error));
  assertEquals([told.message, told.sense.information], [error.message, 4660]);
  assertEquals(told.sense.bytes.slice(0, 8), "f0000300");
});

Deno.test("a path to no SCSI device is refused with its name", () => {
  const missing = assertThrows(() => scsi.bsgNode("/nowhere"), UringError);
  assertEquals(missing.code, "ENOENT");
  assertThrows(() => scsi.bsgNode("/dev/null"), TypeError, "is /dev/null, and");
  assertThrows(() => scsi.bsgNode("/"), TypeError, "no device, and no SCSI");
  assertThrows(() => scsi.bsgNode("/dev/null\0"), TypeError, "zero byte");
  const long = assertThrows(() => scsi.bsgNode("a".repeat(5000)), UringError);
  assertEquals(long.code, "ENAMETOOLONG");
});

// ---- The disk of scsi_debug --------------------------------------------------

const missing = node === undefined ? "disk of scsi_debug" : "";

testUnless(
  missing,
  "the node of a SCSI disk is found by each of its paths",
  () => {
    const path = `/dev/bsg/${node}`;
    for (const other of [`/dev/${disk}`, `/dev/${generic}`, path]) {
      assertEquals(scsi.bsgNode(other), path);
    }
  },
);

testUnless(
  missing || lacksLinux(7, 1),
  "the pages of a SCSI disk are those that the kernel read",
  async () => {
    await using ring = Ring.open({ sqe128: true, cqe32: true });
    using file = new Fd(open(scsi.bsgNode(`/dev/${disk}`), O_RDONLY));
    const { fd } = file;
    for (
      const [number, make] of [
        [0x80, scsi.serialNumber],
        [0x83, scsi.deviceIdentifiers],
        [0xb0, scsi.blockLimits],
        [0xb1, scsi.blockCharacteristics],
        [0xb2, scsi.blockProvisioning],
      ] as const
    ) {
      const name = `vpd_pg${number.toString(16)}`;
      const kernel = await Deno.readFile(`${device}/${name}`);
      const command = make(fd) as Command<unknown>;
      assertEquals(await ring.cmd(command), decode(command, kernel), name);
    }
    const identifiers = await ring.cmd(scsi.deviceIdentifiers(fd));
    const wwid = (await Deno.readTextFile(`${device}/wwid`)).trim();
    const naa = identifiers.find((it) => it.of === "unit" && it.type === 3)!;
    assertEquals(`naa.${naa.id}`, wwid);
    const { count, luns } = await ring.cmd(scsi.reportLuns(fd));
    assertEquals([count, luns[0].lun], [1, 0n]);
  },
);
