/** The pages of NVMe drives without a drive: their commands, and their decoders. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type Command, Completion, Ring, UringError } from "../../mod.ts";
import * as nvme from "../../cmd/nvme/mod.ts";
import { NvmeError, NvmeNamespace } from "../../cmd/nvme/mod.ts";
import { devNull } from "../kit/fds.ts";
import * as golden from "../kit/golden.ts";
import { assertBoolean } from "../kit/booleans.ts";

/** The descriptor of a controller; nothing is open there. */
const FD = 5;
const ALL = 0xffff_ffff;

const PAYLOAD: readonly string[] = [
  ...["opcode", "nsid", "cdw2", "cdw3", "", "", "", ""],
  ...["metadata_len", "data_len", "cdw10", "cdw11"],
  ...["cdw12", "cdw13", "cdw14", "cdw15", "timeout_ms"],
];

/** Asserts the name of an admin command, and all words of its SQE. */
function assertAdmin(
  command: Command<unknown>,
  name: string,
  words: Record<string, number>,
): void {
  assertEquals(command.name, `URING_CMD NVME ${name}`);
  const found = golden.words(command, true, PAYLOAD);
  const common = { op: 0x2e, fd: FD, cmd_op: 0xc048_4e82 };
  assertEquals(found, { ...common, ...words }, name);
}

/** Decodes a page, amid other memory, of which some bytes are set. */
function decode<T>(
  command: Command<T>,
  parts: Record<number, readonly number[]>,
): T {
  const { byteLength } = command.operands[0];
  const around = new Uint8Array(byteLength + 128).fill(0xff);
  const page = around.subarray(64, 64 + byteLength).fill(0);
  for (const [at, part] of Object.entries(parts)) page.set(part, Number(at));
  const found = command.decode!(new Completion(0, 0, [page]));
  around.fill(0xee); // The result keeps none of the memory.
  return found;
}

/** Returns a number as bytes, the lowest first. */
function le(value: number | bigint, byteLength: number): number[] {
  return Array.from(
    { length: byteLength },
    (_, i) => Number(BigInt(value) >> BigInt(8 * i) & 0xffn),
  );
}

// ---- Commands --------------------------------------------------------------

Deno.test("NVMe: any log page has a command with all of its fields", () => {
  const page = nvme.getLogPage(FD, {
    lid: 0xc1,
    byteLength: 0x4_0004,
    offset: 0x0102_0304_0506_0708n,
    nsid: 9,
    lsp: 0x7f,
    lsi: 0xabcd,
    uuidIndex: 0x55,
    csi: 0xf2,
    retainAsyncEvent: true,
    timeoutMs: 7,
  });
  assertAdmin(page, "LOG PAGE 0xc1", {
    ...{ opcode: 2, nsid: 9, data_len: 0x4_0004, timeout_ms: 7 },
    cdw10: 0x0000_ffc1, // NUMDL 0: 0x10000 dwords, less one; RAE, LSP, LID
    cdw11: 0xabcd_0001, // LSI, NUMDU
    ...{ cdw12: 0x0506_0708, cdw13: 0x0102_0304 }, // the offset
    cdw14: 0xf200_0055, // CSI, UUID index
  });
  assertAdmin(
    nvme.getLogPage(FD, { lid: 2, byteLength: 512 }),
    "LOG PAGE 0x2",
    { opcode: 2, nsid: ALL, data_len: 512, cdw10: 0x007f_0002 },
  );
  assertEquals(
    [...decode(nvme.getLogPage(FD, { lid: 2, byteLength: 8 }), { 7: [9] })],
    [0, 0, 0, 0, 0, 0, 0, 9],
  );
});

Deno.test("NVMe: wrong fields of a log page are refused by name", () => {
  const make = (options: object) => () =>
    nvme.getLogPage(FD, { lid: 2, byteLength: 512, ...options });
  for (
    const [options, message] of [
      [{ lid: 256 }, "lid must be"],
      [{ byteLength: 0 }, "byteLength must be an integer from 4"],
      [{ byteLength: 510 }, "byteLength must be a multiple of 4, not 510"],
      [{ byteLength: 2 ** 22 + 4 }, "byteLength must be"],
      [{ offset: 2 }, "offset must be a multiple of 4, not 2"],
      [{ offset: -4 }, "offset must be"],
      [{ lsp: 128 }, "lsp must be"],
      [{ lsi: 0x1_0000 }, "lsi must be"],
      [{ uuidIndex: 128 }, "uuidIndex must be"],
      [{ csi: 256 }, "csi must be"],
      [{ nsid: 2 ** 32 }, "nsid must be"],
    ] as const
  ) assertThrows(make(options), RangeError, message);
  assertThrows(make({ lid: undefined }), TypeError, "lid must be a number");
  assertBoolean(
    "retainAsyncEvent",
    (retainAsyncEvent) => make({ retainAsyncEvent })(),
  );
});

