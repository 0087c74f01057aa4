/**
 * The laboratory of kernels: boots kernels of Debian under QEMU, and runs the
 * tests of this project in each.
 *
 *     deno task test:vm [OPTIONS] [KERNEL...] [-- DENO ARGUMENTS]
 *
 *     --parallel N      guests at a time; default 2, or 1 with --show or --icount
 *     --filter TEXT     run only tests whose names contain the text
 *     --kernel PATH     boot a kernel of your own
 *     --modules FOLDER  the folder with the modules of that kernel
 *     --arch ARCH       its architecture: x86_64 or aarch64
 *     --timeout SECONDS kill a guest after this time; default 750 for each guest
 *                       that runs at a time
 *     --nvme-queue N    entries of an NVMe queue; default 32, so that tests can
 *                       fill it
 *     --with PACKAGE    add a Debian package to the guests; may be repeated
 *     --file PATH       add a file of the project that git ignores; may be repeated
 *     --update          fetch newer packages
 *     --kvm             use KVM, which is faster, where it is available
 *     --icount          count time in instructions of the guest: slower, but
 *                       independent of the load on this machine
 *     --show            print the consoles while the guests run
 *
 * Without names it boots all kernels. Deno runs the arguments after `--` at the
 * top of the project instead of the tests: for example `run -A mod.ts`.
 *
 * It needs apt with a Debian archive for the kernels, QEMU, and npm if a guest has
 * another architecture than this machine. Everything it makes is in `.cache/vm`.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { exists } from "../../kit/exists.ts";
import { output } from "../../kit/run.ts";
import { Apt, type DebianArch } from "./apt.ts";
import { Archive } from "./cpio.ts";
import { type Arch, boot, judge, type Verdict } from "./guest.ts";
import { filesUnder, findModules } from "./modules.ts";

const ROOT = new URL("../../..", import.meta.url).pathname.replace(/\/$/, "");
const HERE = `${ROOT}/tests/lab/vm`;
const CACHE = `${ROOT}/.cache/vm`;
/** The name that stands for the kernel of `--kernel`. */
const OWN = "own";

/** A kernel of Debian. */
interface Kernel {
  readonly arch: Arch;
  readonly suite: string;
  /** The package that depends on the newest kernel of the suite. */
  readonly package: string;
}

const KERNELS: Readonly<Record<string, Kernel>> = {
  "bookworm": {
    arch: "x86_64",
    suite: "bookworm",
    package: "linux-image-amd64",
  },
  "trixie": { arch: "x86_64", suite: "trixie", package: "linux-image-amd64" },
  "sid": { arch: "x86_64", suite: "sid", package: "linux-image-amd64" },
  "trixie-arm64": {
    arch: "aarch64",
    suite: "trixie",
    package: "linux-image-cloud-arm64",
  },
};

const DEBIAN: Readonly<Record<Arch, DebianArch>> = {
  x86_64: "amd64",
  aarch64: "arm64",
};

/** Packages of every guest, from one suite whatever its kernel. */
const USERLAND = {
  suite: "trixie",
  packages: [
    "busybox-static",
    "dash",
    "libgcc-s1",
    "util-linux",
    "mount",
    "e2fsprogs",
    "btrfs-progs",
    "nvme-cli",
    "fuse3",
  ],
  leaveOut: /^(etc|var|usr\/share)$|\/(gconv|security|systemd)$/,
};

/** The devices and filesystems that tests use. */
const MODULES = [
  // Other modules ask for these by algorithm, and not by name.
  ...["crc32c_generic", "xxhash_generic", "blake2b_generic"],
  ...[
    "nvme",
    "nvme_loop",
    "null_blk",
    "scsi_debug",
    "sd_mod",
    "sg",
    "loop",
    "ext4",
    "btrfs",
    "fuse",
    "ublk_drv",
    // What judges disks.
    "xfs",
    "dm_mod",
  ],
];

/**
 * Tests that no guest runs by default. Those of files, headers, the fake kernel and
 * Deno do not depend on the kernel; those under attack/ would take a guest, which is ten
 * times slower, too long. `-- test ...` runs them in a guest.
 */
