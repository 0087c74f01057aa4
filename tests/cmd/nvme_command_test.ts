/** NVMe commands without a drive: their bytes, their results, their refusals. */

import {
  assert,
  assertEquals,
  assertLessOrEqual,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { concat, equals } from "@std/bytes";
import {
  type Command,
  Completion,
  FixedBuffer,
  FixedFile,
  Ring,
} from "../../mod.ts";
import * as nvme from "../../cmd/nvme/mod.ts";
import {
  NvmeError,
  type NvmeFields,
  NvmeNamespace,
} from "../../cmd/nvme/mod.ts";
import { decodeProtection } from "../../cmd/nvme/open.ts";
import { alloc } from "../../ring/alloc.ts";
import type { FileRef } from "../../ring/command.ts";
import { assertBoolean } from "../kit/booleans.ts";
import { utf8 } from "../kit/bytes.ts";
import { devNull, pipe } from "../kit/fds.ts";
import * as golden from "../kit/golden.ts";
import { assertRefused } from "../kit/outcome.ts";
import { random } from "../kit/random.ts";
import { sqeBytes } from "../kit/commands.ts";
import { lacksLinux, testUnless } from "../kit/skip.ts";

/** The descriptor of a controller; nothing is open there. */
const FD = 5;
const ALL = 0xffff_ffff;

const PLAIN = new NvmeNamespace({
  file: 6,
  nsid: 7,
  blockSize: 512,
  metadataSize: 0,
  metadataInline: false,
  protectionType: 0,
  blocks: 1n << 60n,
  maxTransferBytes: 1 << 20,
  writable: true,
});
/** Returns the same namespace with some facts changed. */
const changed = (
  namespace: NvmeNamespace,
  facts: Partial<NvmeNamespace>,
): NvmeNamespace => new NvmeNamespace({ ...namespace, ...facts });
/** A namespace with protection information apart from the data. */
const APART = changed(PLAIN, { metadataSize: 8, protectionType: 1 });
/** A namespace with metadata that belongs to the host. */
const FREE = changed(APART, { protectionType: 0 });
/** A namespace with protection information after the data of each block. */
const INLINE = changed(APART, { metadataInline: true });
/** A namespace with more metadata than protection information needs. */
const SPACIOUS = changed(INLINE, { metadataSize: 64 });

const memory = (byteLength: number) => new Uint8Array(byteLength);
const zeros = (count: number): number[] => new Array(count).fill(0);

function detached(): Uint8Array {
  const bytes = memory(512);
  bytes.buffer.transfer();
  return bytes;
}

function sqe(command: Command<unknown>): number[] {
  return [...sqeBytes(command, true)];
}

/** The names of the words of a struct nvme_uring_cmd; "" for those of addresses. */
const PAYLOAD: readonly string[] = [
  ...["opcode", "nsid", "cdw2", "cdw3", "", "", "", ""],
  ...["metadata_len", "data_len", "cdw10", "cdw11"],
  ...["cdw12", "cdw13", "cdw14", "cdw15", "timeout_ms"],
];

/** Returns the fields of an SQE that are not 0, by name. */
const words = (command: Command<unknown>) =>
  golden.words(command, true, PAYLOAD);

const ADDR = 48 + 24;
const METADATA = 48 + 16;

/** Returns where a command's addresses go, and what they point at. */
function addresses(command: Command<unknown>): unknown[] {
  return command.operands.map(({ at, byteLength, reads, writes, inside }) => [
    at,
    byteLength,
    reads ? writes ? "both" : "reads" : "writes",
    ...(inside < 0 ? [] : [`inside ${inside}`]),
  ]);
}

/** Returns a structure with some bytes set, after 64 bytes that it does not own. */
function structure(
  byteLength: number,
  parts: Record<number, readonly number[] | string>,
): Uint8Array {
  const bytes = memory(byteLength + 64).fill(0xff, 0, 64).subarray(64);
  for (const [at, part] of Object.entries(parts)) {
    const text = typeof part === "string";
    bytes.set(text ? utf8(part) : part, Number(at));
  }
  return bytes;
}

/** Decodes memory as a drive would have written it. */
function decode<T>(command: Command<T>, bytes: Uint8Array, extra1 = 0n): T {
  return command.decode!(new Completion(0, 0, [bytes], extra1));
}

// ---- Submissions -----------------------------------------------------------

Deno.test("NVMe: the SQE of a read matches its golden bytes", () => {
  const data = memory(0x1200);
  const command = nvme.read(PLAIN, { lba: 0x1f_f2f3_f4f5_f6f7, data });
  assertEquals(sqe(command), [
    ...[0x2e, 0, 0, 0], // opcode: IORING_OP_URING_CMD, flags, ioprio
    ...[6, 0, 0, 0], // fd
    ...[0x80, 0x4e, 0x48, 0xc0], // cmd_op: NVME_URING_CMD_IO
    ...[0, 0, 0, 0], // __pad1
    ...[0, 0, 0, 0, 0, 0, 0, 0], // addr
    ...[0, 0, 0, 0], // len
    ...[0, 0, 0, 0], // uring_cmd_flags
    ...[0, 0, 0, 0, 0, 0, 0, 0], // user_data
    ...[0, 0, 0, 0], // buf_index, personality
    ...[0, 0, 0, 0], // file_index
    ...[0x02, 0, 0, 0], // opcode: Read, flags, rsvd1
    ...[7, 0, 0, 0], // nsid
    ...[0, 0, 0, 0], // cdw2
    ...[0, 0, 0, 0], // cdw3
    ...[0, 0, 0, 0, 0, 0, 0, 0], // metadata
    ...[0, 0, 0, 0, 0, 0, 0, 0], // addr: the address of the data
    ...[0, 0, 0, 0], // metadata_len
    ...[0x00, 0x12, 0, 0], // data_len
    ...[0xf7, 0xf6, 0xf5, 0xf4], // cdw10: the low half of the LBA
    ...[0xf3, 0xf2, 0x1f, 0], // cdw11: the high half
    ...[8, 0, 0, 0], // cdw12: nine blocks
    ...[0, 0, 0, 0], // cdw13
    ...[0, 0, 0, 0], // cdw14
    ...[0, 0, 0, 0], // cdw15
    ...[0, 0, 0, 0], // timeout_ms
    ...[0, 0, 0, 0], // rsvd2
    ...[0, 0, 0, 0, 0, 0, 0, 0], // The rest of the SQE.
  ]);
  assertEquals(addresses(command), [[ADDR, 0x1200, "writes"]]);
  assertStrictEquals(command.operands[0].bytes, data);
  const { name, sqe128, cqe32, multishot } = command;
  assertEquals([sqe128, cqe32, multishot], [true, true, false]);
  assertEquals(name, "URING_CMD NVME READ");
  assertEquals(command.decode!(new Completion(0)), 0x1200);
});

Deno.test("NVMe: the SQE of a write with all options matches its golden bytes", () => {
  const data = memory(2 * 512);
  const metadata = memory(2 * 8);
  const command = nvme.write(APART, {
    lba: 0xf1f2_f3f4_f5f6_f7f8n,
    data,
    metadata,
    protection: {
      checkGuard: true,
      checkApplicationTag: true,
      checkReferenceTag: true,
      referenceTag: 0xe1e2e3e4,
      applicationTag: 0xd1d2,
      applicationTagMask: 0xd3d4,
    },
    forceUnitAccess: true,
    limitedRetry: true,
    timeoutMs: 0x0102_0304,
  });
  assertEquals(sqe(command), [
    ...[0x2e, 0, 0, 0, 6, 0, 0, 0], // opcode, fd
    ...[0x80, 0x4e, 0x48, 0xc0], // cmd_op: NVME_URING_CMD_IO
    ...zeros(36), // __pad1 to file_index
    ...[0x01, 0, 0, 0], // opcode: Write, flags, rsvd1
    ...[7, 0, 0, 0], // nsid
    ...[0, 0, 0, 0, 0, 0, 0, 0], // cdw2, cdw3
    ...[0, 0, 0, 0, 0, 0, 0, 0], // metadata: the address of the metadata
    ...[0, 0, 0, 0, 0, 0, 0, 0], // addr: the address of the data
    ...[16, 0, 0, 0], // metadata_len
    ...[0x00, 0x04, 0, 0], // data_len
    ...[0xf8, 0xf7, 0xf6, 0xf5], // cdw10: the low half of the LBA
    ...[0xf4, 0xf3, 0xf2, 0xf1], // cdw11: the high half
    ...[1, 0], // cdw12: two blocks
    ...[0, 0xc0 | 0x1c], // LR, FUA; check guard, application, reference tag
    ...[0, 0, 0, 0], // cdw13
    ...[0xe4, 0xe3, 0xe2, 0xe1], // cdw14: the reference tag
    ...[0xd2, 0xd1], // cdw15: the application tag
    ...[0xd4, 0xd3], // and its mask
    ...[0x04, 0x03, 0x02, 0x01], // timeout_ms
    ...zeros(12), // rsvd2, and the rest of the SQE
  ]);
  assertEquals(addresses(command), [
    [ADDR, 1024, "reads"],
    [METADATA, 16, "reads"],
  ]);
  assertStrictEquals(command.operands[1].bytes, metadata);
});

/** Every field of a passthru, each with its own bytes. */
const EVERYTHING: NvmeFields = {
  opcode: 0xc1,
  cdw2: 0x0201_0002,
  cdw3: 0x0301_0003,
  cdw10: 0xa001_000a,
  cdw11: 0xb001_000b,
  cdw12: 0xc001_000c,
  cdw13: 0xd001_000d,
  cdw14: 0xe001_000e,
  cdw15: 0xf001_000f,
  data: memory(0x0102),
  metadata: memory(0x0304),
  timeoutMs: ALL,
};
const everythingBytes = (nsid: number[], metadata = 0x0304): number[] => [
  ...[0xc1, 0, 0, 0], // opcode, flags, rsvd1
  ...nsid,
  ...[0x02, 0, 0x01, 0x02], // cdw2
  ...[0x03, 0, 0x01, 0x03], // cdw3
  ...zeros(16), // metadata, addr
  ...[metadata & 255, metadata >> 8, 0, 0], // metadata_len
  ...[0x02, 0x01, 0, 0], // data_len
  ...[0x0a, 0, 0x01, 0xa0], // cdw10
  ...[0x0b, 0, 0x01, 0xb0], // cdw11
  ...[0x0c, 0, 0x01, 0xc0], // cdw12
  ...[0x0d, 0, 0x01, 0xd0], // cdw13
  ...[0x0e, 0, 0x01, 0xe0], // cdw14
  ...[0x0f, 0, 0x01, 0xf0], // cdw15
  ...[0xff, 0xff, 0xff, 0xff], // timeout_ms
  ...zeros(12), // rsvd2, and the rest of the SQE
];

Deno.test("NVMe: the SQE of a passthru to a namespace has every field", () => {
  const file = new FixedFile(0x0102);
  const command = nvme.passthru(PLAIN.withFile(file), EVERYTHING);
  assertEquals(sqe(command), [
    ...[0x2e, 1, 0, 0], // opcode, flags: IOSQE_FIXED_FILE, ioprio
    ...[0x02, 0x01, 0, 0], // fd: the place in the table
    ...[0x80, 0x4e, 0x48, 0xc0], // cmd_op: NVME_URING_CMD_IO
    ...zeros(36), // __pad1 to file_index
    ...everythingBytes([7, 0, 0, 0]), // The namespace says its number.
  ]);
  assertEquals(command.name, "URING_CMD NVME 0xc1");
  assertEquals(addresses(command), [
    [ADDR, 0x0102, "reads"],
    [METADATA, 0x0304, "reads"],
  ]);
  assertEquals(
    command.decode!(new Completion(0, 0, [], 2n ** 64n - 1n)),
    2n ** 64n - 1n,
  );
});

Deno.test("NVMe: the SQE of an admin passthru has every field", () => {
  const nsid = 0xf1f2_f3f4;
  const fields = { ...EVERYTHING, nsid, metadata: undefined };
  const command = nvme.passthru(FD, fields);
  assertEquals(sqe(command), [
    ...[0x2e, 0, 0, 0, FD, 0, 0, 0], // opcode, fd
    ...[0x82, 0x4e, 0x48, 0xc0], // cmd_op: NVME_URING_CMD_ADMIN
    ...zeros(36), // __pad1 to file_index
    ...everythingBytes([0xf4, 0xf3, 0xf2, 0xf1], 0), // The command says it.
  ]);
  assertEquals(command.name, "URING_CMD NVME ADMIN 0xc1");
  const named = nvme.passthru(FD, { opcode: 2 ** 7, nsid: 0, name: "FORMAT" });
  assertEquals(named.name, "URING_CMD NVME FORMAT");
});

/** Older kernels lose a tag of the drive for each piece of a registered buffer. */
const SEVERAL = lacksLinux(6, 16);

testUnless(
  SEVERAL,
  "NVMe: the SQE of several pieces in a registered buffer matches its golden bytes",
  () => {
    const all = alloc(4096);
    const data = [all.subarray(0, 512), all.subarray(1024, 2560)];
    const buffer = new FixedBuffer(0x0506, all);
    const command = nvme.read(PLAIN, { lba: 3, data, buffer });
    assertEquals(sqe(command), [
      ...[0x2e, 0, 0, 0, 6, 0, 0, 0], // opcode, fd
      ...[0x81, 0x4e, 0x48, 0xc0], // cmd_op: NVME_URING_CMD_IO_VEC
      ...zeros(16), // __pad1, addr, len
      ...[1, 0, 0, 0], // uring_cmd_flags: IORING_URING_CMD_FIXED
      ...zeros(8), // user_data
      ...[0x06, 0x05, 0, 0], // buf_index, personality
      ...zeros(4), // file_index
      ...[0x02, 0, 0, 0, 7, 0, 0, 0], // opcode: Read, nsid
      ...zeros(24), // cdw2, cdw3, metadata, addr: the array of pieces
      ...[0, 0, 0, 0], // metadata_len
      ...[2, 0, 0, 0], // data_len: the number of pieces
      ...[3, 0, 0, 0, 0, 0, 0, 0], // cdw10, cdw11: the LBA
      ...[3, 0, 0, 0], // cdw12: four blocks
      ...zeros(28), // All that is left.
    ]);
    assertStrictEquals(command.fixedBuffer, buffer);
    assertEquals(command.decode!(new Completion(0)), 2048);
    // The kernel reads the array, and writes what it points at.
    assertEquals(addresses(command), [
      [ADDR, 32, "reads"],
      [0, 512, "writes", "inside 0"],
      [16, 1536, "writes", "inside 0"],
    ]);
    assertEquals([...command.operands[0].bytes!], [
      ...[0, 0, 0, 0, 0, 0, 0, 0], // iov_base, which the ring writes
      ...[0x00, 0x02, 0, 0, 0, 0, 0, 0], // iov_len
      ...[0, 0, 0, 0, 0, 0, 0, 0], // iov_base
      ...[0x00, 0x06, 0, 0, 0, 0, 0, 0], // iov_len
    ]);
    assertStrictEquals(command.operands[2].bytes, data[1]);
  },
);

/** Returns the words of a command to a namespace. */
const io = (opcode: number, more: Record<string, number> = {}) => ({
  ...{ op: 0x2e, fd: 6, cmd_op: 0xc048_4e80, nsid: 7, opcode, ...more },
});
/** Returns the words of a command to a controller. */
const admin = (opcode: number, more: Record<string, number> = {}) => ({
  ...{ op: 0x2e, fd: FD, cmd_op: 0xc048_4e82, opcode, ...more },
});

/** Compares a command's name, all words of its SQE, and its data if it has any. */
function assertSqe(
  command: Command<unknown>,
  name: string,
  expected: Record<string, number>,
): void {
  assertEquals(command.name, `URING_CMD NVME ${name}`);
  const set = Object.entries(expected).filter(([, word]) => word !== 0);
  assertEquals(words(command), Object.fromEntries(set), name);
  const { opcode, data_len } = expected;
  const way = opcode % 2 === 1 ? "reads" : "writes";
  const data = data_len ? [[ADDR, data_len, way]] : [];
  assertEquals(addresses(command), data, name);
  assert(command.cqe32 && command.sqe128);
}

const block = memory(512);
const far = 0x0102_0304_0506_0708n;
const atFar = { cdw10: 0x0506_0708, cdw11: 0x0102_0304 };

Deno.test("NVMe: the SQEs of commands on blocks match their golden bytes", () => {
  const data = block;
  const data_len = 512;
  // An odd operation code: the drive reads what it compares with.
  const compare = nvme.compare(PLAIN, { lba: far, data });
  assertSqe(compare, "COMPARE", io(0x05, { data_len, ...atFar }));
  const range = { lba: far, blocks: 65536, timeoutMs: 9 };
  const fields = { ...atFar, timeout_ms: 9 };
  const verify = nvme.verify(PLAIN, { ...range, limitedRetry: true });
  const lr = 0x8000_ffff; // The number of blocks is one less, as in all.
  assertSqe(verify, "VERIFY", io(0x0c, { ...fields, cdw12: lr }));
  const zero = nvme.writeZeroes(PLAIN, { ...range, deallocate: true });
  const deac = 0x0200_ffff;
  assertSqe(zero, "WRITE ZEROES", io(0x08, { ...fields, cdw12: deac }));
  assertSqe(nvme.flush(PLAIN), "FLUSH", io(0x00));

  // Inline metadata counts as data.
  const inline = nvme.read(INLINE, { lba: 0, data: memory(2 * 520) });
  assertSqe(inline, "READ", io(0x02, { data_len: 1040, cdw12: 1 }));
  // PRACT: protection information is not transferred if it is all the metadata.
  const cdw12 = 0x2000_0000;
  const action = { lba: 0, protection: { action: true } };
  const made = nvme.write(APART, { ...action, data });
  assertSqe(made, "WRITE", io(0x01, { data_len, cdw12 }));
  const taken = nvme.read(INLINE, { ...action, data });
  assertSqe(taken, "READ", io(0x02, { data_len, cdw12 }));
  const rest = nvme.read(SPACIOUS, { ...action, data: memory(576) });
  assertSqe(rest, "READ", io(0x02, { data_len: 576, cdw12 }));

  const buffer = new FixedBuffer(0x0506, alloc(512));
  const fixed = nvme.write(PLAIN, { lba: 0, data: buffer.bytes, buffer });
  const register = { uring_cmd_flags: 1, buf_index: 0x0506 };
  assertSqe(fixed, "WRITE", io(0x01, { data_len, ...register }));
  // An array of one piece is no vectored command.
  const one = nvme.write(PLAIN, { lba: 0, data: [data] });
  assertSqe(one, "WRITE", io(0x01, { data_len }));
});

Deno.test("NVMe: the SQEs of commands on zones match their golden bytes", () => {
  const append = nvme.zoneAppend(PLAIN, { lba: far, data: block });
  assertSqe(append, "ZONE APPEND", io(0x7d, { data_len: 512, ...atFar }));
  (["close", "finish", "open", "reset", "offline"] as const).forEach(
    (action, i) => {
      const name = `ZONE MANAGEMENT SEND ${action}`;
      const one = nvme.zoneManagementSend(PLAIN, { lba: far, action });
      assertSqe(one, name, io(0x79, { ...atFar, cdw13: 1 + i }));
      const all = nvme.zoneManagementSend(PLAIN, { lba: "all", action });
      assertSqe(all, name, io(0x79, { cdw13: 0x101 + i })); // Select All
    },
  );
  // cdw12 counts dwords, less one: 64 bytes for the head and for each zone.
  assertSqe(
    nvme.zoneManagementReceive(PLAIN, { lba: far, maxZones: 3 }),
    "ZONE MANAGEMENT RECEIVE",
    io(0x7a, { data_len: 256, ...atFar, cdw12: 63 }),
  );
});

Deno.test("NVMe: the SQEs of admin commands match their golden bytes", () => {
  // cdw10 selects the structure: a controller, a namespace, the active ones.
  const identify = { data_len: 4096 };
  assertSqe(
    nvme.identifyController(FD),
    "IDENTIFY CONTROLLER",
    admin(0x06, { ...identify, cdw10: 1 }),
  );
  assertSqe(
    nvme.identifyNamespace(FD, { nsid: 9 }),
    "IDENTIFY NAMESPACE",
    admin(0x06, { ...identify, nsid: 9, cdw10: 0 }),
  );
  assertSqe(
    nvme.activeNamespaces(FD, { after: 0x0102_0304 }),
    "IDENTIFY ACTIVE NAMESPACES",
    admin(0x06, { ...identify, nsid: 0x0102_0304, cdw10: 2 }),
  );

  // cdw10: the number of dwords, less one, and the log page.
  const log = { nsid: ALL, data_len: 512 };
  const smart = admin(0x02, { ...log, cdw10: 0x007f_0002 });
  assertSqe(nvme.smartLog(FD), "SMART LOG", smart);
  assertSqe(nvme.smartLog(FD, { nsid: 1 }), "SMART LOG", { ...smart, nsid: 1 });
  const firmware = admin(0x02, { ...log, cdw10: 0x007f_0003 });
  assertSqe(nvme.firmwareLog(FD), "FIRMWARE LOG", firmware);
  const errors = { nsid: ALL, data_len: 256 * 64, cdw10: 0x0fff_0001 };
  const most = nvme.errorLog(FD, { maxEntries: 256 });
  assertSqe(most, "ERROR LOG", admin(0x02, errors));

  const feature = 0x84;
  (["current", "default", "saved", "supported"] as const).forEach(
    (select, i) => {
      const get = nvme.getFeatures(FD, { feature, select, nsid: 1, cdw11: 3 });
      const dwords = { cdw10: i << 8 | 0x84, cdw11: 3 };
      const fields = { nsid: 1, ...dwords }; // It has no data.
      assertSqe(get, "GET FEATURES 0x84", admin(0x0a, fields));
    },
  );
  assertSqe(
    nvme.setFeatures(FD, { feature: 6, value: ALL }),
    "SET FEATURES 0x6",
    admin(0x09, { cdw10: 6, cdw11: ALL }),
  );
  const data = memory(8).fill(1);
  const more = { nsid: 1, save: true, cdw12: 3, data };
  const vendor = { feature: 0xc4, value: 2, ...more };
  const save = nvme.setFeatures(FD, vendor);
  const dwords = { cdw10: 0x8000_00c4, cdw11: 2, cdw12: 3 }; // Save
  const fields = { nsid: 1, data_len: 4096, ...dwords };
  assertSqe(save, "SET FEATURES 0xc4", admin(0x09, fields));
  data.fill(2); // A copy is sent, with zeros after it.
  const sent = concat([memory(8).fill(1), memory(4088)]);
  assert(equals(save.operands[0].bytes!, sent));

  const pieces = { opcode: 0x82, nsid: 0, data: [block, block] };
  const vectored = nvme.passthru(FD, pieces);
  const { cmd_op, data_len } = words(vectored);
  assertEquals([cmd_op, data_len], [0xc048_4e83, 2]); // ADMIN_VEC
  assertEquals(vectored.operands.map(({ at }) => at), [ADDR, 0, 16]);
});

Deno.test("NVMe: the opcode decides whether the drive reads or writes memory", () => {
  const data = [memory(512), memory(4096)];
  const refused = new Set<string>();
  for (let opcode = 0; opcode < 256; opcode++) {
    // For an admin command and for one to a namespace.
    for (const target of [FD, PLAIN]) {
      const nsid = target === FD ? 0 : 7;
      const metadata = target === FD ? undefined : block;
      const fields = { opcode, nsid, data, metadata };
      let command: Command<bigint>;
      try {
        command = nvme.passthru(target, fields);
      } catch {
        refused.add(`${target === FD ? "admin" : "io"} ${opcode}`);
        continue;
      }
      const { operands } = command;
      const which = operands.map(({ reads, writes }) => `${reads} ${writes}`);
      const way = opcode === 0x7f // Fabrics commands are either.
        ? "true true"
        : opcode % 2 === 1
        ? "true false"
        : "false true";
      const ways = ["true false", way, way, ...metadata ? [way] : []];
      assertEquals(which, ways, `opcode ${opcode}`);
    }
  }
  // No standard command that transfers data is among those that are known, and
  // no vendor's among those that are refused.
  for (const opcode of [0x02, 0x06, 0x0a, 0x81, 0x82, 0xc1, 0xff]) {
    assert(!refused.has(`admin ${opcode}`), `opcode ${opcode}`);
  }
  for (const opcode of [0x01, 0x02, 0x09, 0x19, 0x7d, 0x81, 0xff]) {
    assert(!refused.has(`io ${opcode}`), `opcode ${opcode}`);
  }
});

Deno.test("NVMe: the table of ranges of Dataset Management matches its golden bytes", () => {
  const command = nvme.datasetManagement(PLAIN, {
    ranges: [
      { lba: far, blocks: 0xf1f2_f3f4, attributes: 0xe1e2_e3e4 },
      { lba: 9, blocks: 1 },
    ],
    deallocate: true,
  });
  assertEquals(words(command), {
    ...io(0x09, { data_len: 4096 }),
    ...{ cdw10: 1, cdw11: 4 }, // Two ranges; AD
  });
  // Some drives read the whole table, however many ranges it has.
  assertEquals(addresses(command), [[ADDR, 4096, "reads"]]);
  assertEquals([...command.operands[0].bytes!.subarray(0, 48)], [
    ...[0xe4, 0xe3, 0xe2, 0xe1], // context attributes
    ...[0xf4, 0xf3, 0xf2, 0xf1], // logical blocks
    ...[0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01], // first block
    ...[0, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0], // The second range.
    ...zeros(16), // There is no third.
  ]);
  const ranges = new Array(256).fill({ lba: 0, blocks: 1 });
  for (const [i, name] of ["integralRead", "integralWrite"].entries()) {
    const hint = nvme.datasetManagement(PLAIN, { ranges, [name]: true });
    const { cdw10, cdw11 } = words(hint);
    assertEquals([cdw10, cdw11], [255, 1 << i], name);
  }
});

Deno.test("NVMe: the addresses of a command go where the kernel reads them", () => {
  const transfer = { lba: 0, data: block, metadata: memory(8) };
  const command = nvme.read(APART, transfer);
  const words = new Int32Array(sqeBytes(command, true).buffer);
  command.encodeAddress(words, 0, 0, 0x1234_5678_9abc);
  command.encodeAddress(words, 0, 1, 0x0fed_cba9_8765);
  const view = new DataView(words.buffer);
  assertEquals(view.getBigUint64(ADDR, true), 0x1234_5678_9abcn);
  assertEquals(view.getBigUint64(METADATA, true), 0x0fed_cba9_8765n);
});

Deno.test("NVMe: a command carries any block address and any number of blocks", () => {
  const below = random(1);
  for (let i = 0; i < 2000; i++) {
    const size = 1 + below(64);
    const lba = BigInt.asUintN(
      size,
      BigInt(below(2 ** 32)) << 32n | BigInt(below(2 ** 32)),
    );
    const blocks = 1 + below(65536);
    const asNumber = lba < 2n ** 53n && below(2) === 0;
    const range = { lba: asNumber ? Number(lba) : lba, blocks };
    const { cdw10 = 0, cdw11 = 0, cdw12 = 0 } = words(
      nvme.verify(PLAIN, range),
    );
    assertEquals(BigInt(cdw11) << 32n | BigInt(cdw10), lba);
    assertEquals(cdw12 + 1, blocks);
  }
});

// ---- Results ---------------------------------------------------------------

/** Returns 2 ** 64 + `low` as 16 bytes. */
const above64 = (
  low: number,
) => [low, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];

/** A field: its offset, its bytes, its name and its decoded value. */
type Row = readonly [number, readonly number[] | string, string, unknown];

/** Returns a result without the fields that nvme_pages_test.ts is about. */
function withoutBits(found: object): object {
  const entries = Object.entries(found).filter(([name]) =>
    !/Bits$|^powerStateDescriptors$/.test(name)
  );
  return Object.fromEntries(entries);
}

/** Feeds fields to a decoder, and compares all of its result. */
function assertDecoded(
  command: Command<object>,
  rows: readonly Row[],
): Uint8Array {
  const parts = rows.map(([at, part]) => [at, part]);
  const { byteLength } = command.operands[0];
  const memory = structure(byteLength, Object.fromEntries(parts));
  const copy = memory.slice();
  const found = { bytes: copy, ...withoutBits(decode(command, memory)) };
  memory.fill(0); // The next command overwrites it: the result is a copy.
  const expected = rows.map(([, , name, value]) => [name, value]);
  assertEquals(found, { bytes: copy, ...Object.fromEntries(expected) });
  return found.bytes;
}

Deno.test("NVMe: every field of a controller's identity is decoded", () => {
  const nqn = "nqn.2014-08.org.nvmexpress:uuid:1";
  const command = nvme.identifyController(FD);
  const bytes = assertDecoded(command, [
    [0, [0x02, 0x01], "vendorId", 0x0102],
    [2, [0x04, 0x03], "subsystemVendorId", 0x0304],
    [4, "SERIAL  42\0\0\0\0\0     ", "serialNumber", "SERIAL  42"],
    [24, "A model of mine".padEnd(40), "modelNumber", "A model of mine"],
    [64, "REV-0042", "firmwareRevision", "REV-0042"],
    [72, [3], "arbitrationBurst", 3],
    [73, [0x56, 0x34, 0x12], "ieeeOui", "123456"],
    [76, [0x0a], "multipath", 0x0a],
    [77, [5], "maxTransferExponent", 5],
    [78, [0xcd, 0xab], "controllerId", 0xabcd],
    [80, [3, 0, 2, 0], "version", "2.0.3"],
    [84, [1, 0, 0, 0x80], "resumeMicros", 0x8000_0001],
    [88, [2, 0, 0, 0x80], "pauseMicros", 0x8000_0002],
    [92, [0, 3, 0, 0x80], "asyncEvents", 0x8000_0300],
    [96, [0x10, 0, 0, 0x80], "attributes", 0x8000_0010],
    [111, [1], "controllerType", 1],
    [256, [0x2a, 0x81], "optionalAdminCommands", 0x812a],
    [258, [255], "abortLimit", 256],
    [259, [7], "asyncEventLimit", 8],
    [260, [0x16], "firmwareUpdates", 0x16],
    [261, [0x0f], "logPageAttributes", 0x0f],
    [262, [63], "errorLogEntries", 64],
    [263, [4], "powerStates", 5],
    [266, [0x57, 0x01], "warningTemperatureKelvin", 0x157],
    [268, [0x5c, 0x01], "criticalTemperatureKelvin", 0x15c],
    [272, [1, 0, 0, 0xf0], "hostMemoryPreferred", 0xf000_0001],
    [276, [2, 0, 0, 0xf0], "hostMemoryMinimum", 0xf000_0002],
    [280, zeros(16).fill(0xff), "totalCapacityBytes", 2n ** 128n - 1n],
    [296, above64(5), "unallocatedCapacityBytes", 2n ** 64n + 5n],
    [320, [10, 0x80], "keepAliveGranularity", 0x800a],
    [328, [3, 0, 0, 0xa0], "sanitizeCapabilities", 0xa000_0003],
    [514, [0, 4], "maxOutstandingCommands", 1024],
    [516, [0, 1, 0, 0x80], "namespaceCount", 0x8000_0100],
    [520, [0x5f, 1], "optionalNvmCommands", 0x015f],
    [522, [2, 3], "fusedOperations", 0x0302],
    [524, [4], "formatAttributes", 4],
    [525, [7], "volatileWriteCache", true],
    [526, [0xff, 0xff], "atomicWriteBlocks", 65536],
    [528, [0, 0], "atomicWritePowerFailBlocks", 1],
    [536, [1, 0, 0, 0xf0], "sglSupport", 0xf000_0001],
    [768, nqn, "subsystemNqn", nqn],
  ]);
  assertEquals(bytes.length, 4096);
  // All zeros are no text and no number.
  const { serialNumber, version, volatileWriteCache, powerStates } = decode(
    command,
    memory(4096),
  );
  assertEquals([serialNumber, version], ["", "0.0.0"]);
  assertEquals([volatileWriteCache, powerStates], [false, 1]);
});

Deno.test("NVMe: every field of a namespace's identity is decoded", () => {
  const uuid = [...Array(16).keys()];
  assertDecoded(nvme.identifyNamespace(FD, { nsid: 1 }), [
    [0, zeros(8).fill(0xff), "sizeBlocks", 2n ** 64n - 1n],
    [8, [0, 0, 0, 0, 1], "capacityBlocks", 2n ** 32n],
    [16, [5], "usedBlocks", 5n],
    [24, [0x1f], "features", 0x1f],
    // NLBAF and FLBAS: with two formats, bit 5 is no part of the index.
    [25, [1, 0x31], "format", 1],
    [26, [0x31], "metadataInline", true],
    [27, [3], "metadataCapabilities", 3],
    [28, [0x1f], "protectionCapabilities", 0x1f],
    [29, [0x0b], "protectionType", 3],
    [30, [3], "shared", true],
    [31, [0xff], "reservationCapabilities", 0xff],
    [33, [9], "deallocateFeatures", 9],
    [46, [0, 2], "optimalBoundaryBlocks", 512],
    [48, above64(7), "capacityBytes", 2n ** 64n + 7n],
    [99, [1], "writeProtected", true],
    [104, uuid, "nguid", "000102030405060708090a0b0c0d0e0f"],
    [120, [0xf0, 1, 2, 3, 4, 5, 6, 0x0f], "eui64", "f00102030405060f"],
    [128, [0, 0, 9, 0xfe, 8, 1, 12, 1], "formats", [
      { dataBytes: 512, metadataBytes: 0, performance: 2 },
      { dataBytes: 4096, metadataBytes: 264, performance: 1 },
    ]],
  ]);
});

Deno.test("NVMe: a namespace can have the last of 64 formats, and no more", () => {
  const command = nvme.identifyNamespace(FD, { nsid: 1 });
  for (
    const [nlbaf, flbas, count, format] of [
      [15, 0x6f, 16, 15], // Bits 5 and 6 count with more than 16 formats.
      [16, 0x20, 17, 16],
      [63, 0x6f, 64, 63],
      [255, 0x41, 64, 33], // The structure has room for 64.
    ]
  ) {
    const bytes = structure(4096, {
      25: [nlbaf, flbas],
      [128 + 63 * 4]: [1, 0, 12, 0], // The last format.
    });
    const found = decode(command, bytes);
    assertEquals([found.formats.length, found.format], [count, format]);
    assertEquals(found.metadataInline, false);
    assertEquals(found.formats[0].dataBytes, 0); // The format does not exist.
    if (count < 64) continue;
    const last = { dataBytes: 4096, metadataBytes: 1, performance: 0 };
    assertEquals(found.formats[63], last);
  }
});

Deno.test("NVMe: formats of unique capabilities go on after those of NLBAF", () => {
  const bytes = structure(4096, {
    25: [1, 2],
    82: [1],
    128: [0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 12, 0],
  });
  const found = decode(nvme.identifyNamespace(FD, { nsid: 1 }), bytes);
  assertEquals([found.formats.length, found.format], [3, 2]);
  assertEquals(found.formats[found.format].dataBytes, 4096);
  const many = structure(4096, { 25: [9, 0x20], 82: [9] });
  const last = decode(nvme.identifyNamespace(FD, { nsid: 1 }), many);
  assertEquals([last.formats.length, last.format], [19, 16]);
});

Deno.test("NVMe: texts keep each byte, and the NQN is UTF-8 up to its zero", () => {
  const command = nvme.identifyController(FD);
  const name = "nqn.2014-08.org.example:größe";
  const one = decode(command, structure(4096, { 768: name, 24: [0x80, 0x9f] }));
  assertEquals(one.subsystemNqn, name);
  assertEquals(one.modelNumber, "\x80\x9f");
  const junk = { 768: "nqn:a\0\x03b", 24: "QEMU\0\0" };
  const two = decode(command, structure(4096, junk));
  assertEquals([two.subsystemNqn, two.modelNumber], ["nqn:a", "QEMU"]);
  const whole = decode(command, structure(4096, { 768: "n".repeat(256) }));
  assertEquals(whole.subsystemNqn, "n".repeat(256));
  const none = decode(command, structure(4096, { 768: "\0nqn" }));
  assertEquals(none.subsystemNqn, "");
  const marked = decode(command, structure(4096, { 768: "\ufeffnqn" }));
  assertEquals(marked.subsystemNqn, "\ufeffnqn");
});

Deno.test("NVMe: the format of protection information is decoded", () => {
  const word = (extended: number) => [
    ...[extended & 255, extended >> 8 & 255, extended >> 16 & 255, 0],
  ];
  const bytes = structure(4096, {
    12: [...word(0), ...word(1 << 7 | 20), ...word(2 << 7 | 48)],
    [12 + 63 * 4]: word(3 << 7 | 2 << 9 | 5),
  });
  const formats = [[0, 16, 0], [1, 32, 20], [2, 64, 48]];
  for (const [format, guardBits, storageTagBits] of formats) {
    const expected = { guardBits, storageTagBits };
    assertEquals(decodeProtection(bytes, format), expected);
  }
  bytes[8] = 8; // PIC: qualified formats
  const qualified = { guardBits: 64, storageTagBits: 5 };
  assertEquals(decodeProtection(bytes, 63), qualified);
});

Deno.test("NVMe: the list of active namespaces ends at the first 0, or is full", () => {
  const command = nvme.activeNamespaces(FD);
  const some = structure(4096, { 0: [1, 0, 0, 0, 0, 0, 0, 0x80], 12: [9] });
  assertEquals(decode(command, some), [1, 0x8000_0000]);
  assertEquals(decode(command, memory(4096)), []);
  // By default, the list begins with the lowest number.
  const all = nvme.activeNamespaces(FD, { after: 0 });
  assertEquals(sqeBytes(command), sqeBytes(all));
  const full = new Uint32Array(1024).map((_, i) => i + 1);
  const bytes = new Uint8Array(full.buffer);
  assertEquals(decode(command, bytes), [...full]);
});

Deno.test("NVMe: every field of the SMART log is decoded", () => {
  const sensors = [0, 1, 0x35, 1, 2, 1, 3, 1, 4, 1, 5, 1, 6, 1, 7, 0x80];
  const kelvin = [256, 0x135, 258, 259, 260, 261, 262, 0x8007];
  assertDecoded(nvme.smartLog(FD), [
    [0, [0x1f], "criticalWarning", 0x1f],
    [1, [0x35, 0x01], "temperatureKelvin", 0x135],
    [3, [100], "availableSparePercent", 100],
    [4, [10], "spareThresholdPercent", 10],
    [5, [255], "usedPercent", 255],
    [6, [0x0d], "enduranceGroupWarnings", 0x0d],
    [32, zeros(16).fill(0xff), "dataUnitsRead", 2n ** 128n - 1n],
    [48, above64(1), "dataUnitsWritten", 2n ** 64n + 1n],
    [64, above64(2), "hostReadCommands", 2n ** 64n + 2n],
    [80, above64(3), "hostWriteCommands", 2n ** 64n + 3n],
    [96, above64(4), "controllerBusyMinutes", 2n ** 64n + 4n],
    [112, above64(5), "powerCycles", 2n ** 64n + 5n],
    [128, above64(6), "powerOnHours", 2n ** 64n + 6n],
    [144, above64(7), "unsafeShutdowns", 2n ** 64n + 7n],
    [160, above64(8), "mediaErrors", 2n ** 64n + 8n],
    [176, above64(9), "errorLogEntryCount", 2n ** 64n + 9n],
    [192, [1, 0, 0, 0x80], "warningTemperatureMinutes", 0x8000_0001],
    [196, [2, 0, 0, 0x80], "criticalTemperatureMinutes", 0x8000_0002],
    [200, sensors, "temperatureSensorsKelvin", kelvin],
    [216, [3, 0, 0, 0x80], "thermalThrottle1Count", 0x8000_0003],
    [220, [4, 0, 0, 0x80], "thermalThrottle2Count", 0x8000_0004],
    [224, [5, 0, 0, 0x80], "thermalThrottle1Seconds", 0x8000_0005],
    [228, [6, 0, 0, 0x80], "thermalThrottle2Seconds", 0x8000_0006],
  ]);
});

Deno.test("NVMe: the error log is decoded without its empty entries", () => {
  const bytes = structure(3 * 64, {
    0: [2, 0, 0, 0, 0, 0, 0, 0x80, 1, 0], // error count, SQID
    10: [0xcd, 0xab], // CMDID
    12: [0x01, 0xc1], // status: phase, 0x80 of type 0, do not retry
    14: [0x28, 0x05], // the location of the parameter: bit 5 of byte 40
    16: [8, 7, 6, 5, 4, 3, 2, 1], // LBA
    24: [9, 0, 0, 0, 0xee], // NSID, vendor specific
    32: [1, 0, 0, 0, 0, 0, 0, 0xf0], // command specific
    [2 * 64]: [1, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
    [2 * 64 + 12]: [0x0b, 0x45, 0xff, 0xff], // status 0x85 of type 2
  });
  // The phase bit is no part of the status.
  const nowhere = { parameterByte: null, parameterBit: null }; // 0xffff
  const rest = { ...nowhere, lba: 0n, nsid: 0 };
  assertEquals(decode(nvme.errorLog(FD, { maxEntries: 3 }), bytes), [
    {
      errorCount: 0x8000_0000_0000_0002n,
      submissionQueueId: 1,
      commandId: 0xabcd,
      statusCodeType: 0,
      statusCode: 0x80,
      statusName: "LBA Out of Range",
      parameterByte: 40,
      parameterBit: 5,
      lba: far,
      nsid: 9,
      vendorSpecific: 0xee,
      commandSpecific: 0xf000_0000_0000_0001n,
    },
    {
      errorCount: 1n,
      submissionQueueId: 0xffff,
      commandId: 0xffff,
      statusCodeType: 2,
      statusCode: 0x85,
      statusName: "Compare Failure",
      ...{ ...rest, vendorSpecific: 0, commandSpecific: 0n },
    },
  ]);
});

Deno.test("NVMe: the firmware log has the active slot and all revisions", () => {
  const bytes = structure(512, {
    0: [0x7a], // AFI: slot 2 is active, slot 7 is next; bits 3 and 7 are reserved
    16: "1.0     ", // Slot 2
    56: "REV-0042", // Slot 7
  });
  assertEquals(decode(nvme.firmwareLog(FD), bytes), {
    activeSlot: 2,
    nextSlot: 7,
    revisions: ["", "1.0", "", "", "", "", "REV-0042"],
  });
});

Deno.test("NVMe: a zone report lists no more zones than it has room for", () => {
  const bytes = structure(4 * 64, {
    0: zeros(8).fill(0xff), // More zones than fit any memory.
    64: [2, 0x2f, 0xe1], // Sequential write required, implicitly open
    72: [0, 0, 0, 0, 1, 0, 0, 0], // ZCAP
    80: zeros(8).fill(0xff), // ZSLBA
    88: [3], // WP
    129: [0x60], // A state without a name
    193: [0xf0],
  });
  const command = nvme.zoneManagementReceive(PLAIN, { lba: 0, maxZones: 3 });
  const none = { lba: 0n, capacity: 0n, writePointer: 0n };
  const many = decode(command, bytes);
  assertEquals(many, {
    zoneCount: 2n ** 64n - 1n,
    zones: [
      {
        lba: 2n ** 64n - 1n,
        capacity: 2n ** 32n,
        writePointer: 3n,
        state: "implicitly open",
        type: 2,
        attributes: 0xe1,
      },
      { ...none, state: 6, type: 0, attributes: 0 },
      { ...none, state: "offline", type: 0, attributes: 0 },
    ],
  });
  bytes.fill(0, 0, 8);
  bytes[0] = 2;
  const { zoneCount, zones } = decode(command, bytes);
  assertEquals([zoneCount, zones], [2n, many.zones.slice(0, 2)]);
  for (
    const [state, name] of [
      ...[[1, "empty"], [2, "implicitly open"], [3, "explicitly open"]],
      ...[[4, "closed"], [0xd, "read only"], [0xe, "full"], [0xf, "offline"]],
    ] as const
  ) {
    bytes[65] = Number(state) << 4;
    assertEquals(decode(command, bytes).zones[0].state, name);
  }
});

Deno.test("NVMe: small results are decoded from the completion", () => {
  const result = 0xe1e2_e3e4_f1f2_f3f4n;
  const bytes = structure(4096, { 4095: [7] });
  const { value, data } = decode(
    nvme.getFeatures(FD, { feature: 0x7f }),
    bytes,
    result,
  );
  assertEquals(value, 0xf1f2_f3f4);
  bytes.fill(0); // The data were copied.
  assertEquals([data.length, data[4095]], [4096, 7]);
  const plain = decode(nvme.getFeatures(FD, { feature: 4 }), bytes, result);
  assertEquals(plain, { value: 0xf1f2_f3f4, data: memory(0) });
  const set = nvme.setFeatures(FD, { feature: 4, value: 0 });
  assertEquals(decode(set, bytes, result), 0xf1f2_f3f4);
  const append = nvme.zoneAppend(PLAIN, { lba: 0, data: block });
  assertEquals(decode(append, block, result), result);
  const ranges = [{ lba: 0, blocks: 1 }];
  for (
    const command of [
      nvme.flush(PLAIN),
      nvme.verify(PLAIN, ranges[0]),
      nvme.writeZeroes(PLAIN, ranges[0]),
      nvme.datasetManagement(PLAIN, { ranges }),
      nvme.zoneManagementSend(PLAIN, { lba: "all", action: "open" }),
    ]
  ) assertEquals(decode(command, block, result), 0, command.name);
});

/** Every command whose result is a structure. */
const DECODERS: readonly Command<unknown>[] = [
  nvme.identifyController(FD),
  nvme.identifyNamespace(FD, { nsid: 1 }),
  nvme.activeNamespaces(FD),
  nvme.smartLog(FD),
  nvme.errorLog(FD),
  nvme.firmwareLog(FD),
  nvme.zoneManagementReceive(PLAIN, { lba: 0 }),
  nvme.getFeatures(FD, { feature: 3 }),
];

Deno.test("NVMe: any bytes of a drive are decoded, and none around them", () => {
  const below = random(2);
  for (let round = 0; round < 300; round++) {
    // Few zeros, many zeros, or nothing but ones.
    const dense = [256, 2, 0][round % 3];
    for (const command of DECODERS) {
      const { byteLength } = command.operands[0];
      const bytes = memory(byteLength).map(() =>
        dense === 0 ? 0xff : below(dense) === 0 ? 0 : below(256)
      );
      const alone = decode(command, bytes);
      // No list is longer than the memory that it was read from.
      for (const list of Object.values(Object(alone))) {
        if (Array.isArray(list)) assertLessOrEqual(list.length, 64);
      }
      // The same amid other memory, as in that of a ring.
      const around = memory(byteLength + 128).fill(below(256));
      const inside = around.subarray(64, 64 + byteLength);
      inside.set(bytes);
      const found = decode(command, inside);
      around.fill(0);
      if (round < 30) assertEquals(found, alone, command.name);
    }
  }
});

// ---- Statuses --------------------------------------------------------------

Deno.test("NVMe: a status has its name by type and code", () => {
  for (
    const [status, name] of [
      [0x001, "Invalid Command Opcode"],
      [0x00b, "Invalid Namespace or Format"],
      [0x080, "LBA Out of Range"],
      [0x089, "Key Exists"],
      [0x100, "Completion Queue Invalid"],
      [0x109, "Invalid Log Page"],
      [0x025, "Invalid Key Tag"],
      [0x02a, "Invalid Placement Handle List"],
      [0x12e, "Namespace Is Dispersed"],
      [0x136, "Invalid NVM Subsystem"],
      [0x13b, "Controller Data Queue Full"],
      [0x185, "Incompatible Namespace or Format"],
      [0x189, "Insufficient Resources"],
      [0x1b8, "Zone Boundary Error"],
      [0x1bf, "Invalid Zone State Transition"],
      [0x281, "Unrecovered Read Error"],
      [0x285, "Compare Failure"],
      [0x300, "Internal Path Error"],
      [0x371, "Command Aborted By Host"],
      [0x701, "Vendor Specific 0x01"],
      [0x7ff, "Vendor Specific 0xff"],
      [0x017, "Unknown Status 0x17 of Type 0"],
      [0x104, "Unknown Status 0x04 of Type 1"],
      [0x285 | 0x100, "Unknown Status 0x85 of Type 3"],
      [0x4c0, "Unknown Status 0xc0 of Type 4"],
    ] as const
  ) {
    const [type, code] = [status >> 8, status & 0xff];
    assertEquals(nvme.nvmeStatusName(type, code), name);
    const error = new NvmeError("OP", 3, status);
    const { statusCodeType, statusCode, statusName } = error;
    assertEquals([statusCodeType, statusCode, statusName], [type, code, name]);
    assertStringIncludes(
      error.message,
      `OP on fd 3: ${name} (status code type`,
    );
  }
  for (const [type, code] of [[8, 0], [-1, 0], [0, 256], [0, -1], [0, 0.5]]) {
    range("must be an integer", () => nvme.nvmeStatusName(type, code));
  }
});

Deno.test("NVMe: an error names the command, the descriptor and the status", () => {
  const command = nvme.read(PLAIN, { lba: 0, data: block });
  const completion = new Completion(0x4080, 0, [block], 0xf1n);
  const error = assertThrows(() => command.decode!(completion), NvmeError);
  assertEquals(
    error.message,
    "URING_CMD NVME READ on fd 6: LBA Out of Range (status code type 0, code " +
      "0x80, do not retry). The blocks end after the last one of the namespace.",
  );
  const { name, op, fd, result } = error;
  assertEquals([name, op, fd], ["NvmeError", "URING_CMD NVME READ", 6]);
  assertEquals(result, 0xf1n);
  assert(error instanceof Error);
  for (
    const [status, doNotRetry, more] of [
      [0x0002, false, false],
      [0x2002, false, true],
      [0x4002, true, false],
      [0x7802, true, true], // With a delay for the retry, which nothing uses.
    ] as const
  ) {
    const error = new NvmeError("OP", 3, status);
    assertEquals([error.doNotRetry, error.more], [doNotRetry, more]);
    assertEquals([error.statusCodeType, error.statusCode], [0, 2]);
    assertEquals(/, do not retry\)/.test(error.message), doNotRetry);
  }
  const vendor = new NvmeError("OP", 3, 0x7c0).message;
  const text = "Vendor Specific 0xc0 (status code type 7, code 0xc0)";
  assertEquals(vendor, `OP on fd 3: ${text}`);
});

Deno.test("NVMe: no command takes a status for a result", () => {
  for (const command of DECODERS) {
    const { byteLength } = command.operands[0];
    for (const status of [1, 0x285, 0x4002, 0x7fff]) {
      const completion = new Completion(status, 0, [memory(byteLength)]);
      const error = assertThrows(() => command.decode!(completion), NvmeError);
      assertEquals(error.op, command.name);
    }
  }
});

// ---- Refused before it is queued -------------------------------------------

/** Expects a RangeError with a message. */
function range(message: string, make: () => unknown): void {
  assertThrows(make, RangeError, message);
}

/** Expects a TypeError with a message. */
function type(message: string, make: () => unknown): void {
  assertThrows(make, TypeError, message);
}

type Transfer = typeof nvme.read | typeof nvme.zoneAppend;
const TRANSFERS: readonly Transfer[] = [
  ...[nvme.read, nvme.write, nvme.compare, nvme.zoneAppend],
];

Deno.test("NVMe: an invalid block address is refused by name", () => {
  for (
    const make of [
      (lba: number) => nvme.read(PLAIN, { lba, data: block }),
      (lba: number) => nvme.zoneAppend(PLAIN, { lba, data: block }),
      (lba: number) => nvme.verify(PLAIN, { lba, blocks: 1 }),
      (lba: number) =>
        nvme.datasetManagement(PLAIN, { ranges: [{ lba, blocks: 1 }] }),
      (lba: number) => nvme.zoneManagementReceive(PLAIN, { lba }),
      (lba: number) => nvme.zoneManagementSend(PLAIN, { lba, action: "open" }),
    ]
  ) {
    for (const lba of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
      const text = `lba must be an integer from 0 to 9007199254740991, not`;
      range(`${text} ${lba}`, () => make(lba));
    }
    for (const lba of [-1n, 2n ** 64n]) {
      const text = `lba must fit 64 bits unsigned, not ${lba}n`;
      range(text, () => make(lba as never));
    }
    for (const lba of ["0", undefined, null]) {
      type("lba must be a number, not", () => make(lba as never));
    }
    const last = 2n ** 64n - 1n;
    if (make.toString().includes("datasetManagement")) {
      range("ends after the last block", () => make(last as never));
    } else make(last as never);
  }
});

Deno.test("NVMe: numbers that do not fit are refused by name", () => {
  const lba = 0;
  const one = { lba, blocks: 1 };
  const blocks = "blocks must be an integer from 1 to 65536, not";
  range(`${blocks} 0`, () => nvme.verify(PLAIN, { lba, blocks: 0 }));
  range(`${blocks} 65537`, () => nvme.verify(PLAIN, { lba, blocks: 65537 }));
  range(`${blocks} 0.5`, () => nvme.writeZeroes(PLAIN, { lba, blocks: 0.5 }));
  const tiny = changed(PLAIN, { blockSize: 1 });
  range(`${blocks} 65537`, () => nvme.read(tiny, { lba, data: memory(65537) }));

  const trim = (count: number, blocks = 1) => {
    const ranges = new Array(count).fill({ lba, blocks });
    return nvme.datasetManagement(PLAIN, { ranges });
  };
  const count = "number of ranges must be an integer from 1 to 256, not";
  range(`${count} 0`, () => trim(0));
  range(`${count} 257`, () => trim(257));
  const u32 = "blocks must be an integer from 1 to 4294967295, not";
  range(`${u32} 0`, () => trim(1, 0));
  range(`${u32} 4294967296`, () => trim(1, 2 ** 32));

  const protect = (protection: nvme.Protection) => () =>
    nvme.verify(PLAIN, { ...one, protection });
  range("applicationTag must be", protect({ applicationTag: 0x1_0000 }));
  range("applicationTagMask must be", protect({ applicationTagMask: -1 }));
  const tag = "referenceTag must fit 32 bits unsigned, not 4294967296";
  range(tag, protect({ referenceTag: 2 ** 32 }));
  range("referenceTag must be", protect({ referenceTag: -1 }));
  range("timeoutMs must", () => nvme.verify(PLAIN, { ...one, timeoutMs: -1 }));

  const opcode = "opcode must be an integer from 0 to 255, not";
  range(`${opcode} 256`, () => nvme.passthru(PLAIN, { opcode: 256 }));
  range(`${opcode} -1`, () => nvme.passthru(FD, { opcode: -1, nsid: 0 }));
  for (const i of [2, 3, 10, 11, 12, 13, 14, 15]) {
    const fields = { opcode: 0xc0, [`cdw${i}`]: 2 ** 32 };
    const text =
      `cdw${i} must be an integer from 0 to 4294967295, not 42949672`;
    range(text, () => nvme.passthru(PLAIN, fields));
  }

  const nsid = 2 ** 32;
  range("nsid must be", () => nvme.identifyNamespace(FD, { nsid }));
  range("nsid must be", () => nvme.smartLog(FD, { nsid }));
  range("after must be", () => nvme.activeNamespaces(FD, { after: -1 }));
  for (const maxEntries of [0, 257]) {
    const text = `from 1 to 256, not ${maxEntries}`;
    range(text, () => nvme.errorLog(FD, { maxEntries }));
  }
  for (const maxZones of [0, 65536]) {
    const text = `maxZones must be an integer from 1 to 65535, not ${maxZones}`;
    range(text, () => nvme.zoneManagementReceive(PLAIN, { lba, maxZones }));
  }
  range("feature must be", () => nvme.getFeatures(FD, { feature: 256 }));
  const set = { feature: 3, value: 0 };
  range("value must be", () => nvme.setFeatures(FD, { ...set, value: -1 }));
  for (const data of [memory(0), memory(4097)]) {
    const text =
      `length of data must be an integer from 1 to 4096, not ${data.length}`;
    range(text, () => nvme.setFeatures(FD, { ...set, data }));
  }
});

Deno.test("NVMe: an unknown word is refused with the list of known ones", () => {
  const select = "next" as nvme.FeatureSelect;
  const selects = 'one of current, default, saved, supported, not "next"';
  type(
    `select must be ${selects}`,
    () => nvme.getFeatures(FD, { feature: 1, select }),
  );
  const action = "toString" as nvme.ZoneAction;
  const actions = 'one of close, finish, open, reset, offline, not "toString"';
  type(
    `action must be ${actions}`,
    () => nvme.zoneManagementSend(PLAIN, { lba: 0, action }),
  );
});

Deno.test("NVMe: data that is no whole blocks, or more than a drive takes, is refused", () => {
  const small = changed(PLAIN, { maxTransferBytes: 1024 });
  const most = "bytes of data, and the drive takes at most 1024 in one " +
    "command. Split it up.";
  for (const command of TRANSFERS) {
    const make = (data: unknown, namespace = PLAIN) => () =>
      command(namespace, { lba: 0, data: data as Uint8Array });
    const whole = "data must be whole blocks of 512 bytes, not";
    range(`${whole} 511 bytes`, make(memory(511)));
    range(`${whole} 513 bytes`, make([block, memory(1)]));
    range(`${whole} 0 bytes`, make(memory(0)));
    range(`${whole} 0 bytes`, make([]));
    range("whole blocks of 520 bytes, not 512 bytes", make(block, INLINE));
    range(`has 1536 ${most}`, make(memory(1536), small));
    type("data is detached", make(detached()));
    type("data is detached", make([block, detached()]));
    type("data must be a Uint8Array, not 5", make([block, 5]));
    for (const none of ["text", null, {}, new ArrayBuffer(512)]) {
      type("data must be a Uint8Array, not", make(none));
    }
    make([block, memory(512)], small)();
  }
  const data = memory(1025);
  range(
    `0xc1 has 1025 ${most}`,
    () => nvme.passthru(small, { opcode: 0xc1, data }),
  );
  range(
    `RECEIVE has 4096 ${most}`,
    () => nvme.zoneManagementReceive(small, { lba: 0 }),
  );
});

Deno.test("NVMe: metadata that no kernel would pass on is refused", () => {
  const metadata = memory(8);
  const text =
    "has metadata, which the kernel passes only beside data, and only";
  const fields = { opcode: 0xc1, nsid: 7, metadata };
  type(text, () => nvme.passthru(PLAIN, fields));
  type(text, () => nvme.passthru(FD, { ...fields, data: block }));
  nvme.passthru(PLAIN, { ...fields, data: block });
  nvme.passthru(FD, { ...fields, metadata: memory(0) });
});

Deno.test("NVMe: data that touch more pages than the drive takes are refused", () => {
  const few = changed(PLAIN, { maxSegments: 2, maxTransferBytes: 8192 });
  const all = alloc(16384);
  const make = (data: Uint8Array) => () => nvme.read(few, { lba: 0, data });
  make(all.subarray(4096, 12288))();
  make(all.subarray(512, 8192))();
  make(all.subarray(3584, 7680))();
  const text =
    "7680 bytes of data that start 1024 bytes into a page, and the " +
    "drive takes at most 2 pages. Start them at a page, or split";
  range(text, make(all.subarray(5120, 12800)));
  // The ring copies other memory.
  make(memory(16384).subarray(5120, 12800))();
});

Deno.test("NVMe: metadata that is missing or too short is refused", () => {
  const data = memory(1024);
  for (const command of TRANSFERS) {
    const make = (metadata?: unknown) => () =>
      command(APART, { lba: 0, data, metadata: metadata as Uint8Array });
    const text = "transfers 16 bytes of metadata, and there is memory for";
    range(`${text} 0`, make());
    range(`${text} 15`, make(memory(15)));
    type("metadata is detached", make(detached()));
    type("metadata must be a Uint8Array", make("0123456789abcdef"));
    make(memory(16))();
  }
});

Deno.test("NVMe: a passthru with less memory than it transfers is refused", () => {
  const data = memory(4095);
  const enough = [memory(4000), memory(96)];
  const nsid = 0;
  // Each of these transfers 4096 bytes.
  for (
    const [target, fields] of [
      [PLAIN, { opcode: 0x01, cdw12: 7 }],
      [PLAIN, { opcode: 0x02, cdw12: 0xc000_0007 }], // 16 bits are the blocks.
      [PLAIN, { opcode: 0x05, cdw12: 7 }],
      [PLAIN, { opcode: 0x7d, cdw12: 7 }],
      [PLAIN, { opcode: 0x7a, cdw12: 1023 }], // Zone Management Receive
      [PLAIN, { opcode: 0x09, cdw10: 0xffff_ffff }], // Dataset Management
      [PLAIN, { opcode: 0x09, cdw10: 0 }], // Some drives read all ranges.
      [PLAIN, { opcode: 0x19, cdw12: 127 }], // Copy
      [PLAIN, { opcode: 0x19, cdw12: 127 | 2 << 8 }], // Copy, format 2
      [PLAIN, { opcode: 0x0e, cdw10: 1023 }], // Reservation Report
      [PLAIN, { opcode: 0x12, cdw11: 1023 }], // I/O Management Receive
      [PLAIN, { opcode: 0x1d, cdw10: 0x07ff_0001 }], // I/O Management Send
      [FD, { opcode: 0x09, nsid, cdw10: 0x03 }], // Set Features, with a page
      [FD, { opcode: 0x0a, nsid, cdw10: 0x7f }], // Get Features, with a page
      [FD, { opcode: 0x0a, nsid, cdw10: 0x0d }], // The Host Memory Buffer
      [FD, { opcode: 0x0a, nsid, cdw10: 0x305 | 0xc0 }], // A vendor's
      [FD, { opcode: 0x0d, nsid }], // Namespace Management: Create
      [FD, { opcode: 0x15, nsid }], // Namespace Attachment
      [FD, { opcode: 0x19, nsid, cdw10: 1023 }], // Directive Send
      [FD, { opcode: 0x1d, nsid, cdw13: 4096 }], // NVMe-MI Send
      [FD, { opcode: 0x1e, nsid }], // NVMe-MI Receive
      [FD, { opcode: 0x41, nsid, cdw15: 1024 }], // Migration Send
      [FD, { opcode: 0x42, nsid, cdw15: 1023 }], // Migration Receive
      [FD, { opcode: 0x81, nsid, cdw11: 4096 }], // Security Send
      [FD, { opcode: 0x82, nsid, cdw11: 4096 }], // Security Receive
      [FD, { opcode: 0x06, nsid, cdw10: 0x1d }], // Identify
      [FD, { opcode: 0x11, nsid, cdw10: 1023 }], // Firmware Download
      [FD, { opcode: 0x1a, nsid, cdw10: 1023 }], // Directive Receive
      [FD, { opcode: 0x86, nsid, cdw12: 1023 }], // Get LBA Status
      [FD, { opcode: 0x02, nsid, cdw10: 0x03ff_0002 }], // Get Log Page
    ] as const
  ) {
    const name = `${target === FD ? "ADMIN " : ""}0x${
      fields.opcode.toString(16)
    }`;
    const text =
      `NVME ${name} transfers 4096 bytes of data, and there is memory for`;
    range(`${text} 4095`, () => nvme.passthru(target, { ...fields, data }));
    range(`${text} 0`, () => nvme.passthru(target, fields));
    nvme.passthru(target, { ...fields, data: enough });
  }
  const make = (target: number | NvmeNamespace, fields: NvmeFields) => () =>
    nvme.passthru(target, { ...fields, data });
  range("4160 bytes of data", make(INLINE, { opcode: 2, cdw12: 7 }));
  const metadata = memory(55);
  range("56 bytes of metadata", make(APART, { opcode: 2, cdw12: 6, metadata }));
  range("17179869184 bytes", make(PLAIN, { opcode: 0x7a, cdw12: ALL }));
  // The low half of cdw11 is the upper half of the number of dwords.
  const log = { opcode: 0x02, nsid, cdw10: 2 };
  range("262148 bytes", make(FD, { ...log, cdw11: 0xffff_0001 }));
  range("17179869184 bytes", make(FD, { ...log, cdw10: ALL, cdw11: ALL }));
});

Deno.test("NVMe: a passthru of a fixed length takes that much memory, and no less", () => {
  const nsid = 0;
  const copy40 = 127 | 1 << 8;
  for (
    const [target, fields, bytes] of [
      [PLAIN, { opcode: 0x0d }, 16], // Reservation Register
      [PLAIN, { opcode: 0x11 }, 16], // Reservation Acquire
      [PLAIN, { opcode: 0x15 }, 8], // Reservation Release
      [PLAIN, { opcode: 0x19, cdw12: copy40 }, 5120], // Copy, format 1
      [PLAIN, { opcode: 0x19, cdw12: 127 | 3 << 8 }, 5120],
      [PLAIN, { opcode: 0x79, cdw13: 0x10 }, 16320], // A descriptor extension
      [PLAIN, { opcode: 0x79, cdw13: 0x04 }, 0], // Reset
      [FD, { opcode: 0x0a, nsid, cdw10: 0x0e }, 8], // Timestamp
      [FD, { opcode: 0x0a, nsid, cdw10: 0x0c }, 256], // APST
      [FD, { opcode: 0x0a, nsid, cdw10: 0x16 }, 512], // Host Behavior
      [FD, { opcode: 0x0a, nsid, cdw10: 0x81 }, 8], // Host Identifier
      [FD, { opcode: 0x0a, nsid, cdw10: 0x81, cdw11: 1 }, 16],
      [FD, { opcode: 0x09, nsid, cdw10: 0x0d }, 0], // No host memory
      [FD, { opcode: 0x0a, nsid, cdw10: 0x06 }, 0], // A feature without data
      [FD, { opcode: 0x0d, nsid, cdw10: 1 }, 0], // Namespace: Delete
      [FD, { opcode: 0x19, nsid, cdw11: 1 }, 0], // Enable Directive
      [FD, { opcode: 0x1a, nsid, cdw11: 0x103 }, 0], // Allocate Resources
      [FD, { opcode: 0x45, nsid, cdw10: 1 }, 0], // Controller Data Queue: Delete
    ] as const
  ) {
    const make = (length: number) => () =>
      nvme.passthru(target, { ...fields, data: memory(length) });
    make(bytes)();
    if (bytes === 0) nvme.passthru(target, fields);
    else range(`transfers ${bytes} bytes of data`, make(bytes - 1));
  }
});

Deno.test("NVMe: a command of unknown length, or one that keeps memory, is refused", () => {
  const data = memory(1 << 16);
  const nsid = 0;
  for (
    const [target, fields] of [
      [FD, { opcode: 0x3d, nsid, cdw10: 1 }], // Track Memory Changes
      [FD, { opcode: 0x85, nsid }], // Load Program
      [FD, { opcode: 0x39, nsid }],
      [PLAIN, { opcode: 0x19, cdw12: 5 << 8 }], // Copy, format 5
      [PLAIN, { opcode: 0x1d, cdw10: 2 }], // I/O Management Send
      [PLAIN, { opcode: 0x06 }],
    ] as const
  ) {
    range(
      "transfers an unknown number of bytes. Send it with",
      () => nvme.passthru(target, { ...fields, data }),
    );
  }
  const text = "memory that it uses after the completion. Leave this";
  for (
    const fields of [
      { opcode: 0x7c }, // Doorbell Buffer Config
      { opcode: 0x01 }, // Create I/O Submission Queue
      { opcode: 0x05 }, // Create I/O Completion Queue
      { opcode: 0x45 }, // Controller Data Queue: Create
      { opcode: 0x09, cdw10: 0x8000_000d, cdw11: 1 }, // Host Memory Buffer
    ]
  ) type(text, () => nvme.passthru(FD, { ...fields, nsid, data }));
  type(text, () => nvme.setFeatures(FD, { feature: 0x0d, value: 1 }));
});

Deno.test("NVMe: a feature has as much data as the specification says", () => {
  for (
    const [feature, cdw11, bytes] of [
      ...[[0x06, 0, 0], [0x0e, 0, 8], [0x0c, 0, 256], [0x81, 0, 8]],
      ...[[0x81, 1, 16], [0xc0, 0, 4096], [0x16, 0, 512], [0x07, 0, 0]],
    ] as const
  ) {
    const get = nvme.getFeatures(FD, { feature, cdw11 });
    assertEquals(words(get).data_len ?? 0, bytes);
    const value = { feature, value: cdw11 };
    if (bytes === 0) {
      assertEquals(words(nvme.setFeatures(FD, value)).data_len, undefined);
      const set = () => nvme.setFeatures(FD, { ...value, data: memory(8) });
      type("takes 0 bytes of data. Leave data out.", set);
      continue;
    }
    const set = nvme.setFeatures(FD, { ...value, data: memory(1).fill(7) });
    assertEquals(words(set).data_len, bytes);
    assertEquals(
      set.operands[0].bytes,
      concat([[7], zeros(bytes - 1)].map(
        (part) => Uint8Array.from(part),
      )),
    );
    const long = () =>
      nvme.setFeatures(FD, { ...value, data: memory(bytes + 1) });
    range(`length of data must be an integer from 1 to ${bytes}`, long);
  }
  const none = () => nvme.setFeatures(FD, { feature: 0x0e, value: 0 });
  type("NVME SET FEATURES 0xe takes 8 bytes of data. Pass data.", none);
});

Deno.test("NVMe: ranges that end after the last block are refused", () => {
  const small = changed(PLAIN, { blocks: 100n });
  const trim = (lba: number | bigint, blocks: number) =>
    nvme.datasetManagement(small, { ranges: [{ lba, blocks }] });
  trim(0, 100);
  trim(99n, 1);
  for (
    const [lba, blocks] of [[0, 101], [99, 2], [100, 1], [-1n, 1]] as const
  ) {
    const text = lba < 0
      ? "lba must fit"
      : `${blocks} blocks from ${lba} ends after the last block`;
    range(text, () => trim(lba, blocks));
  }
});

Deno.test("NVMe: no fields make a drive transfer more than its memory holds", () => {
  const below = random(3);
  for (let i = 0; i < 3000; i++) {
    const namespace = [PLAIN, APART, FREE, INLINE, SPACIOUS][below(5)];
    const cdw12 = (below(16) | below(0x1_0000) << 16) >>> 0;
    const data = memory(below(16 * 600));
    const metadata = memory(below(160));
    const opcode = [0x01, 0x02, 0x05, 0x7d][below(4)];
    const blocks = (cdw12 & 0xffff) + 1;
    const { metadataSize, protectionType } = namespace;
    const own = (cdw12 & 2 ** 29) !== 0 && metadataSize === 8 &&
      protectionType !== 0;
    const size = own ? 0 : metadataSize;
    const enough = namespace.metadataInline
      ? data.length >= blocks * (512 + size)
      : data.length >= blocks * 512 && metadata.length >= blocks * size;
    const make = () =>
      nvme.passthru(namespace, { opcode, cdw12, data, metadata });
    if (enough) make();
    else range("and there is memory for", make);
  }
});

Deno.test("NVMe: PRACT saves the protection information of each guard, and no other metadata", () => {
  const action = { lba: 0, protection: { action: true } };
  for (
    const [guardBits, metadataSize, stripped] of [
      ...[[16, 8, true], [16, 16, false], [16, 64, false]],
      ...[[32, 16, true], [64, 16, true], [64, 8, false], [64, 64, false]],
    ] as const
  ) {
    const facts = { guardBits, metadataSize } as Partial<NvmeNamespace>;
    const size = 512 + (stripped ? 0 : Number(metadataSize));
    const to = changed(INLINE, facts);
    const { data_len, cdw12 } = words(
      nvme.write(to, { ...action, data: memory(2 * size) }),
    );
    assertEquals([data_len, cdw12], [2 * size, 0x2000_0001]);
    range(
      `whole blocks of ${size}`,
      () => nvme.read(to, { ...action, data: memory(2 * size + 16) }),
    );
    const apart = changed(APART, facts);
    const data = memory(512);
    if (stripped) nvme.write(apart, { ...action, data });
    else {range("bytes of metadata", () =>
        nvme.write(apart, { ...action, data }));}
  }
});

Deno.test("NVMe: the reference tag of type 1 is that of the block, by default", () => {
  const lba = 0xf1f2_f3f4_f5f6_f7f8n;
  const [low, high] = [0xf5f6_f7f8, 0xf1f2_f3f4];
  const action = { action: true };
  const tags = (namespace: NvmeNamespace, protection: nvme.Protection) => {
    const made = nvme.writeZeroes(namespace, { lba, blocks: 1, protection });
    const { cdw3 = 0, cdw14 = 0 } = words(made);
    return [cdw3, cdw14];
  };
  const of = (guardBits: number, storageTagBits = 0, protectionType = 1) =>
    changed(APART, { guardBits, storageTagBits, protectionType });
  assertEquals(tags(of(16), action), [0, low]);
  assertEquals(tags(of(16, 8), action), [0, low & 0xff_ffff]);
  assertEquals(tags(of(64), action), [high & 0xffff, low]);
  assertEquals(tags(of(64, 16), action), [0, low]);
  assertEquals(tags(of(32), action), [high, low]);
  assertEquals(tags(of(32, 40), action), [high & 0xff, low]);
  for (const type of [0, 2, 3]) {
    assertEquals(tags(of(16, 0, type), action), [0, 0]);
  }
  const referenceTag = 0xe1e2_e3e4_e5e6n;
  assertEquals(tags(of(64), { referenceTag }), [0xe1e2, 0xe3e4_e5e6]);
  assertEquals(tags(of(16), { referenceTag: 0 }), [0, 0]);
  range("fit 47 bits", () => tags(of(64, 1), { referenceTag }));
});

Deno.test("NVMe: Zone Append on type 1 lets the drive remap the reference tag", () => {
  const transfer = { lba: far, data: block, metadata: memory(8) };
  const type1 = words(nvme.zoneAppend(APART, transfer));
  assertEquals([type1.cdw12, type1.cdw14], [0x0200_0000, 0x0506_0708]);
  for (const protectionType of [0, 2, 3]) {
    const other = changed(APART, { protectionType });
    assertEquals(words(nvme.zoneAppend(other, transfer)).cdw12, undefined);
  }
  assertEquals(words(nvme.write(APART, transfer)).cdw12, undefined);
});

Deno.test("NVMe: Zone Append has a limit of its own", () => {
  const small = changed(PLAIN, { maxAppendBytes: 1024 });
  const transfer = { lba: 0, data: memory(1536) };
  nvme.write(small, transfer);
  nvme.zoneAppend(PLAIN, transfer);
  range("at most 1024 in one", () => nvme.zoneAppend(small, transfer));
  const fields = { opcode: 0x7d, data: transfer.data };
  range("at most 1024 in one", () => nvme.passthru(small, fields));
});

Deno.test("NVMe: PRACT saves memory only with protection information", () => {
  const transfer = { lba: 0, data: block, protection: { action: true } };
  nvme.read(APART, transfer);
  range("8 bytes of metadata", () => nvme.read(FREE, transfer));
});

Deno.test("NVMe: an admin command to a namespace is refused, because it would be an I/O command", () => {
  // As from JavaScript, without types.
  const namespace = PLAIN as unknown as number;
  const feature = { feature: 4, value: 0, nsid: 7 };
  for (
    const make of [
      () => nvme.setFeatures(namespace, feature),
      () => nvme.getFeatures(namespace, feature),
      () => nvme.smartLog(namespace),
      () => nvme.identifyController(namespace),
    ]
  ) type("goes to the node of a controller", make);
});

Deno.test("NVMe: more than 1024 pieces of memory are refused", () => {
  const most = new Array(1024).fill(block);
  const data = [...most, block];
  const text = "a command takes at most 1024 pieces of memory, not 1025";
  range(text, () => nvme.passthru(FD, { opcode: 0xc0, nsid: 0, data }));
  range(text, () => nvme.read(PLAIN, { lba: 0, data }));
  const { operands } = nvme.read(PLAIN, { lba: 0, data: most });
  assertEquals([operands.length, operands[0].byteLength], [1025, 16 * 1024]);
  assertEquals(operands[1024].at, 16 * 1023);
});

Deno.test("NVMe: the namespace of a command is never guessed", () => {
  const opcode = 0xc0;
  type(
    "NVME ADMIN 0xc0 needs nsid: the number of a namespace, or 0 for none",
    () => nvme.passthru(FD, { opcode }),
  );
  range("nsid must be", () => nvme.passthru(FD, { opcode, nsid: -1 }));
  for (const nsid of [0, 8]) {
    const text = `nsid is ${nsid}, and the node is that of namespace 7`;
    range(text, () => nvme.passthru(PLAIN, { opcode, nsid }));
  }
  assertEquals(words(nvme.passthru(PLAIN, { opcode, nsid: 7 })).nsid, 7);
});

Deno.test("NVMe: a command that may change a drive needs a descriptor for writing", () => {
  const data = block;
  const lba = 0;
  const one = { lba, blocks: 1 };
  const readOnly = changed(PLAIN, { writable: false });
  const text = (name: string) =>
    `NVME ${name} may change what the drive holds, and its file is open for ` +
    "reading only. Open the node with O_RDWR.";
  for (
    const [name, make] of [
      ["WRITE", (to) => nvme.write(to, { lba, data })],
      ["ZONE APPEND", (to) => nvme.zoneAppend(to, { lba, data })],
      ["WRITE ZEROES", (to) => nvme.writeZeroes(to, one)],
      [
        "DATASET MANAGEMENT",
        (to) => nvme.datasetManagement(to, { ranges: [one] }),
      ],
      [
        "ZONE MANAGEMENT SEND open",
        (to) => nvme.zoneManagementSend(to, { lba, action: "open" }),
      ],
      ["0xc0", (to) => nvme.passthru(to, { opcode: 0xc0 })],
      ["0x4", (to) => nvme.passthru(to, { opcode: 0x04 })], // Even, and writes.
    ] as [string, (to: NvmeNamespace) => unknown][]
  ) {
    type(text(name), () => make(readOnly));
    make(PLAIN);
  }
  nvme.read(readOnly, { lba, data });
  nvme.compare(readOnly, { lba, data });
  nvme.verify(readOnly, one);
  nvme.flush(readOnly);
  nvme.zoneManagementReceive(readOnly, { lba });

  // The descriptor of a controller is checked when the command is queued. A pipe
  // is no character device, which would have to be NVMe's.
  using pair = pipe();
  const [reading, writing] = [{ fd: pair.left }, { fd: pair.right }];
  const set = { feature: 6, value: 0 };
  type(text("SET FEATURES 0x6"), nvme.setFeatures(reading.fd, set).precheck!);
  nvme.setFeatures(writing.fd, set).precheck!();
  nvme.setFeatures(new FixedFile(0), set).precheck!();
  nvme.getFeatures(reading.fd, { feature: 6 }).precheck!();
  nvme.smartLog(reading.fd).precheck!();
  nvme.identifyController(reading.fd).precheck!();
});

Deno.test("NVMe: an admin command is not sent to another character device", async () => {
  await using ring = Ring.open();
  using node = devNull();
  const [registered] = ring.registerFiles([node.fd]);
  const text = "is /dev/null, not the node of an NVMe controller";
  for (
    const make of [
      nvme.smartLog,
      nvme.firmwareLog,
      nvme.identifyController,
      (to: FileRef) => nvme.setFeatures(to, { feature: 6, value: 0 }),
      (to: FileRef) => nvme.passthru(to, { opcode: 0xc0, nsid: 0 }),
    ]
  ) {
    type(`fd ${node.fd} ${text}`, make(node.fd).precheck!);
    type(`the registered file ${text}`, make(registered).precheck!);
  }
});

Deno.test("NVMe: a command whose words may act needs a file for writing", () => {
  const readOnly = changed(PLAIN, { writable: false });
  const data = memory(8192);
  using pair = pipe(); // Its left end is open for reading only.
  const passes = (check: () => unknown): boolean => {
    try {
      check();
      return true;
    } catch {
      return false;
    }
  };
  const admin = (fields: Omit<NvmeFields, "nsid">) => {
    const all = { ...fields, nsid: 0, data };
    nvme.passthru(pair.right, all).precheck!();
    return passes(nvme.passthru(pair.left, all).precheck!);
  };
  const io = (fields: NvmeFields) => {
    nvme.passthru(PLAIN, { ...fields, data });
    return passes(() => nvme.passthru(readOnly, { ...fields, data }));
  };
  const log = (lid: number, lsp: number) =>
    admin({ opcode: 0x02, cdw10: lsp << 8 | lid });
  for (const lid of [0x01, 0x02, 0x07, 0x0d, 0x19, 0x70, 0xc0]) {
    assertEquals([log(lid, 0), log(lid, 0x80)], [true, true]); // 0x80 is RAE.
  }
  // Create Telemetry, Establish and Release Context, Start Measurement, a vendor's.
  for (
    const [lid, lsp] of [[7, 1], [0xd, 1], [0xd, 2], [0x19, 1], [0xc0, 64]]
  ) {
    assertEquals(log(lid, lsp), false);
  }
  for (const lid of [0x0c, 0x14, 0x15, 0x23, 0x70]) {
    assertEquals(log(lid, 1), true);
  }
  for (let kind = 0; kind < 0x300; kind++) {
    const reads = [0x0001, 0x0101, 0x0102].includes(kind);
    const found = admin({ opcode: 0x1a, cdw11: 0x5_0000 | kind });
    assertEquals(found, reads, `directive ${kind}`);
  }
  const mi = (cdw11: number, cdw13 = 0, type = 1) =>
    admin({ opcode: 0x1e, cdw10: type << 11 | 4, cdw11, cdw13 });
  for (let opcode = 0; opcode < 256; opcode++) {
    const reads = [0, 1, 2, 4, 5, 8, 10].includes(opcode);
    assertEquals(mi(opcode), reads, `NVMe-MI ${opcode}`);
  }
  assertEquals(mi(1, 0x8000_0000), false); // Clear Status
  assertEquals(mi(0, 0, 2), false); // An admin command in NVMe-MI.
  for (const opcode of [0x06, 0x0a, 0x86]) {
    assertEquals(admin({ opcode }), true);
  }
  for (const opcode of [0x09, 0x0d, 0x10, 0x80, 0x82, 0x84, 0xc0]) {
    assertEquals(admin({ opcode }), false);
  }
  for (let low = 0; low < 256; low++) {
    assertEquals(io({ opcode: 0x12, cdw10: low }), low === 1);
    assertEquals(io({ opcode: 0x7a, cdw13: low }), low <= 1);
  }
});

Deno.test("NVMe: a registered file is open for what its descriptor was open for", async () => {
  await using ring = Ring.open({ sqe128: true, cqe32: true });
  const pair = pipe();
  const [reading, writing] = ring.registerFiles([pair.left, pair.right]);
  pair[Symbol.dispose]();
  // The number of the first is another file's now, which is open for writing.
  using later = devNull();
  assertEquals(later.fd, pair.left);
  const { submitted } = ring.stats();
  const make = (to: FixedFile): Command<unknown>[] => [
    nvme.passthru(to, { opcode: 0x80, nsid: 1 }), // Format NVM
    nvme.passthru(to, { opcode: 0x84, nsid: 0, cdw10: 2 }), // Sanitize
    nvme.passthru(to, { opcode: 0xc0, nsid: 0 }),
    nvme.setFeatures(to, { feature: 6, value: 0 }),
  ];
  for (const command of make(reading)) {
    const text = "may change what the drive holds, and its file is open for";
    await assertRejects(() => ring.cmd(command), TypeError, text);
    assertThrows(() => ring.cmdSync(command), TypeError, text);
  }
  assertEquals(ring.stats().submitted, submitted);
  // A pipe takes no command at all, so these came as far as the kernel.
  for (const command of make(writing)) {
    await assertRefused(ring.cmd(command), "EOPNOTSUPP");
  }
  const get = nvme.getFeatures(reading, { feature: 6 });
  await assertRefused(ring.cmd(get), "EOPNOTSUPP");

  const files = [reading, writing].map((file) => PLAIN.withFile(file));
  assertEquals(files.map(({ writable }) => writable), [false, true]);
  const closed = changed(PLAIN, { writable: false });
  assertEquals(closed.withFile(writing).writable, false);
  type("open for reading only", () => nvme.write(files[0], transferOne));
  nvme.write(files[1], transferOne);
});

const transferOne = { lba: 0, data: memory(512) };

Deno.test("NVMe: bytes outside the registered buffer are refused", () => {
  const all = alloc(4096);
  const buffer = new FixedBuffer(0, all.subarray(512, 2048));
  const make = (data: nvme.NvmeData) => () =>
    nvme.read(PLAIN, { lba: 0, data, buffer });
  const text = "the bytes do not lie inside the registered buffer";
  const inside = all.subarray(512, 1024);
  range(text, make(all.subarray(0, 512)));
  range(text, make(all.subarray(1792, 2304)));
  range(text, make(block));
  const fields = { opcode: 0xc0, nsid: 0, data: block, buffer };
  range(text, () => nvme.passthru(FD, fields));
  if (SEVERAL === "") {
    range(text, make([inside, all.subarray(2048, 2560)]));
    make([inside, all.subarray(1536, 2048)])();
  }
  // Without data, nothing could lie in the buffer.
  const none = nvme.passthru(PLAIN, { opcode: 0xc0, buffer });
  assertEquals(words(none).uring_cmd_flags, undefined);
});

Deno.test("NVMe: a value that is no descriptor is refused", () => {
  for (const none of ["5", null, undefined, {}]) {
    const fd = none as number;
    const text = "fd must be a number";
    type(text, () => nvme.identifyController(fd));
    type(text, () => nvme.smartLog(fd));
    type(text, () => nvme.nvmeNamespace(fd));
    const object = typeof none === "object" && none !== null;
    const why = object ? "target must be an NvmeNamespace, not {...}." : text;
    type(why, () => nvme.passthru(fd, { opcode: 0xc0, nsid: 0 }));
  }
  range("fd must be", () => nvme.firmwareLog(-1));
});

// ---- Namespaces ------------------------------------------------------------

Deno.test("NVMe: a file that is not the node of a namespace is refused by its name", () => {
  using node = devNull();
  type(
    `fd ${node.fd} is /dev/null. Open the node of an NVMe namespace`,
    () => nvme.nvmeNamespace(node.fd),
  );
});

Deno.test("NVMe: an object that only looks like a namespace is refused", () => {
  const data = block;
  const blocks = 1;
  const lba = 0;
  const heir = Object.create(NvmeNamespace.prototype, {});
  for (const none of [{ ...PLAIN }, heir, new Proxy(PLAIN, {}), 6, null]) {
    assertEquals(NvmeNamespace.is(none), false);
    for (
      const make of [
        (to) => nvme.read(to, { lba, data }),
        (to) => nvme.write(to, { lba, data }),
        (to) => nvme.compare(to, { lba, data }),
        (to) => nvme.zoneAppend(to, { lba, data }),
        (to) => nvme.verify(to, { lba, blocks }),
        (to) => nvme.writeZeroes(to, { lba, blocks }),
        (to) => nvme.flush(to),
        (to) => nvme.datasetManagement(to, { ranges: [{ lba, blocks }] }),
        (to) => nvme.zoneManagementReceive(to, { lba }),
        (to) => nvme.zoneManagementSend(to, { lba, action: "open" }),
      ] as ((to: NvmeNamespace) => unknown)[]
    ) {
      type("namespace must be an NvmeNamespace, not", () => make(none));
      type("Pass what nvmeNamespace(fd) returned.", () => make(none));
    }
    if (typeof none !== "object" || none === null) continue;
    type(
      "target must be an NvmeNamespace, not {...}. Pass what " +
        "nvmeNamespace(fd) returned.",
      () => nvme.passthru(none, { opcode: 0xc0, nsid: 7 }),
    );
  }
});

Deno.test("NVMe: each fact of a namespace is checked when it is made", () => {
  const wrong = (facts: Record<string, unknown>) => () =>
    new NvmeNamespace({ ...PLAIN, ...facts } as NvmeNamespace);
  range("file must be an integer from 0 to", wrong({ file: -1 }));
  type("file must be a number, not object", wrong({ file: { index: 0 } }));
  range("nsid must be an integer", wrong({ nsid: 2 ** 32 }));
  for (const blockSize of [0, 0.5, 2 ** 32]) {
    range("blockSize must be an integer from 1 to", wrong({ blockSize }));
  }
  for (const metadataSize of [-1, 2 ** 16]) {
    range("metadataSize must be an integer from", wrong({ metadataSize }));
  }
  range("protectionType must be an integer", wrong({ protectionType: 8 }));
  range("blocks must fit 64 bits unsigned", wrong({ blocks: -1n }));
  for (const maxTransferBytes of [-1, NaN, 4096n, undefined]) {
    type("maxTransferBytes must be a number", wrong({ maxTransferBytes }));
  }
  type("maxAppendBytes must be a number", wrong({ maxAppendBytes: NaN }));
  type("maxSegments must be a number", wrong({ maxSegments: "128" }));
  for (const guardBits of [0, 8, 48, "16"]) {
    range("guardBits must be 16, 32 or 64, not", wrong({ guardBits }));
  }
  range("storageTagBits must be", wrong({ storageTagBits: 33 }));
  type("facts must be an object, not 6", () => new NvmeNamespace(6 as never));
});

Deno.test("NVMe: an option that is no boolean is refused by its name", () => {
  const lba = 0;
  const ranges = [{ lba, blocks: 8 }];
  const range = { lba, blocks: 8 };
  for (const name of ["writable", "metadataInline"]) {
    const make = (value?: boolean) =>
      new NvmeNamespace({ ...PLAIN, [name]: value });
    assertBoolean(name, make);
    type(`${name} must be a boolean, not undefined`, make);
  }
  for (const name of ["deallocate", "integralRead", "integralWrite"]) {
    const make = (value: boolean) =>
      nvme.datasetManagement(PLAIN, { ranges, [name]: value });
    assertBoolean(name, make);
  }
  assertBoolean(
    "deallocate",
    (deallocate) => nvme.writeZeroes(PLAIN, { ...range, deallocate }),
  );
  for (const name of ["forceUnitAccess", "limitedRetry"]) {
    assertBoolean(
      name,
      (value) => nvme.read(PLAIN, { lba, data: block, [name]: value }),
    );
    assertBoolean(
      name,
      (value) => nvme.verify(PLAIN, { ...range, [name]: value }),
    );
  }
  for (
    const name of [
      "action",
      "checkGuard",
      "checkApplicationTag",
      "checkReferenceTag",
    ]
  ) {
    assertBoolean(
      name,
      (value) =>
        nvme.verify(PLAIN, { ...range, protection: { [name]: value } }),
    );
  }
  assertBoolean(
    "save",
    (save) => nvme.setFeatures(FD, { feature: 6, value: 0, save }),
  );
});

Deno.test("NVMe: a namespace keeps the facts that were checked", () => {
  // Each fact is another one from the second time on.
  const lies = Object.defineProperties(
    {},
    Object.fromEntries(
      Object.entries(PLAIN).map(([name, value]) => {
        let times = 0;
        const get = () => times++ === 0 ? value : "a lie";
        return [name, { get, enumerable: true }];
      }),
    ),
  );
  const namespace = new NvmeNamespace(lies as NvmeNamespace);
  assertEquals({ ...namespace }, { ...PLAIN });
  type("read only", () => Object.assign(namespace, { blockSize: 1 }));
  type(
    "redefine",
    () => Object.defineProperty(namespace, "blockSize", { get: () => 1 }),
  );
  class Heir extends NvmeNamespace {
    override readonly blockSize = 1;
  }
  type("redefine", () => new Heir(PLAIN));
});

Deno.test("NVMe: the same namespace behind another file differs in that file only", () => {
  const file = new FixedFile(3);
  const fixed = SPACIOUS.withFile(file);
  assert(NvmeNamespace.is(fixed));
  assertEquals({ ...fixed }, { ...SPACIOUS, file });
  assertStrictEquals(fixed.file, file);
  range("file must be an integer", () => PLAIN.withFile(-1));
});