Deno.test("NVMe: options that are no object, and unknown words, are refused", () => {
  const functions: Record<string, (fd: number, options: never) => unknown> = {
    ...{ getLogPage: nvme.getLogPage, deviceSelfTest: nvme.deviceSelfTest },
    ...{ effectsLog: nvme.effectsLog, telemetryHeader: nvme.telemetryHeader },
    ...{ formatNvm: nvme.formatNvm, sanitize: nvme.sanitize },
    enduranceGroupLog: nvme.enduranceGroupLog,
    namespaceDescriptors: nvme.namespaceDescriptors,
    identifyZonedNamespace: nvme.identifyZonedNamespace,
  };
  for (const [name, make] of Object.entries(functions)) {
    for (const options of [null, 5, "text"]) {
      assertThrows(
        () => make(FD, options as never),
        TypeError,
        "options must be an object",
        name,
      );
    }
  }
  const initiator = "device" as "host";
  assertThrows(
    () => nvme.telemetryHeader(FD, { initiator }),
    TypeError,
    "initiator must be one of host, controller",
  );
  const test = "long" as "short";
  assertThrows(
    () => nvme.deviceSelfTest(FD, { test }),
    TypeError,
    "test must be one of short",
  );
  const action = "exit" as "overwrite";
  const destroyAllData = true;
  assertThrows(
    () => nvme.sanitize(FD, { action, destroyAllData }),
    TypeError,
    "action must be one of blockErase",
  );
  for (
    const [options, message] of [
      [{ nsid: -1 }, "nsid must be"],
      [{ parameter: 0x1_0000 }, "parameter must be"],
    ] as const
  ) {
    const all = { test: "short", ...options } as const;
    assertThrows(() => nvme.deviceSelfTest(FD, all), RangeError, message);
  }
  const group = 0x1_0000;
  assertThrows(
    () => nvme.enduranceGroupLog(FD, { group }),
    RangeError,
    "group",
  );
});

Deno.test("NVMe: the commands for the usual pages match their golden words", () => {
  const log = { opcode: 2, nsid: ALL };
  assertAdmin(nvme.selfTestLog(FD), "SELF-TEST LOG", {
    ...{ ...log, data_len: 564, cdw10: 0x008c_0006 },
  });
  assertAdmin(nvme.effectsLog(FD, { csi: 2 }), "EFFECTS LOG", {
    ...{ ...log, data_len: 4096, cdw10: 0x03ff_0005, cdw14: 0x0200_0000 },
  });
  assertAdmin(nvme.sanitizeLog(FD), "SANITIZE LOG", {
    ...{ ...log, data_len: 512, cdw10: 0x007f_0081 },
  });
  const none = { opcode: 2, data_len: 512 }; // Of no namespace.
  assertAdmin(
    nvme.enduranceGroupLog(FD, { group: 0x0102 }),
    "ENDURANCE GROUP LOG",
    { ...none, cdw10: 0x007f_0009, cdw11: 0x0102_0000 },
  );
  const head = "TELEMETRY HEADER";
  const host = { ...none, cdw10: 0x007f_0007 };
  assertAdmin(nvme.telemetryHeader(FD), head, host);
  const create = nvme.telemetryHeader(FD, { create: true });
  assertAdmin(create, head, { ...host, cdw10: 0x007f_0107 });
  // The event of the controller is kept for who reads the data.
  const own = nvme.telemetryHeader(FD, { initiator: "controller" });
  assertAdmin(own, head, { ...none, cdw10: 0x007f_8008 });
  const both = { initiator: "controller", create: true } as const;
  const message = "create captures data";
  assertThrows(() => nvme.telemetryHeader(FD, both), TypeError, message);

  const identify = { opcode: 6, data_len: 4096 };
  assertAdmin(
    nvme.namespaceDescriptors(FD, { nsid: 9 }),
    "IDENTIFY DESCRIPTORS",
    { ...identify, nsid: 9, cdw10: 3 },
  );
  const zoned = { ...identify, cdw11: 0x0200_0000 };
  assertAdmin(nvme.identifyZonedController(FD), "IDENTIFY ZONED CONTROLLER", {
    ...{ ...zoned, cdw10: 6 },
  });
  assertAdmin(
    nvme.identifyZonedNamespace(FD, { nsid: 4 }),
    "IDENTIFY ZONED NAMESPACE",
    { ...zoned, nsid: 4, cdw10: 5 },
  );
});

