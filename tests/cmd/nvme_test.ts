/** NVMe commands on the drive of the laboratory, which QEMU emulates. */

import {
  assert,
  assertEquals,
  assertGreater,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { equals } from "@std/bytes";
import * as nvme from "../../cmd/nvme/mod.ts";
import { NvmeError, NvmeNamespace } from "../../cmd/nvme/mod.ts";
import {
  Completion,
  type FamilyName,
  probe,
  Ring,
  type RingOptions,
  uringCmd,
} from "../../mod.ts";
import { O_DIRECT, O_RDONLY, O_RDWR, read as readOp } from "../../cmd/op.ts";
import { rereadsSqes } from "../../ring/bare/setup.ts";
import { open, readText } from "../../sys/file.ts";
import {
  NVME_URING_CMD_IO,
  NVME_URING_CMD_IO_VEC,
} from "../../sys/uapi/nvme_ioctl.ts";
import { pattern } from "../kit/bytes.ts";
import { Fd } from "../kit/fds.ts";
import { assertRefused } from "../kit/outcome.ts";
import { output, run, runScript } from "../kit/run.ts";
import { hasLinux, lacksLinux, testUnless } from "../kit/skip.ts";
import { collect } from "../kit/wait.ts";
import {
  controllerPath,
  missing,
  Namespace,
  NSID,
  openController,
  pathOf,
} from "../lab/nvme_drive.ts";

const KiB = 1024;
const LARGE: RingOptions = { sqe128: true, cqe32: true };

const test = (name: string, fn: () => void | Promise<void>) =>
  testUnless(missing, name, fn);

/** Declares a test for kernels from a version on. */
const testSince =
  (a: number, b: number) => (name: string, fn: () => Promise<void>) =>
    testUnless(missing || lacksLinux(a, b), name, fn);

/** Returns the report of nvme-cli on the same drive. */
async function nvmeCli(...args: string[]): Promise<Record<string, unknown>> {
  return JSON.parse(await output("nvme", [...args, "--output-format=json"]));
}

/** Runs a command on the node of the controller. */
async function admin<T>(
  make: (fd: number) => Parameters<typeof Ring.prototype.cmd<T>>[0],
): Promise<T> {
  using file = openController();
  await using ring = Ring.open(LARGE);
  return await ring.cmd(make(file.fd));
}

/** Returns the NvmeError that a promise rejects with. */
async function status(promise: Promise<unknown>): Promise<NvmeError> {
  return await assertRejects(() => promise, NvmeError);
}

// ---- Facts and admin commands ----------------------------------------------

test("NVMe: the facts of a namespace are those of its block device", async () => {
  for (const which of ["plain", "large", "metadata", "zoned"] as const) {
    await using drive = new Namespace(which);
    const { nsid, blockSize, blocks, maxTransferBytes } = drive.namespace;
    const queue = `/sys/block/${pathOf(which, "nvme").slice(5)}/queue`;
    const sysfs = async (name: string) =>
      Number(await Deno.readTextFile(`${queue}/${name}`));
    assertEquals(nsid, NSID[which]);
    assertEquals(blockSize, await sysfs("logical_block_size"));
    const segments = await sysfs("max_segments");
    const bytes = await sysfs("max_hw_sectors_kb") * KiB;
    assertEquals(maxTransferBytes, Math.min(bytes, segments * 4 * KiB));
    const size = Number(await Deno.readTextFile(`${queue}/../size`)) * 512;
    assertEquals(Number(blocks) * blockSize, size);
  }
  await using metadata = new Namespace("metadata", { flags: O_RDONLY });
  assertEquals(metadata.namespace.metadataSize, 8);
  assertEquals(metadata.namespace.metadataInline, false);
  assertEquals(metadata.namespace.protectionType, 0);
  assertEquals(metadata.namespace.writable, false);
  await using protection = new Namespace("protection");
  assertEquals(protection.namespace.protectionType, 1);
  assertEquals(protection.namespace.guardBits, 16);
  await using guard64 = new Namespace("guard64");
  const { guardBits, storageTagBits, metadataSize } = guard64.namespace;
  assertEquals([guardBits, storageTagBits, metadataSize], [64, 0, 16]);
  await using zoned = new Namespace("zonedProtection");
  assertEquals(zoned.namespace.maxAppendBytes, 16 * KiB);
  assertEquals(protection.namespace.maxAppendBytes, Infinity);
  await using inline = new Namespace("inline");
  assertEquals(inline.namespace.metadataInline, true);
  assertEquals(inline.namespace.writable, true);
});

test("NVMe: a node that is no namespace is refused, with the one that is", () => {
  using disk = new Fd(open(pathOf("plain", "nvme"), O_RDONLY));
  assertStringIncludes(
    assertThrows(() => nvme.nvmeNamespace(disk.fd), TypeError).message,
    `${pathOf("plain", "nvme")}. Open the character device beside it, ` +
      pathOf("plain"),
  );
  using controller = openController();
  assertStringIncludes(
    assertThrows(() => nvme.nvmeNamespace(controller.fd), TypeError).message,
    "That is the controller: open a namespace of it",
  );
});

test("NVMe: Identify Controller agrees with nvme-cli in every field", async () => {
  const ours = await admin(nvme.identifyController);
  const cli = await nvmeCli("id-ctrl", controllerPath);
  const version = Number(cli.ver);
  assertEquals(
    {
      vid: ours.vendorId,
      ssvid: ours.subsystemVendorId,
      sn: ours.serialNumber,
      mn: ours.modelNumber,
      fr: ours.firmwareRevision,
      rab: ours.arbitrationBurst,
      ieee: parseInt(ours.ieeeOui, 16),
      cmic: ours.multipath,
      mdts: ours.maxTransferExponent,
      cntlid: ours.controllerId,
      ver: ours.version,
      rtd3r: ours.resumeMicros,
      rtd3e: ours.pauseMicros,
      oaes: ours.asyncEvents,
      ctratt: ours.attributes,
      cntrltype: ours.controllerType,
      oacs: ours.optionalAdminCommands,
      acl: ours.abortLimit - 1,
      aerl: ours.asyncEventLimit - 1,
      frmw: ours.firmwareUpdates,
      lpa: ours.logPageAttributes,
      elpe: ours.errorLogEntries - 1,
      npss: ours.powerStates - 1,
      wctemp: ours.warningTemperatureKelvin,
      cctemp: ours.criticalTemperatureKelvin,
      hmpre: ours.hostMemoryPreferred,
      hmmin: ours.hostMemoryMinimum,
      tnvmcap: Number(ours.totalCapacityBytes),
      unvmcap: Number(ours.unallocatedCapacityBytes),
      kas: ours.keepAliveGranularity,
      sanicap: ours.sanitizeCapabilities,
      maxcmd: ours.maxOutstandingCommands,
      nn: ours.namespaceCount,
      oncs: ours.optionalNvmCommands,
      fuses: ours.fusedOperations,
      fna: ours.formatAttributes,
      vwc: ours.volatileWriteCache,
      awun: ours.atomicWriteBlocks - 1,
      awupf: ours.atomicWritePowerFailBlocks - 1,
      sgls: ours.sglSupport,
      subnqn: ours.subsystemNqn,
    },
    {
      ...pick(
        cli,
        ...["vid", "ssvid", "rab", "ieee", "cmic", "mdts", "cntlid", "rtd3r"],
        ...["rtd3e", "oaes", "ctratt", "cntrltype", "oacs", "acl", "aerl"],
        ...["frmw", "lpa", "elpe", "npss", "wctemp", "cctemp", "hmpre"],
        ...["hmmin", "tnvmcap", "unvmcap", "kas", "sanicap", "maxcmd", "nn"],
        ...["oncs", "fuses", "fna", "awun", "awupf", "sgls"],
      ),
      ...texts(cli, "sn", "mn", "fr", "subnqn"),
      ver: [version >>> 16, version >> 8 & 255, version & 255].join("."),
      vwc: (Number(cli.vwc) & 1) !== 0,
    },
  );
  assertEquals(ours.modelNumber, "QEMU NVMe Ctrl");
  assertEquals(ours.serialNumber, "uring");
  assertEquals(ours.bytes.length, 4096);
});

/** Returns numbers of nvme-cli, which writes large ones as text. */
function pick(
  cli: Record<string, unknown>,
  ...names: string[]
): Record<string, number> {
  return Object.fromEntries(names.map((name) => {
    assert(name in cli, `nvme-cli has no ${name}`);
    return [name, Number(cli[name])];
  }));
}

function texts(
  cli: Record<string, unknown>,
  ...names: string[]
): Record<string, string> {
  return Object.fromEntries(
    names.map((name) => [name, String(cli[name]).trimEnd()]),
  );
}

test("NVMe: Identify Namespace agrees with nvme-cli for each namespace", async () => {
  for (const nsid of Object.values(NSID)) {
    const ours = await admin((fd) => nvme.identifyNamespace(fd, { nsid }));
    const cli = await nvmeCli("id-ns", controllerPath, `-n${nsid}`);
    assertEquals(
      {
        nsze: Number(ours.sizeBlocks),
        ncap: Number(ours.capacityBlocks),
        nuse: Number(ours.usedBlocks),
        nsfeat: ours.features,
        nlbaf: ours.formats.length - 1,
        flbas: ours.format | (ours.metadataInline ? 16 : 0),
        mc: ours.metadataCapabilities,
        dpc: ours.protectionCapabilities,
        dps: ours.protectionType,
        nmic: ours.shared ? 1 : 0,
        rescap: ours.reservationCapabilities,
        dlfeat: ours.deallocateFeatures,
        nvmcap: Number(ours.capacityBytes),
        noiob: ours.optimalBoundaryBlocks,
        nsattr: ours.writeProtected ? 1 : 0,
      },
      pick(
        cli,
        ...["nsze", "ncap", "nuse", "nsfeat", "nlbaf", "flbas", "mc", "dpc"],
        ...["dps", "nmic", "rescap", "dlfeat", "nvmcap", "noiob", "nsattr"],
      ),
    );
    assertEquals([ours.nguid, ours.eui64], [cli.nguid, cli.eui64]);
    assertEquals(
      ours.formats.map(({ dataBytes, metadataBytes, performance }) => ({
        ds: Math.log2(dataBytes),
        ms: metadataBytes,
        rp: performance,
      })),
      (cli.lbafs as Record<string, number>[]).map(({ ds, ms, rp }) => ({
        ds,
        ms,
        rp,
      })),
    );
  }
});

test("NVMe: the active namespaces are those of the drive", async () => {
  const all = Object.values(NSID).sort();
  assertEquals(await admin(nvme.activeNamespaces), all);
  const after = (fd: number) => nvme.activeNamespaces(fd, { after: 3 });
  assertEquals(await admin(after), all.filter((nsid) => nsid > 3));
});

test("NVMe: the SMART log agrees with nvme-cli, 128-bit counters included", async () => {
  // A read between the two would make them differ, and no test makes one.
  const ours = await admin(nvme.smartLog);
  const cli = await nvmeCli("smart-log", controllerPath);
  assertEquals(
    {
      critical_warning: ours.criticalWarning,
      temperature: ours.temperatureKelvin,
      avail_spare: ours.availableSparePercent,
      spare_thresh: ours.spareThresholdPercent,
      percent_used: ours.usedPercent,
      endurance_grp_critical_warning_summary: ours.enduranceGroupWarnings,
      data_units_read: Number(ours.dataUnitsRead),
      data_units_written: Number(ours.dataUnitsWritten),
      host_read_commands: Number(ours.hostReadCommands),
      host_write_commands: Number(ours.hostWriteCommands),
      controller_busy_time: Number(ours.controllerBusyMinutes),
      power_cycles: Number(ours.powerCycles),
      power_on_hours: Number(ours.powerOnHours),
      unsafe_shutdowns: Number(ours.unsafeShutdowns),
      media_errors: Number(ours.mediaErrors),
      num_err_log_entries: Number(ours.errorLogEntryCount),
      warning_temp_time: ours.warningTemperatureMinutes,
      critical_comp_time: ours.criticalTemperatureMinutes,
      thm_temp1_trans_count: ours.thermalThrottle1Count,
      thm_temp2_trans_count: ours.thermalThrottle2Count,
      thm_temp1_total_time: ours.thermalThrottle1Seconds,
      thm_temp2_total_time: ours.thermalThrottle2Seconds,
    },
    pick(
      cli,
      ...["critical_warning", "temperature", "avail_spare", "spare_thresh"],
      ...["percent_used", "endurance_grp_critical_warning_summary"],
      ...["data_units_read", "data_units_written", "host_read_commands"],
      ...["host_write_commands", "controller_busy_time", "power_cycles"],
      ...["power_on_hours", "unsafe_shutdowns", "media_errors"],
      ...["num_err_log_entries", "warning_temp_time", "critical_comp_time"],
      ...["thm_temp1_trans_count", "thm_temp2_trans_count"],
      ...["thm_temp1_total_time", "thm_temp2_total_time"],
    ),
  );
  assertGreater(ours.temperatureKelvin, 273);
  assertGreater(ours.hostReadCommands, 0n);
});

test("NVMe: the counters of the SMART log count reads", async () => {
  const before = await admin(nvme.smartLog);
  await using drive = new Namespace("plain");
  const data = drive.ring.alloc(512);
  for (let lba = 0; lba < 10; lba++) {
    await drive.ring.cmd(nvme.read(drive.namespace, { lba, data }));
  }
  const after = await admin(nvme.smartLog);
  assert(after.hostReadCommands >= before.hostReadCommands + 10n);
});

test("NVMe: the firmware log has the active revision", async () => {
  const { activeSlot, nextSlot, revisions } = await admin(nvme.firmwareLog);
  const stdout = await output("nvme", [
    ...["fw-log", controllerPath, "--output-format=json"],
  ]);
  const [cli] = Object.values<Record<string, number>>(JSON.parse(stdout));
  assertEquals(
    activeSlot | nextSlot << 4,
    cli["Active Firmware Slot (afi)"],
    stdout,
  );
  assertStringIncludes(stdout, revisions[activeSlot - 1]);
  assertEquals(revisions.length, 7);
});

test("NVMe: the error log has at most as many entries as asked for", async () => {
  for (const maxEntries of [1, 4, 64]) {
    const entries = await admin((fd) => nvme.errorLog(fd, { maxEntries }));
    assert(entries.length <= maxEntries);
  }
});

test("NVMe: a feature is read, set and read back", async () => {
  using file = openController();
  await using ring = Ring.open(LARGE);
  const feature = nvme.NVME_FEAT_FID_TEMP_THRESH;
  const before = await ring.cmd(nvme.getFeatures(file.fd, { feature }));
  const value = before.value + 3;
  await ring.cmd(nvme.setFeatures(file.fd, { feature, value }));
  const after = await ring.cmd(nvme.getFeatures(file.fd, { feature }));
  assertEquals(after.value, value);
  const select = "default" as const;
  const first = await ring.cmd(nvme.getFeatures(file.fd, { feature, select }));
  assertEquals(first.value, before.value);
  const { value: old } = before;
  await ring.cmd(nvme.setFeatures(file.fd, { feature, value: old }));
  const cli = await run("nvme", ["get-feature", controllerPath, "-f4", "-b"]);
  assert(cli.success, cli.stderr);
});

test("NVMe: a feature with data is set and read back", async () => {
  using file = openController();
  await using ring = Ring.open(LARGE);
  const feature = nvme.NVME_FEAT_FID_TIMESTAMP;
  // Milliseconds since 1970 in 48 bits; the drive counts on from there.
  const data = new Uint8Array(8);
  const view = new DataView(data.buffer);
  view.setBigUint64(0, 1_700_000_000_000n, true);
  await ring.cmd(nvme.setFeatures(file.fd, { feature, value: 0, data }));
  const { data: now } = await ring.cmd(nvme.getFeatures(file.fd, { feature }));
  const millis = new DataView(now.buffer).getBigUint64(0, true) &
    0xffff_ffff_ffffn;
  assert(millis >= 1_700_000_000_000n && millis < 1_700_000_600_000n);
});

test("NVMe: passthru sends an admin command and returns its data", async () => {
  using file = openController(O_RDONLY);
  await using ring = Ring.open(LARGE);
  const data = ring.alloc(4096);
  const fields = { opcode: 0x06, nsid: 0, cdw10: 1, data };
  assertEquals(await ring.cmd(nvme.passthru(file.fd, fields)), 0n);
  const { bytes } = await ring.cmd(nvme.identifyController(file.fd));
  assertEquals(data, bytes);
  // The same into ordinary memory, which is copied back, and in two pieces.
  const ordinary = new Uint8Array(4096);
  await ring.cmd(nvme.passthru(file.fd, { ...fields, data: ordinary }));
  assertEquals(ordinary, bytes);
  const pieces = ring.alloc(2 * 4096);
  const two = [pieces.subarray(0, 2048), pieces.subarray(2048, 4096)];
  await ring.cmd(nvme.passthru(file.fd, { ...fields, data: two }));
  assertEquals(pieces.slice(0, 4096), bytes);
});

test("NVMe: the probe finds the nodes of the drive, and no others", () => {
  const { families } = probe();
  const found = Object.keys(families).filter((name) => /^NVMe/.test(name));
  const expected = Object.keys(NSID).map((which) =>
    `NVMe ${pathOf(which as keyof typeof NSID)}`
  );
  assertEquals(found.sort(), [...expected, `NVMe ${controllerPath}`].sort());
  for (const name of found) {
    assertEquals(families[name as FamilyName]?.available, "yes");
  }
});

// ---- Blocks ------------------------------------------------------------------

for (const which of ["plain", "large"] as const) {
  test(`NVMe: what is written to the ${which} namespace is read back, also through its block device`, async () => {
    await using drive = new Namespace(which);
    const { ring, namespace } = drive;
    const byteLength = 4 * namespace.blockSize;
    const written = pattern(byteLength, NSID[which]);
    assertEquals(
      await ring.cmd(nvme.write(namespace, { lba: 16, data: written })),
      byteLength,
    );
    // Into memory of the ring, and into memory that the ring copies to.
    for (const data of [ring.alloc(byteLength), new Uint8Array(byteLength)]) {
      const command = nvme.read(namespace, { lba: 16n, data });
      assertEquals(await ring.cmd(command), byteLength);
      assertEquals(data, written);
    }
    using disk = new Fd(open(pathOf(which, "nvme"), O_RDONLY | O_DIRECT));
    const block = ring.alloc(byteLength);
    const offset = 16 * namespace.blockSize;
    await using small = Ring.open();
    await small.cmd(readOp(disk.fd, block, { offset }));
    assertEquals(block, written);
  });
}

test("NVMe: a command that is run again has a new answer each time", async () => {
  await using drive = new Namespace("plain");
  const { ring, namespace } = drive;
  const data = ring.alloc(512);
  const command = nvme.read(namespace, { lba: 7, data });
  for (let i = 0; i < 5; i++) {
    const block = pattern(512, i);
    await ring.cmd(nvme.write(namespace, { lba: 7, data: block }));
    assertEquals(ring.cmdSync(command), 512);
    assertEquals(data, block);
  }
});

test("NVMe: several pieces of memory make one vectored command", async () => {
  await using drive = new Namespace("plain");
  const { ring, namespace } = drive;
  const written = pattern(8 * 512, 3);
  // Pieces need not be whole blocks; together they are.
  const cut = (all: Uint8Array) => [
    all.subarray(0, 512),
    all.subarray(512, 512 + 100),
    all.subarray(612, 4096),
  ];
  const length = await ring.cmd(
    nvme.write(namespace, { lba: 32, data: cut(written) }),
  );
  assertEquals(length, 4096);
  const plain = ring.alloc(4096);
  await ring.cmd(nvme.read(namespace, { lba: 32, data: plain }));
  assertEquals(plain, written);
  for (const into of [ring.alloc(4096), new Uint8Array(4096)]) {
    await ring.cmd(nvme.read(namespace, { lba: 32, data: cut(into) }));
    assertEquals(into, written);
  }
});

testSince(6, 1)(
  "NVMe: a registered buffer is read into and written from",
  async () => {
    await using drive = new Namespace("plain");
    const { ring, namespace } = drive;
    const [buffer] = ring.registerBuffers([ring.alloc(16 * KiB)]);
    const from = buffer.bytes.subarray(512, 1536);
    const into = buffer.bytes.subarray(4096, 5120);
    from.set(pattern(1024, 9));
    await ring.cmd(nvme.write(namespace, { lba: 48, data: from, buffer }));
    await ring.cmd(nvme.read(namespace, { lba: 48, data: into, buffer }));
    assertEquals(into, from);
    assertThrows(
      () => nvme.read(namespace, { lba: 0, data: new Uint8Array(512), buffer }),
      RangeError,
      "registered buffer",
    );
  },
);

testSince(6, 16)(
  "NVMe: pieces of a registered buffer make one vectored command",
  async () => {
    await using drive = new Namespace("plain");
    const { ring, namespace } = drive;
    const [buffer] = ring.registerBuffers([ring.alloc(16 * KiB)]);
    const { bytes } = buffer;
    const written = pattern(1024, 77);
    await ring.cmd(nvme.write(namespace, { lba: 50, data: written }));
    const data = [bytes.subarray(8192, 8704), bytes.subarray(0, 512)];
    await ring.cmd(nvme.read(namespace, { lba: 50, data, buffer }));
    assertEquals(data[0], written.subarray(0, 512));
    assertEquals(data[1], written.subarray(512));
  },
);

test("NVMe: a registered file works like a descriptor", async () => {
  await using drive = new Namespace("plain");
  const { ring, fd } = drive;
  const [file] = ring.registerFiles([fd]);
  const namespace = drive.namespace.withFile(file);
  const data = pattern(512, 21);
  await ring.cmd(nvme.write(namespace, { lba: 60, data }));
  const into = ring.alloc(512);
  await ring.cmd(nvme.read(namespace, { lba: 60, data: into }));
  assertEquals(into, data);
});

test("NVMe: 32 reads are in flight, and each gets its own block", async () => {
  await using drive = new Namespace("plain");
  const { ring, namespace } = drive;
  const count = 256;
  const all = pattern(count * 512, 5);
  await ring.cmd(nvme.write(namespace, { lba: 100, data: all }));
  const memory = ring.alloc(32 * 512);
  let next = 0;
  let most = 0;
  async function reader(i: number): Promise<void> {
    const data = memory.subarray(i * 512, (i + 1) * 512);
    while (next < count) {
      const at = next++;
      const reading = ring.cmd(nvme.read(namespace, { lba: 100 + at, data }));
      most = Math.max(most, ring.stats().inFlight);
      await reading;
      assertEquals(data, all.subarray(at * 512, (at + 1) * 512));
    }
  }
  await Promise.all(Array.from({ length: 32 }, (_, i) => reader(i)));
  assertGreater(most, 16);
});

testSince(6, 1)(
  "NVMe: each command of a chain finds its memory, whenever it starts",
  async () => {
    await using drive = new Namespace("plain");
    const { ring, namespace } = drive;
    assert(ring.flags.includes("DEFER_TASKRUN"));
    const into = ring.alloc(512);
    for (let i = 0; i < 100; i++) {
      const data = pattern(512, i);
      const results = await Promise.all(ring.link([
        nvme.flush(namespace),
        nvme.write(namespace, { lba: 90, data }),
        nvme.read(namespace, { lba: 90, data: into }),
      ]));
      assertEquals(results, [0, 512, 512]);
      assertEquals(into, data);
    }
  },
);

test("NVMe: more reads are in flight than the driver has tags for", async () => {
  // Reads that find no tag go to a worker of the kernel, which waits for one.
  // There is one worker: with more, Debian's kernels answer EFAULT to most reads.
  const queue = `/sys/block/${pathOf("plain", "nvme").slice(5)}/queue`;
  const tags = Number(await Deno.readTextFile(`${queue}/nr_requests`));
  await using drive = new Namespace("plain", {
    entries: 1024,
    cqEntries: 4096,
  });
  const { ring, namespace } = drive;
  const count = 3000;
  assertGreater(count, 10 * tags);
  const all = pattern(64 * 512, 55);
  await ring.cmd(nvme.write(namespace, { lba: 600, data: all }));
  const memory = ring.alloc(count * 512);
  const pieces = Array.from(
    { length: count },
    (_, i) => memory.subarray(i * 512, (i + 1) * 512),
  );
  const reads = pieces.map((data, i) =>
    ring.cmd(nvme.read(namespace, { lba: 600 + i % 64, data }))
  );
  assertEquals(await Promise.all(reads), Array(count).fill(512));
  pieces.forEach((data, i) => {
    const at = i % 64 * 512;
    assert(equals(data, all.subarray(at, at + 512)), `read ${i}`);
  });
});

test("NVMe: reads survive when their memory is dropped and collected", async () => {
  await using drive = new Namespace("plain");
  const { ring, namespace } = drive;
  const written = pattern(512, 31);
  await ring.cmd(nvme.write(namespace, { lba: 5, data: written }));
  const promises = Array.from({ length: 32 }, () => {
    const data = new Uint8Array(512);
    return ring.cmd(nvme.read(namespace, { lba: 5, data })).then(() => data);
  });
  collect();
  for (const data of await Promise.all(promises)) assertEquals(data, written);
});

test("NVMe: Compare tells equal blocks from different ones", async () => {
  await using drive = new Namespace("plain");
  const { ring, namespace } = drive;
  const data = pattern(1024, 40);
  await ring.cmd(nvme.write(namespace, { lba: 200, data }));
  assertEquals(
    await ring.cmd(nvme.compare(namespace, { lba: 200, data })),
    1024,
  );
  data[1000] ^= 1;
  const error = await status(
    ring.cmd(nvme.compare(namespace, { lba: 200, data })),
  );
  assertEquals([error.statusCodeType, error.statusCode], [2, 0x85]);
  assertEquals(error.statusName, "Compare Failure");
  assertStringIncludes(error.message, "URING_CMD NVME COMPARE on fd");
});

test("NVMe: Write Zeroes, Dataset Management, Verify and Flush do their work", async () => {
  await using drive = new Namespace("plain");
  const { ring, namespace } = drive;
  const zeros = async (lba: number, blocks: number) => {
    const data = ring.alloc(blocks * 512);
    await ring.cmd(nvme.read(namespace, { lba, data }));
    return data.every((byte) => byte === 0);
  };
  await ring.cmd(nvme.write(namespace, { lba: 300, data: pattern(8192, 1) }));
  const range = { lba: 302, blocks: 4 };
  assertEquals(await ring.cmd(nvme.writeZeroes(namespace, range)), 0);
  assertEquals(await zeros(302, 4), true);
  assertEquals(await zeros(300, 2), false);
  assertEquals(await ring.cmd(nvme.verify(namespace, range)), 0);
  assertEquals(await ring.cmd(nvme.flush(namespace)), 0);
  // Deallocated blocks of this drive read as zeros, as it reports.
  const ranges = [{ lba: 300, blocks: 2 }, { lba: 308, blocks: 8 }];
  const trim = nvme.datasetManagement(namespace, { ranges, deallocate: true });
  assertEquals(await ring.cmd(trim), 0);
  assertEquals(await zeros(300, 2), true);
  assertEquals(await zeros(308, 8), true);
  assertEquals(await zeros(306, 2), false);
});

// ---- Metadata and protection -------------------------------------------------

test("NVMe: metadata apart from the data is written and read back", async () => {
  await using drive = new Namespace("metadata");
  const { ring, namespace } = drive;
  const data = pattern(4 * 512, 8);
  const metadata = pattern(4 * 8, 99);
  await ring.cmd(nvme.write(namespace, { lba: 0, data, metadata }));
  const into = new Uint8Array(4 * 512);
  const beside = new Uint8Array(4 * 8);
  const transfer = { lba: 0, data: into, metadata: beside };
  await ring.cmd(nvme.read(namespace, transfer));
  assertEquals([into, beside], [data, metadata]);
});

test("NVMe: a transfer without memory for its metadata is refused before it is queued", async () => {
  await using drive = new Namespace("metadata");
  const { namespace } = drive;
  const data = new Uint8Array(512);
  for (const metadata of [undefined, new Uint8Array(7)]) {
    assertThrows(
      () => nvme.read(namespace, { lba: 0, data, metadata }),
      RangeError,
      "transfers 8 bytes of metadata",
    );
  }
});

test("NVMe: inline metadata is part of the data", async () => {
  await using drive = new Namespace("inline");
  const { ring, namespace } = drive;
  const data = pattern(3 * 520, 12);
  assertEquals(await ring.cmd(nvme.write(namespace, { lba: 9, data })), 1560);
  const into = ring.alloc(1560);
  await ring.cmd(nvme.read(namespace, { lba: 9, data: into }));
  assertEquals(into, data);
  assertThrows(
    () => nvme.read(namespace, { lba: 0, data: new Uint8Array(1024) }),
    RangeError,
    "whole blocks of 520 bytes",
  );
});

test("NVMe: a drive makes, checks and strips protection information", async () => {
  await using drive = new Namespace("protection");
  const { ring, namespace } = drive;
  const data = pattern(2 * 512, 4);
  // Type 1: the reference tag is the low half of the block's number.
  const made = {
    action: true,
    referenceTag: 10,
    applicationTag: 0xbeef,
  };
  await ring.cmd(nvme.write(namespace, { lba: 10, data, protection: made }));
  const into = new Uint8Array(1024);
  const metadata = new Uint8Array(16);
  const checked = {
    checkGuard: true,
    checkReferenceTag: true,
    checkApplicationTag: true,
    referenceTag: 10,
    applicationTag: 0xbeef,
    applicationTagMask: 0xffff,
  };
  const transfer = { lba: 10, data: into, metadata, protection: checked };
  await ring.cmd(nvme.read(namespace, transfer));
  assertEquals(into, data);
  // A tuple: guard, application tag, reference tag, each big-endian.
  const view = new DataView(metadata.buffer);
  assertEquals(
    [0, 8].map((at) => [view.getUint16(at + 2), view.getUint32(at + 4)]),
    [[0xbeef, 10], [0xbeef, 11]],
  );
  assertNotEquals(view.getUint16(0), 0);

  const wrong = async (protection: nvme.Protection) =>
    (await status(ring.cmd(nvme.read(namespace, { ...transfer, protection }))))
      .statusName;
  assertEquals(
    await wrong({ ...checked, applicationTag: 0xbee0 }),
    "End-to-end Application Tag Check Error",
  );
  view.setUint16(0, ~view.getUint16(0));
  const error = await status(
    ring.cmd(nvme.write(namespace, { ...transfer, protection: checked })),
  );
  assertEquals(error.statusName, "End-to-end Guard Check Error");
});

// ---- Zones -------------------------------------------------------------------

test("NVMe: zones are reported, appended to, and change their state", async () => {
  await using drive = new Namespace("zoned");
  const { ring, namespace } = drive;
  await ring.cmd(
    nvme.zoneManagementSend(namespace, { lba: "all", action: "reset" }),
  );
  const report = async (lba: bigint | number, maxZones?: number) =>
    await ring.cmd(nvme.zoneManagementReceive(namespace, { lba, maxZones }));
  const { zoneCount, zones } = await report(0);
  assertEquals(zoneCount, 16n);
  assertEquals(zones.length, 16);
  const size = 1024n; // 4 MiB in blocks of 4096 bytes.
  zones.forEach((zone, i) =>
    assertEquals(zone, {
      lba: BigInt(i) * size,
      capacity: size,
      writePointer: BigInt(i) * size,
      state: "empty",
      type: 2,
      attributes: 0,
    })
  );
  assertEquals((await report(0, 3)).zones.length, 3);
  assertEquals((await report(15n * size)).zoneCount, 1n);

  const lba = size; // The second zone.
  const append = (blocks: number, seed: number) =>
    nvme.zoneAppend(namespace, { lba, data: pattern(blocks * 4096, seed) });
  assertEquals(await ring.cmd(append(2, 1)), size);
  assertEquals(await ring.cmd(append(1, 2)), size + 2n);
  const places = await Promise.all(
    [3, 4, 5].map((seed) => ring.cmd(append(1, seed))),
  );
  assertEquals(places.sort(), [size + 3n, size + 4n, size + 5n]);
  const data = ring.alloc(4096);
  await ring.cmd(nvme.read(namespace, { lba: size + 2n, data }));
  assertEquals(data, pattern(4096, 2));
  const zone = async () => (await report(lba, 1)).zones[0];
  assertEquals(
    [(await zone()).state, (await zone()).writePointer],
    ["implicitly open", size + 6n],
  );
  const send = (action: nvme.ZoneAction) =>
    ring.cmd(nvme.zoneManagementSend(namespace, { lba, action }));
  for (
    const [action, state] of [
      ["close", "closed"],
      ["open", "explicitly open"],
      ["finish", "full"],
      ["reset", "empty"],
    ] as const
  ) {
    await send(action);
    assertEquals((await zone()).state, state);
  }
});

test("NVMe: a zone refuses a write that is not at its write pointer", async () => {
  await using drive = new Namespace("zoned");
  const { ring, namespace } = drive;
  const lba = 2048;
  await ring.cmd(nvme.zoneManagementSend(namespace, { lba, action: "reset" }));
  const data = ring.alloc(4096);
  const error = await status(
    ring.cmd(nvme.write(namespace, { lba: lba + 5, data })),
  );
  assertEquals(error.statusName, "Zone Invalid Write");
  const early = await status(
    ring.cmd(nvme.zoneManagementSend(namespace, { lba, action: "close" })),
  );
  assertEquals(early.statusName, "Invalid Zone State Transition");
  await ring.cmd(nvme.zoneManagementSend(namespace, { lba, action: "finish" }));
  const full = await status(
    ring.cmd(nvme.zoneAppend(namespace, { lba, data })),
  );
  assertEquals(full.statusName, "Zone Is Full");
  await ring.cmd(nvme.zoneManagementSend(namespace, { lba, action: "reset" }));
});

// ---- Refusals ---------------------------------------------------------

test("NVMe: a refusal of the drive is an error with the name of its status", async () => {
  await using drive = new Namespace("plain");
  const { ring, namespace } = drive;
  const data = ring.alloc(512);
  const outside = await status(
    ring.cmd(nvme.read(namespace, { lba: namespace.blocks, data })),
  );
  assertEquals(outside.statusName, "LBA Out of Range");
  assertEquals([outside.statusCodeType, outside.statusCode], [0, 0x80]);
  assertEquals(outside.doNotRetry, true);
  assertEquals(outside.fd, drive.fd);
  assertEquals(outside.op, "URING_CMD NVME READ");
  assertMatch(
    outside.message,
    /^URING_CMD NVME READ on fd \d+: LBA Out of Range \(status code type 0, code 0x80, do not retry\)\. /,
  );
  const unknown = await status(
    ring.cmd(nvme.passthru(namespace, { opcode: 0x70 })),
  );
  assertEquals(unknown.statusName, "Invalid Command Opcode");
  const none = await status(
    admin((fd) => nvme.identifyNamespace(fd, { nsid: 0xdead })),
  );
  assertEquals(none.statusName, "Invalid Namespace or Format");
  const page = await status(
    admin((fd) =>
      nvme.passthru(fd, {
        opcode: 0x02,
        nsid: 0,
        cdw10: 0xc5 | 127 << 16,
        data: new Uint8Array(512),
      })
    ),
  );
  assertMatch(page.statusName, /Invalid (Log Page|Field in Command)/);
});

test("NVMe: a refused command does not fail its neighbours", async () => {
  await using drive = new Namespace("plain");
  const { ring, namespace } = drive;
  const data = ring.alloc(512);
  const good = nvme.read(namespace, { lba: 0, data });
  const bad = nvme.read(namespace, { lba: namespace.blocks, data });
  const settled = await Promise.allSettled(
    [good, bad, good].map((each) => ring.cmd(each)),
  );
  assertEquals(settled.map((each) => each.status), [
    "fulfilled",
    "rejected",
    "fulfilled",
  ]);
  // A status does not break a chain: to the kernel it is a success.
  const chain = await Promise.allSettled(ring.link([bad, good]));
  assertEquals(chain.map((each) => each.status), ["rejected", "fulfilled"]);
  assertThrows(() => ring.cmdAllSync([good, bad]), NvmeError, "Out of Range");
});

test("NVMe: a command that the ring, the drive or the descriptor rules out is refused before it is queued", async () => {
  await using drive = new Namespace("plain");
  const { ring, namespace } = drive;
  const { maxTransferBytes } = namespace;
  const submitted = () => ring.stats().submitted;
  const before = submitted();
  const large = new Uint8Array(maxTransferBytes + 512);
  assertThrows(
    () => nvme.read(namespace, { lba: 0, data: large }),
    RangeError,
    `at most ${maxTransferBytes} in one command`,
  );
  assertThrows(
    () => nvme.read(namespace, { lba: 0, data: new Uint8Array(100) }),
    RangeError,
    "whole blocks of 512 bytes, not 100",
  );
  assertThrows(
    () => nvme.passthru(namespace, { opcode: 0, nsid: 2 }),
    RangeError,
    "the node is that of namespace 1",
  );
  const readOnly = new NvmeNamespace({ ...namespace, writable: false });
  const data = new Uint8Array(512);
  for (
    const write of [
      () => nvme.write(readOnly, { lba: 0, data }),
      () => nvme.writeZeroes(readOnly, { lba: 0, blocks: 1 }),
      () =>
        nvme.datasetManagement(readOnly, { ranges: [{ lba: 0, blocks: 1 }] }),
      () => nvme.passthru(readOnly, { opcode: 0x80 }),
    ]
  ) assertThrows(write, TypeError, "O_RDWR");
  using reading = openController(O_RDONLY);
  const feature = { feature: 4, value: 300 };
  await assertRejects(
    () => ring.cmd(nvme.setFeatures(reading.fd, feature)),
    TypeError,
    "open for reading only",
  );
  const command = nvme.read(namespace, { lba: 0, data });
  await using small = Ring.open();
  await assertRejects(() => small.cmd(command), RangeError, "sqe128: true");
  await using half = Ring.open({ sqe128: true });
  await assertRejects(() => half.cmd(command), RangeError, "cqe32: true");
  assertEquals(submitted(), before);
});

test("NVMe: a transfer of maxTransferBytes works, or is refused before it is queued", async () => {
  await using drive = new Namespace("large");
  const { ring, namespace } = drive;
  const { maxTransferBytes } = namespace;
  const written = pattern(maxTransferBytes, 17);
  const all = ring.alloc(maxTransferBytes + 4096);
  const most = namespace.maxSegments * 4096;
  for (const start of [0, 4, 512, 1024, 4095, 4096]) {
    for (const less of [0, 4096, 8192]) {
      const length = maxTransferBytes - less;
      const data = all.subarray(start, start + length);
      data.set(written.subarray(0, length));
      const make = () => nvme.write(namespace, { lba: 0, data });
      if (start % 4096 + length > most) {
        assertThrows(make, RangeError, "Start them at a page");
        continue;
      }
      await ring.cmd(make());
      data.fill(0);
      await ring.cmd(nvme.read(namespace, { lba: 0, data }));
      assert(equals(data, written.subarray(0, length)), `from ${start}`);
    }
  }
  const ordinary = new Uint8Array(maxTransferBytes);
  await ring.cmd(nvme.read(namespace, { lba: 0, data: ordinary }));
  assert(equals(ordinary, written));
  const data = ring.alloc(maxTransferBytes + namespace.blockSize);
  assertThrows(
    () => nvme.read(namespace, { lba: 0, data }),
    RangeError,
    "Split it up",
  );
});

test("NVMe: a drive strips protection information of 16 bytes", async () => {
  await using drive = new Namespace("guard64");
  const { ring, namespace } = drive;
  const protection = { action: true };
  const data = pattern(1024, 61);
  const written = nvme.write(namespace, { lba: 6, data, protection });
  assertEquals(await ring.cmd(written), 1024);
  const into = new Uint8Array(1024);
  const checked = { action: true, checkGuard: true, checkReferenceTag: true };
  const stripped = { lba: 6, data: into, protection: checked };
  assertEquals(await ring.cmd(nvme.read(namespace, stripped)), 1024);
  assertEquals(into, data);
  // All of a block: data, guard, application tag, and a tag of 48 bits.
  const whole = new Uint8Array(528);
  await ring.cmd(nvme.read(namespace, { lba: 7, data: whole }));
  assertEquals(whole.subarray(0, 512), data.subarray(512));
  assertEquals([...whole.subarray(520)], [0, 0, 0, 0, 0, 0, 0, 7]);
});

test("NVMe: blocks that the drive protects by itself can be read through its block device", async () => {
  await using drive = new Namespace("protection");
  const { ring, namespace } = drive;
  const protection = { action: true };
  const data = pattern(512, 62);
  await ring.cmd(nvme.write(namespace, { lba: 40, data, protection }));
  await ring.cmd(
    nvme.writeZeroes(namespace, { lba: 41, blocks: 1, protection }),
  );
  const checked = { ...protection, checkReferenceTag: true, checkGuard: true };
  const into = new Uint8Array(1024);
  await ring.cmd(
    nvme.read(namespace, { lba: 40, data: into, protection: checked }),
  );
  assertEquals(into.subarray(0, 512), data);
  await ring.cmd(
    nvme.verify(namespace, {
      lba: 40,
      blocks: 2,
      protection: { ...checked, action: false },
    }),
  );
  using disk = new Fd(open(pathOf("protection", "nvme"), O_RDONLY | O_DIRECT));
  const block = ring.alloc(1024);
  await using small = Ring.open();
  await small.cmd(readOp(disk.fd, block, { offset: 40 * 512 }));
  assertEquals(block.subarray(0, 512), data);
});

test("NVMe: Zone Append works on a namespace of type 1, within its limit", async () => {
  await using drive = new Namespace("zonedProtection");
  const { ring, namespace } = drive;
  const lba = 1024;
  await ring.cmd(nvme.zoneManagementSend(namespace, { lba, action: "reset" }));
  const protection = { action: true };
  const data = pattern(8192, 63);
  for (const at of [1024n, 1026n]) {
    const append = nvme.zoneAppend(namespace, { lba, data, protection });
    assertEquals(await ring.cmd(append), at);
  }
  const into = new Uint8Array(8192);
  const checked = { ...protection, checkReferenceTag: true, checkGuard: true };
  const transfer = { lba: 1026, data: into, protection: checked };
  await ring.cmd(nvme.read(namespace, transfer));
  assertEquals(into, data);
  const large = { lba, data: ring.alloc(32 * KiB), protection };
  assertThrows(
    () => nvme.zoneAppend(namespace, large),
    RangeError,
    "at most 16384 in one command",
  );
  const most = { ...large, data: ring.alloc(16 * KiB) };
  assertEquals(await ring.cmd(nvme.zoneAppend(namespace, most)), 1028n);
});

test("NVMe: a Verify beyond the limit of the drive is explained", async () => {
  await using drive = new Namespace("large");
  const { ring, namespace } = drive;
  const error = await status(
    ring.cmd(nvme.verify(namespace, { lba: 0, blocks: 9 })),
  );
  assertStringIncludes(error.message, "Verify and Write Zeroes have limits");
  await ring.cmd(nvme.verify(namespace, { lba: 0, blocks: 8 }));
});

test("NVMe: Get Features writes no byte past its memory", async () => {
  using file = openController();
  await using ring = Ring.open(LARGE);
  const memory = ring.alloc(64).fill(0xee);
  const fields = { opcode: 0x0a, nsid: 0, cdw10: nvme.NVME_FEAT_FID_TIMESTAMP };
  const data = memory.subarray(0, 4);
  assertThrows(
    () => nvme.passthru(file.fd, { ...fields, data }),
    RangeError,
    "transfers 8 bytes of data",
  );
  const enough = { ...fields, data: memory.subarray(0, 8) };
  await ring.cmd(nvme.passthru(file.fd, enough));
  assert(memory.subarray(8).every((byte) => byte === 0xee));
});

test("NVMe: ranges past the end are refused, which the drive would not do", async () => {
  await using drive = new Namespace("plain");
  const { namespace } = drive;
  const ranges = [{ lba: namespace.blocks - 1n, blocks: 2 }];
  assertThrows(
    () => nvme.datasetManagement(namespace, { ranges, deallocate: true }),
    RangeError,
    "ends after the last block",
  );
});

test("NVMe: pieces of a registered buffer are refused before Linux 6.16", async () => {
  await using drive = new Namespace("plain");
  const { ring, namespace } = drive;
  const [buffer] = ring.registerBuffers([ring.alloc(4096)]);
  const { bytes } = buffer;
  const data = [bytes.subarray(0, 512), bytes.subarray(1024, 1536)];
  const make = () => nvme.read(namespace, { lba: 0, data, buffer });
  if (hasLinux(6, 16)) assertEquals(await ring.cmd(make()), 1024);
  else assertThrows(make, TypeError, "Pass one piece, or no buffer");
  const cmd_op = NVME_URING_CMD_IO_VEC;
  const raw = () => uringCmd({ fd: 0, cmd_op, buf_index: buffer });
  if (hasLinux(6, 16)) raw();
  else assertThrows(raw, TypeError, "Pass one piece, or no buffer");
  // The driver has all its tags: more commands than it has of them end.
  const one = nvme.read(namespace, { lba: 0, data: data[0], buffer });
  if (hasLinux(6, 1)) { for (let i = 0; i < 100; i++) await ring.cmd(one); }
});

test("NVMe: the error of a command to the wrong node names the right one", async () => {
  await using drive = new Namespace("plain");
  const { ring, namespace } = drive;
  await assertRejects(
    () => ring.cmd(nvme.smartLog(drive.fd)),
    TypeError,
    `Open ${controllerPath}`,
  );
  using controller = openController();
  const misled = namespace.withFile(controller.fd);
  await assertRefused(ring.cmd(nvme.flush(misled)), "ENOTTY");
});

test("NVMe: the kernel answers EOPNOTSUPP to a ring of the wrong shape", async () => {
  await using drive = new Namespace("plain");
  await using small = Ring.open();
  const command = uringCmd({ fd: drive.fd, cmd_op: NVME_URING_CMD_IO });
  await assertRefused(small.cmd(command), "EOPNOTSUPP");
});

test("NVMe: a process without CAP_SYS_ADMIN may identify and read, and no more", async () => {
  const script = `
    import { Ring } from "@uring/mod.ts";
    import * as nvme from "@uring/cmd/nvme/mod.ts";
    import { O_RDWR, openat } from "@uring/cmd/op.ts";
    await using ring = Ring.open({ sqe128: true, cqe32: true });
    const fd = await ring.cmd(openat("${controllerPath}", { flags: O_RDWR }));
    const ng = await ring.cmd(openat("${pathOf("plain")}", { flags: O_RDWR }));
    async function attempt(what, make) {
      try {
        await ring.cmd(make());
        console.log(what, "ok");
      } catch (error) {
        console.log(what, error.code ?? error.message, /CAP_SYS_ADMIN/.test(error.message));
      }
    }
    await attempt("identify", () => nvme.identifyController(fd));
    await attempt("smart", () => nvme.smartLog(fd));
    const data = ring.alloc(512);
    await attempt("read", () => nvme.read(nvme.nvmeNamespace(ng), { lba: 0, data }));
    const reading = await ring.cmd(openat("${pathOf("plain")}"));
    const forged = () => nvme.nvmeNamespace(ng).withFile(reading);
    await attempt("write", () => nvme.write(forged(), { lba: 0, data }));
    await attempt("vendor", () => nvme.passthru(nvme.nvmeNamespace(ng), { opcode: 0xc0 }));
  `;
  const { stdout, stderr } = await runScript(script, ["--allow-ffi"], [
    "setpriv",
    "--bounding-set=-sys_admin",
    "--inh-caps=-sys_admin",
  ]);
  const lines = hasLinux(6, 2)
    ? [
      "identify ok",
      "smart EACCES true",
      "read ok",
      "write NVME WRITE may change what the drive holds, and its file is open for " +
      "reading only. Open the node with O_RDWR. false",
      "vendor EACCES true",
    ]
    : [
      "identify EACCES true",
      "smart EACCES true",
      "read EACCES true",
      "write EACCES true",
      "vendor EACCES true",
    ];
  assertEquals(stdout.trim().split("\n"), lines, stderr);
});

// ---- Fabrics -----------------------------------------------------------------

/** The folder in which the kernel's NVMe target is configured. */
const NVMET = "/sys/kernel/config/nvmet";
const NQN = "nqn.2014-08.org.example:uring";

/** A controller of this machine's NVMe target, over a fabric in memory. */
class Fabric implements AsyncDisposable {
  readonly #link = `${NVMET}/ports/9/subsystems/${NQN}`;
  readonly #subsystem = `${NVMET}/subsystems/${NQN}`;

  async connect(): Promise<string> {
    Deno.mkdirSync(this.#subsystem);
    Deno.writeTextFileSync(`${this.#subsystem}/attr_allow_any_host`, "1");
    Deno.mkdirSync(`${NVMET}/ports/9`);
    Deno.writeTextFileSync(`${NVMET}/ports/9/addr_trtype`, "loop");
    Deno.symlinkSync(this.#subsystem, this.#link);
    await output("nvme", ["connect", "--transport=loop", `--nqn=${NQN}`]);
    const found = [...Deno.readDirSync("/sys/class/nvme")].find(({ name }) =>
      readText(`/sys/class/nvme/${name}/subsysnqn`) === NQN
    );
    return `/dev/${found!.name}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await run("nvme", ["disconnect", `--nqn=${NQN}`]);
    Deno.removeSync(this.#link);
    Deno.removeSync(`${NVMET}/ports/9`);
    Deno.removeSync(this.#subsystem);
  }
}

testUnless(
  missing || (hasFolder(NVMET) ? "" : "NVMe target"),
  "NVMe: features are read and set over a fabric, which takes no other length",
  async () => {
    await using fabric = new Fabric();
    using file = new Fd(open(await fabric.connect(), O_RDWR));
    await using ring = Ring.open(LARGE);
    for (const feature of [0x07, 0x0b, 0x0f]) {
      const get = nvme.getFeatures(file.fd, { feature });
      const { value, data } = await ring.cmd(get);
      assertEquals(data.length, 0);
      const cli = await run("nvme", [
        ...["get-feature", pathOfFd(file.fd), `-f${feature}`],
      ]);
      assertMatch(
        cli.stdout,
        new RegExp(`value: ?0x0*${value.toString(16)}$`, "mi"),
      );
    }
    const events = { feature: nvme.NVME_FEAT_FID_ASYNC_EVENT };
    const { value } = await ring.cmd(nvme.getFeatures(file.fd, events));
    await ring.cmd(nvme.setFeatures(file.fd, { ...events, value }));
    const host = nvme.getFeatures(file.fd, { feature: 0x81, cdw11: 1 });
    assertEquals((await ring.cmd(host)).data.length, 16);
  },
);

function hasFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

function pathOfFd(fd: number): string {
  return Deno.readLinkSync(`/proc/self/fd/${fd}`);
}

// ---- Polling -----------------------------------------------------------------

testSince(6, 1)("NVMe: a polled ring reads, awaited and blocking", async () => {
  await using drive = new Namespace("plain", { iopoll: true });
  await using plain = new Namespace("plain");
  const { ring, namespace } = drive;
  const written = pattern(512, 66);
  await plain.ring.cmd(
    nvme.write(plain.namespace, { lba: 70, data: written }),
  );
  const data = ring.alloc(512);
  const command = nvme.read(namespace, { lba: 70, data });
  assertEquals(await ring.cmd(command), 512);
  assertEquals(data, written);
  data.fill(0);
  assertEquals(ring.cmdSync(command), 512);
  assertEquals(data, written);
  const many = Array.from({ length: 64 }, () => ring.cmd(command));
  await Promise.all(many);
  const refused = nvme.read(namespace, { lba: namespace.blocks, data });
  assertEquals(
    (await status(ring.cmd(refused))).statusName,
    "LBA Out of Range",
  );
});

test("NVMe: an admin command on a polled ring is refused before Linux 7.2, with the reason", async () => {
  using file = openController();
  await using ring = Ring.open({ ...LARGE, iopoll: true });
  const command = nvme.identifyController(file.fd);
  if (hasLinux(7, 2)) {
    const { serialNumber } = await ring.cmd(command);
    assertEquals(serialNumber, "uring");
    return;
  }
  await assertRefused(ring.cmd(command), "EOPNOTSUPP", "ring that polls");
});

// ---- The documentation --------------------------------------------------------

test("NVMe: every example of the module's documentation runs on a drive", async () => {
  const source = await Deno.readTextFile(
    new URL("../../cmd/nvme/mod.ts", import.meta.url),
  );
  const doc = source.split("*/", 1)[0].replaceAll(/^ \* ?/gm, "");
  const fences = doc.matchAll(/^```ts ignore\n([^]*?)^```$/gm);
  const examples = Array.from(fences, ([, code]) => code);
  assertEquals(examples.length, 3);
  for (const example of examples) {
    const script = example
      .replaceAll('"@uring/cmd"', '"@uring/mod.ts"')
      .replaceAll('"@uring/cmd/op"', '"@uring/cmd/op.ts"')
      .replaceAll('"@uring/cmd/block"', '"@uring/cmd/block.ts"')
      .replaceAll('"@uring/cmd/nvme"', '"@uring/cmd/nvme/mod.ts"')
      .replaceAll("/dev/nvme0n1", pathOf("plain", "nvme"))
      .replaceAll("/dev/ng0n1", pathOf("plain"))
      .replaceAll("/dev/nvme0", controllerPath);
    const { success, stdout, stderr } = await runScript(script);
    assert(success, `${example}\n${stdout}\n${stderr}`);
    assertNotEquals(stdout, "");
  }
});

// ---- A mixed ring ------------------------------------------------------------

testSince(6, 19)(
  "NVMe: a mixed ring carries large commands between small ones, past its last place",
  async () => {
    await using drive = new Namespace("plain", {
      sqe128: false,
      cqe32: false,
      mixed: true,
      entries: 8,
    });
    const { ring, namespace } = drive;
    assert(
      ring.flags.includes("SQE_MIXED") && ring.flags.includes("CQE_MIXED"),
    );
    const all = pattern(64 * 512, 44);
    await ring.cmd(nvme.write(namespace, { lba: 400, data: all }));
    using disk = new Fd(open(pathOf("plain", "nvme"), O_RDWR | O_DIRECT));
    // One large and one small command in turn. Each large one starts at another
    // place, among them the last of the ring, where it does not fit.
    for (let i = 0; i < 64; i++) {
      const [data, block] = [ring.alloc(512), ring.alloc(512)];
      const lba = 400 + i;
      const [large, small] = await Promise.all([
        ring.cmd(nvme.read(namespace, { lba, data })),
        ring.cmd(readOp(disk.fd, block, { offset: lba * 512 })),
        ...i % 3 === 0 ? [ring.cmd(nvme.flush(namespace))] : [],
      ]);
      assertEquals([large, small], [512, 512]);
      assertEquals(data, all.subarray(i * 512, (i + 1) * 512));
      assertEquals(block, data);
    }
  },
);

// ---- SQEs that the kernel reads again ---------------------------------------

testUnless(
  missing ||
    (rereadsSqes() ? "" : "kernel that reads SQEs again (6.10 to 6.13)"),
  "NVMe: chained commands keep their payload on a kernel that reads SQEs again",
  async () => {
    await using drive = new Namespace("plain", { entries: 8 });
    const { ring, namespace } = drive;
    for (let round = 0; round < 20; round++) {
      const chain = Array.from({ length: 4 }, (_, i) => {
        const data = pattern(512, round * 4 + i);
        return nvme.write(namespace, { lba: 500 + i, data });
      });
      const writes = ring.link(chain);
      // These would overwrite the SQEs of the chain if those were free.
      const data = ring.alloc(512);
      const others = Array.from(
        { length: 8 },
        () => ring.cmd(nvme.read(namespace, { lba: 0, data })),
      );
      await Promise.all([...writes, ...others]);
      for (let i = 0; i < 4; i++) {
        await ring.cmd(nvme.read(namespace, { lba: 500 + i, data }));
        assertEquals(data, pattern(512, round * 4 + i));
      }
    }
  },
);

Deno.test("NVMe: a status is never taken for a result", () => {
  const namespace = new NvmeNamespace({
    file: 3,
    nsid: 1,
    blockSize: 512,
    metadataSize: 0,
    metadataInline: false,
    protectionType: 0,
    blocks: 100n,
    maxTransferBytes: 4096,
    writable: true,
  });
  const command = nvme.read(namespace, { lba: 0, data: new Uint8Array(512) });
  assertEquals(command.decode!(new Completion(0)), 512);
  // Internal Error; with the bits for "more" and "do not retry".
  const error = assertThrows(
    () => command.decode!(new Completion(0x6006, 0, [], 5n)),
    NvmeError,
  );
  assertEquals(error.statusName, "Internal Error");
  assertEquals([error.more, error.doNotRetry, error.result], [true, true, 5n]);
});