const NOT_IN_GUESTS = [
  "laws",
  "fake",
  "lab",
  "mutants",
  "attack",
  "ring/deno_test.ts",
  // These play the kernel themselves, or need none.
  "ring/squeue_test.ts",
  "ring/cqueue_test.ts",
  "ring/pool_test.ts",
  "ring/pace_test.ts",
  "ring/unload_test.ts",
  "ring/cost_test.ts",
  "ring/errors_test.ts",
  "ring/intrinsics_test.ts",
  "ring/setters_test.ts",
  // They start many processes, each of which takes seconds there, and test Deno and
  // this library far more than the kernel.
  "ring/process_test.ts",
  "ring/wake_process_test.ts",
  // They map and collect much memory, which is slow there and alike everywhere.
  "ring/address_test.ts",
  "ring/memory_test.ts",
  "sys",
  "cmd/code_names_test.ts",
  "cmd/errors_test.ts",
  "cmd/json_test.ts",
  "cmd/nvme_command_test.ts",
  "cmd/nvme_pages_test.ts",
  "cmd/scsi_sense_test.ts",
  "cmd/sockaddr_test.ts",
  "fuse",
  "ublk",
].map((name) => `tests/${name}`);

/**
 * Tests that only the guest with the newest kernel runs by default: they start many
 * processes as well, but need the devices of a guest.
 */
const NEWEST = "sid";
const IN_NEWEST_ONLY = ["tests/cmd/nodes_test.ts", "tests/cmd/probe_test.ts"];

/**
 * Tests that run in a thread of their own, as all do elsewhere. A guest takes seconds to
 * load this library, so the others share a thread.
 */
const APART = [
  // These count what their thread has.
  "tests/cmd/block_test.ts",
  "tests/ring/run_test.ts",
  "tests/ring/wake_test.ts",
  // A driver that it writes to asks whether the process is 32-bit: see FIRST.
  "tests/cmd/op_test.ts",
];

/**
 * The first test files. Their commands run in workers of the kernel, and the last
 * worker of a thread never ends. A worker that an earlier test's ring had started
 * in an interrupt might take 64-bit addresses for those of a 32-bit process: see
 * setupOptions() in ring/options.ts.
 */
const FIRST = ["tests/cmd/nvme_test.ts", "tests/cmd/nvme_late_test.ts"];

/** The file in a guest that imports the tests which share a thread. */
const SHARED = "tests/shared_test.ts";

/**
 * The files of servers that guests run by default, one of each folder. Those beside
 * them play the kernel, or take many minutes.
 */
const SERVERS = ["tests/fuse/serve_test.ts", "tests/ublk/serve_test.ts"];

const split = [...Deno.args, "--"].indexOf("--");
/** Arguments for Deno that replace the tests. */
const instead = Deno.args.slice(split + 1);
const { values: options, positionals } = parseArgs({
  args: Deno.args.slice(0, split),
  options: {
    filter: { type: "string" },
    kernel: { type: "string" },
    modules: { type: "string" },
    arch: { type: "string", default: Deno.build.arch },
    parallel: { type: "string" },
    timeout: { type: "string" },
    "nvme-queue": { type: "string", default: "32" },
    with: { type: "string", multiple: true, default: [] },
    file: { type: "string", multiple: true, default: [] },
    update: { type: "boolean", default: false },
    kvm: { type: "boolean", default: false },
    icount: { type: "boolean", default: false },
    show: { type: "boolean", default: false },
  },
  allowPositionals: true,
});

// One console at a time is readable, and `--icount` pins its guest to a processor.
const parallel = Number(
  options.parallel ?? (options.show || options.icount ? 1 : 2),
);
const timeoutSeconds = Number(options.timeout ?? 750 * parallel);
if (!(Number.isInteger(parallel) && parallel > 0) || !(timeoutSeconds > 0)) {
  throw new RangeError("--parallel and --timeout take numbers above 0");
}
const nvmeQueue = Number(options["nvme-queue"]);
if (!(Number.isInteger(nvmeQueue) && nvmeQueue > 1)) {
  throw new RangeError("--nvme-queue takes a whole number above 1");
}

/** What Deno runs in a guest. */
interface Work {
  readonly args: readonly string[];
  /** The tests that share a thread, in their order. */
  readonly shared: readonly string[];
}

