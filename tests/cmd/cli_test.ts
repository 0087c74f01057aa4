/** The tool: its arguments, its output, and what it does to real devices. */

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { spy, stub } from "@std/testing/mock";
import { main } from "../../cmd/cli/mod.ts";
import { metricsText } from "../../cmd/cli/exporter.ts";
import type { Health } from "../../cmd/cli/fleet.ts";
import { controllerPath, namespacePath } from "../../cmd/cli/device.ts";
import { asJson, asText, byteText, hexDump } from "../../cmd/cli/output.ts";
import { numberOf, UsageError } from "../../cmd/cli/subcommand.ts";
import { LoopDevice, missing as noLoop } from "../lab/loop_device.ts";
import * as drive from "../lab/nvme_drive.ts";
import { output, run } from "../kit/run.ts";
import { lacksLinux, testUnless } from "../kit/skip.ts";

const MiB = 1 << 20;

/** Runs the tool in this process. */
async function uring(...args: string[]) {
  using out = stub(console, "log");
  using err = stub(console, "error");
  const code = await main(args);
  const text = (calls: typeof out.calls) =>
    calls.map(({ args }) => args.join(" ")).join("\n");
  return { code, out: text(out.calls), err: text(err.calls) };
}

/** Runs the tool, and returns what it prints as JSON. */
async function json(...args: string[]): Promise<Record<string, unknown>> {
  const { code, out, err } = await uring(...args, "-o", "json");
  assertEquals([code, err], [0, ""]);
  return JSON.parse(out);
}

// ---- Arguments and output ------------------------------------------------------------

Deno.test("numbers have units, and nothing else behind them", () => {
  for (
    const [text, value] of [
      ["0", 0],
      ["4096", 4096],
      ["0x1F", 31],
      ["4K", 4096],
      ["1 MiB", MiB],
      ["3g", 3 * 2 ** 30],
      ["2T", 2 ** 41],
      ["2kB", 2000],
      ["1TB", 1e12],
    ] as const
  ) assertEquals(numberOf(text, "n"), value, text);
  for (const text of ["", "-1", "1.5", "4X", "0x", "9007199254740992", "1e3"]) {
    assertThrows(() => numberOf(text, "--n"), UsageError, "--n takes a number");
  }
});

Deno.test("JSON has numbers where they fit, and texts of those that do not", () => {
  const value = {
    small: 7n,
    large: 2n ** 64n,
    bytes: Uint8Array.of(0, 255),
    none: null,
  };
  assertEquals(JSON.parse(asJson(value)), {
    small: 7,
    large: "18446744073709551616",
    bytes: "00ff",
    none: null,
  });
});

Deno.test("a list of records is a table, and a record has a line for each field", () => {
  const rows = [{ name: "a", size: 5 }, { name: "long", size: 12n, on: true }];
  assertEquals(asText(rows), "name  size  on\na        5  -\nlong    12  yes");
  const record = { a: 1, longer: [1, 2], inner: { b: false } };
  assertEquals(asText(record), "a       1\nlonger  1 2\ninner\n  b  no");
  assertEquals(asText([1, 2]), "1\n2");
  assert(asText(rows, true).startsWith("\x1b[1mname  size  on\x1b[22m\n"));
});

Deno.test("bytes are shown for people", () => {
  assertEquals(
    [0, 999, 1000, 15_360, 512_110_190_592n].map(byteText),
    ["0 B", "999 B", "1.00 kB", "15.4 kB", "512 GB"],
  );
  const dump = hexDump(new TextEncoder().encode("hello, world\n\x00more"));
  const [first, second] = dump.split("\n");
  assertEquals(
    first,
    "0000  68 65 6c 6c 6f 2c 20 77 6f 72 6c 64 0a 00 6d 6f  hello, world..mo",
  );
  assertEquals(second.replaceAll(/ +/g, " "), "0010 72 65 re");
});

