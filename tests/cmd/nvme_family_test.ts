/** Drives, pages and formats on the drive of the laboratory, beside nvme-cli. */

import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import * as nvme from "../../cmd/nvme/mod.ts";
import { NvmeError } from "../../cmd/nvme/mod.ts";
import { type Command, Ring, UringError } from "../../mod.ts";
import { O_EXCL, O_RDONLY, O_RDWR } from "../../cmd/op.ts";
import { open } from "../../sys/file.ts";
import { Fd } from "../kit/fds.ts";
import { output } from "../kit/run.ts";
import { testUnless } from "../kit/skip.ts";
import {
  controllerPath,
  missing,
  Namespace,
  NSID,
  openController,
  pathOf,
} from "../lab/nvme_drive.ts";

/** Registers a test with a ring, and a descriptor of the controller. */
function test(
  name: string,
  fn: (
    run: <T>(make: (fd: number) => Command<T>) => Promise<T>,
    fd: number,
  ) => Promise<void>,
): void {
  testUnless(missing, name, async () => {
    using file = openController();
    await using ring = Ring.open({ sqe128: true, cqe32: true });
    await fn((make) => ring.cmd(make(file.fd)), file.fd);
  });
}

/** Returns the report of nvme-cli on the same drive. */
async function cli(...args: string[]): Promise<Record<string, unknown>> {
  return JSON.parse(await output("nvme", [...args, "--output-format=json"]));
}

test("NVMe: the drives of the machine are listed with their namespaces", async (run) => {
  const drive = nvme.listDrives().find(({ path }) => path === controllerPath)!;
  const identity = await run(nvme.identifyController);
  const { modelNumber, serialNumber, firmwareRevision } = identity;
  const { controllerId, subsystemNqn } = identity;
  const { namespaces, address, ...rest } = drive;
  assertEquals(rest, {
    ...{ path: controllerPath, modelNumber, serialNumber, firmwareRevision },
    ...{ controllerId, subsystemNqn, transport: "pcie", state: "live" },
    ...{ readable: true, writable: true },
  });
  assert(address !== "");
  const nsids = namespaces.map(({ nsid }) => nsid);
  assertEquals(nsids.sort(), Object.values(NSID).sort());
  for (const which of ["plain", "large", "zoned"] as const) {
    const found = namespaces.find(({ nsid }) => nsid === NSID[which])!;
    const { path, blockPath, readable, writable, zoned } = found;
    assertEquals(path, pathOf(which));
    assertEquals(blockPath, pathOf(which, "nvme"));
    assertEquals([readable, writable, zoned], [true, true, which === "zoned"]);
    await using drive = new Namespace(which);
    const { blockSize, blocks } = drive.namespace;
    assertEquals(found.blockSize, blockSize);
    assertEquals(found.byteLength, Number(blocks) * blockSize);
    for (const node of [path!, blockPath!]) {
      assertEquals(nvme.controllerNode(node), controllerPath);
    }
  }
  assertEquals(nvme.controllerNode(controllerPath), controllerPath);
});

test("NVMe: a log page has the bytes that nvme-cli reads, whole and in parts", async (run) => {
  const args = ["get-log", controllerPath, "-i5", "-l4096", "-b"];
  const { stdout } = await new Deno.Command("nvme", { args }).output();
  assertEquals(stdout.length, 4096);
  const options = { lid: 5, byteLength: 4096 };
  assertEquals(await run((fd) => nvme.getLogPage(fd, options)), stdout);
  const part = { lid: 5, byteLength: 8, offset: 1024 };
  const found = await run((fd) => nvme.getLogPage(fd, part));
  assertEquals(found, stdout.slice(1024, 1032));
  const none = { lid: 0x5f, byteLength: 64 };
  const refused = run((fd) => nvme.getLogPage(fd, none));
  assertEquals((await assertRejects(() => refused, NvmeError)).fd > 0, true);
});

test("NVMe: the effects of commands agree with nvme-cli", async (run) => {
  const ours = await run(nvme.effectsLog);
  const told: unknown = await cli("effects-log", controllerPath, "--csi=0");
  const [page] = [told].flat() as Record<string, Record<string, number>>[];
  for (
    const [name, commands] of [
      ["admin_cmd_set", ours.adminCommands],
      ["io_cmd_set", ours.ioCommands],
    ] as const
  ) {
    const theirs = Object.entries(page[name]).map(([key, effects]) => [
      Number(/^I?O?A?CS_?(\d+)/.exec(key)![1]),
      Number(effects),
    ]);
    assertEquals(
      commands.map(({ opcode, effects }) => [opcode, effects]),
      theirs,
    );
  }
  const write = ours.ioCommands.find(({ opcode }) => opcode === 1)!;
  assertEquals([write.changesBlocks, write.exclusive], [true, 0]);
});