/** Returns what Deno runs in the guest of a kernel. */
async function workOf(name: string): Promise<Work> {
  if (instead.length > 0) return { args: instead, shared: [] };
  const without = name === NEWEST
    ? NOT_IN_GUESTS
    : [...NOT_IN_GUESTS, ...IN_NEWEST_ONLY];
  const left = (file: string) =>
    without.some((name) => file === name || file.startsWith(`${name}/`));
  const apart = (file: string) =>
    APART.includes(file) || IN_NEWEST_ONLY.includes(file);
  // `deno test` ignores --ignore for a folder that is named beside a file.
  const tests = (await projectFiles()).filter((file) =>
    /^tests\/.*_test\.ts$/.test(file) && !left(file)
  );
  const filter = options.filter === undefined
    ? []
    : ["--filter", options.filter];
  const shared = tests.filter((file) => !apart(file));
  return {
    args: [
      ...["test", "-A", "--unstable-net", "--v8-flags=--expose-gc"],
      ...["--no-check", "--cached-only", ...filter],
      ...[SHARED, ...tests.filter(apart), ...SERVERS],
    ],
    shared: [...new Set([...FIRST, ...shared])],
  };
}

const opened = new Map<Arch, Promise<Apt>>();

/** Returns the packages for an architecture. Fetches the lists once in a run. */
function packages(arch: Arch): Promise<Apt> {
  const found = opened.get(arch) ?? Apt.open(
    CACHE,
    DEBIAN[arch],
    ["bookworm", "trixie", "sid"],
    options.update,
  );
  opened.set(arch, found);
  return found;
}

/** The paths of a kernel's image and modules. */
interface Image {
  readonly arch: Arch;
  readonly image: string;
  readonly files: readonly string[];
}

/** Finds the kernel of a name: a Debian kernel, or the one of `--kernel`. */
async function findKernel(name: string): Promise<Image> {
  if (name === OWN) {
    const { kernel: image = "", modules, arch } = options;
    if (!isArch(arch)) throw new Error(`no guests of ${arch}`);
    return { arch, image, files: modules ? filesUnder(modules) : [] };
  }
  const { arch, suite, package: wanted } = KERNELS[name];
  const apt = await packages(arch);
  const only = /^linux-(image|binary|modules)-\d/;
  const folders = await apt.unpack(suite, [wanted], only);
  const files = folders.flatMap(filesUnder);
  const image = files.find((path) => /\/vmlinuz[^/]*$/.test(path));
  if (image === undefined) throw new Error(`${wanted} has no image`);
  return { arch, image, files };
}

function isArch(arch: string): arch is Arch {
  return arch in DEBIAN;
}

/** Returns the Deno of a guest: this one, or npm's for another architecture. */
async function findDeno(arch: Arch): Promise<string> {
  if (arch === Deno.build.arch) return Deno.execPath();
  const folder = `${CACHE}/deno-${DEBIAN[arch]}`;
  const path = `${folder}/package/deno`;
  const { deno } = Deno.version;
  const stamp = `${folder}/${deno}`;
  if (exists(stamp)) return path;
  await Deno.mkdir(folder, { recursive: true });
  // npm may lack this patch version: take the newest up to it.
  const [major, minor] = deno.split(".");
  const npm = DEBIAN[arch] === "arm64"
    ? "linux-arm64-glibc"
    : "linux-x64-glibc";
  const file = await output("npm", [
    ...["pack", "--silent"],
    `@deno/${npm}@${major}.${minor}.0 - ${deno}`,
  ], { cwd: folder });
  await output("tar", ["-xzf", file.trim()], { cwd: folder });
  await Deno.chmod(path, 0o755);
  await Deno.remove(`${folder}/${file.trim()}`);
  await Deno.writeTextFile(stamp, "");
  return path;
}

/** Writes the root file system of a guest. */
async function writeRoot(
  path: string,
  { arch, files }: Image,
  { args, shared }: Work,
): Promise<void> {
  const { suite, packages: names, leaveOut } = USERLAND;
  const apt = await packages(arch);
  const folders = await apt.unpack(suite, [...names, ...options.with]);
  const modules = await findModules(files, MODULES);
  const deno = await findDeno(arch);
  using root = new Archive(path);
  for (const name of ["bin", "sbin", "lib", "lib64"]) {
    root.link(name, `usr/${name}`);
  }
  for (const folder of folders) root.tree(folder, "", leaveOut);
  root.copy(deno, "usr/bin/deno");
  root.file("init", await Deno.readTextFile(`${HERE}/init.sh`), 0o755);
  root.file("arguments", args.map((each) => `${each}\n`).join(""));
  root.file("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n");
  root.file(
    "etc/passwd",
    "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
  );
  // fusermount3 opens it.
  root.link("etc/mtab", "/proc/self/mounts");
  root.file("etc/group", "root:x:0:\nnogroup:x:65534:\n");
  const imports = shared.map((file) => `import "/uring/${file}";\n`);
  root.file(`uring/${SHARED}`, imports.join(""));
  modules.forEach(({ name, bytes }, i) =>
    root.file(`modules/${String(i).padStart(3, "0")}-${name}.ko`, bytes)
  );
  root.tree(`${CACHE}/deno-dir/npm`, "deno-dir/npm");
  for (const file of [...await projectFiles(), ...options.file]) {
    root.copy(`${ROOT}/${file}`, `uring/${file}`);
  }
}