Deno.test("the path of a drive names its controller and its node for commands", () => {
  for (
    const [path, controller, namespace] of [
      ["/dev/nvme3c3n1", "/dev/nvme3c3n1", "/dev/nvme3c3n1"],
      ["/dev/nvme1n1p2", "/dev/nvme1n1p2", "/dev/nvme1n1p2"],
      ["/dev/nvme0", "/dev/nvme0", "/dev/nvme0"],
      ["other", "other", "other"],
    ]
  ) {
    const found = [controllerPath(path), namespacePath(path)];
    assertEquals(found, [controller, namespace], path);
  }
  assertEquals(namespacePath("/dev/nvme0n1"), "/dev/ng0n1");
});

/** Returns the names of the subcommands that a help lists. */
const listed = (help: string) =>
  Array.from(help.matchAll(/^ {2}([a-z][a-z-]*) /gm), ([, name]) => name);

Deno.test("each subcommand has a help, which names its arguments and flags", async () => {
  const top = await uring("--help");
  assertEquals([top.code, top.err], [0, ""]);
  const groups = listed(top.out);
  assert(groups.includes("nvme") && groups.includes("discard"));
  for (const group of groups) {
    const help = await uring(group, "--help");
    assertEquals([help.code, help.err], [0, ""], group);
    const inner = help.out.includes(" COMMAND ") ? listed(help.out) : [];
    for (const name of inner) {
      const { code, out, err } = await uring(group, name, "--help");
      assertEquals([code, err], [0, ""], name);
      assertStringIncludes(out, `Usage: uring ${group} ${name} `);
      assertStringIncludes(out, "--output FORMAT");
    }
  }
});

Deno.test("wrong arguments exit with 2, and say where there is help", async () => {
  for (
    const [args, message] of [
      [[], ""],
      [["nosuch"], "there is no nosuch. Try: uring --help"],
      [["constructor"], "there is no constructor"],
      [["nvme"], ""],
      [["nvme", "nosuch"], "nvme has no nosuch. Try: uring nvme --help"],
      [["nvme", "smart-log"], "DEVICE is missing"],
      [["nvme", "smart-log", "/dev/a", "b"], "there is no use for b"],
      [["discard", "/dev/a", "--nosuch"], "nosuch"],
      [["discard", "/dev/a"], "Add --yes"],
      [["list", "-o", "xml"], "json or text"],
      [["nvme", "write", "/dev/a"], "Add --yes"],
      [["nvme", "format", "/dev/a"], "Add --yes"],
      [["nvme", "format", "/dev/a", "--yes"], "--namespace-id is missing"],
      [["nvme", "sanitize", "/dev/a", "--yes"], "--sanact takes"],
      [["nvme", "get-log", "/dev/a"], "--log-id is missing"],
      [["nvme", "device-self-test", "/dev/a", "--test", "x"], "--test takes"],
      [["nvme", "admin-passthru", "/dev/a", "-O", "0x80"], "Add --yes"],
      [["scsi", "raw", "/dev/a", "2a"], "Add --yes"],
      [["scsi", "raw", "/dev/a", "zz"], "zz is no hexadecimal byte"],
      [["nvme", "exporter", "--listen", "here"], "a host and a port"],
    ] as const
  ) {
    const { code, err } = await uring(...args);
    assertEquals(code, 2, args.join(" "));
    assertStringIncludes(err, message);
  }
});

Deno.test("what the kernel refuses exits with 1, with its advice", async () => {
  const { code, err } = await uring("nvme", "smart-log", "/dev/nosuch");
  assertEquals(code, 1);
  assertMatch(err, /^OPENAT "\/dev\/nosuch": ENOENT/);
});

Deno.test("the probe and the list of disks are text or JSON", async () => {
  const text = await uring("probe");
  assertMatch(text.out, /^Linux \d+\.\d+.*\nsetup flags: \d+/);
  const probe = await json("probe");
  assertStringIncludes(text.out, `Linux ${probe.kernel} on ${probe.arch}`);
  const disks = await json("list", "--all") as unknown as { path: string }[];
  const names = await Array.fromAsync(Deno.readDir("/sys/block"));
  assertEquals(
    new Set(disks.map(({ path }) => path)),
    new Set(names.map(({ name }) => `/dev/${name}`)),
  );
});

