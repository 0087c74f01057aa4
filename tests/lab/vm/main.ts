/**
 * The laboratory of kernels: boots kernels of Debian under QEMU, and runs the
 * tests of this project in each.
 *
 *     deno task test:vm [OPTIONS] [KERNEL...] [-- DENO ARGUMENTS]
 *
 *     --filter TEXT     only the tests whose names contain the text
 *     --kernel PATH     a kernel of your own, with the tests
 *     --modules FOLDER  the folder with its modules
 *     --arch ARCH       x86_64 or aarch64, of that kernel
 *     --timeout SECONDS until a guest is taken for hung; 600
 *     --with PACKAGE    what the guests have besides; as often as you like
 *     --update          ask for newer packages
 *     --kvm             on the processor itself: faster, where it works
 *     --icount          time is counted in instructions: slower, and no matter
 *                       what else this machine does
 *     --show            show the consoles as well
 *
 * Without names it is all kernels. What follows `--` is run in place of the
 * tests, by Deno at the top of the project, such as `run -A mod.ts`.
 *
 * It needs Debian's apt for the kernels, and for the guests' Deno and for QEMU
 * what its messages say. All that it makes is in `.cache/vm`.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { Apt, type DebianArch, exists, output } from "./apt.ts";
import { Archive } from "./cpio.ts";
import { type Arch, boot, judge, type Verdict } from "./guest.ts";
import { filesUnder, findModules } from "./modules.ts";

const ROOT = new URL("../../..", import.meta.url).pathname.replace(/\/$/, "");
const HERE = `${ROOT}/tests/lab/vm`;
const CACHE = `${ROOT}/.cache/vm`;
/** The name of the kernel that is given by its path. */
const OWN = "own";

/** A kernel of Debian. */
interface Kernel {
  readonly arch: Arch;
  readonly suite: string;
  /** The package that depends on the newest of its kind. */
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

/** What every guest has besides its kernel, of one suite for all of them. */
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
  ],
  leaveOut: /^(etc|var|usr\/share)$|\/(gconv|security|systemd)$/,
};

/** The devices and filesystems that tests use. */
const MODULES = [
  // What others ask for by what it does, and not by its name.
  ...["crc32c_generic", "xxhash_generic", "blake2b_generic"],
  ...["nvme", "null_blk", "scsi_debug", "sd_mod", "loop", "ext4", "btrfs"],
];

/**
 * Tests of this project's files and of headers, for which no kernel matters, and
 * those that do so much that a guest, which is ten times slower, would do little
 * else: `-- test ...` runs them there alone.
 */
const NOT_IN_GUESTS = ["laws", "fake", "lab", "mutants", "attack"]
  .map((name) => `tests/${name}`);

/**
 * Its commands need workers that take addresses for what they are. The last worker
 * of a thread never ends, and one that another test's ring had started in an
 * interrupt may not, as setupOptions() in ring/options.ts says.
 */
const FIRST = "tests/cmd/nvme_test.ts";

const split = [...Deno.args, "--"].indexOf("--");
/** What Deno is to run in place of the tests. */
const instead = Deno.args.slice(split + 1);
const { values: options, positionals } = parseArgs({
  args: Deno.args.slice(0, split),
  options: {
    filter: { type: "string" },
    kernel: { type: "string" },
    modules: { type: "string" },
    arch: { type: "string", default: Deno.build.arch },
    timeout: { type: "string", default: "600" },
    with: { type: "string", multiple: true, default: [] },
    update: { type: "boolean", default: false },
    kvm: { type: "boolean", default: false },
    icount: { type: "boolean", default: false },
    show: { type: "boolean", default: false },
  },
  allowPositionals: true,
});

/** What Deno is asked to do in a guest. */
async function work(): Promise<string[]> {
  if (instead.length > 0) return instead;
  const left = (file: string) =>
    NOT_IN_GUESTS.some((name) => file === name || file.startsWith(`${name}/`));
  // Of a folder beside a file, `deno test` would heed no --ignore.
  const tests = (await projectFiles()).filter((file) =>
    /^tests\/.*_test\.ts$/.test(file) && !left(file)
  );
  const filter = options.filter === undefined
    ? []
    : ["--filter", options.filter];
  return [
    ...["test", "-A", "--unstable-net", "--v8-flags=--expose-gc"],
    ...["--no-check", "--cached-only", ...filter],
    ...new Set([FIRST, ...tests]),
  ];
}

const opened = new Map<Arch, Promise<Apt>>();