/** Lists the files of the project, including those not committed yet. */
async function projectFiles(): Promise<string[]> {
  const listed = await output("git", [
    ...["ls-files", "-z", "--cached", "--others", "--exclude-standard"],
  ], { cwd: ROOT });
  return listed.split("\0").filter((file) =>
    file !== "" && exists(`${ROOT}/${file}`)
  );
}

/** Fetches the npm packages that the tests import, since guests have no network. */
async function fetchImports(): Promise<void> {
  const tests = (await projectFiles()).filter((file) =>
    /^tests\/.*\.ts$/.test(file) && !file.startsWith("tests/mutants/")
  );
  await output(Deno.execPath(), ["cache", "--no-check", ...tests], {
    cwd: ROOT,
    env: { DENO_DIR: `${CACHE}/deno-dir` },
  });
}

/** Ends when the last guest so far is prepared: guests share the folders of apt. */
let preparing: Promise<unknown> = Promise.resolve();

/** Boots a guest, prints how it went, and returns that. */
async function runGuest(name: string): Promise<Verdict> {
  const folder = await Deno.makeTempDir({ dir: CACHE, prefix: "guest-" });
  try {
    const initrd = `${folder}/initrd`;
    const prepared = preparing.then(async () => {
      const kernel = await findKernel(name);
      await writeRoot(initrd, kernel, await workOf(name));
      return kernel;
    });
    preparing = prepared;
    const { arch, image } = await prepared;
    const start = performance.now();
    const said = await boot({
      arch,
      kernel: image,
      initrd,
      folder,
      log: logOf(name),
      timeoutSeconds,
      nvmeQueue,
      kvm: options.kvm,
      icount: options.icount,
      show: options.show,
    });
    const seconds = (performance.now() - start) / 1000;
    const verdict = judge(said, instead.length === 0);
    report(name, seconds, verdict);
    return verdict;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function report(name: string, seconds: number, verdict: Verdict): void {
  const { release, passed, failed, skipped, trouble } = verdict;
  if (instead.length > 0) console.log(verdict.output);
  // Indented, so that tests/laws/tally.ts does not count it twice.
  if (trouble !== "") {
    console.log(`\n${trouble.replaceAll(/^/gm, "  ")}`);
    console.log(`\nThe whole console: ${logOf(name)}`);
  }
  console.log(
    `${name.padEnd(12)} ${release.padEnd(22)} ${seconds.toFixed(0)} s, ` +
      `${passed} passed, ${failed} failed, ${skipped} skipped`,
  );
}

/** Runs guests, at most {@linkcode parallel} at a time. */
async function runGuests(names: readonly string[]): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  const waiting = names.values();
  const lane = async () => {
    for (const name of waiting) verdicts.push(await runGuest(name));
  };
  const lanes = Array.from({ length: parallel }, lane);
  // No guest is left running when another cannot be prepared.
  await Promise.allSettled(lanes);
  await Promise.all(lanes);
  return verdicts;
}

/** Returns the path of the file with all that a guest's console printed. */
function logOf(name: string): string {
  return `${CACHE}/${name}.log`;
}

const names = [
  ...options.kernel === undefined ? [] : [OWN],
  ...positionals,
];
if (names.length === 0) names.push(...Object.keys(KERNELS));
const unknown = positionals.filter((name) => !(name in KERNELS));
if (unknown.length > 0) {
  console.error(
    `no kernel ${unknown.join()}; there are ${Object.keys(KERNELS).join()}`,
  );
  Deno.exit(2);
}

await fetchImports();
const verdicts = await runGuests(names);
const sum = (key: "passed" | "failed" | "skipped") =>
  verdicts.reduce((all, verdict) => all + verdict[key], 0);
const failed = sum("failed");
// In the format of `deno test`, so that tests/laws/tally.ts adds it up.
console.log(
  `${failed === 0 ? "ok" : "FAILED"} | ${sum("passed")} passed | ` +
    `${failed} failed | ${sum("skipped")} ignored (${verdicts.length} kernels)`,
);
Deno.exit(failed === 0 ? 0 : 1);