// ---- Metrics -----------------------------------------------------------------------

const HEALTH = {
  criticalWarning: 4,
  temperatureKelvin: 310,
  availableSparePercent: 97,
  spareThresholdPercent: 10,
  usedPercent: 104,
  dataUnitsRead: 2n ** 70n,
  dataUnitsWritten: 1n,
  hostReadCommands: 5n,
  hostWriteCommands: 0n,
  controllerBusyMinutes: 3n,
  powerCycles: 9n,
  powerOnHours: 8000n,
  unsafeShutdowns: 1n,
  mediaErrors: 2n,
  errorLogEntryCount: 0n,
} as unknown as NonNullable<Health["health"]>;
const NAMESPACE = {
  ...{ path: "/dev/ng0n1", blockPath: "/dev/nvme0n1", nsid: 1 },
  ...{ byteLength: 512_000, blockSize: 512, metadataBytes: 0, usedBlocks: 0 },
  ...{ zoned: false, wwid: "", readable: true, writable: true },
};
const DRIVE = {
  ...{ path: "/dev/nvme0", modelNumber: 'The "best"\\', serialNumber: "s1" },
  ...{ firmwareRevision: "f", transport: "pcie", address: "", state: "live" },
  ...{ controllerId: 0, subsystemNqn: "", readable: true, writable: true },
  namespaces: [
    NAMESPACE,
    { ...NAMESPACE, blockPath: "/dev/nvme0n2", byteLength: 4096 },
  ],
};
const LOOKS: Health[] = [
  { drive: DRIVE, health: HEALTH, error: "" },
  {
    drive: {
      ...{ ...DRIVE, path: "/dev/nvme1", modelNumber: "m", transport: "tcp" },
      namespaces: [{
        ...NAMESPACE,
        blockPath: "/dev/nvme1n1",
        byteLength: 512,
      }],
    },
    health: null,
    error: "no answer",
  },
];

Deno.test("metrics have the names and labels of the textfile collector", () => {
  const lines = metricsText(LOOKS).split("\n");
  for (
    const line of [
      'nvme_controller_info{controller="nvme0",model="The \\"best\\"\\\\",' +
      'firmware="f",serial="s1",transport="pcie"} 1',
      'nvme_up{controller="nvme0"} 1',
      'nvme_up{controller="nvme1"} 0',
      'nvme_temperature_celsius{device="nvme0n1"} 37',
      'nvme_temperature_celsius{device="nvme0n2"} 37',
      'nvme_percentage_used_ratio{device="nvme0n1"} 1.04',
      'nvme_data_units_read_total{device="nvme0n1"} 1180591620717411303424',
      'nvme_controller_busy_time_seconds_total{device="nvme0n1"} 180',
      'nvme_critical_warning{device="nvme0n1"} 4',
      'nvme_physical_size_bytes{device="nvme1n1"} 512',
      "# TYPE nvme_media_errors_total counter",
    ]
  ) assert(lines.includes(line), line);
  assert(
    lines.includes('nvme_power_on_seconds_total{device="nvme0n1"} 28800000'),
  );
  const older = metricsText(LOOKS, true);
  assertStringIncludes(
    older,
    'nvme_power_on_hours_total{device="nvme0n1"} 8000\n',
  );
  // A drive that has not answered has no health.
  assert(!lines.includes('nvme_critical_warning{device="nvme1n1"} 0'));
  assertEquals(lines.at(-1), "");
  const unknown = { ...HEALTH, temperatureKelvin: 0 };
  const [first] = LOOKS;
  const text = metricsText([{ ...first, health: unknown }]);
  assertEquals(text.includes("temperature"), false);
});

async function lacksPromtool(): Promise<string> {
  try {
    await output("promtool", ["--version"]);
    return "";
  } catch {
    return "promtool";
  }
}
const promtool = await lacksPromtool();