Deno.test("NVMe: the commands of self-tests, formats and sanitizes match their golden words", () => {
  for (
    const [test, cdw10] of [
      ["short", 1],
      ["extended", 2],
      ["hostInitiatedRefresh", 3],
      ["vendor", 14],
      ["abort", 15],
    ] as const
  ) {
    const command = nvme.deviceSelfTest(FD, { test });
    const words = { opcode: 0x14, nsid: ALL, cdw10 };
    assertAdmin(command, `DEVICE SELF-TEST ${test}`, words);
  }
  const vendor = { test: "vendor", nsid: 3, parameter: 0xabcd } as const;
  assertAdmin(nvme.deviceSelfTest(FD, vendor), "DEVICE SELF-TEST vendor", {
    ...{ opcode: 0x14, nsid: 3, cdw10: 14, cdw15: 0xabcd },
  });

  const destroyAllData = true;
  const plain = nvme.formatNvm(FD, { nsid: 1, format: 0, destroyAllData });
  const ten = { timeout_ms: 600_000 };
  assertAdmin(plain, "FORMAT NVM of namespace 1", {
    ...{ opcode: 0x80, nsid: 1, ...ten },
  });
  const full = nvme.formatNvm(FD, {
    nsid: "all",
    format: 0x2f,
    erase: "crypto",
    metadataInline: true,
    protectionType: 3,
    protectionFirst: true,
    timeoutMs: 9,
    destroyAllData,
  });
  assertAdmin(full, "FORMAT NVM of all namespaces", {
    ...{ opcode: 0x80, nsid: ALL, timeout_ms: 9 },
    cdw10: 0xf | 1 << 4 | 3 << 5 | 1 << 8 | 2 << 9 | 2 << 12,
  });

  const block = { action: "blockErase", destroyAllData } as const;
  assertAdmin(nvme.sanitize(FD, block), "SANITIZE blockErase", {
    ...{ opcode: 0x84, cdw10: 2 },
  });
  const crypto = { action: "cryptoErase", allowExit: true } as const;
  assertAdmin(
    nvme.sanitize(FD, { ...crypto, noDeallocate: true, destroyAllData }),
    "SANITIZE cryptoErase",
    { opcode: 0x84, cdw10: 4 | 1 << 3 | 1 << 9 },
  );
  const over = { action: "overwrite", pattern: 0xdead_beef } as const;
  const name = "SANITIZE overwrite";
  const words = { opcode: 0x84, cdw11: 0xdead_beef };
  for (const [passes, field] of [[1, 1], [15, 15], [16, 0]]) {
    const inverted = { passes, invertPattern: true, destroyAllData } as const;
    const command = nvme.sanitize(FD, { ...over, ...inverted });
    assertAdmin(command, name, { ...words, cdw10: 3 | field << 4 | 1 << 8 });
  }
  const exit = nvme.exitSanitizeFailure(FD);
  assertAdmin(exit, "SANITIZE exit failure mode", { opcode: 0x84, cdw10: 1 });
});

Deno.test("NVMe: what destroys all data is refused without consent", () => {
  const format = { nsid: 1, format: 0 };
  const sanitize = { action: "blockErase" } as const;
  for (const destroyAllData of [undefined, false, 1, "true", null]) {
    const consent = { destroyAllData } as unknown as { destroyAllData: true };
    assertThrows(
      () => nvme.formatNvm(FD, { ...format, ...consent }),
      TypeError,
      "FORMAT NVM of namespace 1 destroys data permanently. Pass destroyAllData",
    );
    assertThrows(
      () => nvme.sanitize(FD, { ...sanitize, ...consent }),
      TypeError,
      "SANITIZE blockErase destroys data permanently",
    );
  }
  const destroyAllData = true;
  for (
    const [options, message] of [
      [{ nsid: 0 }, "nsid must be"],
      [{ format: 64 }, "format must be"],
      [{ protectionType: 4 }, "protectionType must be"],
      [{ timeoutMs: -1 }, "timeoutMs must be"],
    ] as const
  ) {
    const all = { ...format, ...options, destroyAllData } as const;
    assertThrows(() => nvme.formatNvm(FD, all), RangeError, message);
  }
  for (const erase of ["secure", "toString", 1] as unknown as "none"[]) {
    const all = { ...format, erase, destroyAllData } as const;
    assertThrows(() => nvme.formatNvm(FD, all), TypeError, "erase must be one");
  }
  for (const passes of [0, 17]) {
    const all = { ...sanitize, passes, destroyAllData } as const;
    assertThrows(() => nvme.sanitize(FD, all), RangeError, "passes must be");
  }
  assertBoolean("shared", (shared) => {
    nvme.sanitize(FD, { ...sanitize, shared, destroyAllData });
    nvme.formatNvm(FD, { ...format, shared, destroyAllData });
  });
});

Deno.test("NVMe: what destroys data goes to no other device, and to no closed file", async () => {
  await using ring = Ring.open({ sqe128: true, cqe32: true });
  using file = devNull();
  const destroyAllData = true;
  for (const shared of [false, true]) {
    for (
      const make of [
        (fd: number) =>
          nvme.formatNvm(fd, { nsid: 1, format: 0, shared, destroyAllData }),
        (fd: number) =>
          nvme.sanitize(fd, { action: "overwrite", shared, destroyAllData }),
      ]
    ) {
      await assertRejects(
        () => ring.cmd(make(file.fd)),
        TypeError,
        "is /dev/null, not the node of an NVMe controller",
      );
      const closed = make(0x7fff_fff0);
      const error = await assertRejects(() => ring.cmd(closed), UringError);
      assertEquals(error.code, "EBADF");
    }
  }
});

// ---- Bits ------------------------------------------------------------------