/** The packages for a machine; the lists are fetched once in a run. */
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

/** A kernel's image and modules, as paths. */
interface Image {
  readonly arch: Arch;
  readonly image: string;
  readonly files: readonly string[];
}

/** The kernel that a name stands for; the empty one is the user's own. */
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

/** The Deno of a guest: this one, or the one that npm has for its machine. */
async function findDeno(arch: Arch): Promise<string> {
  if (arch === Deno.build.arch) return Deno.execPath();
  const folder = `${CACHE}/deno-${DEBIAN[arch]}`;
  const path = `${folder}/package/deno`;
  const { deno } = Deno.version;
  const stamp = `${folder}/${deno}`;
  if (await exists(stamp)) return path;
  await Deno.mkdir(folder, { recursive: true });
  // Of the same minor version, where npm has not got this one.
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

/** Writes what a guest finds when it starts. */
async function writeRoot(path: string, { arch, files }: Image): Promise<void> {
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
  const words = await work();
  root.file("arguments", words.map((each) => `${each}\n`).join(""));
  root.file("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n");
  root.file(
    "etc/passwd",
    "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
  );
  root.file("etc/group", "root:x:0:\nnogroup:x:65534:\n");
  modules.forEach(({ name, bytes }, i) =>
    root.file(`modules/${String(i).padStart(3, "0")}-${name}.ko`, bytes)
  );
  root.tree(`${CACHE}/deno-dir/npm`, "deno-dir/npm");
  for (const file of await projectFiles()) {
    root.copy(`${ROOT}/${file}`, `uring/${file}`);
  }
}

/** What is in the project as it stands, with what is not committed yet. */
async function projectFiles(): Promise<string[]> {
  const listed = await output("git", [
    ...["ls-files", "-z", "--cached", "--others", "--exclude-standard"],
  ], { cwd: ROOT });
  const files = listed.split("\0").filter((file) => file !== "");
  const there = await Promise.all(
    files.map((each) => exists(`${ROOT}/${each}`)),
  );
  return files.filter((_, i) => there[i]);
}

/** Fetches the npm packages that the tests import: a guest has no network. */
async function fetchImports(): Promise<void> {
  const tests = (await projectFiles()).filter((file) =>
    /^tests\/.*\.ts$/.test(file)
  );
  await output(Deno.execPath(), ["cache", "--no-check", ...tests], {
    cwd: ROOT,
    env: { DENO_DIR: `${CACHE}/deno-dir` },
  });
}

interface Row extends Verdict {
  readonly name: string;
  readonly seconds: number;
}

async function runGuest(name: string): Promise<Row> {
  const kernel = await findKernel(name);
  const folder = await Deno.makeTempDir({ dir: CACHE, prefix: "guest-" });
  try {
    const initrd = `${folder}/initrd`;
    await writeRoot(initrd, kernel);
    const start = performance.now();
    const said = await boot({
      arch: kernel.arch,
      kernel: kernel.image,
      initrd,
      folder,
      log: logOf(name),
      timeoutSeconds: Number(options.timeout),
      kvm: options.kvm,
      icount: options.icount,
      show: options.show,
    });
    const seconds = (performance.now() - start) / 1000;
    return { name, seconds, ...judge(said, instead.length === 0) };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Where everything is that a console said. */
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
const rows: Row[] = [];
for (const name of names) {
  const row = await runGuest(name);
  rows.push(row);
  const { release, seconds, passed, failed, skipped, trouble } = row;
  if (instead.length > 0) console.log(row.output);
  // Indented, so that tests/laws/tally.ts does not count it twice.
  if (trouble !== "") {
    console.log(`\n${trouble.replaceAll(/^/gm, "  ")}`);
    console.log(`\nAll of it: ${logOf(name)}`);
  }
  console.log(
    `${name.padEnd(12)} ${release.padEnd(22)} ${seconds.toFixed(0)} s, ` +
      `${passed} passed, ${failed} failed, ${skipped} skipped`,
  );
}
const sum = (key: "passed" | "failed" | "skipped") =>
  rows.reduce((all, row) => all + row[key], 0);
const failed = sum("failed");
// In the words of `deno test`, so that tests/laws/tally.ts adds it up as well.
console.log(
  `${failed === 0 ? "ok" : "FAILED"} | ${sum("passed")} passed | ` +
    `${failed} failed | ${sum("skipped")} ignored (${rows.length} kernels)`,
);
Deno.exit(failed === 0 ? 0 : 1);