test("NVMe: identifiers, zones and power states agree with nvme-cli", async (run) => {
  const { zoned: nsid } = NSID;
  const ours = await run((fd) => nvme.namespaceDescriptors(fd, { nsid }));
  const descs = (await cli("ns-descs", controllerPath, `-n${nsid}`))[
    "ns-descs"
  ] as Record<string, string>[];
  const theirs = Object.assign({}, ...descs);
  assertEquals(
    { uuid: ours.uuid ?? undefined, csi: ours.csi },
    { uuid: theirs.uuid, csi: Number(theirs.csi) },
  );
  assertEquals(ours.csi, 2);

  const zoned = await run((fd) => nvme.identifyZonedNamespace(fd, { nsid }));
  const zns = await cli("zns", "id-ns", controllerPath, `-n${nsid}`);
  const less = (limit: number | null) =>
    limit === null ? 2 ** 32 - 1 : limit - 1;
  assertEquals(
    [less(zoned.maxActiveZones), less(zoned.maxOpenZones)],
    [Number(zns.mar), Number(zns.mor)],
  );
  const { format } = await run((fd) => nvme.identifyNamespace(fd, { nsid }));
  const formats = zns.lbafe as Record<string, number>[];
  const { zoneBlocks, extensionBytes } = zoned.formats[format];
  assertEquals(
    [Number(zoneBlocks), extensionBytes],
    [Number(formats[format].zsze), formats[format].zdes * 64],
  );
  const { appendLimitExponent } = await run(nvme.identifyZonedController);
  const limits = await cli("zns", "id-ctrl", controllerPath);
  assertEquals(appendLimitExponent, limits.zasl);

  const { powerStateDescriptors } = await run(nvme.identifyController);
  const states = (await cli("id-ctrl", controllerPath)).psds as Record<
    string,
    number
  >[];
  assertEquals(
    powerStateDescriptors.map(({ maxPowerWatts, entryMicros, exitMicros }) => [
      ...[maxPowerWatts, entryMicros, exitMicros],
    ]),
    states.map(({ max_power, entry_lat, exit_lat }) => [
      ...[max_power / 100, entry_lat, exit_lat],
    ]),
  );
});

test("NVMe: a drive without a page or a command says so", async (run) => {
  for (const make of [nvme.selfTestLog, nvme.sanitizeLog]) {
    await assertRejects(() => run<unknown>(make), NvmeError);
  }
  const short = { test: "short" } as const;
  const test = run((fd) => nvme.deviceSelfTest(fd, short));
  const { message } = await assertRejects(() => test, NvmeError);
  assertStringIncludes(message, "The drive does not have this command.");
});

test("NVMe: an admin command to a namespace names the node of the controller", async () => {
  await using ring = Ring.open({ sqe128: true, cqe32: true });
  for (const kind of ["ng", "nvme"] as const) {
    const path = pathOf("plain", kind);
    using file = new Fd(open(path, O_RDONLY));
    const { message } = await assertRejects(
      () => ring.cmd(nvme.smartLog(file.fd)),
      TypeError,
    );
    assertStringIncludes(
      message,
      `is ${path}, a namespace, and NVME SMART LOG`,
    );
    assertStringIncludes(
      message,
      `Open ${controllerPath}, which controllerNode`,
    );
    assertThrows(() => nvme.rescanNamespaces(file.fd), TypeError, path);
  }
});

test(
  "NVMe: a format destroys one namespace, unless it is in use",
  async (run, fd) => {
    const { large: nsid } = NSID;
    await using drive = new Namespace("large");
    const { ring, namespace } = drive;
    const data = new Uint8Array(4096).fill(7);
    await ring.cmd(nvme.write(namespace, { lba: 0, data }));
    const { format } = await run((fd) => nvme.identifyNamespace(fd, { nsid }));
    const options = { nsid, format, destroyAllData: true } as const;
    {
      using user = new Fd(open(pathOf("large", "nvme"), O_RDWR | O_EXCL));
      assert(user.fd >= 0);
      for (
        const make of [
          (fd: number) => nvme.formatNvm(fd, options),
          (fd: number) =>
            nvme.sanitize(fd, { action: "overwrite", destroyAllData: true }),
        ]
      ) {
        const error = await assertRejects(() => run(make), UringError);
        assertEquals(error.code, "EBUSY");
        const path = pathOf("large", "nvme");
        assertStringIncludes(error.message, `${path} is mounted`);
      }
      const into = new Uint8Array(4096);
      await ring.cmd(nvme.read(namespace, { lba: 0, data: into }));
      assertEquals(into, data);
    }
    // Another namespace in use is none of its business.
    using _other = new Fd(open(pathOf("plain", "nvme"), O_RDWR | O_EXCL));
    assertEquals(await run((fd) => nvme.formatNvm(fd, options)), 0);
    nvme.rescanNamespaces(fd);
    const into = new Uint8Array(4096).fill(1);
    await ring.cmd(nvme.read(namespace, { lba: 0, data: into }));
    assertEquals(into, new Uint8Array(4096));
  },
);