/** Numbers with bits: where they are, and their bits by name. */
const BITS = {
  multipath: [76, 1, {
    ...{ severalPorts: 0, severalControllers: 1, virtualFunction: 2 },
    asymmetricAccess: 3,
  }],
  asyncEvents: [92, 4, {
    ...{ namespaceAttributes: 8, firmwareActivation: 9, asymmetricAccess: 11 },
    ...{ predictableLatency: 12, blockStatus: 13, enduranceGroups: 14 },
    ...{ shutdown: 15, temperatureRecovery: 16, zoneDescriptors: 27 },
    discoveryLog: 31,
  }],
  attributes: [96, 4, {
    ...{ longHostId: 0, nonOperationalPermissive: 1, nvmSets: 2 },
    ...{ readRecoveryLevels: 3, enduranceGroups: 4, predictableLatency: 5 },
    ...{ trafficKeepsAlive: 6, namespaceGranularity: 7, queueAssociations: 8 },
    ...{ uuidList: 9, severalDomains: 10, fixedCapacity: 11 },
    ...{ variableCapacity: 12, deleteEnduranceGroup: 13, deleteNvmSet: 14 },
    ...{ extendedFormats: 15, limitsExcludeMetadata: 16 },
    ...{ restrictedHostMemory: 17, flexibleDataPlacement: 19 },
  }],
  optionalAdminCommands: [256, 2, {
    ...{ security: 0, format: 1, firmware: 2, namespaceManagement: 3 },
    ...{ selfTest: 4, directives: 5, managementInterface: 6 },
    ...{ virtualization: 7, doorbellBuffer: 8, blockStatus: 9, lockdown: 10 },
    liveMigration: 11,
  }],
  logPageAttributes: [261, 1, {
    ...{ smartOfNamespaces: 0, effects: 1, offsets: 2, telemetry: 3 },
    ...{ persistentEvents: 4, supportedPages: 5, telemetryArea4: 6 },
  }],
  sanitizeCapabilities: [328, 4, {
    ...{ cryptoErase: 0, blockErase: 1, overwrite: 2, alwaysDeallocates: 29 },
  }],
  optionalNvmCommands: [520, 2, {
    ...{ compare: 0, writeUncorrectable: 1, datasetManagement: 2 },
    ...{ writeZeroes: 3, saveFeatures: 4, reservations: 5, timestamp: 6 },
    ...{ verify: 7, copy: 8, atomicCopy: 9, fastCopy: 10 },
  }],
  formatAttributes: [524, 1, {
    ...{ formatsAll: 0, erasesAll: 1, cryptoErase: 2, noBroadcast: 3 },
  }],
} as const;
/** Those of a namespace. */
const NAMESPACE_BITS = {
  features: [24, 1, {
    ...{ thinProvisioning: 0, ownAtomicSizes: 1, deallocatedError: 2 },
    ...{ idsNotReused: 3, optimalSizes: 4 },
  }],
  metadataCapabilities: [27, 1, { inline: 0, separate: 1 }],
  protectionCapabilities: [28, 1, {
    ...{ type1: 0, type2: 1, type3: 2, firstBytes: 3, lastBytes: 4 },
  }],
  reservationCapabilities: [31, 1, {
    ...{ persistent: 0, writeExclusive: 1, exclusiveAccess: 2 },
    ...{ writeExclusiveRegistrants: 3, exclusiveAccessRegistrants: 4 },
    ...{ writeExclusiveAll: 5, exclusiveAccessAll: 6, ignoresExistingKey: 7 },
  }],
} as const;
/** Those of the SMART log. */
const SMART_BITS = {
  criticalWarning: [0, 1, {
    ...{ spareBelowThreshold: 0, temperature: 1, reliabilityDegraded: 2 },
    ...{ mediaReadOnly: 3, volatileBackupFailed: 4 },
    persistentMemoryUnreliable: 5,
  }],
  enduranceGroupWarnings: [6, 1, {
    ...{ spareBelowThreshold: 0, reliabilityDegraded: 2, readOnly: 3 },
  }],
} as const;
/** That of an endurance group. */
const GROUP_BITS = {
  criticalWarning: [0, 1, {
    ...{ spareBelowThreshold: 0, reliabilityDegraded: 2, readOnly: 3 },
  }],
} as const;

Deno.test("NVMe: each bit of a number is the boolean of its name, and no other", () => {
  const tables: [Command<object>, Record<string, unknown>][] = [
    [nvme.identifyController(FD), BITS],
    [nvme.identifyNamespace(FD, { nsid: 1 }), NAMESPACE_BITS],
    [nvme.smartLog(FD), SMART_BITS],
    [nvme.enduranceGroupLog(FD, { group: 1 }), GROUP_BITS],
  ];
  for (const [command, table] of tables) {
    for (const [field, row] of Object.entries(table)) {
      const [at, size, bits] = row as [number, number, Record<string, number>];
      for (let bit = 0; bit < size * 8; bit++) {
        const raw = 2 ** bit;
        const found = decode(command, { [at]: le(raw, size) });
        const { [field]: number, [`${field}Bits`]: named } =
          found as unknown as Record<string, unknown>;
        assertEquals(number, raw, field);
        const expected = Object.entries(bits).map((
          [name, of],
        ) => [name, of === bit]);
        assertEquals(named, Object.fromEntries(expected), `${field} ${bit}`);
      }
    }
  }
});