testUnless(
  promtool,
  "promtool has nothing to say against the metrics",
  async () => {
    const { code, stdout, stderr } = await run(
      "promtool",
      ["check", "metrics"],
      {
        input: metricsText(LOOKS),
      },
    );
    assertEquals([code, stdout, stderr], [0, "", ""]);
  },
);

Deno.test("the exporter answers until it gets a signal", async () => {
  const tool = new URL("../../cmd/cli/mod.ts", import.meta.url).pathname;
  const exporter = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--no-prompt", "--allow-ffi", "--allow-net", tool],
      ...["nvme", "exporter", "--listen", "127.0.0.1:0"],
    ],
    stdout: "null",
    stderr: "piped",
    env: { NO_COLOR: "1" },
  }).spawn();
  const said = exporter.stderr.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n")) text += (await said.read()).value;
  const [, url, count] =
    /^(http:\/\/127\.0\.0\.1:\d+\/metrics), of (\d+) controllers$/m.exec(text)!;
  const response = await fetch(url);
  assertMatch(response.headers.get("content-type")!, /^text\/plain; version=0/);
  const metrics = await response.text();
  assertEquals(
    metrics.match(/^nvme_up\{.*\} 1$/gm)?.length ?? 0,
    Number(count),
  );
  if (drive.missing === "") {
    assertMatch(metrics, /^nvme_controller_info\{.*serial="uring"/m);
    assertMatch(
      metrics,
      /^nvme_temperature_celsius\{device="nvme\dn1"\} \d+$/m,
    );
  }
  const nowhere = await fetch(new URL("/nosuch", url));
  assertEquals([nowhere.status, await nowhere.text()], [404, "Not found\n"]);
  exporter.kill("SIGTERM");
  assertEquals((await exporter.status).code, 0);
  await said.cancel();
});

// ---- Disks --------------------------------------------------------------------------

testUnless(
  noLoop || lacksLinux(6, 12),
  "discard needs --yes, an unused disk, and --force for one with a file system",
  async () => {
    await using device = await LoopDevice.make({
      byteLength: 8 * MiB,
      byte: 7,
    });
    const { path } = device;
    assertEquals((await uring("discard", path)).code, 2);
    await output("mkfs.ext4", ["-q", path]);
    const refused = await uring("discard", path, "--yes");
    assertEquals(refused.code, 2);
    assertStringIncludes(refused.err, "ext4 file system. Add --force");
    const range = ["--offset", "1M", "--length", "2MiB", "--step", "512K"];
    const words = [path, "--yes", "--force", ...range];
    for (const wrong of ["1000", "0x201", "1MB"]) {
      const { code, err } = await uring(
        ...["discard", path, "--yes", "--offset", wrong],
      );
      assertEquals(code, 2, wrong);
      assertStringIncludes(err, "no multiple of the 512-byte block");
    }
    const far = await uring("discard", path, "--yes", "--length", "9M");
    assertStringIncludes(far.err, "does not fit the 8388608 bytes");
    const before = await Deno.readFile(path);
    assertEquals(await json("discard", ...words), {
      ...{ path, offset: MiB, length: 2 * MiB },
      zeroed: false,
    });
    const after = await Deno.readFile(path);
    assertEquals(
      after.subarray(MiB, 3 * MiB).some((byte) => byte !== 0),
      false,
    );
    assertEquals(after.subarray(0, MiB), before.subarray(0, MiB));
    assertEquals(after.subarray(3 * MiB), before.subarray(3 * MiB));
    const zeros = await uring("discard", path, "--yes", "--force", "-z");
    assertMatch(
      zeros.out,
      /^Filled with zeros: 8.39 MB of \/dev\/loop\d+, from/,
    );
    assertEquals((await Deno.readFile(path)).some((byte) => byte !== 0), false);
  },
);

const test = (name: string, fn: () => Promise<void>) =>
  testUnless(drive.missing, name, fn);