Deno.test("NVMe: fields of several bits are numbers and names", () => {
  const firmware = (frmw: number) =>
    decode(nvme.identifyController(FD), { 260: [frmw] }).firmwareUpdatesBits;
  const none = {
    ...{ firstSlotReadOnly: false, slots: 0, activatesWithoutReset: false },
    detectsOverlap: false,
  };
  assertEquals(firmware(0), none);
  assertEquals(firmware(0x01), { ...none, firstSlotReadOnly: true });
  assertEquals(firmware(0x0e), { ...none, slots: 7 });
  assertEquals(firmware(0x16), {
    ...{ ...none, slots: 3, activatesWithoutReset: true },
  });
  assertEquals(firmware(0x20), { ...none, detectsOverlap: true });
  const deallocate = (dlfeat: number) =>
    decode(nvme.identifyNamespace(FD, { nsid: 1 }), { 33: [dlfeat] })
      .deallocateFeaturesBits;
  const off = { writeZeroes: false, guardOfData: false };
  assertEquals(deallocate(0), { reads: "unknown", ...off });
  assertEquals(deallocate(1), { reads: "zeros", ...off });
  assertEquals(deallocate(2), { reads: "ones", ...off });
  assertEquals(deallocate(7), { reads: "unknown", ...off });
  const wzds = { ...off, writeZeroes: true };
  assertEquals(deallocate(9), { reads: "zeros", ...wzds });
  const gds = { ...off, guardOfData: true };
  assertEquals(deallocate(0x10), { reads: "unknown", ...gds });
});

// ---- Pages -----------------------------------------------------------------

Deno.test("NVMe: the power states of a controller are decoded in watts", () => {
  const at = (i: number) => 2048 + 32 * i;
  const { powerStateDescriptors: states } = decode(
    nvme.identifyController(FD),
    {
      263: [2], // NPSS
      [at(0)]: [
        ...[...le(825, 2), 0, 0], // MP: 8.25 W
        ...[...le(5, 4), ...le(0x8000_0006, 4)], // ENLAT, EXLAT
        ...[1, 2, 3, 0xe4], // RRT, RRL, RWT, RWL: five bits each
        ...[...le(49, 2), 2 << 6, 0], // IDLP, IPS: 0.49 W
        ...[...le(651, 2), 2 << 6 | 2], // ACTP, APS, APW: 6.51 W, workload 2
      ],
      [at(2)]: [
        ...[...le(50, 2), 0, 3], // MP in 0.0001 W, non-operational: 0.005 W
        ...le(0, 12),
        ...[...le(50, 2), 1 << 6, 0], // IDLP: 0.005 W
        ...[...le(7, 2), 3 << 6], // A scale that is reserved
      ],
      [at(3)]: [1, 1], // There is no such state.
    },
  );
  const none = {
    ...{ maxPowerWatts: 0, nonOperational: false, entryMicros: 0 },
    ...{ exitMicros: 0, readThroughputRank: 0, readLatencyRank: 0 },
    ...{ writeThroughputRank: 0, writeLatencyRank: 0, idlePowerWatts: 0 },
    ...{ activePowerWatts: 0, activePowerWorkload: 0 },
  };
  assertEquals(states, [
    {
      ...{ maxPowerWatts: 8.25, nonOperational: false, entryMicros: 5 },
      ...{ exitMicros: 0x8000_0006, readThroughputRank: 1, readLatencyRank: 2 },
      ...{ writeThroughputRank: 3, writeLatencyRank: 4, idlePowerWatts: 0.49 },
      ...{ activePowerWatts: 6.51, activePowerWorkload: 2 },
    },
    none,
    {
      ...{ ...none, maxPowerWatts: 0.005, nonOperational: true },
      idlePowerWatts: 0.005,
    },
  ]);
  const many = decode(nvme.identifyController(FD), { 263: [255] });
  assertEquals(many.powerStateDescriptors.length, 32);
});

const RESULT = "aborted by a command";

Deno.test("NVMe: the log of self-tests has the tests that were made", () => {
  const at = (i: number) => 4 + 28 * i;
  const command = nvme.selfTestLog(FD);
  const log = decode(command, {
    0: [0xf2, 0x80 | 42], // An extended test runs; the upper bits are reserved.
    [at(0)]: [
      ...[0x17, 3, 0x0f, 0], // short, a known segment failed; all is valid
      ...le(0x0102_0304_0506_0708n, 8), // POH
      ...[...le(7, 4), ...le(2n ** 63n, 8)], // NSID, FLBA
      ...[2, 0x81, 0xcd, 0xab], // SCT, SC, VS
    ],
    [at(1)]: [0x20, 9, 0, 0, ...le(5, 8), ...le(7, 20)], // Nothing is valid.
    [at(2)]: [0x1f], // Unused
    [at(3)]: [0x4a], // Names that nobody gave.
    [at(4)]: [0xe1],
    [at(19)]: [0x39], // The last place.
  });
  const none = {
    ...{ segment: null, nsid: null, lba: null, statusCodeType: null },
    ...{ statusCode: null, statusName: null, vendorSpecific: 0 },
    powerOnHours: 0n,
  };
  assertEquals(log, {
    currentTest: "extended",
    completionPercent: 42,
    results: [
      {
        ...{ test: "short", result: 7, resultName: "failed", segment: 3 },
        ...{ powerOnHours: 0x0102_0304_0506_0708n, nsid: 7, lba: 2n ** 63n },
        ...{ statusCodeType: 2, statusCode: 0x81 },
        ...{ statusName: "Unrecovered Read Error", vendorSpecific: 0xabcd },
      },
      {
        ...{ ...none, test: "extended", result: 0, resultName: "passed" },
        powerOnHours: 5n,
      },
      { ...none, test: 4, result: 10, resultName: "result 10" },
      {
        ...{ ...none, test: "vendor", result: 1 },
        resultName: RESULT,
      },
      {
        ...{ ...none, test: "hostInitiatedRefresh", result: 9 },
        resultName: "aborted by a sanitize",
      },
    ],
  });
  // The type of a status without its code has no name, nor a code without a type.
  for (
    const [valid, statusCodeType, statusCode] of [[4, 2, null], [8, null, 1]]
  ) {
    const part = [0x11, 0, valid!, 0, ...le(0, 20), 2, 1];
    const [found] = decode(command, { [at(0)]: part }).results;
    const known = { statusCodeType, statusCode };
    const { test, result, resultName, ...rest } = found;
    assertEquals([test, result, resultName], ["short", 1, RESULT]);
    assertEquals(rest, { ...none, ...known });
  }
  // All zeros are a drive that made no test, and makes none.
  const idle = { currentTest: null, completionPercent: 0, results: [] };
  assertEquals(decode(command, {}), idle);
  assertEquals(decode(command, { 0: [0, 50] }), idle);
  assertEquals(decode(command, { 0: [4] }).currentTest, 4);
});

Deno.test("NVMe: the effects log has the commands that there are", () => {
  const log = decode(nvme.effectsLog(FD), {
    0x08: le(1, 4), // Get Log Page
    0x200: le(0x0002_001f, 4), // Format NVM: alone in the controller
    0x204: le(0x0002_000e, 4), // Not there, whatever else is said.
    0x3fc: le(0x0008_0001, 4), // A vendor's, with a UUID
    0x400: le(0x0001_0001, 4), // Flush: alone in the namespace
    0x404: le(3, 4), // Write
  });
  const none = {
    ...{ changesBlocks: false, changesNamespace: false },
    ...{ changesInventory: false, changesController: false },
    ...{ selectsUuid: false, exclusive: 0 },
  };
  assertEquals(log, {
    adminCommands: [
      { opcode: 0x02, effects: 1, ...none },
      {
        ...{ opcode: 0x80, effects: 0x0002_001f, changesBlocks: true },
        ...{ changesNamespace: true, changesInventory: true },
        ...{ changesController: true, selectsUuid: false, exclusive: 2 },
      },
      { opcode: 0xff, effects: 0x0008_0001, ...none, selectsUuid: true },
    ],
    ioCommands: [
      { opcode: 0, effects: 0x0001_0001, ...none, exclusive: 1 },
      { opcode: 1, effects: 3, ...none, changesBlocks: true },
    ],
  });
});

Deno.test("NVMe: every field of the log of an endurance group is decoded", () => {
  const big = (low: number) => [...le(low, 8), ...le(1, 8)];
  const log = decode(nvme.enduranceGroupLog(FD, { group: 1 }), {
    0: [5, 0, 0, 90, 10, 255, 0x02, 0x01],
    ...{ 32: big(1), 48: big(2), 64: big(3), 80: big(4), 96: big(5) },
    ...{ 112: big(6), 128: big(7), 144: big(8), 160: big(9), 176: big(10) },
  });
  const above = 2n ** 64n;
  assertEquals(log, {
    criticalWarning: 5,
    criticalWarningBits: {
      spareBelowThreshold: true,
      reliabilityDegraded: true,
      readOnly: false,
    },
    ...{ availableSparePercent: 90, spareThresholdPercent: 10 },
    ...{ usedPercent: 255, domainId: 0x0102 },
    enduranceEstimateGigabytes: above + 1n,
    readGigabytes: above + 2n,
    writtenGigabytes: above + 3n,
    mediaWrittenGigabytes: above + 4n,
    hostReadCommands: above + 5n,
    hostWriteCommands: above + 6n,
    mediaErrors: above + 7n,
    errorLogEntryCount: above + 8n,
    totalCapacityBytes: above + 9n,
    unallocatedCapacityBytes: above + 10n,
  });
});