test("nvme smart-log says what nvme-cli says", async () => {
  const path = drive.pathOf("plain", "nvme");
  const ours = await json("nvme", "smart-log", path);
  const args = ["smart-log", drive.controllerPath, "-o", "json"];
  const theirs = JSON.parse(await output("nvme", args));
  for (
    const [name, other] of [
      ["temperatureKelvin", "temperature"],
      ["availableSparePercent", "avail_spare"],
      ["spareThresholdPercent", "spare_thresh"],
      ["usedPercent", "percent_used"],
      ["powerCycles", "power_cycles"],
      ["unsafeShutdowns", "unsafe_shutdowns"],
      ["mediaErrors", "media_errors"],
    ]
  ) assertEquals(Number(ours[name]), Number(theirs[other]), name);
});

test("nvme reads, writes, compares and zeroes blocks", async () => {
  const path = drive.pathOf("plain", "nvme");
  const folder = await Deno.makeTempDir();
  try {
    const [data, back] = [`${folder}/data`, `${folder}/back`];
    const bytes = Uint8Array.from({ length: 1024 }, (_, i) => i * 7);
    await Deno.writeFile(data, bytes);
    const at = [path, "-s", "16"];
    assertEquals((await uring("nvme", "write", ...at, "-d", data)).code, 2);
    const wrote = await json("nvme", "write", ...at, "-d", data, "--yes");
    assertEquals(wrote.blocks, 2);
    const read = await uring("nvme", "read", ...at, "-c", "2", "-d", back);
    assertEquals([read.code, read.out], [0, ""]);
    assertEquals(await Deno.readFile(back), bytes);
    const same = await uring("nvme", "compare", ...at, "-d", data);
    assertStringIncludes(same.out, "Equal: 2 blocks from block 16 on");
    const zeros = ["nvme", "write-zeroes", ...at, "-c", "1", "--yes"];
    assertEquals((await uring(...zeros)).code, 0);
    const differs = await uring("nvme", "compare", ...at, "-d", data);
    assertEquals(differs.code, 1);
    assertStringIncludes(differs.err, "COMPARE");
    const dump = await uring("nvme", "read", ...at);
    assertMatch(dump.out, /^0000 {2}(00 ){16} \.{16}\n/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

test("nvme lists namespaces and zones, and sends any command", async () => {
  const plain = drive.pathOf("plain", "nvme");
  const list = await json("nvme", "list-ns", plain) as unknown as number[];
  assert(list.includes(drive.NSID.plain));
  const drives = await json("nvme", "list") as unknown as {
    path: string;
    namespaces: { blockPath: string }[];
  }[];
  const found = drives.find(({ path }) => path === drive.controllerPath)!;
  assert(found.namespaces.some(({ blockPath }) => blockPath === plain));
  const table = await uring("nvme", "list");
  assertStringIncludes(table.out, plain);
  const health = await json("nvme", "get-log", plain, "-i", "2", "-l", "512");
  assertEquals(String(health.bytes).length, 1024);
  const zoned = drive.pathOf("zoned");
  const report = await json("nvme", "zns-report", zoned, "-d", "2");
  assertEquals((report.zones as unknown[]).length, 2);
  const words = ["-O", "6", "--cdw10", "1", "-l", "4K"];
  const identity = await json("nvme", "admin-passthru", plain, ...words);
  const serial = new TextEncoder().encode("uring").toHex();
  assertStringIncludes(String(identity.data), serial);
  const disks = await json("list") as unknown as Record<string, unknown>[];
  const disk = disks.find(({ path }) => path === plain)!;
  assertEquals(disk.kind, "nvme");
  assertEquals(disk.commands, drive.pathOf("plain"));
  assertEquals(disk.serial, "uring");
  using log = spy(console, "log");
  const once = ["nvme", "monitor", "-c", "1", "-o", "json"];
  assertEquals(await main(once), 0);
  const [row] = JSON.parse(log.calls[0].args[0]);
  assertEquals(row.state, "ok");
});