Deno.test("NVMe: the log of a sanitize has its progress and its times", () => {
  const command = nvme.sanitizeLog(FD);
  const log = decode(command, {
    0: [0x00, 0x40, 0x1a, 0x01], // a quarter; in progress, 3 passes, GDE
    4: le(0x8000_0023, 4),
    ...{ 8: le(1, 4), 12: le(0, 4), 16: le(0xffff_ffff, 4) },
    ...{ 20: le(4, 4), 24: le(5, 4), 28: le(0xffff_fffe, 4) },
  });
  assertEquals(log, {
    ...{ progress: 0.25, status: 2, statusName: "in progress" },
    ...{ completedPasses: 3, globalDataErased: true, command: 0x8000_0023 },
    ...{ overwriteSeconds: 1, blockEraseSeconds: 0, cryptoEraseSeconds: null },
    overwriteNoDeallocateSeconds: 4,
    blockEraseNoDeallocateSeconds: 5,
    cryptoEraseNoDeallocateSeconds: 0xffff_fffe,
  });
  const names = [0, 1, 3, 4, 7].map((status) => {
    const found = decode(command, { 0: [0xff, 0xff, status] });
    assertEquals(found.progress, 1); // Only one in progress counts.
    return found.statusName;
  });
  assertEquals(names, [
    ...["never sanitized", "done", "failed", "done and deallocated"],
    "status 7",
  ]);
});

Deno.test("NVMe: the head of a telemetry log says how long its areas are", () => {
  const parts = {
    0: [7, 0, 0, 0, 0, 0x56, 0x34, 0x12], // LPI, IEEE
    8: [...le(2, 2), ...le(5, 2), ...le(0, 2)], // Areas 1 to 3
    16: le(0x1_0000, 4), // Area 4
    381: [9, 0xff, 3, 0xab, 0xcd],
  };
  const host = decode(nvme.telemetryHeader(FD), parts);
  assertEquals(host, {
    ...{ lid: 7, ieeeOui: "123456", lastBlocks: [2, 5, 0, 0x1_0000] },
    // An empty area ends where the one before it does.
    areaEndBytes: [3 * 512, 6 * 512, 6 * 512, 0x1_0001 * 512],
    ...{ hostGeneration: 9, controllerDataAvailable: true },
    ...{ controllerGeneration: 3, reason: `abcd${"00".repeat(126)}` },
  });
  const own = nvme.telemetryHeader(FD, { initiator: "controller" });
  const found = decode(own, { ...parts, 382: [0] });
  assertEquals(found.hostGeneration, null);
  assertEquals(found.controllerDataAvailable, false);
});

Deno.test("NVMe: the identifiers of a namespace are those before the first empty one", () => {
  const command = nvme.namespaceDescriptors(FD, { nsid: 1 });
  const sixteen = Array.from({ length: 16 }, (_, i) => i);
  const descriptor = (type: number, id: number[]) => [
    ...[type, id.length, 0, 0],
    ...id,
  ];
  const none = {
    ...{ eui64: null, nguid: null, uuid: null, csi: null, others: [] },
  };
  assertEquals(
    decode(command, {
      0: [
        ...descriptor(1, [1, 2, 3, 4, 5, 6, 7, 0xf8]),
        ...descriptor(2, sixteen),
        ...descriptor(3, sixteen),
        ...descriptor(4, [2]),
        ...descriptor(9, [0xab, 0xcd]),
        ...[4, 0, 0, 0], // The end, though a type is there.
        ...descriptor(8, [1]),
      ],
    }),
    {
      eui64: "01020304050607f8",
      nguid: "000102030405060708090a0b0c0d0e0f",
      uuid: "00010203-0405-0607-0809-0a0b0c0d0e0f",
      csi: 2,
      others: [{ type: 9, id: "abcd" }],
    },
  );
  assertEquals(decode(command, {}), none);
  assertEquals(decode(command, { 0: descriptor(4, [0x20]) }).csi, 0x20);
  // The whole page, in descriptors of 255 bytes, and what does not fit it.
  const full = [];
  while (full.length < 4096) full.push(...descriptor(5, Array(255).fill(7)));
  const [{ type, id }] = decode(command, { 0: full.slice(0, 4096) }).others;
  assertEquals([type, id.length], [5, 510]);
  const cut = descriptor(6, Array(200).fill(1));
  const late = [...full.slice(0, 15 * 259), ...cut].slice(0, 4096);
  assertEquals(decode(command, { 0: late }).others.length, 2);
  const end = [
    ...full.slice(0, 15 * 259),
    ...descriptor(6, Array(208).fill(1)),
  ];
  assertEquals(decode(command, { 0: end.slice(0, 4096) }).others.length, 1);
});

Deno.test("NVMe: the identities of the zoned command set are decoded", () => {
  const controller = decode(nvme.identifyZonedController(FD), { 0: [5] });
  assertEquals(controller.appendLimitExponent, 5);
  const command = nvme.identifyZonedNamespace(FD, { nsid: 1 });
  const namespace = decode(command, {
    0: [...le(2, 2), ...le(1, 2), ...le(13, 4), ...le(0xffff_ffff, 4)],
    12: [...le(60, 4), ...le(0x8000_0000, 4)], // RRL, FRL
    2816: [...le(2n ** 40n, 8), 2],
    [2816 + 32]: [...le(8192, 8), 0, 0xff], // The second format is missing.
  });
  const { bytes, ...rest } = namespace;
  assertEquals(bytes.length, 4096);
  assertEquals(rest, {
    ...{ variableCapacity: false, activeExcursions: true },
    ...{ readsAcrossZones: true, randomWriteArea: false },
    ...{ maxActiveZones: 14, maxOpenZones: null },
    ...{ resetRecommendedSeconds: 60, finishRecommendedSeconds: 0x8000_0000 },
    formats: [
      { zoneBlocks: 2n ** 40n, extensionBytes: 128 },
      { zoneBlocks: 0n, extensionBytes: 0 },
      { zoneBlocks: 8192n, extensionBytes: 0 },
    ],
  });
  const { formats, ...off } = decode(command, {});
  assertEquals(formats, []);
  const { variableCapacity, activeExcursions } = off;
  assertEquals([variableCapacity, activeExcursions], [false, false]);
  assertEquals([off.readsAcrossZones, off.randomWriteArea], [false, false]);
});

// ---- JSON ------------------------------------------------------------------

Deno.test("NVMe: every decoded value becomes JSON, with integers as they fit", () => {
  const commands: Command<unknown>[] = [
    nvme.identifyController(FD),
    nvme.identifyNamespace(FD, { nsid: 1 }),
    nvme.activeNamespaces(FD),
    nvme.namespaceDescriptors(FD, { nsid: 1 }),
    nvme.identifyZonedController(FD),
    nvme.identifyZonedNamespace(FD, { nsid: 1 }),
    nvme.smartLog(FD),
    nvme.errorLog(FD, { maxEntries: 3 }),
    nvme.firmwareLog(FD),
    nvme.selfTestLog(FD),
    nvme.effectsLog(FD),
    nvme.enduranceGroupLog(FD, { group: 1 }),
    nvme.sanitizeLog(FD),
    nvme.telemetryHeader(FD),
  ];
  for (const command of commands) {
    for (const byte of [0, 1, 0xff]) {
      const { byteLength } = command.operands[0];
      const value = decode(command, { 0: Array(byteLength).fill(byte) });
      const text = JSON.stringify(value);
      assert(!text.includes('"bytes"'), command.name);
      const names = Object.keys(value as object).filter((it) => it !== "bytes");
      assertEquals(Object.keys(JSON.parse(text)), names, command.name);
    }
  }
  const smart = decode(nvme.smartLog(FD), {
    32: le(2n ** 53n - 1n, 16),
    48: le(2n ** 53n, 16),
    64: Array(16).fill(0xff),
  });
  const json = JSON.parse(JSON.stringify({ drives: [smart] })).drives[0];
  assertEquals(json.dataUnitsRead, 2 ** 53 - 1);
  assertEquals(json.dataUnitsWritten, "9007199254740992");
  assertEquals(json.hostReadCommands, String(2n ** 128n - 1n));
  assertEquals(json.temperatureSensorsKelvin, Array(8).fill(0));
  // What a program does with the value sees no method.
  assertEquals(Object.keys(smart).includes("toJSON"), false);
  assertEquals(structuredClone(smart), smart);
});

Deno.test("NVMe: errors, namespaces and reports of zones become JSON", () => {
  const feature = decode(nvme.getFeatures(FD, { feature: 0x0e }), {
    0: [1, 2],
  });
  assertEquals(JSON.parse(JSON.stringify(feature)).data, "0102000000000000");
  const error = new NvmeError("OP", 3, 0x4085, 2n ** 60n);
  const told = JSON.parse(JSON.stringify(error));
  assertEquals([told.result, told.fd], [String(2n ** 60n), 3]);
  assertEquals([told.name, told.message], ["NvmeError", error.message]);
  const namespace = new NvmeNamespace({
    ...{ file: 6, nsid: 7, blockSize: 512, metadataSize: 0, blocks: 9n },
    ...{ metadataInline: false, protectionType: 0, writable: true },
    maxTransferBytes: Infinity,
  });
  const facts = JSON.parse(JSON.stringify(namespace));
  assertEquals([facts.blocks, facts.maxTransferBytes], [9, null]);
  const report = decode(
    nvme.zoneManagementReceive(namespace, { lba: 0, maxZones: 1 }),
    { 0: [1], 64: [2, 0x10], 72: le(1024, 8), 80: le(2n ** 60n, 8) },
  );
  const [zone] = JSON.parse(JSON.stringify(report)).zones;
  assertEquals([zone.capacity, zone.lba], [1024, String(2n ** 60n)]);
  assertEquals(JSON.parse(JSON.stringify(report.zones[0])), zone);
});

Deno.test("NVMe: a path to no drive is refused with its name", () => {
  const missing = assertThrows(
    () => nvme.controllerNode("/nowhere"),
    UringError,
  );
  assertEquals(missing.code, "ENOENT");
  for (const [path, what] of [["/dev/null", "/dev/null"], ["/", "no device"]]) {
    assertThrows(
      () => nvme.controllerNode(path),
      TypeError,
      `${path} is ${what}, and no node of an NVMe drive. listDrives()`,
    );
  }
  assertThrows(() => nvme.controllerNode("/\0"), TypeError, "zero byte");
  assert(Array.isArray(nvme.listDrives()));
});
